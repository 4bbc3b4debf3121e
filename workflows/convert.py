"""DICOM studies in, NIfTI files that training and evaluation take out, the truth beside them."""

from __future__ import annotations

import logging
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..transforms import keys
from ..transforms.dicom import may_be_dicom, read_series
from ..transforms.dicom_mask import FoundMask
from ..transforms.space import axial_spacing, check_axial, spacing_of, to_slices, voxel_volume_mm3
from ..transforms.volume import Volume, on_grid_of
from . import pictures
from .folders.dicom_folder import DicomStudy, choose, own_folders, sort_dicom
from .folders.dicom_series import NOBODY, Choice, Wanted
from .folders.sequences import FLAIR, POST, PRE, sequence_of_name
from .folders.slices import person_of
from .folders.studies import walk
from .reports.pages import page_template, version
from .reports.patients import jpeg_uri
from .results import table_of
from .resuming.finished import Finished
from .system import files
from .system.files import InputError, NothingFoundError, require_folder
from .truths import Truth, choose_truth, read_truth, volumes_in

logger = logging.getLogger(__name__)

ENDS: Final = {PRE: "t1", FLAIR: "flair", POST: "t1ce"}
"""How the names of the files end, for each sequence."""

TRUTH_END: Final = "seg"
"""How the name of the truth ends."""

MARK: Final = "gliomaseg convert"
"""What the header of a truth says, and then what it holds."""

TABLE: Final = "convert.csv"
PAGE: Final = "convert.html"

COLUMNS: Final = (
    "study", "input", "flair", "pre", "post", "truth", "segments", "truth_voxels", "truth_ml",
    "shape", "spacing_mm", "notes", "problem",
)  # fmt: skip

FEW: Final = 3
"""From this many studies of one PatientID and of nobody else it is asked whether that can be right."""


@dataclass(frozen=True)
class ConvertOptions:
    """What a person asks for.

    Attributes:
        wanted: sequence -> series, see ``dicom_series``.
        truth: which mask is the truth, see ``truths.choose_truth``.
        segments: which segments of it count.
        each_its_own: take every study as a patient of its own, whatever PatientID says.
    """

    wanted: Wanted
    truth: str | None = None
    segments: tuple[str, ...] = ()
    each_its_own: bool = False


@dataclass(frozen=True)
class _Job:
    """A study that is to be converted: its name, its folder, and the NIfTI files there that are its own."""

    name: str
    study: DicomStudy
    folder: Path
    volumes: tuple[Path, ...] = ()


def convert_studies(
    inputs: Sequence[Path], output: Path, options: ConvertOptions, resume: bool = False
) -> list[dict[str, Any]]:
    """Write the studies of DICOM folders as NIfTI, a file a sequence, with a table and a page to look at.

    Args:
        inputs: folders with DICOM files at any depth.
        output: folder for everything; a study goes to ``output/<name>/<name>_flair.nii.gz`` and so on.
        options: what a person asks for.
        resume: keep what an earlier call has finished.

    Returns:
        The rows of ``convert.csv``.

    Raises:
        InputError: there is no DICOM study, an output lies among the inputs' files, or a study could not be
            converted; that is said when all others are done.
    """
    require_folder(output)
    jobs = _find(inputs, output, options)
    settings = {"convert": 1, "truth": options.truth, "segments": options.segments, "wanted": options.wanted}
    finished = Finished(output, settings, resume)
    rows: list[dict[str, Any]] = []
    bar = tqdm(jobs, "converting", unit="study", dynamic_ncols=True, disable=len(jobs) < 2)
    for job in bar:
        rows.append(_done_before(job, finished) or _convert(job, output, options, finished))
        _write_table(output, rows)
    _write_page(output, rows)
    if earlier := sorted(finished.names() - {job.name for job in jobs}):
        logger.warning(
            "%s holds studies of earlier calls that are not among these (%d), such as %s; remove them if "
            "they are the same scans under another name.", output, len(earlier), earlier[0],
        )  # fmt: skip
    failed = [row for row in rows if row["problem"]]
    if failed:
        others = "" if len(failed) == len(rows) else "; the others are done"
        raise InputError(
            f"{len(failed)} of {len(rows)} studies could not be converted, the first of them "
            f"{failed[0]['study']}: {failed[0]['problem']} {output / TABLE} lists them all{others}."
        )
    return rows


