"""Names of files go to whoever sent them, and into no log."""

from __future__ import annotations

import logging
import threading

import pytest

from gliomaseg.serving.hearing import SPEAKING_OF_FILES, heard, keep_quiet


@pytest.fixture
def loggers(monkeypatch: pytest.MonkeyPatch) -> list[logging.Logger]:
    """Return loggers that are as before when a test has ended."""
    found = [logging.getLogger(name) for name in SPEAKING_OF_FILES]
    for one in found:
        monkeypatch.setattr(one, "propagate", True)
        monkeypatch.setattr(one, "handlers", [])
    return found


def test_a_server_that_keeps_quiet_logs_no_names_and_tells_them_all_the_same(
    loggers: list[logging.Logger], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_quiet()
    with heard() as told:
        for logger in loggers:
            logger.getChild("inner").warning("Not read: %s", "anna.mgz")
    loggers[0].warning("Not read: bert.mgz")  # when nobody listens
    assert told == ["Not read: anna.mgz"]
    assert (caplog.text, capsys.readouterr().err) == ("", "")


def test_each_thread_hears_what_concerns_its_own_upload(loggers: list[logging.Logger]) -> None:
    with heard() as told:
        other = threading.Thread(target=loggers[0].warning, args=("of another upload",))
        other.start()
        other.join()
        loggers[0].warning("of this one")
    assert told == ["of this one"]
    assert loggers[0].handlers == []
