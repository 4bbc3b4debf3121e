"""A study in, its mask in the same space out: the one Segmenter that every door of the product uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from torch import nn

from ..networks import load_weights
from ..transforms import keys
from ..transforms.intensity import channels_of, require_usable
from ..transforms.plain import plain
from ..transforms.space import check_axial, from_slices, spacing_of, voxel_volume_mm3
from ..transforms.square import pixel_mm_of
from .checking.negatives import is_negative
from .confidence import BEFORE, confidence_of, judged_by
from .folders.studies import REFUSED
from .folders.volume_values import values_of_mask
from .graphs import WHOLE, open_graph
from .inferers import input_dtype, pick_device
from .limits import check_numbers
from .models import Model, in_effect, open_model, with_settings
from .system.causes import not_located, root_cause
from .system.files import InputError

LEAST_PIXELS: Final = 32
"""Height or width of a slice under which nothing can be told; networks take no less."""


@dataclass(frozen=True)
class Segmentation:
    """What the network says of a study, in the space that the study came in.

    Attributes:
        image: ``(3, H, W, D)``, the values of the files; FLAIR stands in for what is not there.
        mask: ``(H, W, D)`` uint8, 1 where abnormal.
        probability: ``(H, W, D)`` float32 in [0, 1], also where the clean-up took a finding from the mask.
        affine: ``(4, 4)``, indices to RAS; in mm where the spacing is known, else in voxels.
        spacing_mm: size of a voxel, None where the files do not tell.
        confidence: the Dice to expect, in [0, 1]; of an empty mask how sure that is, see ``confidence_of``.
        sequences: those of ``keys.CHANNELS`` that the files hold.
        notes: what a reader of the result should know, one sentence each.
        check_by_hand: whether a person should look at it: the confidence is low, nothing is outlined, or the
            scan is in doubt.
        in_doubt: whether the scan itself gives reason to, whatever the network says of it.
    """

    image: npt.NDArray[Any]
    mask: npt.NDArray[np.uint8]
    probability: npt.NDArray[np.float32]
    affine: npt.NDArray[np.float64]
    spacing_mm: tuple[float, float, float] | None
    confidence: float
    sequences: tuple[str, ...] = keys.CHANNELS
    notes: tuple[str, ...] = ()
    check_by_hand: bool = False
    in_doubt: bool = False

    @property
    def volume_voxels(self) -> int:
        """Number of abnormal voxels."""
        return int(self.mask.sum())

    @property
    def volume_ml(self) -> float | None:
        """Abnormal volume in millilitres, None where the spacing is not known."""
        if self.spacing_mm is None:
            return None
        return self.volume_voxels * voxel_volume_mm3(self.affine) / 1000.0


class Segmenter:
    """Outline FLAIR abnormality in studies; set up once, ask often.

    Args:
        model: from ``open_model``.
        device: where to compute; None takes the GPU where there is one.

    Raises:
        InputError: the weights do not fit the config's network, or Python does not find that.
    """

    whole = False
    """Whether the network is a graph that prepares a study itself, see ``whole_study``."""

    def __init__(self, model: Model, device: torch.device | None = None) -> None:
        self.model = in_effect(model)
        self.device = pick_device() if device is None else device
        try:
            self._build(self.model.parser(self.device))
        except ModuleNotFoundError as error:
            if "Cannot locate" not in str(error):
                raise
            raise InputError(not_located(error)) from error

    def _build(self, parser: ConfigParser) -> None:
        parser.parse(True)
        self.preprocessing = parser.get_parsed_content("preprocessing")
        self.inferer = parser.get_parsed_content("inferer")
        self.threshold = float(parser.get_parsed_content("threshold"))
        self.cleanup = parser.get_parsed_content("cleanup") if "cleanup" in parser else None
        self.temperature = float(getattr(self.inferer, "temperature", 1.0))
        judged = {name: parser.get_parsed_content(name) for name in BEFORE if name in parser}
        check_numbers(judged)
        self.confidence_shift, self.check_below = judged_by(judged)
        self.size = parser.get_parsed_content("size")
        self.precision = str(parser.get("precision", "auto"))
        self.whole = bool(self.model.settings.get(WHOLE, False))
        self.network_name = str(parser.get_parsed_content("network_name"))
        self.network = self._network(parser)

    def _network(self, parser: ConfigParser) -> nn.Module:
        """Return the network with its weights, in evaluation mode; that of an exported file is its graph."""
        if self.model.form is not None:
            return open_graph(self.model.weights, self.model.form, self.device)
        network: nn.Module = parser.get_parsed_content("network")
        try:
            load_weights(network, self.model.weights)
        except ValueError as error:
            raise InputError(str(error)) from error
        return network.eval()

    @classmethod
    def from_name(
        cls,
        name: str | Path | None = None,
        device: str = "auto",
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> Segmenter:
        """Build the Segmenter of a run folder, a bundle, a weights file or an export.

        Args:
            name: see ``open_model``.
            device: see ``pick_device``.
            settings: see ``with_settings``.
        """
        return cls(with_settings(open_model(name), settings), pick_device(device))

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights file."""
        return self.model.sha256

    @property
    def dtype(self) -> str:
        """Number type that the network computes in, ``float32`` or ``bfloat16``; a few voxels hang on it."""
        return str(input_dtype(self.device, self.precision)).removeprefix("torch.")

    @property
    def members(self) -> list[Segmenter]:
        """Those that answer: itself alone; see ``ensemble.Ensemble``."""
        return [self]

    @torch.inference_mode()
    def __call__(self, case: Mapping[str, Any]) -> Segmentation:
        """Segment one study.

        Args:
            case: a record; ``image`` names its files, ``sequences`` what they show if it is neither FLAIR
                alone nor all three.

        Raises:
            InputError: the files cannot be read, have channels that the network does not know, or the record
                is one that was refused.
        """
        if REFUSED in case:
            raise InputError(str(case[REFUSED]))
        files = {key: case[key] for key in (keys.IMAGE, keys.SEQUENCES) if case.get(key)}
        loaded_case = _checked(self.preprocessing, files, end=1)  # the first transform is the loader
        loaded = loaded_case[keys.IMAGE]
        affine = np.asarray(loaded.affine, dtype=np.float64)
        known = bool(loaded.meta.get("spacing_known", True))
        if known:
            _checked(check_axial, affine, name=str(loaded.meta.get("filename_or_obj", "the scan")))
        slices = self._probability(loaded_case)
        if known:  # slices that a split took out of a stack may be blank
            _refuse_blank(loaded, case.get(keys.SEQUENCES))
        flair = _flair_of(loaded, case.get(keys.SEQUENCES))
        doubt = (*_doubt_of_values(flair, _name_of(loaded)), *_doubt_of_size(slices.shape))
        kept = self._kept(slices)
        probability = _back(slices, affine)
        mask = (probability >= self.threshold).astype(np.uint8)
        if kept is not None:
            mask *= from_slices(kept, affine)
        filled, sequences = _filled(loaded, case.get(keys.SEQUENCES))
        confidence = confidence_of(probability, mask, self.confidence_shift)
        return Segmentation(
            image=filled,
            mask=mask,
            probability=probability,
            affine=affine,
            spacing_mm=spacing_of(affine) if known else None,
            confidence=confidence,
            sequences=sequences,
            notes=(*loaded.meta.get("notes", ()), *doubt),
            check_by_hand=confidence < self.check_below or not mask.any() or bool(doubt),
            in_doubt=bool(doubt),
        )

    def _probability(self, loaded_case: Mapping[str, Any]) -> npt.NDArray[np.float32]:
        """Return ``(H, W, D)`` in the orientation of training; what else it took is free again then."""
        if self.whole:
            return self._by_graph(loaded_case)
        image = _checked(self.preprocessing, loaded_case, start=1)[keys.IMAGE]
        logits = self.inferer(image[None].to(self.device), self.network)
        values: npt.NDArray[np.float32] = plain(logits)[0, 0].float().sigmoid_().cpu().numpy()
        if not np.isfinite(values).all():
            raise InputError(
                f"The weights in {self.model.weights} answer with numbers that are no probabilities: their "
                "training has run away. Take other weights, or train with a lower learning rate."
            )
        return values

    def _by_graph(self, loaded_case: Mapping[str, Any]) -> npt.NDArray[np.float32]:
        """Return what a graph says that prepares a study itself: it is turned, its sequences filled in."""
        image = _checked(self.preprocessing, loaded_case, start=1, end=3)[keys.IMAGE]
        _checked(require_usable, image)
        pixel_mm = torch.tensor(pixel_mm_of(image) or (0.0, 0.0), dtype=torch.float32)
        answer = self.network(plain(image).movedim(-1, 0).float().contiguous(), pixel_mm)
        values: npt.NDArray[np.float32] = answer[:, 0].movedim(0, -1).float().cpu().numpy()
        if not np.isfinite(values).all():
            raise InputError(
                f"{self.model.weights.name} answered with numbers that are no probabilities; export it again."
            )
        return values

    def _kept(self, slices: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_] | None:
        """Return where the clean-up removes nothing; None where it is off or the config has none.

        Where two findings are equally large the orientation decides, so this is that of the config too.
        """
        if self.cleanup is None or self.cleanup.is_off:
            return None
        return ~np.asarray(self.cleanup.removed(slices), dtype=np.bool_)


