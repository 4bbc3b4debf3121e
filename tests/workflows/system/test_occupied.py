"""A folder that one process works in is kept from others."""

from pathlib import Path

from gliomaseg.workflows.system.occupied import only_worker_in


def test_a_mark_that_was_taken_away_meanwhile_is_no_lock(tmp_path: Path) -> None:
    with only_worker_in(tmp_path):
        (tmp_path / ".gliomaseg-busy").unlink()  # as its holder does at the end
        with only_worker_in(tmp_path):
            assert (tmp_path / ".gliomaseg-busy").is_file()
