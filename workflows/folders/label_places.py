"""Studies of a folder in, with the labels that lie in other folders than their scans out."""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from .label_names import PROGRAM_WORDS, TISSUE_PROGRAMS, is_of_a_lesion, scan_name, without_entities
from .studies import Study
from .volume_names import stem_of

logger = logging.getLogger(__name__)

DERIVATIVES = "derivatives"
"""Folder of BIDS with what was made of the scans, by people or programs."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""Words of a name such as ``nnUNetPredictions`` or ``preds_fold1``."""

Place = tuple[str, tuple[str, ...]]
"""What a study is called, and the folders that it lies in below the data."""

NOWHERE: Place = ("", ("*",))
"""Of names that stand for no study by themselves."""


def with_derivatives(studies: list[Study], root: Path) -> list[Study]:
    """Give scans the labels that BIDS keeps in ``derivatives``, in folders of the same names.

    So do names that stand for one study wherever it lies, as those of public data sets.
    """
    below = [study for study in studies if Path(study.folder).is_relative_to(root)]  # lists may name others
    scans: dict[Place, list[Study]] = {}
    for study in below:
        parts = Path(study.folder).relative_to(root).parts
        if study.volume is not None and DERIVATIVES not in parts:
            for place in {(study.patient, parts), _by_name(study)} - {NOWHERE}:
                scans.setdefault(place, []).append(study)
    labels: dict[int, list[Study]] = {}
    aside: dict[int, Study] = {}
    for study, scan in _with_scans(below, scans, root):
        if _lies_where_a_program_left_it(study, scan):
            aside[id(study)] = study
        elif scan.label is None:
            labels.setdefault(id(scan), []).append(study)
    if aside:
        logger.warning(
            "%d masks such as %s lie where a program left them, by the name of the folder; they are no truth "
            "and not used", len(aside), next(iter(aside.values())).label,
        )  # fmt: skip
    left = [study for study in studies if id(study) not in aside]
    return _joined(left, {scan: found for scan, found in labels.items() if len(_lesions_first(found)) == 1})


def _lesions_first(labels: Sequence[Study]) -> list[Study]:
    """Return the labels that claim a scan; where some are called after a lesion, these alone."""
    named = [one for one in labels if is_of_a_lesion(Path(str(one.label)).name)]
    return named or list(labels)


def _with_scans(
    below: Iterable[Study], scans: Mapping[Place, Sequence[Study]], root: Path
) -> Iterator[tuple[Study, Study]]:
    """Yield the labels without a scan beside them whose place or name tells one scan, with that."""
    for study in below:
        if study.volume is None and not _is_result(Path(str(study.label))):
            parts = Path(study.folder).relative_to(root).parts
            found = next((place for place in _places_of_scan(study, parts) if place in scans), None)
            of_scan = scans.get(found or _by_name(study), []) or _of_session(study, parts, scans)
            if len(of_scan) == 1:
                yield study, of_scan[0]


def _of_session(
    label: Study, parts: tuple[str, ...], scans: Mapping[Place, Sequence[Study]]
) -> Sequence[Study]:
    """Return the study that a label is of by the name of its FLAIR, which was joined with other sequences."""
    from .sequences import FLAIR, UNKNOWN, sequence_of_name, without_acquisition  # as below

    case, sequence = sequence_of_name(without_entities(scan_name(stem_of(Path(str(label.label)).name))))
    short = without_acquisition(case)
    if sequence not in (FLAIR, UNKNOWN) or short == case:
        return ()
    places = _places_of_scan(replace(label, patient=short), parts)
    found = next((scans[place] for place in places if place in scans), ())
    return [one for one in found if sequence_of_name(stem_of(Path(str(one.volume)).name))[0] == case]


def _lies_where_a_program_left_it(label: Study, scan: Study) -> bool:
    """Tell whether a label lies in a folder of results that does not hold its scan too."""
    shared = Path(os.path.commonpath((label.folder, scan.folder)))
    words = (word for part in Path(label.folder).relative_to(shared).parts for word in _WORDS.findall(part))
    return any(word.lower() in PROGRAM_WORDS | TISSUE_PROGRAMS for word in words)


def _joined(studies: list[Study], labels: Mapping[int, Sequence[Study]]) -> list[Study]:
    """Give scans their labels, by what ``id`` says of the scans; others than those of lesions go."""
    chosen = {scan: _lesions_first(found)[0] for scan, found in labels.items()}
    used = {id(label) for found in labels.values() for label in found}
    whole = [
        replace(study, label=chosen[id(study)].label) if id(study) in chosen else study
        for study in studies
        if id(study) not in used
    ]
    paired = sorted((study for study in studies if id(study) in chosen), key=lambda one: one.patient)
    if paired:
        logger.warning(
            "The labels of %d patients lie in other folders than their scans, such as %s for %s",
            len(paired), chosen[id(paired[0])].label, paired[0].patient,
        )  # fmt: skip
    others = [one for scan, found in labels.items() for one in found if one is not chosen[scan]]
    if others:
        logger.warning(
            "Not used: %s, since another label of the scan says that it is of a lesion", others[0].label
        )
    return whole


def _by_name(study: Study) -> Place:
    """Return a place for names that stand for one study wherever it lies; none for others."""
    from .slices import is_of_public_set

    return (study.patient, ("*",)) if is_of_public_set(study.patient) else NOWHERE


def _places_of_scan(label: Study, parts: tuple[str, ...]) -> Iterator[Place]:
    """Yield where the scan of a label in ``derivatives`` may lie; up to two folders are of the program."""
    from .sequences import sequence_of_name  # the transforms bring MONAI along

    if DERIVATIVES in parts:
        count = parts.index(DERIVATIVES)
        name = label.patient if sequence_of_name(label.patient)[0] else parts[-1]  # called after a sequence
        for skipped, above in itertools.product((1, 0, 2), ((), ("rawdata",))):
            yield name, (*parts[:count], *above, *parts[count + 1 + skipped :])


def _is_result(label: Path) -> bool:
    """Return whether a mask lies among results of ``predict``, and is no truth."""
    return any((folder / "results.json").is_file() for folder in label.parents[:2])
