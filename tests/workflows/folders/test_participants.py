import json
import logging
import shutil
from pathlib import Path

import pandas as pd
import pytest

from gliomaseg.workflows import cli
from gliomaseg.workflows.checks import check_data
from gliomaseg.workflows.compare import compare_runs
from gliomaseg.workflows.datalist import build_datalist, find_cases, load_datalist, write_datalist
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.folders.participants import (
    Told,
    participants_in,
    read_participants,
    write_participants,
)
from gliomaseg.workflows.folders.studies import whose
from gliomaseg.workflows.inputs import find_studies_to_predict
from gliomaseg.workflows.leakage.leaks import leak_of, method_of, note_on_choice
from gliomaseg.workflows.leakage.seen import history_of
from gliomaseg.workflows.run import TrainOptions, train
from gliomaseg.workflows.split import SECTIONS
from gliomaseg.workflows.system.files import InputError

from ..quick import STEP
from ..small_files import HOSPITAL as NAMES


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def persons_csv(path: Path) -> Path:
    rows = [f"{name},{name[:2]},{'Lund' if name < 'K3' else 'Oslo'}" for name in NAMES]
    return write(path, "\n".join(["patient,person,institution", *rows]))


def sides_of(datalist: dict) -> dict[str, set[str]]:
    """Return on which sides each person K1, K2, K3 is."""
    found: dict[str, set[str]] = {}
    for section in SECTIONS:
        for case in datalist[section]:
            found.setdefault(case["patient"][:2], set()).add(section)
    return found


# --- what may stand in a table ------------------------------------------------------------------------


def test_a_table_of_bids_is_read_with_tabs_and_what_is_not_available(tmp_path: Path) -> None:
    path = write(tmp_path / "participants.tsv", "participant_id\tage\tsite\nsub-1\t40\tLund\nsub-2\t\tn/a\n")
    table = read_participants(path)
    assert table.rows == {"sub-1": Told(None, "Lund"), "sub-2": Told(None, None)}
    assert table.of("sub-1_ses-2") == Told(None, "Lund")
    assert table.columns == ["site"]


def test_a_row_for_a_study_counts_before_that_of_its_person(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "patient,institution\nsub-1,Lund\nsub-1_ses-2,Oslo\n")
    table = read_participants(path)
    assert [table.of(name).institution for name in ("sub-1_ses-1", "sub-1_ses-2")] == ["Lund", "Oslo"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,age\na,3\n", r"a column person or institution, but .*p\.csv has patient, age; add them"),
        ("who,person\na,b\n", r"has a column patient or participant_id that names the study"),
        ("patient,person\na,b\na,c\n", r"of a it says person b and, in line 3, person c; keep one row"),
        ("patient,person\n", r"lists nothing"),
        ("patient;person\na;b\n", r"has semicolons; save it as"),
    ],
)
def test_a_table_that_tells_nothing_for_certain_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_participants(write(tmp_path / "p.csv", text))


def test_a_row_that_comes_twice_alike_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "patient,person\na,b\na,b\n")
    assert read_participants(path).rows == {"a": Told("b")}


def test_a_table_of_ages_alone_in_the_folder_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "participants.tsv", "participant_id\tage\nsub-1\t40\n")
    assert participants_in(tmp_path) is None


def test_a_table_that_is_written_again_keeps_what_stood_there(tmp_path: Path) -> None:
    write_participants({"a": Told("b"), "c, d": Told(None, "Lund")}, tmp_path)
    path = write_participants({"a": Told("e", "Oslo")}, tmp_path)
    assert read_participants(path).rows == {"a": Told("e", "Oslo"), "c, d": Told(None, "Lund")}


# --- in the folder of the data ------------------------------------------------------------------------


