"""The series of one DICOM study in, the one for each sequence out, or a sentence that says what to name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...transforms.keys import CHANNELS
from ...transforms.space import COARSEST_MM
from ..system.files import InputError
from .sequences import FLAIR, OTHER, POST, PRE, UNKNOWN, number_of, sequence_of_series

OPTIONS = {FLAIR: "--flair", PRE: "--pre", POST: "--post"}
"""How a person names the series of a sequence on the command line."""

NOBODY = frozenset(
    ("", "anonymous", "anonymized", "anonymised", "anon", "unknown", "none", "0", "patient", "test",
     "removed")
)  # fmt: skip
"""Numbers and names of patients that say nothing of who it is; in small letters."""

NONE = "none"
"""What a person says to do without a sequence."""

PARALLEL = 0.9
"""Cosine between the normals of slices that lie alike."""

Wanted = Mapping[str, str]
"""Sequence -> number, description or UID of a series, or ``NONE``."""


def wanted_series(pre: str | None, flair: str | None, post: str | None) -> dict[str, str]:
    """Return what a person said of each sequence, by its name; what was not said is left out.

    Example:
        >>> wanted_series(None, "5", "none")
        {'FLAIR': '5', 'post-contrast': 'none'}
    """
    said = zip(CHANNELS, (pre, flair, post), strict=True)
    return {sequence: word for sequence, word in said if word is not None}


@dataclass(frozen=True)
class Series:
    """One series as the header of its first file describes it.

    Attributes:
        files: its files, in any order.
        header: of the first of them, without pixels.
    """

    files: tuple[str, ...]
    header: Any

    @property
    def sequence(self) -> str:
        """What it shows, see ``sequences.sequence_of_series``."""
        return sequence_of_series(self.header)

    @property
    def number(self) -> str:
        """The number that the scanner gave it, or a question mark."""
        return str(self.header.get("SeriesNumber") or "?")

    @property
    def title(self) -> str:
        """Number and description for messages."""
        return f"{self.number} ({self.header.get('SeriesDescription') or 'no description'})"

    @property
    def normal(self) -> np.ndarray[Any, np.dtype[np.float64]] | None:
        """Unit vector across the slices, None where the header does not tell."""
        try:
            turn = np.asarray(self.header.get("ImageOrientationPatient"), dtype=np.float64)
        except (TypeError, ValueError):
            return None
        return np.cross(turn[:3], turn[3:]) if turn.shape == (6,) else None

    @property
    def can_be_cut_axially(self) -> bool:
        """Whether slices are axial or thin enough, so far as the header tells."""
        normal = self.normal
        if normal is None or abs(normal).argmax() == 2:
            return True
        tags = ("SpacingBetweenSlices", "SliceThickness")
        thickness = next((value for tag in tags if (value := number_of(self.header.get(tag)))), None)
        return thickness is not None and abs(thickness) <= COARSEST_MM  # some write the direction too

    def is_called(self, word: str) -> bool:
        """Return whether a person may mean this series by a word."""
        names = (self.number, self.header.get("SeriesDescription"), self.header.get("SeriesInstanceUID"))
        return word.strip().casefold() in {str(name).strip().casefold() for name in names if name}

    def is_like(self, other: Series) -> bool:
        """Return whether the slices of two series are parallel, so far as the headers tell."""
        mine, its = self.normal, other.normal
        return mine is None or its is None or abs(float(mine @ its)) > PARALLEL

    def shares_space_with(self, other: Series) -> bool:
        """Return whether positions in both can be compared: one frame of reference, or none told."""
        mine, its = (str(one.header.get("FrameOfReferenceUID") or "") for one in (self, other))
        return not mine or not its or mine == its


@dataclass(frozen=True)
class Choice:
    """The series chosen for each sequence, with what is to be said about it."""

    series: dict[str, Series]
    notes: tuple[str, ...] = ()


def choose_series(series: Sequence[Series], wanted: Wanted, folder: str) -> Choice:
    """Choose the series that the network looks at: FLAIR, and pre- and post-contrast where they are.

    Args:
        series: of one study.
        wanted: what a person said; it comes first.
        folder: for messages.

    Raises:
        InputError: there is no FLAIR, several series may be meant, or a word fits none or several.
    """
    flair, notes = _flair(series, wanted, folder)
    chosen = {FLAIR: flair}
    for sequence in (PRE, POST):
        found = _contrast(sequence, [one for one in series if one is not flair], flair, wanted, folder)
        if found is not None and not found.shares_space_with(flair):
            notes.append(f"Series {found.title} has another frame of reference than FLAIR and was left out.")
        elif found is not None:
            chosen[sequence] = found
    return Choice({name: chosen[name] for name in CHANNELS if name in chosen}, tuple(notes))


def _flair(series: Sequence[Series], wanted: Wanted, folder: str) -> tuple[Series, list[str]]:
    if FLAIR in wanted:
        named = _named(FLAIR, wanted[FLAIR], series, folder)
        doubt = f"Series {named.title} was taken as FLAIR as asked, though it looks like another sequence."
        return named, [doubt] if named.sequence not in (FLAIR, UNKNOWN) else []
    found = [one for one in series if one.sequence == FLAIR]
    if not found:
        unsure = [one for one in series if one.sequence != OTHER]
        if len(unsure) == 1 and unsure[0].sequence == UNKNOWN:
            return unsure[0], [f"Series {unsure[0].title} was taken as FLAIR: nothing else can be it."]
        raise _no_flair(series, folder)
    return _only(found, lambda one: one.can_be_cut_axially, FLAIR, folder), []


def _contrast(
    sequence: str, series: Sequence[Series], flair: Series, wanted: Wanted, folder: str
) -> Series | None:
    word = wanted.get(sequence)
    if word is not None:
        return None if word.casefold() == NONE else _named(sequence, word, series, folder)
    found = [one for one in series if one.sequence == sequence]
    return _only(found, lambda one: one.is_like(flair), sequence, folder) if found else None


def _named(sequence: str, word: str, series: Sequence[Series], folder: str) -> Series:
    found = [one for one in series if one.is_called(word)]
    if len(found) != 1:
        raise InputError(
            f"{OPTIONS[sequence]} names one series, but {word!r} fits {len(found)} in {folder}, which holds "
            f"{_titles(series)}; take a number or a whole description."
        )
    return found[0]


def _only(found: list[Series], fits: Callable[[Series], bool], sequence: str, folder: str) -> Series:
    """Return the one series of a sequence; of several, the one that fits better."""
    better = [one for one in found if fits(one)] or found
    if len(better) > 1:
        leave = "" if sequence == FLAIR else f", or leave it out with {OPTIONS[sequence]} {NONE}"
        raise InputError(
            f"Several series in {folder} may be {sequence}: {_titles(better)}; name one with "
            f"{OPTIONS[sequence]} {better[0].number}{leave}."
        )
    return better[0]


def _no_flair(series: Sequence[Series], folder: str) -> InputError:
    kinds = sorted({str(one.header.get("Modality") or "MR") for one in series})
    if "MR" not in kinds:
        return InputError(
            f"The network knows MRI (modality MR), but {folder} holds {', '.join(kinds)}; "
            "give the folder of the FLAIR series."
        )
    unsure = [one for one in series if one.sequence == UNKNOWN]
    way_out = (
        f"name one with {OPTIONS[FLAIR]} {unsure[0].number}, or give the folder of the FLAIR series"
        if unsure
        else f"give the folder of the FLAIR series, or name it with {OPTIONS[FLAIR]} if its title is wrong"
    )
    return InputError(f"No series in {folder} is known as FLAIR: there is {_titles(series)}; {way_out}.")


def _titles(series: Sequence[Series]) -> str:
    shown = ", ".join(one.title for one in series[:12])
    return shown + (f" and {len(series) - 12} more" if len(series) > 12 else "")
