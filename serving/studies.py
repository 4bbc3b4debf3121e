"""Whatever a person names as studies in, a folder of volumes and pictures that MONAI Label can list out."""

from __future__ import annotations

import shutil
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from PIL import Image
from tqdm import tqdm

from ..transforms import FillMissingSequencesd, LoadStudyd, keys
from ..transforms.intensity import require_usable
from ..transforms.load import turned_like
from ..transforms.nifti import is_nifti
from ..transforms.space import AFFINE_TOLERANCE_MM, check_axial
from ..workflows.checking.findings import amount
from ..workflows.evaluation.masks import load_label
from ..workflows.folders.participants import Participants, Told, participants_in
from ..workflows.folders.records import is_slice_stack, place_of
from ..workflows.folders.slices import institution_of
from ..workflows.folders.studies import REFUSED, Record
from ..workflows.inputs import find_studies_to_predict
from ..workflows.system import files
from ..workflows.system.causes import root_cause
from ..workflows.system.files import InputError, safe_name

FINAL = Path("labels") / "final"
"""Where MONAI Label keeps the labels that people have confirmed."""

ENDINGS = (".nii.gz", ".nii", ".png", ".tif", ".tiff")
"""Files that the datastore lists as studies."""


@dataclass
class Prepared:
    """What became of the studies of a folder.

    Attributes:
        added: names of studies that are new in the datastore.
        kept: how many were there already; neither they nor their labels were touched.
        labelled: how many of the new ones came with a mask.
        refused: place of a study that cannot be used, and why.
        told: what the data tell of persons and institutions, by the names of patients in the datastore.
    """

    added: list[str] = field(default_factory=list)
    kept: int = 0
    labelled: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    told: dict[str, Told] = field(default_factory=dict)


def prepare_studies(source: Path, store: Path) -> Prepared:
    """Bring every study that is not there yet into a datastore; the source is only read.

    NIfTI files are copied. A stack of slices becomes one 4-D NIfTI whose header says that its voxel size is
    not known; a single slice stays a picture. DICOM, and sequences in files of their own, become one NIfTI on
    the grid of FLAIR. Masks of slices and of NIfTI files become final labels.

    Args:
        source: anything that ``gliomaseg predict`` takes.
        store: the datastore, made where missing.

    Raises:
        InputError: there is nothing to label in ``source``.
    """
    records = find_studies_to_predict([source], apart=False)
    done = Prepared()
    (store / FINAL).mkdir(parents=True, exist_ok=True)
    taken: dict[str, str] = {}
    table = participants_in(source) if source.is_dir() else None
    bar = tqdm(records, desc="preparing", unit="study", dynamic_ncols=True, disable=len(records) < 2)
    for record in bar:
        place, name = place_of(record), _name_of(record)
        try:
            _refuse_taken(name, place, taken)
            _prepare(record, name, store, done)
            _remember_told(record, table, done)
        except InputError as error:
            done.refused.append((place, str(error)))
    if not done.added and not done.kept:
        place, reason = done.refused[0] if done.refused else (str(source), "it holds masks only.")
        raise InputError(f"There is no study to label in {source}; {place}: {reason}")
    return done


def _remember_told(record: Record, table: Participants | None, done: Prepared) -> None:
    """Keep what the record of a study tells of its person and institution, or a table in its folder."""
    patient = str(record[keys.PATIENT])
    site = record.get("institution", institution_of(patient))
    said = table.of(patient) if table else Told()
    own = site if site != institution_of(patient) else None
    told = Told(record.get("person") or said.person, own or said.institution)
    if told != Told():
        done.told[safe_name(patient)] = told


