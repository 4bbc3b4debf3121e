"""A model's config and what its run left behind in, the bundle's metadata.json out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...transforms import keys
from ..graphs import PIXEL_MM, PROBABILITY, VOLUME
from ..leakage.seen import KEY, NOT_ALL, history_behind
from ..models import Model
from .bundle_code import installed_version
from .training_data import data_words, package_metadata

logger = logging.getLogger(__name__)

SIDE = "32*n"
"""Height and width that the network takes; any size from 32 up works, the Model Zoo tests with 32."""


@dataclass(frozen=True)
class RunRecord:
    """What a run says of itself, each an empty mapping where it is not known.

    Attributes:
        metrics: content of metrics.json.
        datalist: content of datalist.json.
        environment: content of environment.json.
        timing: content of timing.json.
        recipe: content of configs/train.json.
        metadata: content of configs/metadata.json.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    datalist: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read_run(model: Model) -> RunRecord:
    """Read what lies in the folder of a model; weights without a folder of their own have no record."""
    folder = model.weights.resolve().parent.parent
    if model.config.resolve().parent.parent != folder:
        return RunRecord()
    names = ("metrics", "datalist", "environment", "timing")
    recipe = read_known(folder / "configs" / "train.json")
    told = read_known(folder / "configs" / "metadata.json")
    found = {name: read_known(folder / f"{name}.json") for name in names}
    if not str(found["datalist"].get("format", "")).startswith("gliomaseg-"):
        found["datalist"] = {}  # in whose form nobody knows what stands in it
    return RunRecord(**found, recipe=recipe, metadata=told)


def seen_by(model: Model) -> dict[str, Any]:
    """Return what metadata say of whom a model has seen: marks, salted with the hash of its weights."""
    history = history_behind(model.weights)
    records = history.records(model.sha256)
    return {**({KEY: records} if records else {}), **({NOT_ALL: True} if history.unknown else {})}


def bundle_metadata(
    inference: Mapping[str, Any],
    packages: Mapping[str, str],
    metrics: Mapping[str, Any],
    seen: Mapping[str, Any] | None = None,
    datalist: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    others: bool = False,
) -> dict[str, Any]:
    """Return the metadata of a bundle: schema of July 2024, versions in use here, channels of the weights.

    Args:
        inference: content of inference.json.
        packages: required packages with versions.
        metrics: content of the run's metrics.json; empty leaves the figures out.
        seen: of ``seen_by``.
        datalist: content of the run's datalist.json, if it is known.
        before: metadata that stand beside the model already, see ``data_words``.
        others: whether others have trained it too; the marks in ``seen`` may tell as well.
    """
    others = others or bool((seen or {}).get(NOT_ALL))
    metadata = {**package_metadata(), **data_words(datalist or {}, before or {}, others)}
    metadata.update(
        description=metadata["description"].replace("ResNeXt50-UNet", inference["network_name"]),
        monai_version=installed_version("monai"),
        pytorch_version=installed_version("torch"),
        numpy_version=installed_version("numpy"),
        required_packages_version=dict(packages),
        eval_metrics=_headline(metrics),
        network_data_format=_data_format(inference),
    )
    return {**metadata, **(seen or {})}


def _data_format(inference: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the tensors at the network; MONAI Label expects ``image`` and ``pred`` to come first."""
    logits = {
        **_tensor("segmentation", keys.CLASSES, [-100, 100]),
        "num_channels": inference["out_channels"],
    }
    channels = channel_names(inference.get("neighbours", 0))
    image = {
        **_tensor("magnitude", channels, [-5, 10]),
        "num_channels": inference["in_channels"] * (len(channels) // len(keys.CHANNELS)),
        "modality": "MR",
    }
    return {
        "inputs": {keys.IMAGE: image},
        "outputs": {keys.PRED: logits},
        "post_processed_outputs": {keys.PRED: {**logits, "value_range": [0, 1]}},
    }


def study_format() -> dict[str, Any]:
    """Describe what a graph of a whole study takes and gives, see ``whole_study.WholeStudy``."""
    volume = {
        **_tensor("magnitude", keys.CHANNELS, [0, 65535]),
        "spatial_shape": ["depth", "height", "width"],
        "num_channels": len(keys.CHANNELS),
        "modality": "MR",
    }
    pixel = {"type": "array", "format": "height and width of a pixel in mm, 0 if not known", "num_values": 2}
    chance = {
        **_tensor("probabilities", keys.CLASSES, [0, 1]),
        "spatial_shape": ["depth", "height", "width"],
        "num_channels": 1,
    }
    return {"inputs": {VOLUME: volume, PIXEL_MM: pixel}, "outputs": {PROBABILITY: chance}}


def channel_names(neighbours: int) -> tuple[str, ...]:
    """Name the channels that the network sees.

    Args:
        neighbours: slices on each side, lowest first, see ``transforms.neighbours``.

    Example:
        >>> channel_names(1)[1::3]
        ('FLAIR, slice -1', 'FLAIR', 'FLAIR, slice +1')
    """
    places = range(-neighbours, neighbours + 1)
    return tuple(f"{name}, slice {at:+}" if at else name for at in places for name in keys.CHANNELS)


def _tensor(form: str, channels: tuple[str, ...], value_range: list[int]) -> dict[str, Any]:
    return {
        "type": "image",
        "format": form,
        "spatial_shape": [SIDE, SIDE],
        "dtype": "float32",
        "value_range": value_range,
        "is_patch_data": False,
        "channel_def": {str(index): name for index, name in enumerate(channels)},
    }


def _headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    if not metrics:
        return {}
    return {
        "val_mean_dice": round(metrics["dice"]["per_patient_mean"], 4),
        "val_mean_iou": round(metrics["iou"]["per_patient_mean"], 4),
        "patients": metrics["protocol"]["patients"],
        "averaging": "mean over patients of the Dice, and of the IoU, of each one's volume",
    }


def read_known(path: Path) -> dict[str, Any]:
    """Return what a file says, nothing where there is none or it is damaged: a model is whole without it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        logger.warning("Not read: %s (%s)", path, error)
        return {}
    return content if isinstance(content, dict) else {}
