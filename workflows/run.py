"""A data set and a config in, a finished run folder out."""

from __future__ import annotations

import contextlib
import json
import logging
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser, ConfigWorkflow

from ..networks.pretrained import holds_encoder_alone
from .budget import epochs_within
from .bundle_metadata import bundle_metadata, package_metadata
from .checking.findings import format_findings, raise_on_errors
from .checkpoints import checkpoints_in
from .checks import check_data
from .datalist import find_cases, open_data
from .environment import describe_environment
from .evaluate import Evaluation, evaluate_cases, protocol_of, write_evaluation
from .inferers import pick_device
from .leakage.fingerprints import Stamp, stamp
from .leakage.leaks import note_on_changes, warning_of_beginning, without_past
from .leakage.seen import BEFORE, NOBODY_KNOWN, NOT_ALL, history_behind, images_of
from .limits import check_recipe, is_expression
from .models import CROSS_VALIDATION, OF_USE, configs_folder
from .overrides import all_ids, apply_settings, refuse_hash
from .segment import Segmenter
from .splits.datalist_file import cases_of, files_of, hash_files, load_datalist, write_datalist
from .system import files
from .system.causes import not_located, root_cause
from .system.files import InputError, sha256_of
from .system.occupied import only_worker_in
from .tuning import tune_run

logger = logging.getLogger(__name__)

SHARED_IDS = ("network_name", "in_channels", "out_channels", "neighbours", *OF_USE, "network_def")
"""Ids that the inference config of a run takes over from its training config."""

INSIDE: Mapping[str, Any] = {
    "bundle_root": ".",
    "output_dir": "@bundle_root",
    "dataset_dir": "$@bundle_root + '/datalist.json'",
}
"""Places of a run as its own config says them: seen from its folder, so that it may move."""


COMMON = "federation.json"
"""In the run folder of a site of a federation: the hash of common weights that it has kept."""


@dataclass(frozen=True)
class TrainOptions:
    """What a person asks of a training run.

    Attributes:
        data: folder of patients, or a datalist.
        output: the run folder.
        config: a training config, or a file with differences to that of the package; None takes the one of
            the package, or that of the run to resume.
        settings: id -> value.
        resume: go on from the last checkpoint.
        extra_configs: mixins that come after the config.
        minutes: about so long it shall take; None takes the epochs of the config.
    """

    data: Path
    output: Path
    config: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    extra_configs: tuple[Path, ...] = ()
    minutes: float | None = None


class NotBegun(KeyboardInterrupt):
    """A training was interrupted before its settings were written down."""


def train(options: TrainOptions) -> Evaluation:
    """Train as asked, evaluate the best weights on the validation patients, and write the report.

    Returns:
        The evaluation of the validation patients, as written to the run folder.

    Raises:
        InputError: the data, the config or the folder cannot be used; nothing has been computed then.
        NotBegun: it was interrupted before what was asked for was written down.
        KeyboardInterrupt: the run was interrupted; it is saved and can be resumed.
    """
    with contextlib.ExitStack() as stack:
        try:
            datalist = begin(options, stack)
        except KeyboardInterrupt as stop:
            raise NotBegun from stop
        started = time.monotonic()
        try:
            run_workflow(options.output, options.resume)
        finally:
            add_minutes(options.output, (time.monotonic() - started) / 60)
        return finish(options.output, datalist, device_of(_config_of(options.output)))


def begin(options: TrainOptions, stack: contextlib.ExitStack) -> dict[str, Any]:
    """Check what is asked for and write it down; return the datalist.

    Args:
        options: of the run.
        stack: keeps others out of the run folder until it is closed.

    Raises:
        InputError: the data, the config or the folder cannot be used; nothing is written then.
    """
    _check_folder(options)
    parser = read_train_config(options)
    pick_device(device_of(parser.get()))
    goes_on = options.resume and _has_checkpoint(options.output)
    _refuse_site(options)
    if goes_on:  # then the weights are in the checkpoint
        _require_same_network(options.output, parser)
    else:
        check_network(parser)
        check_loss(parser)
    datalist = _checked_datalist(options, parser)
    if options.minutes is not None and not goes_on:
        for name, value in epochs_for(options, datalist).items():
            parser[name] = value
    elif options.minutes is not None:
        logger.warning("The run goes on with the epochs that it has; --minutes is for one that begins.")
    stack.enter_context(only_worker_in(options.output))
    _check_folder(options)  # again: somebody may have finished here meanwhile
    if goes_on:
        stack.enter_context(_configs_kept(options.output))
    return prepare_folder(options, parser, datalist)


