"""A datalist in memory in, ``datalist.json`` out, and back; hashes tell whether files changed."""

from __future__ import annotations

import filecmp
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ..folders.studies import Record
from ..split import SECTIONS
from ..system.files import InputError, replace_atomically, sha256_of, write_json
from ..system.pool import Progress, in_threads
from .plain_datalist import METHOD, is_plain, read_plain

Datalist = dict[str, Any]
"""The content of ``datalist.json``: ``format``, ``root``, ``split``, the sections ``training``,
``validation`` and ``test`` with their cases, ``files`` (path under the root to SHA-256) and ``sha256`` over
all of them. In memory the paths of the cases are absolute; in the file, and in ``files`` always, relative."""

FORMAT: Final = "gliomaseg-datalist/1"
"""What the file says it is, with the version of its form."""


def write_datalist(datalist: Datalist, path: str | os.PathLike[str]) -> None:
    """Write a datalist as JSON, whole or not at all, with paths relative to its root.

    Args:
        datalist: as ``build_datalist`` or ``load_datalist`` gives it; left as it is.
        path: the file to write; missing folders are made.

    Raises:
        InputError: the file cannot be written.
    """
    root = datalist["root"]
    write_json(path, _with_paths(datalist, lambda file: relative_to(file, root)))


def write_beside_earlier(datalist: Datalist, path: str | os.PathLike[str]) -> Path | None:
    """Write a datalist as ``write_datalist`` does; another one of that name is kept under a free name.

    A datalist says who was tested: without it, figures that were printed cannot be understood any more.

    Returns:
        Where the earlier one is now, such as ``datalist.1.json``; None if there was none, or the same one.

    Raises:
        InputError: a file cannot be written.
    """
    file = Path(path)
    if not file.is_file():
        write_datalist(datalist, file)
        return None
    numbered = (file.with_suffix(f".{number}{file.suffix}") for number in itertools.count(1))
    aside = next(name for name in numbered if not name.exists())
    with replace_atomically(aside) as partial:
        shutil.copyfile(file, partial)
    write_datalist(datalist, file)
    if filecmp.cmp(file, aside, shallow=False):
        aside.unlink()
        return None
    return aside


def load_datalist(path: str | os.PathLike[str]) -> Datalist:
    """Read ``datalist.json``, with the paths of its cases made absolute.

    A list of files in the plain form of MONAI and the Decathlon will do too, see ``plain_datalist``; its
    files are hashed then. Where its root is gone, the files are looked for beside the datalist; so data and
    datalist may move together. Whether the files are there is not asked: a report needs the names only.

    Raises:
        InputError: the file is missing, not JSON, or not a datalist; or a plain one names a file that is not
            there.
    """
    file = Path(path)
    content = _content_of(file)
    if is_plain(content):
        return _hashed(read_plain(content, file), file)
    datalist = _checked(content, file)
    root = _root_of(datalist, file)
    return {**_with_paths(datalist, lambda name: os.path.normpath(Path(root) / name)), "root": root}


def is_datalist(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a datalist as ``write_datalist`` writes it, and no plain list or table."""
    file = Path(path)
    if file.suffix.lower() != ".json" or not file.is_file():
        return False
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def hash_files(cases: list[Record], root: str, progress: Progress | None = None) -> dict[str, str]:
    """Return the SHA-256 of every file of the cases, by path relative to ``root``."""
    paths = sorted({file for case in cases for file in files_of(case)})
    hashes = in_threads(sha256_of, paths, len(paths), progress)
    return {relative_to(path, root): digest for path, digest in zip(paths, hashes, strict=True)}


def hash_of_all(files: Mapping[str, str]) -> str:
    """Return one SHA-256 over the names and hashes of all files, the fingerprint of a data set."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def changed_files(datalist: Datalist, progress: Progress | None = None) -> list[str]:
    """Return the files that are missing or have other bytes than when the datalist was written.

    Args:
        datalist: as ``load_datalist`` gives it.
        progress: called after each file.

    Returns:
        Paths relative to the root, sorted.
    """
    root = Path(datalist["root"])
    files = sorted(datalist["files"].items())
    found = in_threads(lambda item: _hash_or_none(root / item[0]), files, len(files), progress)
    return [name for (name, digest), now in zip(files, found, strict=True) if now != digest]


def cases_of(datalist: Datalist) -> Iterator[tuple[str, Record]]:
    """Yield every case with its section, in the order of the sections."""
    for section in SECTIONS:
        for case in datalist.get(section, []):
            yield section, case


def files_of(case: Record) -> list[str]:
    """Return the image and label files of a case."""
    parts = [case.get("image", []), case.get("label", [])]
    return [file for part in parts for file in ([part] if isinstance(part, str) else part)]


def relative_to(file: str, root: str) -> str:
    """Return a path as it is written under ``root``, with forward slashes."""
    return Path(os.path.relpath(file, root)).as_posix()


def _hash_or_none(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None


def _hashed(sections: Mapping[str, list[Record]], file: Path) -> Datalist:
    """Make a datalist of cases that a plain list named."""
    root = str(file.absolute().parent)
    cases = [case for section in SECTIONS for case in sections[section]]
    try:
        hashes = _hashes_known(cases, root)
    except OSError as error:
        raise InputError(
            f"Every file that {file} names must be there, but {error.filename} is not ({error.strerror}); "
            "bring it back or correct the list. Relative paths start at its folder."
        ) from error
    split = {"method": METHOD, "source": str(file)}
    return {
        "format": FORMAT,
        "root": root,
        "split": split,
        **sections,
        "files": hashes,
        "sha256": hash_of_all(hashes),
    }


_KNOWN: dict[tuple[str, int, int], str] = {}
"""Hashes of files by path, size and time, so that a list that is read again is not hashed again."""


def _hashes_known(cases: list[Record], root: str) -> dict[str, str]:
    stats = {file: Path(file).stat() for case in cases for file in files_of(case)}
    keys = {file: (file, stat.st_size, stat.st_mtime_ns) for file, stat in stats.items()}
    new = [file for file, key in keys.items() if key not in _KNOWN]
    for file, digest in zip(new, in_threads(sha256_of, new, len(new), None), strict=True):
        _KNOWN[keys[file]] = digest
    return {relative_to(file, root): _KNOWN[key] for file, key in sorted(keys.items())}


def _content_of(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"Expected a datalist in JSON at {file}, but: {error}. Write one with `gliomaseg prepare DATA`."
        ) from error


def _checked(content: Any, file: Path) -> Datalist:
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    if found != FORMAT:
        raise InputError(
            f"A datalist has the format {FORMAT!r}, or lists of `image` and `label` under training, "
            f"validation and test, but {file} has {found!r}. "
            "Give the folder of the data instead, or write a datalist with `gliomaseg prepare DATA`."
        )
    missing = [key for key in ("root", "split", "files", *SECTIONS) if key not in content]
    if missing:
        raise InputError(
            f"A datalist needs the key {missing[0]!r}, but {file} lacks it. "
            "Write it anew with `gliomaseg prepare DATA`."
        )
    return dict(content)


def _root_of(datalist: Datalist, file: Path) -> str:
    written = Path(datalist["root"])
    beside = file.absolute().parent
    first = next(iter(datalist["files"]), None)
    moved_along = first is not None and not (written / first).exists() and (beside / first).exists()
    return str(beside if moved_along else written)


def _with_paths(datalist: Datalist, change: Callable[[str], str]) -> Datalist:
    sections = {
        section: [_case_with_paths(case, change) for case in datalist[section]] for section in SECTIONS
    }
    return {**datalist, **sections}


def _case_with_paths(case: Record, change: Callable[[str], str]) -> Record:
    changed = dict(case)
    for key in ("image", "label"):
        if key in case:
            value = case[key]
            changed[key] = change(value) if isinstance(value, str) else [change(file) for file in value]
    return changed
