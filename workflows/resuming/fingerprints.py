"""A case and a way of working in, a name out that is another one as soon as either has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ...transforms import keys
from ..ensemble import Ensemble
from ..segment import Segmenter
from ..system.environment import version_of

PACKAGES: Final = ("gliomaseg", "torch", "monai", "nibabel", "pydicom", "numpy")
"""Whose versions decide what comes out; they stand in results.json."""

PLACES: Final = ("bundle_root", "dataset_dir", "output_dir", "device", "weights")
"""Ids of an inference config that say where something is done or lies, and not what comes out."""

Stamp = tuple[str, int, int]
"""Of a file: where it is, how large, and when it was written in nanoseconds."""


def stamp(path: str | Path, below: Path | None = None) -> Stamp:
    """Return the stamp of a file.

    Args:
        path: of the file.
        below: folder that its place is told from; without one it is told from the root.

    Raises:
        OSError: it is not there.
    """
    stat = Path(path).stat()
    place = Path(path).absolute() if below is None else Path(path).relative_to(below)
    return str(place), stat.st_size, stat.st_mtime_ns


def settings_of(segmenter: Segmenter | Ensemble) -> dict[str, Any]:
    """Return all that decides what a Segmenter says of a study."""
    if isinstance(segmenter, Ensemble):
        mixed = {
            "threshold": segmenter.threshold,
            "temperature": segmenter.temperature,
            "confidence_shift": segmenter.confidence_shift,
        }
        return {"members": [settings_of(member) for member in segmenter.members], **mixed}
    config = {name: value for name, value in segmenter.model.parser().get().items() if name not in PLACES}
    return {
        "model": segmenter.model.sha256,
        "config": config,
        "device": segmenter.device.type,
        "dtype": segmenter.dtype,
        **versions(),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of ``PACKAGES``, None for what is not there."""
    return {name: version_of(name) for name in PACKAGES}


def fingerprint(case: Mapping[str, Any], settings: Mapping[str, Any], others: Iterable[str] = ()) -> str:
    """Return 64 hexadecimal digits for a record, its files as they are now, and a way of working.

    Args:
        case: the record; the stamps of its scans and masks count, and all that it says else.
        settings: the way of working.
        others: further files that count.

    Raises:
        OSError: a file is not there.
    """
    said = {name: value for name, value in case.items() if name not in (keys.IMAGE, keys.LABEL)}
    stamps = {name: [stamp(path) for path in paths_of(case.get(name))] for name in (keys.IMAGE, keys.LABEL)}
    words = [settings, said, stamps, [stamp(path) for path in others]]
    return hashlib.sha256(json.dumps(words, sort_keys=True, default=str).encode()).hexdigest()


def paths_of(value: Any) -> list[str]:
    """Return the paths that a record has under a key: of one file, of several, or of none."""
    if value is None:
        return []
    return [str(value)] if isinstance(value, str | Path) else [str(path) for path in value]
