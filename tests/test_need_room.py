"""An environment is refused at once where its disk is too full; a `df` of our own says how full it is."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "need_room.sh"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="needs the sources beside the tests")


def ask(folder: Path, wanted: int, free_kilobytes: int, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    df = tmp_path / "bin" / "df"
    df.parent.mkdir()
    df.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >"{tmp_path}/asked"\n'
        f"echo Header\necho disk 1 1 {free_kilobytes} 1% /\n"
    )
    df.chmod(0o755)
    return subprocess.run(
        [str(SCRIPT), str(folder), str(wanted), "VENV"],
        env={**os.environ, "PATH": f"{df.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_disk_with_room_is_taken_in_silence(tmp_path: Path) -> None:
    answer = ask(tmp_path, 8, 8 * 2**20, tmp_path)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_a_full_disk_is_refused_with_the_way_out(tmp_path: Path) -> None:
    answer = ask(tmp_path / "new folder" / ".venv", 8, 8 * 2**20 - 1, tmp_path)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr == (
        f"{tmp_path}/new folder/.venv needs 8 GB of disk, and 7 GB are free where it would be.\n"
        "Make room, or put it on another disk: VENV=/path/on/it\n"
    )


def test_the_disk_asked_about_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    ask(tmp_path / "new folder" / ".venv", 1, 2**20, tmp_path)
    assert (tmp_path / "asked").read_text() == f"-Pk {tmp_path}\n"
