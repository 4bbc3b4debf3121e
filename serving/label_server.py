"""A folder of studies and a model in, a running MONAI Label server out."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..workflows.folders.participants import write_participants
from ..workflows.system import files
from ..workflows.system.files import InputError
from .listening import require_free_port
from .studies import Prepared, prepare_studies
from .workspace import Workspace

PYTHON: Final = (3, 11)
"""Of the environment: MONAI Label 0.8.5 and what it pins were tested with it."""

KINDLY_SECONDS: Final = 10.0
"""That a server and its children have to end by themselves."""

LOOK_SECONDS: Final = 0.05

OFFLINE: Final = {
    "MONAI_LABEL_TRACKING_ENABLED": "false",
    "MONAI_ZOO_SOURCE": "ngc",  # not the Model Zoo, whose list would be fetched at the start
    "HF_HUB_OFFLINE": "1",
}
"""Settings under which MONAI Label asks nobody on the network."""


@dataclass(frozen=True)
class LabelOptions:
    """What a person asks of the server.

    Attributes:
        studies: anything that ``gliomaseg predict`` takes.
        output: folder of the labelling project.
        model: see ``models.open_model``; None keeps that of the project, or takes the weights that ship.
        host: address to listen at.
        port: and port.
        environment: virtual environment with MONAI Label; None takes ``.venv-label``.
    """

    studies: Path
    output: Path
    model: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    environment: Path | None = None


def prepare_project(options: LabelOptions) -> Prepared:
    """Bring model, studies and app together in the folder of the project; what is there already stays.

    Raises:
        InputError: the model or the studies cannot be used.
    """
    if not options.studies.exists():
        raise InputError(f"There are no studies at {options.studies}; check the path.")
    if options.output.resolve().is_relative_to(options.studies.resolve()):
        raise InputError(
            f"The studies are only read, but the labelling project {options.output} lies in "
            f"{options.studies}; choose an --output outside it."
        )
    workspace = Workspace(options.output.absolute())
    workspace.adopt(options.model)
    prepared = prepare_studies(options.studies, workspace.studies)
    if prepared.told:
        write_participants(prepared.told, workspace.root)
    program = Path(__file__).parent / "label_app" / "main.py"
    files.write_text(workspace.app / "main.py", program.read_text(encoding="utf-8"))
    return prepared


def python_of(environment: Path | None) -> Path:
    """Return the interpreter of the environment that has MONAI Label, setting it up if there is none.

    Raises:
        InputError: it cannot be set up here, or the one that was named has no MONAI Label.
    """
    if environment is not None:
        python = environment / "bin" / "python"
        if not _has_monailabel(python):
            raise InputError(
                f"{environment} is no environment with MONAI Label; make one with scripts/setup_label.sh, or "
                "leave --environment out."
            )
        return python.absolute()
    root = Path(__file__).resolve().parent.parent
    script = root / "scripts" / "setup_label.sh"
    if not script.is_file():
        raise InputError(
            "MONAI Label needs an environment of its own, which scripts/setup_label.sh of a checkout makes; "
            "run that and name the folder with --environment."
        )
    done = subprocess.run([str(script)], check=False)
    if done.returncode:
        raise InputError(
            "The environment for MONAI Label could not be set up, see above: it takes Python "
            f"{PYTHON[0]}.{PYTHON[1]}, a connection and 1 to 8 GB of disk the first time."
        )
    return root / os.environ.get("VENV_LABEL", ".venv-label") / "bin" / "python"


def command_of(python: Path, workspace: Workspace, options: LabelOptions) -> list[str]:
    """Return the words that start the server."""
    return [
        str(python), "-m", "monailabel.main", "start_server",
        "--app", str(workspace.app),
        "--studies", str(workspace.studies),
        "--host", options.host,
        "--port", str(options.port),
        "--conf", "workspace", str(workspace.root),
        "--conf", "host", options.host,
        "--uvicorn_app", "gliomaseg.serving.label_app.server:app",
    ]  # fmt: skip


def environment_of(workspace: Workspace, before: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """Return the environment variables of the server.

    Args:
        workspace: of the project.
        before: variables that the server inherits.
        scratch: folder for its temporary files: MONAI Label keeps an upload that it could not use, for all
            to read where everybody's temporary files are.
    """
    spared = {
        name: ",".join(filter(None, [before.get(name), "127.0.0.1,localhost"]))
        for name in ("NO_PROXY", "no_proxy")
    }  # a training asks the server itself for new scores
    return {
        **before,
        **OFFLINE,
        **spared,
        "MONAI_LABEL_SESSION_PATH": str(workspace.sessions),
        "TMPDIR": str(scratch),
    }


def serve(options: LabelOptions, python: Path) -> int:
    """Run the server until it is stopped, with Ctrl-C or SIGTERM, and whatever it started with it.

    Returns:
        The exit code: 0 when it was stopped.

    Raises:
        InputError: nobody can listen at the address.
    """
    require_free_port(options.host, options.port)
    workspace = Workspace(options.output.absolute())
    workspace.nowhere.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gliomaseg-", ignore_cleanup_errors=True) as scratch:
        server = subprocess.Popen(
            command_of(python, workspace, options),
            cwd=workspace.nowhere,
            env=environment_of(workspace, os.environ, Path(scratch)),
            start_new_session=True,  # so that a training in the background is stopped along
        )
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and its children, first kindly."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            for _ in range(round(KINDLY_SECONDS / LOOK_SECONDS)):
                server.poll()  # takes note of its end, without which the group would live on
                os.killpg(server.pid, 0)
                time.sleep(LOOK_SECONDS)
        except ProcessLookupError:  # nobody is left
            break
    server.poll()


def _has_monailabel(python: Path) -> bool:
    program = "import importlib.util, sys; sys.exit(importlib.util.find_spec('monailabel') is None)"
    return python.is_file() and subprocess.run([str(python), "-c", program], check=False).returncode == 0
