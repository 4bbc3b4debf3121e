"""The name of a model and a form in, the model in that form out."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, Protocol

from monai.bundle import ConfigParser
from torch import nn

from .bundle_names import named_code
from .exports.bundle import write_bundle
from .exports.bundle_code import modules_for, required_packages
from .exports.bundle_configs import bundle_configs
from .exports.bundle_metadata import bundle_metadata, read_run, seen_by, study_format
from .exports.onnx_file import of_study, write_onnx
from .exports.openvino_file import write_openvino
from .exports.torchscript import load_network, write_torchscript
from .graphs import NEEDED, WELCOME, WHOLE, weights_of_openvino
from .limits import is_expression
from .models import Model, configs_folder, open_model, refuse_export
from .system.causes import root_cause
from .system.files import InputError
from .whole_study import WholeStudy

FORMS: Final = ("bundle", "torchscript", "onnx", "openvino")
"""What a model can be exported to."""


class _Write(Protocol):
    def __call__(
        self, path: Path, network: nn.Module, name: str, metadata: dict[str, Any], inference: dict[str, Any]
    ) -> object:
        """Write the file, whole or not at all."""


WRITERS: Final[dict[str, tuple[str, _Write]]] = {
    "torchscript": ("model.ts", write_torchscript),
    "onnx": ("model.onnx", write_onnx),
    "openvino": ("model.xml", write_openvino),
}
"""For each form that is no folder, an example of its name and what writes it."""

ENDINGS: Final = {".onnx": "onnx", ".xml": "openvino"}
"""Endings that are for one form alone, and that it has to have."""


WITH_ALL: Final = {"onnx": write_onnx, "openvino": write_openvino}
"""Forms that may hold the preparation of a study too."""


def export_model(name: str | Path | None, form: str, output: Path, whole_study: bool = False) -> None:
    """Export a model, whole or not at all.

    Args:
        name: see ``models.open_model``.
        form: one of ``FORMS``.
        output: a new folder for ``bundle``, a new file for the others; for ``openvino`` that of the graph.
        whole_study: the file takes a study as it was stored and gives probabilities, see ``whole_study``.

    Raises:
        InputError: the form is unknown or needs a package that is missing, the model cannot be used, or there
            is something at ``output``.
    """
    _check_form(form)
    if whole_study and form not in WITH_ALL:
        raise InputError(
            f"A file that prepares a study itself is --to {' or --to '.join(WITH_ALL)}, but --to {form} was "
            "asked for; a bundle prepares it anyway, for TorchScript leave --whole-study out."
        )
    if form == "bundle":
        _check_ending(output, form, "bundle")
    refuse_export(name)
    model = open_model(name)
    if form == "bundle":
        write_bundle(model, output)
    else:
        _export_file(model, output, form, whole_study)


def _check_ending(output: Path, form: str, example: str) -> None:
    for ending, only in ENDINGS.items():
        if (output.suffix.lower() == ending) != (form == only):
            raise InputError(
                f"The ending {ending} is for --to {only}, and for nothing else, but --output is {output}; "
                f"take a name such as {example}."
            )


def _export_file(model: Model, output: Path, form: str, whole_study: bool) -> None:
    example, write = WRITERS[form]
    there = [path for path in _files_of(output, form) if path.exists()]
    if there:
        raise InputError(
            f"There is something at {there[0]} already; choose another --output, a file such as {example}."
        )
    _check_ending(output, form, example)
    configs = bundle_configs(model)
    packages = required_packages(modules_for(named_code(configs)))
    run = read_run(model)
    seen = seen_by(model)
    info = bundle_metadata(configs["inference"], packages, run.metrics, seen, run.datalist, run.metadata)
    inference = _worked_out(configs["inference"])
    network, called = load_network(model), inference["network_name"]
    if not whole_study:
        write(output, network, called, info, inference)
        return
    _require_own_preparation(inference)
    shown = {name: inference.get(name, default) for name, default in SHOWN.items()}
    module = WholeStudy(network, inference["size"], **shown).eval()
    info = {**info, "network_data_format": study_format()}
    WITH_ALL[form](output, module, called, info, {**inference, WHOLE: True}, of_study())


def _require_own_preparation(inference: Mapping[str, Any]) -> None:
    """Refuse a graph of a whole study for a model that prepares one in its own way.

    Raises:
        InputError: its transforms are others than those that ``whole_study`` repeats.
    """
    package = ConfigParser.load_config_file(str(configs_folder() / "inference.yaml"))
    own, ours = (_transforms_of(config.get("preprocessing")) for config in (inference, package))
    if own != ours:
        names = ", ".join(str(one.get("_target_")) for one in own or ())
        raise InputError(
            "A graph of a whole study repeats the preparation of the package, but this model has "
            f"{names or 'another'}, or other arguments; leave --whole-study out, or take --to bundle."
        )


def _transforms_of(preparation: Any) -> list[dict[str, Any]] | None:
    """Return the transforms that a config writes down one by one, without arguments that say nothing."""
    listed = preparation.get("transforms") if isinstance(preparation, Mapping) else None
    if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
        return None
    return [
        {name: value for name, value in one.items() if value is not None and value is not False}
        for one in listed
    ]


def _worked_out(inference: Mapping[str, Any]) -> dict[str, Any]:
    """Return an inference config with the numbers that a file holds: they may be expressions.

    Raises:
        InputError: one of them cannot be worked out.
    """
    parser = ConfigParser(deepcopy(dict(inference)))
    try:
        found = {
            name: parser.get_parsed_content(name)
            for name in (*NEEDED, *WELCOME)
            if is_expression(inference.get(name))
        }
    except Exception as error:  # an expression may raise anything
        raise InputError(
            f"A number of the inference config cannot be worked out: {root_cause(error)}"
        ) from error
    return {**inference, **found}


SHOWN: Final[dict[str, Any]] = {"neighbours": 0, "mirror": False, "turn": 0.0, "temperature": 1.0}
"""Ids of an inference config that a graph of a whole study does what they say, and what stands for them."""


def _files_of(output: Path, form: str) -> list[Path]:
    return [output, weights_of_openvino(output)] if form == "openvino" else [output]


def _check_form(form: str) -> None:
    if form in FORMS:
        return
    available = f"available now: {', '.join(FORMS)}"
    raise InputError(f"--to {form} is no form of export; {available}.")
