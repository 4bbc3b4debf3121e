"""Patients who trained a model are met again where it is tested, and told of."""

from typing import Any

import pytest

from gliomaseg.workflows.leakage.leaks import leak_of, method_of, note_on_choice
from gliomaseg.workflows.leakage.seen import history_of


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
