"""``gliomaseg label`` brings a project together and starts MONAI Label offline, or says why not."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gliomaseg.serving import label_server
from gliomaseg.serving.label_server import (
    LabelOptions,
    command_of,
    environment_of,
    prepare_project,
    python_of,
    require_free_port,
    serve,
)
from gliomaseg.serving.workspace import Workspace
from gliomaseg.workflows.cli import app
from gliomaseg.workflows.system.files import InputError


def options(tmp_path: Path, **other: Any) -> LabelOptions:
    return LabelOptions(tmp_path / "studies", tmp_path / "project", **other)


@pytest.mark.slow
def test_a_project_holds_model_studies_and_app(smoke_run: Path, phantom_data: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        [
            "label",
            "--studies",
            str(phantom_data),
            "--model",
            str(smoke_run),
            "-o",
            str(tmp_path),
            "--prepare-only",
        ],
    )
    assert done.exit_code == 0, done.output
    assert "8 studies added, 8 of them with final labels; 0 kept." in done.output
    assert "Not for diagnosis." in done.output
    assert "GliomaApp" in (tmp_path / "app/main.py").read_text()
    assert len(list((tmp_path / "studies").glob("*.nii.gz"))) == 8


def test_studies_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There are no studies at .*studies; check the path"):
        prepare_project(options(tmp_path))


@pytest.mark.parametrize("place", ["studies", "studies/project", "studies/../studies/a/b"])
def test_a_project_inside_the_studies_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    with pytest.raises(InputError, match=r"project .* lies in .*studies; choose an --output outside it"):
        prepare_project(LabelOptions(tmp_path / "studies", tmp_path / place))
    assert not list((tmp_path / "studies").iterdir())


def test_a_port_that_is_taken_is_told_before_anything_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_server, "prepare_project", lambda _: pytest.fail("prepared"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        words = ["label", "--studies", str(tmp_path), "--port", str(listener.getsockname()[1])]
        done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, InputError)
    assert "cannot listen at" in str(done.exception)


@pytest.mark.parametrize("case", ["new", "named", "there already"])
def test_the_weights_that_ship_are_named_where_they_are_taken(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_server, "prepare_project", lambda _: label_server.Prepared())
    monkeypatch.setattr("gliomaseg.workflows.models.describe_default", lambda: "The weights, CC BY-NC-SA.")
    if case == "there already":
        (tmp_path / "served.json").write_text("{}")
    words = ["label", "--studies", str(tmp_path), "-o", str(tmp_path), "--prepare-only"]
    done = CliRunner().invoke(app, [*words, *(["--model", "runs/a"] if case == "named" else [])])
    assert done.exit_code == 0, done.output
    assert ("The weights, CC BY-NC-SA." in done.output) == (case == "new")


def test_the_server_asks_nobody_on_the_network_and_listens_at_home(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "a project")
    words = command_of(Path("python"), workspace, options(tmp_path))
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--studies") + 1] == str(tmp_path / "a project" / "studies")
    variables = environment_of(workspace, {"HOME": "/home/me"}, tmp_path)
    assert variables["HF_HUB_OFFLINE"] == "1"
    assert variables["MONAI_LABEL_TRACKING_ENABLED"] == "false"
    assert variables["HOME"] == "/home/me"
    assert variables["NO_PROXY"] == variables["no_proxy"] == "127.0.0.1,localhost"
    before = {"no_proxy": "a.example", "http_proxy": "http://b.example"}
    behind = environment_of(workspace, before, tmp_path)
    assert behind["no_proxy"] == "a.example,127.0.0.1,localhost"


def test_the_server_stands_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import os, sys; sys.exit(len(os.listdir()) or os.path.basename(os.getcwd()) != 'nowhere')"
    monkeypatch.setattr(label_server, "command_of", lambda *_: [sys.executable, "-c", program])
    (tmp_path / "project/model").mkdir(parents=True)
    assert serve(options(tmp_path, port=0), Path(sys.executable)) == 0


def test_temporary_files_of_the_server_are_its_own_and_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import os, pathlib, sys, tempfile\n"
        "left = pathlib.Path(tempfile.NamedTemporaryFile(suffix='.dcm', delete=False).name)\n"
        "pathlib.Path(sys.argv[1]).write_text(f'{left} {left.parent.stat().st_mode & 0o777:o}')"
    )
    told = tmp_path / "told.txt"
    monkeypatch.setattr(label_server, "command_of", lambda *_: [sys.executable, "-c", program, str(told)])
    (tmp_path / "project").mkdir()
    assert serve(options(tmp_path, port=0), Path(sys.executable)) == 0
    left, mode = told.read_text().split()
    assert mode == "700"
    assert not Path(left).parent.exists()


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(
            InputError, match=rf"cannot listen at 127\.0\.0\.1:{port} \(.*; choose another --port"
        ):
            require_free_port("127.0.0.1", port)
    require_free_port("127.0.0.1", port)


def test_a_port_that_cannot_be_is_told() -> None:
    with pytest.raises(InputError, match=r"cannot listen at 127\.0\.0\.1:99999"):
        require_free_port("127.0.0.1", 99999)


def test_an_environment_without_monai_label_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no environment with MONAI Label; make one with scripts/setup"):
        python_of(tmp_path)


def test_an_environment_with_monai_label_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_server, "_has_monailabel", lambda python: True)
    assert python_of(tmp_path) == tmp_path / "bin" / "python"


def test_an_installed_package_says_how_to_get_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_server, "__file__", str(tmp_path / "gliomaseg/serving/label_server.py"))
    with pytest.raises(InputError, match=r"which scripts/setup_label\.sh of a checkout makes; run that"):
        python_of(None)


@pytest.mark.parametrize("code", [0, 2])
def test_the_environment_is_set_up_by_the_script(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "setup_label.sh"
    script.write_text(f"#!/bin/sh\nexit {code}\n")
    script.chmod(0o755)
    monkeypatch.setattr(label_server, "__file__", str(tmp_path / "serving/label_server.py"))
    if code == 0:
        assert python_of(None) == tmp_path / ".venv-label/bin/python"
    else:
        with pytest.raises(InputError, match=r"could not be set up, see above: it takes Python 3\.11"):
            python_of(None)


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_of_the_server_is_handed_on(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.setattr(
        label_server, "command_of", lambda *_: [sys.executable, "-c", f"import sys; sys.exit({code})"]
    )
    assert serve(options(tmp_path, port=0), Path(sys.executable)) == code


def test_an_interrupt_stops_the_server_and_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    child = "import time; time.sleep(600)"
    sleeper = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{child}'])"
    monkeypatch.setattr(label_server, "command_of", lambda *_: [sys.executable, "-c", sleeper])
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            if timeout is None:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(label_server.subprocess, "Popen", Interrupted)
    assert serve(options(tmp_path, port=0), Path(sys.executable)) == 0
    assert started[0].returncode is not None


def test_what_the_server_started_has_time_to_end_by_itself(tmp_path: Path) -> None:
    child = (
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (signal.sigtimedwait([], 1), "
        "pathlib.Path('saved').touch(), sys.exit()))\n"
        "pathlib.Path('ready').touch()\n"
        "while True: signal.pause()"
    )
    (tmp_path / "child.py").write_text(child)
    parent = "import signal, subprocess, sys; subprocess.Popen([sys.executable, 'child.py']); signal.pause()"
    server = subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "ready").exists():
        assert server.poll() is None
        signal.sigtimedwait([], 0.01)
    label_server._stop(server)
    assert server.returncode == -signal.SIGTERM
    assert (tmp_path / "saved").exists()


def test_listening_to_the_world_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(label_server, "prepare_project", lambda _: label_server.Prepared())
    monkeypatch.setattr(label_server, "python_of", lambda _: Path("python"))
    monkeypatch.setattr(label_server, "serve", lambda *_: 0)
    monkeypatch.setattr(label_server, "require_free_port", lambda *_: None)
    monkeypatch.setattr("gliomaseg.workflows.models.describe_default", lambda: "")
    done = CliRunner().invoke(app, ["label", "--studies", str(tmp_path), "--host", "0.0.0.0"])
    assert done.exit_code == 0
    assert "everyone who reaches 0.0.0.0 can see and change the studies" in done.output
    assert "MONAI Label will be at http://0.0.0.0:8000; Ctrl-C stops it." in done.output
