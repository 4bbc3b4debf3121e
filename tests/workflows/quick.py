"""What makes a training take seconds."""

from typing import Any

STEP: dict[str, Any] = {
    "network_name": "resnext26_unet_tiny",
    "size": 64,
    "epochs": 1,
    "passes": 1,
    "batch_cases": 2,
    "slices_per_case": 1,
    "precision": "fp32",
}
"""Settings of a run of one epoch, in which everybody is seen once."""
