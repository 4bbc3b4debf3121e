"""A finished run and the cell of its last evaluation in, the folder of weights that ship out.

The folder is a bundle: configs, weights in half precision, who was trained on, figures, model card, licence.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
import torch
from monai.bundle import ConfigParser

from gliomaseg.networks import network_names
from gliomaseg.networks.checkpoint import read_state
from gliomaseg.networks.pretrained import IMAGENET, LITE_PACKAGES
from gliomaseg.transforms import keys
from gliomaseg.workflows.confidence import CHECK_BELOW, shifted
from gliomaseg.workflows.exports.training_data import package_metadata
from gliomaseg.workflows.models import SHARED_IDS, configs_folder
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.fitting import nearest_shift

from .cells import ROOT
from .lock import Lock
from .origin import began_with, minutes_before, read_origin, seen_by, taught_by
from .protocols import FOLD_NAMES, LOCKED
from .rows import POOR, CellContent, Row, distance, key_of, marked_in, rows_of

TARGET: Final = ROOT / "models" / "default"
MOST_BYTES: Final = 8_000_000
MOST_PARAMETERS: Final = 4_000_000
LICENCE_NAME: Final = "CC BY-NC-SA 4.0"
ENCODERS: Final = {
    f"{variant}_unet": (
        f"EfficientNet-{variant.rpartition('_')[2].capitalize()} of Google, converted to PyTorch by ML "
        f"Illustrated as the package {package.name} {package.version}, Apache License 2.0"
    )
    for variant, package in LITE_PACKAGES.items()
}
"""Whose ImageNet weights a network began with, where they are not torchvision's."""

OF_THE_RUN: Final = {*SHARED_IDS, "temperature", "confidence_shift"} - {"network_def"}
"""Ids whose values ship as the run has them; the wiring is that of the package."""


