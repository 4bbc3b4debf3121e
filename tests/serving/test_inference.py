from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from gliomaseg.serving import inference, outlining
from gliomaseg.serving.api import create_app
from gliomaseg.serving.jobs import OUR_FAULT, Job
from gliomaseg.serving.settings import ServeSettings
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError, could_not_write

from .servers import running, serving

ADDRESS = "http://127.0.0.1:8000"
INFER = "/v2/models/gliomaseg/infer"
TOKEN = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "served"


@pytest.fixture
def client(bright_segmenter: Segmenter, folder: Path) -> Iterator[TestClient]:
    folder.mkdir()
    app = create_app(bright_segmenter, ServeSettings(upload_mb=8), folder)
    with TestClient(app, base_url=ADDRESS) as client:
        yield client


def tensor(name: str, values: Any, datatype: str) -> dict[str, Any]:
    values = np.asarray(values)
    return {"name": name, "shape": list(values.shape), "datatype": datatype, "data": values.ravel().tolist()}


def scan_of(head: Any, channels: slice = slice(1, 2), **more: Any) -> dict[str, Any]:
    """Return a request with a made-up head; FLAIR alone, where nothing else is said."""
    image = np.moveaxis(head.scan[..., channels], -1, 0)
    return {"inputs": [tensor("image", image, "FP32"), tensor("affine", head.affine, "FP64")], **more}


def values_of(answer: dict[str, Any]) -> dict[str, np.ndarray]:
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer["outputs"]}


def predicted(head: Any, segmenter: Segmenter, folder: Path, names: list[str]) -> tuple[np.ndarray, dict]:
    """Return what ``predict`` makes of the same scan, from files."""
    for number, name in zip((0, 1, 2) if len(names) > 1 else (1,), names, strict=True):
        nib.save(nib.Nifti1Image(head.scan[..., number].astype("f4"), head.affine), folder / name)
    (row,) = predict_studies([folder], folder / "out", segmenter)
    return np.asarray(nib.load(row["output"]).dataobj), row


@pytest.mark.parametrize(
    ("channels", "names"),
    [(slice(1, 2), ["a_flair.nii"]), (slice(0, 3), ["a_t1.nii", "a_flair.nii", "a_t1ce.nii"])],
)
def test_a_scan_is_outlined_as_predict_does(
    client: TestClient,
    head: Any,
    bright_segmenter: Segmenter,
    folder: Path,
    tmp_path: Path,
    channels: slice,
    names: list[str],
) -> None:
    wanted = {"id": "7", "outputs": [{"name": "mask"}, {"name": "probability"}]}
    answer = client.post(INFER, json=scan_of(head, channels, **wanted))
    assert answer.status_code == 200, answer.text
    found, told = values_of(answer.json()), answer.json()
    (tmp_path / "in").mkdir()
    mask, row = predicted(head, bright_segmenter, tmp_path / "in", names)
    assert mask.any()
    assert np.array_equal(found["mask"], mask)
    assert np.array_equal(found["probability"] >= 0.5, mask == 1)
    assert (told["model_name"], told["model_version"], told["id"]) == ("gliomaseg", "1", "7")
    assert told["parameters"] == {
        "volume_voxels": int(mask.sum()),
        "volume_ml": row["volume_ml"],
        "confidence": row["confidence"],
        "check_by_hand": row["check_by_hand"],
        "notes": " ".join(row["notes"]),
        "model_sha256": bright_segmenter.sha256,
        "note": "Research software. Not for diagnosis.",
    }
    assert list(folder.iterdir()) == []


def test_flair_may_come_without_an_axis_of_channels_and_the_mask_alone_is_the_answer(
    client: TestClient, head: Any
) -> None:
    request = scan_of(head)
    whole = values_of(client.post(INFER, json=request).json())
    assert list(whole) == ["mask"]
    request["inputs"][0]["shape"] = request["inputs"][0]["shape"][1:]
    address = "/v2/models/gliomaseg/versions/1/infer"
    assert np.array_equal(values_of(client.post(address, json=request).json())["mask"], whole["mask"])


