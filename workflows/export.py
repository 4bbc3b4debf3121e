"""The name of a model and a form in, the model in that form out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

from torch import nn

from .bundle import write_bundle
from .bundle_code import modules_for, required_packages
from .bundle_configs import bundle_configs
from .bundle_metadata import bundle_metadata, read_run, seen_by
from .bundle_names import named_code
from .files import InputError
from .graphs import weights_of_openvino
from .models import Model, open_model, refuse_export
from .onnx_file import write_onnx
from .openvino_file import write_openvino
from .torchscript import load_network, write_torchscript

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


def export_model(name: str | Path | None, form: str, output: Path) -> None:
    """Export a model, whole or not at all.

    Args:
        name: see ``models.open_model``.
        form: one of ``FORMS``.
        output: a new folder for ``bundle``, a new file for the others; for ``openvino`` that of the graph.

    Raises:
        InputError: the form is unknown or needs a package that is missing, the model cannot be used, or there
            is something at ``output``.
    """
    _check_form(form)
    refuse_export(name)
    model = open_model(name)
    if form == "bundle":
        write_bundle(model, output)
    else:
        _export_file(model, output, form, *WRITERS[form])


def _export_file(model: Model, output: Path, form: str, example: str, write: _Write) -> None:
    there = [path for path in _files_of(output, form) if path.exists()]
    if there:
        raise InputError(
            f"There is something at {there[0]} already; choose another --output, a file such as {example}."
        )
    for ending, only in ENDINGS.items():
        if (output.suffix.lower() == ending) != (form == only):
            raise InputError(
                f"The ending {ending} is for --to {only}, and for nothing else, but --output is {output}; "
                f"take a name such as {example}."
            )
    configs = bundle_configs(model)
    packages = required_packages(modules_for(named_code(configs)))
    run = read_run(model)
    info = bundle_metadata(configs["inference"], packages, run.metrics, seen_by(model), run.datalist)
    inference = configs["inference"]
    write(output, load_network(model), inference["network_name"], info, inference)


def _files_of(output: Path, form: str) -> list[Path]:
    return [output, weights_of_openvino(output)] if form == "openvino" else [output]


def _check_form(form: str) -> None:
    if form in FORMS:
        return
    available = f"available now: {', '.join(FORMS)}"
    raise InputError(f"--to {form} is no form of export; {available}.")
