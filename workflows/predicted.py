"""An output folder of an earlier ``predict`` in, the studies that need not be segmented again out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..transforms import keys
from .environment import version_of
from .files import InputError
from .inputs import is_slice_stack, place_of
from .models import Model

PLACES: Final = ("bundle_root", "dataset_dir", "output_dir", "device", "weights")
"""Ids of an inference config that decide where something is done, and not what comes out."""


def settings_sha256(model: Model, **options: Any) -> str:
    """Return the hash of all that decides what is written of a study, beside its files.

    Args:
        model: whose weights and inference config count, but not the places that it names.
        **options: of the call.
    """
    config = {name: value for name, value in model.parser().get().items() if name not in PLACES}
    decides = {"model": model.sha256, "config": config, "version": version_of("gliomaseg"), **options}
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()


def finished_before(
    output: Path, studies: Sequence[Mapping[str, Any]], settings: str
) -> dict[str, dict[str, Any]]:
    """Return rows of results.json that still hold, by patient.

    A row holds where the study still comes from the same place, all that was written of it is there, and
    none of its files is newer than its mask.

    Args:
        output: folder of the earlier call; it may be missing or empty.
        studies: that are to be segmented now.
        settings: of ``settings_sha256``, for the call that goes on.

    Raises:
        InputError: results.json cannot be read, or was written with another model or other settings.
    """
    path = output / "results.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = {str(row["patient"]): dict(row) for row in content["studies"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no results.json of predict, so nothing can go on from it; leave out --resume, or "
            "name another --output."
        ) from error
    if content.get("settings_sha256") != settings:
        raise InputError(
            f"{path} was written by another model, version or with other options, and results of both would "
            "stand side by side; leave out --resume to do all studies again, or name another --output."
        )
    return {
        str(case[keys.PATIENT]): rows[str(case[keys.PATIENT])]
        for case in studies
        if _holds(case, rows, output)
    }


def _holds(case: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], output: Path) -> bool:
    row = rows.get(str(case[keys.PATIENT]))
    if row is None or row["input"] != place_of(case):
        return False
    written, scan = Path(row["output"]), case[keys.IMAGE]
    scans = [Path(name) for name in ([scan] if isinstance(scan, str) else scan)]
    masks = (
        [written / f"{name.stem}_mask{name.suffix}" for name in scans] if is_slice_stack(case) else [written]
    )
    overlay = output / "overlays" / f"{case[keys.PATIENT]}.png"
    if not all(file.is_file() for file in [*masks, *scans, overlay]):
        return False
    return max(_time(scan) for scan in scans) <= min(_time(mask) for mask in masks)


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns
