"""A Segmenter and settings in, a running server of the page and the API out."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import tempfile
from pathlib import Path
from typing import Final

from ..workflows.files import InputError
from ..workflows.segment import Segmenter
from .settings import ServeSettings

PACKAGES: Final = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}
"""Module -> package of the extra ``serve``."""


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

    with tempfile.TemporaryDirectory(prefix="gliomaseg-serve-", ignore_cleanup_errors=True) as folder:
        app = create_app(segmenter, settings, Path(folder))
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=5)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn passes on what stopped it
            uvicorn.Server(config).run(sockets=[bound])