def _find(inputs: Sequence[Path], output: Path, options: ConvertOptions) -> list[_Job]:
    jobs: list[_Job] = []
    for place in inputs:
        if not place.is_dir():
            raise InputError(f"convert takes folders with DICOM files, but {place} is none; check the path.")
        dicom = [
            folder / name for folder, names in walk(place, output) for name in names
            if may_be_dicom(folder / name)
        ]  # fmt: skip
        found = sort_dicom(dicom, place) if dicom else []
        tops = own_folders([study for _, study in found], place.absolute())
        for (name, study), top in zip(found, tops, strict=True):
            jobs.append(_Job(name, study, top or Path(study.folder)))
    if not jobs:
        raise NothingFoundError(
            f"No DICOM files were found in {', '.join(map(str, inputs))}; NIfTI volumes and slices need no "
            "converting."
        )
    names = [job.name for job in jobs] if options.each_its_own else _names_of_persons(jobs)
    jobs = [
        replace(job, name=_unmistakable(name), volumes=tuple(_beside(job, jobs, output)))
        for name, job in zip(names, jobs, strict=True)
    ]
    _check_places(jobs, output)
    return jobs


def _unmistakable(name: str) -> str:
    """Return a name that those of its files tell again, whatever words it ends with.

    Example:
        >>> _unmistakable("anna"), _unmistakable("P07_T2")
        ('anna', 'P07_T2_study')
    """
    told = all(sequence_of_name(f"{name}_{end}") == (name, sequence) for sequence, end in ENDS.items())
    return name if told else f"{name}_study"


def _beside(job: _Job, jobs: Sequence[_Job], output: Path) -> Iterator[Path]:
    """Yield the NIfTI files that may be the truth of a study: in its folder, and in that of no other.

    Where several studies share a folder, those that are called after it.
    """
    rest = [other for other in jobs if other is not job]
    others = [other.folder for other in rest if job.folder in other.folder.parents]
    shared = any(Path(file).parent == job.folder for other in rest for file in other.study.files)
    sharing = [other.name for other in rest if other.folder == job.folder]
    for path in volumes_in(job.folder, output):
        fits = [name for name in (job.name, *sharing) if _is_called_after(path.name, name)]
        named = bool(fits) and max(fits, key=len) == job.name
        if (named or not shared) and not any(folder in path.parents for folder in others):
            yield path


def _is_called_after(file: str, study: str) -> bool:
    rest = file.casefold().removeprefix(study.casefold())
    return rest != file.casefold() and rest[:1] in ("-", "_", ".", " ")


def _check_places(jobs: Sequence[_Job], output: Path) -> None:
    """Refuse what would be written over another study, or among the scans."""
    names = [job.name for job in jobs]
    for job in jobs:
        if names.count(job.name) > 1:
            raise InputError(
                f"Every study needs a name of its own, but {names.count(job.name)} of them are called "
                f"{job.name}; convert the folders one after the other, each with its own --output."
            )
        place = (output / job.name).resolve()
        if any(Path(file).resolve().is_relative_to(place) for file in job.study.files):
            raise InputError(
                f"The volumes of {job.name} would lie among its DICOM files in {place}; choose another "
                "--output."
            )