def test_persons_of_a_table_in_the_folder_stay_on_one_side(
    hospital: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert any(len(sides) > 1 for sides in sides_of(build_datalist(hospital, validation=0.5)).values())
    persons_csv(hospital / "participants.csv")
    with caplog.at_level(logging.INFO):
        datalist = build_datalist(hospital, validation=0.34)
    assert all(len(sides) == 1 for sides in sides_of(datalist).values())
    assert {case["person"] for case in datalist["training"]} == {"K1", "K2", "K3"} - {
        case["person"] for case in datalist["validation"]
    }
    assert "person and institution of 6 studies from" in caplog.text


def test_folds_and_institutions_follow_the_table(hospital: Path) -> None:
    persons_csv(hospital / "participants.csv")
    folds = build_datalist(hospital, "folds", folds=3)
    assert sorted(len({case["person"] for case in folds[side]}) for side in ("training", "validation")) == [
        1,
        2,
    ]
    without = build_datalist(hospital, "institution", institution="Oslo")
    assert {case["patient"] for case in without["validation"]} == {"K3_A", "K3_B"}
    with pytest.raises(InputError, match="number of patients, 3, since 6 studies are of 3 persons"):
        build_datalist(hospital, "folds", folds=4)


def test_doctor_counts_the_persons_and_institutions_of_the_table(hospital: Path) -> None:
    assert check_data(hospital).patients == 6
    persons_csv(hospital / "participants.csv")
    report = check_data(hospital)
    assert (report.patients, report.institutions) == (3, {"Lund": 4, "Oslo": 2})


def test_studies_that_a_table_does_not_tell_of_are_mentioned(
    hospital: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(hospital / "participants.csv", "patient,person\nK1_A,K1\nK1_B,K1\nK9,K9\n")
    with caplog.at_level(logging.INFO):
        cases = find_cases(hospital)
    assert "does not tell of K2_A, K2_B, K3_A and 1 more; what their names tell counts" in caplog.text
    assert "tells of K9 too, who are not in the data" in caplog.text
    assert [case.get("person") for case in cases] == ["K1", "K1", None, None, None, None]


def test_a_table_that_fits_no_study_is_refused(hospital: Path) -> None:
    write(hospital / "participants.csv", "patient,person\nx1,x\nx2,x\n")
    with pytest.raises(InputError, match=r"it has x1, x2, the data have K1_A, K1_B, K2_A and 3 more"):
        find_cases(hospital)


def test_a_table_of_persons_that_is_no_text_is_refused(hospital: Path) -> None:
    (hospital / "participants.csv").write_bytes("patient,person\nK1_A,K1\n".encode("utf-16"))
    with pytest.raises(InputError, match=r"readable CSV file at .*participants\.csv"):
        find_cases(hospital)


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("csv", "patient;person", "separated by commas, but its first line has semicolons"),
        ("csv", "patient\tperson", "separated by commas, but its first line has tabs"),
        ("csv", "patient person", "but .* has patient person; add them to its first line"),
        ("tsv", "patient,person", "separated by tabs, but its first line has commas"),
    ],
)
def test_a_table_of_persons_with_other_separators_is_not_passed_over(
    name: str, head: str, words: str, hospital: Path
) -> None:
    write(hospital / f"participants.{name}", f"{head}\nK1_A{head[7]}K1\n")
    with pytest.raises(InputError, match=words):
        find_cases(hospital)


