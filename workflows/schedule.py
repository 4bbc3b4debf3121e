"""A step number in, a learning rate out: warm-up and cosine, which a resumed run may make longer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from monai.optimizers import WarmupCosineSchedule


class WarmupCosine(WarmupCosineSchedule):  # type: ignore[misc]
    """MONAI's WarmupCosineSchedule, but the lengths are those of the config and never those of a checkpoint.

    Its own state holds the number of steps, so a run resumed for more epochs would follow the old curve to
    its end and then climb again. Here only the position is taken over.
    """

    def step(self, epoch: int | None = None) -> None:
        """Go on by a batch; over several batches of one move of the weights too, which PyTorch warns of."""
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", r"Detected call of `lr_scheduler\.step\(\)` before", UserWarning
            )
            super().step(epoch)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take the position over from a checkpoint and keep shape and height of the curve."""
        kept = ("t_total", "warmup_steps", "warmup_multiplier", "end_lr", "base_lrs")
        shape = {name: getattr(self, name) for name in kept}
        super().load_state_dict({**state_dict, **shape})
        if shape["base_lrs"] != state_dict["base_lrs"]:  # else the optimiser brings the very number
            for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
                group["lr"] = rate
