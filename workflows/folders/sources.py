"""Whatever a user names as a data set in, its studies out, each patient once."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from ..system.files import InputError, NothingFoundError
from .doubles import refuse_conflicts, set_doubles_aside
from .participants import with_participants
from .path_table import read_path_table
from .studies import Record, Study, find_slice_studies, holds_dicom, nothing_found
from .visits import named_by_place
from .volume_folder import find_volume_studies

logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]


def find_studies(root: PathLike, without: Path | None = None, *, told: bool = True) -> list[Study]:
    """Find every study of a data set as it lies on the disk, faults and doubled folders included.

    Where a table of participants lies in the folder, it tells persons and institutions, see ``participants``.

    Args:
        root: a folder of patients' folders at any depth, one patient's folder, a folder of volumes, or
            a CSV file of paths.
        without: a folder below it that is left out.
        told: look for a table of participants.

    Raises:
        InputError: there is nothing at ``root``, it is empty, or holds nothing that looks like a study.
    """
    path = Path(root).absolute()
    if path.is_file() and path.suffix.lower() == ".csv":
        listed = read_path_table(path)
        return with_participants(listed, path.parent, beside=True) if told else listed
    if not path.is_dir():
        raise _no_folder(path)
    decathlon = (path / "imagesTr").is_dir()
    slices = [] if decathlon else find_slice_studies(path, without)
    studies = slices + find_volume_studies(path, without)
    if not studies or (not any(study.has_images for study in studies) and holds_dicom(path)):
        raise nothing_found(path)
    named = [_with_name_of_place(study, path) for study in studies]
    return with_participants(named, path) if told else named


def _with_name_of_place(study: Study, root: Path) -> Study:
    name = named_by_place(study.patient, Path(study.folder), root)
    return study if name == study.patient else replace(study, patient=name)


def find_cases(
    root: PathLike, without: Path | None = None, *, apart: bool = False, told: bool = True
) -> list[Record]:
    """Find every case of a data set, each patient once, sorted by name.

    A case has a ``label`` only when every one of its images has a mask. Faults inside a study are not looked
    for: that is the work of ``checks.check_data``.

    Args:
        root: see ``find_studies``.
        without: the same.
        apart: return two different studies of one name, one after the other.
        told: look for a table of participants.

    Raises:
        InputError: see ``find_studies``; or two different studies carry one name.
    """
    records = (study.record() for study in distinct_studies(root, without, apart=apart, told=told))
    return sorted(records, key=lambda case: str(case["patient"]))


def labelled_cases(root: PathLike) -> list[Record]:
    """Find the cases that have masks, sorted by name; the log mentions patients without any.

    Raises:
        InputError: see ``find_cases``; or a patient has masks for some images only; or nobody has any.
    """
    studies = distinct_studies(root)
    for study in studies:
        bare = next((one.image for one in study.slices if one.image and not one.mask), None)
        if study.has_masks and bare:
            raise InputError(
                f"Every image of a patient needs a mask, but {bare} has none. Add the mask, all zeros if "
                f"there is no lesion, or remove the image; `gliomaseg doctor {root}` lists all faults."
            )
    labelled = [study.record() for study in studies if study.has_masks]
    if not labelled:
        raise InputError(
            f"Training needs masks, but none of the {len(studies)} patients in {root} has any. Expected "
            "<patient>_<number>_mask.tif beside each slice, or <name>_mask.nii.gz beside each volume."
        )
    if len(labelled) < len(studies):
        names = [study.patient for study in studies if not study.has_masks]
        logger.warning("%d patients without masks are left out, such as %s", len(names), names[0])
    return sorted(labelled, key=lambda case: str(case["patient"]))


def distinct_studies(
    root: PathLike, without: Path | None = None, *, apart: bool = False, told: bool = True
) -> list[Study]:
    """Find the studies that have images, each patient once; the log mentions doubled folders.

    With ``apart`` two different studies of one name are both there.

    Raises:
        InputError: see ``find_studies``; or two different studies carry one name.
    """
    doubles = set_doubles_aside(find_studies(root, without, told=told))
    if apart:
        doubles.kept.extend(study for _, study in doubles.conflicts)
    else:
        refuse_conflicts(doubles.conflicts)
    if doubles.copies:
        first, second = doubles.copies[0]
        logger.warning(
            "%d patients are there twice with equal content; used once, for example %s and not %s",
            len(doubles.copies), first.folder, second.folder,
        )  # fmt: skip
    repeated = [(study.patient, file) for study in doubles.kept for file in study.repeated]
    if repeated:
        patient, file = repeated[0]
        logger.warning(
            "Not used: %s%s, since another file of %s is taken; `gliomaseg doctor %s` lists all such",
            file, and_more(len(repeated)), patient, root,
        )  # fmt: skip
    with_images = [study for study in doubles.kept if study.has_images]
    if not with_images:
        raise NothingFoundError(
            f"Every mask needs its image, but {root} has masks only, such as {doubles.kept[0].files()[0]}. "
            "Put the images beside them."
        )
    return with_images


def and_more(count: int) -> str:
    """Return the words behind the first of several.

    >>> and_more(1), and_more(3)
    ('', ' and 2 more')
    """
    return f" and {count - 1} more" if count > 1 else ""


def _no_folder(path: Path) -> InputError:
    if path.is_file() and path.suffix.lower() == ".json":
        return InputError(
            f"Patients are looked for in a folder or a CSV file of paths, but {path} is JSON; if it is a "
            f"datalist, give it to `train` or `evaluate` as it is, or name the folder of the data and repeat "
            f"its split with `--split-file {path}`."
        )
    if path.is_file():
        return InputError(
            f"A data set is a folder, a CSV file of paths or a datalist.json, but {path} is another kind "
            "of file. Unpack an archive first and give the folder."
        )
    return InputError(
        f"There is no data set at {path}. Check the spelling, or make one with `gliomaseg demo`."
    )
