"""A file decides who trains, validates and tests."""

import json
from pathlib import Path

import pytest

from gliomaseg.workflows.splits.given_split import split_by_file
from gliomaseg.workflows.system.files import InputError

PATIENTS = ["TCGA_CS_0001_1999", "TCGA_CS_0001_2001", "TCGA_DU_0002_1999", "p3"]


def split_file(folder: Path, content: object, name: str = "split.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_json_file_decides_and_leaves_out_whom_it_does_not_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = split_file(tmp_path, {"train": ["TCGA_CS_0001"], "validation": ["p3"]})
    expected = {"training": PATIENTS[:2], "validation": ["p3"], "test": []}
    assert split_by_file(path, PATIENTS) == expected
    assert "1 patients are left out" in caplog.text
    assert "TCGA_DU_0002_1999" in caplog.text


def test_a_csv_file_decides(tmp_path: Path):
    text = "patient, split\nTCGA_CS_0001, training\np3, val\nTCGA_DU_0002_1999, test\n"
    sections = split_by_file(split_file(tmp_path, text, "split.csv"), PATIENTS)
    assert sections == {"training": PATIENTS[:2], "validation": ["p3"], "test": ["TCGA_DU_0002_1999"]}


def test_another_datalist_serves_as_a_given_split(tmp_path: Path):
    path = split_file(
        tmp_path, {"format": "x", "training": [{"patient": "p3"}], "validation": [{"patient": PATIENTS[2]}]}
    )
    assert split_by_file(path, PATIENTS)["training"] == ["p3"]


@pytest.mark.parametrize(
    "content",
    [
        {"training": ["p3"], "validation": ["p3"]},
        {"training": [PATIENTS[0], "p3"], "validation": [PATIENTS[1]]},
    ],
)
def test_a_person_on_both_sides_is_named(tmp_path: Path, content: dict[str, list[str]]):
    with pytest.raises(
        InputError, match=r"split.json has on two: (p3|TCGA_CS_0001) \(training and validation\)"
    ):
        split_by_file(split_file(tmp_path, content), PATIENTS)


def test_many_on_both_sides_are_counted(tmp_path: Path):
    names = [f"p{i}" for i in range(7)]
    with pytest.raises(InputError, match=r"p4 .*; and 2 more"):
        split_by_file(split_file(tmp_path, {"training": names, "validation": names}), names)


def test_unknown_patients_are_named(tmp_path: Path):
    path = split_file(tmp_path, {"training": ["p4", "p5"], "validation": ["p3"]})
    with pytest.raises(
        InputError, match=r"split.json names p4, p5; the data set has 4 patients, such as TCGA_CS_0001"
    ):
        split_by_file(path, PATIENTS)


def test_many_unknown_patients_are_counted(tmp_path: Path):
    path = split_file(tmp_path, {"training": [f"x{i}" for i in range(8)]})
    with pytest.raises(InputError, match="x4 and 3 more;"):
        split_by_file(path, PATIENTS)


def test_an_unknown_section_is_named(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"are training, validation, test, but .*split.json has 'dev'; rename"
    ):
        split_by_file(split_file(tmp_path, {"dev": ["p3"]}), PATIENTS)


def test_a_split_without_training_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"split.json must name patients .* but training is empty"):
        split_by_file(split_file(tmp_path, {"validation": ["p3"]}), PATIENTS)


@pytest.mark.parametrize("text", ["not json", "[1]", '{"training": [{"name": "p3"}]}'])
def test_a_file_that_is_no_split_is_refused(tmp_path: Path, text: str):
    with pytest.raises(InputError, match=r"must be JSON like .*split.json is not: \w+Error, "):
        split_by_file(split_file(tmp_path, text), PATIENTS)


@pytest.mark.parametrize(("name", "words"), [("none.json", "split file"), ("none.csv", "CSV file")])
def test_a_split_file_that_is_not_there_is_named(tmp_path: Path, name: str, words: str):
    with pytest.raises(InputError, match=rf"^There is no {words} at \S+{name}; check the spelling\.$"):
        split_by_file(tmp_path / name, PATIENTS)


def test_a_csv_split_needs_its_columns(tmp_path: Path):
    path = split_file(tmp_path, "name,split\np3,training\n", "s.csv")
    with pytest.raises(
        InputError, match=r"s.csv needs the columns patient, split, but has name, split; add patient"
    ):
        split_by_file(path, PATIENTS)


def test_empty_lines_of_a_split_are_passed_over(tmp_path: Path):
    file = tmp_path / "split.csv"
    file.write_text("patient,split\na,training\n,\nb,validation\n,\n", encoding="utf-8")
    found = split_by_file(file, ["a", "b"])
    assert (found["training"], found["validation"]) == (["a"], ["b"])
