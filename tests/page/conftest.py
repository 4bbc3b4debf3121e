"""A server of the page on a free port of this machine, and a browser that a person could be at."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from gliomaseg.serving.api import create_app
from gliomaseg.serving.jobs import Jobs
from gliomaseg.serving.listening import bound_socket
from gliomaseg.serving.settings import ServeSettings
from gliomaseg.workflows.segment import Segmenter

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""How the browser is called that is asked for, in this order; CHROMIUM names another file."""

BROWSER = os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""It asks nobody but the server for anything."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    try:
        import playwright  # noqa: F401

        missing = None if BROWSER else "needs Chromium: make test-page"
    except ImportError:
        missing = "needs Playwright: make test-page"
    for item in items:
        if missing and item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip(reason=missing))


@dataclass
class Site:
    """A server that runs.

    Attributes:
        address: of its page.
        jobs: that it has.
        told: lines that it has said.
    """

    address: str
    jobs: Jobs
    told: list[str] = field(default_factory=list)


Serve = Callable[..., Site]


@pytest.fixture
def serve(bright_segmenter: Segmenter, tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts a server with some settings; all are stopped at the end."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(**settings: Any) -> Site:
        folder = tmp_path / f"served-{len(running)}"
        folder.mkdir()
        told: list[str] = []
        bound = bound_socket("127.0.0.1", 0)
        chosen = ServeSettings(**settings)
        app = create_app(bright_segmenter, chosen, folder, told.append)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        running.append((server, thread))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}{chosen.root_path}/"
        return Site(address, app.state.served.jobs, told)

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return a browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Return an empty page; whatever goes wrong in its program fails the test."""
    context = browser.new_context(accept_downloads=True)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
    yield opened
    context.close()
    assert faults == []
