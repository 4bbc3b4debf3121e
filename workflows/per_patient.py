"""Case figures from any number of records or processes go in, one entry per patient comes out."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import itemgetter

import pandas as pd

from .measures.calibration import add_counts
from .metrics import CaseFigures
from .system.files import InputError


def merge_cases(parts: Iterable[Iterable[CaseFigures]]) -> list[CaseFigures]:
    """Merge lists of cases (one per process, or per record list) into one entry per patient.

    The answer does not depend on how the cases were dealt out: patients are sorted naturally (P2 before
    P10), the slices of each ascending. A patient whose slices stand in several records (a split by slice)
    becomes one entry over all of them, with the lowest of the records' confidences. A record that
    comes twice, alike in everything, counts once: samplers pad the last round of processes with repeats.

    Raises:
        InputError: records of a patient share a slice without being the same, or differ in slice size or
            voxel size.
    """
    records: dict[str, list[CaseFigures]] = {}
    for case in (case for part in parts for case in part):
        records.setdefault(case.patient, []).append(case)
    return [
        _merge_patient(list(dict.fromkeys(records[patient]))) for patient in sorted(records, key=natural_key)
    ]


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Return a sorting key that reads the digits in a name as numbers.

    >>> sorted(["P10", "P9"], key=natural_key)
    ['P9', 'P10']
    """
    pieces = (piece for piece in re.split(r"(\d+)", name) if piece)
    return tuple((0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces), name


def per_patient_table(cases: Iterable[CaseFigures]) -> pd.DataFrame:
    """Return one row per patient, sorted naturally: the content of per_patient.csv.

    What has no value (HD95 without two outlines, millilitres without spacing) is missing in the frame and an
    empty field in a CSV file. The columns `person`, `institution`, `hd95_mm`, `volume_true_ml`,
    `volume_pred_ml`, `confidence` and `check_by_hand` are there when any case has one.
    """
    table = pd.DataFrame([_row(case) for case in merge_cases([cases])], columns=list(_COLUMNS))
    table = table.astype(dict.fromkeys(_NUMBERS, "float64") | dict.fromkeys(_LESIONS, "Int64"))
    optional = [name for name in _OPTIONAL if table[name].isna().all()]
    kept: pd.DataFrame = table.drop(columns=optional)
    return kept


_LESIONS = ("lesions_true", "lesions_found", "lesions_predicted", "lesions_false")

_NUMBERS = ("hd95_px", "hd95_mm", "volume_error_ml", "volume_true_ml", "volume_pred_ml", "confidence")

_OPTIONAL = (
    "person",
    "institution",
    "hd95_mm",
    "volume_true_ml",
    "volume_pred_ml",
    "confidence",
    "check_by_hand",
)

_COLUMNS = (
    "patient",
    "person",
    "institution",
    "slices",
    "lesion_slices",
    "dice",
    "iou",
    "sensitivity",
    "precision",
    "hd95_px",
    "hd95_mm",
    "volume_true_voxels",
    "volume_pred_voxels",
    "volume_error_voxels",
    "volume_error_ml",
    "volume_true_ml",
    "volume_pred_ml",
    "false_positive_slices",
    *_LESIONS,
    "missed",
    "confidence",
    "check_by_hand",
)


def _row(case: CaseFigures) -> dict[str, object]:
    _, predicted, true = case.voxels
    known: dict[str, object] = {
        "slices": len(case.slices),
        "volume_true_voxels": true,
        "volume_pred_voxels": predicted,
    }
    known |= {name: getattr(case.lesions, name.removeprefix("lesions_"), None) for name in _LESIONS}
    return {name: known[name] if name in known else getattr(case, name) for name in _COLUMNS}


def _merge_patient(records: Sequence[CaseFigures]) -> CaseFigures:
    first = records[0]
    whole = first if len(records) == 1 else None  # what a volume in pieces has of a whole one is not known
    _require_one_grid(records)
    rows = sorted((row for record in records for row in _slice_rows(record)), key=itemgetter(0))
    numbers = tuple(row[0] for row in rows)
    _require_each_once(numbers, first.patient)
    return CaseFigures(
        patient=first.patient,
        shape=(first.shape[0], first.shape[1], len(rows)),
        slices=numbers,
        intersection=tuple(row[1] for row in rows),
        predicted=tuple(row[2] for row in rows),
        true=tuple(row[3] for row in rows),
        hd95_slices_px=tuple(row[4] for row in rows),
        spacing_mm=first.spacing_mm,
        calibration=add_counts(record.calibration for record in records),
        institution=min((record.institution for record in records if record.institution), default=None),
        confidence=min((r.confidence for r in records if r.confidence is not None), default=None),
        check_by_hand=max((r.check_by_hand for r in records if r.check_by_hand is not None), default=None),
        hd95_mm=whole.hd95_mm if whole else None,
        lesions=whole.lesions if whole else None,
        voxel_mm3=first.voxel_mm3,
        person=first.person,
    )


def _slice_rows(case: CaseFigures) -> Iterable[tuple[int, int, int, int, float | None]]:
    return zip(case.slices, case.intersection, case.predicted, case.true, case.hd95_slices_px, strict=True)


def _require_one_grid(records: Sequence[CaseFigures]) -> None:
    grids = {(record.shape[:2], record.spacing_mm) for record in records}
    if len(grids) > 1:
        raise InputError(
            f"Expected one slice size and voxel size in all records of patient {records[0].patient}, "
            f"got {sorted(map(str, grids))}; bring the records to one grid, or name the patients apart."
        )


def _require_each_once(numbers: Sequence[int], patient: str) -> None:
    twice = sorted({number for number, following in pairwise(numbers) if number == following})
    if twice:
        raise InputError(
            f"Expected every slice of patient {patient} in one record, got {twice} in several; "
            "list no slice twice, and give `slices` to `case_figures` where a record holds some of them."
        )
