"""A data set in, the cases that train, validate and test out: the datalist that every run starts from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .folders.participants import read_participants, told_by
from .folders.sources import PathLike, and_more, find_cases, find_studies, labelled_cases
from .folders.studies import Record, image_files, whose
from .split import SECTIONS
from .splits.case_split import SplitOptions, count_lesions, describe, name_institution, settle, split_cases
from .splits.datalist_file import (
    FORMAT,
    Datalist,
    cases_of,
    changed_files,
    hash_files,
    hash_of_all,
    load_datalist,
    relative_to,
    write_datalist,
)
from .system.files import InputError
from .system.pool import Progress

logger = logging.getLogger(__name__)

__all__ = [
    "Datalist",
    "Record",
    "build_datalist",
    "changed_files",
    "find_cases",
    "find_studies",
    "load_cases",
    "load_datalist",
    "open_data",
    "write_datalist",
]


def open_data(
    dataset_dir: PathLike,
    method: str = "patient",
    validation: float = 0.2,
    test: float = 0.0,
    folds: int = 5,
    fold: int = 0,
    institution: str | None = None,
    seed: int = 0,
    split_file: str | None = None,
    progress: Progress | None = None,
) -> Datalist:
    """Open a data set for a run: a folder is split on the fly, a ``datalist.json`` is taken as it is.

    Args:
        dataset_dir: a folder or CSV file (see ``find_studies``), or a datalist; its split is then the one
            written in it, and the other arguments are not used.
        method: and what follows, see ``build_datalist``.
        validation: part of the patients that validates.
        test: part of the patients that tests.
        folds: number of folds.
        fold: the fold that validates.
        institution: the institution that validates.
        seed: of the draw.
        split_file: a given split.
        progress: called while files are read.

    Raises:
        InputError: the data cannot be used or split; the sentence says why and what would work.
    """
    if Path(dataset_dir).suffix.lower() == ".json":
        datalist = load_datalist(dataset_dir)
        _require_root(datalist, dataset_dir)
        return datalist
    return build_datalist(
        dataset_dir, method, validation, test, folds, fold, institution, seed, split_file, progress=progress
    )


def build_datalist(
    root: PathLike,
    method: str = "patient",
    validation: float = 0.2,
    test: float = 0.0,
    folds: int = 5,
    fold: int = 0,
    institution: str | None = None,
    seed: int = 0,
    split_file: str | None = None,
    progress: Progress | None = None,
    participants: PathLike | None = None,
) -> Datalist:
    """Find the cases of a data set, hash their files and split them.

    Patients without any mask are left out, and the log says so. Naming an ``institution`` or a ``split_file``
    chooses that method by itself.

    Args:
        root: see ``find_studies``; or a datalist, whose cases are split anew.
        method: ``"patient"`` draws persons, alike in institution and lesion volume; ``"folds"`` validates on
            one of ``folds`` equal parts; ``"institution"`` on one institution; ``"file"`` as ``split_file``
            says; ``"slice"`` repeats the split by slice of earlier work (a tenth validates, 15 % of the rest
            tests, whatever ``validation`` and ``test`` say), which leaks and says so.
        validation: part of the persons that validates, for ``"patient"``.
        test: part of the persons that tests, for ``"patient"``.
        folds: number of folds, for ``"folds"``.
        fold: which one validates, from 0, for ``"folds"`` and ``"institution"``.
        institution: its two-letter code, for ``"institution"``; None takes the one at the place of ``fold``
            in alphabetical order.
        seed: the same seed gives the same split.
        split_file: JSON or CSV, see ``given_split.split_by_file``.
        progress: called while files are read, once for the masks and once for the hashes.
        participants: a table of persons and institutions, see ``participants.read_participants``; it counts
            more than names, and than a table that lies in the folder of the data.

    Returns:
        The datalist, with absolute paths in its cases.

    Raises:
        InputError: the data cannot be used or split; the sentence says why and what would work.
    """
    options = settle(
        SplitOptions(method, validation, test, folds, fold, institution, seed, split_file and str(split_file))
    )
    table = None if participants is None else read_participants(Path(participants))
    cases, folder = _cases_to_split(root)
    cases = cases if table is None else told_by(table, cases)
    options = name_institution(options, cases)
    sections = split_cases(cases, count_lesions(cases, progress), options)
    files = hash_files([case for name in SECTIONS for case in sections[name]], folder, progress)
    _warn_of_twins(cases, folder, files)
    return {
        "format": FORMAT,
        "root": folder,
        "split": describe(options),
        **sections,
        "files": files,
        "sha256": hash_of_all(files),
    }


def _warn_of_twins(cases: Sequence[Record], root: str, files: Mapping[str, str]) -> None:
    """Tell of the same images under the names of two persons, who may stand on two sides."""
    first: dict[frozenset[str], Record] = {}
    twins = []
    for case in cases:
        paths = [relative_to(file, root) for file in image_files(case)]
        digests = frozenset(files[path] for path in paths if path in files)
        other = first.setdefault(digests, case) if digests else case
        if whose(other) != whose(case):
            twins.append(f"{other['patient']} and {case['patient']}")
    if twins:
        logger.warning(
            "The same images stand under two names: %s%s. Find out whose they are; `gliomaseg doctor` lists "
            "all such, and a training refuses them.",
            twins[0], and_more(len(twins)),
        )  # fmt: skip


def _cases_to_split(root: PathLike) -> tuple[list[Record], str]:
    """Return the cases with labels, and the folder that their paths are written from."""
    source = Path(root).absolute()
    if source.suffix.lower() != ".json":
        return labelled_cases(root), str(source.parent if source.is_file() else source)
    datalist = load_datalist(root)
    _require_root(datalist, root)
    cases = join_cases(
        {name: value for name, value in case.items() if name != "fold"} for _, case in cases_of(datalist)
    )
    labelled = [case for case in cases if "label" in case]
    if not labelled:
        raise InputError(f"Training needs masks, but no case of {root} has any; give the folder of the data.")
    return sorted(labelled, key=lambda case: str(case["patient"])), str(datalist["root"])


def load_cases(source: PathLike, section: str = "validation") -> list[Record]:
    """Return the cases of one section, with absolute paths.

    Args:
        source: a datalist, or a folder or CSV file; the latter two have no sections: all cases come.
        section: ``"training"``, ``"validation"``, ``"test"``, or ``"all"``, which joins slices of one patient
            that a split by slice took apart.

    Raises:
        InputError: there is no such section, it is empty, or the data is not where the datalist says.
    """
    if section not in (*SECTIONS, "all"):
        raise InputError(f"A section is one of {', '.join(SECTIONS)} or all, but {section!r} was asked for.")
    if Path(source).suffix.lower() != ".json":
        return find_cases(source)
    datalist = load_datalist(source)
    _require_root(datalist, source)
    cases = join_cases(case for _, case in cases_of(datalist)) if section == "all" else datalist[section]
    if not cases:
        there = ", ".join(f"{name} ({len(datalist[name])})" for name in SECTIONS if datalist[name])
        raise InputError(
            f"The section {section} of {source} has no cases; those with cases are: {there or 'none'}."
        )
    return list(cases)


def join_cases(cases: Iterable[Record]) -> list[Record]:
    """Join the parts of each patient that a split by slice took apart, slices in numeric order.

    A patient with slices that have no mask comes without ``label``.
    """
    joined: dict[str, list[Record]] = {}
    for case in cases:
        joined.setdefault(case["patient"], []).append(case)
    return [parts[0] if len(parts) == 1 else _join(parts) for parts in joined.values()]


def _join(parts: list[Record]) -> Record:
    numbers = [number for part in parts for number in part["slices"]]
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    there = [key for key in ("image", "label", "slices") if all(key in part for part in parts)]
    whole = {key: [file for part in parts for file in part[key]] for key in there}
    shared = {key: value for key, value in parts[0].items() if key != "label"}
    return {**shared, **{key: [values[index] for index in order] for key, values in whole.items()}}


def _require_root(datalist: Datalist, source: PathLike) -> None:
    if not Path(datalist["root"]).is_dir():
        raise InputError(
            f"The data of {source} should be in {datalist['root']}, but there is no such folder. Bring the "
            "data back, put the datalist into its folder, or write a new one with `gliomaseg prepare DATA`."
        )