def _name_of(loaded: Any) -> str:
    return str(loaded.meta.get("filename_or_obj", "the scan"))


def _flair_of(loaded: Any, sequences: Sequence[str] | None) -> npt.NDArray[Any]:
    """Return FLAIR of a loaded scan, ``(H, W, D)``."""
    channels = channels_of(loaded.shape[0], sequences, _name_of(loaded))
    values: npt.NDArray[Any] = plain(loaded)[channels[keys.FLAIR]].numpy()
    return values


def _refuse_blank(loaded: Any, sequences: Sequence[str] | None) -> None:
    """Refuse a study whose FLAIR has one value everywhere; a single slice may be, at the end of a stack.

    Raises:
        InputError: it has.
    """
    flair = _flair_of(loaded, sequences)
    if flair.shape[-1] > 1 and flair.min() == flair.max():
        raise InputError(
            f"A scan shows a head, but every voxel of FLAIR in {_name_of(loaded)} is {float(flair.min()):g}; "
            "export it again, or give another file."
        )


def _doubt_of_values(flair: npt.NDArray[Any], name: str) -> tuple[str, ...]:
    """Return a note on a FLAIR of few whole values, as labels of several classes have, and on a negative.

    Raises:
        InputError: it has two values, as masks have.
    """
    values = values_of_mask(flair)
    if values is None:
        bright = f"Air is brighter than the head in FLAIR of {name}, as if black and white were exchanged; "
        return (f"{bright}check that it is a scan in which air is dark.",) if is_negative(flair) else ()
    if len(values) == 2:
        raise InputError(
            f"A scan has many grey values, but FLAIR in {name} has {values[0]:g} and {values[1]:g} alone, as "
            "masks have; name the scan that it was drawn on."
        )
    few = f"{len(values)} whole values alone"
    return (f"FLAIR in {name} has {few}, as labels have; check that it is a scan.",)


