"""A model in, who trained it and who chose its weights out: by name, or by marks that name nobody."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from ...networks.checkpoint import form_of
from ...transforms import keys
from ..folders.slices import person_of
from ..folders.studies import image_files, whose
from ..graphs import text_inside
from ..models import CROSS_VALIDATION, default_folder
from ..split import SECTIONS
from ..splits.datalist_file import Datalist, cases_of, load_datalist, relative_to
from ..system.files import InputError, safe_name, sha256_of

logger = logging.getLogger(__name__)

FORMAT: Final = "gliomaseg-seen/1"
"""What the marks say they are, with the version of their form."""

KEY: Final = "seen"
"""Under which they stand in the metadata of a bundle or an export."""

OF_WEIGHTS: Final = "seen_weights"
"""Under which the metadata of a bundle have the SHA-256 of the weights that these patients have trained."""

NOT_ALL: Final = "seen_not_all"
"""Under which the metadata of a bundle or an export, and a datalist, say that others have trained it too."""

BEFORE: Final = "seen_before"
"""Under which a datalist keeps those of the weights that its run began from."""

ROUNDS: Final = 5_000
"""Of the hash of a name, so that trying out all names that there could be takes time."""

FURTHER: Final = (
    "{name} has been trained further since it was exported, and nobody knows on whom; name the datalist of "
    "that training with `gliomaseg evaluate --split-file`."
)
OTHERS: Final = "{name} has been trained by others too, and nobody here knows who they are."
NOBODY_KNOWN: Final = "{name} does not say who has trained it."
ELSEWHERE: Final = (
    "{name} is a site of a federation, and nobody here knows who has trained its weights at the other sites."
)

LENGTH: Final = 16
"""Hexadecimal digits of a mark."""

Images = Mapping[str, frozenset[str]]
"""SHA-256 of the image files of each patient, by name; nobody is in it where they are not known."""

Record = dict[str, Any]
"""Marks as they are written: ``format``, ``salt``, ``method``, and ``persons`` and ``scans``, each with lists
of marks by section of the split."""


class Met(NamedTuple):
    """That a patient was met in training, in choosing or in a test.

    Attributes:
        section: of the split.
        by_scan: whether the scan alone tells, the name being another one.
    """

    section: str
    by_scan: bool


class Seen(Protocol):
    """Patients whom somebody has seen."""

    @property
    def method(self) -> str:
        """How they were split."""

    def meetings(self, cases: Sequence[Mapping[str, Any]], images: Images) -> dict[str, set[Met]]:
        """Return where each patient of some cases was met."""

    def record(self, salt: str) -> Record:
        """Return marks of them, to travel with a model."""


@dataclass(frozen=True)
class SeenByName:
    """The patients of a datalist."""

    datalist: Mapping[str, Any]

    @property
    def method(self) -> str:
        """How they were split."""
        return str(self.datalist["split"].get("method", "given"))

    def meetings(self, cases: Sequence[Mapping[str, Any]], images: Images) -> dict[str, set[Met]]:
        """Return where each patient of some cases was met, by person, or else by scan.

        Another study of a person is no new patient. A scan is the same where more than half of its files are
        those of one that was seen, byte by byte: slices without anything in them are alike in many.
        """
        listed = [(section, case) for section in SECTIONS for case in self.datalist.get(section, ())]
        persons = persons_of_all([*(case for _, case in listed), *cases])
        sides: dict[str, set[str]] = {}
        for section, case in listed:
            for one in _said_of(case, persons):
                sides.setdefault(one, set()).add(section)
        found: dict[str, set[Met]] = {}
        for case in cases:
            name = _name_of(case)
            by_name = {section for one in _said_of(case, persons) for section in sides.get(one, ())}
            by_scan = _same_scans(images.get(name, frozenset()), self._by_file) - by_name
            found[name] = {Met(section, False) for section in by_name}
            found[name] |= {Met(section, True) for section in by_scan}
        return found

    @cached_property
    def _by_file(self) -> dict[str, set[tuple[str, int]]]:
        """Return in which section and case each image file is, by its hash."""
        places: dict[str, set[tuple[str, int]]] = {}
        for number, (section, case) in enumerate(cases_of(dict(self.datalist))):
            for digest in images_of(case, self.datalist):
                places.setdefault(digest, set()).add((section, number))
        return places

    def record(self, salt: str) -> Record:
        """Return marks of them: of each study's name and person, and of the files of each scan.

        A labelling project has studies under names that are files anywhere; these have marks too.
        """
        persons: dict[str, list[str]] = {}
        scans: dict[str, list[str]] = {}
        for section in SECTIONS:
            listed = self.datalist.get(section, ())
            names = {name for case in listed for name in _said_of(case)}
            persons[section] = sorted({mark_of_name(name, salt) for name in names})
            marks = {mark_of_scan(images_of(case, self.datalist)) for case in listed}
            scans[section] = sorted(mark for mark in marks if mark)
        return {"format": FORMAT, "salt": salt, "method": self.method, "persons": persons, "scans": scans}


@dataclass(frozen=True)
class SeenByMark:
    """Patients whose names nobody wrote down."""

    marks: Mapping[str, Any]

    @property
    def method(self) -> str:
        """How they were split."""
        return str(self.marks["method"])

    def meetings(self, cases: Sequence[Mapping[str, Any]], images: Images) -> dict[str, set[Met]]:
        """Return where each patient of some cases was met, by name or person, or else by scan."""
        persons = persons_of_all(cases)
        found: dict[str, set[Met]] = {}
        for case in cases:
            name = _name_of(case)
            said = _said_of(case, persons) | {person_of(name)}
            own = {mark_of_name(one, str(self.marks["salt"])) for one in said}
            by_name = {side for side in SECTIONS if not own.isdisjoint(self.marks["persons"].get(side, ()))}
            scan = mark_of_scan(images.get(name, frozenset()))
            by_scan = {side for side in SECTIONS if scan in self.marks["scans"].get(side, ())} - by_name
            found[name] = {Met(side, False) for side in by_name} | {Met(side, True) for side in by_scan}
        return found

    def record(self, salt: str) -> Record:
        """Return the marks as they are; the names behind them are not known."""
        return dict(self.marks)


@dataclass(frozen=True)
class History:
    """All whom a model has seen, those of the weights that it began from included.

    Attributes:
        name: where that was read.
        seen: the last training first; empty where nothing is known.
        unknown: in a sentence, whom else it may have seen; empty where nobody.
    """

    name: str = ""
    seen: Sequence[Seen] = field(default=())
    unknown: str = ""

    @property
    def method(self) -> str:
        """How the patients of the last training were split."""
        return self.seen[0].method if self.seen else "given"

    def meetings(
        self, cases: Iterable[Mapping[str, Any]], images: Images | None = None
    ) -> dict[str, set[Met]]:
        """Return where each patient of some cases was met.

        Args:
            cases: in any order.
            images: of their files; None where they are not known.
        """
        every = list(cases)
        found: dict[str, set[Met]] = {_name_of(case): set() for case in every}
        for one in self.seen:
            for name, met in one.meetings(every, images or {}).items():
                found[name] |= met
        return found

    def records(self, salt: str) -> list[Record]:
        """Return marks of all of them, to travel with a model."""
        return [one.record(salt) for one in self.seen]


def history_of(datalist: Mapping[str, Any] | None, name: str = "") -> History:
    """Return whom a run has seen.

    Args:
        datalist: of the run, None where it is not known.
        name: of the datalist.
    """
    if datalist is None:
        return History(name)
    seen: tuple[Seen, ...] = (SeenByName(datalist), *_read_records(datalist.get(BEFORE)))
    return History(name, seen, OTHERS.format(name=name) if datalist.get(NOT_ALL) else "")


def history_behind(model: str | Path | None) -> History:
    """Return whom a model has seen: as the datalist of its run tells, or the marks that it carries.

    Args:
        model: see ``models.open_model``, or any file of weights; None is that which ships.
    """
    path = default_folder() if model is None else Path(model)
    form = form_of(path) if path.is_file() else None
    told = {} if form is None else _read(text_inside(path, form, "metadata.json"))
    inside = _read_records(told.get(KEY))
    folder = _run_of(path)
    if inside or folder is None:
        return History(str(path), inside, OTHERS.format(name=path) if told.get(NOT_ALL) else "")
    found = folder / "datalist.json"
    datalist = readable_datalist(found) if found.is_file() else None
    if datalist is not None:
        history = history_of(_with_folds(datalist, folder), str(found))
        return replace(history, unknown=ELSEWHERE.format(name=folder)) if _is_site(folder) else history
    by_marks = _history_by_marks(path, folder)
    if found.is_file() and not by_marks.seen:
        return History(str(found), (), NOBODY_KNOWN.format(name=found))
    return by_marks


def _history_by_marks(path: Path, folder: Path) -> History:
    """Return whom a bundle has seen, as the marks in its metadata tell."""
    if not (folder / "configs" / "metadata.json").is_file():
        return History(str(path))
    metadata = _read((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    weights = path if path.is_file() else folder / "models" / "model.pt"
    of = metadata.get(OF_WEIGHTS)
    further = of is not None and weights.is_file() and sha256_of(weights) != of
    others = OTHERS.format(name=path) if metadata.get(NOT_ALL) else ""
    unknown = FURTHER.format(name=path) if further else others
    return History(str(path), _read_records(metadata.get(KEY)), unknown)


def readable_datalist(path: Path) -> Datalist | None:
    """Return the datalist beside a model; None, and the log says why, where it cannot be read.

    A model can be used without it, such as one from elsewhere that lists data which are not here.
    """
    try:
        return load_datalist(path)
    except InputError as error:
        logger.warning("Not read, so it does not tell who trained the model beside it: %s", error)
        return None


def _with_folds(datalist: Datalist, folder: Path) -> Datalist:
    """Return the datalist of a cross-validation with whom the weights have seen that its folds began from."""
    if not (folder / CROSS_VALIDATION).is_file():
        return datalist
    lists = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("fold-*/datalist.json"))
    ]
    before: list[Any] = []
    for record in (one for listed in lists for one in listed.get(BEFORE, ())):
        if record not in before:
            before.append(record)
    unknown = {NOT_ALL: True} if any(listed.get(NOT_ALL) for listed in lists) else {}
    return {**datalist, BEFORE: before, **unknown}


def _is_site(folder: Path) -> bool:
    """Tell whether a run folder is that of a site of a federation."""
    config = folder / "configs" / "train.json"
    return config.is_file() and bool(_read(config.read_text(encoding="utf-8")).get("federation", False))


def _run_of(path: Path) -> Path | None:
    """Return the folder of the run or bundle that a model's name means, None for a file of no run.

    A list that lies somewhere above a file of weights may be of anybody.
    """
    if path.is_dir():
        return path
    place = path.resolve().parent
    is_inside = place.name in ("models", "checkpoints") and (place.parent / "configs").is_dir()
    return place.parent if is_inside else None


def images_of(case: Mapping[str, Any], datalist: Mapping[str, Any]) -> frozenset[str]:
    """Return the hashes of a case's images, as a datalist knows them; none where it does not.

    Args:
        case: with absolute paths.
        datalist: in memory, see ``datalist_file.Datalist``; one without files or images is no fault.
    """
    known = datalist.get("files", {})
    digests = [known.get(relative_to(path, str(datalist["root"]))) for path in image_files(case)]
    return frozenset(digests) if None not in digests else frozenset()


def _said_of(case: Mapping[str, Any], persons: Mapping[str, str] = MappingProxyType({})) -> set[str]:
    """Return all that a study and its person may be called."""
    name = _name_of(case)
    return spellings({name, whose(case), persons.get(name, name)})


def spellings(names: Iterable[str]) -> set[str]:
    """Return names, and what they are called where they have to be names of files, as in labelling projects.

    Of letters beyond ASCII too little is left: it could be anybody.

    Example:
        >>> sorted(spellings(["Doe Jane"])), sorted(spellings(["Müller"]))
        (['Doe Jane', 'Doe_Jane'], ['Müller'])
    """
    found = set(names)
    return found | {safe_name(name) for name in found if name.isascii()}


@lru_cache(maxsize=100_000)
def mark_of_name(name: str, salt: str) -> str:
    """Return the mark of a name, from which the name cannot be read."""
    digest = hashlib.pbkdf2_hmac("sha256", name.encode(), salt.encode(), ROUNDS)
    return digest.hex()[:LENGTH]


def mark_of_scan(images: Iterable[str]) -> str:
    """Return the mark of a scan by the hashes of its files; nothing where they are not known.

    Example:
        >>> mark_of_scan(["b", "a"]) == mark_of_scan(["a", "b"]), mark_of_scan([])
        (True, '')
    """
    lines = sorted(images)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:LENGTH] if lines else ""


def persons_of_all(cases: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the person of each patient, by name; of two records of one name one may have been told it.

    Example:
        >>> persons_of_all([{"patient": "K1_A"}, {"patient": "K1_A", "person": "K1"}, {"patient": "P7_day2"}])
        {'K1_A': 'K1', 'P7_day2': 'P7'}
    """
    every = list(cases)
    told = {_name_of(case): whose(case) for case in every if case.get("person")}
    return {_name_of(case): told.get(_name_of(case)) or whose(case) for case in every}


