"""What every test may lean on: one thread per worker, no window, a small set of made-up patients."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gliomaseg.workflows.segment import Segmenter

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Read by torch, OpenBLAS and MKL when they are first imported; workers share the cores already.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked ``gpu`` where there is no CUDA device."""
    needing_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if needing_gpu and not _has_cuda():
        for item in needing_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def phantom_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of eight made-up patients, 6 to 8 slices of 64 x 64 each, named as in the real data.

    The folder is shared by the whole session: copy it before you change a file in it.
    """
    from gliomaseg.workflows.phantom import make_phantom

    folder = tmp_path_factory.mktemp("phantom")
    make_phantom(folder, patients=8, size=64, slices=(6, 8), seed=0)
    return folder


SMOKE = {
    "network_name": "resnext26_unet_tiny",
    "size": 64,
    "epochs": 2,
    "passes": 2,
    "batch_cases": 2,
    "slices_per_case": 1,
    "val_interval": 1,
    "precision": "fp32",
}
"""Settings of a run that takes seconds."""


@pytest.fixture(scope="session")
def smoke_run(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished two-epoch run on the made-up patients.

    The folder is shared by the whole session: copy it before you change a file in it.
    """
    from gliomaseg.workflows.run import TrainOptions, train

    folder = tmp_path_factory.mktemp("runs") / "smoke"
    train(TrainOptions(phantom_data, folder, settings=SMOKE))
    return folder


@pytest.fixture(scope="session")
def bright_segmenter() -> Segmenter:
    """Return a Segmenter with the shipped preprocessing and a network whose answer is known.

    It calls abnormal what is 2.5 deviations brighter than the mean of the head on FLAIR.
    """
    import torch

    from gliomaseg.transforms import keys
    from gliomaseg.workflows.inferers import StudyInferer
    from gliomaseg.workflows.models import Model, configs_folder
    from gliomaseg.workflows.segment import Segmenter

    class BrightOnFlair(torch.nn.Module):
        def forward(self, slices: torch.Tensor) -> torch.Tensor:
            return (slices[:, keys.FLAIR : keys.FLAIR + 1] - 2.5) * 20

    model = Model(configs_folder() / "inference.yaml", Path("no-weights.pt"), sha256="ab" * 32)
    parser = model.parser(torch.device("cpu"))
    parser.parse(True)
    segmenter = object.__new__(Segmenter)
    segmenter.model, segmenter.device = model, torch.device("cpu")
    segmenter.preprocessing = parser.get_parsed_content("preprocessing")
    segmenter.cleanup = parser.get_parsed_content("cleanup")
    segmenter.inferer = StudyInferer(size=96, precision="fp32")
    segmenter.threshold, segmenter.size, segmenter.network_name = 0.5, 96, "bright"
    segmenter.temperature, segmenter.confidence_shift, segmenter.check_below = 1.0, 0.0, 0.9
    segmenter.precision = "fp32"
    segmenter.network = BrightOnFlair()
    return segmenter
