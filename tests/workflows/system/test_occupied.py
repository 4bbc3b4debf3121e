"""A folder that one process works in is kept from others."""

from pathlib import Path

import pytest

from gliomaseg.workflows.system import occupied
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.system.occupied import only_worker_in


def test_a_mark_that_was_taken_away_meanwhile_is_no_lock(tmp_path: Path) -> None:
    with only_worker_in(tmp_path):
        (tmp_path / ".gliomaseg-busy").unlink()  # as its holder does at the end
        with only_worker_in(tmp_path):
            assert (tmp_path / ".gliomaseg-busy").is_file()


def test_who_ends_while_his_name_is_read_is_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(path: Path, wait: bool) -> None:
        raise BlockingIOError

    monkeypatch.setattr(occupied, "_locked", held)
    with (
        pytest.raises(InputError, match=r"at work in .* already: another process. Wait until it is done"),
        only_worker_in(tmp_path),
    ):
        pass
