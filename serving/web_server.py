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
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from ..workflows.ensemble import Ensemble
from ..workflows.segment import Segmenter
from ..workflows.system.files import InputError
from .hearing import keep_quiet
from .jobs import Jobs
from .settings import ServeSettings

if TYPE_CHECKING:
    import uvicorn

PACKAGES: Final = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
"""Module -> package of the extra ``serve``."""

PREFIX: Final = "gliomaseg-serve-"
"""Of the temporary folder."""


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

    keep_quiet()
    sweep_earlier()
    _allow_many_files()
    with locked_folder() as folder:
        app = create_app(segmenter, settings, folder, tell)
        jobs = app.state.served.jobs
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=5)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn passes on what stopped it
            _server(config, jobs).run(sockets=[bound])
        try:
            if jobs.is_alive and jobs.is_at_work:
                tell("Stopping the study at work; Ctrl-C again leaves at once.")
            jobs.stop(None)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(130)  # the worker may be inside a library that does not let go


def _server(config: uvicorn.Config, jobs: Jobs) -> uvicorn.Server:
    """Return a server whose jobs stop as soon as it shall, and not when its last caller has gone."""
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            jobs.stop(0)
            super().handle_exit(sig, frame)

    return Server(config)


@contextlib.contextmanager
def locked_folder() -> Iterator[Path]:
    """Make a temporary folder that is locked while this server lives, and delete it at the end."""
    while True:
        with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
            try:
                lock = os.open(folder, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if Path(folder).exists():  # another server that starts may have swept it before it was locked
                    yield Path(folder)
                    return
            finally:
                os.close(lock)


def sweep_earlier() -> None:
    """Delete what servers left that were killed outright: their folders, which nobody holds a lock on."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _allow_many_files() -> None:
    """Let as many callers have their connections open as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
