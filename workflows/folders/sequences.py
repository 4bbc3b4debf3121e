"""The name of a file or the header of a series in, which sequence it shows out.

Names are what people and programs write: ``case_flair.nii.gz`` (BraTS: ``_t1``, ``_t1ce``, ``-t2f``,
``-t1n``, ``-t1c``; BIDS: ``_FLAIR``, ``_T1w``, ``_ce-gadolinium_T1w``). Of a DICOM series the description
counts first, then the times of the sequence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from ...transforms.keys import CHANNELS

PRE: Final = CHANNELS[0]
FLAIR: Final = CHANNELS[1]
POST: Final = CHANNELS[2]

OTHER: Final = "other"
"""A sequence that the network does not know, or no scan of slices at all."""

UNKNOWN: Final = "unknown"
"""Nothing tells which sequence it is."""

_ENDS = {
    FLAIR: r"flair|t2[-_]?flair|t2f",
    POST: r"ct1|ce[-_][a-z0-9]+_t1w?|t1[-_]?(?:ce|c|gd|post|km)|post[-_]?t1|post(?:[-_]?contrast)?|gd",
    PRE: r"t1(?:[-_]?(?:pre|n|w))?|pre[-_]?t1|pre(?:[-_]?contrast)?",
    OTHER: r"t2w?|t2star|swi|dwi|adc|pd|pdw",
}
_NAME = {
    sequence: re.compile(rf"(?:(?P<case>.*?)[-_. ])?(?:{ends})", re.IGNORECASE)
    for sequence, ends in _ENDS.items()
}

_NOT_SLICES = re.compile(
    r"locali[sz]er|\bloc\b|scout|survey|3[- ]?(?:plane|pl)\b|mosaic|screen", re.IGNORECASE
)
_FLAIR_WORDS = re.compile(r"flair|dark[ _-]?fluid|tirm.*(?:dark|fluid)|t2f\b", re.IGNORECASE)
BEFORE = r"(?:^|[^a-z0-9])(?:ax|sag|cor|tra|3d|s)?"
"""What may stand before T1 and T2: a gap, and what makers write without another one (AXT1FLAIR, sT1W)."""
_T1_WORDS = re.compile(rf"{BEFORE}t1|mp[ _-]?rage|bravo|fspgr|\btfe\b|\bvibe\b", re.IGNORECASE)
_T1_ITSELF = re.compile(rf"{BEFORE}t1|mp[ _-]?rage", re.IGNORECASE)
_T2_WORDS = re.compile(rf"{BEFORE}t2", re.IGNORECASE)
_POST_WORDS = re.compile(r"(?:^|[^a-z])(?:gd|gad[a-z]*|km|ce)(?:$|[^a-z])|contrast", re.IGNORECASE)
_PRE_WORDS = re.compile(
    r"(?:^|[^a-z])(?:pre|pre[ _-]?(?:contrast|gd|gad[a-z]*|km)|nativ|native|plain|unenhanced|before|prior|"
    r"no[nt]?[ _-]?(?:contrast|enhanced|gd|gad[a-z]*|ce|km|c))(?:$|[^a-z])|"
    r"(?:^|[^a-z])(?:w/?o|without|ohne|sans|sin|senza)[ _-]*(?:$|contr|kontr|km|gd|gad|ce(?:$|[^a-z])|iv)",
    re.IGNORECASE,
)
_AFTER_CONTRAST = re.compile(r"post(?!er|[ _-]?op)|\+ ?c\b|\bc\+|after", re.IGNORECASE)
_OTHER_WORDS = re.compile(
    r"\bt2|dwi|diff|\badc\b|trace|\bep2?d?\b|swi|perf|\bdsc\b|\bdce\b|\bdti\b|tof|angio|spectro|\bsub|"
    r"t1[ _-]?map|mip\b|fmri|bold|\bpd\b|\basl\b|cbf|cbv",
    re.IGNORECASE,
)
_COMPUTED = re.compile(
    r"(?:^|[^a-z0-9])(?:adc|sub(?:tr[a-z]*)?|mip|minip|t[12][ _-]?map)(?:$|[^a-z])", re.IGNORECASE
)

_COMPUTED_KINDS = frozenset(
    ("ADC", "SUBTRACT", "SUBTRACTION", "SUB", "MIP", "MINIP", "PHASE MAP", "P", "T1 MAP", "T2 MAP")
)
"""Values of ImageType of pictures that were worked out of others; P is a scanner's word for phase."""

