"""Names and headers as hospitals and data sets write them tell the right sequence."""

import pytest

from gliomaseg.workflows.folders.sequences import (
    FLAIR,
    OTHER,
    POST,
    PRE,
    UNKNOWN,
    sequence_of_name,
    sequence_of_series,
)


@pytest.mark.parametrize(
    ("stem", "case", "sequence"),
    [
        ("BraTS20_001_flair", "BraTS20_001", FLAIR),
        ("BraTS20_001_t1", "BraTS20_001", PRE),
        ("BraTS20_001_t1ce", "BraTS20_001", POST),
        ("BraTS20_001_t2", "BraTS20_001", OTHER),
        ("BraTS-GLI-00001-000-t2f", "BraTS-GLI-00001-000", FLAIR),
        ("BraTS-GLI-00001-000-t1n", "BraTS-GLI-00001-000", PRE),
        ("BraTS-GLI-00001-000-t1c", "BraTS-GLI-00001-000", POST),
        ("sub-01_FLAIR", "sub-01", FLAIR),
        ("sub-01_T1w", "sub-01", PRE),
        ("sub-01_ce-gadolinium_T1w", "sub-01", POST),
        ("anna_pre", "anna", PRE),
        ("anna_post", "anna", POST),
        ("anna_T2_FLAIR", "anna", FLAIR),
        ("flair", "", FLAIR),
        ("T1", "", PRE),
        ("scan", "scan", UNKNOWN),
        ("preop", "preop", UNKNOWN),
        ("TCGA_CS_4941_19960909", "TCGA_CS_4941_19960909", UNKNOWN),
    ],
)
def test_a_file_name_tells_its_sequence(stem: str, case: str, sequence: str) -> None:
    assert sequence_of_name(stem) == (case, sequence)


@pytest.mark.parametrize(
    ("description", "sequence"),
    [
        ("AX FLAIR", FLAIR),
        ("t2_tirm_tra_dark-fluid_320", FLAIR),
        ("Ax T2 FLAIR FS +C", FLAIR),
        ("3D_Brain_VIEW_FLAIR_SHC", FLAIR),
        ("t2_space_dark-fluid_sag_p2_iso", FLAIR),
        ("AX T1 FLAIR", PRE),
        ("AXT1FLAIR", PRE),
        ("sT1W_FLAIR", PRE),
        ("sT2W_FLAIR", FLAIR),
        ("AXT2FLAIR", FLAIR),
        ("FLAIR T1 AX", PRE),
        ("T1W_IR_FLAIR", PRE),
        ("t1_tirm_tra_dark-fluid", PRE),
        ("T2 FLAIR post T1", FLAIR),
        ("FLAIR_ADC", OTHER),
        ("FLAIR MIP", OTHER),
        ("FLAIR_SUBTR", OTHER),
        ("subject_7 FLAIR", FLAIR),
        ("AX T1 WITHOUT CONTRAST", PRE),
        ("AX T1 WITH CONTRAST", POST),
        ("AX T1 PRECONTRAST", PRE),
        ("AX T1 PRE-CONTRAST", PRE),
        ("T1 NO CONTRAST", PRE),
        ("t1 ohne KM", PRE),
        ("T1 SANS GADO", PRE),
        ("T1 SIN CONTRASTE", PRE),
        ("T1 before gd", PRE),
        ("T1 prior to contrast", PRE),
        ("SAG T1 POSTERIOR FOSSA", PRE),
        ("T1 post w/o fs", POST),
        ("T1 KM ohne FS", POST),
        ("T1 GD without fat sat", POST),
        ("MPRAGEPOST", POST),
        ("T1 nativ postop", PRE),
        ("t1 postop pre contrast", PRE),
        ("t1 post-op w/o", PRE),
        ("3D FLAIR TFE", FLAIR),
        ("Sag CUBE FLAIR BRAVO", FLAIR),
        ("t1_postcontrast", POST),
        ("T1_POSTGAD", POST),
        ("AX T1 PRE GD", PRE),
        ("t1_se_tra", PRE),
        ("AX T1 POST", POST),
        ("t1_se_tra_KM", POST),
        ("Ax T1 +C", POST),
        ("T1 MPRAGE GAD", POST),
        ("AX T2 FSE", OTHER),
        ("ep2d_diff_3scan_trace_ADC", OTHER),
        ("AX DWI", OTHER),
        ("3-PLANE LOC", OTHER),
        ("localizer", OTHER),
        ("T1 SUB", OTHER),
        ("Series 7", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_a_description_tells_its_sequence(description: str, sequence: str) -> None:
    assert sequence_of_series({"SeriesDescription": description}) == sequence


def test_contrast_in_the_header_makes_a_t1_post_contrast() -> None:
    assert sequence_of_series({"SeriesDescription": "AX T1", "ContrastBolusAgent": "Gadovist"}) == POST
    assert sequence_of_series({"SeriesDescription": "AX FLAIR", "ContrastBolusAgent": "Gadovist"}) == FLAIR


@pytest.mark.parametrize("none", ["NONE", "No", "N/A", "0", " ", ["N", "A"]])
def test_an_agent_that_is_none_is_no_contrast(none: str) -> None:
    assert sequence_of_series({"SeriesDescription": "AX T1", "ContrastBolusAgent": none}) == PRE
    times = {"EchoTime": 10, "RepetitionTime": 500}
    assert sequence_of_series({**times, "ContrastBolusAgent": none}) == PRE


@pytest.mark.parametrize("kind", ["MIP", "SUBTRACT", "PHASE MAP", "ADC", "P"])
def test_a_picture_that_was_worked_out_is_no_flair(kind: str) -> None:
    header = {"SeriesDescription": "FLAIR", "ImageType": ["DERIVED", "PRIMARY", kind]}
    assert sequence_of_series(header) == OTHER
    assert sequence_of_series({**header, "ImageType": ["DERIVED", "PRIMARY", "MPR"]}) == FLAIR


@pytest.mark.parametrize(
    ("times", "sequence"),
    [
        ((2500, 120, 9000), FLAIR),
        ((None, 10, 500), PRE),
        ((None, 100, 4000), UNKNOWN),
        ((800, 10, 2000), UNKNOWN),
    ],
)
def test_without_words_the_times_tell(times: tuple[float | None, float, float], sequence: str) -> None:
    header = dict(zip(("InversionTime", "EchoTime", "RepetitionTime"), times, strict=True))
    assert sequence_of_series(header) == sequence


def test_a_localizer_is_told_by_its_image_type_and_ct_by_its_modality() -> None:
    assert sequence_of_series({"SeriesDescription": "FLAIR", "ImageType": ["ORIGINAL", "LOCALIZER"]}) == OTHER
    assert sequence_of_series({"SeriesDescription": "FLAIR", "Modality": "CT"}) == OTHER
