"""A model in, a bundle out that the Model Zoo would take and that runs where gliomaseg is not installed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...networks import count_parameters
from ..bundle_names import named_code, package_name, rename
from ..leakage.seen import KEY, OF_WEIGHTS
from ..models import Model, configs_folder
from ..system import files
from ..system.files import InputError
from . import bundle_docs
from .bundle_code import modules_for, required_packages, write_code
from .bundle_configs import bundle_configs
from .bundle_metadata import bundle_metadata, read_run, seen_by
from .torchscript import load_network, write_torchscript


def write_bundle(model: Model, output: Path) -> None:
    """Write the bundle of a model into a new folder, whole or not at all.

    Args:
        model: a run, another bundle or weights.
        output: the folder; its name is the bundle's, such as ``glioma_mri_segmentation``.

    Raises:
        InputError: there is something at ``output``, it cannot be written, the weights do not fit, or the
            network cannot be compiled.
    """
    if output.exists():
        raise InputError(
            f"There is something at {output} already; remove it or choose another --output for the bundle."
        )
    with _built_beside(output) as folder:
        _fill(folder, model)


def _fill(folder: Path, model: Model) -> None:
    """Write all files of a bundle into an empty folder."""
    network, run, configs = load_network(model), read_run(model), bundle_configs(model)
    modules = modules_for(named_code(configs))
    info = bundle_metadata(
        configs["inference"],
        required_packages(modules),
        run.metrics,
        seen_by(model),
        run.datalist,
        run.metadata,
    )
    package = package_name(info["version"])
    write_code(folder / package, modules, info["version"])
    for name, config in configs.items():
        files.write_json(folder / "configs" / f"{name}.json", rename(config, package))
    logging_config = (configs_folder() / "logging.conf").read_text(encoding="utf-8")
    files.write_text(folder / "configs" / "logging.conf", logging_config)
    readme = bundle_docs.readme(info, configs, run, package, count_parameters(network))
    files.write_text(folder / "docs" / "README.md", readme)
    files.write_text(folder / "docs" / "data_license.txt", bundle_docs.data_licence(info))
    files.write_text(folder / "LICENSE", bundle_docs.licence())
    # Saved anew: weights of a GPU run stay on the CPU, and wrappers of other programs come off.
    files.save_tensors(folder / "models" / "model.pt", network.state_dict())
    of = {OF_WEIGHTS: files.sha256_of(folder / "models" / "model.pt")} if KEY in info else {}
    files.write_json(folder / "configs" / "metadata.json", {**info, **of})
    inference = rename(configs["inference"], package)
    write_torchscript(folder / "models" / "model.ts", network, inference["network_name"], info, inference)


@contextlib.contextmanager
def _built_beside(output: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``output``, and move it there when the block ends well."""
    temporary = None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".partial-", dir=output.parent))
        folder = temporary / output.name  # inside, because the temporary folder itself is closed to others
        folder.mkdir()
        yield folder
        folder.rename(output)
    except OSError as error:
        raise files.could_not_write(output, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
