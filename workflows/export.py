"""The name of a model and a form in, the model in that form out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

from torch import nn

from .bundle import write_bundle
from .bundle_code import modules_for, required_packages
from .bundle_configs import bundle_configs
from .bundle_metadata import bundle_metadata, read_run
from .bundle_names import named_code
from .files import InputError
from .models import Model, open_model, refuse_export
from .onnx_file import write_onnx
from .torchscript import load_network, write_torchscript

FORMS: Final = ("bundle", "torchscript", "onnx")
"""What a model can be exported to."""

PLANNED: Final = {"openvino": "OpenVINO reads the file of --to onnx as it is"}
"""Forms that are not built yet, and what to do until then."""


class _Write(Protocol):
    def __call__(
        self, path: Path, network: nn.Module, name: str, metadata: dict[str, Any], inference: dict[str, Any]
    ) -> object:
        """Write the file, whole or not at all."""


WRITERS: Final[dict[str, tuple[str, _Write]]] = {
    "torchscript": ("model.ts", write_torchscript),
    "onnx": ("model.onnx", write_onnx),
}
"""For each form that is a single file, an example of its name and what writes it."""


def export_model(name: str | Path | None, form: str, output: Path) -> None:
    """Export a model, whole or not at all.

    Args:
        name: see ``models.open_model``.
        form: one of ``FORMS``.
        output: a new folder for ``bundle``, a new file for the others.

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
        _export_file(model, output, *WRITERS[form])


def _export_file(model: Model, output: Path, example: str, write: _Write) -> None:
    if output.exists():
        raise InputError(
            f"There is something at {output} already; choose another --output, a file such as {example}."
        )
    if (output.suffix.lower() == ".onnx") != example.endswith(".onnx"):
        raise InputError(
            f"The ending .onnx is for --to onnx, and for nothing else, but --output is {output}; take a name "
            f"such as {example}."
        )
    configs = bundle_configs(model)
    packages = required_packages(modules_for(named_code(configs)))
    info = bundle_metadata(configs["inference"], packages, read_run(model).metrics)
    inference = configs["inference"]
    write(output, load_network(model), inference["network_name"], info, inference)


def _check_form(form: str) -> None:
    if form in FORMS:
        return
    available = f"available now: {', '.join(FORMS)}"
    if form in PLANNED:
        raise InputError(f"--to {form} is not built yet; {PLANNED[form]}; {available}.")
    raise InputError(f"--to {form} is no form of export; {available}.")
