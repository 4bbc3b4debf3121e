"""A real MONAI Label server on a free port of this machine, and a client that speaks to it as viewers do."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from gliomaseg.networks import create_network
from gliomaseg.workflows.phantoms.scan import phantom_case
from gliomaseg.workflows.phantoms.study import write_nifti

ENVIRONMENT = os.environ.get("GLIOMASEG_LABEL_ENVIRONMENT", "")
"""The environment with MONAI Label; scripts/test_label.sh names it."""

LONGEST = 600
"""Seconds after which a server or a task that says nothing counts as hung."""


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Speaks to this machine itself, whatever proxy there is for others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and not ENVIRONMENT:
            item.add_marker(pytest.mark.skip(reason="needs MONAI Label: make test-label"))


@dataclass
class Answer:
    """What came back: status, and the body as bytes."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def picture(self) -> Image.Image:
        return Image.open(io.BytesIO(self.body))

    def volume(self, folder: Path, ending: str = ".nii.gz") -> nib.Nifti1Image:
        path = folder / f"{uuid.uuid4().hex}{ending}"
        path.write_bytes(self.body)
        return nib.load(path)


@dataclass
class Client:
    """Speaks to one server; ``model`` is the name of its model."""

    base: str
    model: str

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        kind: str = "application/json",
        **headers: str,
    ) -> Answer:
        asked = {"Content-Type": kind, **headers}
        request = urllib.request.Request(f"{self.base}{path}", body, asked, method=method)
        try:
            with DIRECT.open(request, timeout=LONGEST) as response:
                return Answer(response.status, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read())

    def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Any:
        """Return the open response, with its headers."""
        request = urllib.request.Request(f"{self.base}{path}", headers=dict(headers), method=method)
        return DIRECT.open(request, timeout=LONGEST)

    def get(self, path: str) -> Any:
        answer = self.send("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    def post(self, path: str, wishes: Mapping[str, Any] | None = None) -> Answer:
        return self.send("POST", path, json.dumps(wishes or {}).encode())

    def put_file(self, path: str, name: str, file: Path | bytes, as_name: str = "") -> Answer:
        content = file if isinstance(file, bytes) else file.read_bytes()
        filename = as_name or (file.name if isinstance(file, Path) else name)
        return self.send("PUT", path, *_form({}, {name: (filename, content)}))

    def upload(self, study: str, file: Path) -> Answer:
        return self.put_file(f"/datastore/image?image={study}", "file", file)

    def save_label(self, study: str, file: Path, tag: str = "final") -> Answer:
        return self.put_file(f"/datastore/label?image={study}&tag={tag}", "label", file)

    def infer(self, study: str, output: str = "image", model: str | None = None, **params: Any) -> Answer:
        body, kind = _form({"params": json.dumps(params)}, {})
        return self.send("POST", f"/infer/{model or self.model}?image={study}&output={output}", body, kind)

    def infer_file(self, file: Path) -> Answer:
        body, kind = _form({"params": "{}"}, {"file": (file.name, file.read_bytes())})
        return self.send("POST", f"/infer/{self.model}?output=image", body, kind)

    def until_labelled(self, count: int) -> None:
        """Wait until so many studies have final labels: MONAI Label notices removed files by and by."""
        until(lambda: self.get("/datastore/")["completed"] == count)

    def wait_for(self, path: str) -> dict[str, Any]:
        """Wait until a task in the background is over."""
        task = until(lambda: (found := self.get(path))["status"] not in ("SUBMITTED", "RUNNING") and found)
        task["words"] = "\n".join(task["details"])
        return task


def _form(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]]) -> tuple[bytes, str]:
    mark = uuid.uuid4().hex
    fields = fields or {"params": "{}"}
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, (filename, content) in files.items():
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        parts.append(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + content + b"\r\n")
    return b"".join([*parts, f"--{mark}--\r\n".encode()]), f"multipart/form-data; boundary={mark}"


