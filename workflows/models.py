"""A name of a model on the command line in, its inference config and weights out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

import torch
from monai.bundle import ConfigParser

from .. import networks
from ..networks.checkpoint import form_of, names_like, read_state
from .bundle_names import INSTALLED, rename
from .graphs import WHOLE, settings_inside, sha256_of_graph
from .limits import check_recipe, is_expression
from .overrides import apply_settings, references_from, references_in
from .system import files
from .system.files import InputError

logger = logging.getLogger(__name__)


CROSS_VALIDATION: Final = "cross_validation.json"
"""What tells the folder of a cross-validation from that of a run."""


@dataclass(frozen=True)
class Model:
    """Weights with the config that says how to use them.

    Attributes:
        config: path of an inference config.
        weights: path of a state dict, or of an exported network.
        settings: ids of the config that the weights decide, such as the network's name.
        sha256: of the weights file.
        form: of ``networks.checkpoint.form_of`` where ``weights`` is an exported network; else None.
    """

    config: Path
    weights: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    form: str | None = None

    def parser(self, device: torch.device | None = None) -> ConfigParser:
        """Return the config, read and with the settings in place, not yet parsed."""
        parser = ConfigParser()
        parser.read_config(str(self.config))
        parser.set(rename(parser.get(), INSTALLED))  # a bundle names its own copy of our code
        for name, value in {**self.settings, "weights": str(self.weights)}.items():
            parser[name] = value
        if device is not None:
            parser["device"] = str(device)
        return parser


CLEANUP: Final = ("cleanup_share", "cleanup_peak", "cleanup_mean", "cleanup_largest")
"""Ids of the rules by which findings are dropped."""

OF_USE: Final = ("size", "threshold", "mirror", "turn", *CLEANUP, "precision")
"""Ids that say how weights are used: a run takes them from its training to its inference config."""

SHARED_IDS: Final = ("network_name", "in_channels", "out_channels", "neighbours", *OF_USE, "network_def")
"""Ids that the inference config of a run takes over from its training config."""

CHANGEABLE: Final = (*OF_USE, "temperature", "confidence_shift", "check_below")
"""Ids of an inference config that may be others than those that weights were trained or fitted with."""

PARTS: Final = {
    **dict.fromkeys(("size", "mirror", "turn", "precision", "temperature"), "inferer"),
    **dict.fromkeys(CLEANUP, "cleanup"),
}
"""Which part of an inference config has to refer to an id; the others are read by programs.

A file that prepares a study itself has what the inferer does inside."""


def with_settings(model: Model, settings: Mapping[str, Any]) -> Model:
    """Return a model with other numbers than its inference config has.

    Where an id is younger than the model, what uses it is taken from the package.

    Args:
        model: from ``open_model``; its files are left alone.
        settings: of ``CHANGEABLE``, id -> value.

    Raises:
        InputError: an id that belongs to the weights, or a value that cannot be.
    """
    if not settings:
        return model
    for name in settings:
        if name not in CHANGEABLE:
            raise InputError(
                f"Of a finished model {', '.join(CHANGEABLE[:-1])} and {CHANGEABLE[-1]} can be set, but "
                f"{name} was; leave it out, or train with it."
            )
        if model.settings.get(WHOLE) and PARTS.get(name) == "inferer":
            raise InputError(
                f"{model.weights.name} prepares a study itself and has {name} inside; name the run that it "
                "was made from, or set it in the run's inference.json and export again."
            )
        if name == "precision" and model.form in ("onnx", "openvino"):
            raise InputError(
                f"{model.weights.name} computes as it was exported, whatever precision is; leave it out, or "
                "name the run that it was made from."
            )
    for name, value in settings.items():
        if is_expression(value):
            raise InputError(f"A finished model takes plain values, but {name} is {value!r}; work it out.")
    check_recipe(settings)
    wired = replace(model, settings={**model.settings, **_wiring_for(model, settings)})
    apply_settings(wired.parser(), settings, str(model.config), CHANGEABLE)
    return replace(wired, settings={**wired.settings, **settings})


def _wiring_for(model: Model, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of the package's config without which a younger id would do nothing in a model's.

    Raises:
        InputError: a part of the model's config is somebody's own and does not refer to an id.
    """
    own = model.parser().get()
    package = ConfigParser.load_config_file(str(configs_folder() / "inference.yaml"))
    wiring: dict[str, Any] = {name: package[name] for name in settings if name not in own}
    for name in settings:
        part = PARTS.get(name)
        if part is None or _is_used(own, package, name):
            continue
        if not _is_of_package(own.get(part), package[part]):
            raise InputError(
                f"Nothing would come of {name}: `{part}` in {model.config} does not refer to it; write "
                f"'@{name}' there, as in the package's configs/inference.yaml."
            )
        wiring[part] = package[part]
    needed = references_in([wiring[part] for part in set(PARTS.values()) & wiring.keys()])
    return {name: package[name] for name in sorted(needed) if name not in own} | wiring


def _literal(part: Any, name: str) -> Any:
    return part.get(name) if isinstance(part, Mapping) else None


