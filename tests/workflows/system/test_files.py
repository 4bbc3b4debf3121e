"""A file is written whole, or it is as if nobody had tried."""

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.files import InputError


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def no_room_left(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_half(target: Path, error: BaseException) -> None:
    with files.replace_atomically(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise error


def test_a_file_appears_when_the_block_has_ended(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "mask.nii.gz"
    with files.replace_atomically(target) as temporary:
        temporary.write_text("whole", encoding="utf-8")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.name.endswith(".nii.gz")
    assert target.read_text(encoding="utf-8") == "whole"
    assert names_in(target.parent) == ["mask.nii.gz"]


def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "metrics.json"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        write_half(target, ZeroDivisionError())
    assert target.read_text(encoding="utf-8") == "old"
    assert names_in(tmp_path) == ["metrics.json"]


def test_an_interruption_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "metrics.json"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        write_half(target, KeyboardInterrupt())
    assert names_in(tmp_path) == ["metrics.json"]


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    target = tmp_path / "metrics.json"
    target.write_text("old", encoding="utf-8")
    words = r"Could not write .*metrics\.json: No space left on device\. Free some room or choose another"
    with pytest.raises(InputError, match=words):
        write_half(target, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert target.read_text(encoding="utf-8") == "old"
    assert names_in(tmp_path) == ["metrics.json"]


def test_a_folder_that_cannot_be_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    words = r"Could not write .*taken/mask\.png: (Not a directory|File exists)\. A file stands where a folder"
    with pytest.raises(InputError, match=words):
        files.write_text(tmp_path / "taken" / "mask.png", "")


def test_a_folder_in_the_place_of_the_file_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").mkdir()
    with pytest.raises(InputError, match=r"metrics\.json: Is a directory\. Move that folder away or"):
        files.write_json(tmp_path / "metrics.json", {})
    assert names_in(tmp_path) == ["metrics.json"]


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.EDQUOT, "Free some room or choose another output folder."),
        (errno.EACCES, "Choose an output folder that you may write to."),
        (errno.EROFS, "Choose an output folder that you may write to."),
        (errno.EIO, "Choose another output folder."),
    ],
)
def test_what_would_work_depends_on_what_went_wrong(tmp_path: Path, number: int, way_out: str) -> None:
    with pytest.raises(InputError) as refusal:
        write_half(tmp_path / "a.txt", OSError(number, os.strerror(number)))
    assert str(refusal.value) == f"Could not write {tmp_path / 'a.txt'}: {os.strerror(number)}. {way_out}"


def test_an_output_that_is_a_file_or_below_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    for output in (tmp_path / "taken", tmp_path / "taken" / "deep" / "er"):
        with pytest.raises(
            InputError, match=r"--output names the folder to write to, but .*taken is a file; "
        ):
            files.require_folder(output)


def test_an_output_that_is_a_folder_or_new_passes(tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path / "new" / "folder", Path("new")):
        files.require_folder(output)
    assert names_in(tmp_path) == []


def test_others_may_read_a_file_as_far_as_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


@pytest.mark.skipif(
    not Path("/proc/thread-self/status").is_file(), reason="Linux tells it without setting it"
)
def test_the_umask_is_not_set_to_be_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may make a file at that moment, which everybody could write to."""
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask was set"))
    files.write_text(tmp_path / "a.txt", "")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) & 0o600 == 0o600


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "Größe 1 µl")
    assert (tmp_path / "a.txt").read_bytes() == "Größe 1 µl".encode()


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"dice": 0.5, "volume_ml": None, "slices": [1, 2]}
    files.write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.endswith("}\n")


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"dice": float("nan")})
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"mask", b"0123456789abcdef" * 100_000])
def test_the_hash_is_that_of_the_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    files.save_tensors(tmp_path / "model.pt", {"weight": torch.arange(3.0)})
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].tolist() == [0, 1, 2]
    assert names_in(tmp_path) == ["model.pt"]


def test_the_tensors_before_are_kept_where_asked(tmp_path: Path) -> None:
    for value in (1, 2, 3):
        files.save_tensors(tmp_path / "last.pt", {"step": value}, keep=tmp_path / "previous.pt")
    found = {name: torch.load(tmp_path / name, weights_only=True)["step"] for name in names_in(tmp_path)}
    assert found == {"last.pt": 3, "previous.pt": 2}


class FullDisk:
    """Pickles to more than the disk takes: torch's writer fails in its middle."""

    def __reduce__(self) -> Any:
        no_room_left()


@pytest.mark.parametrize("fails_in_torch", [True, False])
def test_tensors_on_a_full_disk_leave_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_in_torch: bool
) -> None:
    files.save_tensors(tmp_path / "last.pt", {"step": 1}, keep=tmp_path / "previous.pt")
    if not fails_in_torch:
        monkeypatch.setattr(torch, "save", no_room_left)
    with pytest.raises(InputError, match=r"Could not write .*last\.pt: No space left on device\. Free"):
        files.save_tensors(tmp_path / "last.pt", {"step": FullDisk()}, keep=tmp_path / "previous.pt")
    assert names_in(tmp_path) == ["last.pt"]
    assert torch.load(tmp_path / "last.pt", weights_only=True) == {"step": 1}


def test_the_words_of_torch_are_those_of_the_disk(tmp_path: Path) -> None:
    class Full:
        def write(self, _: Any) -> int:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

        def flush(self) -> None:
            pass

    with pytest.raises(OSError, match="Disk quota exceeded"):
        files._save_to(Full(), {"weight": torch.zeros(1000)})  # type: ignore[arg-type]


def test_other_errors_of_torch_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        files.save_tensors(tmp_path / "last.pt", {})
    assert names_in(tmp_path) == []
