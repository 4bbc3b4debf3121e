"""A data set in, one list of all its faults out, before anything is computed."""

from __future__ import annotations

import itertools
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .checking.findings import (
    KINDS,
    DataReport,
    Finding,
    Kind,
    finding,
    format_findings,
    in_order,
    raise_on_errors,
)
from .checking.slice_checks import SliceFacts, inspect_slice, stack_findings
from .checking.volume_checks import inspect_volume
from .datalist import find_studies
from .folders.doubles import conflict_words, set_doubles_aside
from .folders.look_alikes import look_alikes
from .folders.studies import Record, Slice, Study, broken_links, is_stack, whose
from .folders.volume_names import stem_of
from .split import EVERYONE, EVERYONE_WARNING
from .splits.datalist_file import Datalist, cases_of, changed_files, load_datalist
from .splits.given_split import on_both_sides, split_by_file
from .system.files import InputError
from .system.pool import Progress, in_threads

__all__ = ["KINDS", "DataReport", "Finding", "Kind", "check_data", "format_findings", "raise_on_errors"]

_VOLUME_THREADS = 2
"""A 4-D volume in float64 takes some 300 MB; eight at once would be too many for a laptop."""


def check_data(
    source: str | os.PathLike[str],
    resize: int | None = None,
    split_file: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> DataReport:
    """Read every file of a data set completely and report all faults in one list.

    Pixels are let go as soon as a slice has been looked at, so memory stays flat.

    Args:
        source: a folder or CSV file (see ``sources.find_studies``), or a ``datalist.json``, whose files are
            also compared with the hashes written in it, and whose sections with one another.
        resize: the size that slices will be brought to, if any; masks smaller or larger than their images
            are then no fault.
        split_file: a given split, to be checked against the patients found.
        progress: called after each slice or volume.

    Raises:
        InputError: ``source`` cannot be used at all: not there, empty, or nothing in it looks like a study.
    """
    census = _Census(resize)
    if Path(source).suffix.lower() == ".json":
        datalist = load_datalist(source)
        studies = _listed_studies(datalist)
        census.findings += _datalist_findings(datalist, str(source))
    else:
        studies, doubled = _found_studies(source)
        census.findings += doubled
    census.findings += _look_alikes(studies)
    if split_file is not None:
        census.findings += _given_split_findings(Path(split_file), studies)
    with warnings.catch_warnings():  # around all threads at once: the list of filters is the process's
        warnings.simplefilter("ignore")
        census.look_at(studies, progress)
    return census.report(str(source), studies)


class _Census:
    """Counts and findings so far, and which images have been seen."""

    def __init__(self, resize: int | None) -> None:
        self.resize = resize
        self.findings: list[Finding] = []
        self.slices = 0
        self.slices_with_lesion = 0
        self._seen: dict[bytes, tuple[Study, str]] = {}
        self._labels: dict[bytes, tuple[Study, str]] = {}
        self._shared: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def look_at(self, studies: Sequence[Study], progress: Progress | None) -> None:
        stacks = [study for study in studies if not study.is_volume]
        volumes = [study for study in studies if study.is_volume]
        self.findings += _sequences_apart(volumes)
        total = sum(len(study.slices) for study in stacks) + len(volumes)
        for study, facts in _facts_of(stacks, total, progress):
            self._add_stack(study, facts)
        done = total - len(volumes)
        shifted = (lambda count, _: progress(done + count, total)) if progress else None
        for volume in in_threads(inspect_volume, volumes, total, shifted, _VOLUME_THREADS):
            self.findings += volume.findings
            self.slices += volume.slices
            self.slices_with_lesion += volume.slices_with_lesion
            self._remember(volume.study, volume.digest, volume.study.volume)
            if volume.slices_with_lesion:
                self._remember_label(volume.study, volume.label_digest, volume.study.label)

    def report(self, source: str, studies: Sequence[Study]) -> DataReport:
        sites = Counter(study.institution for study in studies)
        return DataReport(
            source,
            cases=len(studies),
            patients=len({study.whose for study in studies}),
            slices=self.slices,
            slices_with_lesion=self.slices_with_lesion,
            institutions=dict(sorted(sites.items())),
            findings=in_order([*self.findings, *self._leaks()]),
        )

    def _add_stack(self, study: Study, facts: Sequence[SliceFacts]) -> None:
        self.findings += stack_findings(study, facts, self.resize)
        self.slices += sum(one.image is not None for one in facts)
        self.slices_with_lesion += sum(one.lesion_pixels > 0 for one in facts)
        for one in facts:
            self._remember(study, one.digest, one.image)

    def _remember(self, study: Study, digest: bytes | None, file: str | None) -> None:
        if digest is None or file is None:
            return
        other, first = self._seen.setdefault(digest, (study, file))
        if other.whose != study.whose:
            self._shared.setdefault((other.patient, study.patient), []).append((first, file))

    def _remember_label(self, study: Study, digest: bytes | None, file: str | None) -> None:
        if file is None:
            return
        digest = digest or file.encode()  # the same file is the same, however small
        other, first = self._labels.setdefault(digest, (study, file))
        of_one = file == first and other.whose == study.whose  # of two sequences
        if other.patient != study.patient and not of_one:
            what = f"{other.patient} and {study.patient} share a label: {file} is the same as {first}."
            if file == first:
                what = f"{other.patient} and {study.patient} share the label {file}."
            self.findings.append(finding("same-label", list(dict.fromkeys((first, file))), what))

    def _leaks(self) -> Iterator[Finding]:
        for (one, other), pairs in self._shared.items():
            images = "1 image" if len(pairs) == 1 else f"{len(pairs)} images"
            what = f"{one} and {other} share {images}: {pairs[0][1]} is the same as {pairs[0][0]}."
            yield finding("leak", [file for pair in pairs for file in pair], what)


def _sequences_apart(volumes: Sequence[Study]) -> Iterator[Finding]:
    """Find volumes that are sequences of one patient by their names, and would be taken as patients."""
    if not volumes:
        return
    from .folders.sequence_files import channel_count, parts_of_cases  # the transforms bring MONAI along
    from .folders.sequences import FLAIR

    folders: dict[str, dict[str, Study]] = {}
    for study in volumes:
        if study.volume is not None and not study.parts:
            folders.setdefault(study.folder, {})[stem_of(Path(study.volume).name)] = study
    for folder, scans in folders.items():
        for case, stems, sequences in parts_of_cases(list(scans)):
            parts = [scans[stem] for stem in stems]
            files = [str(study.volume) for study in parts]
            labels = sum(bool(study.label) for study in parts)  # if it is one, that part is trained on
            labelled = labels == 1 or (labels > 1 and FLAIR not in sequences)  # t1 and t2 may be two days
            yield from _named_otherwise(scans[stem] for stem in stems if scans[stem].label)
            if len(parts) > 1 and not labelled and all(channel_count(file) == 1 for file in files):
                names = ", ".join(sorted(Path(file).name for file in files))
                whose = case or "one patient"
                what = f"{names} in {folder} are sequences of {whose}, but not one file each with FLAIR."
                yield finding("sequences-apart", files, what)


def _look_alikes(studies: Sequence[Study]) -> Iterator[Finding]:
    """Find patients whose names may count the studies of one person."""
    folders = {study.whose: study.folder for study in studies if study.person is None}
    for group in look_alikes(folders):
        what = f"{', '.join(group)} differ only in a count or capitals."
        yield finding("look-alikes", list(dict.fromkeys(folders[name] for name in group)), what)


def _named_otherwise(volumes: Iterable[Study]) -> Iterator[Finding]:
    """Find labelled volumes of one channel that are no FLAIR by their names."""
    from .folders.sequence_files import channel_count  # as above
    from .folders.sequences import FLAIR, OTHER, UNKNOWN, sequence_of_name

    for study in volumes:
        file = str(study.volume)
        shown = sequence_of_name(stem_of(Path(file).name))[1]
        if shown not in (FLAIR, UNKNOWN) and channel_count(file) == 1:
            named = "neither FLAIR nor T1" if shown == OTHER else shown
            words = f"{file} is by its name {named}, and taken as FLAIR; `predict` refuses such a name."
            yield finding("named-otherwise", [file], words)


def _facts_of(
    stacks: Sequence[Study], total: int, progress: Progress | None
) -> Iterator[tuple[Study, list[SliceFacts]]]:
    facts = in_threads(inspect_slice, (one for study in stacks for one in study.slices), total, progress)
    for study in stacks:
        yield study, list(itertools.islice(facts, len(study.slices)))


def _found_studies(source: str | os.PathLike[str]) -> tuple[list[Study], list[Finding]]:
    doubles = set_doubles_aside(find_studies(source))
    findings = [
        finding("doubled-folder", [copy.folder], f"{copy.folder} is a copy of {kept.folder}.")
        for kept, copy in doubles.copies
    ]
    findings += [
        finding("broken-link", [str(link)], f"{link} leads to {link.readlink()}, where there is nothing.")
        for link in (broken_links(Path(source)) if Path(source).is_dir() else ())
    ]
    findings += [
        finding("same-name", [one.folder, other.folder], conflict_words(one, other))
        for one, other in doubles.conflicts
    ]
    return doubles.kept, findings


def _listed_studies(datalist: Datalist) -> list[Study]:
    parts: dict[str, list[Record]] = {}
    for _, case in cases_of(datalist):
        parts.setdefault(case["patient"], []).append(case)
    return [
        replace(_study_of(patient, cases), person=cases[0].get("person")) for patient, cases in parts.items()
    ]


def _study_of(patient: str, cases: Sequence[Record]) -> Study:
    first = cases[0]
    site = first.get("institution")
    if not is_stack(first):
        return _volume_of(patient, first, site)
    slices = {one.number: one for case in cases for one in _slices_of(case)}
    folder = str(Path(first["image"][0]).parent)
    return Study(patient, folder, tuple(slices[number] for number in sorted(slices)), site=site)


def _volume_of(patient: str, case: Record, site: str | None) -> Study:
    files = [case["image"]] if isinstance(case["image"], str) else case["image"]
    shown = case.get("sequences", ())
    if len(files) > 1:
        from .folders.sequence_files import joined_study

        return joined_study(patient, dict(zip(shown, files, strict=True)), case.get("label"), site=site)
    folder = str(Path(files[0]).parent)
    return Study(patient, folder, volume=files[0], label=case.get("label"), site=site, sequences=tuple(shown))


def _slices_of(case: Record) -> Iterator[Slice]:
    masks = case.get("label", [None] * len(case["image"]))
    for number, image, mask in zip(case["slices"], case["image"], masks, strict=True):
        yield Slice(number, image, mask)


def _datalist_findings(datalist: Datalist, source: str) -> Iterator[Finding]:
    root = Path(datalist["root"])
    for name in changed_files(datalist):
        if (root / name).exists():
            what = f"{root / name} has other content than when {source} was written."
            yield finding("changed-file", [str(root / name)], what)
    warning = datalist["split"].get("warning")
    if datalist["split"].get("method") == "slice":
        yield finding("slice-split", [source], str(warning))
        return
    everyone = datalist["split"].get("method") == EVERYONE
    if everyone:
        yield finding("everyone-trains", [source], str(warning or EVERYONE_WARNING))
    for person, where in on_both_sides(_persons(datalist)).items():
        if everyone and "test" not in where:
            continue
        yield finding("both-sides", [source], f"{person} is in {' and in '.join(where)} of {source}.")


def _persons(datalist: Datalist) -> dict[str, list[str]]:
    persons: dict[str, list[str]] = {}
    for section, case in cases_of(datalist):
        persons.setdefault(section, []).append(whose(case))
    return persons


def _given_split_findings(path: Path, studies: Iterable[Study]) -> list[Finding]:
    try:
        whose_each_is = {study.patient: study.whose for study in studies}
        split_by_file(path, list(whose_each_is), whose_each_is)
    except InputError as error:
        code = "both-sides" if "on one side" in str(error) else "given-split"
        return [finding(code, [str(path)], str(error))]
    return []
