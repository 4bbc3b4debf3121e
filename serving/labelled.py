"""Pairs of scan and final label from a datastore in, the cases that training takes out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..workflows.folders.persons import Person, persons_of
from ..workflows.folders.slices import institution_of, parse_name
from ..workflows.folders.studies import Record
from ..workflows.folders.volume_names import is_volume, stem_of
from ..workflows.splits.case_split import count_lesions

Pair = Mapping[str, str]
"""``image`` and ``label``: paths."""


def cases_of(pairs: Iterable[Pair]) -> list[Record]:
    """Return a case for each volume, and one for all pictures of a patient.

    A picture ``<patient>_<number>.tif`` is a slice of that patient; any other name is a patient with one
    slice.

    Args:
        pairs: in any order.
    """
    cases: list[Record] = []
    slices: dict[str, list[tuple[int, Pair]]] = defaultdict(list)
    for pair in pairs:
        name = Path(pair["image"]).name
        if is_volume(name):
            patient = stem_of(name)
            cases.append({**_of(patient), "image": pair["image"], "label": pair["label"]})
        else:
            parsed = parse_name(name)
            patient = (parsed.patient if parsed else None) or Path(name).stem
            slices[patient].append((parsed.number if parsed else 1, pair))
    for patient, found in slices.items():
        ordered = sorted(found, key=lambda item: item[0])
        parts = {key: [pair[key] for _, pair in ordered] for key in ("image", "label")}
        cases.append({**_of(patient), **parts, "slices": [number for number, _ in ordered]})
    return sorted(cases, key=lambda case: str(case["patient"]))


def labelled_persons(cases: list[Record]) -> list[Person]:
    """Return who the cases are of, with institutions and lesion volumes.

    Raises:
        InputError: a label is missing or damaged.
    """
    return persons_of(cases, [sum(counts) for counts in count_lesions(cases, None)])


def _of(patient: str) -> Record:
    return {"patient": patient, "institution": institution_of(patient)}
