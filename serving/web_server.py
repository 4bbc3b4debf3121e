"""A Segmenter and settings in, a running server of the page and the API out."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import resource
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Final

from ..workflows.files import InputError
from ..workflows.segment import Segmenter
from .settings import ServeSettings

PACKAGES: Final = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}
"""Module -> package of the extra ``serve``."""

PREFIX: Final = "gliomaseg-serve-"
"""Of the temporary folder; the number of the process follows."""


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


def run_server(segmenter: Segmenter, settings: ServeSettings, bound: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM; then delete all that was uploaded and found.

    Args:
        segmenter: outlines.
        settings: of the server.
        bound: socket that has the address.
    """
    import uvicorn

    from .api import create_app

    _sweep_earlier()
    _allow_many_files()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        app = create_app(segmenter, settings, Path(folder))
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=5)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn passes on what stopped it
            uvicorn.Server(config).run(sockets=[bound])
        try:
            app.state.served.jobs.stop(None)  # the study at work: its files would be written anew behind us
        except KeyboardInterrupt:  # somebody does not want to wait for it
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(130)


def _sweep_earlier() -> None:
    """Delete what servers left that were killed outright."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        number = path.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdecimal() and not Path(f"/proc/{number}").exists() and Path("/proc/self").exists():
            shutil.rmtree(path, ignore_errors=True)


def _allow_many_files() -> None:
    """Let an upload of many files keep all of them open, as far as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
