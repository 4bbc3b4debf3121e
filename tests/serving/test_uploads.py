from __future__ import annotations

import errno
import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gliomaseg.serving import uploads
from gliomaseg.serving.landing import Landed
from gliomaseg.serving.settings import ServeSettings
from gliomaseg.serving.uploads import (
    LengthUnknownError,
    StorageError,
    TooLargeError,
    require_size,
    safe_name,
    save_uploads,
)
from gliomaseg.workflows.system.files import InputError


class Sent:
    """A file of a request."""

    def __init__(self, filename: str | None, content: bytes = b"scan") -> None:
        self.filename, self.file = filename, io.BytesIO(content)


def save(folder: Path, *sent: Sent) -> dict[str, bytes]:
    """Save them and return the files that are there."""
    save_uploads(sent, folder, ServeSettings())
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


def zipped(members: dict[str, bytes], **options: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, **options)
    return stream.getvalue()


def test_an_archive_is_unpacked_into_a_folder_of_its_name(tmp_path: Path) -> None:
    inner = zipped({"a": b"1"})
    packed = zipped(
        {
            "P1/IM1": b"1",
            "P1/b/IM2": b"2",
            ".hidden": b"",
            "__MACOSX/x": b"",
            "in.zip": inner,
            "empty/": b"",
        }
    )
    found = save(tmp_path, Sent("Study.ZIP", packed))
    assert found == {"Study/P1/IM1": b"1", "Study/P1/b/IM2": b"2", "Study/in.zip": inner}


def test_archives_lie_beside_other_files_and_folders_of_their_name(tmp_path: Path) -> None:
    found = save(
        tmp_path, Sent("a.zip", zipped({"x": b"1"})), Sent("a/y", b"2"), Sent("b/c.zip", zipped({"z": b"3"}))
    )
    assert found == {"a_/x": b"1", "a/y": b"2", "b/c/z": b"3"}


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../out", "..\\out"])
def test_an_archive_cannot_write_elsewhere(name: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(InputError, match="with folders of the same upload at most"):
        save(inner, Sent("a.zip", zipped({name: b"1"})))
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "a.zip"]


def test_an_archive_that_unpacks_to_too_much_is_stopped(tmp_path: Path) -> None:
    bomb = zipped({"zeros": bytes(5 * 2**20)})
    assert len(bomb) < 2**14
    words = r"Archives unpack to at most 4 MiB, but a\.zip to more; send fewer studies at once, or start the"
    with pytest.raises(TooLargeError, match=words):
        save_uploads([Sent("a.zip", bomb)], tmp_path, ServeSettings(upload_mb=1))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 5 * 2**20


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path) -> None:
    packed = zipped({str(n): b"" for n in range(3)})
    with pytest.raises(TooLargeError, match=r"at most 2 files, but a\.zip holds 3, with those beside it"):
        save_uploads([Sent("a.zip", packed)], tmp_path, ServeSettings(upload_files=2))


def test_an_archive_whose_list_alone_is_too_long_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServeSettings(upload_files=2)
    packed = zipped({f"{n}{'x' * 180}": b"" for n in range(400)})
    monkeypatch.setattr(zipfile.ZipFile, "_RealGetContents", None)
    words = r"at most 2 files, but the list of those in a\.zip alone has 0\.1 MiB; send fewer studies"
    with pytest.raises(TooLargeError, match=words):
        save_uploads([Sent("a.zip", packed)], tmp_path, settings)


def test_the_limits_hold_for_all_archives_of_an_upload_together(tmp_path: Path) -> None:
    sent = [Sent(f"{name}.zip", zipped({"zeros": bytes(3 * 2**20)})) for name in "abc"]
    with pytest.raises(TooLargeError, match="Archives unpack to at most 4 MiB"):
        save_uploads(sent, tmp_path / "bytes", ServeSettings(upload_mb=1))
    sent = [Sent(f"{name}.zip", zipped({"1": b"", "2": b""})) for name in "abc"]
    with pytest.raises(TooLargeError, match=r"at most 5 files, but .\.zip holds 2, with those"):
        save_uploads(sent, tmp_path / "files", ServeSettings(upload_files=5))


def test_folders_of_an_archive_of_windows_are_folders(tmp_path: Path) -> None:
    assert save(tmp_path, Sent("w.zip", zipped({"st\\": b"", "st\\x1.dcm": b"1"}))) == {"w/st/x1.dcm": b"1"}


