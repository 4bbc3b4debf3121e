"""A step number in, a learning rate out: warm-up and cosine, which a resumed run may make longer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.optimizers import WarmupCosineSchedule


class WarmupCosine(WarmupCosineSchedule):  # type: ignore[misc]
    """MONAI's WarmupCosineSchedule, but the lengths are those of the config and never those of a checkpoint.

    Its own state holds the number of steps, so a run resumed for more epochs would follow the old curve to
    its end and then climb again. Here only the position is taken over.
    """

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take the position over from a checkpoint and keep the shape of the curve."""
        shape = {
            name: getattr(self, name) for name in ("t_total", "warmup_steps", "warmup_multiplier", "end_lr")
        }
        super().load_state_dict({**state_dict, **shape})
