"""Measure what institutions win by training together without showing each other their scans.

    python -m benchmarks.federated fold1 --data DATA --runs RUNS
    python -m benchmarks.federated page

The training patients of a fold of `benchmarks.quality` are dealt to their institutions, and trained three
times over, for as many passes each and from the same start: all in one place; together, weights being
averaged after every pass (`gliomaseg.workflows.federation`); and each institution on its own. Nobody chooses
anything: the last weights are taken, at threshold 0.5. What is trained is kept, and an interrupted call goes
on with what is missing. Figures go to benchmarks/results/federated/, and from there to
docs/how-to/federated.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from gliomaseg.transforms import keys
from gliomaseg.workflows.evaluate import evaluate_cases
from gliomaseg.workflows.evaluation.comparison import difference_of
from gliomaseg.workflows.federation import Site, federate, open_site
from gliomaseg.workflows.folders.slices import person_of
from gliomaseg.workflows.overrides import parse_setting
from gliomaseg.workflows.run import TrainOptions
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.splits.datalist_file import write_datalist
from gliomaseg.workflows.summary import bootstrap_interval
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment
from gliomaseg.workflows.system.files import InputError

from .marks import between
from .quality.cells import commit
from .quality.dataset import Data, open_dataset
from .quality.lock import PATH as LOCK
from .quality.lock import read_lock
from .quality.page import table
from .quality.protocols import FOLD_NAMES, Split, split_for
from .quality.rows import BOOTSTRAP

FORMAT: Final = "gliomaseg-federated/1"
RESULTS: Final = Path(__file__).resolve().parent / "results" / "federated"
PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "federated.md"
BEGIN, END = "<!-- federated:begin -->", "<!-- federated:end -->"

FEWEST: Final = 3
"""Training patients below which an institution is left out, of all three trainings."""

SETTINGS: Final[Mapping[str, Any]] = {
    "network_name": "efficientnet_lite0_unet",
    "pretrained": "imagenet",
    "size": 192,
    "batch_cases": 4,
    "learning_rate": 4.0e-4,
    "train::augmentation::flair_alone": 0.5,
}
"""The recipe `imagenet-25` of the quality table, but for its budget."""

ONE_PLACE, TOGETHER, ALONE, OWN = "one place", "together", "alone", "own"
WORDS: Final = {
    ONE_PLACE: "all scans in one place",
    TOGETHER: "together, weights only",
    OWN: "each alone, every patient by their own institution's network",
}


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        protocol: a fold.
        rounds: passes over the draws, and how often weights are averaged.
        settings: ids of the training config.
    """

    protocol: str
    rounds: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Institution:
    """Patients of one institution, or of all.

    Attributes:
        training: records that train.
        validation: records that a run needs, and that decide nothing here.
    """

    training: tuple[dict[str, Any], ...]
    validation: tuple[dict[str, Any], ...]


def institutions_of(data: Data, split: Split) -> dict[str, Institution]:
    """Deal the patients who train and who validate to their institutions; small ones are left out.

    An institution without anybody to validate gives the first of its training patients.
    """
    site_of = institution_of_each(data)
    found = {}
    for site in sorted(set(site_of.values())):
        training, validation = (
            tuple(case for case in cases if site_of[case[keys.PATIENT]] == site)
            for cases in (split.training, split.validation)
        )
        if not validation:
            training, validation = training[1:], training[:1]
        if len(training) >= FEWEST:
            found[site] = Institution(training, validation)
    return found


def institution_of_each(data: Data) -> dict[str, str]:
    """Return the institution of every patient."""
    return {name: person.institution for person in data.persons() for name in person.patients}


def all_of(sites: Mapping[str, Institution]) -> Institution:
    """Return the patients of all institutions as if they were of one."""
    return Institution(
        tuple(case for site in sites.values() for case in site.training),
        tuple(case for site in sites.values() for case in site.validation),
    )


def measure(plan: Plan, data: Data, split: Split, runs: Path) -> dict[str, Any]:
    """Train what is not trained yet, test all, and return the figures.

    Args:
        plan: what is trained.
        data: the data set.
        split: of the protocol.
        runs: folder that keeps what is trained.
    """
    sites = institutions_of(data, split)
    arms = {ONE_PLACE: {"all": all_of(sites)}, TOGETHER: sites}
    arms |= {f"{ALONE} {name}": {name: site} for name, site in sites.items()}
    site_of = institution_of_each(data)
    tested = [case for case in split.test if site_of[case[keys.PATIENT]] in sites]
    found = {}
    for name, parts in arms.items():
        kept = runs / plan.protocol / name.replace(" ", "-") / "arm.json"
        made_as = {**asdict(plan), "data_sha256": data.sha256, "patients": _names_of(parts)}
        before = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        if before.get("made_as") != made_as:
            shutil.rmtree(kept.parent, ignore_errors=True)  # of another plan, or interrupted
            before = {"made_as": made_as, **train_and_test(plan, data, parts, tested, kept.parent)}
            files.write_json(kept, before)
        found[name] = {key: before[key] for key in ("steps", "dice_per_patient")}
        print(f"{plan.protocol}, {name}: {mean_of(found[name]['dice_per_patient']):.3f}", flush=True)
    return {
        "format": FORMAT,
        "protocol": plan.protocol,
        "rounds": plan.rounds,
        "settings": dict(plan.settings),
        "training_patients": {name: len(site.training) for name, site in sites.items()},
        "institution_of": {case[keys.PATIENT]: site_of[case[keys.PATIENT]] for case in tested},
        "arms": found,
        "machine": describe_environment(),
        "commit": commit(),
    }


def _names_of(parts: Mapping[str, Institution]) -> dict[str, list[str]]:
    return {name: [str(case[keys.PATIENT]) for case in site.training] for name, site in parts.items()}


