"""A folder of patients in, its cases with the lesion voxels of each slice and the hash of each file out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gliomaseg.transforms import keys
from gliomaseg.workflows.datalist import labelled_cases
from gliomaseg.workflows.folders.persons import Person, persons_of
from gliomaseg.workflows.splits.case_split import count_lesions
from gliomaseg.workflows.splits.datalist_file import files_of, hash_files, hash_of_all, relative_to
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.files import InputError

from .lock import Lock


@dataclass(frozen=True)
class Data:
    """A data set that was read once.

    Attributes:
        root: its folder.
        cases: records with absolute paths, sorted by patient.
        lesions: lesion voxels of each slice of each case.
        files: path under the root -> SHA-256.
    """

    root: str
    cases: list[dict[str, Any]]
    lesions: list[list[int]]
    files: dict[str, str]

    @property
    def sha256(self) -> str:
        """Fingerprint of all files."""
        return hash_of_all(self.files)

    def persons(self, patients: Sequence[str] | None = None) -> list[Person]:
        """Return the persons behind some patients, or behind all."""
        chosen = [
            (case, sum(own))
            for case, own in zip(self.cases, self.lesions, strict=True)
            if patients is None or case[keys.PATIENT] in set(patients)
        ]
        return persons_of([case for case, _ in chosen], [volume for _, volume in chosen])

    def datalist(
        self, sections: Mapping[str, Sequence[Mapping[str, Any]]], split: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return a datalist of some of the cases, with absolute paths."""
        used = {
            relative_to(file, self.root): self.files[relative_to(file, self.root)]
            for cases in sections.values()
            for case in cases
            for file in files_of(dict(case))
        }
        return {
            "format": "gliomaseg-datalist/1",
            "root": self.root,
            "split": dict(split),
            **{name: list(cases) for name, cases in sections.items()},
            "files": dict(sorted(used.items())),
            "sha256": hash_of_all(used),
        }


def open_dataset(folder: Path, cache: Path, lock: Lock) -> Data:
    """Read a data set, or what was kept of it in ``cache``.

    Raises:
        InputError: the files are not those that the lock was drawn from.
    """
    root = str(folder.absolute())
    kept = json.loads(cache.read_text(encoding="utf-8")) if cache.is_file() else {}
    if kept.get("root") == root:
        data = Data(**kept)
    else:
        cases = labelled_cases(folder)
        data = Data(root, cases, count_lesions(cases, None), hash_files(cases, root))
        files.write_json(cache, asdict(data))
    if data.sha256 != lock.data_sha256:
        raise InputError(
            f"The lock was drawn from other files (SHA-256 {lock.data_sha256[:12]}) than those in {folder} "
            f"({data.sha256[:12]}); name the same data, or another lock with --lock."
        )
    return data
