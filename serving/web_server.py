"""A Segmenter and settings in, a running server of the page and the API out."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import resource
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..workflows.ensemble import Ensemble
from ..workflows.files import InputError
from ..workflows.segment import Segmenter
from .settings import ServeSettings

PACKAGES: Final = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
"""Module -> package of the extra ``serve``."""

PREFIX: Final = "gliomaseg-serve-"
"""Of the temporary folder."""

BUSY: Final = ".busy"
"""File in it that a server keeps locked while it lives."""


UNMARKED_SECONDS: Final = 60
"""A folder that has had no mark for so long belongs to no server that starts."""


def require_packages() -> None:
    """Raise when a package of the extra ``serve`` is missing.

    Raises:
        InputError: with the words that install it.
    """
    missing = [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(
            f"The server needs {' and '.join(missing)}, not installed here; install the extra `serve`: "
            "pip install 'gliomaseg[serve]', or pip install '.[serve]' in a checkout."
        )


def run_server(
    segmenter: Segmenter | Ensemble,
    settings: ServeSettings,
    bound: socket.socket,
    tell: Callable[[str], None],
) -> None:
    """Serve until Ctrl-C or SIGTERM; then delete all that was uploaded and found.

    A study at work stops between two of its parts; a second Ctrl-C does not wait for that, and leaves with
    130.

    Args:
        segmenter: outlines.
        settings: of the server.
        bound: socket that has the address.
        tell: says something to whoever started the server.
    """
    import uvicorn

    from .api import create_app

    sweep_earlier()
    _allow_many_files()
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder,
        (Path(folder) / BUSY).open("w") as mark,
    ):
        fcntl.flock(mark, fcntl.LOCK_EX)
        app = create_app(segmenter, settings, Path(folder), tell)
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=5)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn passes on what stopped it
            uvicorn.Server(config).run(sockets=[bound])
        jobs = app.state.served.jobs
        try:
            if jobs.is_alive and jobs.is_at_work:
                tell("Stopping the study at work; Ctrl-C again leaves at once.")
            jobs.stop(None)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(130)  # the worker may be inside a library that does not let go


def sweep_earlier() -> None:
    """Delete what servers left that were killed outright: their folders, whose mark nobody holds or has made.

    A folder is without mark for a moment while its server starts, so one that is young stays.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if not (path / BUSY).exists() and time.time() - path.stat().st_mtime > UNMARKED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError), (path / BUSY).open("r") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


def _allow_many_files() -> None:
    """Let as many callers have their connections open as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
