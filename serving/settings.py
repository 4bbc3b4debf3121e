"""What a person may set of the server of the page: where it listens, how much it takes, how long it keeps."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from ..workflows.files import InputError


@dataclass(frozen=True)
class ServeSettings:
    """Settings of ``gliomaseg serve``.

    Attributes:
        host: address to listen at.
        port: and port.
        upload_mb: largest upload, in MiB.
        upload_files: most files of one upload.
        waiting: most uploads that wait for their turn; more are refused.
        keep_minutes: after which results are deleted, counted from when they were there.
        name: a further name of the server, such as that of a proxy before it; of an address its name counts.

    Raises:
        InputError: a number is not above 0, or the name is none.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    upload_mb: float = 1024
    upload_files: int = 20_000
    waiting: int = 16
    keep_minutes: float = 60
    name: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("host", "port", "name") and not (value > 0 and math.isfinite(value)):
                raise InputError(
                    f"--{field.name.replace('_', '-')} is a number above 0, got {value}; leave it out for "
                    f"{field.default}."
                )

        if self.name is not None:
            object.__setattr__(self, "name", _host_of(self.name))

    @property
    def address(self) -> str:
        """Where a browser on this machine finds the page.

        >>> ServeSettings("::1", 80).address
        'http://[::1]:80'
        """
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{name}]:{self.port}" if ":" in name else f"http://{name}:{self.port}"

    @property
    def upload_bytes(self) -> int:
        """Largest upload in bytes."""
        return int(self.upload_mb * 2**20)


def _host_of(words: str) -> str:
    """Return the name in what a person may write as one: with a scheme, a port or a dot at its end."""
    try:
        name = (urlsplit(words if "://" in words else f"//{words}").hostname or "").rstrip(".")
    except ValueError:
        name = ""
    if not re.fullmatch(r"[\w.:-]+", name):
        raise InputError(f"--name is a name such as seg.example.org, got {words!r}; leave it out for none.")
    return name
