from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gliomaseg.serving.listening import bound_socket
from gliomaseg.serving.web_server import PREFIX, locked_folder, sweep_earlier
from gliomaseg.workflows.files import InputError

TRIES = 6000  # of a twentieth of a second: for a machine that is busy, not a limit that is measured


def started(output: Path, process: subprocess.Popen[str]) -> str:
    """Return the address that the server prints once it is about to listen."""
    for _ in range(TRIES):
        words = output.read_text(encoding="utf-8")
        if "The page is at " in words:
            return words.split("The page is at ")[1].split(",")[0]
        assert process.poll() is None, words
        _pause()
    raise AssertionError(words)


def asked(address: str, data: bytes | None = None, kind: str = "") -> dict[str, object]:
    """Ask until the server answers, since it prints its address a moment before."""
    for _ in range(TRIES):
        try:
            request = urllib.request.Request(address, data, {"Content-Type": kind} if data else {})
            with urllib.request.urlopen(request) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError:
            raise
        except OSError:
            _pause()
    raise AssertionError(address)


def _pause() -> None:
    signal.sigtimedwait([], 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped_and_leaves_nothing(
    stop: signal.Signals, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    temporary, output = tmp_path / "temporary", tmp_path / "output.txt"
    temporary.mkdir()
    words = ["serve", "--port", "0", "--model", str(smoke_run), "--device", "cpu"]
    with output.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gliomaseg.workflows.cli", *words],
            stdout=stream,
            stderr=stream,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
    try:
        address = started(output, process)
        assert asked(f"{address}/health/ready") == {"status": "ok"}
        scan = next(file for file in phantom_data.rglob("*_1.tif"))
        body = (
            b'--edge\r\nContent-Disposition: form-data; name="files"; filename="'
            + scan.name.encode()
            + b'"\r\n\r\n'
            + scan.read_bytes()
            + b"\r\n--edge--\r\n"
        )
        job = asked(f"{address}/api/jobs", body, "multipart/form-data; boundary=edge")
        for _ in range(TRIES):
            if (found := asked(f"{address}{job['self']}"))["state"] in ("done", "failed"):
                break
            _pause()
        assert (found["state"], found["error"]) == ("done", None)
        assert len(list(temporary.glob(f"{PREFIX}*"))) == 1  # torch may have a folder of its own there
        process.send_signal(stop)
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
    assert list(temporary.glob(f"{PREFIX}*")) == []
    assert "Not for diagnosis." in output.read_text(encoding="utf-8")
    assert "Traceback" not in output.read_text(encoding="utf-8")


def test_a_port_that_is_taken_is_refused() -> None:
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen at 127.0.0.1:{port} .*; choose another --port"):
            bound_socket("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InputError, match=r"cannot listen at 192\.0\.2\.1:0 "):
        bound_socket("192.0.2.1", 0)


STUBBORN = """
import signal, sys, threading
from types import SimpleNamespace
from gliomaseg.serving import api
from gliomaseg.serving.listening import bound_socket
from gliomaseg.serving.web_server import PREFIX, locked_folder, sweep_earlier
from gliomaseg.serving.settings import ServeSettings
from gliomaseg.serving.web_server import run_server

signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal; what starts tests may ignore it

def work(job, goes):
    print("at work", flush=True)
    waits = 0
    while True:
        signal.sigtimedwait([], 0.01)
        frame, names = sys._current_frames()[threading.main_thread().ident], []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        waits += "join" in names
        if "steal" in sys.argv and waits == 20:  # the main thread sleeps; the interrupt reaches this one
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

api.Outliner = lambda segmenter: work
bound = bound_socket("127.0.0.1", 0)
print(f"The page is at http://127.0.0.1:{bound.getsockname()[1]},", flush=True)
model = SimpleNamespace(network_name="stubborn", sha256="none")
run_server(model, ServeSettings(), bound, lambda words: print(words, flush=True))
"""
"""A server whose study never ends."""


@pytest.mark.slow
@pytest.mark.parametrize("reaches", ["any", "steal"])
def test_a_second_interrupt_does_not_wait_for_the_study_at_work(tmp_path: Path, reaches: str) -> None:
    """Whichever thread it reaches: the system may hand it to the one at work."""
    temporary, output = tmp_path / "temporary", tmp_path / "output.txt"
    temporary.mkdir()
    with output.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", STUBBORN, reaches],
            stdout=stream,
            stderr=stream,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
    try:
        address = started(output, process)
        body = b'--e\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\nx\r\n--e--\r\n'
        asked(f"{address}/api/jobs", body, "multipart/form-data; boundary=e")
        for words in ("at work", "Stopping the study at work; Ctrl-C again leaves at once."):
            while words not in output.read_text(encoding="utf-8"):
                assert process.poll() is None, output.read_text(encoding="utf-8")
                _pause()
            if reaches == "any" or words == "at work":
                process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    finally:
        process.kill()
        process.wait()
    assert list(temporary.glob(f"{PREFIX}*")) == []


UNPACKING = """
import contextlib, signal
from pathlib import Path
from types import SimpleNamespace
from gliomaseg.serving import api
from gliomaseg.serving.listening import bound_socket
from gliomaseg.serving.settings import ServeSettings
from gliomaseg.serving.web_server import run_server

signal.signal(signal.SIGINT, signal.default_int_handler)

def unpack(sent, folder, settings, goes):
    print("unpacking", flush=True)
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scan").touch()
        goes()

api.save_uploads = unpack
api.Outliner = lambda segmenter: None
bound = bound_socket("127.0.0.1", 0)
print(f"The page is at http://127.0.0.1:{bound.getsockname()[1]},", flush=True)
model = SimpleNamespace(network_name="none", sha256="none")
run_server(model, ServeSettings(), bound, lambda words: print(words, flush=True))
"""
"""A server whose upload is never unpacked."""


@pytest.mark.slow
def test_a_server_that_stops_while_an_upload_is_unpacked_leaves_nothing(tmp_path: Path) -> None:
    temporary, output = tmp_path / "temporary", tmp_path / "output.txt"
    temporary.mkdir()
    with output.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", UNPACKING],
            stdout=stream,
            stderr=stream,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
    try:
        whole = started(output, process)
        asked(f"{whole}/health/live")
        address = urlsplit(whole)
        body = b'--e\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\nx\r\n--e--\r\n'
        with closing(http.client.HTTPConnection(str(address.hostname), address.port)) as sent:
            sent.request("POST", "/api/jobs", body, {"Content-Type": "multipart/form-data; boundary=e"})
            while "unpacking" not in output.read_text(encoding="utf-8"):
                assert process.poll() is None, output.read_text(encoding="utf-8")
                _pause()
            process.send_signal(signal.SIGINT)
            answer = sent.getresponse()
            assert (answer.status, json.load(answer)) == (
                503,
                {"detail": "The server stops, or the upload took too long; send it again later."},
            )
            assert process.wait() == 0, output.read_text(encoding="utf-8")
    finally:
        process.kill()
        process.wait()
    assert list(temporary.glob(f"{PREFIX}*")) == []


def test_what_a_killed_server_left_is_deleted_and_what_a_living_one_has_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, other = tmp_path / f"{PREFIX}a", tmp_path / "somebody-else"
    with locked_folder() as alive:
        for folder in (dead, alive, other):
            folder.mkdir(exist_ok=True)
            (folder / "scan").touch()
        sweep_earlier()
        assert sorted(tmp_path.iterdir()) == sorted([alive, other])
        assert (alive / "scan").exists()
    assert list(tmp_path.iterdir()) == [other]


def test_a_folder_that_was_swept_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sweeps = iter((True, False))
    plain = fcntl.flock

    def swept(lock: int, kind: int) -> None:
        if next(sweeps):
            for path in tmp_path.iterdir():
                path.rmdir()
        plain(lock, kind)

    monkeypatch.setattr(fcntl, "flock", swept)
    with locked_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(sweeps) == []


LEAVING = (
    UNPACKING.split("def unpack")[0]
    + """
def work(job, goes):
    print("at work", flush=True)
    try:
        while True:
            goes()
    finally:
        print("stopped", flush=True)

api.Outliner = lambda segmenter: work
"""
    + UNPACKING.split("api.Outliner = lambda segmenter: None")[1]
)
"""A server whose study never ends, unless it is stopped."""


@pytest.mark.slow
def test_a_scan_whose_caller_has_gone_is_not_outlined(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    with output.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", LEAVING],
            stdout=stream,
            stderr=stream,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
    tensors = [
        {"name": "image", "shape": [2, 2, 2], "datatype": "FP32", "data": [1] * 8},
        {"name": "affine", "shape": [4, 4], "datatype": "FP64", "data": [1, *[0] * 4] * 3 + [1]},
    ]
    try:
        whole = started(output, process)
        asked(f"{whole}/health/live")
        address = urlsplit(whole)
        with closing(http.client.HTTPConnection(str(address.hostname), address.port)) as sent:
            sent.request("POST", "/v2/models/gliomaseg/infer", json.dumps({"inputs": tensors}))
            while "at work" not in output.read_text(encoding="utf-8"):
                assert process.poll() is None, output.read_text(encoding="utf-8")
                _pause()
        while "stopped" not in output.read_text(encoding="utf-8"):
            assert process.poll() is None, output.read_text(encoding="utf-8")
            _pause()
    finally:
        process.kill()
        process.wait()
