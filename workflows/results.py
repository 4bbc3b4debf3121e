"""A segmentation in, its masks and its row of the table out, each file whole or not there."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from PIL import Image

from ..transforms import keys
from ..transforms.nifti import is_nifti
from ..transforms.space import to_slices
from .ensemble import Ensemble
from .folders.records import is_slice_stack, place_of
from .folders.sequence_files import volume_of
from .folders.slices import ENDINGS as LOSSLESS_ENDINGS
from .folders.studies import NOTES
from .folders.volume_names import stem_of
from .resuming.fingerprints import versions
from .segment import Segmentation, Segmenter
from .system import files
from .system.environment import version_of
from .system.shard import Shard

COLUMNS = (
    "patient",
    "input",
    "output",
    "slices",
    "slices_with_abnormality",
    "volume_voxels",
    "volume_ml",
    "confidence",
    "check_by_hand",
    "sequences",
    "spacing_mm",
    "notes",
    "model_sha256",
    "version",
)
"""Columns of results.csv and keys of results.json, one row or object a study."""

TAKEN = re.compile(r"overlays|results(-\d+-of-\d+)?\.(csv|json)", re.IGNORECASE)
"""Names within the output that no study may have."""

KINDS = ("mask", "probability")
"""Of what is written of a study, and how the names of the files end."""

GRANULARITY = 65535
"""Steps of a probability in the 16-bit pictures written for slices."""


def write_masks(
    case: Mapping[str, Any], segmentation: Segmentation, folder: Path, probabilities: bool = False
) -> Path:
    """Write the mask of a study in the format and on the grid of its scan.

    Slices give ``<slice>_mask`` files, uint8 with 0 and 255, as the data set has them: TIFF and PNG of the
    same kind, PNG for slices of other kinds. Where two slices are called alike, in several folders, their
    place in the study stands before the name.
    Volumes and DICOM give a uint8 NIfTI with 0 and 1 and the scan's affine.

    Args:
        case: the record.
        segmentation: of it.
        folder: where the files go.
        probabilities: also write them: ``<slice>_probability`` with 16 bits, 65535 for 1; a float32 NIfTI
            for volumes.

    Returns:
        The folder, or the file for a volume.
    """
    masks, probable = places_to_write(case, folder)
    if is_slice_stack(case):
        for depth, (mask, probability) in enumerate(zip(masks, probable, strict=True)):
            _write_slice(mask, segmentation.mask[..., depth] * np.uint8(255))
            if probabilities:
                steps = (segmentation.probability[..., depth] * GRANULARITY).round().astype(np.uint16)
                _write_slice(probability, steps)
        return folder
    if probabilities:
        _write_volume(probable[0], segmentation.probability, segmentation.affine, volume_of(case))
    _write_volume(masks[0], segmentation.mask, segmentation.affine, volume_of(case))
    return masks[0]


def places_to_write(case: Mapping[str, Any], folder: Path) -> tuple[list[Path], list[Path]]:
    """Return where ``write_masks`` writes the masks of a study, and where its probabilities.

    Args:
        case: the record.
        folder: where the files go.
    """
    scan = case[keys.IMAGE]
    if is_slice_stack(case):
        names = [(Path(name).stem, _lossless(Path(name).suffix)) for name in scan]
        if len({f"{stem}{end}".lower() for stem, end in names}) < len(names):  # of several folders
            names = [(f"{place:04d}_{stem}", end) for place, (stem, end) in enumerate(names, 1)]
    else:
        stem = stem_of(Path(scan).name) if isinstance(scan, str) else str(case[keys.PATIENT])
        names = [(stem, ".nii.gz")]
    masks, probable = ([folder / f"{stem}_{kind}{end}" for stem, end in names] for kind in KINDS)
    return masks, probable


def _lossless(ending: str) -> str:
    """Return the ending of a mask for that of its slice: of a format that blurs nothing and has 16 bits.

    Example:
        >>> _lossless(".TIF"), _lossless(".jpg"), _lossless(".bmp")
        ('.TIF', '.png', '.png')
    """
    return ending if ending.lower() in LOSSLESS_ENDINGS else ".png"


def describe(
    case: Mapping[str, Any], segmentation: Segmentation, written: Path, model_sha256: str
) -> dict[str, Any]:
    """Return the row of a study, with the keys ``COLUMNS``."""
    volume_ml, spacing = segmentation.volume_ml, segmentation.spacing_mm
    slices = to_slices(segmentation.mask, segmentation.affine)
    return {
        "patient": case[keys.PATIENT],
        "input": place_of(case),
        "output": str(written),
        "slices": slices.shape[-1],
        "slices_with_abnormality": int(slices.any(axis=(0, 1)).sum()),
        "volume_voxels": segmentation.volume_voxels,
        "volume_ml": None if volume_ml is None else round(volume_ml, 3),
        "confidence": round(segmentation.confidence, 4),
        "check_by_hand": segmentation.check_by_hand,
        "sequences": list(segmentation.sequences),
        "spacing_mm": None if spacing is None else [round(size, 4) for size in spacing],
        "notes": notes_on(case, segmentation),
        "model_sha256": model_sha256,
        "version": version_of("gliomaseg"),
    }


def notes_on(case: Mapping[str, Any], segmentation: Segmentation) -> list[str]:
    """Return what a reader of the result should know, one sentence each."""
    missing = [name for name in keys.CHANNELS if name not in segmentation.sequences]
    gaps = missing_slices(case.get("slices", ()))
    stood_in = [f"FLAIR stood in for {' and '.join(missing)}."] if missing else []
    return [*case.get(NOTES, ()), *gaps, *segmentation.notes, *stood_in, *nothing_outlined(segmentation)]


def missing_slices(numbers: Sequence[int]) -> list[str]:
    """Return a sentence where the numbers of slice files leave some out.

    Example:
        >>> missing_slices([1, 2, 3, 7, 8])
        ['By their numbers 3 slices are missing, such as 4; a lesion there is not counted.']
    """
    there = set(numbers)
    missing = sorted(set(range(min(there, default=0), max(there, default=0))) - there)
    if not missing or len(missing) > len(there):  # numbered in steps, or picked by somebody
        return []
    are = "1 slice is" if len(missing) == 1 else f"{len(missing)} slices are"
    return [f"By their numbers {are} missing, such as {missing[0]}; a lesion there is not counted."]


def nothing_outlined(segmentation: Segmentation) -> list[str]:
    """Return a sentence where there is no outline, which may be a lesion that was missed."""
    return [] if segmentation.mask.any() else ["Nothing is outlined; look whether a lesion was missed."]


def write_results(
    output: Path,
    rows: Sequence[Mapping[str, Any]],
    failed: Sequence[Mapping[str, Any]] = (),
    shard: Shard | None = None,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write results.csv and results.json, each whole or not at all.

    Args:
        output: folder.
        rows: of ``describe``.
        failed: patient, input and reason of studies that could not be segmented.
        shard: whose tables they are; it goes into their names, so that shards may have one output.
        about: how they were made, for results.json; see ``how``.
    """
    results = results_name(shard)
    files.write_text(output / f"{results}.csv", table_of(COLUMNS, rows))
    content = {
        "note": "Not for diagnosis.",
        "versions": versions(),
        **about,
        "studies": list(rows),
        "failed": list(failed),
    }
    files.write_json(output / f"{results}.json", content)


