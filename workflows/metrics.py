"""The masks of one case go in, its `CaseFigures` come out.

What a figure is when a mask is empty is decided here, once: see `ABSENT_CLASS_POLICY`.
How cases are averaged is in `summary`; every formula is in docs/reference/metrics.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..transforms.space import voxel_volume_mm3
from .folders.studies import whose
from .measures.calibration import CalibrationCounts, count_calibration
from .measures.lesions import LesionCounts, count_lesions
from .measures.mask_checks import (
    Mask,
    checked_mask,
    checked_probability,
    checked_slice_numbers,
    checked_spacing,
)
from .measures.surface_distance import hd95_mm, hd95_px
from .system.files import InputError


class Absence(Enum):
    """Which of two masks has no voxel."""

    NEITHER = "neither"
    BOTH = "both"
    PREDICTION = "prediction"
    TRUTH = "truth"


ABSENT_CLASS_POLICY: Mapping[Absence, float] = MappingProxyType(
    {
        Absence.BOTH: 1.0,  # nothing to find, nothing found: right
        Absence.PREDICTION: 0.0,  # a lesion, and none found: missed
        Absence.TRUTH: 0.0,  # no lesion, and one found: false alarm; leaving it out would hide it
    }
)
"""What Dice, IoU, sensitivity and precision are, of a slice, a batch or a volume, when a mask is empty.

HD95 has no value when either mask is empty; such slices and volumes are not averaged, and their number is
reported.
"""


@dataclass(frozen=True)
class CaseFigures:
    """The counts of one patient's case, and the figures that follow from them.

    The per-slice tuples run along D, in the order of `slices`.

    Attributes:
        patient: the patient's identity; records with the same one are merged before averaging.
        shape: (H, W, D) of the masks.
        slices: the numbers of the slices.
        intersection: voxels in both masks, per slice.
        predicted: voxels in the prediction, per slice.
        true: voxels in the truth, per slice.
        hd95_slices_px: 95th percentile Hausdorff distance in pixels, per slice; None where a mask is empty.
        spacing_mm: size of a voxel along (H, W, D), None where unknown (the TIFFs carry none).
        calibration: counts of the probabilities, None where none were given.
        institution: code of the site, such as "CS".
        person: whose study it is, None where its name tells.
        confidence: what the segmenter said of itself, in [0, 1].
        check_by_hand: whether that was too little to go unseen, None where it is not known.
        hd95_mm: 95th percentile Hausdorff distance of the volumes in mm; None where a mask is empty, the
            spacing is not known, or slices are missing in between.
        lesions: counts of 3-D findings, None where slices are missing in between.
        voxel_mm3: volume of a voxel; None is the product of the spacing, as where no slices lean.
    """

    patient: str
    shape: tuple[int, int, int]
    slices: tuple[int, ...]
    intersection: tuple[int, ...]
    predicted: tuple[int, ...]
    true: tuple[int, ...]
    hd95_slices_px: tuple[float | None, ...]
    spacing_mm: tuple[float, float, float] | None = None
    calibration: CalibrationCounts | None = None
    institution: str | None = None
    confidence: float | None = None
    check_by_hand: bool | None = None
    hd95_mm: float | None = None
    lesions: LesionCounts | None = None
    voxel_mm3: float | None = None
    person: str | None = None

    @property
    def whose(self) -> str:
        """The person whose study it is."""
        return whose({"person": self.person, "patient": self.patient})

    @property
    def voxels(self) -> tuple[int, int, int]:
        """Voxels of the volume: in both masks, in the prediction, in the truth."""
        return sum(self.intersection), sum(self.predicted), sum(self.true)

    @property
    def dice(self) -> float:
        """Dice of the volume, in [0, 1]."""
        return dice_score(*self.voxels)

    @property
    def iou(self) -> float:
        """Intersection over union of the volume, in [0, 1]."""
        return iou_score(*self.voxels)

    @property
    def sensitivity(self) -> float:
        """Share of the lesion that was found, in [0, 1]."""
        return sensitivity_score(*self.voxels)

    @property
    def precision(self) -> float:
        """Share of the prediction that is lesion, in [0, 1]."""
        return precision_score(*self.voxels)

    @property
    def hd95_px(self) -> float | None:
        """Mean of `hd95_slices_px` over the slices that have one, in pixels; None when none has."""
        known = [distance for distance in self.hd95_slices_px if distance is not None]
        return float(np.mean(known)) if known else None

    @property
    def volume_error_voxels(self) -> int:
        """Predicted less true volume: negative where too little was outlined."""
        _, predicted, true = self.voxels
        return predicted - true

    @property
    def volume_error_ml(self) -> float | None:
        """The volume error in millilitres, None without spacing."""
        return self._in_ml(self.volume_error_voxels)

    @property
    def volume_true_ml(self) -> float | None:
        """Volume of the truth in millilitres, None without spacing."""
        return self._in_ml(self.voxels[2])

    @property
    def volume_pred_ml(self) -> float | None:
        """Volume of the prediction in millilitres, None without spacing."""
        return self._in_ml(self.voxels[1])

    def _in_ml(self, voxels: int) -> float | None:
        if self.spacing_mm is None:
            return None
        voxel = float(np.prod(self.spacing_mm)) if self.voxel_mm3 is None else self.voxel_mm3
        return voxels * voxel / 1000.0

    @property
    def lesion_slices(self) -> int:
        """Number of slices with lesion in the truth."""
        return sum(count > 0 for count in self.true)

    @property
    def false_positive_slices(self) -> int:
        """Number of slices with a prediction and no lesion in the truth."""
        return sum(t == 0 and p > 0 for p, t in zip(self.predicted, self.true, strict=True))

    @property
    def missed(self) -> bool:
        """Whether there is a lesion and the prediction has no voxel in common with it."""
        shared, _, true = self.voxels
        return true > 0 and shared == 0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields (not the properties) as plain values that JSON takes."""
        return asdict(self)