def train_and_test(
    plan: Plan,
    data: Data,
    parts: Mapping[str, Institution],
    tested: Sequence[Mapping[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Train some institutions together, and return steps and the Dice of each tested patient."""
    with contextlib.ExitStack() as stack:
        sites = [_open(stack, plan, data, name, site, folder / name) for name, site in parts.items()]
        steps = {site.name: site.steps * plan.rounds for site in sites}
        weights = federate(sites, plan.rounds)
        first = sites[0].folder
        sites[0].keep(weights)
    evaluation = evaluate_cases(tested, Segmenter.from_name(first), {"split": "file"})
    dices = {case.patient: round(case.dice, 6) for case in evaluation.figures}
    return {"steps": steps, "dice_per_patient": dices}


def _open(
    stack: contextlib.ExitStack, plan: Plan, data: Data, name: str, site: Institution, folder: Path
) -> Site:
    sections = {"training": site.training, "validation": site.validation, "test": ()}
    path = folder.parent / f"{folder.name}.json"
    split = {"method": "file", "says": f"Patients of {name}; those who validate decide nothing."}
    write_datalist(data.datalist(sections, split), path)
    return stack.enter_context(
        open_site(name, TrainOptions(path, folder, settings=plan.settings), plan.rounds)
    )


def by_their_own(cell: Mapping[str, Any]) -> dict[str, float]:
    """Return the Dice of every patient by the network that their own institution trained alone."""
    return {
        patient: cell["arms"][f"{ALONE} {site}"]["dice_per_patient"][patient]
        for patient, site in cell["institution_of"].items()
    }


def mean_of(dices: Mapping[str, float]) -> float:
    """Return the mean over patients."""
    return sum(dices.values()) / len(dices)


def read_cells(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return what has been measured, by protocol."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def pooled(cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the Dice of the patients of all protocols: of each way to train, and of each network alone."""
    found: dict[str, dict[str, float]] = {}
    for cell in cells:
        dices = {name: arm["dice_per_patient"] for name, arm in cell["arms"].items()}
        for name, own in {
            ONE_PLACE: dices.pop(ONE_PLACE),
            TOGETHER: dices.pop(TOGETHER),
            OWN: by_their_own(cell),
            **dices,
        }.items():
            found.setdefault(name, {}).update(own)
    return found


def part(cells: Sequence[Mapping[str, Any]]) -> str:
    """Return what stands between the marks of the page."""
    if not cells:
        return "No figures yet."
    found = pooled(cells)
    base = found[TOGETHER]
    lines = []
    for way, dices in found.items():
        low, high = bootstrap_interval([dices[name] for name in sorted(dices)], BOOTSTRAP, 0)
        spread = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
        lines.append(
            (
                WORDS.get(way) or f"{way.removeprefix(ALONE).strip()} alone, on all of them",
                str(len(dices)),
                f"{mean_of(dices):.3f}{spread}",
                "" if way == TOGETHER else _less(base, dices),
            )
        )
    first = cells[0]
    trained = "; ".join(
        f"{cell['protocol']}: "
        + ", ".join(f"{site} {count}" for site, count in cell["training_patients"].items())
        for cell in cells
    )
    words = (
        f"`{first['settings']['network_name']}`, {first['rounds']} rounds of one pass over the draws; "
        f"{len(base)} patients of {', '.join(cell['protocol'] for cell in cells)} of the LGG data, who "
        f"neither trained nor chose. Patients who trained: {trained}. Mean over patients of the "
        "volume Dice, without flips and clean-up. Not for diagnosis."
    )
    head = (
        "Training",
        "patients tested",
        "mean Dice (95 % interval)",
        "together less this (95 % interval), better, worse, p (Wilcoxon)",
    )
    return "\n".join([words, "", *table(lines, head)])


def _less(base: Mapping[str, float], other: Mapping[str, float]) -> str:
    names = sorted(other)
    found = difference_of(
        [other[name] for name in names],
        [base[name] for name in names],
        persons=[person_of(name) for name in names],
    )
    low, high = found["ci95"]
    spread = "" if low is None else f" ({low:+.3f} to {high:+.3f})"
    count = f"{found['better']}, {found['worse']}, p = {found['wilcoxon_p']:.2g}"
    return f"{found['mean_difference']:+.3f}{spread}, {count}"


def write_page(folder: Path = RESULTS, page: Path = PAGE) -> None:
    """Write the table into the page."""
    files.write_text(page, between(page.read_text(encoding="utf-8"), BEGIN, END, part(read_cells(folder))))


def main(words: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    asked = _parser().parse_args(words)
    try:
        if asked.act != "page":
            if asked.data is None:
                raise InputError(f"{asked.act} needs the patients; name their folder with --data.")
            plan = Plan(asked.act, asked.rounds, {**SETTINGS, **dict(map(parse_setting, asked.set))})
            lock = read_lock(asked.lock)
            data = open_dataset(asked.data, asked.runs / "data.json", lock)
            result = measure(plan, data, split_for(plan.protocol, data, lock), asked.runs)
            files.write_json(asked.output / f"{plan.protocol}.json", result)
        if asked.output == RESULTS:
            write_page()
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"Interrupted. {stop} The same command goes on with what is missing.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.federated",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("act", choices=(*FOLD_NAMES, "page"), help="protocol to measure, or page")
    parser.add_argument("--data", type=Path, help="folder of the patients that the lock was drawn from")
    parser.add_argument("--runs", type=Path, default=Path("runs/federated"), help="keeps what is trained")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--set", action="append", default=[], metavar="ID=VALUE", help="as of gliomaseg train"
    )
    parser.add_argument("--lock", type=Path, default=LOCK)
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
