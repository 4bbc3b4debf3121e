"""The files of a request in, the same files in a folder of the server out, under the names they came with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from ..workflows.files import InputError, could_not_write
from .settings import ServeSettings

BLOCK: Final = 1 << 20
LONGEST_NAME: Final = 200
"""Characters of a name; file systems take 255 bytes."""

DEEPEST: Final = 16
"""Folders within folders."""


class Upload(Protocol):
    """A file of a request, as Starlette gives it."""

    filename: str | None

    async def read(self, size: int = -1) -> bytes:
        """Return the next bytes, none at the end."""


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
    if not length.isdecimal():
        raise LengthUnknownError("An upload says in Content-Length how large it is, but this one does not.")
    if int(length) > settings.upload_bytes:
        raise TooLargeError(
            f"An upload has at most {settings.upload_mb:g} MiB, but this one has {int(length) / 2**20:.0f}; "
            "send fewer studies at once, or start the server with a larger --upload-mb."
        )


async def save_uploads(uploads: Sequence[Upload], folder: Path) -> None:
    """Write the files of a request.

    Args:
        uploads: the files.
        folder: empty; folders in their names are made in it.

    Raises:
        InputError: there are none, a name leads elsewhere or comes twice, or the disk is full.
    """
    if not uploads:
        raise InputError(
            "An upload has at least one file in its form field `files`, but this one has none; with curl: "
            "-F files=@scan.nii.gz"
        )
    for upload in uploads:
        target = folder / safe_name(upload.filename or "")
        if target.exists():
            raise InputError(
                f"Every file of an upload has a name of its own, but {upload.filename} comes twice; send "
                "folders along in the names, as in patient/slice_1.tif."
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                while block := await upload.read(BLOCK):
                    stream.write(block)
        except OSError as error:
            raise could_not_write(target.name, error) from error


def safe_name(name: str) -> PurePosixPath:
    """Return the name of an uploaded file as a path within a folder.

    Args:
        name: as it came, with slashes or backslashes between folders.

    Raises:
        InputError: it leads out of the folder, or no file could have it.

    Example:
        >>> str(safe_name("study/slice_1.tif"))
        'study/slice_1.tif'
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    wrong = not parts or len(parts) > DEEPEST or name.startswith(("/", "\\"))
    if wrong or any(_is_wrong(part) for part in parts):
        raise InputError(
            "The name of an uploaded file is that of a file, with folders of the same upload at most, got "
            f"{name[:LONGEST_NAME]!r}; give it another one."
        )
    return PurePosixPath(*parts)


def _is_wrong(part: str) -> bool:
    return part == ".." or len(part.encode()) > LONGEST_NAME or not part.isprintable()
