"""What each fold of a cross-validation finds in the same data is told once."""

from __future__ import annotations

import logging

import pytest

from gliomaseg.workflows.system.once import OF_DATA, told_once


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_warnings_of_the_data_are_told_once_and_all_others_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = logging.getLogger(f"{OF_DATA[0]}.inner")
    training = logging.getLogger("gliomaseg.workflows.handlers")
    with told_once():
        for number in (1, 1, 2):
            data.warning("%d grey images", number)
            data.error("%d broken", 1)
            training.warning("No gain.")
    assert said(caplog) == [
        "1 grey images", "1 broken", "No gain.", "1 broken", "No gain.",
        "2 grey images", "1 broken", "No gain.",
    ]  # fmt: skip
    data.warning("1 grey images")
    assert said(caplog)[-1] == "1 grey images"


@pytest.mark.parametrize("name", OF_DATA)
def test_the_loggers_are_those_of_modules_that_there_are(name: str) -> None:
    __import__(name)
