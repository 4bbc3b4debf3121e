"""The mask of a DICOM study in, DICOM objects for archives, viewers and planning systems out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...transforms import keys
from ...transforms.dicom import load_pydicom
from ..ensemble import Ensemble
from ..folders.records import is_dicom_study
from ..segment import Segmentation, Segmenter
from ..system import files
from ..system.files import InputError
from . import rtstruct as dicom_rtstruct
from . import seg as dicom_seg
from .rtstruct import make_rtstruct
from .seg import load_highdicom, make_dicom_seg

Make = Callable[[Mapping[str, Any], Segmentation, Segmenter | Ensemble], Any]


@dataclass(frozen=True)
class Kind:
    """A kind of DICOM object that masks of DICOM studies are written as.

    Attributes:
        option: asks for it on the command line.
        field: asks for it in an upload.
        what: it is.
        ending: of its files, behind the name of the study.
        make: of a record, what was found in it, and what has found it.
        load: raises where a package is missing that it needs.
    """

    option: str
    field: str
    what: str
    ending: str
    make: Make
    load: Callable[[], Any]

    def write(self, made: Any, case: Mapping[str, Any], folder: Path) -> Path:
        """Write what ``make`` has made, whole or not at all, and return where.

        Raises:
            InputError: it cannot be written.
        """
        path = folder / f"{case[keys.PATIENT]}{self.ending}"
        with files.replace_atomically(path) as temporary:
            made.save_as(temporary, enforce_file_format=True)
        return path

    def require(self, studies: Sequence[Mapping[str, Any]]) -> None:
        """Refuse before long work what could not be written.

        Raises:
            InputError: a package is missing, or no study is DICOM.
        """
        self.load()
        if not any(map(is_dicom_study, studies)):
            raise InputError(
                f"{self.what}s ({self.option}; {self.field} of an upload) are made of the masks of DICOM "
                "studies, but no input is DICOM; leave it out: the masks come in the format of the scans."
            )


SEGMENTATION: Final = Kind(
    "--dicom-seg",
    "dicom_seg",
    dicom_seg.WHAT,
    "_mask.seg.dcm",
    lambda case, found, by: make_dicom_seg(case, found.mask, by.network_name, by.sha256),
    load_highdicom,
)
STRUCTURE_SET: Final = Kind(
    "--rtstruct",
    "rtstruct",
    dicom_rtstruct.WHAT,
    "_mask.rtstruct.dcm",
    lambda case, found, by: make_rtstruct(case, found.mask, found.affine, by.network_name, by.sha256),
    load_pydicom,
)


def kinds_of(*, dicom_seg: bool = False, rtstruct: bool = False) -> tuple[Kind, ...]:
    """Return the kinds that are asked for."""
    asked = ((SEGMENTATION, dicom_seg), (STRUCTURE_SET, rtstruct))
    return tuple(kind for kind, wanted in asked if wanted)


def remove_others(case: Mapping[str, Any], folder: Path, written: Sequence[Path]) -> None:
    """Remove the objects of an earlier call: they show another mask than that which lies there now."""
    for kind in (SEGMENTATION, STRUCTURE_SET):
        path = folder / f"{case[keys.PATIENT]}{kind.ending}"
        if path not in written:
            path.unlink(missing_ok=True)