def _names_of_persons(jobs: Sequence[_Job]) -> list[str]:
    """Return names by which two studies of one PatientID are told to be of one person."""
    names = [job.name for job in jobs]
    groups: dict[str, list[int]] = defaultdict(list)
    for index, job in enumerate(jobs):
        person = _tag(job.study, "PatientID")
        if person.casefold() not in NOBODY:
            groups[person].append(index)
    if len(jobs) >= FEW and max(map(len, groups.values()), default=0) == len(jobs):
        logger.warning(
            "All %d studies have one PatientID, so they count as one person and no split can part them. If "
            "that is for de-identification, give --each-its-own.",
            len(jobs),
        )
    taken = set(names)
    for members in groups.values():
        if len({person_of(names[index]) for index in members}) < 2:
            continue
        members.sort(key=lambda index: (_tag(jobs[index].study, "StudyDate"), names[index]))
        label = base = re.sub(r"[^A-Za-z0-9]", "", names[members[0]]) or "patient"
        number = 2
        while any(name.startswith(f"sub-{label}_") for name in taken):
            label, number = f"{base}x{number}", number + 1
        for session, index in enumerate(members, start=1):
            names[index] = f"sub-{label}_ses-{session}"
            taken.add(names[index])
    return names


def _tag(study: DicomStudy, tag: str) -> str:
    values = (str(header[tag] or "").strip() for _, header in study.series.values())
    return next((value for value in values if value), "")


def _done_before(job: _Job, finished: Finished) -> dict[str, Any] | None:
    row = finished.find(_case(job))
    if row is None:
        return None
    return {**{name: row.get(name) for name in (*COLUMNS, "picture")}, "input": str(job.folder)}


def _case(job: _Job) -> dict[str, Any]:
    """Return a record whose files are all that decides what is written."""
    return {
        keys.PATIENT: job.name,
        keys.IMAGE: sorted(job.study.files),
        keys.LABEL: [str(path) for path in job.volumes],
    }


def _convert(job: _Job, output: Path, options: ConvertOptions, finished: Finished) -> dict[str, Any]:
    """Write a study and return its row; one with a problem if it cannot be used."""
    row: dict[str, Any] = dict.fromkeys((*COLUMNS, "picture"))
    row |= {"study": job.name, "input": str(job.folder), "notes": [], "problem": ""}
    try:
        note = finished.place(_case(job))
        choice = choose(job.study, options.wanted)
        truth, said = choose_truth(job.study, job.volumes, choice.series[FLAIR], options.truth)
        volumes = _read(choice)
        found, truth = _read_truth(truth, volumes[FLAIR], options, said)
        _require_ours(output / job.name / f"{job.name}_{TRUTH_END}.nii.gz")
    except (ValueError, OSError) as error:
        there = job.name in finished.names()
        left = f" What an earlier call wrote of it is still in {output / job.name}." if there else ""
        return {**row, "problem": f"{error}{left}"}
    flair = volumes[FLAIR]
    notes = [*choice.notes, *said, *(words for volume in volumes.values() for words in volume.notes)]
    row |= _row(choice, truth, flair)
    row["notes"] = list(dict.fromkeys([*notes, *(found.notes if found else ())]))
    folder = output / job.name
    paths = [folder / f"{job.name}_{ENDS[sequence]}.nii.gz" for sequence in volumes]
    label = folder / f"{job.name}_{TRUTH_END}.nii.gz"
    for path, volume in zip(paths, volumes.values(), strict=True):
        files.write_nifti(path, volume.values[0], volume.affine, spacing_known=volume.spacing_known)
    if found is not None:
        voxels = int(found.mask.sum())
        row |= {"segments": list(found.segments), "truth_voxels": voxels}
        if flair.spacing_known:
            row["truth_ml"] = round(voxels * voxel_volume_mm3(flair.affine) / 1000, 3)
        words = _mark(found.mask, flair.affine)
        files.write_nifti(label, found.mask, flair.affine, spacing_known=flair.spacing_known, words=words)
        paths.append(label)
    _remove_others(folder, job.name, paths)
    row["picture"] = jpeg_uri(_picture(flair, None if found is None else found.mask), job.name)
    if note is not None:
        finished.keep(note, {**row, "output": str(folder)}, paths)
    return row


