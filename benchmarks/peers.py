"""Files of slices and a network go in, a training in the plain way of the peers goes on step by step."""

from __future__ import annotations

import importlib
import importlib.util
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from gliomaseg.networks import EfficientNetLiteEncoder, create_network
from gliomaseg.networks.pretrained import load_imagenet
from gliomaseg.transforms import keys
from gliomaseg.workflows.training.budget import endless

SMP = "segmentation_models_pytorch"


class SliceFiles(Dataset[tuple[Tensor, Tensor]]):
    """Slices that are decoded, shrunk and flipped whenever one is asked for.

    Args:
        cases: records whose image and label are lists of slice files.
        size: height and width to shrink to.

    Raises:
        ValueError: a case is a volume.
    """

    def __init__(self, cases: Sequence[Mapping[str, Any]], size: int) -> None:
        for case in cases:
            if not isinstance(case[keys.IMAGE], list):
                raise ValueError(
                    f"The peers train on slice files, but {case[keys.IMAGE]} is a volume; give a folder of "
                    "patients with one TIFF a slice."
                )
        self.files = [pair for case in cases for pair in zip(case[keys.IMAGE], case[keys.LABEL], strict=True)]
        self.size = (size, size)

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return ``(3, size, size)`` float32 in [0, 1] and ``(1, size, size)`` float32, 0 or 1."""
        image, label = self.files[index]
        pixels = self._read(Path(image), "RGB", Image.Resampling.BILINEAR)
        mask = self._read(Path(label), "L", Image.Resampling.NEAREST)[:, :, None]
        if random.random() < 0.5:
            pixels, mask = pixels[:, ::-1], mask[:, ::-1]
        return _tensor(pixels) / 255, (_tensor(mask) > 0).float()

    def _read(self, file: Path, mode: str, filter_: Image.Resampling) -> np.ndarray[Any, Any]:
        with Image.open(file) as picture:
            return np.array(picture.convert(mode).resize(self.size, filter_))


class PlainLoop:
    """Train in fp32, eagerly, contiguous in memory: Adam, BCE + Dice, TIFFs decoded in the loop with PIL.

    Args:
        network: gives logits.
        cases: see ``SliceFiles``.
        size: see ``SliceFiles``.
        batch_size: slices in a batch.
    """

    def __init__(
        self, network: nn.Module, cases: Sequence[Mapping[str, Any]], size: int, batch_size: int
    ) -> None:
        self.network = network.train()
        self.optimizer = torch.optim.Adam(network.parameters(), lr=5e-4)
        loader = DataLoader(SliceFiles(cases, size), batch_size, shuffle=True, drop_last=True)
        self.batches = endless(loader)
        self.loading: list[float] = []

    def step(self) -> None:
        """Load a batch, run it forward and backward, and move the weights."""
        started = time.perf_counter()
        images, masks = next(self.batches)
        self.loading.append(time.perf_counter() - started)
        self.optimizer.zero_grad()
        loss = bce_and_dice(torch.sigmoid(self.network(images)), masks)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


def seed_loop(cases: Sequence[Mapping[str, Any]], size: int, batch_size: int) -> PlainLoop:
    """Return the seed's training: its network in the plain loop."""
    return PlainLoop(create_network("seed_resnext50_unet"), cases, size, batch_size)


def smp_loop(cases: Sequence[Mapping[str, Any]], size: int, batch_size: int) -> PlainLoop:
    """Return segmentation-models-pytorch's Unet in the plain loop."""
    return PlainLoop(smp_unet(), cases, size, batch_size)


def bce_and_dice(probabilities: Tensor, masks: Tensor, smooth: float = 1.0) -> Tensor:
    """Return binary cross-entropy plus one minus the Dice of the batch."""
    shared = (probabilities * masks).sum()
    dice = (2 * shared + smooth) / (probabilities.sum() + masks.sum() + smooth)
    return functional.binary_cross_entropy(probabilities, masks) + 1 - dice


def smp_is_there() -> bool:
    """Return whether segmentation-models-pytorch can be imported."""
    return importlib.util.find_spec(SMP) is not None


def smp_unet() -> nn.Module:
    """Return segmentation-models-pytorch's Unet with the encoder that ours has, without weights."""
    smp = importlib.import_module(SMP)
    network: nn.Module = smp.Unet("resnext50_32x4d", encoder_weights=None, in_channels=3, classes=1)
    return network


def smp_lite0_unet(pretrained: bool = False) -> nn.Module:
    """Return segmentation-models-pytorch's Unet on EfficientNet-Lite0.

    Args:
        pretrained: its encoder begins with the ImageNet weights that ours has.

    Raises:
        ConnectionError: the package of these weights is missing.
        ValueError: its encoder is no longer built as ours is.
    """
    smp = importlib.import_module(SMP)
    network: nn.Module = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, in_channels=3, classes=1)
    if pretrained:
        encoder = network.get_submodule("encoder")
        encoder.load_state_dict(in_order(encoder.state_dict(), _lite0_weights()))
    return network


def _lite0_weights() -> Mapping[str, Tensor]:
    ours = EfficientNetLiteEncoder()
    load_imagenet(ours)
    return ours.state_dict()


def in_order(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names of another network that has the same layers in the same order.

    Raises:
        ValueError: it has not.
    """
    shapes = [[tuple(value.shape) for value in state.values()] for state in (wanted, given)]
    if shapes[0] != shapes[1]:
        raise ValueError("The two encoders are not built alike; segmentation-models-pytorch has changed.")
    return dict(zip(wanted, given.values(), strict=True))


def _tensor(pixels: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float()
