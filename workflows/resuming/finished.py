"""A study that has been written in, its row at the next call out, as long as nothing of it has changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ..folders.records import place_of
from ..folders.studies import REFUSED
from ..system.files import write_json
from .fingerprints import fingerprint, stamp

FOLDER: Final = ".gliomaseg-finished"
"""Within the output; hidden, and passed over wherever scans are looked for."""


class Finished:
    """Notes on studies that are finished, each in a file.

    A note counts for the same files at the same place, unchanged, the same way of working, and as long as all
    that was written is there as it was written. The output may be moved as a whole.

    Args:
        output: folder of the call.
        settings: of ``fingerprints.settings_of``, and the options of the call.
        resume: whether notes of an earlier call count.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any], resume: bool = False) -> None:
        self.output = output
        self.resume = resume
        self._settings = settings

    def find(self, case: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the row of a study that is finished, None of any other."""
        if not self.resume or REFUSED in case:
            return None
        try:
            note = json.loads(self._path(case).read_text(encoding="utf-8"))
            row, files, place = dict(note["row"]), note["files"], note["output"]
            if any(list(stamp(self.output / name, self.output)) != [name, *rest] for name, *rest in files):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return {**row, "input": place_of(case), "output": str(self.output / place)}

    def place(self, case: Mapping[str, Any]) -> Path | None:
        """Return where the note on a study goes, its files being as they are now.

        Ask before the study is read: what changes meanwhile then has another place. None where a file is not
        there, which whoever reads it will say.
        """
        try:
            return self._path(case)
        except OSError:
            return None

    def keep(self, place: Path, row: Mapping[str, Any], files: Iterable[Path]) -> None:
        """Note that a study is finished.

        Args:
            place: of the note.
            row: of results.csv.
            files: all that was written of it.
        """
        written = Path(row["output"]).relative_to(self.output)
        stamps = [stamp(file, self.output) for file in files]
        write_json(place, {"row": row, "output": str(written), "files": stamps})

    def names(self) -> set[str]:
        """Return the folders of all studies that calls have written here and that are there still."""
        found = set()
        for note in (self.output / FOLDER).glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found.add(str(json.loads(note.read_text(encoding="utf-8"))["output"]))
        return {name for name in found if (self.output / name).is_dir()}

    def _path(self, case: Mapping[str, Any]) -> Path:
        return self.output / FOLDER / f"{fingerprint(case, self._settings)}.json"
