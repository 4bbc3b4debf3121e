from __future__ import annotations

import fcntl
import http.client
import json
import signal
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gliomaseg.serving.listening import bound_socket
from gliomaseg.serving.web_server import PREFIX, locked_folder, sweep_earlier
from gliomaseg.workflows.system.files import InputError

from .servers import TRIES, Server, asked, pause, program, running, serving

BODY = b'--e\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\nx\r\n--e--\r\n'
KIND = "multipart/form-data; boundary=e"


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped_and_leaves_nothing(
    stop: signal.Signals, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    scan = next(file for file in phantom_data.rglob("*_1.tif"))
    with running(tmp_path, *serving(smoke_run)) as server:
        address = server.address()
        assert asked(f"{address}/health/ready") == {"status": "ok"}
        body = BODY.replace(b"a.nii", scan.name.encode()).replace(
            b"\r\nx\r\n", b"\r\n%b\r\n" % scan.read_bytes()
        )
        body = BODY.replace(b"a.nii", b"annas.mgz").removesuffix(b"--e--\r\n") + body
        job = asked(f"{address}/api/jobs", body, KIND)
        for _ in range(TRIES):
            if (found := asked(f"{address}{job['self']}"))["state"] in ("done", "failed"):
                break
            pause()
        assert (found["state"], found["error"]) == ("done", None)
        assert len(server.left()) == 1
        server.process.send_signal(stop)
        assert server.process.wait() == 0
    assert server.left() == []
    said = server.said("Not for diagnosis.")
    assert "Traceback" not in said
    assert "annas" not in said


def test_a_port_that_is_taken_is_refused() -> None:
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen at 127.0.0.1:{port} .*; choose another --port"):
            bound_socket("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InputError, match=r"cannot listen at 192\.0\.2\.1:0 "):
        bound_socket("192.0.2.1", 0)


STUBBORN = program("""
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

api.Outliner = lambda *_: work
""")
"""A server whose study never ends."""


@pytest.mark.slow
@pytest.mark.parametrize("reaches", ["any", "steal"])
def test_a_second_interrupt_does_not_wait_for_the_study_at_work(tmp_path: Path, reaches: str) -> None:
    """Whichever thread it reaches: the system may hand it to the one at work."""
    with running(tmp_path, *STUBBORN, reaches) as server:
        asked(f"{server.address()}/api/jobs", BODY, KIND)
        for words in ("at work", "Stopping the study at work; Ctrl-C again leaves at once."):
            server.said(words)
            if reaches == "any" or words == "at work":
                server.process.send_signal(signal.SIGINT)
        assert server.process.wait() == 130
    assert server.left() == []


UNPACKING = program("""
def unpack(sent, folder, settings, goes):
    print("unpacking", flush=True)
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scan").touch()
        goes()

api.save_uploads = unpack
api.Outliner = lambda *_: None
""")
"""A server whose upload is never unpacked."""


@pytest.mark.slow
def test_a_server_that_stops_while_an_upload_is_unpacked_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, *UNPACKING) as server, closing(connected(server)) as sent:
        sent.request("POST", "/api/jobs", BODY, {"Content-Type": KIND})
        server.said("unpacking")
        server.process.send_signal(signal.SIGINT)
        answer = sent.getresponse()
        assert (answer.status, json.load(answer)) == (
            503,
            {"detail": "The server stops, or the upload took too long; send it again later."},
        )
        assert server.process.wait() == 0
    assert server.left() == []


def connected(server: Server) -> http.client.HTTPConnection:
    address = urlsplit(server.address())
    return http.client.HTTPConnection(str(address.hostname), address.port)


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


LEAVING = program("""
def work(job, goes):
    print("at work", flush=True)
    try:
        while True:
            goes()
    finally:
        print("stopped", flush=True)

api.Outliner = lambda *_: work
""")
"""A server whose study never ends, unless it is stopped."""


@pytest.mark.slow
def test_a_scan_whose_caller_has_gone_is_not_outlined(tmp_path: Path) -> None:
    tensors = [
        {"name": "image", "shape": [2, 2, 2], "datatype": "FP32", "data": [1] * 8},
        {"name": "affine", "shape": [4, 4], "datatype": "FP64", "data": [1, *[0] * 4] * 3 + [1]},
    ]
    with running(tmp_path, *LEAVING) as server:
        with closing(connected(server)) as sent:
            sent.request("POST", "/v2/models/gliomaseg/infer", json.dumps({"inputs": tensors}))
            server.said("at work")
        server.said("stopped")
