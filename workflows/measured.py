"""What an evaluation has measured of a case in, the same at the next call out, should this one be cut off."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..transforms import keys
from . import files
from .calibration import CalibrationCounts
from .metrics import CaseFigures

FOLDER: Final = "unfinished"
"""Within the output, while an evaluation is not finished."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """A case that was measured.

    Attributes:
        figures: of it.
        strip: picture for the report, ``(H, W, 3)`` uint8.
        frames: animation through it, empty where an earlier case has a larger lesion; ``(H, W, 3)`` uint8.
    """

    figures: CaseFigures
    strip: npt.NDArray[np.uint8]
    frames: Sequence[npt.NDArray[np.uint8]] = ()


class Measurements:
    """Cases measured so far, each in a file; cases whose files or settings have changed are not found.

    Args:
        output: folder of the evaluation.
        settings: all that decides what is measured, beside the files of a case.
        resume: whether those of an earlier call count.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any], resume: bool = False) -> None:
        self.folder = output / FOLDER
        self._settings = json.dumps(settings, sort_keys=True, default=str)
        if not resume:
            self.clear()

    def find(self, case: Mapping[str, Any]) -> Measured | None:
        """Return a case as it was measured before, None where it was not or cannot be read."""
        try:
            with self._path(case).open("rb") as stream, np.load(stream, allow_pickle=False) as content:
                figures = _figures(json.loads(str(content["figures"])))
                return Measured(figures, content["strip"], list(content["frames"]))
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None

    def keep(self, case: Mapping[str, Any], measured: Measured) -> None:
        """Write a case down."""
        with files.replace_atomically(self._path(case)) as temporary:
            np.savez_compressed(
                temporary,
                figures=np.array(json.dumps(dataclasses.asdict(measured.figures))),
                strip=measured.strip,
                frames=np.stack(measured.frames) if len(measured.frames) else np.zeros(0, np.uint8),
            )

    def clear(self) -> None:
        """Forget everything; the evaluation is finished, or begins afresh."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, case: Mapping[str, Any]) -> Path:
        names = [
            name
            for key in (keys.IMAGE, keys.LABEL)
            for name in ([case[key]] if isinstance(case[key], str) else case[key])
        ]
        found = ((str(name), Path(name).stat()) for name in names)
        stamps = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]
        written = json.dumps([self._settings, case, stamps], sort_keys=True, default=str)
        return self.folder / f"{hashlib.sha256(written.encode()).hexdigest()}.npz"


def _figures(values: Mapping[str, Any]) -> CaseFigures:
    """Return figures that went through JSON, which knows lists alone."""
    fields = _with_tuples(values)
    if fields["calibration"] is not None:
        fields["calibration"] = CalibrationCounts(**_with_tuples(fields["calibration"]))
    return CaseFigures(**fields)


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
