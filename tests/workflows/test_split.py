"""None"""

import contextlib
from collections import Counter

import numpy as np
import pytest

from gliomaseg.workflows.folders.persons import Person, persons_of, share_out, volume_thirds
from gliomaseg.workflows.split import (
    fold_of_each,
    leave_institution_out,
    split_by_patient,
    split_into_folds,
    split_slices,
)
from gliomaseg.workflows.splits import case_split
from gliomaseg.workflows.system.files import InputError

SITES = {"CS": 13, "DU": 36, "EZ": 1, "FG": 11, "HT": 27}


def people(sites: dict[str, int]) -> list[Person]:
    return [
        Person(f"TCGA_{site}_{i:04d}", (f"TCGA_{site}_{i:04d}_20000101",), site, i * 10)
        for site, count in sites.items()
        for i in range(count)
    ]


def site_of(patient: str) -> str:
    return patient.split("_")[1]


def test_a_fifth_of_88_patients_is_18():
    sections = split_by_patient(people(SITES), 0.2, 0.0, seed=0)
    assert {name: len(found) for name, found in sections.items()} == {
        "training": 70,
        "validation": 18,
        "test": 0,
    }


def test_every_patient_is_in_exactly_one_section():
    persons = people(SITES)
    sections = split_by_patient(persons, 0.2, 0.1, seed=3)
    everyone = [name for found in sections.values() for name in found]
    assert sorted(everyone) == sorted(name for person in persons for name in person.patients)
    assert len(sections["test"]) == 9


def test_institutions_are_shared_out_by_size():
    validation = split_by_patient(people(SITES), 0.2, 0.0, seed=0)["validation"]
    assert Counter(map(site_of, validation)) == {"CS": 3, "DU": 7, "FG": 2, "HT": 6}


