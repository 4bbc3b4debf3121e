"""Slices and folders of a person in, masks in the same format, overlays and tables out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from ..transforms import keys
from . import animation, files, pictures
from .datalist import find_cases
from .environment import version_of
from .files import InputError
from .segment import Segmentation, Segmenter
from .slices import parse_name

SLICE_ENDINGS = (".tif", ".tiff", ".png")
VOLUME_ENDINGS = (".nii.gz", ".nii")

COLUMNS = (
    "patient",
    "input",
    "output",
    "slices",
    "slices_with_abnormality",
    "volume_voxels",
    "volume_ml",
    "confidence",
    "model_sha256",
    "version",
)
"""Columns of results.csv and keys of results.json, one row or object a study."""


@dataclass(frozen=True)
class Prediction:
    """What was written for one study."""

    row: dict[str, Any]
    segmentation: Segmentation


def predict_studies(inputs: Sequence[Path], output: Path, segmenter: Segmenter) -> list[dict[str, Any]]:
    """Segment all studies that the inputs name and write masks, overlays, results.csv and results.json.

    Args:
        inputs: slice files, volumes, patient folders, or folders of patients.
        output: folder for everything; masks go to ``output/<patient>/``.
        segmenter: does the work.

    Returns:
        The rows of results.csv.

    Raises:
        InputError: an input cannot be used, or two studies would be written to one place; nothing has been
            written then. Or the files of a study cannot be read; what was finished before it is kept.
    """
    studies = list(find_studies_to_predict(inputs))
    _check_studies(studies)
    rows = []
    for case in tqdm(studies, desc="segmenting", unit="study", dynamic_ncols=True, disable=len(studies) < 2):
        segmentation = segmenter(case)
        written = write_masks(case, segmentation, output / str(case[keys.PATIENT]))
        picture = pictures.strip(_with_flair(segmentation.image), None, segmentation.mask)
        animation.write_png(output / "overlays" / f"{case[keys.PATIENT]}.png", picture)
        rows.append(describe(case, segmentation, written, segmenter.model.sha256))
        write_results(output, rows)
    return rows


def find_studies_to_predict(inputs: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield a record for each study; loose slices of one folder and stem are one study.

    Raises:
        InputError: an input is missing or of a kind that cannot be read.
    """
    loose: list[Path] = []
    for path in inputs:
        if path.is_dir():
            yield from find_cases(path)
        elif not path.is_file():
            raise InputError(f"There is no file or folder at {path}; check the path.")
        elif path.name.lower().endswith(VOLUME_ENDINGS):
            yield {keys.PATIENT: _bare(path.name), keys.IMAGE: str(path)}
        elif path.suffix.lower() in SLICE_ENDINGS:
            loose.append(path)
        else:
            raise InputError(
                f"{path} is no scan that can be read: expected slices ({', '.join(SLICE_ENDINGS)}), "
                f"a volume ({', '.join(VOLUME_ENDINGS)}) or a folder of them."
            )
    yield from _group_loose(loose)


def write_masks(case: Mapping[str, Any], segmentation: Segmentation, folder: Path) -> Path:
    """Write the mask of a study in the format of its scan.

    Slices give ``<slice>_mask`` files of the same kind, uint8 with 0 and 255, as the data set has them; a
    volume gives a uint8 NIfTI with 0 and 1 and the scan's affine.

    Returns:
        The folder, or the file for a volume.
    """
    scan = case[keys.IMAGE]
    if isinstance(scan, str):
        target = folder / f"{_bare(Path(scan).name)}_mask.nii.gz"
        with files.replace_atomically(target) as temporary:
            nib.save(nib.Nifti1Image(segmentation.mask, segmentation.affine), temporary)
        return target
    for depth, name in enumerate(scan):
        source = Path(name)
        _write_slice(folder / f"{source.stem}_mask{source.suffix}", segmentation.mask[..., depth])
    return folder


def describe(
    case: Mapping[str, Any], segmentation: Segmentation, written: Path, model_sha256: str
) -> dict[str, Any]:
    """Return the row of a study, with the keys ``COLUMNS``."""
    volume_ml = segmentation.volume_ml
    return {
        "patient": case[keys.PATIENT],
        "input": _place_of(case),
        "output": str(written),
        "slices": segmentation.mask.shape[-1],
        "slices_with_abnormality": int(segmentation.mask.any(axis=(0, 1)).sum()),
        "volume_voxels": segmentation.volume_voxels,
        "volume_ml": None if volume_ml is None else round(volume_ml, 3),
        "confidence": round(segmentation.confidence, 4),
        "model_sha256": model_sha256,
        "version": version_of("gliomaseg"),
    }


def write_results(output: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write results.csv and results.json, each whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(output / "results.csv", text.getvalue())
    files.write_json(output / "results.json", {"note": "Not for diagnosis.", "studies": list(rows)})


def _check_studies(studies: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to start with nothing to do, or where one study would be written over another."""
    if not studies:
        raise InputError("There is nothing to segment: the files given are masks; name the scans themselves.")
    seen: dict[str, str] = {}
    for case in studies:
        patient, place = str(case[keys.PATIENT]), _place_of(case)
        if patient in seen:
            raise InputError(
                f"Every study needs a name of its own, but {seen[patient]} and {place} are both {patient}; "
                "segment them one after the other, each with its own --output."
            )
        seen[patient] = place


def _place_of(case: Mapping[str, Any]) -> str:
    scan = case[keys.IMAGE]
    return scan if isinstance(scan, str) else str(Path(scan[0]).parent)


def _with_flair(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an image with a channel at ``keys.FLAIR``; a single channel is FLAIR itself."""
    return np.repeat(image, len(keys.CHANNELS), axis=0) if image.shape[0] == 1 else image


def _bare(volume: str) -> str:
    return volume[: volume.lower().rindex(".nii")]


def _write_slice(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    with files.replace_atomically(path) as temporary:
        Image.fromarray(mask * np.uint8(255)).save(temporary)


def _group_loose(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Put loose slice files together by folder and by their name up to the number."""
    groups: dict[tuple[Path, str], list[tuple[int, Path]]] = {}
    for path in (given.absolute() for given in paths):
        parsed = parse_name(path.name)
        if parsed is None:
            name, order = path.stem, 0
        elif parsed.is_mask:
            continue
        else:
            name, order = parsed.patient or path.parent.name, parsed.number
        groups.setdefault((path.parent, name), []).append((order, path))
    for (_, name), members in groups.items():
        ordered = sorted(members)
        yield {
            keys.PATIENT: name,
            keys.IMAGE: [str(path) for _, path in ordered],
            "slices": [order for order, _ in ordered],
        }