def hashes_by_patient(cases: Iterable[Mapping[str, Any]], root: str, files: Mapping[str, str]) -> Images:
    """Return the hashes of the images of each patient.

    Args:
        cases: with absolute paths.
        root: folder that the paths of ``files`` start at.
        files: SHA-256 by path, as in a datalist.
    """
    known: Datalist = {"root": root, "files": files}
    found: dict[str, frozenset[str]] = {}
    for case in cases:
        found[_name_of(case)] = found.get(_name_of(case), frozenset()) | images_of(case, known)
    return found


def _same_scans(images: frozenset[str], by_file: Mapping[str, set[tuple[str, int]]]) -> set[str]:
    """Return the sections that hold a scan with more than half of these files."""
    shared = Counter(place for digest in images for place in by_file.get(digest, ()))
    return {section for (section, _), count in shared.items() if 2 * count > len(images)}


def _read(text: str | None) -> Mapping[str, Any]:
    """Return the metadata that a text holds, nothing where it holds none."""
    try:
        content = json.loads(text or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, Mapping) else {}


def _read_records(content: Any) -> tuple[SeenByMark, ...]:
    """Return the marks that somebody wrote; what has another form is passed over."""
    listed = content if isinstance(content, list) else []
    return tuple(SeenByMark(one) for one in listed if _is_record(one))


def _is_record(one: Any) -> bool:
    if not isinstance(one, Mapping) or one.get("format") != FORMAT or not isinstance(one.get("salt"), str):
        return False
    lists = [one.get(name) for name in ("persons", "scans")]
    return isinstance(one.get("method"), str) and all(
        isinstance(part, Mapping) and all(isinstance(marks, list) for marks in part.values())
        for part in lists
    )


def _name_of(case: Mapping[str, Any]) -> str:
    return str(case[keys.PATIENT])