def test_lesion_volumes_are_alike_on_both_sides():
    validation = split_by_patient(people({"DU": 30}), 0.2, 0.0, seed=5)["validation"]
    assert Counter(int(name.split("_")[2]) // 10 for name in validation) == {0: 2, 1: 2, 2: 2}


def test_the_same_seed_draws_the_same_and_another_seed_another():
    draws = [split_by_patient(people(SITES), 0.2, 0.0, seed)["validation"] for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_the_order_of_the_cases_does_not_matter():
    records = [{"patient": f"p{i}", "institution": "CS"} for i in range(9)]
    forward = persons_of(records, range(9))
    backward = persons_of(records[::-1], range(8, -1, -1))
    assert split_by_patient(forward, 0.3, 0.0, 0) == split_by_patient(backward, 0.3, 0.0, 0)


def test_two_studies_of_one_person_are_one_person():
    records = [{"patient": f"TCGA_DU_0001_{date}", "institution": "DU"} for date in ("19990101", "20000101")]
    assert persons_of(records, [3, 4]) == [
        Person("TCGA_DU_0001", ("TCGA_DU_0001_19990101", "TCGA_DU_0001_20000101"), "DU", 7)
    ]


def test_two_patients_give_one_for_each_side():
    sections = split_by_patient(people({"CS": 2}), 0.2, 0.0, seed=0)
    assert (len(sections["training"]), len(sections["validation"])) == (1, 1)


@pytest.mark.parametrize(
    ("count", "test", "words"),
    [
        (1, 0.0, "needs at least 2 patients, but there is 1"),
        (2, 0.1, "needs at least 3 patients, but there are 2"),
    ],
)
def test_too_few_patients_are_refused(count: int, test: float, words: str):
    with pytest.raises(InputError, match=f"validation 0.2 and test {test} {words}"):
        split_by_patient(people({"CS": count}), 0.2, test, seed=0)


@pytest.mark.parametrize("parts", [(0.0, 0.0), (0.2, -0.1), (0.7, 0.3), (1.2, 0.0)])
def test_parts_that_leave_nobody_to_train_are_refused(parts: tuple[float, float]):
    with pytest.raises(InputError, match=f"together below 1; they are {parts[0]} and {parts[1]}"):
        split_by_patient(people({"CS": 9}), *parts, seed=0)


def test_places_left_by_rounding_go_to_the_largest_remainder():
    groups = {"a": range(5), "b": range(3), "c": range(2)}
    assert share_out(groups, 4, np.random.default_rng(0)) == {"a": 2, "b": 1, "c": 1}


def test_thirds_follow_the_volumes():
    assert volume_thirds([5, 1, 9, 7, 3, 0]) == [1, 0, 2, 2, 1, 0]


def test_folds_differ_by_at_most_one_patient_in_all_and_in_each_institution():
    folds = fold_of_each(people(SITES), 5, seed=0)
    assert sorted(Counter(folds.values()).values()) == [17, 17, 18, 18, 18]
    for site, size in SITES.items():
        counts = Counter(fold for name, fold in folds.items() if site_of(name) == site)
        assert max(counts.values()) <= -(-size // 5)


def test_each_patient_validates_in_exactly_one_fold():
    validated = [
        name for k in range(4) for name in split_into_folds(people({"CS": 9}), 4, k, 0)[0]["validation"]
    ]
    assert sorted(validated) == sorted(person.patients[0] for person in people({"CS": 9}))


@pytest.mark.parametrize("folds", [1, 10])
def test_folds_must_fit_the_patients(folds: int):
    with pytest.raises(InputError, match=f"from 2 to the number of patients, 9, but is {folds}"):
        fold_of_each(people({"CS": 9}), folds, 0)


@pytest.mark.parametrize("fold", [-1, 3])
def test_a_fold_that_is_not_there_is_refused(fold: int):
    with pytest.raises(InputError, match=f"fold must be from 0 to 2, but is {fold}"):
        split_into_folds(people({"CS": 9}), 3, fold, 0)


def test_the_institution_left_out_validates_alone():
    sections, folds = leave_institution_out(people(SITES), "DU")
    assert {site_of(name) for name in sections["validation"]} == {"DU"}
    assert (len(sections["training"]), len(sections["validation"])) == (52, 36)
    assert folds["TCGA_HT_0000_20000101"] == 4


@pytest.mark.parametrize("institution", ["XX", None])
def test_an_unknown_institution_is_answered_with_those_known(institution: str | None):
    with pytest.raises(InputError, match=f"must be one of CS, DU, but is {institution}"):
        leave_institution_out(people({"CS": 2, "DU": 2}), institution)


def test_the_only_institution_cannot_be_left_out():
    with pytest.raises(InputError, match="all patients are from CS; split by patient"):
        leave_institution_out(people({"CS": 2}), "CS")


def test_3929_slices_are_split_into_3005_393_and_531():
    counts = Counter(split_slices([i % 3 == 0 for i in range(3929)], seed=0))
    assert counts == {"training": 3005, "validation": 393, "test": 531}


@pytest.mark.parametrize(
    ("count", "expected"),
    [(3, (1, 1, 1)), (20, (15, 2, 3)), (101, (76, 11, 14)), (3187, (2437, 319, 431))],
)
def test_slice_counts_are_rounded_up(count: int, expected: tuple[int, int, int]):
    counts = Counter(split_slices([False] * count, seed=0))
    assert (counts["training"], counts["validation"], counts["test"]) == expected


def test_slices_with_lesion_are_shared_out_alike():
    has_lesion = [i < 350 for i in range(1000)]
    sections = split_slices(has_lesion, seed=0)
    validation = [
        lesion for lesion, section in zip(has_lesion, sections, strict=True) if section == "validation"
    ]
    assert (len(validation), sum(validation)) == (100, 35)


def test_two_slices_are_too_few_to_split():
    with pytest.raises(InputError, match="at least 3 slices, but there are 2"):
        split_slices([True, False], seed=0)


def test_persons_from_nowhere_and_two_names_of_one_place_are_told(caplog: pytest.LogCaptureFixture):
    persons = people({"CS": 2, "cs": 1, "unknown": 3})
    with caplog.at_level("WARNING"):
        leave_institution_out(persons, "CS")
    assert "Where 3 of 6 persons come from is not told; they count as an institution" in caplog.text
    assert "CS and cs count as different institutions; write one name for one." in caplog.text


@pytest.mark.parametrize("sites", [{"CS": 2, "DU": 1}, {"unknown": 2, "DU": 0}])
def test_places_that_are_all_known_or_all_unknown_are_not(sites: dict, caplog: pytest.LogCaptureFixture):
    with contextlib.suppress(InputError), caplog.at_level("WARNING"):
        leave_institution_out(people(sites), next(iter(sites)))
    assert caplog.text == ""


def test_studies_of_one_person_are_named_where_there_are_too_few_persons(caplog: pytest.LogCaptureFixture):
    cases = [{"patient": f"case_day{number}", "label": "x"} for number in range(1, 9)]
    persons = persons_of(cases, [1] * 8)
    words = "but there is 1, since 8 studies are of 1 person, such as case_day1 and case_day2"
    with pytest.raises(InputError, match=words):
        split_by_patient(persons, 0.2, 0.0, 0)
    with pytest.raises(InputError, match=r"number of patients, 1, since 8 studies are of 1 person"):
        fold_of_each(persons, 5, 0)
    case_split._warn_of_many([*persons, *persons_of([{"patient": "b"}], [1])])
    assert (
        "8 of 9 studies count as 1 person by their names, such as case_day1 and case_day2 as case"
        in caplog.text
    )
