"""What a person may set of the server of the page: where it listens, how much it takes, how long it keeps."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..workflows.system.files import InputError

NUMBERS = ("upload_mb", "upload_files", "waiting", "keep_minutes")
"""Settings that are numbers above 0."""

FROM_ENVIRONMENT = "GLIOMASEG_TOKEN"
"""Of the environment; holds the token."""

SHORTEST_TOKEN = 16
"""Characters; shorter ones can be guessed."""


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
        names: further ones of the server, such as that of a proxy before it; of an address its name counts.
        root_path: path below which a proxy shows the server, such as ``/glioma``; empty for none.
        token: that every request but those for its health has to show; None for none.
        changes: ids of the model's config with the values that they have here.

    Raises:
        InputError: a number is not above 0, a name or the path is none, or the token is too short.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    upload_mb: float = 1024
    upload_files: int = 20_000
    waiting: int = 16
    keep_minutes: float = 60
    names: tuple[str, ...] = ()
    root_path: str = ""
    token: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in NUMBERS and not (value > 0 and math.isfinite(value)):
                raise InputError(
                    f"--{one.name.replace('_', '-')} is a number above 0, got {value}; leave it out for "
                    f"{one.default}."
                )
        object.__setattr__(self, "names", tuple(_host_of(name) for name in self.names))
        object.__setattr__(self, "root_path", _path_of(self.root_path))
        if self.token is not None:
            _require_long(self.token)

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


def _path_of(words: str) -> str:
    """Return a path as ``/a/b``, or nothing."""
    path = words.strip("/")
    if not re.fullmatch(r"[\w.~-]+(/[\w.~-]+)*|", path):
        raise InputError(f"--root-path is a path such as /glioma, got {words!r}; leave it out for none.")
    return f"/{path}" if path else ""


def read_token(file: Path | None) -> str | None:
    """Return the token in the first line of a file, or that of the environment; None where there is neither.

    Raises:
        InputError: the file cannot be read.
    """
    if file is None:
        return os.environ.get(FROM_ENVIRONMENT) or None
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--token-file is a file with the token in its first line, but {file} cannot be read ({error}); "
            f"write one: openssl rand -hex 16 > {file}"
        ) from error
    return lines[0].strip() if lines else ""


def _require_long(token: str) -> None:
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"A token is at least {SHORTEST_TOKEN} ASCII characters without spaces, got one of {len(token)}; "
            "make one: openssl rand -hex 16"
        )
