"""A run that has trained is reported on."""

import json
from pathlib import Path

import pytest

from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.end import report_run, warn_of_nothing


def test_the_report_of_a_run_can_be_written_again_with_the_same_figures(smoke_run: Path) -> None:
    before = json.loads((smoke_run / "metrics.json").read_text(encoding="utf-8"))
    report_run(smoke_run)
    assert json.loads((smoke_run / "metrics.json").read_text(encoding="utf-8")) == before


def test_a_report_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no run folder: it has no datalist\.json"):
        report_run(tmp_path)


def test_a_report_of_a_folder_without_the_config_of_a_run_is_refused(smoke_run: Path, tmp_path: Path) -> None:
    (tmp_path / "datalist.json").write_bytes((smoke_run / "datalist.json").read_bytes())
    with pytest.raises(InputError, match=r"it has no configs/train\.json; name the --output of a training"):
        report_run(tmp_path)


def test_weights_that_find_nothing_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    figures = {"protocol": {"patients": 4}, "patients_without_lesion": 1, "missed_patients": 2}
    warn_of_nothing(figures)
    assert caplog.text == ""
    warn_of_nothing({**figures, "patients_without_lesion": 4, "missed_patients": 0})
    words = "None of the validation patients (4) has a lesion, so each counts 1 where nothing is outlined"
    assert words in caplog.text
    warn_of_nothing({**figures, "missed_patients": 3})
    assert "found the lesion of none of the 3 validation patients that have one, and 1 without" in caplog.text
