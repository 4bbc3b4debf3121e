"""The name of a model and a form in, the model in that form out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .bundle import write_bundle
from .bundle_code import modules_for, required_packages
from .bundle_configs import bundle_configs
from .bundle_metadata import bundle_metadata, read_run
from .bundle_names import named_code
from .files import InputError
from .models import Model, open_model
from .torchscript import load_network, write_torchscript

FORMS: Final = ("bundle", "torchscript")
"""What a model can be exported to."""

PLANNED: Final = ("onnx", "openvino")
"""Forms that are not built yet."""


def export_model(name: str | Path | None, form: str, output: Path) -> None:
    """Export a model, whole or not at all.

    Args:
        name: see ``models.open_model``.
        form: one of ``FORMS``.
        output: a new folder for ``bundle``, a new file for ``torchscript``.

    Raises:
        InputError: the form is unknown, the model cannot be used, or there is something at ``output``.
    """
    _check_form(form)
    model = open_model(name)
    if form == "bundle":
        write_bundle(model, output)
    else:
        _export_torchscript(model, output)


def _export_torchscript(model: Model, output: Path) -> None:
    if output.exists():
        raise InputError(
            f"There is something at {output} already; choose another --output, a file such as model.ts."
        )
    configs = bundle_configs(model)
    packages = required_packages(modules_for(named_code(configs)))
    info = bundle_metadata(configs["inference"], packages, read_run(model).metrics)
    inference = configs["inference"]
    write_torchscript(output, load_network(model), inference["network_name"], info, inference)


def _check_form(form: str) -> None:
    if form in FORMS:
        return
    reason = "is not built yet" if form in PLANNED else "is no form of export"
    raise InputError(f"--to {form} {reason}; available now: {' and '.join(FORMS)}.")