_NO_AGENT = frozenset(
    ("", "none", "no", "non", "n", "n/a", "na", "nil", "0", "without", "ohne", "['n', 'a']")
)
"""What headers hold for an agent where none was given; the last is N\\A, which DICOM cuts in two."""


_ENTITY = re.compile(r"_(?P<name>[a-z]+)-(?P<value>[A-Za-z0-9]+)")
"""A part of a name of BIDS, with what it says."""

_HOW = (
    r"t1w?|(?:me)?mp2?r(?:age)?|f?spgr|bravo|vibe|t?fl|tfe|ffe|space|cube|vista|tse|se|gre|[23]d|axial|"
    r"ax|sagittal|sag|coronal|cor|transverse|tra|iso|hires|fatsat|fs|with|mit|after|enhanced|mm|\d"
)
"""What else ``acq-``, ``rec-`` or ``desc-`` say of such a T1; digits one by one, so that there is one way."""

_WITH = r"post|gadolinium|gadovist|gado|gad|gd|dotarem|contrast|km|ce|t1c"

_AGENT = re.compile(rf"(?:{_HOW}|{_WITH})*(?:{_WITH})(?:{_HOW}|{_WITH})*", re.IGNORECASE)
"""What ``acq-``, ``rec-`` or ``desc-`` say of a T1 with contrast agent, and nothing else, such as non."""

_NO_PICTURE = frozenset(("phase", "imag", "real"))
"""Values of ``part-`` that are no picture of tissue by themselves."""

_ACQUISITION = re.compile(r"_(?:acq|ce|rec|run|dir|echo|part|chunk)-[A-Za-z0-9]+")
"""Parts of names of BIDS that differ between the sequences of one session."""


def sequence_of_name(stem: str) -> tuple[str, str]:
    """Return the case that a file's name (without ending) speaks of, and the sequence or ``UNKNOWN``.

    Example:
        >>> sequence_of_name("patient7_t1ce")
        ('patient7', 'post-contrast')
        >>> sequence_of_name("FLAIR")
        ('', 'FLAIR')
        >>> sequence_of_name("scan")
        ('scan', 'unknown')
    """
    for sequence, pattern in _NAME.items():
        match = pattern.fullmatch(stem)
        if match is not None:
            case = match["case"] or ""
            return _by_entities(case, sequence) if case.startswith("sub-") else (case, sequence)
    return stem, UNKNOWN


def _by_entities(case: str, sequence: str) -> tuple[str, str]:
    """Return case and sequence of a name of BIDS, whose parts may say more than its end.

    Example:
        >>> _by_entities("sub-1_ce-gadolinium_run-1", PRE), _by_entities("sub-1_acq-postgd", PRE)
        (('sub-1_run-1', 'post-contrast'), ('sub-1_acq-postgd', 'post-contrast'))
        >>> _by_entities("sub-1_part-phase", PRE), _by_entities("sub-1_acq-precontrast", PRE)
        (('sub-1_part-phase', 'other'), ('sub-1_acq-precontrast', 'pre-contrast'))
    """
    said = {match["name"]: match["value"] for match in _ENTITY.finditer(case)}
    if said.get("part", "").lower() in _NO_PICTURE:
        return case, OTHER
    if sequence != PRE:
        return case, sequence
    agent = said.get("ce", "none").lower()
    if agent not in _NO_AGENT:
        return case.replace(f"_ce-{said['ce']}", ""), POST
    after = any(_AGENT.fullmatch(said[name]) for name in ("acq", "rec", "desc") if name in said)
    return case, POST if after else PRE


def cases_of_names(stems: Iterable[str], labelled: Collection[str] = ()) -> dict[str, tuple[str, str]]:
    """Return the case and the sequence that each name of one folder tells, as ``sequence_of_name`` does.

    In the names of BIDS sequences of one session may differ in how they were acquired (``acq-``, ``run-`` and
    the like). Where that leaves one file a sequence, FLAIR among them, they are of one case; not where
    several of them have labels.

    Args:
        stems: names without endings.
        labelled: names of scans, or of cases, that have labels.

    Example:
        >>> cases_of_names(["sub-1_acq-tra_FLAIR", "sub-1_acq-mprage_T1w"])["sub-1_acq-mprage_T1w"]
        ('sub-1', 'pre-contrast')
        >>> cases_of_names(["sub-1_run-1_FLAIR", "sub-1_run-2_FLAIR"])["sub-1_run-2_FLAIR"]
        ('sub-1_run-2', 'FLAIR')
    """
    found = {stem: sequence_of_name(stem) for stem in stems}
    together: dict[str, list[str]] = {}
    for stem, (case, sequence) in found.items():
        if sequence in CHANNELS and case.startswith("sub-"):
            together.setdefault(without_acquisition(case), []).append(stem)
    joined = {
        short
        for short, own in together.items()
        if _is_one_session({stem: found[stem] for stem in own}, labelled)
    }
    return {
        stem: (short, sequence)
        if sequence != UNKNOWN and (short := without_acquisition(case)) in joined
        else (case, sequence)
        for stem, (case, sequence) in found.items()
    }


