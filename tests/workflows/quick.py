"""What makes a training take seconds."""

from typing import Any

SMOKE: dict[str, Any] = {
    "network_name": "resnext26_unet_tiny",
    "size": 64,
    "epochs": 2,
    "passes": 2,
    "batch_cases": 2,
    "slices_per_case": 1,
    "val_interval": 1,
    "precision": "fp32",
}
"""Settings of a run of two epochs, each with a validation."""

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
