"""Take a picture of the page that ``gliomaseg serve`` shows, with a made-up patient.

    python scripts/page_picture.py docs/images/page.png

Needs Playwright (``pip install playwright``) and Chromium at /usr/bin/chromium, or where CHROMIUM says.
"""

import os
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

from gliomaseg.workflows.phantom import make_phantom

COLOURS = 64
"""Of the file, which keeps it small."""


def take(target: Path) -> None:
    """Start the server, upload a made-up patient, and write what the page shows."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        patient = make_phantom(folder, patients=1, size=256, slices=23, seed=5)[0]
        scans = [str(path) for path in Path(patient).glob("*.tif") if not path.stem.endswith("_mask")]
        command = [sys.executable, "-m", "gliomaseg.workflows.cli", "serve", "--port", "0", "--device", "cpu"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            address = _address(server)
            with sync_playwright() as play:
                browser = play.chromium.launch(
                    executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium")
                )
                page = browser.new_page(viewport={"width": 1000, "height": 700})
                page.on("pageerror", lambda error: sys.exit(f"The page failed: {error}"))
                page.goto(address)
                page.set_input_files("#choose-files", scans)
                page.wait_for_selector("#results:not([hidden])", timeout=300_000)
                page.evaluate("document.querySelector('article img').decode()")
                shot = Image.open(BytesIO(page.screenshot(full_page=True)))
                shot.convert("P", palette=Image.Palette.ADAPTIVE, colors=COLOURS).save(target, optimize=True)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def _address(server: subprocess.Popen[str]) -> str:
    for line in server.stdout or ():
        if line.startswith("The page is at "):
            return line.removeprefix("The page is at ").split(",")[0]
    raise SystemExit("The server did not start.")


if __name__ == "__main__":
    take(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/page.png"))
