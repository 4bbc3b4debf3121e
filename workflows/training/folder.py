"""What a run keeps in its folder: written at its start and at its end, and asked before it goes on there."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from monai.bundle import ConfigParser

from ..checkpoints import checkpoints_in
from ..exports.bundle_metadata import bundle_metadata, read_known
from ..exports.training_data import package_metadata
from ..leakage.leaks import without_past
from ..models import CLEANUP, CROSS_VALIDATION, SHARED_IDS, configs_folder
from ..overrides import references_in
from ..resuming.fingerprints import Stamp, stamp
from ..splits.datalist_file import write_datalist
from ..system import files
from ..system.environment import describe_environment
from ..system.files import InputError
from .asked import keep_asked
from .config import INSIDE
from .data import checked_datalist, with_beginning
from .options import TrainOptions

logger = logging.getLogger(__name__)


KEPT: Final = {
    **dict.fromkeys(
        ("network_name", "in_channels", "out_channels", "neighbours"), "network that it began with"
    ),
    **dict.fromkeys(("size", "threshold", "mirror", "turn", *CLEANUP), "measure that chose its weights"),
}
"""Id that a run goes on with -> what it stands for."""

OUR_SCHEDULE: Final = "gliomaseg.workflows.schedule.WarmupCosine"
"""The schedule that takes another learning rate in the midst of a run."""


def check_folder(options: TrainOptions) -> None:
    """Refuse to write over a run, or to resume what is not there."""
    if (options.output / CROSS_VALIDATION).is_file():
        raise InputError(
            f"{options.output} holds a cross-validation, whose runs are in folders of it; choose another "
            "--output."
        )
    has_run = (options.output / "checkpoints").is_dir()
    if has_run and not options.resume:
        raise InputError(
            f"{options.output} already holds a run; add --resume to go on with it, "
            "or choose another --output."
        )
    if options.output.is_file():
        raise InputError(f"{options.output} is a file; --output names the folder of the run.")


def refuse_site(options: TrainOptions) -> None:
    """Refuse to go on with a site of a federation, without the others.

    Raises:
        InputError: it is one.
    """
    kept = options.output / "configs" / "train.json"
    if options.resume and kept.is_file() and config_of(options.output).get("federation", False):
        raise InputError(
            f"{options.output} is a site of a federation, which does not go on alone; begin a run in another "
            f"folder, from its weights: --pretrained {options.output / 'models' / 'model.pt'}."
        )


def require_what_is_kept(folder: Path, parser: ConfigParser) -> None:
    """Refuse to go on with another network than a run has, or with another measure that chooses its weights.

    So are other learning rates, where the schedule would take its own from the checkpoint.

    Raises:
        InputError: an id of them differs; nothing is written then.
    """
    try:
        kept = json.loads((folder / "configs" / "train.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    what = dict(KEPT)
    schedule = kept.get("lr_scheduler")
    kind = schedule.get("_target_") if isinstance(schedule, Mapping) else schedule
    if kind != OUR_SCHEDULE:  # the others bring their rates from the checkpoint
        what["learning_rate"] = f"rates of its {kind}"
    for name in what:
        if name in kept and kept[name] != parser.get(name):
            raise InputError(
                f"A run goes on with the {what[name]}, but the one in {folder} has {name} {kept[name]!r} and "
                f"{parser.get(name)!r} was asked for; leave that out, or begin a new run in another folder."
            )


def has_checkpoint(run: Path) -> bool:
    """Tell whether a run has weights to go on from: it may have been stopped in its first epoch."""
    return bool(checkpoints_in(run / "checkpoints"))


@contextlib.contextmanager
def configs_kept(folder: Path) -> Iterator[None]:
    """Put the configs of a run back, if it is refused before it has gone on from its checkpoint."""
    before = {path: path.read_bytes() for path in (folder / "configs").glob("*.json")}
    saved = _stamps_of_checkpoints(folder)
    try:
        yield
    except Exception:
        if _stamps_of_checkpoints(folder) == saved:
            for path, content in before.items():
                files.write_text(path, content.decode())
        raise


def _stamps_of_checkpoints(folder: Path) -> set[Stamp]:
    return {stamp(path) for path in checkpoints_in(folder / "checkpoints")}


def prepare_folder(
    options: TrainOptions, parser: ConfigParser, datalist: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Write what the run starts from: datalist, resolved configs and the environment.

    A run that is resumed keeps its datalist, so that no patient changes sides.

    Args:
        options: of the run.
        parser: from ``config.read_train_config``.
        datalist: of the run, its files having been checked; None finds and checks it.

    Returns:
        The datalist, with absolute paths.
    """
    path = options.output / "datalist.json"
    resumed = options.resume and path.is_file()
    datalist = checked_datalist(options, parser) if datalist is None else datalist
    goes_on = resumed and has_checkpoint(options.output)
    datalist = datalist if goes_on else without_past(datalist)
    named = (path if resumed else options.data).suffix == ".json"
    if named and (warning := datalist["split"].get("warning")):  # else it was said
        logger.warning("%s", warning)
    if not goes_on:
        datalist = with_beginning(datalist, parser.get("pretrained"))
        write_datalist(datalist, path)
        (options.output / "configs" / "metadata.json").unlink(missing_ok=True)  # of other data
        keep_asked(options.output, options.config)
    write_configs(options.output, parser)
    files.write_json(options.output / "environment.json", describe_environment())
    return datalist


def write_configs(folder: Path, parser: ConfigParser) -> None:
    """Make the run folder a bundle: training and inference configs with this run's numbers, and metadata."""
    configs = folder / "configs"
    training = {**deepcopy(parser.get()), **INSIDE}
    files.write_json(configs / "train.json", training)
    inference = ConfigParser.load_config_file(str(configs_folder() / "inference.yaml"))
    inference.update({name: deepcopy(training[name]) for name in SHARED_IDS if name in training})
    inference["network_def"] = {**inference["network_def"]}
    inference["network_def"].pop("pretrained", None)
    while missing := (references_in(inference) & set(training)) - set(inference):  # ids of somebody's own
        inference.update({name: deepcopy(training[name]) for name in sorted(missing)})
    files.write_json(configs / "inference.json", inference)
    logging_config = (configs_folder() / "logging.conf").read_text(encoding="utf-8")
    files.write_text(configs / "logging.conf", logging_config)
    write_metadata(folder, {})


def write_metadata(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write the bundle's metadata of a run: its network, channels, versions and, once known, figures."""
    path = folder / "configs" / "inference.json"
    inference = json.loads(path.read_text(encoding="utf-8"))
    packages = package_metadata()["required_packages_version"]
    listed = folder / "datalist.json"
    datalist = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else None
    written = folder / "configs" / "metadata.json"
    before, others = read_known(written), bool(config_of(folder).get("federation", False))
    metadata = bundle_metadata(inference, packages, metrics, datalist=datalist, before=before, others=others)
    files.write_json(written, metadata)


def add_minutes(folder: Path, minutes: float) -> None:
    """Add to the minutes that a run has taken, over all its starts, in ``timing.json``."""
    path = folder / "timing.json"
    before = json.loads(path.read_text(encoding="utf-8"))["minutes"] if path.is_file() else 0.0
    files.write_json(path, {"minutes": before + minutes})


def config_of(folder: Path) -> dict[str, Any]:
    """Return the training config that a run keeps."""
    return dict(json.loads((folder / "configs" / "train.json").read_text(encoding="utf-8")))
