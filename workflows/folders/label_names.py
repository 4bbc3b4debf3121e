"""Names of label files in, which of them are labels, and whose, out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

LABEL_MARKS = (
    "_tumor_segmentation", "_tumor_seg", "_segmentation", "_segm", "_seg", "_dseg", "-seg",
    "_glistrboost_manuallycorrected", "_glistrboost",
    "_segmentations", "_tumormask",
    "_tumor_mask", "_tumour_mask",
    "_lesion_mask", "_mask", "-mask", "_label", "-label", "_lesion", "-lesion", "_roi",
)  # fmt: skip
"""What the name of a label has after the name of its scan, before the ending; longer ones come first."""

_SLICER_MARK = re.compile(r"(?<=.)[-_ ]segmentation$", re.IGNORECASE)

_SLICER_COUNT = re.compile(r"(?<=segmentation)[-_ ]?\d+$", re.IGNORECASE)
"""What 3D Slicer may put behind the name of a scan, and behind that of a further segmentation."""

OF_SLICER = ".seg"
"""What the name of a segmentation of 3D Slicer has before the ending, whatever stands before it."""

LABEL_NAMES = ("mask", "seg", "label", "labels", "lesion", "segmentation", "truth", "roi")
"""Names of a label that say nothing of its scan; in a folder with one scan it is that one's."""

_MAY_BE_LABEL = re.compile(
    r"(?P<scan>.+?)[-_](?:tumou?r|glioma|gt|ground[-_]?truth|truth|annotations?|manual|contours?)",
    re.IGNORECASE,
)
"""Names of labels, if the rest is the name of a scan beside them; ``brain_tumor`` alone is a scan."""

_BEFORE = re.compile(r"(?:seg|segmentation|mask|label)[-_](?=.)")
"""What the name of a label has before the name of its scan, where it has nothing behind."""

PROGRAM_WORDS = frozenset(
    ("pred", "preds", "predicted", "prediction", "predictions", "infer", "inferred", "inference", "output",
     "outputs", "result", "results", "automated")
)  # fmt: skip
"""Words of folders in which programs have left their masks, and of the names of such masks."""

TISSUE_PROGRAMS = frozenset(
    ("fmriprep", "smriprep", "freesurfer", "fastsurfer", "synthseg", "qsiprep", "mriqc", "synthstrip",
     "hdbet")
)  # fmt: skip
"""Words of folders with what programs make of healthy brains."""

_BY_A_PROGRAM = re.compile(rf"(?<=.)[-_.](?:{'|'.join(sorted(PROGRAM_WORDS))}|auto)(?![a-z])", re.IGNORECASE)
"""What stands behind the name of a scan in that of what a program made of it."""

_OF_THE_BRAIN = re.compile(
    r"(?:^|[-_. ])(?:desc-)?(?:brain(?:[-_]?mask)?|bet|hd-?bet|synthstrip|skull|head)$", re.IGNORECASE
)
"""How what stands before the mark of a mask ends where it is that of the brain, and not of a lesion."""

_OF_TISSUE = re.compile(
    r"_(?:label|desc)-(?:s?c?gm|wm|csf|brain(?:mask|stem)?|aseg\w*|aparc\w*|tissue\w*|skull|head|bg)(?:_|$)"
    r"|_probseg$|_label-[a-z0-9]+_probseg$",
    re.IGNORECASE,
)
"""In names of BIDS, what programs made of the healthy parts of a brain, or of chances."""

_TELLS_OF_TISSUE = re.compile(r"_(?:label-(?:s?c?gm|wm|csf)_|desc-preproc_|probseg$)", re.IGNORECASE)
"""In the name of a file beside a bare ``_dseg``, which is then one of tissues."""

_OF_A_LESION = re.compile(r"(?:tumou?r|lesion|glistr)[a-z]*", re.IGNORECASE)


_ENTITIES = re.compile(r"(?:_(?:label|desc|space|res|den|hemi)-[A-Za-z0-9]+)+$")
"""What BIDS puts behind the name of a scan in that of something derived from it."""


def without_entities(name: str) -> str:
    """Return a name of BIDS without what tells how it was derived from the scan.

    Example:
        >>> without_entities("sub-01_ses-1_space-FLAIR_label-lesion")
        'sub-01_ses-1'
    """
    return _ENTITIES.sub("", name)


def is_label(stem: str) -> bool:
    """Return whether a volume is a label by its name, without the ending.

    Example:
        >>> is_label("anna_seg"), is_label("Lesion"), is_label("anna.seg"), is_label("anna")
        (True, True, True, False)
    """
    lowered = stem.lower()
    if lowered.endswith(OF_SLICER) or (lowered.startswith("sub-") and lowered.endswith("_probseg")):
        return True
    marked = lowered.endswith((*LABEL_MARKS, "brainmask")) or _BEFORE.match(lowered) is not None
    return marked or lowered in LABEL_NAMES


def scan_name(stem: str) -> str:
    """Return the name of the scan that a label is called after.

    Example:
        >>> scan_name("anna_seg"), scan_name("anna"), scan_name("seg_anna")
        ('anna', 'anna', 'anna')
        >>> scan_name("anna.seg"), scan_name("anna_label.seg"), scan_name("Segmentation_1.seg")
        ('anna', 'anna', 'Segmentation')
        >>> scan_name("anna-Segmentation.seg"), scan_name("anna segmentation.seg")
        ('anna', 'anna')
    """
    if stem.lower().endswith(OF_SLICER):
        return scan_name(_SLICER_MARK.sub("", _SLICER_COUNT.sub("", stem[: -len(OF_SLICER)])))
    mark = next((mark for mark in LABEL_MARKS if stem.lower().endswith(mark)), "")
    before = None if mark else _BEFORE.match(stem.lower())
    return stem[before.end() :] if before else stem[: len(stem) - len(mark)]