def _is_one_session(names: Mapping[str, tuple[str, str]], labelled: Collection[str]) -> bool:
    """Tell whether names that differ in how they were acquired are one file a sequence, FLAIR among them."""
    cases = [case for case, _ in names.values()]
    shown = [sequence for _, sequence in names.values()]
    drawn = {case for stem, (case, _) in names.items() if stem in labelled or case in labelled}
    return len(set(cases)) > 1 and FLAIR in shown and len(shown) == len(set(shown)) and len(drawn) < 2


def without_acquisition(case: str) -> str:
    """Return a name of BIDS without what it says of how a scan was acquired.

    Example:
        >>> without_acquisition("sub-01_ses-2_acq-tra_run-1"), without_acquisition("anna_acq-tra")
        ('sub-01_ses-2', 'anna_acq-tra')
    """
    return _ACQUISITION.sub("", case) if case.startswith("sub-") else case


def sequence_of_words(text: str) -> str:
    """Return what a person's words for a sequence mean: one of ``CHANNELS``, ``OTHER`` or ``UNKNOWN``.

    Example:
        >>> sequence_of_words("T1CE"), sequence_of_words("T1 post Gd"), sequence_of_words("MRI")
        ('post-contrast', 'post-contrast', 'unknown')
    """
    short = sequence_of_name(text)[1]
    return short if short != UNKNOWN else _by_words(text, contrast=False)


def sequence_of_series(header: Any) -> str:
    """Return what a series shows: one of ``CHANNELS``, ``OTHER`` or ``UNKNOWN``.

    Args:
        header: a mapping with the DICOM keywords of one of its files, such as pydicom's dataset.
    """
    words = " ".join(
        str(header.get(tag) or "") for tag in ("SeriesDescription", "ProtocolName", "SequenceName")
    )
    description = str(header.get("SeriesDescription") or words)
    image_type = header.get("ImageType") or ()
    kinds = [image_type] if isinstance(image_type, str) else [str(kind) for kind in image_type]
    if str(header.get("Modality") or "MR") != "MR" or _NOT_SLICES.search(f"{' '.join(kinds)} {description}"):
        return OTHER
    if _COMPUTED_KINDS.intersection(map(str.upper, kinds)):
        return OTHER
    for text in (description, words):
        found = _by_words(text, _has_contrast(header))
        if found != UNKNOWN:
            return found
    return _by_times(header)


def _by_words(text: str, contrast: bool) -> str:
    is_t1 = bool(_T1_WORDS.search(text))
    if _COMPUTED.search(text):
        return OTHER
    if _FLAIR_WORDS.search(text) and (_T2_WORDS.search(text) or not _T1_ITSELF.search(text)):
        return FLAIR
    if is_t1:
        if _AFTER_CONTRAST.search(text):
            return POST
        if _PRE_WORDS.search(text):
            return PRE
        return POST if contrast or _POST_WORDS.search(text) else PRE
    return OTHER if _OTHER_WORDS.search(text) else UNKNOWN


def _has_contrast(header: Any) -> bool:
    """Tell whether the header names an agent; many name that there is none."""
    return str(header.get("ContrastBolusAgent") or "").strip().casefold() not in _NO_AGENT


def _by_times(header: Any) -> str:
    """Judge by inversion, echo and repetition time in ms (a long inversion darkens fluid: FLAIR)."""
    inversion, echo, repetition = (
        number_of(header.get(tag)) for tag in ("InversionTime", "EchoTime", "RepetitionTime")
    )
    if inversion and 1500 <= inversion <= 3200 and (echo or 100) >= 60:
        return FLAIR
    if echo and repetition and echo < 30 and repetition < 1000 and not inversion:
        return POST if _has_contrast(header) else PRE
    return UNKNOWN


def number_of(value: Any) -> float | None:
    """Return the value of a header's tag as a number; None where it is none, or several."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
