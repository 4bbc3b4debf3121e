"""The files of a request in, the same files in a folder of the server out, under the names they came with."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Protocol

from ..workflows.files import InputError
from ..workflows.results import TAKEN
from .settings import ServeSettings

BLOCK: Final = 1 << 20
LONGEST_NAME: Final = 200
"""Bytes of a name; file systems take 255, and results put some letters behind it."""

DEEPEST: Final = 16
"""Folders within folders."""

SKIPPED: Final = ("dataset.json", "thumbs.db", "desktop.ini")
"""Files that are no scans; the first could name scans that lie elsewhere on this machine."""


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
            f"An upload has at most {settings.upload_mb:g} MiB, but this one has {int(length) / 2**20:.0f}; "
            "send fewer studies at once, or start the server with a larger --upload-mb."
        )


def save_uploads(uploads: Sequence[Upload], folder: Path) -> None:
    """Write the files of a request.

    Args:
        uploads: the files; hidden ones and those of ``SKIPPED`` are left out.
        folder: empty; folders in their names are made in it.

    Raises:
        InputError: there are none, or a name leads elsewhere or comes twice.
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
        target = folder / name
        if target.exists():
            raise InputError(
                f"Every file of an upload has a name of its own, but {upload.filename} comes twice; send "
                "folders along in the names, as in patient/slice_1.tif."
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                shutil.copyfileobj(upload.file, stream, BLOCK)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(
                f"A name is that of a file or of a folder, but {upload.filename} needs a folder where a file "
                "stands; give one of them another name."
            ) from error
        except OSError as error:
            raise StorageError(error) from error
    _gather(folder)


def _gather(folder: Path) -> None:
    """Put loose files into a folder that is called as they are, since a study is named after its folder."""
    loose = [path for path in folder.iterdir() if path.is_file()]
    if len(loose) < 2:
        return
    first, last = min(path.name for path in loose), max(path.name for path in loose)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    common = re.sub(r"[._ -]+\d*$", "", "".join(letter for letter, _ in alike))  # but for a slice's number
    place = folder / (common or "study")
    while place.exists():
        place = place.with_name(f"{place.name}_")
    place.mkdir()
    for path in loose:
        path.rename(place / path.name)


def _is_skipped(name: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in name.parts) or name.name.lower() in SKIPPED


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