def image(values: Any) -> Any:
    """Return what gives a request another image."""
    return lambda inputs: inputs[0].update(tensor("image", values, "FP32"))


def affine(values: Any) -> Any:
    """Return what gives a request another affine."""
    return lambda inputs: inputs[1].update(tensor("affine", values, "FP64"))


def other(inputs: Any) -> None:
    inputs.append(tensor("t2", [1], "FP32"))


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (lambda inputs: inputs.pop(), 422, "lie in mm as in a NIfTI file; there is no `affine`"),
        (other, 404, "There is no input 't2'; there are image, affine."),
        (lambda inputs: inputs[0].update(shape=[1]), 422, "holds the numbers of its shape [1] as FP32"),
        (
            image(np.zeros((2, 4, 4, 4))),
            422,
            "or (3, X, Y, Z) for pre-contrast, FLAIR, post-contrast, got (2",
        ),
        (image([1.0]), 422, "is (X, Y, Z) or (1, X, Y, Z) for FLAIR,"),
        (image(np.zeros((9, 9, 9))), 422, "every voxel of FLAIR in `image` is 0"),
        (affine(np.zeros((4, 4))), 422, "`affine` is 4 x 4, from voxels to mm (right, anterior, superior)"),
        (affine(np.diag([1, 1, 0, 1])), 422, "0, 0, 0, 1 in its last row and an inverse, got [[1.0, 0.0"),
        (affine(np.eye(3)), 422, "in its last row and an inverse, got one of shape (3, 3)."),
    ],
)
def test_what_is_no_scan_is_refused_in_the_words_of_the_protocol(
    client: TestClient, head: Any, folder: Path, change: Any, status: int, words: str
) -> None:
    request = scan_of(head)
    change(request["inputs"])
    answer = client.post(INFER, json=request)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]
    assert list(folder.iterdir()) == []


def test_requests_that_are_none_are_refused(client: TestClient, folder: Path) -> None:
    for address, status, words in (
        ("/v2/models/other/infer", 404, "There is no model 'other'; there is gliomaseg."),
        ("/v2/models/gliomaseg/versions/2/infer", 404, "There is no version '2'; there is 1."),
        (INFER, 422, "A request is JSON such as"),
    ):
        answer = client.post(address, content=b"x")
        assert answer.status_code == status
        assert answer.json()["error"].startswith(words)
    large = client.post(INFER, content=bytes(9 * 2**20))
    assert large.status_code == 413
    packed = client.post(INFER, content=b"x", headers={"content-encoding": "gzip"})
    assert (packed.status_code, packed.json()["error"]) == (
        422,
        "A request comes as it is, but this one is compressed; send it without.",
    )
    assert list(folder.iterdir()) == []


def test_the_server_and_its_model_are_described(client: TestClient) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for place in ("/v2/models/gliomaseg", "/v2/models/gliomaseg/versions/1"):
        told = client.get(place).json()
        assert [one["name"] for part in ("inputs", "outputs") for one in told[part]] == [
            "image",
            "affine",
            "mask",
            "probability",
        ]
        assert client.get(f"{place}/ready").json() == {"name": "gliomaseg", "ready": True}
    assert client.get("/v2/models/other/ready").status_code == 404


def test_a_server_that_has_stopped_working_is_not_ready(client: TestClient) -> None:
    client.app.state.served.jobs._lost = "The GPU stopped."
    assert client.get("/v2/health/ready").status_code == 503
    assert client.get("/v2/models/gliomaseg/ready").json() == {"name": "gliomaseg", "ready": False}


def test_the_token_is_asked_for_but_for_health(bright_segmenter: Segmenter, tmp_path: Path) -> None:
    app = create_app(bright_segmenter, ServeSettings(token=TOKEN, root_path="/glioma"), tmp_path)
    with TestClient(app, base_url=ADDRESS) as client:
        assert client.get("/glioma/v2/health/ready").status_code == 200
        answer = client.get("/glioma/v2/models/gliomaseg")
        assert answer.status_code == 401
        assert answer.json()["error"].startswith("The server answers those who show its token")
        shown = {"authorization": f"Bearer {TOKEN}"}
        assert client.get("/glioma/v2/models/gliomaseg", headers=shown).status_code == 200


