"""Options of a run in, its training config out, or a sentence on what is wrong with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser

from ..bundle_names import INSTALLED, rename
from ..limits import check_recipe, is_expression
from ..models import SHARED_IDS, configs_folder
from ..overrides import all_ids, apply_settings, refuse_hash
from ..system.causes import root_cause
from ..system.files import InputError
from .asked import same_asked
from .options import TrainOptions

logger = logging.getLogger(__name__)

INSIDE: Mapping[str, Any] = {
    "bundle_root": ".",
    "output_dir": "@bundle_root",
    "dataset_dir": "$@bundle_root + '/datalist.json'",
}
"""Places of a run as its own config says them: seen from its folder, so that it may move."""


OF_TRAINING_ALONE = (
    "train::deterministic_transforms",
    "validate::preprocessing",
    "validate::inferer",
    "validate::postprocessing",
)
"""Ids that the inference config does not take over."""

OF_THE_SPLIT = ("split", "validation_share", "fold", "institution", "seed")
"""Ids that are read before anything of a config is worked out."""


def read_train_config(options: TrainOptions) -> ConfigParser:
    """Read the config, with the options and settings written into it.

    A run that goes on keeps its own; a file of ``--config`` that it began with is in there already, and
    another one may hold differences alone.

    Raises:
        InputError: no such config, no such id in it, or a number that no run can be made with.
    """
    kept = options.output / "configs" / "train.json"
    goes_on = options.resume and kept.is_file()
    config = options.config or (kept if goes_on else configs_folder() / "train.yaml")
    if not config.is_file():
        raise InputError(
            f"There is no config at {config}; leave --config out to take the one of the package."
        )
    for file in (config, *options.extra_configs):
        _check_config(file)
    if goes_on and options.config:
        if same_asked(options.output, options.config):
            config = kept
        _refuse_another_whole(config, kept)
    parser = ConfigParser()
    base = kept if goes_on else configs_folder() / "train.yaml"
    parser.read_config([*map(str, _with_base(config, base)), *map(str, options.extra_configs)])
    parser.set(rename(parser.get(), INSTALLED))  # a config of a bundle names the code there
    _refuse_places(options.settings)
    apply_settings(parser, options.settings, str(config), SHARED_IDS)
    if parser.get("device") == "auto":  # words that only the part of the package understands
        parser["device"] = ConfigParser.load_config_file(str(configs_folder() / "train.yaml"))["device"]
    _refuse_circles(parser)
    check_recipe(parser.get())
    _refuse_expressions(parser)
    for name, value in (("output_dir", str(options.output)), ("bundle_root", str(options.output))):
        refuse_hash(name, value)
        parser[name] = value
    _require_own_weights(parser, options.output)
    return parser


def _refuse_another_whole(config: Path, kept: Path) -> None:
    """Refuse a whole config for a run that goes on with its own, which it would replace with all settings.

    Raises:
        InputError: it is one.
    """
    if config != kept and _is_whole(ConfigParser.load_config_file(str(config))):
        raise InputError(
            f"A run goes on with the config in its folder, but {config} is a whole one, and not as it was "
            "when the run began; leave --config out, and give what is to change as --set ID=VALUE or alone "
            "in a file."
        )


def warn_of_own_parts(parser: ConfigParser) -> None:
    """Tell of parts by which a training validates and that are not taken over for use afterwards."""
    package = ConfigParser()
    package.read_config(str(configs_folder() / "train.yaml"))
    own = [name for name in OF_TRAINING_ALONE if parser.get(name) != package.get(name)]
    if own:
        logger.warning(
            "%s of the config: not as in the package. The training validates by it, but `report`, "
            "`evaluate`, `predict` and exports go by configs/inference.json of the run, which has the "
            "package's; write what is to count there into that file too.",
            " and ".join(own),
        )


def _refuse_expressions(parser: ConfigParser) -> None:
    """Refuse expressions where a split needs a value before a config is worked out.

    Raises:
        InputError: there is one.
    """
    for name in OF_THE_SPLIT:
        if is_expression(parser.get(name)):
            raise InputError(
                f"A split is made before a config is worked out, so `{name}` is a plain value; got "
                f"{parser.get(name)!r}."
            )


def _require_own_weights(parser: ConfigParser, output: Path) -> None:
    """Refuse to write the best weights elsewhere than where a run is looked for.

    Raises:
        InputError: the config says so.
    """
    if "best" not in parser:
        return
    try:
        said = str(ConfigParser(deepcopy(parser.get())).get_parsed_content("best::path"))
    except RuntimeError as error:
        said = f"what cannot be worked out ({root_cause(error)})"
    if Path(said) != output / "models" / "model.pt":
        raise InputError(
            f"A run keeps its weights in models/model.pt of --output, but the config says {said}; leave "
            "ckpt_dir and best::path as they are, and copy the file when the run has ended."
        )


def _refuse_circles(parser: ConfigParser) -> None:
    """Refuse ids that lead back to themselves.

    Raises:
        InputError: there is one.
    """
    whole = ConfigParser(deepcopy(parser.get()))
    for name in parser.get():
        try:
            whole.get_parsed_content(name, instantiate=False, eval_expr=False)
        except ValueError as error:
            if "circular" in str(error):
                raise InputError(
                    f"An id of the config may not lead back to itself, but {name} does: "
                    f"{str(error).partition(' in the config')[0]}; write a number or a word for one of them."
                ) from error


def _refuse_places(settings: Mapping[str, Any]) -> None:
    """Refuse settings that would do nothing: of places and of the network's name, which the command tells.

    Raises:
        InputError: there is one.
    """
    for name, value in settings.items():
        if name.startswith("datalist::") or name == "datalist":
            raise InputError(
                f"A run has its patients from DATA and its split, but {name}={value} was set; name another "
                "DATA, or set validation_share, fold or seed."
            )
        if name == "network_def::name":
            raise InputError(
                f"A network is named by --network, which reports and exports tell too, but {name}={value} "
                f"was set; give --network {value}."
            )
    for name in INSIDE:
        if name in settings:
            said = "DATA" if name == "dataset_dir" else "--output"
            raise InputError(
                f"The {name} of a run is what {said} names, but {name}={settings[name]} was set too; leave "
                f"that out, and give the path as {said}."
            )


def _is_whole(content: Mapping[str, Any]) -> bool:
    return "train" in content and "dataset_dir" in content


def _with_base(config: Path, base: Path) -> list[Path]:
    """Return the files that a config stands for: one of differences comes after that of ``base``.

    Raises:
        InputError: it is neither a training config nor differences to one, or would replace a whole section.
    """
    content = ConfigParser.load_config_file(str(config))
    if _is_whole(content):
        return [config]
    whole = ConfigParser.load_config_file(str(base))
    known = set(all_ids(whole))
    unknown = sorted(name for name in content if name.lstrip("+~").replace("#", "::") not in known)
    if unknown:
        raise InputError(
            f"{config} is no training config: it has no train::trainer and dataset_dir, and "
            f"configs/train.yaml has no id {unknown[0]!r} that it could change; start from a copy of "
            "configs/train.yaml, or leave --config out."
        )
    for name, value in content.items():
        before = whole.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping) and "_target_" not in value:
            raise InputError(
                f"{config} would put {name} in place of all that the config has there; write the ids in it "
                f"one by one, such as `{name}::{next(iter(value), '...')}`."
            )
    return [base, config]


def _check_config(path: Path) -> None:
    """Refuse a config that is no mapping of ids, such as an empty file or one with a bracket missing.

    Raises:
        InputError: it is, or cannot be read at all.
    """
    try:
        content = ConfigParser.load_config_file(str(path))
        reason = None if isinstance(content, Mapping) else "it holds no ids with values"
    except (yaml.YAMLError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
    if reason is not None:
        raise InputError(
            f"The config {path} cannot be read: {reason}. Mend it, name another with --config, or, if it is "
            "that of a run, start a new run in another folder."
        )


def device_of(config: Mapping[str, Any]) -> str:
    """Return the device that a config asks for, by name."""
    device = config.get("device")
    if isinstance(device, Mapping):
        return str(device.get("name", "auto"))
    return "auto" if device is None or is_expression(device) else str(device)