def test_a_list_beside_the_table_of_others_goes_without_it(
    hospital: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(hospital / "participants.csv", "patient,person\nx1,x\n")
    listed = write(hospital / "list.csv", "patient,image,label\nK1_A,K1_A.nii.gz,K1_A_mask.nii.gz\n")
    assert [case["patient"] for case in find_cases(listed)] == ["K1_A"]
    assert "Not read: " in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"participant_id\tsite\nx1\tLund\n", "none of its names fits one"),
        ("participant_id\tsite\nK1_A\tMalm\u00f6\n".encode("latin-1"), "Save it as UTF-8 text"),
        (b"participant_id\tsite\n\tLund\nK1_A\tLund\n", "names no study; it is not read"),
        (b"participant_id\tsite\nK1_A\tLund\nK1_A\tOslo\n", "names two institutions for K1_A; neither is ta"),
    ],
)
def test_an_odd_table_of_institutions_stops_nobody(
    content: bytes, words: str, hospital: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (hospital / "participants.tsv").write_bytes(content)
    assert len(find_cases(hospital)) == 6
    assert words in caplog.text


def test_a_table_stops_nobody_from_outlining(hospital: Path) -> None:
    write(hospital / "participants.csv", "patient,person\nx1,x\n")
    assert len(find_studies_to_predict([hospital])) == 6


def test_names_of_bids_may_leave_the_prefix_out(tmp_path: Path) -> None:
    path = write(tmp_path / "participants.tsv", "participant_id\tsite\n01\tLund\n")
    assert read_participants(path).of("sub-01_ses-2").institution == "Lund"


def test_a_table_beside_a_csv_of_paths_tells_what_that_does_not(hospital: Path) -> None:
    persons_csv(hospital / "participants.csv")
    rows = [f"{name},{name}.nii.gz,{name}_mask.nii.gz," for name in NAMES[:2]]
    rows += [f"{NAMES[2]},{NAMES[2]}.nii.gz,{NAMES[2]}_mask.nii.gz,Bo"]
    table = write(hospital / "paths.csv", "\n".join(["patient,image,label,person", *rows]))
    assert [case["person"] for case in find_cases(table)] == ["K1", "K1", "Bo"]


def test_a_code_of_tcga_is_one_person_however_it_is_written() -> None:
    told = {"patient": "scan7", "person": "tcga-cs-4941"}
    assert whose(told) == whose({"patient": "TCGA_CS_4941_19960909"}) == "TCGA_CS_4941"


# --- by option, in a table of paths, in a list --------------------------------------------------------


def test_prepare_takes_a_table_and_the_datalist_tells(
    hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = persons_csv(tmp_path / "who.csv")
    output = tmp_path / "datalist.json"
    words = ["prepare", str(hospital), "--output", str(output), "--participants", str(table)]
    monkeypatch.setattr("sys.argv", ["gliomaseg", *words, "--validation", "0.34"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "2 patients       4 studies" in capsys.readouterr().out
    datalist = load_datalist(output)
    assert all(len(sides) == 1 for sides in sides_of(datalist).values())
    assert not [found for found in check_data(output).findings if found.code == "both-sides"]
    again = build_datalist(output, "folds", folds=3)  # split anew, with what it knows of persons
    assert all(len(sides) == 1 for sides in sides_of(again).values())


def test_a_table_given_counts_more_than_that_in_the_folder(hospital: Path, tmp_path: Path) -> None:
    persons_csv(hospital / "participants.csv")
    other = write(tmp_path / "who.csv", "patient,person\nK1_A,Bo\n")
    datalist = build_datalist(hospital, participants=other)
    told = {case["patient"]: case["person"] for side in SECTIONS for case in datalist[side]}
    assert (told["K1_A"], told["K1_B"]) == ("Bo", "K1")
    assert {case["institution"] for side in SECTIONS for case in datalist[side]} == {"Lund", "Oslo"}


def test_doctor_finds_persons_on_both_sides_of_a_datalist(hospital: Path, tmp_path: Path) -> None:
    datalist = build_datalist(hospital, participants=persons_csv(tmp_path / "who.csv"), validation=0.34)
    datalist["training"].append(datalist["validation"].pop())
    write_datalist(datalist, tmp_path / "datalist.json")
    found = [one for one in check_data(tmp_path / "datalist.json").findings if one.code == "both-sides"]
    assert len(found) == 1
    assert " is in training and in validation of " in found[0].what


def test_a_split_file_names_persons_and_may_not_cut_them_in_two(hospital: Path, tmp_path: Path) -> None:
    persons_csv(hospital / "participants.csv")
    by_person = write(tmp_path / "a.csv", "patient,split\nK1,training\nK2,training\nK3,validation\n")
    datalist = build_datalist(hospital, split_file=str(by_person))
    assert [len(datalist[side]) for side in SECTIONS] == [4, 2, 0]
    cut = write(tmp_path / "b.csv", "patient,split\nK1_A,training\nK1_B,validation\nK3,training\n")
    with pytest.raises(InputError, match=r"b\.csv has on two: K1 \(training and validation\)"):
        build_datalist(hospital, split_file=str(cut))
    assert "both-sides" in [one.code for one in check_data(hospital, split_file=cut).findings]
    assert "both-sides" not in [one.code for one in check_data(hospital, split_file=by_person).findings]


def test_a_table_of_paths_and_a_list_may_name_persons(hospital: Path, tmp_path: Path) -> None:
    rows = [f"{name},{name}.nii.gz,{name}_mask.nii.gz,{name[:2]}" for name in NAMES]
    table = write(hospital / "paths.csv", "\n".join(["patient,image,label,person", *rows]))
    assert [case["person"] for case in find_cases(table)] == ["K1", "K1", "K2", "K2", "K3", "K3"]
    items = [
        {"image": f"{name}.nii.gz", "label": f"{name}_mask.nii.gz", "person": name[:2]} for name in NAMES
    ]
    plain = hospital / "list.json"
    plain.write_text(json.dumps({"training": items[:4], "validation": items[4:]}), encoding="utf-8")
    assert [case["person"] for case in load_datalist(plain)["validation"]] == ["K3", "K3"]


def test_slices_of_one_study_in_a_table_of_paths_are_of_one_person(
    phantom_data: Path, tmp_path: Path
) -> None:
    folder = next(path for path in sorted(phantom_data.iterdir()) if path.is_dir())
    scans = sorted(path for path in folder.glob("*.tif") if "_mask" not in path.name)[:2]
    rows = [
        f"a,{scan},{scan.with_name(scan.stem + '_mask.tif')},{who}"
        for scan, who in zip(scans, "xy", strict=True)
    ]
    table = write(tmp_path / "paths.csv", "\n".join(["patient,image,label,person", *rows]))
    with pytest.raises(InputError, match=r"A study is of one person, but a in .* is of x and y; write one"):
        find_cases(table)


# --- in a run, an evaluation and a comparison ---------------------------------------------------------


@pytest.fixture(scope="module")
def shared_hospital(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return six made-up studies, of three persons as a table tells, and one that it does not tell of."""
    folder = tmp_path_factory.mktemp("shared") / "data"
    folder.mkdir()
    made = sorted(path for path in phantom_data.iterdir() if path.is_dir())
    for name, source in zip((*NAMES, "L1"), made, strict=False):
        (folder / name).mkdir()
        for file in source.iterdir():
            shutil.copyfile(file, folder / name / file.name.replace(source.name, name))
    persons_csv(folder / "participants.csv")
    return folder


def test_a_run_keeps_persons_and_an_evaluation_knows_them_again(
    shared_hospital: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(TrainOptions(shared_hospital, run, settings=STEP))
    datalist = load_datalist(run / "datalist.json")
    assert all(len(sides) == 1 for sides in sides_of(datalist).values())
    evaluate_command(shared_hospital, tmp_path / "all", model=run)
    table = pd.read_csv(tmp_path / "all" / "per_patient.csv")
    assert table["person"].tolist() == ["K1", "K1", "K2", "K2", "K3", "K3", None] or (
        table["person"].tolist()[:6] == ["K1", "K1", "K2", "K2", "K3", "K3"]
        and table["person"].isna().iloc[6]
    )
    metrics = json.loads((tmp_path / "all" / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["protocol"]["patients"], metrics["protocol"]["persons"]) == (7, 4)
    result = compare_runs([str(tmp_path / "all")])
    assert (result["patients"], result["persons"]) == (7, 4)


@pytest.mark.parametrize("told", ["the datalist", "the cases"])
def test_another_study_of_a_person_who_trained_is_told_by_the_table(told: str) -> None:
    in_list, in_cases = ({"person": "K1"}, {}) if told == "the datalist" else ({}, {"person": "K1"})
    datalist: dict = {
        "training": [{"patient": "K1_A", **in_list}],
        "validation": [{"patient": "K2_A"}],
        "test": [{"patient": "K1_B", **in_list}],
        "split": {"method": "patient"},
    }
    cases = [{"patient": "K1_B", **in_cases}, {"patient": "K1_A", **in_cases}, {"patient": "K2_A"}]
    split = leak_of(cases, history_of(datalist))
    assert split is not None
    assert split["warning"].startswith("Of 3 evaluated patients, 2 trained the model (K1_A, K1_B)")
    assert method_of(cases, history_of(datalist)) == "given"
    assert "1" in str(note_on_choice(cases, history_of(datalist)))