def epochs_for(options: TrainOptions, datalist: Mapping[str, Any]) -> dict[str, int]:
    """Measure what the machine does, and choose the epochs that fit into the minutes asked for.

    Returns:
        The settings ``passes``, ``epochs`` and ``val_interval``.

    Raises:
        InputError: one of them is set as well, or the minutes are not above 0.
    """
    minutes = options.minutes or 0.0
    for name in ("epochs", "passes", "val_interval"):
        if name in options.settings:
            raise InputError(
                f"The minutes of a training decide how many epochs it has, but {name} is set to "
                f"{options.settings[name]} as well; leave one of them out."
            )

    def read_config(folder: Path) -> ConfigParser:
        return read_train_config(replace(options, output=folder))

    return epochs_within(minutes, read_config, datalist["training"], datalist["validation"])


def _checked_datalist(options: TrainOptions, parser: ConfigParser) -> dict[str, Any]:
    """Return the datalist of a run, that of one to resume being its own; its files have been read."""
    path = options.output / "datalist.json"
    resumed = options.resume and path.is_file()
    source = path if resumed else options.data
    if resumed:
        _refuse_other_data(options.data, path)
    check_before_training(source, parser.get("resize"), goes_on=resumed)
    datalist = load_datalist(path) if resumed else _open(source, parser)
    if not resumed and source.suffix.lower() == ".json":
        refuse_other_split(datalist["split"], options.settings, source)
    _require_sides(datalist, source)
    return datalist


def _refuse_other_data(data: Path, kept: Path) -> None:
    """Refuse to go on with a run where other data are named than those it has.

    Data that have grown are the same; so are a list of some of them, and a folder where the old one is gone.

    Args:
        data: what a person names now.
        kept: the datalist of the run.

    Raises:
        InputError: a folder, list or table without a file of the run's data.
    """
    own = load_datalist(kept)
    given = data.resolve()
    if not given.exists():
        raise InputError(
            f"There is nothing at {data}; check the path, or name the datalist of the run: {kept}."
        )
    if not (_lies_in(data, own) if given.is_dir() else _shares_files(given, own)):
        raise InputError(
            f"A run goes on with the data that it began with, but {kept.parent} has those of {own['root']}, "
            f"and {data} was named; name its own, or begin a new run in another folder."
        )


def _lies_in(folder: Path, own: Mapping[str, Any]) -> bool:
    """Tell whether a folder holds images of a datalist, or takes the place of a folder that is gone."""
    root = Path(own["root"])
    places = {folder.absolute(), folder.resolve()}
    if not root.is_dir() or places & {root, root.resolve(), *root.parents, *root.resolve().parents}:
        return True
    found = (Path(file) for _, case in cases_of(dict(own)) for file in files_of(case))
    return any(
        one.is_relative_to(place) for file in found for one in (file, file.resolve()) for place in places
    )


def _shares_files(listing: Path, own: Mapping[str, Any]) -> bool:
    """Tell whether a list or table names files of a datalist: in their places, or with their bytes."""
    if listing.suffix.lower() == ".json":
        other, known = load_datalist(listing), _all_images(own)
        images = [images_of(case, other) for _, case in cases_of(other)]
        return any(2 * len(one & known) > len(one) for one in images)  # a blank slice is in many
    named = {Path(file).resolve() for case in find_cases(listing) for file in files_of(case)}
    kept = {Path(file).resolve() for _, case in cases_of(dict(own)) for file in files_of(case)}
    return not named.isdisjoint(kept)


def _all_images(datalist: Mapping[str, Any]) -> set[str]:
    return {digest for _, case in cases_of(dict(datalist)) for digest in images_of(case, datalist)}


