"""A record of a study in, what kind of scan it has and where that lies out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...transforms import keys
from .slices import ENDINGS as SLICE_ENDINGS
from .slices import PICTURE_ENDINGS
from .studies import Record
from .volume_names import is_volume


def place_of(case: Mapping[str, Any]) -> str:
    """Return the file or the folder that a record came from; the one of all series of a DICOM study."""
    scan = case[keys.IMAGE]
    names = [scan] if isinstance(scan, str) else scan
    if len(names) == 1 and not is_slice_stack(case):
        return str(names[0])
    if is_dicom_study(case):
        return os.path.commonpath([Path(name).parent for name in names])
    return str(Path(names[0]).parent)


def folder_of(record: Record) -> Path:
    """Return the folder that a study, or its first file, lies in."""
    scan = record[keys.IMAGE]
    return Path(scan if isinstance(scan, str) else scan[0]).absolute().parent


def is_slice_stack(case: Mapping[str, Any]) -> bool:
    """Return whether a record is a stack of slice files, and not volumes or DICOM."""
    scan = case[keys.IMAGE]
    return not isinstance(scan, str) and Path(scan[0]).suffix.lower() in (
        *SLICE_ENDINGS,
        *PICTURE_ENDINGS[:8],
    )


def is_dicom_study(record: Mapping[str, Any]) -> bool:
    """Return whether the scans of a record are DICOM."""
    scan = record[keys.IMAGE]
    return not isinstance(scan, str) and not is_slice_stack(record) and not is_volume(scan[0])
