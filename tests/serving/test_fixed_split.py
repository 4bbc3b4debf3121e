"""Who validates stays the same from one retraining to the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliomaseg.serving.fixed_split import EMPTY, extend_split, read_sides, write_sides
from gliomaseg.workflows.folders.persons import Person
from gliomaseg.workflows.system.files import InputError


def people(*names: str) -> list[Person]:
    return [Person(name, (name,), "unknown", 10 * index) for index, name in enumerate(names)]


def test_a_fifth_of_the_patients_validates() -> None:
    sides = extend_split(EMPTY, people(*"abcdefghij"))
    assert len(sides["validation"]) == 2
    assert sorted(sides["training"] + sides["validation"]) == list("abcdefghij")


def test_two_patients_are_enough() -> None:
    sides = extend_split(EMPTY, people("a", "b"))
    assert (len(sides["training"]), len(sides["validation"])) == (1, 1)


def test_nobody_moves_when_patients_come_and_go() -> None:
    sides = extend_split(EMPTY, people(*"abcde"))
    for now in ("abcdefghij", "acfghij", "abcdefghijklmnopqrst"):
        later = extend_split(sides, people(*now))
        assert set(sides["training"]) <= set(later["training"])
        assert set(sides["validation"]) <= set(later["validation"])
        assert not set(later["training"]) & set(later["validation"])
        sides = later
    assert len(sides["validation"]) == 4


def test_the_same_patients_are_drawn_again() -> None:
    assert extend_split(EMPTY, people(*"abcdef")) == extend_split(EMPTY, people(*"abcdef"))
    drawn = {tuple(extend_split(EMPTY, people(*"abcdef"), seed=seed)["validation"]) for seed in range(20)}
    assert len(drawn) > 1


def test_whom_the_first_model_was_trained_on_never_validates() -> None:
    sides = extend_split(EMPTY, people(*"abcdef"), share=0.5, seen={"a", "b", "c", "d"})
    assert sides["validation"] == ["e", "f"]


def test_somebody_is_left_to_train_on() -> None:
    assert len(extend_split(EMPTY, people(*"abc"), share=0.99)["training"]) == 1


def test_one_patient_is_too_few() -> None:
    with pytest.raises(InputError, match=r"final labels of at least 2 patients, .* got 1; label more"):
        extend_split(EMPTY, people("a"))


def test_patients_that_were_all_trained_on_are_told() -> None:
    with pytest.raises(InputError, match="of the 2 labelled none is left for validation"):
        extend_split(EMPTY, people("a", "b"), seen={"a", "b"})


def test_patients_that_all_validate_are_told() -> None:
    before = {"training": ["x"], "validation": ["a", "b"]}
    with pytest.raises(InputError, match="of the 2 labelled none is left for training"):
        extend_split(before, people("a", "b"))


@pytest.mark.parametrize("share", [0, 1, -0.2])
def test_a_share_that_cannot_be_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=rf"between 0 and 1, got {share}; 0\.2"):
        extend_split(EMPTY, people("a", "b"), share=share)


def test_sides_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_sides(tmp_path / "split.json") == EMPTY
    write_sides(tmp_path / "split.json", {"training": ("a",), "validation": ("b",)})
    assert read_sides(tmp_path / "split.json") == {"training": ["a"], "validation": ["b"]}
