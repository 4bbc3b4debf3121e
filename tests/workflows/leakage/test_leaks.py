"""Patients who trained a model are met again where it is tested, and told of."""

from typing import Any

import pytest

from gliomaseg.workflows.leakage.leaks import (
    leak_of,
    method_of,
    note_on_choice,
    note_on_look_alikes,
    say_who_trained,
)
from gliomaseg.workflows.leakage.seen import History, history_of


@pytest.mark.parametrize("name", ["TCGA_CS_4941_19970101", "tcga-cs-4941", "TCGA_CS_4941_19960909"])
def test_another_study_of_a_person_who_trained_or_chose_is_told(name: str) -> None:
    datalist: dict[str, Any] = {"training": [{"patient": "TCGA_CS_4941_19960909"}], "split": {}}
    datalist |= {"validation": [], "test": [{"patient": "TCGA_CS_4941_20000101"}]}
    said = leak_of([{"patient": name}, {"patient": "somebody"}], history_of(datalist, "d.json"))
    assert said is not None
    assert said["warning"].startswith(f"Of 2 evaluated patients, 1 trained the model ({name}): ")
    assert method_of([{"patient": name}], history_of(datalist)) == "given"
    turned = {**datalist, "training": [], "validation": datalist["training"]}
    note = note_on_choice([{"patient": name}], history_of(turned))
    assert note is not None
    assert note.startswith("Of 1 evaluated patients, 1 chose")


def trained_on(*names: str, **more: Any) -> History:
    sections = {"training": [{"patient": name} for name in names], "validation": [], "test": []}
    return history_of({**sections, "split": {"method": "patient"}, **more}, "d.json")


def test_names_that_may_be_of_one_who_trained_are_told(caplog: pytest.LogCaptureFixture) -> None:
    history = trained_on("OAS1_0001_MR1", "OAS1_0002_MR1", "OAS1_0003_MR1")
    cases = [{"patient": name} for name in ("OAS1_0002_MR2", "OAS1_0003_MR1", "OAS1_0009_MR2")]
    protocol: dict[str, Any] = {}
    say_who_trained(protocol, cases, history)
    words = (
        "The names of 1 of 3 evaluated patients differ only in a count or capitals from those of patients "
        "who trained the model, such as OAS1_0002_MR2 and OAS1_0002_MR1; if they are the same persons, the "
        "figures are too good."
    )
    assert protocol["note"] == words
    assert f"{words} To settle it, tell whose each study is, in a table participants.csv" in caplog.text


def test_each_study_counts_that_may_be_of_one_who_trained() -> None:
    cases = [{"patient": name} for name in ("P7_scan2_day1", "P7_scan2_day2", "P9_scan1")]
    note = note_on_look_alikes(cases, trained_on("P7_scan1", "P8_scan1"))
    assert note is not None
    assert note.startswith("The names of 2 of 3 evaluated patients differ")
    assert "such as P7_scan2_day1 and P7_scan1" in note


@pytest.mark.parametrize(
    ("cases", "history"),
    [
        ([{"patient": "OAS1_0002_MR2", "person": "B"}], trained_on("OAS1_0002_MR1")),
        ([{"patient": "OAS1_0002_MR1"}], trained_on("OAS1_0002_MR1")),  # met by name, which is said else
        ([{"patient": "OAS1_0004_MR2"}], trained_on("OAS1_0002_MR1")),
        ([{"patient": "OAS1_0002_MR2"}], trained_on(validation=[{"patient": "OAS1_0002_MR1"}])),
        ([{"patient": "OAS1_0002_MR2"}], trained_on(training=[{"patient": "OAS1_0002_MR1", "person": "A"}])),
        ([{"patient": f"BraTS20_Training_{n:03d}"} for n in (1, 2)], trained_on("BraTS20_Training_003")),
        ([{"patient": "OAS1_0002_MR2"}], history_of(None)),
    ],
)
def test_names_that_are_told_apart_or_met_are_not_told_again(cases: Any, history: History) -> None:
    assert note_on_look_alikes(cases, history) is None
