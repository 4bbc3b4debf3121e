"""Files of slices and a network go in, a training in the way of MONAI's stock bundles goes on step by step.

Written after the 2-D segmentation bundles of the Model Zoo: a record is a slice, a CacheDataset of dictionary
transforms, SupervisedTrainer with DiceCELoss and Adam, in fp32. They use mixed precision on a GPU only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.data import CacheDataset, DataLoader, PILReader
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from monai.losses import DiceCELoss
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    RandFlipd,
    RandRotated,
    RandScaleIntensityd,
    RandShiftIntensityd,
    Resized,
    ScaleIntensityd,
)
from torch import nn

from gliomaseg.networks import create_network
from gliomaseg.transforms import keys
from gliomaseg.workflows.training.budget import endless

from .peers import SliceFiles

BOTH = (keys.IMAGE, keys.LABEL)


def stock_transforms(size: int) -> Compose:
    """Return the transforms: those before the first random one are cached, in float as they come."""
    return Compose(
        [
            LoadImaged(BOTH, reader=PILReader),
            EnsureChannelFirstd(BOTH),
            ScaleIntensityd(BOTH),
            Resized(BOTH, spatial_size=(size, size), mode=("bilinear", "nearest")),
            RandRotated(BOTH, prob=0.5, range_x=0.26, mode=("bilinear", "nearest")),
            RandFlipd(BOTH, prob=0.5, spatial_axis=0),
            RandScaleIntensityd(keys.IMAGE, factors=0.3, prob=0.5),
            RandShiftIntensityd(keys.IMAGE, offsets=0.1, prob=0.5),
        ]
    )


class StockLoop:
    """Train with MONAI's own parts.

    Args:
        network: gives logits.
        cases: records whose image and label are lists of slice files.
        size: height and width to resize to.
        batch_size: slices in a batch.
    """

    def __init__(
        self, network: nn.Module, cases: Sequence[Mapping[str, Any]], size: int, batch_size: int
    ) -> None:
        records = [dict(zip(BOTH, pair, strict=True)) for pair in SliceFiles(cases, size).files]
        dataset = CacheDataset(records, stock_transforms(size), progress=False)
        loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True)
        self.batches = endless(loader)
        self.loading: list[float] = []
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=1,
            train_data_loader=loader,
            network=network,
            optimizer=torch.optim.Adam(network.parameters(), lr=1e-4),
            loss_function=DiceCELoss(sigmoid=True),
            inferer=SimpleInferer(),
        )

    def step(self) -> None:
        """Load a batch and let the trainer take its step."""
        started = time.perf_counter()
        batch = next(self.batches)
        self.loading.append(time.perf_counter() - started)
        self.trainer.state.batch = batch
        self.trainer._iteration(self.trainer, batch)


def stock_loop(cases: Sequence[Mapping[str, Any]], size: int, batch_size: int) -> StockLoop:
    """Return MONAI's stock training of our default network."""
    return StockLoop(create_network("resnext50_unet"), cases, size, batch_size)
