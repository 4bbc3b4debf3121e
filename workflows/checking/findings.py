"""Faults found in a data set, as a list a person can act on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from ..folders.look_alikes import WHO_IS_WHO
from ..folders.slices import UNKNOWN
from ..system.files import InputError

Level = Literal["error", "warning"]


class Kind(NamedTuple):
    """One kind of fault: how grave it is, its heading, what to do about it."""

    level: Level
    title: str
    remedy: str


KINDS: Final[Mapping[str, Kind]] = {
    "missing-file": Kind("error", "Missing files", "Bring the file back, or take it off the list."),
    "broken-link": Kind(
        "error",
        "Links that lead nowhere",
        "Bring back what they lead to, such as a disk that is not mounted, or remove them.",
    ),
    "empty-file": Kind("error", "Files of zero bytes", "Copy the file again; the disk may have been full."),
    "unreadable": Kind("error", "Unreadable files", "Copy the file again, or save it as TIFF, PNG or NIfTI."),
    "truncated": Kind("error", "Files that end early", "Copy the file again and compare its size."),
    "image-without-mask": Kind(
        "error",
        "Images without mask",
        "Add the mask (all zeros if there is no lesion) or remove the image.",
    ),
    "mask-without-image": Kind("error", "Masks without image", "Add the image or remove the mask."),
    "same-number": Kind("error", "Slice numbers used twice", "Remove one of the files, or rename it."),
    "size-within-patient": Kind(
        "error", "Sizes that differ within a patient", "Bring all slices of a patient to the same size."
    ),
    "mode-within-patient": Kind(
        "error", "Grey and colour mixed within a patient", "Save all slices of a patient in the same mode."
    ),
    "image-mode": Kind(
        "error", "Images of an unknown kind", "Save images as 8-bit RGB: pre-contrast, FLAIR, post-contrast."
    ),
    "mask-size": Kind("error", "Masks of another size than their image", "Save them at one size."),
    "mask-size-within-patient": Kind(
        "error",
        "Masks of several sizes within a patient",
        "Draw that mask again on its slice, or resample it without smoothing to the size of the others.",
    ),
    "mask-channels": Kind("error", "Masks with several channels", "Save masks as 8-bit grey, 0 and 255."),
    "mask-values": Kind(
        "error",
        "Mask values other than background and lesion",
        "Save masks with 0 for background and 255 (or 1) for lesion; JPEG and smooth scaling blur them.",
    ),
    "mask-as-image": Kind(
        "error", "Masks in the place of scans", "Give the scan that it was drawn on; a mask has two values."
    ),
    "inverted": Kind(
        "error",
        "Labels that cover most of the picture",
        "Save them with 0 for background; if only the values are swapped, turn them round.",
    ),
    "same-label": Kind(
        "error",
        "The same label under two patients",
        "Find out whose it is; copy the right label for the other, or take it off the list.",
    ),
    "leak": Kind(
        "error",
        "The same image under two patients",
        "Find out whose it is and remove the other; else training and validation share it.",
    ),
    "same-name": Kind("error", "Different studies of one name", "Rename one of them or remove it."),
    "both-sides": Kind(
        "error", "Patients on both sides of the split", "Keep each patient in one section, or split anew."
    ),
    "given-split": Kind("error", "A split file that does not fit", "Correct the split file."),
    "changed-file": Kind(
        "error",
        "Files changed since the datalist was written",
        "Bring the old files back, or write a new datalist with `gliomaseg prepare DATA`.",
    ),
    "label-shape": Kind(
        "error", "Labels of another shape than their image", "Resample the label to its image."
    ),
    "two-labels": Kind(
        "error",
        "Several labels for one scan",
        "Keep the one that outlines the abnormality, and move masks of the brain and the like elsewhere.",
    ),
    "affine": Kind(
        "error",
        "Labels that lie elsewhere than their image",
        "Resample the label to its image, or copy the affine if only the header is wrong.",
    ),
    "sequences-apart": Kind(
        "error",
        "Sequences of a patient that cannot be put together",
        "Name one file a sequence and one of them FLAIR, such as case_flair, case_t1 and case_t1ce, or list "
        "them in a CSV file with the columns patient, image, label, pre, post.",
    ),
    "sequence-elsewhere": Kind(
        "error",
        "Sequences that do not lie over FLAIR",
        "Register them to FLAIR, or leave them out: FLAIR stands in.",
    ),
    "blank": Kind(
        "error",
        "Volumes without a picture",
        "Export them again; a sequence that was not acquired is left out, and FLAIR stands in.",
    ),
    "not-finite": Kind("error", "Volumes with NaN or infinity", "Replace these voxels, for example by 0."),
    "beyond-all-scans": Kind(
        "error",
        "Volumes with values that no scanner makes",
        "The file is damaged, or the scaling in its header is: copy it again or convert it anew.",
    ),
    "volume-axes": Kind("error", "Volumes with too few or too many axes", "Save scans in 3-D or 4-D."),
    "not-axial": Kind(
        "error",
        "Volumes whose axial slices are too coarse",
        "Give the axial FLAIR, or a 3-D FLAIR with voxels of at most 3 mm.",
    ),
    "named-otherwise": Kind(
        "warning",
        "Volumes taken as FLAIR, called like another sequence",
        "Name the file of FLAIR with _flair at its end, or list it in a CSV file; nothing, if it is FLAIR.",
    ),
    "like-a-mask": Kind(
        "warning",
        "Files with the values of masks, and without the name of one",
        "If it is the label of a scan beside it, call it like the scan with _mask behind; else move it away.",
    ),
    "negative": Kind(
        "warning",
        "Scans whose air is brighter than the head",
        "Look at them; if black and white are exchanged, export them anew or turn the values round.",
    ),
    "no-masks": Kind(
        "warning", "Patients without any mask", "Add masks, or leave it: the patient is not trained on."
    ),
    "no-lesion": Kind("warning", "Patients without any lesion", "Check that the masks are not all blank."),
    "resampled": Kind(
        "warning",
        "Sequences on another grid than FLAIR",
        "Nothing: they are resampled to its grid while they are loaded.",
    ),
    "label-classes": Kind(
        "warning",
        "Labels with several classes, taken as one",
        "Nothing, if every value but 0 is abnormal on FLAIR, as the whole tumour of BraTS is.",
    ),
    "grey": Kind("warning", "Grey images, taken as FLAIR alone", "Nothing, if they are FLAIR."),
    "channels": Kind(
        "error",
        "Wrong numbers of sequences",
        "Keep FLAIR alone, or pre-contrast, FLAIR and post-contrast in this order.",
    ),
    "gap": Kind("warning", "Gaps in the slice numbers", "Check whether slices were lost in copying."),
    "repeated-image": Kind(
        "warning", "The same image twice within a patient", "Check whether a slice was copied twice."
    ),
    "doubled-folder": Kind("warning", "Folders that are there twice", "Remove the copy; it is not used."),
    "other-names": Kind("warning", "Pictures with other names", "Rename them if they are slices."),
    "look-alikes": Kind(
        "warning",
        "Patients who may be one person",
        "Nothing, if they are several persons; else " + WHO_IS_WHO,
    ),
    "slice-split": Kind("warning", "A split that leaks", "Split by patient: `gliomaseg prepare DATA`."),
    "everyone-trains": Kind(
        "warning", "Validation patients who train", "Take no figure from them; test on other patients."
    ),
}
"""Every kind of fault by its code, in the order in which they are listed."""


@dataclass(frozen=True)
class Finding:
    """One fault of one patient.

    Attributes:
        level: an error stops a run, a warning does not.
        code: its kind, a key of ``KINDS``.
        files: every file it is about, or the folder.
        what: a sentence: the rule or what was found, with the file and the value.
        remedy: a sentence: what to do.
    """

    level: Level
    code: str
    files: tuple[str, ...]
    what: str
    remedy: str


@dataclass(frozen=True)
class DataReport:
    """What a check of a data set has found.

    Attributes:
        source: what was checked.
        cases: number of studies, doubled ones once.
        patients: number of persons they are of.
        slices: number of images (of depth positions, for volumes).
        slices_with_lesion: how many of them have a lesion.
        institutions: number of studies by institution.
        findings: all faults, errors first.
    """

    source: str
    cases: int
    patients: int
    slices: int
    slices_with_lesion: int
    institutions: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> list[Finding]:
        """Faults that stop a run."""
        return [finding for finding in self.findings if finding.level == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """Faults that do not stop a run."""
        return [finding for finding in self.findings if finding.level == "warning"]


def finding(code: str, files: Sequence[str], what: str, remedy: str | None = None) -> Finding:
    """Make a finding of a known kind, with the remedy of its kind unless another is given."""
    kind = KINDS[code]
    return Finding(kind.level, code, tuple(files), what, remedy or kind.remedy)


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sort findings by kind, as ``KINDS`` lists them: errors first."""
    order = {code: place for place, code in enumerate(KINDS)}
    return tuple(sorted(findings, key=lambda one: order[one.code]))