def how(segmenter: Segmenter | Ensemble, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what results.json tells of how masks were made, beside the versions of the packages.

    Args:
        segmenter: that makes them. A few voxels hang on the number type that it computes in.
        settings: ids of the model's config that were given other values for this call.
    """
    computed = {"device": segmenter.device.type, "dtype": segmenter.dtype}
    return {"settings": dict(settings), "computed": computed}


def results_name(shard: Shard | None) -> str:
    """Return the name of the tables, without its ending.

    >>> results_name(None), results_name(Shard(3, 8))
    ('results', 'results-3-of-8')
    """
    return "results" if shard is None else f"results-{shard.name}"


def table_of(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV, lists with semicolons between; what is in no column is left out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return "; ".join(map(str, value)) if isinstance(value, list) else value


def _write_slice(path: Path, pixels: npt.NDArray[Any]) -> None:
    with files.replace_atomically(path) as temporary:
        Image.fromarray(pixels).save(temporary)


def _write_volume(
    path: Path, values: npt.NDArray[Any], affine: npt.NDArray[np.float64], source: str | None
) -> None:
    """Write a NIfTI file; where the scan is one too, with its codes and exactly its affine."""
    files.write_nifti(path, values, affine, None if source is None else _header_like(source, affine))


def _header_like(source: str, affine: npt.NDArray[np.float64]) -> Any:
    """Return the geometry of a file's header; None where it has none, or another unit of length than ours."""
    if not is_nifti(source):
        return None
    scan = nib.load(source)
    if not np.allclose(scan.affine, affine, rtol=0, atol=1e-6):
        return None
    header = scan.header.copy()
    header.extensions.clear()
    for name in ("cal_max", "cal_min", "intent_code"):
        header[name] = 0
    for name in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        header[name] = b""
    return header
