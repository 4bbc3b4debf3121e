"""What an evaluation has measured of a case in, the same at the next call out, should this one be cut off."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..measures.calibration import CalibrationCounts
from ..measures.lesions import LesionCounts
from ..metrics import CaseFigures
from ..system import files
from .fingerprints import fingerprint

FOLDER: Final = ".gliomaseg-measured"
"""Within the output, while an evaluation is not finished."""

NAMES: Final = re.compile(r"[0-9a-f]{64}\.npz|\.partial-.*\.npz")
"""Of the files in it that are ours."""


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
        others: names further files that a case is measured by, such as masks of another program.
    """

    def __init__(
        self,
        output: Path,
        settings: Mapping[str, Any],
        resume: bool = False,
        others: Callable[[Mapping[str, Any]], Sequence[str]] | None = None,
    ) -> None:
        self.folder = output / FOLDER
        self.count = 0
        self._settings = settings
        self._resume = resume
        self._others = others

    def find(self, case: Mapping[str, Any]) -> Measured | None:
        """Return a case as it was measured before, None where it was not or cannot be read."""
        if not self._resume:
            return None
        try:
            with self._path(case).open("rb") as stream, np.load(stream, allow_pickle=False) as content:
                figures = _figures(json.loads(str(content["figures"])))
                measured = Measured(figures, content["strip"], list(content["frames"]))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
            return None
        self.count += 1
        return measured

    def place(self, case: Mapping[str, Any]) -> Path | None:
        """Return where a case goes, its files being as they are now; ask before it is read.

        None where a file is not there, which whoever reads it will say.
        """
        try:
            return self._path(case)
        except (OSError, files.InputError):
            return None

    def keep(self, place: Path, measured: Measured) -> None:
        """Write a case down."""
        with files.replace_atomically(place) as temporary:
            np.savez_compressed(
                temporary,
                figures=np.array(json.dumps(dataclasses.asdict(measured.figures))),
                strip=measured.strip,
                frames=np.stack(measured.frames) if len(measured.frames) else np.zeros(0, np.uint8),
            )

        self.count += 1

    def clear(self) -> None:
        """Forget everything; the evaluation is finished."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if NAMES.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody else's files are in it
                self.folder.rmdir()

    def _path(self, case: Mapping[str, Any]) -> Path:
        others = self._others(case) if self._others else ()
        return self.folder / f"{fingerprint(case, self._settings, others)}.npz"


def _figures(values: Mapping[str, Any]) -> CaseFigures:
    """Return figures that went through JSON, which knows lists alone."""
    fields = _with_tuples(values)
    if fields["calibration"] is not None:
        fields["calibration"] = CalibrationCounts(**_with_tuples(fields["calibration"]))
    if fields["lesions"] is not None:
        fields["lesions"] = LesionCounts(**fields["lesions"])
    return CaseFigures(**fields)


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
