"""Made-up patients of 8 x 8 pixels, in folders and files named as in the real data set."""

import importlib.util
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WritePatient = Callable[..., Path]

EXPORTS = {"bundle": "bundle", "torchscript": "model.ts", "onnx": "model.onnx", "openvino": "model.xml"}
"""Forms of exports, and how they are called."""


def tiff(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "TIFF")
    return stream.getvalue()


def image_pixels(patient: str, number: int, size: int = 8) -> np.ndarray:
    seed = [*patient.encode(), number]
    return np.random.default_rng(seed).integers(1, 255, (size, size, 3), dtype=np.uint8)


@pytest.fixture
def write_patient(tmp_path: Path) -> WritePatient:
    """Return a function that writes one patient below ``root`` and returns its folder."""

    def write(
        patient: str = "TCGA_CS_4941_19960909",
        slices: Sequence[int] = (1, 2, 3),
        lesion: int = 4,
        root: Path | None = None,
        masks: bool = True,
        size: int = 8,
    ) -> Path:
        folder = (root or tmp_path / "data") / patient
        folder.mkdir(parents=True)
        for number in slices:
            (folder / f"{patient}_{number}.tif").write_bytes(tiff(image_pixels(patient, number, size)))
            mask = np.zeros((size, size), np.uint8)
            mask.flat[: lesion if number == slices[-1] else 0] = 255  # the last slice only
            if masks:
                (folder / f"{patient}_{number}_mask.tif").write_bytes(tiff(mask))
        return folder

    return write


@pytest.fixture
def write_picture() -> Callable[[Path, np.ndarray], None]:
    """Return a function that writes an array as a picture, in the format of the name's ending."""

    def write(path: Path, pixels: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    return write


@pytest.fixture
def data_folder(tmp_path: Path, write_patient: WritePatient) -> Path:
    """Return a folder of ten patients from two institutions: six from CS, four from DU, three slices each."""
    for index in range(10):
        site = "CS" if index < 6 else "DU"
        write_patient(f"TCGA_{site}_00{index:02d}_20000101", lesion=1 + index)
    return tmp_path / "data"


@pytest.fixture(scope="session")
def exported(smoke_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that exports the short run once to each form; copy what you change."""
    from gliomaseg.workflows.export import export_model

    folder = tmp_path_factory.mktemp("exports")

    def export(form: str) -> Path:
        if form in ("onnx", "openvino"):
            pytest.importorskip("onnxruntime")
            pytest.importorskip("onnxscript")
        if form == "openvino" and importlib.util.find_spec("openvino") is None:
            pytest.skip("OpenVINO is not installed")
        path = folder / EXPORTS[form]
        if not path.exists():
            export_model(smoke_run, form, path)
        return path

    return export
