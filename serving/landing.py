"""The body of a request in, its fields and its files out, each file on the disk as it comes.

Starlette keeps files of up to 1 MiB in memory, which most slices of DICOM are: a study of a thousand would
take a thousand times that, for each who uploads. Here a file takes no memory, and none stays open.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from ..workflows.system.files import InputError

SILENT_SECONDS: Final = 60.0
LEAST_BYTES: Final = 1 << 14
"""An upload of which less than that comes in so long is given up, so that it keeps nobody from their turn."""

LOOK_SECONDS: Final = 0.25
"""Between two looks at whether the server stops, while nothing comes."""


class StalledError(InputError):
    """Nothing more comes of an upload; a web server answers it with 408."""


class Landed:
    """A file that is written to the disk while it comes, and closed between its parts.

    Args:
        path: where; it is made at once, and must not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reading: IO[bytes] | None = None
        path.touch(exist_ok=False)

    def write(self, data: bytes) -> int:
        """Write to its end."""
        with self.path.open("ab") as stream:
            return stream.write(data)

    def seek(self, offset: int) -> int:
        """Let the next read begin there."""
        self.close()
        self._reading = self.path.open("rb") if offset else None
        return self._reading.seek(offset) if self._reading else 0

    def read(self, size: int = -1) -> bytes:
        """Return what comes next."""
        if self._reading is None:
            self._reading = self.path.open("rb")
        return self._reading.read(size)

    def close(self) -> None:
        """End reading."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def move(self, target: Path) -> None:
        """Give the file its place."""
        self.close()
        shutil.move(self.path, target)


class LandingParser(MultiPartParser):
    """Read a form whose files land in a folder.

    Args:
        headers: of the request.
        stream: its body.
        folder: empty.
        most: of ``max_files`` and ``max_fields``.
    """

    def __init__(
        self, headers: Headers, stream: AsyncGenerator[bytes, None], folder: Path, most: Mapping[str, int]
    ) -> None:
        super().__init__(headers, stream, **dict[str, Any](most))
        self._folder = folder
        self._count = 0
        self._is_whole = False

    def on_headers_finished(self) -> None:
        """Begin a part; one that is a file lands in the folder."""
        super().on_headers_finished()
        file = self._current_part.file
        if file is not None:
            file.file.close()
            file.file = Landed(self._folder / str(self._count))  # type: ignore[assignment]
            self._count += 1

    def on_end(self) -> None:
        """Note that the boundary behind the last part has come."""
        super().on_end()
        self._is_whole = True

    async def parse(self) -> FormData:
        """Return the form.

        Raises:
            MultiPartException: see ``read_form``; also where the last part is cut short.
        """
        form = await super().parse()
        if not self._is_whole:
            await form.close()
            raise MultiPartException("A form ends with its boundary, but this one ends early; send it again.")
        return form


async def read_form(
    request: Request, folder: Path, most: Mapping[str, int], goes: Callable[[], None]
) -> FormData:
    """Return the form of a request, whose files lie in a folder then; an empty one where it has none.

    Args:
        request: whose body has not been read.
        folder: made here.
        most: how many parts may come, in the words of Starlette's parser.
        goes: called as often as the wait can be ended, by what it raises.

    Raises:
        MultiPartException: it is damaged, or has too many parts.
        StalledError: see ``_lively``.
    """
    folder.mkdir(parents=True)
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        return FormData()
    return await LandingParser(request.headers, _lively(request.stream(), goes), folder, most).parse()


async def land(request: Request, path: Path, goes: Callable[[], None]) -> None:
    """Write the body of a request to a file as it comes; ``goes`` as for ``read_form``.

    Raises:
        StalledError: see ``_lively``.
        OSError: the disk is full.
    """
    with path.open("xb") as stream:
        async for part in _lively(request.stream(), goes):
            stream.write(part)


async def _lively(
    stream: AsyncGenerator[bytes, None], goes: Callable[[], None]
) -> AsyncGenerator[bytes, None]:
    """Yield what comes.

    Raises:
        StalledError: less than ``LEAST_BYTES`` came in ``SILENT_SECONDS``.
    """
    late, came = _now() + SILENT_SECONDS, 0
    while True:
        part = asyncio.ensure_future(anext(stream))
        try:
            await _come(part, goes, late, came)
            came += len(part.result())
            yield part.result()
            if came >= LEAST_BYTES:
                late, came = _now() + SILENT_SECONDS, 0
        except StopAsyncIteration:
            return
        finally:
            part.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _come(part: asyncio.Future[bytes], goes: Callable[[], None], late: float, came: int) -> None:
    while not part.done():
        left = late - _now()
        if left <= 0:
            raise StalledError(
                f"An upload goes on without breaks, but {came or 'no'} bytes came in {SILENT_SECONDS:g} "
                "seconds; send it again."
            )
        await asyncio.wait((part,), timeout=min(left, LOOK_SECONDS))
        goes()
