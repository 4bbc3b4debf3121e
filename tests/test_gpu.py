"""What only a GPU can show: an epoch in bf16, agreement with the CPU, resume, and no warning."""

import warnings
from pathlib import Path

import pytest
import torch

from gliomaseg.networks import create_network, network_names
from gliomaseg.transforms import SliceAugmentation, keys
from gliomaseg.transforms.augment import COLUMNS
from gliomaseg.workflows.batches import AugmentBatch
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.inferers import BatchInferer, StudyInferer, on_device, pick_device
from gliomaseg.workflows.reports.history import read_history
from gliomaseg.workflows.run import TrainOptions, train
from gliomaseg.workflows.segment import Segmenter

pytestmark = pytest.mark.gpu

SETTINGS = {"size": 64, "epochs": 1, "passes": 2, "batch_cases": 2, "val_interval": 1, "device": "cuda:0"}


@pytest.fixture(scope="module")
def gpu_run(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(TrainOptions(phantom_data, folder, settings={**SETTINGS, "precision": "bf16"}))
    return folder


def test_an_epoch_of_the_train_config_in_bf16_gives_finite_losses_and_no_warning(gpu_run: Path) -> None:
    losses = [loss for _, loss in read_history(gpu_run)["train_loss"]]
    assert losses
    assert torch.isfinite(torch.tensor(losses)).all()


def test_weights_trained_on_the_gpu_segment_on_the_cpu(gpu_run: Path, phantom_data: Path) -> None:
    case = load_cases(phantom_data)[0]
    there, here = (Segmenter.from_name(gpu_run, device)(case).probability for device in ("cuda:0", "cpu"))
    assert abs(there - here).max() < 0.05


@pytest.mark.parametrize("name", network_names())
def test_the_same_batch_gives_the_same_logits_on_cpu_and_gpu(name: str) -> None:
    torch.manual_seed(0)
    network = create_network(name).eval()
    batch = torch.randn(2, 3, 64, 64)
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        here = BatchInferer("fp32")(batch, on_device(network, "cpu"))
        there = BatchInferer("fp32")(batch.cuda(), on_device(network, "cuda:0")).cpu()
    assert torch.allclose(here, there, atol=1e-3, rtol=1e-3)


def test_a_volume_stays_on_the_gpu_and_comes_back_in_its_own_size() -> None:
    network = on_device(create_network("resnext26_unet_tiny").eval(), "cuda:0")
    with torch.inference_mode():
        logits = StudyInferer(size=64)(torch.randn(1, 3, 48, 40, 5, device="cuda:0"), network)
    assert logits.device.type == "cuda"
    assert logits.shape == (1, 1, 48, 40, 5)


def test_a_run_goes_on_from_its_checkpoint(gpu_run: Path, phantom_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(TrainOptions(phantom_data, run, settings={**SETTINGS, "precision": "fp32"}))
    steps = len(read_history(run)["train_loss"])
    train(TrainOptions(phantom_data, run, settings={"epochs": 2}, resume=True))
    assert [step for step, _ in read_history(run)["train_loss"]] == list(range(1, 2 * steps + 1))


def test_auto_picks_the_gpu() -> None:
    assert pick_device("auto").type == "cuda"


@pytest.mark.parametrize("window", [None, (48, 32)])
def test_a_batch_is_varied_on_the_gpu_as_on_the_cpu(window: tuple[int, int] | None) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = {
        keys.IMAGE: torch.randint(0, 255, (8, 3, 64, 64), generator=generator, dtype=torch.uint8),
        keys.LABEL: torch.randint(0, 255, (8, 1, 64, 64), generator=generator, dtype=torch.uint8),
        keys.STATISTICS: torch.tensor([5.0, 240.0, 120.0, 40.0]).repeat(8, 3, 1),
        keys.DRAWN: torch.rand(8, len(COLUMNS), generator=generator, dtype=torch.float64),
    }
    for index in range(8):  # heads at places of their own, in air
        outside = torch.ones(64, 64, dtype=torch.bool)
        outside[index : index + 40, 2 * index : 2 * index + 30] = False
        batch[keys.IMAGE][index, :, outside] = 0
    grey = dict.fromkeys(("smooth", "contrast", "brightness", "bias"), 1.0)
    prepare = AugmentBatch(SliceAugmentation(**grey, noise=0.0, window=window))
    for here, there in zip(prepare(batch, "cpu"), prepare(batch, "cuda:0", non_blocking=True), strict=True):
        assert there.device.type == "cuda"
        torch.testing.assert_close(there.cpu(), here, atol=2e-3, rtol=2e-3)


def test_noise_on_the_gpu_is_a_function_of_its_seed() -> None:
    drawn = torch.full((2, len(COLUMNS)), 0.5, dtype=torch.float64)
    noisy = SliceAugmentation(affine=0.0, flip=0.0, noise=1.0, deviation=0.2, missing=0.0, flair_alone=0.0)
    images, labels = torch.zeros(2, 3, 32, 32, device="cuda:0"), torch.zeros(2, 1, 32, 32, device="cuda:0")
    first, _ = noisy(images.clone(), labels, drawn)
    second, _ = noisy(images.clone(), labels, drawn)
    assert torch.equal(first, second)
    assert float(first.std()) == pytest.approx(0.1, rel=0.1)
