"""Whatever is wrong with a file, the answer is a mask or one sentence: no traceback, no hang, no left-overs.

``GLIOMASEG_FUZZ=200`` damages 200 inputs instead of a few dozen.
"""

from __future__ import annotations

import gzip
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from gliomaseg.workflows.phantoms.scan import phantom_case
from gliomaseg.workflows.phantoms.study import write_dicom, write_enhanced, write_nifti
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("GLIOMASEG_FUZZ", "36"))
SECONDS = 120
"""After which a file counts as a hang; each takes well under one."""

MOST_MEMORY = 2 << 30

AFFINE = np.diag([-2.0, -2, 5, 1])

NIFTI_FIELDS = {
    "dim": (40, "<i2", 8),
    "datatype": (70, "<i2", 2),
    "pixdim": (76, "<f4", 8),
    "vox_offset": (108, "<f4", 1),
    "scaling": (112, "<f4", 2),
    "codes": (252, "<i2", 2),
    "quaternion": (256, "<f4", 6),
    "affine": (280, "<f4", 12),
}
ODD_NUMBERS = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, 32767.0, -32768.0, 1e-30, 3.0, 512.0]

Damage = Callable[[np.random.Generator, bytearray], bytearray]


def peak_memory() -> int:
    """Return the most bytes that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_memory() -> int:
    """Return the bytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def truncate(rng: np.random.Generator, content: bytearray) -> bytearray:
    return content[: int(rng.integers(0, len(content)))]


def flip_bits(rng: np.random.Generator, content: bytearray) -> bytearray:
    """Flip a few bits, mostly in the first kilobytes, where the header is."""
    reach = len(content) if rng.random() < 0.3 else min(len(content), 1500)
    for place in rng.integers(0, reach, int(rng.integers(1, 30))):
        content[int(place)] ^= 1 << int(rng.integers(8))
    return content


def fill(rng: np.random.Generator, content: bytearray) -> bytearray:
    """Overwrite a run of bytes, as a bad block of a disk does."""
    start = int(rng.integers(0, len(content)))
    end = min(len(content), start + int(rng.integers(1, 4000)))
    content[start:end] = bytes([int(rng.choice([0, 255, 127]))]) * (end - start)
    return content


def wrong_header(rng: np.random.Generator, content: bytearray) -> bytearray:
    """Write an odd number into a field of a NIfTI header: huge sizes, zero spacing, NaN in the affine."""
    start, kind, count = NIFTI_FIELDS[str(rng.choice(list(NIFTI_FIELDS)))]
    field = np.dtype(kind)
    place = start + int(rng.integers(count)) * field.itemsize
    number = float(rng.choice(ODD_NUMBERS))
    if field.kind == "i":
        number = float(np.clip(np.nan_to_num(number, nan=0), -32768, 32767))
    content[place : place + field.itemsize] = np.array(number, field).tobytes()
    return content


def nan_voxels(rng: np.random.Generator, content: bytearray) -> bytearray:
    place = 352 + 4 * int(rng.integers(0, (len(content) - 352) // 4))
    content[place : place + 4] = np.array(rng.choice(ODD_NUMBERS[:4]), "<f4").tobytes()
    return content


DAMAGES: list[Damage] = [truncate, flip_bits, fill]


def volume(kind: type) -> tuple[np.ndarray, np.ndarray]:
    return phantom_case(1, 32, 6).image[1].transpose(1, 0, 2).astype(kind), AFFINE


def damaged_nifti(rng: np.random.Generator, folder: Path) -> Path:
    kind = rng.choice([np.int16, np.float32])
    path = write_nifti(folder / "scan.nii", *volume(kind))
    damages = [*DAMAGES, *[wrong_header] * 4, nan_voxels]
    content = damages[int(rng.integers(len(damages)))](rng, bytearray(path.read_bytes()))
    if rng.random() < 0.5:
        path.write_bytes(content)
        return path
    packed = bytearray(gzip.compress(bytes(content)))
    if rng.random() < 0.3:
        packed = DAMAGES[int(rng.integers(3))](rng, packed)
    (folder / "scan.nii.gz").write_bytes(packed)
    return folder / "scan.nii.gz"


def damaged_dicom(rng: np.random.Generator, folder: Path) -> Path:
    if rng.random() < 0.5:
        path = write_enhanced(folder / "scan" / "one.dcm", *volume(np.int16))
    else:
        files = sorted(write_dicom(folder / "scan", *volume(np.int16)).iterdir())
        path = files[int(rng.integers(len(files)))]
    content = DAMAGES[int(rng.integers(3))](rng, bytearray(path.read_bytes()))
    path.write_bytes(content)
    return folder / "scan"


def damaged_slice(rng: np.random.Generator, folder: Path) -> Path:
    ending = str(rng.choice(["tif", "png"]))
    image = phantom_case(1, 32, 6).image
    for index in range(3):
        pixels = np.ascontiguousarray(np.moveaxis(image[..., index], 0, -1))
        Image.fromarray(pixels).save(folder / f"a_{index + 1}.{ending}")
    path = folder / f"a_2.{ending}"
    path.write_bytes(DAMAGES[int(rng.integers(3))](rng, bytearray(path.read_bytes())))
    return folder


@pytest.fixture
def time_limit() -> Iterator[None]:
    """Raise in whatever runs longer than ``SECONDS``."""

    def stop(*_: object) -> None:
        raise RuntimeError(f"still running after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_damaged_input_gives_masks_or_one_sentence(
    seed: int, bright_segmenter: Segmenter, tmp_path: Path, time_limit: None
) -> None:
    rng = np.random.default_rng([2026, seed])
    folder = tmp_path / "in"
    folder.mkdir()
    make = (damaged_nifti, damaged_nifti, damaged_dicom, damaged_slice)[seed % 4]
    peak, now = peak_memory(), resident_memory()
    output = tmp_path / "out"
    words = ""
    try:
        rows = predict_studies([make(rng, folder)], output, bright_segmenter)
    except InputError as error:
        words = str(error)
    if words:
        assert "\n" not in words.strip()
        assert words.endswith(".")
        assert str(folder) in words
        assert not output.exists()
    else:
        written = Path(rows[0]["output"])
        assert written.is_file() or any(written.iterdir())
        if written.suffix == ".gz":
            assert np.isfinite(nib.load(written).affine).all()
    assert not list(tmp_path.rglob(".partial-*"))
    assert peak_memory() <= max(peak, now + MOST_MEMORY)


def test_the_same_seed_damages_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        contents.append(damaged_nifti(np.random.default_rng(5), tmp_path / name).read_bytes())
    assert contents[0][10:] == contents[1][10:]  # gzip writes the time into the first bytes
