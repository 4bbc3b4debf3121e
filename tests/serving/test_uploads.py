from __future__ import annotations

import errno
import io
import shutil
from pathlib import Path

import pytest

from gliomaseg.serving.settings import ServeSettings
from gliomaseg.serving.uploads import (
    LengthUnknownError,
    StorageError,
    TooLargeError,
    require_size,
    safe_name,
    save_uploads,
)
from gliomaseg.workflows.files import InputError


class Sent:
    """A file of a request."""

    def __init__(self, filename: str | None, content: bytes = b"scan") -> None:
        self.filename, self.file = filename, io.BytesIO(content)


def save(folder: Path, *sent: Sent) -> dict[str, bytes]:
    """Save them and return the files that are there."""
    save_uploads(sent, folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_files_are_written_with_the_folders_in_their_names(tmp_path: Path) -> None:
    large = b"0123456789" * 300_000  # more than is read at once
    found = save(
        tmp_path, Sent("study/a_1.tif", b"one"), Sent("study\\a_2.tif", large), Sent("./scan.nii.gz")
    )
    assert found == {"study/a_1.tif": b"one", "study/a_2.tif": large, "scan.nii.gz": b"scan"}


def test_an_upload_without_files_says_how_to_send_some(tmp_path: Path) -> None:
    words = "at least one file in its form field `files`, .*: -F files=@scan.nii.gz$"
    with pytest.raises(InputError, match=words):
        save(tmp_path)


def test_a_name_that_comes_twice_is_refused_and_the_first_file_stays(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a name of its own, but a.tif comes twice; send folders along"):
        save(tmp_path, Sent("a.tif", b"first"), Sent("a.tif", b"second"))
    assert (tmp_path / "a.tif").read_bytes() == b"first"


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    words = "of a file or of a folder, but study/b.tif needs a folder where a file stands; give one of them"
    with pytest.raises(InputError, match=words):
        save(tmp_path, Sent("study"), Sent("study/b.tif"))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        ".",
        "..",
        "../a.tif",
        "study/../../a.tif",
        "..\\a.tif",
        "/etc/passwd",
        "\\\\host\\share",
        "...nii.gz",
        "x" * 201,
        "a/" * 16 + "a.tif",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(InputError, match="is that of a file, with folders of the same upload at most, got"):
        save(inner, Sent(name))
    assert [path.name for path in tmp_path.rglob("*")] == ["inner"]


def test_a_file_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got ''; give it another one"):
        save(tmp_path, Sent(None))


def test_loose_files_become_a_study_that_is_called_as_they_are(tmp_path: Path) -> None:
    case, mixed, one = (tmp_path / name for name in ("case", "mixed", "one"))
    for folder in (case, mixed, one):
        folder.mkdir()
    assert list(save(case, Sent("case7_1.tif"), Sent("case7_2.tif"))) == [
        "case7/case7_1.tif",
        "case7/case7_2.tif",
    ]
    assert sorted(save(mixed, Sent("FLAIR.nii"), Sent("T1.nii"), Sent("study/a.nii"))) == [
        "study/a.nii",
        "study_/FLAIR.nii",
        "study_/T1.nii",
    ]
    assert list(save(one, Sent("scan.nii"))) == ["scan.nii"]


def test_what_is_no_scan_is_left_out(tmp_path: Path) -> None:
    sent = [
        Sent("a/dataset.json"),
        Sent("a/.DS_Store"),
        Sent(".git/a.tif"),
        Sent("Thumbs.db"),
        Sent("a/1.tif"),
    ]
    assert list(save(tmp_path, *sent)) == ["a/1.tif"]
    with pytest.raises(InputError, match="at least one file"):
        save(tmp_path, Sent("dataset.json"))


def test_names_of_results_are_left_to_the_results(tmp_path: Path) -> None:
    assert list(save(tmp_path, Sent("Overlays/results.csv"))) == ["Overlays_/results.csv_"]


@pytest.mark.parametrize(
    ("name", "becomes"),
    [("a\n.tif", "a_.tif"), ("a\0.tif", "a_.tif"), ("a\u3000b.tif", "a_b.tif"), ("\ud800.tif", "_.tif")],
)
def test_odd_letters_become_underscores(name: str, becomes: str) -> None:
    assert safe_name(name).as_posix() == becomes


def test_a_full_disk_is_told_without_a_path_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    words = r"^The server has no room for this \(No space left on device\); send fewer files at once, or ask "
    with pytest.raises(StorageError, match=words):
        save(tmp_path, Sent("a.tif"))


@pytest.mark.parametrize("name", ["a.tif", "Grüße 1.nii", "IM0001", "a/b/c..d.dcm", "x" * 200])
def test_the_names_that_scans_have_are_taken(name: str) -> None:
    assert safe_name(name).as_posix() == name


@pytest.mark.parametrize("length", ["0", "1048576"])
def test_an_upload_up_to_the_limit_is_taken(length: str) -> None:
    require_size({"content-length": length}, ServeSettings(upload_mb=1))


def test_a_larger_one_is_refused_before_it_is_read() -> None:
    words = "at most 1 MiB, but this one has 3; send fewer studies at once, or .* a larger --upload-mb"
    with pytest.raises(TooLargeError, match=words):
        require_size({"content-length": "3145728"}, ServeSettings(upload_mb=1))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-length": "many"},
        {"content-length": "-1"},
        {"content-length": "10", "transfer-encoding": "chunked"},
    ],
)
def test_one_that_does_not_say_its_length_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(LengthUnknownError, match="says in Content-Length how large it is, but this one does"):
        require_size(headers, ServeSettings())


@pytest.mark.parametrize("option", ["upload_mb", "upload_files", "waiting", "keep_minutes"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_limit_that_is_none_is_refused(option: str, value: float) -> None:
    words = f"^--{option.replace('_', '-')} is a number above 0, got {value}; leave it out for "
    with pytest.raises(InputError, match=words):
        ServeSettings(**{option: value})
