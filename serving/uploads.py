"""The files of a request in, the same files in a folder of the server out, under the names they came with."""

from __future__ import annotations

import lzma
import math
import re
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final, Protocol

from ..workflows.results import TAKEN
from ..workflows.system.files import InputError
from .landing import Landed
from .settings import ServeSettings

BLOCK: Final = 1 << 20
LONGEST_NAME: Final = 200
"""Bytes of a name; file systems take 255, and results put some letters behind it."""

DEEPEST: Final = 16
"""Folders within folders."""

NO_NAMES: Final = ("i", "im", "img", "image", "mr", "slice", "z")
"""What files of scans are called by, and nobody is."""

SHORTEST: Final = 3
"""Letters that the names of loose files have in common, at least, to be called after them."""

ZIP: Final = ".zip"
UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)
"""What zipfile raises for an archive that is damaged, locked, or packed in a way it does not know."""

LONGEST_ENTRY: Final = 512
"""Bytes that a file takes in the list of an archive: its path, and some 100 beside it."""

FOLDERS: Final = 1 << 16
"""Bytes that folders may take there."""

UNPACKED: Final = 4
"""How much larger than an upload may be what its archives hold."""

SKIPPED: Final = ("dataset.json", "thumbs.db", "desktop.ini")
"""Files that are no scans; the first could name scans that lie elsewhere on this machine."""


def _go_on() -> None:
    """Stop nothing."""


class Upload(Protocol):
    """A file of a request, as Starlette gives it."""

    filename: str | None
    file: BinaryIO


class StorageError(InputError):
    """No room for an upload or its results; a web server answers it with 507."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"The server has no room for this ({error.strerror or error}); send fewer files at once, or ask "
            "whoever runs it to make room."
        )


@contextmanager
def told_of_storage() -> Iterator[None]:
    """Say of a disk that is full what a caller may know of it.

    Raises:
        StorageError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(error) from error


class TooLargeError(InputError):
    """More than the server takes; a web server answers it with 413."""


class LengthUnknownError(InputError):
    """A request that does not say how large it is; a web server answers it with 411."""


def require_size(headers: Mapping[str, str], settings: ServeSettings) -> None:
    """Raise before a body is read when it is too large.

    Args:
        headers: of the request, with names in lower case.
        settings: of the server.

    Raises:
        LengthUnknownError: the request does not say how large it is.
        TooLargeError: it is larger than the server takes.
    """
    length = headers.get("content-length", "")
    if not length.isdecimal() or "transfer-encoding" in headers:
        raise LengthUnknownError("An upload says in Content-Length how large it is, but this one does not.")
    if int(length) > settings.upload_bytes:
        raise TooLargeError(
            f"An upload has at most {settings.upload_mb:g} MiB, but this one has {_mib(int(length))}; "
            "send fewer or smaller studies at once, or start the server with a larger --upload-mb."
        )


def _mib(size: int) -> str:
    """Say how large something is that is too large: rounded up, or it would look as if it were not.

    Example:
        >>> _mib(2**20 + 1), _mib(300_000), _mib(5 * 2**30)
        ('1.1', '0.3', '5120')
    """
    return f"{math.ceil(size / 2**20 * 10) / 10:.1f}".removesuffix(".0")


def save_uploads(
    uploads: Sequence[Upload], folder: Path, settings: ServeSettings, goes: Callable[[], None] = _go_on
) -> None:
    """Write the files of a request, and unpack ZIP archives among them.

    Args:
        uploads: the files; hidden ones and those of ``SKIPPED`` are left out.
        folder: empty; folders in their names are made in it.
        settings: of the server, which limit what an archive may hold.
        goes: called before each file and each ``BLOCK`` of an archive; what it raises stops the writing.

    Raises:
        InputError: there are none, a name leads elsewhere or comes twice, or an archive cannot be read.
        TooLargeError: an archive holds more than the server takes.
        StorageError: the disk is full.
    """
    named = [(upload, safe_name(upload.filename or "")) for upload in uploads]
    kept = [(upload, name) for upload, name in named if not _is_skipped(name)]
    if not kept:
        raise InputError(
            "An upload has at least one file in its form field `files`, but this one has none; with curl: "
            "-F files=@scan.nii.gz"
        )
    for upload, name in kept:
        goes()
        target = folder / name
        if target.exists():
            raise InputError(
                f"Every file of an upload has a name of its own, but {upload.filename} comes twice; send "
                "folders along in the names, as in patient/slice_1.tif."
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _put(upload, target)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(
                f"A name is that of a file or of a folder, but {upload.filename} needs a folder where a file "
                "stands; give one of them another name."
            ) from error
        except OSError as error:
            raise StorageError(error) from error
    room = Room(settings.upload_files - len(kept), UNPACKED * settings.upload_bytes, goes)
    for path in [path for path in folder.rglob("*") if path.suffix.lower() == ZIP and path.is_file()]:
        room.files += 1  # it goes itself
        unpack(path, settings, room)
    _gather(folder)


def _put(upload: Upload, target: Path) -> None:
    """Move a file that has landed on the disk, or copy one that is in memory."""
    if isinstance(upload.file, Landed):
        upload.file.move(target)
        return
    with target.open("xb") as stream:
        shutil.copyfileobj(upload.file, stream, BLOCK)


@dataclass
class Room:
    """What the archives of an upload may hold yet, all of them together.

    Attributes:
        files: so many.
        bytes: so many.
        goes: called before each block is written.
    """

    files: int
    bytes: int
    goes: Callable[[], None] = _go_on


def unpack(path: Path, settings: ServeSettings, room: Room) -> None:
    """Put what a ZIP archive holds into a folder of its name, in its place.

    What it says of its size is not believed: bytes are counted as they come. Archives in it are not unpacked.

    Raises:
        InputError: it is damaged or locked, or a name in it leads elsewhere or comes twice.
        TooLargeError: it holds more files or bytes than the server takes.
        StorageError: the disk is full.
    """
    folder = path.with_name(f"{path.stem}_{secrets.token_hex(4)}")
    try:
        _require_few(path, settings)
        with zipfile.ZipFile(path) as archive:
            _extract(archive, folder, path.name, settings, room)
    except InputError:
        raise
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"Every file of an archive has a name of its own, but in {path.name} one comes twice; pack it "
            "again."
        ) from error
    except UNREADABLE as error:
        raise InputError(
            f"{path.name} could not be unpacked ({str(error) or type(error).__name__}); pack it again as "
            "ZIP, without a password, or send the files themselves."
        ) from error
    except OSError as error:
        raise StorageError(error) from error
    path.unlink()
    target = path.with_suffix("")
    while target.exists():
        target = target.with_name(f"{target.name}_")
    if folder.exists():
        folder.rename(target)


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith(("/", "\\"))


