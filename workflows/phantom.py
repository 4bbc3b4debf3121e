"""Made-up patients on disk, in the folders and under the names of the LGG data set.

``make_phantom`` feeds the tests, the demonstration and the pictures of the documentation. The patients are
drawn, not measured: a score on them says that the machinery works and nothing about real scans. Their ids
(``P001``, ``P002``, ...) do not occur in the data set, so nobody can take one for a person.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from .phantoms.scan import PhantomCase, phantom_case
from .system.files import InputError, replace_atomically, write_text

__all__ = ["PhantomCase", "make_phantom", "phantom_case", "phantom_name"]

PHANTOM_NAME: Final = re.compile(r"TCGA_[A-Z]{2}_P\d{3}_\d{8}")
"""Folder names of made-up patients."""

FLAIR: Final = 1
"""As in ``keys``, which is not imported here because its folder brings torch along."""

MOST_PATIENTS: Final = 999
"""The ids have three digits."""

INSTITUTIONS: Final = {"CS": 16, "DU": 45, "EZ": 1, "FG": 14, "HT": 34}
"""Codes of the five institutions and how many of the 110 real patients come from each."""

LACKS_POST: Final = (12, 3)
"""Every twelfth patient, from index 3, lacks the post-contrast sequence; of the real ones 9 of 110."""

LACKS_PRE: Final = (24, 15)
"""Every 24th patient, from index 15, lacks the pre-contrast one too; of the real ones 2 to 6 of 110."""

DATA_CSV_COLUMNS: Final = (
    "Patient,RNASeqCluster,MethylationCluster,miRNACluster,CNCluster,RPPACluster,OncosignCluster,COCCluster,"
    "histological_type,neoplasm_histologic_grade,tumor_tissue_site,laterality,tumor_location,gender,"
    "age_at_initial_pathologic,race,ethnicity,death01"
)
"""Header of ``data.csv``. The made-up rows hold the id only: a phantom has no age and no genome."""


def make_phantom(
    target: str | Path,
    patients: int = 24,
    size: int = 256,
    slices: int | tuple[int, int] = (20, 28),
    seed: int = 0,
) -> list[Path]:
    """Write made-up patients and return their folders, in the order of their numbers.

    Each folder holds ``<patient>_<n>.tif`` (RGB uint8: pre-contrast, FLAIR, post-contrast) and
    ``<patient>_<n>_mask.tif`` (uint8, 0 or 255), with ``n`` counted from 1 towards superior. Beside the
    folders stands ``data.csv``. Patient ``k`` depends on ``seed`` and ``k`` alone, not on how many are made.
    Made-up patients of an earlier call are replaced.

    Args:
        target: folder to write into; made where missing.
        patients: how many, 1 to 999.
        size: height and width of a slice in pixels, at least 32.
        slices: how many slices a patient has, at least 5, or the smallest and largest number to draw from.
        seed: chooses the set; the same seed writes the same bytes.

    Raises:
        InputError: the folder holds real patients, or a number is out of range.
    """
    folder = Path(target)
    if not 1 <= patients <= MOST_PATIENTS:
        raise InputError(f"Expected 1 to {MOST_PATIENTS} made-up patients, got {patients}.")
    _clear_phantoms(folder)
    names = [phantom_name(index) for index in range(patients)]
    for index, name in enumerate(names):
        case = _case_of(seed, index, size, slices)
        _write_patient(folder / name, case)
    rows = [name.rpartition("_")[0] + "," * DATA_CSV_COLUMNS.count(",") for name in names]
    write_text(folder / "data.csv", "\n".join([DATA_CSV_COLUMNS, *rows]) + "\n")
    return [folder / name for name in names]


def phantom_name(index: int) -> str:
    """Return the folder name of the made-up patient at ``index``, counted from 0.

    >>> phantom_name(0)
    'TCGA_CS_P001_20000101'
    """
    date = datetime.date(2000, 1, 1) + datetime.timedelta(days=index)
    return f"TCGA_{_institution(index)}_P{index + 1:03d}_{date:%Y%m%d}"


def _institution(index: int) -> str:
    """Return an institution, spread so that any number of patients shares the real proportions."""
    codes = [code for code, count in INSTITUTIONS.items() for _ in range(count)]
    golden = (index * 0.6180339887498949) % 1.0
    return codes[int(golden * len(codes))]


def _case_of(seed: int, index: int, size: int, slices: int | tuple[int, int]) -> PhantomCase:
    try:
        case = phantom_case([seed, index], size, slices)
    except ValueError as error:
        raise InputError(str(error)) from error
    return PhantomCase(without_sequences(case.image, _missing_sequences(index)), case.mask)


def _missing_sequences(index: int) -> tuple[int, ...]:
    """Return the channels that a patient lacks, by a rota, so that a small set has such patients too."""
    lacks_pre = index % LACKS_PRE[0] == LACKS_PRE[1]
    lacks_post = index % LACKS_POST[0] == LACKS_POST[1]
    return (*((0,) if lacks_pre else ()), *((2,) if lacks_post else ()))


def without_sequences(image: npt.NDArray[np.uint8], channels: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return a copy of a ``(3, H, W, D)`` scan in which FLAIR stands in for the channels named."""
    replaced = np.array(image)
    for channel in channels:
        replaced[channel] = image[FLAIR]
    return replaced


def _clear_phantoms(folder: Path) -> None:
    """Remove the slices of made-up patients from an earlier call; refuse a folder of real patients."""
    found = [path for path in sorted(folder.glob("TCGA_*")) if path.is_dir()]
    real = [path.name for path in found if not PHANTOM_NAME.fullmatch(path.name)]
    if real:
        raise InputError(
            f"Made-up patients need a folder of their own, got {folder}, which holds {real[0]}; "
            "choose another folder."
        )
    for path in found:
        for file in path.glob(f"{path.name}_*.tif"):
            file.unlink()
        if not any(path.iterdir()):
            path.rmdir()


def _write_patient(folder: Path, case: PhantomCase) -> None:
    for k in range(case.mask.shape[2]):
        _write_tiff(folder / f"{folder.name}_{k + 1}.tif", np.moveaxis(case.image[..., k], 0, -1))
        _write_tiff(folder / f"{folder.name}_{k + 1}_mask.tif", case.mask[..., k] * 255)


def _write_tiff(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    with replace_atomically(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary)