def _is_used(own: Mapping[str, Any], package: Mapping[str, Any], name: str) -> bool:
    """Tell whether anything comes of an id of ``PARTS``; of somebody's own parts another may refer to it."""
    part = PARTS[name]
    if name in references_from(own, part):
        return True
    return not _is_of_package(own.get(part), package[part]) and name in references_in(own)


def _is_of_package(part: Any, ours: Mapping[str, Any]) -> bool:
    """Tell whether a part of a config is that of the package, or of an older version that had less in it."""
    if part is None:
        return True
    return isinstance(part, Mapping) and all(ours.get(key) == value for key, value in part.items())


def in_effect(model: Model) -> Model:
    """Return a model whose config does what it says, where an id in it is younger than its parts.

    Where a part is somebody's own and does not refer to the id, nothing comes of it, and the log says so.
    """
    own = model.parser().get()
    package = ConfigParser.load_config_file(str(configs_folder() / "inference.yaml"))
    idle = {
        name: own[name]
        for name, part in PARTS.items()
        if name in own
        and own[name] not in (package[name], _literal(own.get(part), name))
        and not _is_used(own, package, name)
    }
    if not idle:
        return model
    try:
        return replace(model, settings={**model.settings, **_wiring_for(model, idle)})
    except InputError as error:
        logger.warning("%s", error)
        return model


def refuse_export(name: str | Path | None) -> None:
    """Refuse an exported file where weights are needed one by one.

    Raises:
        InputError: it is one.
    """
    if name is not None and form_of(Path(name)) is not None:
        raise InputError(
            f"{name} is an export already, which predict, evaluate and serve take, but which cannot be "
            "trained or exported again, nor serve for labelling; name the run folder or bundle that it was "
            "made from."
        )


def configs_folder() -> Path:
    """Return the folder of the configs that come with the package."""
    return Path(str(resources.files("gliomaseg.configs")))


def default_folder() -> Path:
    """Return the folder of the weights that come with the package; it may be missing."""
    return Path(str(resources.files("gliomaseg.models"))) / "default"


def describe_default() -> str:
    """Say in a line what the weights are that come with the package; they come with a metadata.json.

    Raises:
        InputError: this version comes without weights.
    """
    _open_default()
    path = default_folder() / "configs" / "metadata.json"
    info = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return f"Taking the weights that ship with gliomaseg: {info.get('description', 'not described')}"


def open_model(name: str | Path | None = None) -> Model:
    """Find out what a model's name means.

    Args:
        name: a run folder or bundle (with ``configs/`` and ``models/model.pt``), a weights file, or a file
            that was exported to TorchScript, ONNX or OpenVINO; None takes the weights that come with the
            package.

    Raises:
        InputError: there is nothing at that path, or nothing that can be used.
    """
    if name is None:
        return _open_default()
    path = Path(name)
    if path.is_dir():
        return _open_bundle(path)
    if path.is_file():
        return _open_weights(path)
    raise InputError(
        f"There is no model at {path}; name a run folder, a bundle, a file of weights or an export."
    )


def _open_default() -> Model:
    if not (default_folder() / "models" / "model.pt").is_file():
        raise InputError("This version comes without weights; name a run folder or weights with --model.")
    return _open_bundle(default_folder())


def _open_bundle(folder: Path) -> Model:
    weights = folder / "models" / "model.pt"
    if (folder / CROSS_VALIDATION).is_file():
        raise InputError(
            f"{folder} holds a cross-validation, whose folds answer together in predict, evaluate and serve; "
            f"here one model is needed: name the run of a fold, such as {folder / 'fold-0'}."
        )
    if not weights.is_file():
        raise InputError(
            f"There are no weights in {folder}: expected {weights}; "
            "a run saves them after its first validation."
        )
    config = config_beside(weights)
    if config is None:
        raise InputError(
            f"There is no inference config in {folder / 'configs'}; name the weights file itself."
        )
    return Model(config, weights, sha256=files.sha256_of(weights))


def config_beside(weights: Path) -> Path | None:
    """Return the inference config of the run folder or bundle that weights lie in, None where it has none."""
    configs = weights.parent.parent / "configs"
    written = (configs / f"inference.{ending}" for ending in ("json", "yaml"))
    return next((path for path in written if path.is_file()), None)


def _open_weights(path: Path) -> Model:
    """Take a file on its own: the run folder around it if it has one, else the network that it fits."""
    around = path.resolve().parent.parent
    if path.name == "model.pt" and (around / "configs" / "inference.json").is_file():
        return _open_bundle(around)
    if (form := form_of(path)) is not None:
        settings = settings_inside(path, form)
        return Model(configs_folder() / "inference.yaml", path, settings, sha256_of_graph(path, form), form)
    try:
        state, _ = read_state(path)
    except ValueError as error:
        raise InputError(str(error)) from error
    names = names_like(state)
    if not names:
        raise InputError(
            f"The weights in {path} fit none of our networks ({', '.join(networks.network_names())}); "
            "name the run folder or bundle that they come from."
        )
    logger.warning(
        "There is no config beside %s: taking it for %s with the size, threshold and precision of the "
        "package's inference.yaml; name the run folder instead if the weights were trained otherwise.",
        path,
        names[0],
    )
    return Model(
        configs_folder() / "inference.yaml",
        path,
        {"network_name": names[0]},
        files.sha256_of(path),
    )
