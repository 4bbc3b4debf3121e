"""A segmentation in, the mask file that a viewer asked for out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from monai.data import ITKWriter

from ..transforms import keys
from ..transforms.nifti import is_nifti
from ..workflows.folders.slices import ENDINGS as SLICE_ENDINGS
from ..workflows.folders.studies import REFUSED, Record
from ..workflows.folders.volume_names import is_volume
from ..workflows.inputs import find_studies_to_predict
from ..workflows.results import notes_on, write_masks
from ..workflows.segment import Segmentation
from ..workflows.system.files import InputError

ITK_ENDINGS: Final = (".nrrd", ".mha", ".nii", ".nii.gz")
"""Endings that a viewer may ask for; 3D Slicer and OHIF ask for ``.nrrd``."""

DTYPES: Final = ("uint8", "uint16")
"""Number types that a viewer may ask for."""


def record_of(path: str | Path) -> Record:
    """Return the record of one study: a picture, a volume, or a folder of DICOM or slices.

    Raises:
        InputError: there is nothing at the path, it cannot be read, or it holds several studies. A folder
            whose headers do not tell which series is which is refused when it is segmented.
    """
    scan = Path(path)
    if scan.is_file() and scan.suffix.lower() in SLICE_ENDINGS:
        return {keys.PATIENT: scan.stem, keys.IMAGE: [str(scan)]}
    found = find_studies_to_predict([scan])
    if len(found) != 1:
        raise InputError(
            f"One study is segmented at a time, but {scan} holds {len(found)}; name one of them."
        )
    if scan.is_file() and is_volume(scan.name):  # its name is that of a study, and shows no sequence
        return {key: value for key, value in found[0].items() if key != REFUSED}
    return found[0]


def write_answer(
    case: Record, segmentation: Segmentation, ending: str | None = None, dtype: str | None = None
) -> Path:
    """Write a mask as a temporary file that the caller removes.

    Without wishes it is byte for byte what ``gliomaseg predict`` writes: for a picture one of the same kind,
    for a volume a NIfTI file of 0 and 1, on the grid of the scan. A stack of pictures is a volume here.

    Args:
        case: of ``record_of``.
        segmentation: of the case.
        ending: of the file, one of ``ITK_ENDINGS``; pictures may be asked for by their own.
        dtype: one of ``DTYPES``.

    Raises:
        InputError: a wish that cannot be met.
    """
    _check_wishes(ending, dtype)
    folder = Path(tempfile.mkdtemp(prefix="gliomaseg-"))
    try:
        written = write_masks(case, segmentation, folder)
        files = sorted(written.iterdir()) if written.is_dir() else [written]
        own = ".nii.gz" if is_nifti(files[0].name) or len(files) > 1 else files[0].suffix
        wish = own if ending is None or ending == own.lower() else ending
        if len(files) == 1 and wish == own and dtype in (None, "uint8"):
            return _moved_out(files[0], own)
        wished = folder / f"wished{wish}"
        _write_as(wished, segmentation, dtype or "uint8")
        return _moved_out(wished, wish)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def facts_about(case: Mapping[str, Any], segmentation: Segmentation, model_sha256: str) -> dict[str, Any]:
    """Return what stands beside a mask in an answer."""
    return {
        "label_names": {keys.CLASSES[1]: 1},
        "confidence": round(segmentation.confidence, 4),
        "volume_voxels": segmentation.volume_voxels,
        "volume_ml": None if segmentation.volume_ml is None else round(segmentation.volume_ml, 3),
        "sequences": list(segmentation.sequences),
        "notes": notes_on(case, segmentation),
        "model_sha256": model_sha256,
        "note": "Not for diagnosis.",
    }


def _check_wishes(ending: str | None, dtype: str | None) -> None:
    if ending is not None and ending not in (*ITK_ENDINGS, *SLICE_ENDINGS):
        raise InputError(
            f"A mask is written as {', '.join(ITK_ENDINGS)} or in the format of a picture, but {ending} was "
            "asked for; leave result_extension out."
        )
    if dtype is not None and dtype not in DTYPES:
        raise InputError(
            f"A mask is written as {' or '.join(DTYPES)}, but {dtype} was asked for; leave result_dtype out."
        )


def _write_as(path: Path, segmentation: Segmentation, dtype: str) -> None:
    """Write 0 and 1 with ITK on the grid of the scan; pictures cannot hold a grid."""
    if path.suffix.lower() in SLICE_ENDINGS:
        raise InputError(
            f"A volume has no place in a picture such as {path.suffix}; leave result_extension and "
            "result_dtype out."
        )
    writer = ITKWriter(output_dtype=np.dtype(dtype), affine_lps_to_ras=True)
    writer.set_data_array(segmentation.mask, channel_dim=None, squeeze_end_dims=False)
    writer.set_metadata({"affine": segmentation.affine}, resample=False)
    writer.write(str(path))


def _moved_out(path: Path, ending: str) -> Path:
    """Move a file to where whoever asked for it takes it from; only its owner may read it."""
    with tempfile.NamedTemporaryFile(prefix="gliomaseg-", suffix=ending, delete=False) as target:
        path.chmod(0o600)
        shutil.move(path, target.name)
        return Path(target.name)