def raise_on_errors(report: DataReport, shown: int = 3) -> None:
    """Raise when a report has errors; warnings pass.

    Raises:
        InputError: with the number of errors, the first few, and how to see all.
    """
    errors = report.errors
    if errors:
        first = " ".join(f"({place}) {one.what}" for place, one in enumerate(errors[:shown], start=1))
        more = f" and {len(errors) - shown} more." if len(errors) > shown else ""
        raise InputError(
            f"The data must be free of errors, but {report.source} has {amount(len(errors), 'error')}: "
            f"{first}{more} "
            f"See them all, with remedies: `gliomaseg doctor {shlex.quote(report.source)}`."
        )


def format_findings(report: DataReport, lines: int = 5, all: bool = False) -> str:
    """Return a report as text for a terminal, grouped by kind.

    Args:
        report: what to show.
        lines: at most so many findings of a kind.
        all: show every finding.
    """
    text = [_headline(report)]
    for code, kind in KINDS.items():
        found = [one for one in report.findings if one.code == code]
        if found:
            text += ["", f"{kind.level.upper()}: {kind.title} ({len(found)})"]
            text += _group_lines(found, len(found) if all else lines)
    if not report.findings:
        text.append("No faults found.")
    return "\n".join(text)


def amount(number: int, noun: str) -> str:
    """Put a count before its noun, for a line in a terminal.

    >>> amount(1, "study"), amount(3, "study"), amount(1, "slice"), amount(0, "slice")
    ('1 study', '3 studies', '1 slice', '0 slices')
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"


def _group_lines(found: list[Finding], lines: int) -> list[str]:
    text = [f"  - {one.what}" for one in found[:lines]]
    if len(found) > lines:
        text.append(f"  - ... and {len(found) - lines} more")
    remedies = dict.fromkeys(one.remedy for one in found)
    return text + [f"  > {remedy}" for remedy in remedies]


def _headline(report: DataReport) -> str:
    sites = ", ".join(
        f"{name} {count}" if name != UNKNOWN else f"institution unknown: {count}"
        for name, count in report.institutions.items()
    )
    return (
        f"{report.source}: {amount(report.patients, 'patient')}, {amount(report.cases, 'study')}, "
        f"{amount(report.slices, 'slice')}, {report.slices_with_lesion} with lesion ({sites}); "
        f"{amount(len(report.errors), 'error')}, {amount(len(report.warnings), 'warning')}"
    )