def _require_few(path: Path, settings: ServeSettings) -> None:
    """Look at how long the list of an archive is, which is read as a whole.

    Raises:
        TooLargeError: no upload that is taken has one so long.
    """
    with path.open("rb") as stream:
        end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    size = end[zipfile._ECD_SIZE] if end else 0  # type: ignore[attr-defined]
    if size > settings.upload_files * LONGEST_ENTRY + FOLDERS:
        raise TooLargeError(
            f"An upload has at most {settings.upload_files} files, but the list of those in {path.name} "
            f"alone has {_mib(size)} MiB; send fewer studies at once."
        )


def _extract(archive: zipfile.ZipFile, folder: Path, name: str, settings: ServeSettings, room: Room) -> None:
    members = [(one, safe_name(one.filename)) for one in archive.infolist() if not _is_folder(one)]
    members = [(one, place) for one, place in members if not _is_skipped(place)]
    room.files -= len(members)
    if room.files < 0:
        raise TooLargeError(
            f"An upload has at most {settings.upload_files} files, but {name} holds {len(members)}, with "
            "those beside it too many; send fewer studies at once."
        )
    for one, place in members:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        with archive.open(one) as source, (folder / place).open("xb") as stream:
            _copy(source, stream, room, name, settings)


def _copy(source: IO[bytes], target: IO[bytes], room: Room, name: str, settings: ServeSettings) -> None:
    """Copy a file for which there is room, and take it from that."""
    room.goes()
    while block := source.read(BLOCK):
        room.goes()
        room.bytes -= len(block)
        if room.bytes < 0:
            raise TooLargeError(
                f"Archives unpack to at most {UNPACKED * settings.upload_mb:g} MiB, but {name} to more; "
                "send fewer studies at once, or start the server with a larger --upload-mb."
            )
        target.write(block)


def _gather(folder: Path) -> None:
    """Put loose files into a folder that is called as they are, since a study is named after its folder."""
    loose = [path for path in folder.iterdir() if path.is_file()]
    if len(loose) < 2:
        return
    first, last = min(path.name for path in loose), max(path.name for path in loose)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    shared = "".join(letter for letter, _ in alike)
    common = re.sub(r"[._ -]*\d*$", "", shared)  # no slice's number
    if not common and (cut := re.sub(r"[._ -]+\d*$", "", shared)) != shared:
        common = cut
    whole = shared[len(common) :][:1] in ("_", "-", ".", " ")
    told = common and common.lower() not in NO_NAMES
    place = folder / (common if told and (whole or len(common) >= SHORTEST) else "study")
    while place.exists():
        place = place.with_name(f"{place.name}_")
    place.mkdir()
    for path in loose:
        path.rename(place / path.name)


def _is_skipped(name: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.parts) or name.name.lower() in SKIPPED


def safe_name(name: str) -> PurePosixPath:
    """Return the name of an uploaded file as a path within a folder.

    Args:
        name: as it came, with slashes or backslashes between folders; what no name should hold becomes an
            underscore.

    Raises:
        InputError: it leads out of the folder, or no file could have it.

    Example:
        >>> str(safe_name("study/slice_1.tif")), str(safe_name("overlays/a:b.nii"))
        ('study/slice_1.tif', 'overlays_/a_b.nii')
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    wrong = not parts or len(parts) > DEEPEST or name.startswith(("/", "\\"))
    cleaned = [re.sub(r"[^\w.+ -]", "_", part) for part in parts]
    if wrong or any(_is_wrong(part) for part in cleaned):
        raise InputError(
            "The name of an uploaded file is that of a file, with folders of the same upload at most, got "
            f"{name[:LONGEST_NAME]!a}; give it another one."
        )
    return PurePosixPath(*(f"{part}_" if TAKEN.fullmatch(part) else part for part in cleaned))


def _is_wrong(part: str) -> bool:
    return part.startswith("..") or len(part.encode()) > LONGEST_NAME
