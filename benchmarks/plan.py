"""How much is measured: numbers of patients, sizes and seconds, full or only to try everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        patients: whose slices the steps train on.
        validation_patients: that the engine validates on.
        seed_size: of the slices for the seed's network, in pixels.
        size: for the default network; None is that of the config.
        batch_cases: patients in a batch, two slices each.
        seconds: for each comparison, about; all of them take some six times that.
        at_least: repeats of each comparison, however long they take.
        side: of the matrices, see ``measure_limits``.
        most: patients that are cached for the memory and evaluated for the exactness; None takes all.
    """

    patients: int = 8
    validation_patients: int = 4
    seed_size: int = 128
    size: int | None = None
    batch_cases: int = 8
    seconds: float = 40.0
    at_least: int = 3
    side: int = 2048
    most: int | None = None

    @property
    def batch(self) -> dict[str, Any]:
        """Settings of the training config; an epoch so long that its end is not met."""
        return {"batch_cases": self.batch_cases, "slices_per_case": 2, "passes": 1000}

    @property
    def default_settings(self) -> dict[str, Any]:
        """Settings of the training config with the default network."""
        return self.batch if self.size is None else {**self.batch, "size": self.size}


FULL = Plan()
QUICK = Plan(
    patients=2,
    validation_patients=1,
    seed_size=32,
    size=32,
    batch_cases=1,
    seconds=0.0,
    at_least=2,
    side=128,
    most=2,
)
"""Everything once, for trying; its figures mean nothing."""