def _read_truth(
    truth: Truth | None, flair: Volume, options: ConvertOptions, said: list[str]
) -> tuple[FoundMask | None, Truth | None]:
    """Read a truth; one that nobody asked for or called so, and that cannot be used, is mentioned alone."""
    if truth is None:
        return None, None
    try:
        return read_truth(truth, flair, options.segments), truth
    except ValueError as error:
        if not truth.is_guessed or options.truth is not None or options.segments:
            raise
        said.append(str(error))
        return None, None


def _read(choice: Choice) -> dict[str, Volume]:
    """Read the chosen series, each on its own grid, and refuse what no training could read."""
    volumes = {name: read_series(series.files) for name, series in choice.series.items()}
    flair = volumes[FLAIR]
    if flair.spacing_known:
        check_axial(flair.affine, flair.name)
    for volume in volumes.values():
        on_grid_of(flair, volume)
    return volumes


def _row(choice: Choice, truth: Truth | None, flair: Volume) -> dict[str, Any]:
    titles = {name: choice.series[name].title for name in choice.series}
    return {
        **{name: titles.get(sequence) for name, sequence in (("flair", FLAIR), ("pre", PRE), ("post", POST))},
        "truth": None if truth is None else truth.title,
        "shape": list(flair.values.shape[1:]),
        "spacing_mm": [round(size, 4) for size in spacing_of(flair.affine)] if flair.spacing_known else None,
    }


def _require_ours(label: Path) -> None:
    """Refuse to write over, or to remove, a truth that a person has put there or has corrected.

    What we write says in its header what it holds, wherever it is copied.

    Raises:
        InputError: it is there, and not as a call has written it.
    """
    if not label.exists():
        return
    try:
        image = nib.load(label)
        ours = _mark(np.asarray(image.dataobj), image.affine).encode() in bytes(image.header["descrip"])
    except Exception:  # nibabel and gzip raise many kinds for a damaged file
        ours = False
    if not ours:
        raise InputError(
            f"{label} is there, and convert has not written it so; move it away, or choose another --output."
        )


def _mark(values: npt.NDArray[Any], affine: npt.NDArray[Any]) -> str:
    """Return words that hold for these values at this place alone; NIfTI keeps places in 32 bits."""
    content = np.ascontiguousarray(values).tobytes() + np.asarray(affine, np.float32).tobytes()
    return f"{MARK} {zlib.crc32(content):08x}"


def _remove_others(folder: Path, name: str, kept: Sequence[Path]) -> None:
    """Remove what an earlier call has written of this study and this one has not, such as a truth."""
    for end in (*ENDS.values(), TRUTH_END):
        path = folder / f"{name}_{end}.nii.gz"
        if path not in kept:
            path.unlink(missing_ok=True)


def _picture(flair: Volume, mask: npt.NDArray[np.uint8] | None) -> pictures.Picture:
    image = to_slices(flair.values, flair.affine)
    truth = None if mask is None else to_slices(mask, flair.affine)
    pixel_mm = axial_spacing(flair.affine)[:2] if flair.spacing_known else None
    return pictures.strip(pictures.with_flair(image), truth, None, pixel_mm=pixel_mm)


def _write_table(output: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    files.write_text(output / TABLE, table_of(COLUMNS, rows))


def _write_page(output: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a page that shows where each truth lies on its FLAIR."""
    page = page_template("convert.html.j2").render(
        rows=rows,
        with_truth=sum(bool(row["truth"]) for row in rows),
        problems=sum(bool(row["problem"]) for row in rows),
        colour=pictures.hex_of(pictures.TRUTH_COLOUR),
        version=version(),
    )
    files.write_text(output / PAGE, page)