def test_a_fault_below_the_path_of_a_proxy_is_told_in_the_words_of_the_protocol(
    bright_segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(bright_segmenter, ServeSettings(root_path="/glioma"), tmp_path)
    monkeypatch.setattr(inference, "version_of", lambda _: {}["secret"])
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
        answer = client.get("/glioma/v2")
    assert (answer.status_code, answer.json()) == (500, {"error": OUR_FAULT})


def test_a_scan_that_nobody_waits_for_is_given_up(
    client: TestClient, head: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Job] = []

    async def gone(_: Request) -> bool:
        return True

    def work(job: Job, goes: Any) -> None:
        while not job.deleted:
            ended[:] = [job]
        goes()

    monkeypatch.setattr(Request, "is_disconnected", gone)
    monkeypatch.setattr(client.app.state.served.jobs, "_work", work)
    assert client.post(INFER, json=scan_of(head)).status_code == 400
    jobs = client.app.state.served.jobs
    jobs.stop(60)
    assert list(folder.iterdir()) == []
    assert [job.error for job in ended] in ([], ["Stopped."])


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyError("secret"), 500, "Something went wrong in the server; its log says what. Please report it."),
        (MemoryError(), 500, "memory"),
        (InputError("No scan."), 422, "No scan."),
    ],
)
def test_faults_of_the_server_are_told_from_those_of_the_caller(
    client: TestClient, head: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, words: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(outlining, "predict_studies", fail)
    answer = client.post(INFER, json=scan_of(head))
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_a_server_that_stops_says_so_to_those_whose_turn_has_not_come(
    client: TestClient, head: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, goes_on = client.app.state.served.jobs, threading.Event()
    monkeypatch.setattr(jobs, "_work", lambda _, __: goes_on.wait())
    with ThreadPoolExecutor() as pool:
        first = pool.submit(client.post, INFER, json=scan_of(head))
        while not jobs.count("running"):
            time.sleep(0.01)
        second = pool.submit(client.post, INFER, json=scan_of(head))
        while not jobs.count("waiting"):
            time.sleep(0.01)
        jobs._stopping = True
        try:
            answers = [one.result(timeout=60) for one in (second, first)]
        finally:
            goes_on.set()
    assert [answer.status_code for answer in answers] == [503, 503]
    jobs.stop(None)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("place", [INFER, "/api/jobs"])
def test_a_server_that_stops_waits_for_no_body(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    jobs = client.app.state.served.jobs

    async def silent(_: Request) -> AsyncGenerator[bytes, None]:
        yield b""
        jobs._stopping = True
        await asyncio.Event().wait()

    monkeypatch.setattr(Request, "stream", silent)
    answer = client.post(place, files=[("files", ("a.tif", b""))])
    assert answer.status_code == 503
    assert "The server stops, or the upload took too long; send it again later." in answer.text
    jobs.stop(None)
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_no_fault_of_the_caller(
    client: TestClient, head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (OSError(errno.ENOSPC, "No space left"), RuntimeError("could not be written")):

        def work(_: Job, __: Any, error: Exception = error) -> None:
            if isinstance(error, OSError):
                raise could_not_write("masks/a.nii.gz", error) from error
            raise error from OSError(errno.EDQUOT, "Quota exceeded")

        monkeypatch.setattr(client.app.state.served.jobs, "_work", work)
        answer = client.post(INFER, json=scan_of(head))
        assert answer.status_code == 507
        assert answer.json()["error"].startswith("The server has no room for this (No space left on device);")


def test_a_server_that_stops_says_so_to_those_who_wait(
    client: TestClient, head: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = client.app.state.served.jobs

    def work(_: Job, goes: Any) -> None:
        jobs._stopping = True  # as a signal in the main thread does
        goes()

    monkeypatch.setattr(jobs, "_work", work)
    answer = client.post(INFER, json=scan_of(head))
    words = "The server stops, or the upload took too long; send it again later."
    assert (answer.status_code, answer.json()) == (503, {"error": words})
    jobs.stop(None)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "place", "status"),
    [("GET", "/v2/models/gliomaseg/config", 404), ("POST", "/v2/repository/index", 404), ("GET", INFER, 405)],
)
def test_what_is_not_spoken_of_the_protocol_is_refused_in_its_words(
    client: TestClient, method: str, place: str, status: int
) -> None:
    answer = client.request(method, place)
    assert answer.status_code == status
    assert answer.json()["error"].endswith("; /api/docs says what there is.")
    assert client.get("/nowhere").json() == {"detail": "Not Found; /api/docs says what there is."}


def test_a_result_that_was_swept_away_is_told(tmp_path: Path) -> None:
    with pytest.raises(inference.UnknownError, match="The result was deleted before it was answered"):
        inference._read(tmp_path / "mask.nii.gz", np.uint8)


def test_a_body_that_stalls_is_given_up(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gliomaseg.serving import landing

    async def stalled(_: AsyncGenerator[bytes, None], __: Any) -> AsyncGenerator[bytes, None]:
        yield b"{"
        raise landing.StalledError("An upload goes on without breaks.")

    monkeypatch.setattr(landing, "_lively", stalled)
    answer = client.post(INFER, json={})
    assert (answer.status_code, answer.json()) == (408, {"error": "An upload goes on without breaks."})
    assert list(folder.iterdir()) == []


CLIENT = """
import json, sys
import numpy as np
import tritonclient.http as triton

address, place = sys.argv[1:]
scan = np.load(place)
client = triton.InferenceServerClient(address)
image = triton.InferInput("image", [1, *scan["image"].shape], "FP32")
affine = triton.InferInput("affine", [4, 4], "FP64")
masks = []
for binary in (True, False):
    image.set_data_from_numpy(scan["image"][None], binary_data=binary)
    affine.set_data_from_numpy(scan["affine"], binary_data=binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("mask", "probability")]
    found = client.infer("gliomaseg", [image, affine], outputs=wanted, request_id="7")
    masks.append(found.as_numpy("mask"))
    probability, repeated = found.as_numpy("probability"), found.get_response()["id"]
try:
    client.infer("other", [image, affine])
except triton.InferenceServerException as error:
    refused = [error.status(), error.message()]
found = client.infer("gliomaseg", [image, affine])
print(json.dumps({
    "ready": [client.is_server_live(), client.is_server_ready(), client.is_model_ready("gliomaseg")],
    "inputs": [one["name"] for one in client.get_model_metadata("gliomaseg")["inputs"]],
    "extensions": client.get_server_metadata()["extensions"],
    "alike": bool((masks[0] == masks[1]).all() and (masks[0] == found.as_numpy("mask")).all()),
    "kinds": [str(masks[0].dtype), str(probability.dtype)],
    "shapes": [list(masks[0].shape), list(probability.shape)],
    "id": repeated,
    "note": found.get_response()["parameters"]["note"],
    "refused": refused,
}))
"""
"""A program with the client of Triton, which knows nothing of us; gevent wants a process of its own."""


@pytest.mark.slow
def test_the_client_of_triton_is_answered(smoke_run: Path, head: Any, tmp_path: Path) -> None:
    image = np.ascontiguousarray(head.scan[..., 1].astype("f4"))
    np.savez(tmp_path / "scan.npz", image=image, affine=np.asarray(head.affine, "f8"))
    with running(tmp_path, *serving(smoke_run)) as server:
        place = urlsplit(server.address()).netloc
        ran = subprocess.run(
            [sys.executable, "-c", CLIENT, place, str(tmp_path / "scan.npz")],
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "ready": [True, True, True],
        "inputs": ["image", "affine"],
        "extensions": ["binary_tensor_data"],
        "alike": True,
        "kinds": ["uint8", "float32"],
        "shapes": [list(image.shape)] * 2,
        "id": "7",
        "note": "Research software. Not for diagnosis.",
        "refused": ["404", "There is no model 'other'; there is gliomaseg."],
    }
