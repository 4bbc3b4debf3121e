"""An upload in, its masks, tables and slices to look at out: what the worker does with a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..transforms import keys
from ..transforms.space import axial_spacing, to_slices
from ..workflows import pictures
from ..workflows.ensemble import Ensemble
from ..workflows.inferers import asking
from ..workflows.per_patient import natural_key
from ..workflows.predict import predict_studies
from ..workflows.results import how, write_results
from ..workflows.segment import Segmentation, Segmenter
from ..workflows.system.causes import is_last, users_fault
from ..workflows.system.files import InputError, OurFaultError
from .hearing import heard
from .jobs import Goes, Job
from .refusals import UnknownError, require_known

FILL: Final = 0.25
"""How strongly the outlined area is filled on the page."""


class Outliner:
    """Outline the studies of a job, as ``gliomaseg predict`` does.

    Args:
        segmenter: does the work.
        settings: what it does otherwise than its model's config says; results.json tells it.
    """

    def __init__(
        self, segmenter: Segmenter | Ensemble, settings: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.segmenter = segmenter
        self.settings = settings

    def __call__(self, job: Job, goes: Goes) -> None:
        """Do a job; see ``jobs.Work``.

        Raises:
            InputError: nothing could be read, or some studies could not; the others are done then.
            StoppedError: it shall stop.
        """

        def watch(
            done: int, studies: int, case: Mapping[str, Any] | None, segmentation: Segmentation | None
        ) -> None:
            if case is not None and segmentation is not None:
                patient = str(case[keys.PATIENT])
                job.largest[patient] = _keep_slices(job.pictures, patient, segmentation)
                job.files[patient] = _masks_in(job.output, patient)
            if done:
                text = (job.output / "results.json").read_text(encoding="utf-8")
                job.results = stripped(json.loads(text), job)
            job.done, job.studies = done, studies
            goes()

        found = [_uploaded(job.input)]
        try:
            with asking(goes), heard() as job.notes:
                predict_studies(
                    found,
                    job.output,
                    self.segmenter,
                    wanted=job.wanted,
                    dicom_seg=job.dicom_seg,
                    rtstruct=job.rtstruct,
                    probabilities=job.probabilities,
                    watch=watch,
                    within=job.input,
                    settings=self.settings,
                )
        except InputError as error:
            kind = OurFaultError if isinstance(error, OurFaultError) else InputError
            raise kind(without_folder(str(error), job)) from error
        except (RuntimeError, MemoryError, OSError) as error:
            words = users_fault(error)
            if words is None or is_last(error):
                raise
            raise OurFaultError(without_folder(words, job)) from error
        finally:
            if job.results:  # the tables are handed out as well
                about = how(self.segmenter, self.settings)
                write_results(job.output, job.results["studies"], job.results["failed"], about=about)


def _uploaded(folder: Path) -> Path:
    """Return what was uploaded: the one file or folder that lies there, or the folder of all."""
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 else folder


def without_folder(words: str, job: Job) -> str:
    """Return words in which files are called as they were uploaded.

    Example:
        >>> without_folder("/tmp/a/input/scan.nii is empty.", Job("a", Path("/tmp/a")))
        'scan.nii is empty.'
    """
    for folder in (job.input, job.output):
        words = words.replace(f"{folder}/", "").replace(str(folder), "the upload")
    return words


def stripped(value: Any, job: Job) -> Any:
    """Return a value of JSON in which files are called as they were uploaded, see ``without_folder``."""
    if isinstance(value, dict):
        return {name: stripped(inner, job) for name, inner in value.items()}
    if isinstance(value, list):
        return [stripped(inner, job) for inner in value]
    return without_folder(value, job) if isinstance(value, str) else value


def _masks_in(output: Path, patient: str) -> list[str]:
    names = [path.relative_to(output).as_posix() for path in (output / patient).iterdir()]
    return sorted(names, key=natural_key)


def _keep_slices(folder: Path, patient: str, segmentation: Segmentation) -> int | None:
    """Write FLAIR in 8 bits and the mask, ``(D, H, W)`` as radiologists look at slices.

    Returns:
        The slice with the largest outline, from 1; None where nothing was found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image = segmentation.image if segmentation.image.shape[0] > 1 else segmentation.image[[0, 0, 0]]
    gray = pictures.to_gray(to_slices(image, segmentation.affine))
    mask = to_slices(segmentation.mask, segmentation.affine)
    pixel_mm = axial_spacing(segmentation.affine)[:2] if segmentation.spacing_mm else (1.0, 1.0)
    np.save(folder / f"{patient}.pixel.npy", np.array(pixel_mm))
    for name, values in (("gray", gray), ("mask", mask)):
        np.save(folder / f"{patient}.{name}.npy", np.ascontiguousarray(np.moveaxis(values, -1, 0)))
    return int(mask.sum(axis=(0, 1)).argmax()) + 1 if mask.any() else None


def draw_slice(job: Job, patient: str, number: int, outlined: bool = True) -> npt.NDArray[np.uint8]:
    """Return a slice ``(H, W, 3)`` uint8, with the outline if wanted.

    Args:
        job: in which it was segmented.
        patient: of the job.
        number: of the slice, from 1.
        outlined: whether the outline is drawn.

    Raises:
        UnknownError: there is no such patient or slice.
    """
    require_known("study", patient, [str(study["patient"]) for study in job.results.get("studies", [])])
    gray, mask = (np.load(job.pictures / f"{patient}.{name}.npy", mmap_mode="r") for name in ("gray", "mask"))
    if not 1 <= number <= len(gray):
        raise UnknownError(f"The slices of {patient} are 1 to {len(gray)}, but {number} was asked for.")
    height, width = np.load(job.pictures / f"{patient}.pixel.npy").tolist()
    shown = pictures.square_pixels(np.asarray(gray[number - 1]), (height, width))
    drawn = pictures.square_pixels(mask[number - 1], (height, width), mask=True) if outlined else None
    return pictures.overlay(shown, pred=drawn, alpha=FILL)