def dice_score(intersection: int, predicted: int, true: int) -> float:
    """Return the Dice coefficient of three voxel counts under `ABSENT_CLASS_POLICY`.

    >>> dice_score(2, 4, 4), dice_score(0, 0, 0), dice_score(0, 3, 0)
    (0.5, 1.0, 0.0)
    """
    return _score(2 * intersection, predicted + true, predicted, true)


def iou_score(intersection: int, predicted: int, true: int) -> float:
    """Return intersection over union of three voxel counts under `ABSENT_CLASS_POLICY`."""
    return _score(intersection, predicted + true - intersection, predicted, true)


def sensitivity_score(intersection: int, predicted: int, true: int) -> float:
    """Return the found share of the truth (recall) under `ABSENT_CLASS_POLICY`."""
    return _score(intersection, true, predicted, true)


def precision_score(intersection: int, predicted: int, true: int) -> float:
    """Return the right share of the prediction under `ABSENT_CLASS_POLICY`."""
    return _score(intersection, predicted, predicted, true)


def absence(predicted: int, true: int) -> Absence:
    """Say which of two masks is empty, from their voxel counts."""
    if predicted and true:
        return Absence.NEITHER
    if predicted:
        return Absence.TRUTH
    return Absence.PREDICTION if true else Absence.BOTH


def _score(numerator: int, denominator: int, predicted: int, true: int) -> float:
    which = absence(predicted, true)
    if which is Absence.NEITHER:
        return numerator / denominator
    return ABSENT_CLASS_POLICY[which]


def case_figures(
    pred: ArrayLike,
    truth: ArrayLike,
    patient: str,
    probability: ArrayLike | None = None,
    spacing_mm: Sequence[float] | None = None,
    *,
    slices: Sequence[int] | None = None,
    institution: str | None = None,
    confidence: float | None = None,
    check_by_hand: bool | None = None,
    steps_mm: ArrayLike | None = None,
    person: str | None = None,
) -> CaseFigures:
    """Measure a prediction against the truth.

    Args:
        pred: (H, W, D) of 0 and 1, any dtype.
        truth: (H, W, D) of 0 and 1, any dtype.
        patient: the patient's identity, for merging and for error texts.
        probability: (H, W, D) in [0, 1], for the calibration.
        spacing_mm: size of a voxel along (H, W, D); without it volumes stay in voxels.
        slices: numbers of the D slices, 1 to D unless told; needed where a patient comes in several records.
        institution: code of the site, for the table.
        confidence: of the segmenter, for the table.
        check_by_hand: what the segmenter makes of its confidence, for the table.
        steps_mm: ``(3, 3)``, the step along H, W and D in a column each, where slices may lean; see
            ``space.axial_steps``.
        person: whose study it is, where the name of the patient does not tell.

    Raises:
        InputError: a shape, a value of a mask, a probability, the spacing or the slice numbers do not fit.
    """
    pred_mask, truth_mask = checked_mask(pred, patient, "prediction"), checked_mask(truth, patient, "truth")
    if pred_mask.shape != truth_mask.shape:
        raise InputError(
            f"Expected prediction and truth of one shape in case {patient}, got {pred_mask.shape} and "
            f"{truth_mask.shape}; bring the prediction back to the scan's own grid."
        )
    height, width, depth = truth_mask.shape
    numbers, spacing = checked_slice_numbers(slices, depth, patient), checked_spacing(spacing_mm, patient)
    is_whole = all(abs(following - number) == 1 for number, following in pairwise(numbers))
    return CaseFigures(
        patient=patient,
        shape=(height, width, depth),
        slices=numbers,
        intersection=_per_slice(pred_mask & truth_mask),
        predicted=_per_slice(pred_mask),
        true=_per_slice(truth_mask),
        hd95_slices_px=tuple(hd95_px(pred_mask[..., k], truth_mask[..., k]) for k in range(depth)),
        spacing_mm=spacing,
        calibration=None
        if probability is None
        else count_calibration(checked_probability(probability, truth_mask, patient), truth_mask),
        institution=institution,
        confidence=confidence,
        check_by_hand=check_by_hand,
        hd95_mm=hd95_mm(pred_mask, truth_mask, spacing, steps_mm) if spacing and is_whole else None,
        lesions=count_lesions(pred_mask, truth_mask) if is_whole else None,
        voxel_mm3=None if steps_mm is None else voxel_volume_mm3(np.asarray(steps_mm)),
        person=person,
    )


def _per_slice(mask: Mask) -> tuple[int, ...]:
    return tuple(int(count) for count in mask.sum(axis=(0, 1)))