def until(asked: Callable[[], Any]) -> Any:
    """Ask again and again until the answer is true."""
    started = time.monotonic()
    while not (answer := asked()):
        assert time.monotonic() - started < LONGEST, "nothing happened for too long"
        time.sleep(0.5)
    return answer


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Server:
    """A server as a process, with what it said."""

    command: list[str]
    folder: Path
    client: Client
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        with (self.folder / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-3000:]
        try:
            return self.client.send("GET", "/info/").status == 200
        except OSError:
            return False

    def stop(self) -> int:
        """End the process that was started, as an init system does, and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(LONGEST)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Made:
    """Made-up patients: the folder of a run on some, and a folder of others for the server.

    ``studies`` holds six patients; the first three have masks. ``truth`` has the masks of all.
    """

    run: Path
    studies: Path
    truth: Path

    @property
    def patients(self) -> list[str]:
        return sorted(path.name for path in self.studies.iterdir() if path.is_dir())

    def lesion(self, patient: str) -> np.ndarray:
        """Return the truth ``(H, W, D)`` of a patient, 0/1."""
        files = sorted(
            (self.truth / patient).glob("*_mask.tif"), key=lambda path: int(path.stem.split("_")[-2])
        )
        return np.stack([np.asarray(Image.open(path)) for path in files], axis=-1) // 255


def known_network() -> torch.nn.Module:
    """Return the small network with weights that call abnormal what is two deviations brighter than the head.

    Nothing is trained: of each 2 x 2 pixels of FLAIR the stem hands one to each of its first four channels,
    the last step up hands them on, and the head makes logits of them, one for each pixel. All else is zero.
    """
    network = create_network("resnext26_unet_tiny")
    up, four = network.decoder.ups[-1], range(4)
    first, second = up.convs[0][0], up.convs[1][0]
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.zero_()
        for index in four:
            network.encoder.conv1.weight[index, 1, 3 + index // 2, 3 + index % 2] = 1
            up.narrow[0].weight[index, index] = 1
            first.weight[index, first.in_channels - up.narrow[0].out_channels + index, 1, 1] = 1
            second.weight[index, index, 1, 1] = 1
            network.head.weight[index, index, 1, 1] = 6
        network.head.bias.fill_(-12)
    return network.eval()


def brighten(patient: Path) -> None:
    """Make the lesion of a patient plain on FLAIR."""
    for path in patient.glob("*_mask.tif"):
        scan = path.with_name(path.name.replace("_mask", ""))
        pixels, lesion = np.array(Image.open(scan)), np.asarray(Image.open(path)) > 0
        pixels[..., 1] = plain_flair(pixels[..., 1], lesion)
        Image.fromarray(pixels).save(scan)


def plain_flair(flair: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Return FLAIR with an even head and an even, bright lesion."""
    return np.where(lesion > 0, 240, np.where(flair > 25, 90, 0)).astype(np.uint8)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    from gliomaseg.workflows.phantom import make_phantom
    from gliomaseg.workflows.run import TrainOptions
    from gliomaseg.workflows.system import files
    from gliomaseg.workflows.training.config import read_train_config
    from gliomaseg.workflows.training.folder import prepare_folder

    folder = tmp_path_factory.mktemp("made")
    patients = make_phantom(folder / "all", patients=14, size=64, slices=(6, 8), seed=1)
    for patient in patients:
        brighten(patient)
    for count, patient in enumerate(patients):
        shutil.copytree(patient, folder / ("training" if count < 8 else "studies") / patient.name)
    for patient in sorted((folder / "studies").iterdir())[3:]:
        for mask in patient.glob("*_mask.tif"):
            mask.unlink()
    settings = {"network_name": "resnext26_unet_tiny", "size": 64, "precision": "fp32", "device": "cpu"}
    options = TrainOptions(folder / "training", folder / "run", settings=settings)
    prepare_folder(options, read_train_config(options))
    files.save_tensors(folder / "run" / "models" / "model.pt", known_network().state_dict())
    return Made(folder / "run", folder / "studies", folder / "all")


