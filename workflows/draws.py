"""Which sample comes when: an order of draws that depends on seed, epoch and position alone.

The random numbers of a sample are a function of (seed, epoch, patient, draw) and of nothing that happened
before. So the number of workers does not matter, and a run that was cut off goes on with the very samples
that it would have seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from monai.data import CacheDataset
from torch.utils.data import Sampler

from ..transforms import keys
from .memory import give_back_freed_memory


class Draw(NamedTuple):
    """One use of one case."""

    epoch: int
    """Epoch, counted from 1."""

    number: int
    """How often the case was used before in this epoch."""

    case: int
    """Index into the data set."""


class DrawSampler(Sampler[Draw]):
    """Hand out every case ``passes`` times an epoch, each pass in an order of its own.

    Args:
        data_source: the data set, for its length.
        passes: how often an epoch uses each case.
        batch_size: samples a batch, needed to go on in the middle of an epoch.
        seed: of the orders.

    Example:
        >>> sampler = DrawSampler(["a", "b"], passes=2, batch_size=2)
        >>> [draw.number for draw in sampler]
        [0, 0, 1, 1]
    """

    def __init__(
        self, data_source: Sequence[Any], passes: int = 1, batch_size: int = 1, seed: int = 0
    ) -> None:
        if passes < 1:
            raise ValueError(
                f"`passes` counts the uses of a case in an epoch and must be at least 1, got {passes}."
            )
        self.cases = len(data_source)
        self.passes = passes
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 1
        self.batches_done = 0

    def set_position(self, epoch: int, batches_done: int = 0) -> None:
        """Start the next iteration in ``epoch`` (from 1), after ``batches_done`` batches of it."""
        self.epoch = epoch
        self.batches_done = batches_done

    def __iter__(self) -> Iterator[Draw]:
        """Yield the draws of the current epoch that are still to come."""
        draws = [
            Draw(self.epoch, number, int(case))
            for number in range(self.passes)
            for case in np.random.default_rng([self.seed, self.epoch, number]).permutation(self.cases)
        ]
        return iter(draws[self.batches_done * self.batch_size :])

    def __len__(self) -> int:
        """Return the number of draws in a whole epoch, so that the length of an epoch never changes."""
        return self.cases * self.passes


class DrawDataset(CacheDataset):  # type: ignore[misc]
    """A CacheDataset whose random transforms are seeded anew for every draw.

    Indexed with a ``Draw``, its result depends on (seed, epoch, patient, draw number) alone; indexed with an
    integer it behaves as MONAI's. The cache is handed on without copying: the first random transform must be
    one that copies or cuts out, such as a crop.

    Args:
        data: records, see ``workflows.datalist``.
        transform: the transforms; those before the first random one are cached.
        seed: of the random transforms.
        **options: of ``monai.data.CacheDataset``.
    """

    def __init__(
        self, data: Sequence[Mapping[str, Any]], transform: Any, seed: int = 0, **options: Any
    ) -> None:
        self.seed = seed
        super().__init__(data=data, transform=transform, **{"copy_cache": False, **options})
        give_back_freed_memory()

    def __getitem__(self, index: Any) -> Any:
        """Return the sample (or list of samples) of a draw."""
        if not isinstance(index, Draw):
            return super().__getitem__(index)
        patient = str(self.data[index.case].get(keys.PATIENT, index.case))
        self.transform.set_random_state(seed=draw_seed(self.seed, index.epoch, patient, index.number))
        return self._transform(index.case)


def draw_seed(seed: int, epoch: int, patient: str, number: int) -> int:
    """Return a 32-bit seed for one draw.

    The patient is named and not numbered, so that leaving a case out does not change the others.

    Example:
        >>> draw_seed(0, 1, "TCGA_DU_0001", 0) == draw_seed(0, 1, "TCGA_DU_0001", 0)
        True
        >>> draw_seed(0, 1, "TCGA_DU_0001", 0) == draw_seed(0, 1, "TCGA_DU_0001", 1)
        False
    """
    words = f"{seed}/{epoch}/{patient}/{number}".encode()
    return int.from_bytes(hashlib.blake2b(words, digest_size=4).digest(), "little")
