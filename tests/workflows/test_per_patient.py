import io
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gliomaseg.workflows.metrics import case_figures
from gliomaseg.workflows.per_patient import merge_cases, natural_key, per_patient_table
from gliomaseg.workflows.system.files import InputError

EMPTY = np.zeros((2, 4, 1), np.uint8)
LEFT = EMPTY.copy()
LEFT[:, :2] = 1
MIDDLE = EMPTY.copy()
MIDDLE[:, 1:3] = 1


def three_slices():
    pred = np.concatenate([LEFT, EMPTY, MIDDLE], axis=2)
    truth = np.concatenate([LEFT, LEFT, EMPTY], axis=2)
    return pred, truth, pred * 0.5  # halves add up without rounding


def piece(numbers, **others):
    """Return the case of some of the three slices of P1."""
    rows = [number - 1 for number in numbers]
    pred, truth, probability = (array[..., rows] for array in three_slices())
    return case_figures(pred, truth, "P1", probability, slices=numbers, **others)


def test_names_sort_as_people_count():
    assert sorted(["P10", "P9", "P09", "TCGA_2", "10"], key=natural_key) == [
        "10",
        "P09",
        "P9",
        "P10",
        "TCGA_2",
    ]


def test_a_patient_in_pieces_is_the_whole_patient():
    whole = replace(piece([1, 2, 3]), lesions=None)
    assert merge_cases([[piece([3, 1])], [piece([2])]]) == [whole]
    assert merge_cases([[piece([2]), piece([1, 3])]]) == [whole]


def test_only_a_patient_in_one_piece_has_figures_of_the_volume():
    whole = case_figures(LEFT, MIDDLE, "P1", spacing_mm=(1, 1, 5))
    other = case_figures(LEFT, MIDDLE, "P1", spacing_mm=(1, 1, 5), slices=[2])
    assert whole.hd95_mm == 1.0
    assert merge_cases([[whole], [whole]]) == [whole]
    (merged,) = merge_cases([[whole], [other]])
    assert (merged.hd95_mm, merged.lesions) == (None, None)


def test_the_order_of_cases_and_processes_does_not_matter():
    cases = [case_figures(LEFT, MIDDLE, name) for name in ("P10", "P2", "P1")]
    merged = merge_cases([cases])
    assert [case.patient for case in merged] == ["P1", "P2", "P10"]
    assert merge_cases([cases[2:], [], cases[:2]]) == merged
    assert merge_cases([merged]) == merged


def test_a_repeated_record_counts_once():
    case = piece([1, 2, 3])
    assert merge_cases([[case], [pickle.loads(pickle.dumps(case))]]) == [case]


def test_no_cases_merge_to_none():
    assert merge_cases([[], []]) == []


def test_a_merged_patient_has_the_lowest_confidence_and_the_known_institution():
    merged = merge_cases(
        [[piece([1], confidence=0.9), piece([2], confidence=0.4, institution="CS"), piece([3])]]
    )
    assert (merged[0].confidence, merged[0].institution) == (0.4, "CS")


def test_a_slice_in_two_records_is_refused():
    words = r"every slice of patient P1 in one record, got \[2\] in several; list no slice twice"
    with pytest.raises(InputError, match=words):
        merge_cases([[piece([1, 2])], [piece([2, 3])]])


def test_records_of_two_grids_are_refused():
    other = case_figures(np.ones((3, 4, 1)), np.ones((3, 4, 1)), "P1", slices=[9])
    words = (
        r"in all records of patient P1, got \['\(\(2, 4\), None\)', '\(\(3, 4\), None\)'\]; bring the records"
    )
    with pytest.raises(InputError, match=words):
        merge_cases([[piece([1]), other]])


def test_the_table_has_a_row_for_each_patient():
    cases = [case_figures(MIDDLE, LEFT, "P10"), piece([3]), piece([1, 2])]
    table = per_patient_table(cases)
    assert list(table.columns) == [
        "patient",
        "slices",
        "lesion_slices",
        "dice",
        "iou",
        "sensitivity",
        "precision",
        "hd95_px",
        "volume_true_voxels",
        "volume_pred_voxels",
        "volume_error_voxels",
        "volume_error_ml",
        "false_positive_slices",
        "lesions_true",
        "lesions_found",
        "lesions_predicted",
        "lesions_false",
        "missed",
    ]
    assert table["patient"].tolist() == ["P1", "P10"]
    measured = case_figures(MIDDLE, LEFT, "P11", spacing_mm=(1.0, 2.0, 5.0))
    in_ml = per_patient_table([*cases, measured]).set_index("patient")
    (_, predicted, true), row = measured.voxels, in_ml.loc["P11"]
    assert (row["volume_true_ml"], row["volume_pred_ml"]) == (true * 0.01, predicted * 0.01)
    assert row["volume_error_ml"] == pytest.approx(row["volume_pred_ml"] - row["volume_true_ml"])
    assert in_ml.loc[["P1", "P10"], ["volume_true_ml", "volume_pred_ml"]].isna().all(axis=None)
    first = table.iloc[0]
    assert (first["slices"], first["lesion_slices"], first["false_positive_slices"]) == (3, 2, 1)
    assert (first["volume_true_voxels"], first["volume_pred_voxels"], first["volume_error_voxels"]) == (
        8,
        8,
        0,
    )
    assert (first["dice"], first["hd95_px"], first["missed"]) == (0.5, 0.0, False)


def test_what_has_no_value_is_an_empty_field():
    table = per_patient_table([case_figures(EMPTY, LEFT, "P1", spacing_mm=(1, 1, 5), institution="CS")])
    text = table.to_csv(index=False)
    back = pd.read_csv(io.StringIO(text))
    assert text.splitlines()[1] == "P1,CS,1,1,0.0,0.0,0.0,0.0,,4,0,-4,-0.02,0.02,0.0,0,1,0,0,0,True"
    assert pd.isna(back.loc[0, "hd95_px"])


def test_the_distance_in_mm_has_a_column_when_anybody_has_one():
    near = case_figures(LEFT, MIDDLE, "P1", spacing_mm=(1, 2, 5))
    table = per_patient_table([near, case_figures(EMPTY, LEFT, "P2", spacing_mm=(1, 2, 5))])
    assert table["hd95_mm"].tolist() == [2.0, pytest.approx(np.nan, nan_ok=True)]


def test_lesions_of_a_patient_in_pieces_are_empty_fields():
    table = per_patient_table([piece([1]), piece([3]), case_figures(LEFT, MIDDLE, "P2")])
    fields = [line.split(",")[-5:-1] for line in table.to_csv(index=False).splitlines()[1:]]
    assert fields == [["", "", "", ""], ["1", "1", "1", "0"]]


def test_confidence_has_a_column_when_a_case_has_one():
    table = per_patient_table(
        [case_figures(LEFT, LEFT, "P1", confidence=0.75), case_figures(LEFT, LEFT, "P2")]
    )
    assert table["confidence"].tolist()[0] == 0.75
    assert pd.isna(table["confidence"].tolist()[1])


def test_a_table_of_nobody_still_has_its_columns():
    assert "dice" in per_patient_table([]).columns


def test_a_patient_is_checked_by_hand_when_one_of_the_records_should_be():
    records = [piece([1], check_by_hand=False), piece([2], check_by_hand=True), piece([3])]
    assert per_patient_table(records)["check_by_hand"].tolist() == [True]


def test_without_a_segmenters_word_nobody_is_said_to_need_no_check():
    assert "check_by_hand" not in per_patient_table([case_figures(LEFT, LEFT, "P1")])