def damaged() -> bytes:
    whole = zipped({"scan": b"0123456789" * 1000})
    return whole[:40] + bytes(20) + whole[60:]


def locked() -> bytes:
    packed = bytearray(zipped({"scan": b"secret"}))
    packed[6] |= 1  # the flag of a password, in the local header and in the directory
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    return bytes(packed)


@pytest.mark.parametrize("packed", [b"no archive", damaged(), locked()], ids=["none", "damaged", "locked"])
def test_an_archive_that_cannot_be_read_says_so(packed: bytes, tmp_path: Path) -> None:
    words = (
        r"a\.zip could not be unpacked \(.+\); pack it again as ZIP, without a password, or send the files"
    )
    with pytest.raises(InputError, match=words):
        save(tmp_path, Sent("a.zip", packed))


def test_a_name_that_comes_twice_in_an_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"in a\.zip one comes twice; pack it again\."):
        save(tmp_path, Sent("a.zip", zipped({"x/y": b"1", "x:y/z": b"", "x\\y": b"2"})))


def test_a_full_disk_stops_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploads, "_copy", full)
    with pytest.raises(StorageError, match="no room for this"):
        save(tmp_path, Sent("a.zip", zipped({"x": b"1"})))


def test_an_upload_stops_between_files_and_within_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EnoughError(Exception):
        """As many blocks as the test wants."""

    def goes() -> None:
        asked.append(1)
        if len(asked) > most:
            raise EnoughError

    monkeypatch.setattr(uploads, "BLOCK", 4)
    for most, files in ((1, ["a.nii"]), (4, ["a.nii", "b.zip", "x"])):  # 2 files, the member, its first block
        asked: list[int] = []
        folder = tmp_path / str(most)
        with pytest.raises(EnoughError):
            save_uploads(
                [Sent("a.nii"), Sent("b.zip", zipped({"x": bytes(64)}))], folder, ServeSettings(), goes
            )
        assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == files
    (unfinished,) = folder.rglob("x")
    assert unfinished.stat().st_size == 4


def test_a_file_that_has_landed_is_moved_and_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    (tmp_path / "input").mkdir()
    landed = Landed(tmp_path / "sent" / "0")
    assert (landed.write(b"abc"), landed.write(b"def"), landed.seek(0)) == (3, 3, 0)
    assert (landed.read(2), landed.read(), landed.seek(4), landed.read()) == (b"ab", b"cdef", 4, b"ef")
    sent = Sent("x/scan.nii")
    sent.file = landed  # type: ignore[assignment]
    assert save(tmp_path / "input", sent) == {"x/scan.nii": b"abcdef"}
    assert list((tmp_path / "sent").iterdir()) == []


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


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (("flair.nii.gz", "four.nii.gz"), "study"),
        (("IM0000.dcm", "IM0001.dcm"), "study"),
        (("anna1.tif", "anna2.tif"), "anna"),
        (("P1_1.tif", "P1_2.tif"), "P1"),
        (("P1_flair.nii.gz", "P1_t1.nii.gz"), "P1"),
        (("7_1.tif", "7_2.tif"), "7"),
        (("100001.dcm", "100002.dcm"), "study"),
        (("00001.tif", "00020.tif"), "study"),
        (("IM_0001.dcm", "IM_0002.dcm"), "study"),
        (("anna_flair.nii.gz", "anna_t1.nii.gz"), "anna"),
    ],
)
def test_letters_that_say_nothing_name_no_study(tmp_path: Path, names: tuple[str, ...], called: str) -> None:
    assert sorted(save(tmp_path, *map(Sent, names))) == [f"{called}/{name}" for name in names]


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
    words = (
        "at most 1 MiB, but this one has 3; send fewer or smaller studies at once, or .* a larger --upload-mb"
    )
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


@pytest.mark.parametrize(
    "words",
    [
        "seg.example.org",
        "https://Seg.Example.org",
        "seg.example.org:8443",
        "seg.example.org.",
        "http://seg.example.org/x",
    ],
)
def test_a_name_may_be_written_as_an_address(words: str) -> None:
    assert ServeSettings(names=(words,)).names == ("seg.example.org",)


@pytest.mark.parametrize("words", ["", "a b", "http://", "[::1"])
def test_what_is_no_name_is_refused(words: str) -> None:
    with pytest.raises(
        InputError, match=r"--name is a name such as seg\.example\.org, got .*; leave it out for none"
    ):
        ServeSettings(names=(words,))