def _require_sides(datalist: Mapping[str, Any], source: Path) -> None:
    """Refuse a datalist without anybody to train or to validate, or with one of them without masks.

    Raises:
        InputError: it is such a one.
    """
    for section in ("training", "validation"):
        if not datalist[section]:
            raise InputError(
                f"A training needs patients who train and who validate, but {source} has none under {section}"
                f"; split them: gliomaseg prepare {shlex.quote(str(source))} --output split.json"
            )
        bare = next((case["patient"] for case in datalist[section] if "label" not in case), None)
        if bare is not None:
            raise InputError(
                f"Everybody who trains or validates needs masks, but {bare} in {source} has none; add them, "
                "or leave that patient out of the list."
            )


@contextlib.contextmanager
def _configs_kept(folder: Path) -> Iterator[None]:
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


def _refuse_site(options: TrainOptions) -> None:
    """Refuse to go on with a site of a federation, without the others.

    Raises:
        InputError: it is one.
    """
    kept = options.output / "configs" / "train.json"
    if options.resume and kept.is_file() and _config_of(options.output).get("federation", False):
        raise InputError(
            f"{options.output} is a site of a federation, which does not go on alone; begin a run in another "
            f"folder, from its weights: --pretrained {options.output / 'models' / 'model.pt'}."
        )


