"""Runs are compared over the same patients and truth, and what a reader has to know stands beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gliomaseg.workflows.compare import LIMIT, compare_runs, holm, in_words
from gliomaseg.workflows.evaluation.comparison import paired_difference
from gliomaseg.workflows.evaluation.evaluated_runs import Evaluated, _with_persons, read_evaluated, together
from gliomaseg.workflows.metrics import CaseFigures, case_figures
from gliomaseg.workflows.per_patient import per_patient_table
from gliomaseg.workflows.system.files import InputError

HEADER = "patient,slices,volume_true_voxels,dice,iou,sensitivity,precision\n"


def write(
    folder: Path, dice: Mapping[str, float], truth: int = 100, protocol: Mapping[str, object] | None = None
) -> str:
    """Write what an evaluation leaves behind; return the folder as a person types it."""
    folder.mkdir(parents=True)
    table = pd.DataFrame({"patient": list(dice), "dice": list(dice.values())})
    table = table.assign(iou=table.dice / (2 - table.dice), sensitivity=table.dice, precision=1.0)
    table.assign(slices=20, volume_true_voxels=truth).to_csv(folder / "per_patient.csv", index=False)
    if protocol is not None:
        (folder / "metrics.json").write_text(json.dumps({"protocol": protocol}), encoding="utf-8")
    return str(folder)


def cases_of(*found: int) -> list[CaseFigures]:
    """Return patients with ten lesion voxels each, of which so many are found."""
    truth = np.ones((1, 10, 1), np.uint8)
    masks = [(np.arange(10) < voxels).astype(np.uint8).reshape(truth.shape) for voxels in found]
    return [case_figures(mask, truth, f"P{number}") for number, mask in enumerate(masks, start=1)]


def numbered(scores: Sequence[float], first: int = 1) -> dict[str, float]:
    return {f"P{number}": score for number, score in enumerate(scores, start=first)}


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    return [
        write(tmp_path / "first", numbered([0.5, 0.6, 0.7, 0.8, 0.9, 0.2])),
        write(tmp_path / "second", numbered([0.6, 0.8, 0.7, 0.85, 0.95, 0.1])),
    ]


def test_a_difference_is_the_mean_over_patients_of_this_less_the_first(two: list[str]) -> None:
    result = compare_runs(two)
    assert [run["name"] for run in result["runs"]] == two
    assert result["runs"][1]["dice"]["mean"] == pytest.approx(4.0 / 6)
    (row,) = result["differences"]
    assert (row["run"], row["less"], result["patients"]) == (two[1], two[0], 6)
    assert row["dice"]["mean_difference"] == pytest.approx(0.3 / 6)
    assert row["dice"]["ci95"][0] < 0.05 < row["dice"]["ci95"][1]
    assert (row["dice"]["better"], row["dice"]["worse"], row["dice"]["equal"]) == (4, 1, 1)
    assert set(row) == {"run", "less", "dice", "iou", "sensitivity", "precision"}


def test_it_says_what_the_comparison_of_cases_says(tmp_path: Path) -> None:
    first, second = cases_of(2, 5, 8, 3), cases_of(6, 5, 7, 9)
    names = []
    for name, cases in (("first", first), ("second", second)):
        (tmp_path / name).mkdir()
        per_patient_table(cases).to_csv(tmp_path / name / "per_patient.csv", index=False)
        names.append(str(tmp_path / name))
    (row,) = compare_runs(names)["differences"]
    for metric in ("dice", "iou", "sensitivity", "precision"):
        expected = paired_difference(first, second, metric)
        assert {name: row[metric][name] for name in expected} == expected
    changed = [
        after.dice - before.dice for before, after in zip(first, second, strict=True) if after != before
    ]
    assert row["dice"]["wilcoxon_p"] == stats.wilcoxon(changed).pvalue


def test_folds_are_put_together_in_whatever_order_they_are_named(tmp_path: Path) -> None:
    a0 = write(tmp_path / "a0", numbered([0.5, 0.6]))
    a1 = write(tmp_path / "a1", numbered([0.7, 0.8, 0.9], first=9))
    whole = read_evaluated(f"{a1}, {a0}")
    assert list(whole.table.index) == ["P1", "P2", "P9", "P10", "P11"]
    assert whole.name == f"{tmp_path}/a{{1,0}}"
    (there,), (back,) = compare_runs([f"{a1},{a0}"])["runs"], compare_runs([f"{a0},{a1}"])["runs"]
    assert there["dice"] == back["dice"]
    assert there["dice"]["mean"] == pytest.approx(0.7)


def test_a_folder_with_a_comma_in_its_name_is_one_run(tmp_path: Path) -> None:
    name = write(tmp_path / "a,b", numbered([0.5]))
    assert read_evaluated(name).name == name


def test_names_of_patients_are_taken_as_they_stand(tmp_path: Path) -> None:
    table = read_evaluated(write(tmp_path / "run", {"007": 0.5, "NA": 0.6})).table
    assert list(table.index) == ["007", "NA"]


def test_the_p_of_several_runs_is_corrected_for_their_number(two: list[str], tmp_path: Path) -> None:
    third = write(tmp_path / "third", numbered([0.4, 0.5, 0.6, 0.7, 0.8, 0.1]))
    result = compare_runs([*two, third], tmp_path / "out")
    raw = [row["dice"]["wilcoxon_p"] for row in result["differences"]]
    corrected = [row["dice"]["wilcoxon_p_holm"] for row in result["differences"]]
    assert corrected == holm(raw) != raw
    assert "p (Holm)" in in_words(result).splitlines()[0]
    assert "p (Holm)" in (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], []), ([0.2], [0.2]), ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.9, 0.8], [1.0, 1.0])],
)
def test_holm_multiplies_by_how_many_are_left_and_never_falls(
    values: list[float], expected: list[float]
) -> None:
    assert holm(values) == pytest.approx(expected)


def test_what_is_written_is_the_result_every_patient_and_a_page(two: list[str], tmp_path: Path) -> None:
    result = compare_runs(two, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8")) == result
    table = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert list(table) == ["patient", *two, f"{two[1]} less the first"]
    assert table.iloc[0].tolist() == ["P1", 0.5, 0.6, pytest.approx(0.1)]
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    for words in ("Not for diagnosis.", "+0.050", "over the same 6 patients", "P6", "4, 1, 1", LIMIT):
        assert words in page
    assert "p (Holm)" not in page
    assert page.count("<svg") == 2
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")


def test_names_are_escaped_on_the_page(tmp_path: Path) -> None:
    names = [write(tmp_path / f"<b>{name}", {"<i>": 0.5, "Q": 0.6}) for name in "ab"]
    compare_runs(names, tmp_path / "out")
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert "<b>a" not in page
    assert "<i>" not in page


def test_the_page_says_how_each_was_evaluated_and_what_differs(tmp_path: Path) -> None:
    protocol = {"split": "folds", "patients": 2, "size": 160, "network": "unet"}
    names = [
        write(tmp_path / "a", numbered([0.5, 0.6]), protocol=protocol),
        write(tmp_path / "b", numbered([0.5, 0.6]), protocol={**protocol, "size": 192}),
    ]
    result = compare_runs(names, tmp_path / "out")
    assert [run["protocol"]["size"] for run in result["runs"]] == [160, 192]
    assert "patients" not in result["runs"][0]["protocol"]
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert page.index('size <span class="badge">differs</span>') < page.index("network</th>")


def test_folds_of_two_sizes_list_both(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / str(size), numbered([0.5], first=size), protocol={"size": size, "split": "folds"})
        for size in (160, 192)
    ]
    (run,) = compare_runs([",".join(parts)])["runs"]
    assert run["protocol"] == {"size": [160, 192], "split": "folds"}


def test_in_a_terminal_it_is_one_table(two: list[str]) -> None:
    words = in_words(compare_runs(two)).splitlines()
    assert words[0].startswith("Dice of the volume")
    assert words[1].startswith(two[0])
    assert words[1].endswith("0.650")
    assert "+0.050 (" in words[2]
    assert "4, 1, 1" in words[2]
    assert words[4] == "The same 6 patients in every run, each with one vote."
    assert LIMIT in words
    assert "Holm" not in words[0]


def test_one_run_has_its_averages_and_nothing_beside(two: list[str], tmp_path: Path) -> None:
    words = in_words(compare_runs(two[:1], tmp_path / "out"))
    assert "less" not in words
    assert "\n6 patients, each with one vote." in words
    assert LIMIT not in words
    assert "<svg" not in (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")


def test_one_patient_has_no_interval(tmp_path: Path) -> None:
    names = [write(tmp_path / name, {"P1": score}) for name, score in (("a", 0.5), ("b", 0.6))]
    result = compare_runs(names, tmp_path / "out")
    assert "+0.100" in in_words(result)
    assert "+0.100 (" not in in_words(result)
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert "one patient has no spread" in page
    assert "over the same 1 patient<" in page


@pytest.mark.parametrize(
    ("patients", "runs", "told"), [(5, 1, True), (6, 1, False), (6, 2, True), (7, 2, False)]
)
def test_a_p_that_cannot_be_small_is_cautioned_against(
    tmp_path: Path, patients: int, runs: int, told: bool
) -> None:
    names = [
        write(tmp_path / str(run), {**numbered([0.1 * run + 0.2] * patients), "same 1": 0.5, "same 2": 0.6})
        for run in range(runs + 1)
    ]
    result = compare_runs(names)
    words = (
        f"{patients} persons with a difference cannot bring the p of {names[1]} under 0.05, whatever",
        f"{patients} persons with a difference can bring the corrected p of {names[1]} under 0.05 only where",
    )
    found = [[sentence.startswith(one) for sentence in result["cautions"]].count(True) for one in words]
    assert found == ([int(patients == 5), int(patients == 6)] if told else [0, 0])
    assert (result["differences"][0]["dice"]["wilcoxon_p_holm"] >= 0.05) == told


def test_studies_of_one_person_are_no_persons(tmp_path: Path) -> None:
    studies = [f"P{person}_day{day}" for person in (1, 2) for day in (1, 2, 3)]
    names = [write(tmp_path / str(dice), dict.fromkeys(studies, dice)) for dice in (0.4, 0.6)]
    result = compare_runs(names)
    assert result["differences"][0]["dice"]["wilcoxon_p"] == 0.5
    words = f"2 persons with a difference cannot bring the p of {names[1]} under 0.05"
    assert any(sentence.startswith(words) for sentence in result["cautions"])


def test_rounding_is_no_difference(tmp_path: Path) -> None:
    before = {**numbered([0.5] * 5), "P9_day1": 0.7, "P9_day2": 0.4}
    after = {**numbered([0.6] * 5), "P9_day1": 0.8, "P9_day2": 0.3}
    result = compare_runs([write(tmp_path / "a", before), write(tmp_path / "b", after)])
    dice = result["differences"][0]["dice"]
    assert (dice["wilcoxon_p"], dice["persons_with_difference"]) == (0.0625, 5)


def test_who_has_chosen_the_weights_and_who_leaks_is_said(tmp_path: Path) -> None:
    scores = numbered([0.5] * 6)
    protocols = {
        "chosen": {"note": "The saved weights are those with the best"},
        "test": {"split": "given", "section": "validation"},
        "leaking": {"split": "slice"},
        "seen": {"split": "given", "warning": "Of 6 evaluated patients, 6 trained the model."},
        "unknown": None,
    }
    runs = {name: write(tmp_path / name, scores, protocol=protocol) for name, protocol in protocols.items()}
    cautions = compare_runs(list(runs.values()))["cautions"]
    assert cautions == [
        LIMIT,
        f"{runs['chosen']}: The saved weights are those with the best",
        f"{runs['leaking']}: split by slice, so neighbours of the tested slices were trained on, and its "
        "figures are too good.",
        f"{runs['seen']}: Of 6 evaluated patients, 6 trained the model.",
        f"{runs['unknown']}: there is no metrics.json beside the table, so how it was evaluated is unknown.",
    ]
    assert compare_runs([runs["test"]])["cautions"] == []


def test_other_patients_are_refused_or_left_out_when_asked(tmp_path: Path) -> None:
    first = write(tmp_path / "first", numbered([0.5, 0.6, 0.7]))
    second = write(tmp_path / "second", numbered([0.6, 0.7, 0.8], first=2))
    with pytest.raises(
        InputError, match=r"but P1 of .*first is not in all of .*first and .*second;"
    ) as raised:
        compare_runs([first, second])
    assert "or add --common to compare the 2 that are." in str(raised.value)
    result = compare_runs([first, second], common=True)
    assert (result["patients"], [run["left_out"] for run in result["runs"]]) == (2, [1, 1])
    assert f"{first}: taken without 1 of its 3 patients, not being in all runs." in result["cautions"]
    third = write(tmp_path / "third", numbered([0.5, 0.6, 0.7, 0.8, 0.9]))
    with pytest.raises(InputError, match=r"but P4 and 1 more of .*third are not"):
        compare_runs([first, third])


def test_runs_without_a_patient_in_common_are_refused(tmp_path: Path) -> None:
    names = [write(tmp_path / name, {name: 0.5}) for name in "ab"]
    with pytest.raises(
        InputError, match=r"but no patient is in all of them: 'a' is in .*a and 'b' is in .*b;"
    ):
        compare_runs(names, common=True)


def test_another_truth_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "first", numbered([0.5, 0.6]))
    other = write(tmp_path / "other", numbered([0.5, 0.6]), truth=101)
    with pytest.raises(
        InputError, match=r"^Expected the same truth in all runs, but P1 has 20 slices with 101 "
    ):
        compare_runs([first, other])


def test_a_run_beside_itself_is_refused_however_it_is_named(two: list[str], tmp_path: Path) -> None:
    third = write(tmp_path / "third", numbered([0.5], first=9))
    pairs = [
        (two[0], two[0]),
        (two[0], f"{two[0]}/"),
        (two[0], f"{two[0]}/per_patient.csv"),
        (f"{two[0]},{third}", f"{third}, {two[0]}"),
    ]
    for pair in pairs:
        with pytest.raises(InputError, match=r"^Expected different runs, got .* twice; name another run\.$"):
            compare_runs(pair)


def test_a_patient_in_two_folds_is_refused(two: list[str]) -> None:
    with pytest.raises(InputError, match=r"but P1 is in .*first and in .*second; name folds of one split\.$"):
        compare_runs([",".join(two)])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,dice\nP1,0.5\n", "has no column slices; take what `evaluate` wrote"),
        ("", "is no table with commas between its columns: No columns"),
        (HEADER.replace(",", ";"), "points in its numbers, but .* has semicolons; save it so"),
        (HEADER.replace(",", "\t"), "points in its numbers, but .* has tabs; save it so"),
        (HEADER, "holds no patient; evaluate again"),
        (f"{HEADER}P1,2,3,,1,1,1\n", "dice holds numbers from 0 to 1, but P1 in .* has nan; mend it"),
        (
            f"{HEADER}P1,2,3,1,1,1,1\nP2,2,3,71.5,1,1,1\n",
            "numbers from 0 to 1, but P2 in .* has 71.5; mend it",
        ),
        (f"{HEADER}P1,few,3,1,1,1,1\n", "slices holds whole numbers, but P1 in .* has few; mend it"),
        (f"{HEADER}P1,2,3,1,1,1,1\n,,,,,,\n", "Every row has a patient, but row 3 of .* has none; remove it"),
        (f"{HEADER}P1,2,3,1,1,1,1\nP1,2,3,1,1,1,1\n", "but P1 is twice in"),
    ],
)
def test_a_table_that_is_none_is_refused_by_its_name(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "per_patient.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words) as raised:
        compare_runs([str(tmp_path)])
    assert str(tmp_path) in str(raised.value)


def test_a_table_in_another_writing_is_refused_and_a_mark_at_its_start_is_not(two: list[str]) -> None:
    table = Path(two[0], "per_patient.csv")
    text = table.read_text(encoding="utf-8")
    table.write_text(text, encoding="utf-8-sig")
    assert compare_runs(two)["patients"] == 6
    table.write_text(text.replace("P1", "P\u00e9"), encoding="latin-1")
    with pytest.raises(
        InputError, match=r"per_patient\.csv cannot be read as text in UTF-8 .*; save it so, or"
    ):
        compare_runs(two)


def test_many_folds_with_long_names_are_no_file(tmp_path: Path) -> None:
    names = [write(tmp_path / ("x" * 60 + str(fold)), numbered([0.5], first=fold)) for fold in range(6)]
    run = read_evaluated(",".join(names))
    assert len(run.table) == 6
    assert run.name.endswith("x{0,1,2,3,4,5}")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["runs/a"], "runs/a"),
        (["runs/a-0", "runs/a-1"], "runs/a-{0,1}"),
        (["a0/test", "a1/test"], "a{0,1}/test"),
        (["x", "y"], "{x,y}"),
        (["a", "ab"], "a{,b}"),
    ],
)
def test_what_parts_have_in_common_is_said_once(names: list[str], expected: str) -> None:
    assert together(names) == expected


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"there is no .*per_patient\.csv; name the --output of `gliomaseg ev"
    ):
        compare_runs([str(tmp_path)])
    with pytest.raises(InputError, match="got an empty name"):
        compare_runs([","])


def test_a_file_in_the_place_of_the_output_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="--output names the folder"):
        compare_runs(["nowhere"], tmp_path / "out")


def test_a_table_may_be_named_itself(two: list[str]) -> None:
    assert compare_runs([f"{two[0]}/per_patient.csv"])["patients"] == 6


def test_whose_studies_are_is_put_together_from_all_runs(tmp_path: Path) -> None:
    names = ("a1", "a2", "b1", "b2")
    told = ((None, None, "b", "b"), ("a", "a", "other", "b"))
    runs = [Evaluated("x", table_of(names, persons), [{}], frozenset()) for persons in told]
    assert [run.persons for run in _with_persons(runs)] == [["a", "a", "b", "b"]] * 2


def table_of(names: Sequence[str], persons: Sequence[str | None]) -> pd.DataFrame:
    return pd.DataFrame({"dice": 0.5, "person": persons}, index=pd.Index(names, name="patient"))