def _doubt_of_size(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return a note on slices too small to show a head.

    Example:
        >>> _doubt_of_size((64, 48, 7)), _doubt_of_size((4, 4, 2))
        ((), ('The slices are 4 x 4 pixels, too few to show a head; check that it is a scan.',))
    """
    if min(shape[:2]) >= LEAST_PIXELS:
        return ()
    return (
        f"The slices are {shape[0]} x {shape[1]} pixels, too few to show a head; check that it is a scan.",
    )


def _filled(loaded: MetaTensor, sequences: Sequence[str] | None) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Return the scan with all three channels, and which of them are more than a copy of FLAIR."""
    values = loaded.numpy()
    channels = channels_of(values.shape[0], sequences, "the scan")
    if values.shape[0] == 1:
        return np.broadcast_to(values, (len(channels), *values.shape[1:])), (keys.CHANNELS[keys.FLAIR],)
    flair = values[channels[keys.FLAIR]]
    shown = tuple(
        name
        for index, name in enumerate(keys.CHANNELS)
        if index == keys.FLAIR or not np.array_equal(values[channels[index]], flair)
    )
    return values if channels == [0, 1, 2] else values[channels], shown


def _back(slices: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Turn ``(H, W, D)`` from the orientation of training to that of the files."""
    return np.ascontiguousarray(from_slices(slices, affine), dtype=np.float32)


def _checked(transform: Any, *case: Any, **part: Any) -> Any:
    """Run transforms; what is wrong with the files becomes one sentence."""
    try:
        return transform(*case, **part)
    except MemoryError as error:
        raise InputError(
            "The study needs more memory than there is; close other programs or save it smaller."
        ) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(root_cause(error)) from error