class Head:
    """A made-up head, higher than wide, its lesion on one side: ``(3, 64, 56, 7)`` and ``(64, 56, 7)``."""

    def __init__(self) -> None:
        case = phantom_case([7, 3], 64, 7)
        self.image, self.lesion = case.image[:, :, :56].copy(), case.mask[:, :56]
        self.image[1] = plain_flair(self.image[1], self.lesion)
        self.depth = int(self.lesion.sum(axis=(0, 1)).argmax())
        turn = np.eye(4)
        turn[:3, :3] = nib.eulerangles.euler2mat(0.05, 0.1, 0.15)
        turn[:3, 3] = [60, -80, 20]
        self.affine = turn @ np.diag(
            [2.8, 2.8, 5.0, 1.0]
        )  # near RAS: columns to the right, rows to the front

    def volume(self) -> np.ndarray:
        """Return the scan ``(X, Y, Z, C)``, 56 x 64 x 7 x 3."""
        return self.image.transpose(2, 1, 3, 0)[::-1, ::-1]

    def truth(self) -> np.ndarray:
        """Return the lesion ``(X, Y, Z)``."""
        return self.lesion.transpose(1, 0, 2)[::-1, ::-1]

    def write(self, form: str, folder: Path) -> Path:
        """Write it as ``volume`` or ``flair``, or its fullest slice as a picture (``tif``, ``png``)."""
        if form == "volume":
            return write_nifti(folder / "volume.nii.gz", self.volume(), self.affine)
        if form == "flair":
            return write_nifti(folder / "flair.nii.gz", self.volume()[..., 1], self.affine)
        pixels = np.ascontiguousarray(self.image[..., self.depth].transpose(1, 2, 0))
        Image.fromarray(pixels).save(folder / f"slice.{form}")
        return folder / f"slice.{form}"


@pytest.fixture(scope="session")
def head() -> Head:
    return Head()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the labelling project."""
    return tmp_path_factory.mktemp("label") / "project"


@pytest.fixture(scope="session")
def ours(made: Made, project: Path) -> Iterator[Server]:
    """Return ``gliomaseg label``, running."""
    port = free_port()
    command = [
        shutil.which("gliomaseg") or "gliomaseg", "label", "--studies", str(made.studies),
        "--model", str(made.run), "--output", str(project), "--port", str(port), "--environment", ENVIRONMENT,
    ]  # fmt: skip
    proxy = {"http_proxy": "http://127.0.0.1:9"}  # at which nobody answers
    server = Server(command, project.parent, Client(f"http://127.0.0.1:{port}", "gliomaseg"), proxy)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def stock(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return MONAI Label's own ``monaibundle`` app with our bundle, running where our code is not found."""
    from gliomaseg.workflows.export import export_model

    folder, name = tmp_path_factory.mktemp("stock"), "glioma_mri_segmentation"
    poison = folder / "poison" / "gliomaseg" / "__init__.py"  # found before any that is installed
    poison.parent.mkdir(parents=True)
    poison.write_text("raise ImportError('The bundle needs gliomaseg.')\n")
    python, alone = str(Path(ENVIRONMENT) / "bin" / "python"), {"PYTHONPATH": str(folder / "poison")}
    words = ["apps", "--download", "--name", "monaibundle", "--output", str(folder)]
    subprocess.run([python, "-m", "monailabel.main", *words], check=True, env={**os.environ, **alone})
    export_model(made.run, "bundle", folder / "monaibundle" / "model" / name)
    port = free_port()
    command = [
        python, "-m", "monailabel.main", "start_server", "--app", str(folder / "monaibundle"),
        "--studies", str(folder / "studies"), "--host", "127.0.0.1", "--port", str(port),
        "--conf", "models", name, "--conf", "zoo_source", "ngc", "--conf", "sam2", "false",
    ]  # fmt: skip
    server = Server(command, folder, Client(f"http://127.0.0.1:{port}", name), alone)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["ours", "stock"])
def server(request: pytest.FixtureRequest) -> Server:
    """Return both servers in turn."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def client(ours: Server) -> Client:
    """Return the client of our app."""
    return ours.client