def ship(
    run: Path, cell: CellContent, lock: Lock, target: Path = TARGET, cells: Sequence[CellContent] = ()
) -> Path:
    """Write the weights that ship.

    Args:
        run: a finished run of a network of ours.
        cell: what was measured of these very weights on the locked patients.
        lock: nobody locked may have been trained on.
        target: the folder; what is there is replaced.
        cells: those of the same network and recipe on folds 1 to 4 teach the shift of the confidence, since
            whoever trained cannot; without any it is that of the run.

    Raises:
        InputError: the network is too large or a peer's, a locked patient was used, or the cell is that of
            other weights.
    """
    origin = read_origin(run) or {}
    inference = renewed(json.loads((run / "configs" / "inference.json").read_text(encoding="utf-8")))
    state, _ = read_state(run / "models" / "model.pt")
    _check(run, inference, state, cell)
    seen = _seen(run, lock)
    fresh = target.with_name(f".{target.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    teacher = teacher_of(cell, cells)
    if teacher.promised:
        inference["confidence_shift"] = nearest_shift(teacher.promised)
    inference["check_below"] = CHECK_BELOW
    files.write_json(fresh / "configs" / "inference.json", {**inference, **cell["inference"]})
    files.save_tensors(fresh / "models" / "model.pt", halved(state))
    files.write_json(fresh / "datalist.json", _datalist(seen))
    metrics = {**cell["metrics"], "protocol": _protocol(cell, fresh)}
    files.write_json(fresh / "metrics.json", metrics)
    if (run / "environment.json").is_file():
        shutil.copyfile(run / "environment.json", fresh / "environment.json")
    if (run / "timing.json").is_file():
        timing = json.loads((run / "timing.json").read_text(encoding="utf-8"))
        before = minutes_before(origin.get("started_from"), "minutes")
        files.write_json(fresh / "timing.json", {**timing, "minutes": timing.get("minutes", 0.0) + before})
    facts = _facts(inference, cell, seen, _chosen_by(run, seen, lock), bool(taught_by(run)))
    began = began_with(run)
    facts |= judgement(cell, teacher, inference["confidence_shift"])
    facts |= {"mean_of": len(origin.get("mean_of", ()))}
    facts |= {"commit": origin.get("commit", "unknown"), "began_with": _beginning(facts["network"], began)}
    files.write_json(fresh / "configs" / "metadata.json", _metadata(facts))
    files.write_text(fresh / "README.md", model_card(facts))
    files.write_text(fresh / "LICENSE", _licence(facts["network"], began))
    _check_size(fresh / "models" / "model.pt")
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return target


def teacher_of(cell: CellContent, cells: Sequence[CellContent]) -> Row:
    """Return the row of folds 1 to 4 from which weights that ship learn what their confidence is worth."""
    (row,) = rows_of(cells, [key_of(cell)], FOLD_NAMES[1:])
    return row


def judgement(cell: CellContent, teacher: Row, shift: float) -> dict[str, Any]:
    """Return what the model card says of the confidence, moved by ``shift``."""
    row = Row("locked", (cell,), 1)
    expected = [(float(shifted(value, shift)), dice) for value, dice in row.promised]
    learned = teacher.expected(teacher.cells)
    return {
        "limit": CHECK_BELOW,
        "poor": POOR,
        "marked": marked_in(row, expected),
        "teachers": len(teacher.promised),
        "promised_off": distance(row.promised),
        "off": distance(expected),
        "off_folds": None if learned is None else distance(learned),
    }


def renewed(inference: Mapping[str, Any]) -> dict[str, Any]:
    """Return the package's inference config with a run's own numbers in it, as a run of today has it."""
    config = ConfigParser.load_config_file(str(configs_folder() / "inference.yaml"))
    return {**config, **{name: inference[name] for name in OF_THE_RUN if name in inference}}


def halved(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict with its floating-point numbers in half precision.

    Raises:
        InputError: a number is too large for it.
    """
    half = {
        name: value.half() if value.is_floating_point() else value.clone() for name, value in state.items()
    }
    broken = [name for name, value in half.items() if not torch.isfinite(value).all()]
    if broken:
        raise InputError(f"Half precision holds numbers up to 65504, but {broken[0]} has larger ones.")
    return half


def model_card(facts: Mapping[str, Any]) -> str:
    """Return the README of the weights."""
    source = (Path(__file__).resolve().parent / "model_card.md.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(  # Markdown, nothing to escape
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(source).render(facts)


def _check(
    run: Path, inference: Mapping[str, Any], state: Mapping[str, torch.Tensor], cell: Mapping[str, Any]
) -> None:
    name = inference["network_name"]
    if name not in network_names():
        raise InputError(f"Weights that ship are of a network of ours, but {run} has {name!r}.")
    if cell["parameters"] > MOST_PARAMETERS:
        raise InputError(
            f"Weights that ship have at most {MOST_PARAMETERS} parameters, but {name} has "
            f"{cell['parameters']}; ship resnext26_unet_tiny or efficientnet_lite0_unet."
        )
    if cell["protocol"] != LOCKED:
        raise InputError(
            f"The model card tells of the locked patients, but the cell is of {cell['protocol']}; evaluate "
            "the run with `together locked`."
        )
    own = files.sha256_of(run / "models" / "model.pt")
    if cell.get("models") != [own]:
        raise InputError(
            f"The figures on the model card are those of the weights that ship, but {run} has {own[:12]} and "
            f"the cell {[one[:12] for one in cell.get('models', [])]}; evaluate it with `together locked`."
        )


def _check_size(path: Path) -> None:
    if (size := path.stat().st_size) > MOST_BYTES:
        raise InputError(f"Weights that ship have at most {MOST_BYTES} bytes, but these have {size}.")


def _seen(run: Path, lock: Lock) -> dict[str, list[str]]:
    """Return who was trained on, by the student or a teacher, and who chose and was unknown to all."""
    training, validation = seen_by(run, lock)
    taught = taught_by(run)
    lock.refuse(taught, "known to teachers")
    training |= taught
    return {
        "training": sorted(training),
        "validation": sorted(validation - training),
        "locked": list(lock.locked),
    }


def _chosen_by(run: Path, seen: Mapping[str, list[str]], lock: Lock) -> str:
    """Say in the words of the model card who chose the epoch and the temperature."""
    training, validation = seen_by(run, lock)
    if validation <= training:
        return "nobody: everyone trained, to the last epoch; the temperature is that of the run before"
    if seen["validation"]:
        return f"{len(seen['validation'])} others, names in the same file"
    return "patients that its teachers had seen, but not it"


def _datalist(seen: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return a datalist of names alone: enough to warn whoever evaluates the weights on these patients."""
    sections = {name: [{keys.PATIENT: one} for one in seen[name]] for name in ("training", "validation")}
    return {
        "format": "gliomaseg-datalist/1",
        "root": ".",
        "split": {"method": "patient", "seed": None},
        **sections,
        "test": [{keys.PATIENT: one} for one in seen["locked"]],
        "files": {},
        "sha256": None,
    }


def _protocol(cell: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {
        **cell["metrics"]["protocol"],
        "section": "test",
        "size": None,
        "note": "These weights were neither trained nor chosen on them; measured before they were halved.",
        "model_sha256": files.sha256_of(folder / "models" / "model.pt"),
        "data_sha256": None,
    }


def _facts(
    inference: Mapping[str, Any],
    cell: Mapping[str, Any],
    seen: Mapping[str, list[str]],
    chosen_by: str,
    taught: bool,
) -> dict[str, Any]:
    return {
        "network": inference["network_name"],
        "size": cell["inference"].get("size", inference["size"]),
        "threshold": cell["fitted"]["threshold"],
        "temperature": cell["fitted"]["temperature"],
        "parameters": cell["parameters"],
        "gflop": cell["gflop_256"],
        "cell": cell,
        "dice": cell["metrics"]["dice"],
        "trained_on": len(seen["training"]),
        "chosen_by": chosen_by,
        "tested_on": cell["patients"]["test"],
        "times": len(cell.get("earlier", ())) + 1,
        "taught": taught,
        "licence": LICENCE_NAME,
    }


def _metadata(facts: Mapping[str, Any]) -> dict[str, Any]:
    low, high = facts["dice"]["per_patient_ci95"]
    mean = facts["dice"]["per_patient_mean"]
    return {
        **package_metadata(),
        "description": (
            f"{facts['network']}, {facts['parameters'] / 1e6:.1f} million parameters, trained on "
            f"{facts['trained_on']} patients of the LGG data; mean Dice {mean:.3f} ({low:.3f} to "
            f"{high:.3f}) on {facts['tested_on']} others. {facts['licence']}: not for commercial use. "
            "Not for diagnosis."
        ),
        "eval_metrics": {"mean_dice": round(mean, 4)},
    }


def _beginning(network: str, began: str | None) -> str:
    """Say in the words of the model card what training began with."""
    if began is None:
        return "random weights"
    if began == IMAGENET:
        return f"an encoder trained on ImageNet: {ENCODERS.get(network, 'weights of torchvision')}"
    return f"weights from a file, {Path(began).name}"


def _licence(network: str, began: str | None) -> str:
    """Return the licence of the weights, with credit to those whose encoder they began with."""
    text = (Path(__file__).resolve().parent / "weights_licence.txt").read_text(encoding="utf-8")
    if began == IMAGENET:
        encoder = ENCODERS.get(network, "weights of torchvision, BSD 3-Clause License")
        text += f"\nThe encoder began with weights trained on ImageNet:\n\n  {encoder}\n"
    return text
