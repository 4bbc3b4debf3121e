"""Whether names that may count one person's studies are told, and others are left in peace."""

import logging
from pathlib import Path
from typing import Any

import pytest

from gliomaseg.workflows.checks import check_data
from gliomaseg.workflows.datalist import build_datalist, write_datalist
from gliomaseg.workflows.folders.look_alikes import MOST, look_alikes
from gliomaseg.workflows.folders.studies import whose
from gliomaseg.workflows.folds import datalists_of_folds

from ..small_files import HOSPITAL as NAMES


@pytest.mark.parametrize(
    "names",
    [
        ("OAS1_0001_MR1", "OAS1_0001_MR2", "OAS1_0002_MR1"),
        ("P7_scan1", "P7_scan2", "P8_scan1"),
        ("P7_1", "P7_2", "P8_1"),
        ("P07-01", "P07-02", "P08-01"),
        ("P7a", "P7b", "P8a"),
        ("P7", "P7b", "P8"),
        ("K12345_A", "K12345_B", "K2_A"),
        ("anna_m06", "anna_m12", "bert_m06"),
        ("Doe Jane exam1", "Doe Jane exam2", "Roe exam1"),
        ("OAS30001_MR_d0129", "OAS30001_MR_d0757", "OAS30002_MR_d0653"),
        ("OAS2_0001_MR1", "OAS2_0001_MR2", "OAS2_0002_MR1"),
        ("P1_scan1", "P1_scan2"),
        ("Anna", "anna", "bert"),
        ("P7_MR1", "p7_mr2", "p8_mr1"),
    ],
)
def test_a_count_behind_who_it_is_may_be_of_studies(names: tuple[str, ...]) -> None:
    assert look_alikes(names) == [names[:2]]
    assert look_alikes(reversed(names)) == [names[:2]]


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("anna", "bert"),
        [f"BraTS20_Training_{number:03}" for number in range(1, 370)],
        [f"sub-{number:02}" for number in range(1, 20)],
        [f"UCSF-PDGM-{number:04}" for number in range(4, 30)],
        ["TCGA-06-0119", "TCGA-06-0122", "TCGA-02-0003", "TCGA-08-0244"],
        ["TCGA_HT_A61A", "TCGA_HT_A61B", "TCGA_DU_A5TY", "TCGA_FG_A60K"],
        ["IXI002-Guys-0828", "IXI012-HH-1211", "IXI013-HH-1212"],
        [f"site{site}_p{number}" for site in range(9) for number in range(4)],
        [f"site{site}_{number}" for site in range(3) for number in range(4)],
        [f"{site:02}_{number:02}" for site in range(40) for number in range(MOST + 1)],
        [f"C{site:02}-{number:03}" for site in range(1, 16) for number in range(1, 6)],
        [f"{year}-{number:03}" for year in range(2010, 2024) for number in range(1, 9)],
        ["2019-04", "2019-05", "2020-04"],
        ["MR19-001", "MR19-002", "MR20-001"],
        ["3T_scan1", "3T_scan2", "3T_scan3", "1.5T_scan1"],
        ["3T_scan1", "3T_scan2", "1.5T_scan1", "1.5T_scan2"],
        [f"Amsterdam_GE3T_{number}" for number in range(100, 110)],
        ["002_S_0295", "002_S_0413", "003_S_0907", "003_S_1057"],
        ["HF1538", "HF1560", "900-00-1961", "900-00-5299"],
        ["glioma_scan1", "glioma_scan2", "glioma_scan3"],
        ["HGG_1", "HGG_2", "LGG_1", "LGG_2"],
        ["100101", "100102", "100103"],
    ],
)
def test_names_that_count_persons_are_not_told(names: list[str]) -> None:
    assert look_alikes(names) == []


def test_as_many_as_one_person_may_have_are_still_told() -> None:
    names = [f"P{person}_{number:02}" for person in range(MOST) for number in range(MOST)]
    assert [len(group) for group in look_alikes(names)] == [MOST] * MOST


def test_those_of_a_place_do_not_silence_others() -> None:
    place = [f"x1_case{number}" for number in range(MOST + 1)] + [f"y2_s{n}" for n in range(MOST + 1)]
    assert look_alikes([*place, "P7a", "P7b"]) == [("P7a", "P7b")]
    assert look_alikes(["P1_scan1", "P1_scan2", "P1_scan3", "P2_scan1", "P2_scan2"]) == [
        ("P1_scan1", "P1_scan2", "P1_scan3"),
        ("P2_scan1", "P2_scan2"),
    ]


def test_folds_of_a_list_are_warned_of_too(
    hospital: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_datalist(build_datalist(hospital), tmp_path / "list.json")
    caplog.clear()
    datalists_of_folds(tmp_path / "list.json", folds=3)
    assert caplog.text.count("6 names differ only in a count or capitals") == 1


def test_the_table_with_persons_counts_beside_one_without(hospital: Path) -> None:
    (hospital / "participants.tsv").write_text("participant_id\tage\nK1_A\t40\n", encoding="utf-8")
    rows = ["patient,person", *(f"{name},{name[:2]}" for name in NAMES)]
    (hospital / "participants.csv").write_text("\n".join(rows), encoding="utf-8")
    assert check_data(hospital).patients == 3


@pytest.mark.parametrize("options", [{}, {"method": "folds", "folds": 3}])
def test_a_split_tells_of_names_that_may_be_one_persons(
    hospital: Path, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        build_datalist(hospital, **options)
    assert (
        "6 names differ only in a count or capitals, such as K1_A and K1_B, and may be of 3 persons. One "
        "person on both sides of a split makes its figures too good: tell whose each study is, in a table "
        "participants.csv in the folder of the data, or one for `prepare --participants`, with the columns "
        "patient and person. A table in which each is their own ends this warning." in caplog.text
    )


@pytest.mark.parametrize("persons", [[name[:2] for name in NAMES], NAMES])
def test_a_table_that_tells_ends_the_warning(
    hospital: Path, persons: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = ["patient,person", *(f"{name},{who}" for name, who in zip(NAMES, persons, strict=True))]
    (hospital / "participants.csv").write_text("\n".join(rows), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        build_datalist(hospital)
    assert "at their end" not in caplog.text
    assert [one.code for one in check_data(hospital).findings if one.code == "look-alikes"] == []


def test_doctor_lists_them(hospital: Path) -> None:
    found = [one for one in check_data(hospital).findings if one.code == "look-alikes"]
    assert [one.what for one in found] == [
        f"K{number}_A, K{number}_B differ only in a count or capitals." for number in (1, 2, 3)
    ]
    assert {one.level for one in found} == {"warning"}
    assert found[0].remedy.startswith("Nothing, if they are several persons; else tell whose each study is")


@pytest.mark.parametrize(
    ("one", "other", "person"),
    [
        ("BraTS-GLI-00001-100", "brats-gli-00001-101", "BraTS-GLI-00001"),
        ("sub-01_ses-1", "Sub-01_ses-2", "sub-01"),
        ("PatientID_0007_Timepoint_1", "patientid_0007_timepoint_2", "PatientID_0007"),
        ("UCSF-PDGM-0409", "ucsf-pdgm-0409_fu001d", "UCSF-PDGM-0409"),
        ("M\u00fcller_day1", "Mu\u0308ller_day2", "M\u00fcller"),
    ],
)
def test_one_person_is_one_however_a_system_spells_the_name(one: str, other: str, person: str) -> None:
    assert whose({"patient": one}) == whose({"patient": other}) == person
