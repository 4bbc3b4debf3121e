"""A model in, the configs of its bundle out: with the model's numbers and no paths of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from monai.bundle import ConfigParser

from ..bundle_names import INSTALLED, rename
from ..models import SHARED_IDS, Model, configs_folder, in_effect

Config = dict[str, Any]

AT_HOME: Final[Config] = {
    "bundle_root": ".",
    "dataset_dir": "data",
    "output_dir": "$@bundle_root + '/eval'",
    "device": {"_target_": f"{INSTALLED}.workflows.inferers.pick_device", "name": "auto"},
}
"""Ids that a run filled in for the machine it ran on, as the Model Zoo's bundles have them."""

FOR_TRAINING: Final[Config] = {
    "ckpt_dir": "$@bundle_root + '/models'",  # MONAI Label serves what training puts there
    "val_interval": 1,  # MONAI Label trains for few epochs, each of which may be the best
    "pretrained": None,
    "resume": False,
    "window": None,  # in pixels of a `size` that may be another, and others' heads may fill the picture
}
"""Ids of train.json that differ in a bundle."""


def bundle_configs(model: Model) -> dict[str, Config]:
    """Return the configs of a bundle by file name, naming our code as installed.

    ``evaluate`` holds all of ``train`` and can be run alone or behind it; ``multi_gpu_train`` holds
    differences only and is run behind ``train``.

    Args:
        model: a run, a bundle or weights; without a training config of its own it gets ours.
    """
    model = in_effect(model)
    inference = {**_read(model.config), **model.settings, **AT_HOME}
    inference["weights"] = "$@bundle_root + '/models/model.pt'"
    train = {**_training_of(model, inference), **deepcopy(AT_HOME), **FOR_TRAINING}
    evaluate = ConfigParser(deepcopy(train))
    for name, value in _read(configs_folder() / "evaluate.yaml").items():
        evaluate[name] = value
    evaluate["weights"] = "$@ckpt_dir + '/model.pt'"
    return {
        "train": train,
        "inference": inference,
        "evaluate": evaluate.get(),
        "multi_gpu_train": _read(configs_folder() / "multi_gpu_train.yaml"),
    }


def _training_of(model: Model, inference: Mapping[str, Any]) -> Config:
    """Return the config that a model was trained with, else ours; the numbers are those of inference."""
    own = model.config.with_name("train.json")
    shared = {name: inference[name] for name in SHARED_IDS if name in inference and name != "network_def"}
    return {**_read(own if own.is_file() else configs_folder() / "train.yaml"), **shared}


def _read(path: Any) -> Config:
    config: Config = rename(ConfigParser.load_config_file(str(path)), INSTALLED)
    return config