def study_file(store: Path, name: str) -> Path | None:
    """Return the scan of a study in a datastore, None where there is none."""
    paths = (store / f"{name}{ending}" for ending in ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def _name_of(record: Record) -> str:
    """Return the name of a study; a single slice bears its number, without which ``case_12`` would be one."""
    name = safe_name(str(record[keys.PATIENT]))
    return f"{name}_{record['slices'][0]}" if _is_picture(record) else name


def _is_picture(record: Record) -> bool:
    return is_slice_stack(record) and len(record[keys.IMAGE]) == 1


def _refuse_taken(name: str, place: str, taken: dict[str, str]) -> None:
    if name in taken:
        raise InputError(
            f"Every study needs a name of its own, but {taken[name]} is {name} already; rename the folder."
        )
    taken[name] = place


def _prepare(record: Record, name: str, store: Path, done: Prepared) -> None:
    if study_file(store, name) is not None:
        done.kept += 1
        return
    if REFUSED in record:
        raise InputError(str(record[REFUSED]))
    scan = _load(record)
    label = _label_of(record, scan)
    if label is not None:
        _require_one_grid(scan, label, place_of(record))
    picture = _is_picture(record)
    source = Path(record[keys.IMAGE] if isinstance(record[keys.IMAGE], str) else record[keys.IMAGE][0])
    ending = source.suffix.lower() if picture else ".nii.gz"
    if label is not None:  # before the scan, whose presence says that the study is complete
        _write_label(store / FINAL / f"{name}{ending}", label, scan, picture)
        done.labelled += 1
    if picture:
        _copy(source, store / f"{name}{ending}")
    elif isinstance(record[keys.IMAGE], str) and is_nifti(source.name) and not record.get(keys.SEQUENCES):
        _copy(source, store / f"{name}{'.nii.gz' if source.name.lower().endswith('.gz') else '.nii'}")
    else:
        _write_volume(store / f"{name}.nii.gz", scan)
    done.added.append(name)


def _load(record: Record) -> MetaTensor:
    """Load the scan of a record with the channels that the network knows."""
    wanted: dict[Hashable, Any] = {
        key: record[key] for key in (keys.IMAGE, keys.SEQUENCES) if record.get(key)
    }
    try:
        loaded = LoadStudyd(keys.IMAGE)(wanted)
        scan: MetaTensor = loaded[keys.IMAGE]
        _require_segmentable(scan, place_of(record))
        filled: MetaTensor = FillMissingSequencesd(keys.IMAGE)(loaded)[keys.IMAGE]
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(root_cause(error)) from error
    return scan if scan.shape[0] == 1 else filled


def _require_segmentable(scan: MetaTensor, place: str) -> None:
    """Refuse what the model would refuse once somebody has opened the study."""
    require_usable(scan)
    if scan.meta.get("spacing_known", True):
        check_axial(np.asarray(scan.affine, dtype=np.float64), place)


def _label_of(record: Record, scan: MetaTensor) -> MetaTensor | None:
    return turned_like(load_label(record), scan) if record.get(keys.LABEL) else None


def _require_one_grid(scan: MetaTensor, label: MetaTensor, place: str) -> None:
    same = scan.shape[1:] == label.shape and np.allclose(scan.affine, label.affine, atol=AFFINE_TOLERANCE_MM)
    if not same:
        raise InputError(
            f"A mask lies on the grid of its scan, but in {place} the scan is {tuple(scan.shape[1:])} and "
            f"the mask {tuple(label.shape)}, or their affines differ; write it with the scan's own header."
        )


def _write_label(path: Path, label: MetaTensor, scan: MetaTensor, picture: bool) -> None:
    values = np.asarray(label.numpy(), dtype=np.uint8)
    if picture:
        with files.replace_atomically(path) as temporary:
            Image.fromarray(values[..., 0] * np.uint8(255)).save(temporary)
        return
    files.write_nifti(path, values, scan.affine)


def _write_volume(path: Path, scan: MetaTensor) -> None:
    """Write ``(C, X, Y, Z)`` with the channels as fourth axis; a single channel gives three axes."""
    values = np.moveaxis(scan.numpy(), 0, -1)
    values = values[..., 0] if values.shape[-1] == 1 else values
    known = bool(scan.meta.get("spacing_known", True))
    files.write_nifti(path, values, scan.affine, spacing_known=known)


def _copy(source: Path, target: Path) -> None:
    """Copy and do not link: the datastore may remove or replace what is in it."""
    with files.replace_atomically(target) as temporary:
        shutil.copyfile(source, temporary)


def describe(done: Prepared) -> Sequence[str]:
    """Return what became of the studies, a line each."""
    added = amount(len(done.added), "study")
    lines = [f"{added} added, {done.labelled} of them with final labels; {done.kept} kept."]
    return [*lines, *(f"Left out {place}: {reason}" for place, reason in done.refused)]