def is_brain(stem: str) -> bool:
    """Return whether a name ends as those of brains and their masks do.

    Example:
        >>> is_brain("anna_brain"), is_brain("brainmask"), is_brain("anna_brain_lesion")
        (True, True, False)
    """
    return _OF_THE_BRAIN.search(stem) is not None


def is_of_the_brain(stem: str) -> bool:
    """Return whether a label is by its name that of the whole brain, as programs that strip skulls write it.

    Example:
        >>> is_of_the_brain("sub-01_desc-brain_mask"), is_of_the_brain("tumor_001_bet_mask")
        (True, True)
        >>> is_of_the_brain("anna_mask"), is_of_the_brain("anna_brain_tumor_seg")
        (False, False)
        >>> is_of_the_brain("sub-1_label-WM_mask"), is_of_the_brain("sub-1_label-CSF_probseg")
        (True, True)
    """
    if not is_label(stem):
        return False
    if stem.lower().startswith("sub-") and _OF_TISSUE.search(stem):
        return stem.lower().endswith("_probseg") or not is_of_a_lesion(stem)  # chances are no outline
    found = _OF_THE_BRAIN.search(scan_name(stem))
    of_bids = stem.lower().startswith("sub-")
    return found is not None and not _OF_A_LESION.search(stem, 0 if of_bids else found.start())


def is_of_a_lesion(stem: str) -> bool:
    """Return whether the name of a label says that it is one of a lesion.

    Example:
        >>> is_of_a_lesion("sub-01_label-lesion_mask"), is_of_a_lesion("sub-01_dseg")
        (True, False)
    """
    return _OF_A_LESION.search(stem) is not None


def of_tissues(stems: Sequence[str]) -> set[str]:
    """Return bare segmentations of BIDS whose neighbours say that they are of tissues, not of lesions.

    Example:
        >>> of_tissues(["sub-1_dseg", "sub-1_label-GM_probseg"]), of_tissues(["sub-1_dseg"])
        ({'sub-1_dseg'}, set())
    """
    bare = {stem for stem in stems if stem.startswith("sub-") and stem.lower().endswith("_dseg")}
    told = bare and any(stem.startswith("sub-") and _TELLS_OF_TISSUE.search(stem) for stem in stems)
    return {stem for stem in bare if not is_of_a_lesion(stem)} if told else set()


def brain_last(drawn: tuple[str, Path]) -> tuple[bool, str]:
    """Sort what is only called a mask, which may be that of the brain, behind what is called a lesion."""
    stem = drawn[0].lower()
    return stem.endswith(("_mask", "-mask")) and not stem.endswith(
        ("_lesion_mask", "_tumor_mask", "_tumour_mask")
    ), stem


def of_programs(stems: Sequence[str], beside: Sequence[str] | None = None) -> set[str]:
    """Return names that are those of a program's results.

    Such as are called after a scan with a word of programs behind, and labels that have such a word and are
    called after no scan.

    Args:
        stems: names without endings.
        beside: names of the scans; None takes the same.

    Example:
        >>> sorted(of_programs(["anna", "anna_seg", "anna_pred_seg", "bob_flair", "bob_auto", "eve_pred"]))
        ['anna_pred_seg', 'bob_auto']
        >>> of_programs(["flair", "pred_seg"]), of_programs(["my_output", "my_output_seg"])
        ({'pred_seg'}, set())
    """
    marked = {stem: end for stem in stems if (end := _of_a_program(stem)) is not None}
    if not marked:
        return set()
    scans = _scans_of(stems if beside is None else beside)
    called = {stem for stem, end in marked.items() if scans & {stem[:end], scan_name(stem[:end])}}
    return called | {stem for stem in marked if is_label(stem) and scan_name(stem) not in scans}


def _scans_of(stems: Sequence[str]) -> set[str]:
    """Return the names that scans and their cases have."""
    from .sequences import UNKNOWN, sequence_of_name  # the transforms bring MONAI along

    return {*stems, *(case for case, sequence in map(sequence_of_name, stems) if sequence != UNKNOWN)}


def _of_a_program(stem: str) -> int | None:
    """Return where the name of the scan ends, if a word of programs stands behind it; 0 if it begins so."""
    found = _BY_A_PROGRAM.search(stem)
    if found:
        return found.start()
    return 0 if re.split(r"[-_. ]", stem.lower(), maxsplit=1)[0] in PROGRAM_WORDS else None


def labels_of_scans(stems: Sequence[str]) -> dict[str, str]:
    """Return names that are those of labels since a scan beside them has the rest of the name, and that rest.

    Example:
        >>> labels_of_scans(["P1", "P1_tumor", "brain_tumor", "P2_flair", "P2_GT", "P3", "P3_gt", "P3_seg"])
        {'P1_tumor': 'P1', 'P2_GT': 'P2'}
        >>> labels_of_scans(["P1_flair", "P1_seg_manual"])
        {'P1_seg_manual': 'P1'}
    """
    matches = {stem: match["scan"] for stem in stems if (match := _MAY_BE_LABEL.fullmatch(stem))}
    if not matches:
        return {}
    scans = _scans_of(stems)
    found = {stem: scan if scan in scans else scan_name(scan) for stem, scan in matches.items()}
    drawn = {scan_name(stem) for stem in stems if is_label(stem)}
    once = Counter(found.values())
    return {
        stem: scan for stem, scan in found.items() if scan in scans and scan not in drawn and once[scan] == 1
    }


def are_alike(label: str, scan: str) -> bool:
    """Tell whether a label's name says nothing of a scan, or begins as that of the scan does."""
    one, other = label.lower(), scan.lower()
    return one in LABEL_NAMES or one.startswith(other) or other.startswith(one)