def _require_same_network(folder: Path, parser: ConfigParser) -> None:
    """Refuse to go on with another network than the run has.

    Raises:
        InputError: an id of it differs; nothing is written then.
    """
    try:
        kept = json.loads((folder / "configs" / "train.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for name in ("network_name", "in_channels", "out_channels", "neighbours"):
        if name in kept and kept[name] != parser.get(name):
            raise InputError(
                f"A run goes on with the network that it began with, but the one in {folder} has {name} "
                f"{kept[name]!r} and {parser.get(name)!r} was asked for; leave that out, or begin a new run "
                "in another folder."
            )


def read_train_config(options: TrainOptions) -> ConfigParser:
    """Read the config, with the options and settings written into it.

    Raises:
        InputError: no such config, no such id in it, or a number that no run can be made with.
    """
    kept = options.output / "configs" / "train.json"
    config = options.config or (
        kept if options.resume and kept.is_file() else configs_folder() / "train.yaml"
    )
    if not config.is_file():
        raise InputError(
            f"There is no config at {config}; leave --config out to take the one of the package."
        )
    for file in (config, *options.extra_configs):
        _check_config(file)
    parser = ConfigParser()
    base = kept if options.resume and kept.is_file() else configs_folder() / "train.yaml"
    parser.read_config([*map(str, _with_base(config, base)), *map(str, options.extra_configs)])
    _refuse_places(options.settings)
    apply_settings(parser, options.settings, str(config), SHARED_IDS)
    if parser.get("device") == "auto":  # words that only the part of the package understands
        parser["device"] = ConfigParser.load_config_file(str(configs_folder() / "train.yaml"))["device"]
    _refuse_circles(parser)
    check_recipe(parser.get())
    for name, value in (("output_dir", str(options.output)), ("bundle_root", str(options.output))):
        refuse_hash(name, value)
        parser[name] = value
    return parser


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
    """Refuse settings of places, which a run has from the command and writes as seen from its own folder.

    Raises:
        InputError: there is one.
    """
    for name in INSIDE:
        if name in settings:
            said = "DATA" if name == "dataset_dir" else "--output"
            raise InputError(
                f"The {name} of a run is what {said} names, but {name}={settings[name]} was set too; leave "
                f"that out, and give the path as {said}."
            )


def _with_base(config: Path, base: Path) -> list[Path]:
    """Return the files that a config stands for: one of differences comes after that of ``base``.

    Raises:
        InputError: it is neither a training config nor differences to one, or would replace a whole section.
    """
    content = ConfigParser.load_config_file(str(config))
    if "train" in content and "dataset_dir" in content:
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


def check_network(parser: ConfigParser) -> None:
    """Build the config's network once and let it go, so that a wrong name or weights file stops the run here.

    With the heads of deep supervision where the config knows them.

    Raises:
        InputError: the network cannot be built, or the pretrained weights do not fit.
    """
    try:
        trained = "supervised" if "supervised" in parser else "network_def"
        ConfigParser(deepcopy(parser.get())).get_parsed_content(trained)
    except RuntimeError as error:
        raise InputError(root_cause(error)) from error
    except ModuleNotFoundError as error:
        raise InputError(not_located(error)) from error


def check_loss(parser: ConfigParser) -> None:
    """Build the config's loss once and let it go.

    Raises:
        InputError: it cannot be built, for instance since its name is misspelt.
    """
    if "loss" not in parser:
        return
    try:
        ConfigParser(deepcopy(parser.get())).get_parsed_content("loss")
    except (RuntimeError, ModuleNotFoundError) as error:
        raise InputError(
            f"The `loss` of the config cannot be built: {root_cause(error)}. Take the name of a loss of "
            "MONAI, or where a class of your own can be imported from, with arguments that it has."
        ) from error


def prepare_folder(
    options: TrainOptions, parser: ConfigParser, datalist: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Write what the run starts from: datalist, resolved configs and the environment.

    A run that is resumed keeps its datalist, so that no patient changes sides.

    Args:
        options: of the run.
        parser: from ``read_train_config``.
        datalist: of the run, its files having been checked; None finds and checks it.

    Returns:
        The datalist, with absolute paths.
    """
    path = options.output / "datalist.json"
    resumed = options.resume and path.is_file()
    datalist = _checked_datalist(options, parser) if datalist is None else datalist
    goes_on = resumed and _has_checkpoint(options.output)
    datalist = datalist if goes_on else without_past(datalist)
    named = (path if resumed else options.data).suffix == ".json"
    if named and (warning := datalist["split"].get("warning")):  # else it was said
        logger.warning("%s", warning)
    if not goes_on:
        datalist = _with_beginning(datalist, parser.get("pretrained"))
        write_datalist(datalist, path)
    write_configs(options.output, parser)
    files.write_json(options.output / "environment.json", describe_environment())
    return datalist


def _with_beginning(datalist: dict[str, Any], pretrained: Any) -> dict[str, Any]:
    """Return a datalist with whom the weights have seen that the run begins from.

    Where these were trained by somebody who validates or tests here, its split carries a warning.

    Args:
        datalist: of the run.
        pretrained: the id of that name; only a file of weights has a past.
    """
    if not isinstance(pretrained, str | Path) or not Path(pretrained).is_file():
        return datalist
    history = history_behind(pretrained)
    if not history.seen and not history.unknown:
        if _holds_encoder_alone(pretrained):
            return datalist
        history = replace(history, unknown=NOBODY_KNOWN.format(name=pretrained))
    datalist = {**datalist, BEFORE: history.records(sha256_of(pretrained))}
    if history.unknown:
        logger.warning("The run begins from weights of others: %s", history.unknown)
        datalist[NOT_ALL] = True
    warning = warning_of_beginning(datalist, history)
    if warning is None:
        return datalist
    words = " ".join(filter(None, (datalist["split"].get("warning"), warning)))
    return {**datalist, "split": {**datalist["split"], "warning": words}}


def _holds_encoder_alone(weights: str | Path) -> bool:
    try:
        return holds_encoder_alone(weights)
    except (OSError, ValueError):  # said when they are loaded
        return True


def check_before_training(source: Path, resize: int | None = None, goes_on: bool = False) -> None:
    """Read every file once and refuse to start on an error; warnings are shown.

    Args:
        source: of the data.
        resize: the size that images and masks will be brought to, if any.
        goes_on: a run that has begun keeps its split, even if its sides are now known to share a person.

    Raises:
        InputError: the data has faults; the sentence names the first and the command that lists all.
    """
    report = check_data(source, resize=resize)
    if goes_on:
        forgiven = [
            replace(one, level="warning") if one.code == "both-sides" else one for one in report.findings
        ]
        report = replace(report, findings=tuple(forgiven))
    raise_on_errors(report)
    if report.findings:
        logger.warning("%s", format_findings(report))


def write_configs(folder: Path, parser: ConfigParser) -> None:
    """Make the run folder a bundle: training and inference configs with this run's numbers, and metadata."""
    configs = folder / "configs"
    training = {**deepcopy(parser.get()), **INSIDE}
    files.write_json(configs / "train.json", training)
    inference = ConfigParser.load_config_file(str(configs_folder() / "inference.yaml"))
    inference.update({name: deepcopy(training[name]) for name in SHARED_IDS if name in training})
    inference["network_def"] = {**inference["network_def"]}
    inference["network_def"].pop("pretrained", None)
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
    metadata = bundle_metadata(inference, packages, metrics, datalist=datalist)
    files.write_json(folder / "configs" / "metadata.json", metadata)


def run_workflow(folder: Path, resume: bool = False) -> None:
    """Run the training of a prepared run folder; a checkpoint takes the place of pretrained weights."""
    goes_on = resume and _has_checkpoint(folder)
    workflow = ConfigWorkflow(
        config_file=str(folder / "configs" / "train.json"),
        workflow_type="train",
        bundle_root=str(folder),
        resume=resume,
        **({"pretrained": None} if goes_on else {}),
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def add_minutes(folder: Path, minutes: float) -> None:
    """Add to the minutes that a run has taken, over all its starts, in ``timing.json``."""
    path = folder / "timing.json"
    before = json.loads(path.read_text(encoding="utf-8"))["minutes"] if path.is_file() else 0.0
    files.write_json(path, {"minutes": before + minutes})


def _config_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "configs" / "train.json").read_text(encoding="utf-8")))


def finish(folder: Path, datalist: Mapping[str, Any], device: str = "auto") -> Evaluation:
    """Fit what belongs to the best weights of a run, evaluate them on its validation patients, write all."""
    config = _config_of(folder)
    resize = config.get("resize") is not None
    _tune(folder, datalist["validation"], config, resize, device)
    segmenter = Segmenter.from_name(folder, device)
    split = datalist["split"]
    protocol = protocol_of(segmenter, split["method"], datalist.get("sha256"))
    protocol["section"] = "validation"
    protocol["temperature"] = segmenter.temperature
    fitted = [name for name in ("temperature", "threshold") if config.get(f"fit_{name}", False)]
    root, kept = str(datalist["root"]), datalist["validation"]
    try:
        hashes = hash_files(list(kept), root)
    except OSError as error:
        raise InputError(
            f"The figures of a run are made from its validation patients, but {error.filename} is not there "
            f"({error.strerror}); bring the data back, or put the datalist into the folder where they are."
        ) from error
    changed = note_on_changes(datalist, hashes, folder / "datalist.json")
    protocol["note"] = " ".join(filter(None, (_note(fitted, _chosen_by(folder, config)), changed)))
    evaluation = evaluate_cases(datalist["validation"], segmenter, protocol, resize=resize)
    _warn_of_nothing(evaluation.metrics)
    write_run(folder, evaluation, split)
    return evaluation


def _chosen_by(folder: Path, config: Mapping[str, Any]) -> str:
    """Return who has chosen the weights of a run: its validation patients, nobody, or what is not known."""
    if not config.get("federation", False):
        return "validation"
    mark = folder / COMMON
    common = json.loads(mark.read_text(encoding="utf-8"))["model_sha256"] if mark.is_file() else None
    return "nobody" if common == sha256_of(folder / "models" / "model.pt") else "not known"


def _note(fitted: Sequence[str], chosen_by: str) -> str:
    """Say what the validation patients have decided."""
    words = f"{' and '.join(fitted)} {'was' if len(fitted) == 1 else 'were'} fitted on them" if fitted else ""
    if chosen_by != "validation":
        end = f", and {words}." if words else "."
        what = {
            "nobody": "the weights are common ones that came to it",
            "not known": "the weights may be those that were best on them in a round of its own, and the "
            "figures too good",
        }
        return f"These are validation patients of one site; {what[chosen_by]}{end}"
    end = f", and {words}" if words else ""
    return (
        "These are validation patients: the saved weights are those with the best mean Dice on them"
        f"{end}, so the figures are a little too good."
    )


def _warn_of_nothing(metrics: Mapping[str, Any]) -> None:
    """Tell where the weights that were kept outline nothing, which patients without lesion reward."""
    patients = int(metrics["protocol"]["patients"])
    with_lesion = patients - int(metrics["patients_without_lesion"])
    if with_lesion and metrics["missed_patients"] == with_lesion:
        logger.warning(
            "The saved weights found the lesion of none of the %d validation patients that have one, and %d "
            "without lesion count 1 for that. Train longer, or validate on other patients.",
            with_lesion, patients - with_lesion,
        )  # fmt: skip
    if patients and not with_lesion:
        logger.warning(
            "None of the validation patients (%d) has a lesion, so each counts 1 where nothing is outlined: "
            "their mean Dice says nothing of outlines. Validate on others.",
            patients,
        )


def _tune(
    folder: Path, cases: Sequence[Mapping[str, Any]], config: Mapping[str, Any], resize: bool, device: str
) -> None:
    """Fit temperature and threshold on the validation patients where the config asks for it."""
    temperature, threshold = (config.get(f"fit_{name}", False) for name in ("temperature", "threshold"))
    if temperature or threshold:
        tune_run(folder, cases, threshold=threshold, temperature=temperature, resize=resize, device=device)


def write_run(folder: Path, evaluation: Evaluation, split: Mapping[str, Any]) -> None:
    """Write the results of a run beside its curves, and its headline into the metadata."""
    write_metadata(folder, evaluation.metrics)
    config = folder / "configs" / "train.json"
    write_evaluation(
        folder,
        evaluation,
        title=f"Run {folder.name}",
        split=split,
        config_text=config.read_text(encoding="utf-8"),
        command=f"gliomaseg report {shlex.quote(str(folder))}",
    )


def report_run(folder: Path, device: str = "auto") -> Evaluation:
    """Evaluate a run that has been trained and write its report again.

    Args:
        folder: of the run.
        device: see ``inferers.pick_device``.

    Raises:
        InputError: the folder is not that of a run.
    """
    for name in ("datalist.json", "configs/train.json"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is no run folder: it has no {name}; name the --output of a training.")
    return finish(folder, load_datalist(folder / "datalist.json"), device)


SPLIT_IDS = {
    "split": "method",
    "fold": "fold",
    "institution": "institution",
    "validation_share": "validation",
}
"""Id of the config -> what a datalist says of its split."""


def refuse_other_split(split: Mapping[str, Any], settings: Mapping[str, Any], source: Path) -> None:
    """Refuse the wish for another split than that of a datalist.

    Args:
        split: of the datalist.
        settings: what a person asks for now; what a config holds from another run is no wish.
        source: the datalist, for the message.

    Raises:
        InputError: such as fold 3, where the datalist has fold 0.
    """
    for name, key in SPLIT_IDS.items():
        if name in settings and key in split and settings[name] != split[key]:
            own = "none" if split[key] is None else split[key]
            raise InputError(
                f"A datalist brings its own split, but `{name}` {settings[name]} was asked for and {source} "
                f"has {own}; leave it out, or write the datalist anew with gliomaseg prepare."
            )


def _open(source: Path, parser: ConfigParser) -> dict[str, Any]:
    """Split a data set as the config asks; a datalist brings its own split."""
    return open_data(
        source,
        method=parser.get("split", "patient"),
        validation=parser.get("validation_share", 0.2),
        fold=parser.get("fold", 0),
        institution=parser.get("institution"),
        seed=parser.get("seed", 0),
    )


def _check_folder(options: TrainOptions) -> None:
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


def _has_checkpoint(run: Path) -> bool:
    """Tell whether a run has weights to go on from: it may have been stopped in its first epoch."""
    return bool(checkpoints_in(run / "checkpoints"))


def device_of(config: Mapping[str, Any]) -> str:
    """Return the device that a config asks for, by name."""
    device = config.get("device")
    if isinstance(device, Mapping):
        return str(device.get("name", "auto"))
    return "auto" if device is None or is_expression(device) else str(device)
