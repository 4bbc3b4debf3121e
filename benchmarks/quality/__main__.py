"""Fill the table of quality, one cell at a time.

    python -m benchmarks.quality lock --data DATA
    python -m benchmarks.quality list
    python -m benchmarks.quality run fold1:resnext50_unet:base fold1:smp_unet:seed --data DATA --runs RUNS

A cell is named protocol:network:recipe. Cells that are there are skipped; an interrupted one goes on where it
was left when the same command is given again (exit code 130). Two processes may be given the same cells: each
takes what the other does not work on.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from gliomaseg.workflows.overrides import parse_setting
from gliomaseg.workflows.system.files import InputError

from . import cells as table
from . import lock as locking
from . import recipes as cookbook
from .dataset import open_dataset
from .known import measure_known
from .networks import known_networks
from .page import wanted_cells, write_pages
from .protocols import LOCKED, NAMES, split_for
from .runner import BusyError, Place, run_cell
from .several import Together, evaluate_together
from .ship import TARGET, ship
from .soft import soften


def main(words: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    asked = _parser().parse_args(words)
    try:
        return int(asked.act(asked) or 0)
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"Interrupted. {stop} The same command goes on.", file=sys.stderr)
        return 130


def make_lock(asked: argparse.Namespace) -> None:
    """Draw the lock."""
    lock = locking.make_lock(asked.data, asked.lock)
    print(f"Locked {len(lock.locked)} patients; {len(lock.free)} are left in {len(lock.folds)} folds.")
    print(f"Wrote {asked.lock}; commit it before anything of the table is trained.")


def show(asked: argparse.Namespace) -> None:
    """List the cells that are there, and what cells can be made of."""
    for cell in table.read_cells(asked.cells):
        dice = cell["metrics"]["dice"]
        low, high = dice["per_patient_ci95"]
        name = f"{cell['protocol']}:{cell['network']}:{cell['recipe']}"
        spread = "" if low is None else f" ({low:.3f} to {high:.3f})"
        minutes = cell["budget"].get("minutes") or 0
        print(f"{name:<60} {dice['per_patient_mean']:.3f}{spread}  {minutes:.0f} min")
    print(f"protocols: {', '.join(NAMES)}")
    print(f"networks:  {', '.join(known_networks())}")
    print(f"recipes:   {', '.join(cookbook.read_recipes(asked.recipes))}")


def run(asked: argparse.Namespace) -> int:
    """Fill the cells that were named."""
    recipes = cookbook.read_recipes(asked.recipes)
    cells = [table.cell_named(words, recipes) for words in asked.cell]
    place = _place(asked)
    failed = 0
    for cell in cells:
        started = time.perf_counter()
        try:
            path = run_cell(cell, place)
        except BusyError as busy:
            print(f"{cell}: {busy}", flush=True)
        except InputError as error:
            if len(cells) == 1:
                raise
            failed += 1
            print(f"{cell}: Error: {error}", file=sys.stderr, flush=True)
        else:
            done = f"{(time.perf_counter() - started) / 60:.1f} min, {path}" if path else "is there already"
            print(f"{cell}: {done}", flush=True)
    return 2 if failed else 0


def known(asked: argparse.Namespace) -> None:
    """Measure finished cells on the patients who trained them."""
    place = _place(asked)
    for words in asked.cell:
        measured = measure_known(table.cell_named(words, place.recipes), place)
        print(f"{words}: {'measured' if measured else 'is there already'}", flush=True)


def together(asked: argparse.Namespace) -> None:
    """Evaluate finished models together."""
    place = _place(asked)
    what = Together(asked.name, asked.models, dict(map(parse_setting, asked.set)), tuple(asked.fit))
    path = evaluate_together(asked.protocol, what, place, asked.again)
    print(path or "is there already, of the same models")


def make_soft(asked: argparse.Namespace) -> None:
    """Ask teachers about the training patients of a protocol."""
    place = _place(asked)
    cases = split_for(asked.protocol, place.data, place.lock).training
    folder = asked.runs / "soft" / asked.name
    soften(folder, asked.models, cases, place.lock, dict(map(parse_setting, asked.set)), asked.unseen)
    print(f"{len(cases)} patients in {folder}; a recipe with `soft: {asked.name}` learns from them.")


def send(asked: argparse.Namespace) -> None:
    """Write the weights that ship."""
    cell = json.loads(asked.cell.read_text(encoding="utf-8"))
    print(ship(asked.run, cell, locking.read_lock(asked.lock), asked.target, table.read_cells(asked.cells)))


def pages(asked: argparse.Namespace) -> None:
    """Write docs/results.md and the table of the README."""
    for path in write_pages(asked.cells):
        print(path)


def missing(asked: argparse.Namespace) -> None:
    """Name the cells that the pages want and that are not there."""
    there = {
        f"{cell['protocol']}:{cell['network']}:{cell['recipe']}" for cell in table.read_cells(asked.cells)
    }
    print("\n".join(name for name in wanted_cells() if name not in there) or "nothing is missing")


def _place(asked: argparse.Namespace) -> Place:
    torch.set_num_threads(asked.threads)
    lock = locking.read_lock(asked.lock)
    data = open_dataset(asked.data, asked.runs / "data.json", lock)
    return Place(data, lock, asked.runs, asked.cells, cookbook.read_recipes(asked.recipes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lock", type=Path, default=locking.PATH, help="file of the lock")
    parser.add_argument("--cells", type=Path, default=table.FOLDER, help="folder of the cells")
    parser.add_argument("--recipes", type=Path, default=cookbook.PATH, help="file of recipes")
    acts = parser.add_subparsers(required=True, metavar="ACT")
    one = acts.add_parser("lock", help="draw the patients that nothing may be trained on; once")
    one.add_argument("--data", type=Path, required=True)
    one.set_defaults(act=make_lock)
    one = acts.add_parser("list", help="the cells that are there")
    one.set_defaults(act=show)
    one = acts.add_parser("run", help="train and measure cells")
    one.add_argument("cell", nargs="+", help="protocol:network:recipe")
    _working(one)
    one.set_defaults(act=run)
    one = acts.add_parser("known", help="add to filled cells the Dice of the patients who trained them")
    one.add_argument("cell", nargs="+", help="protocol:network:recipe")
    _working(one)
    one.set_defaults(act=known)
    one = acts.add_parser("together", help="evaluate the mean of finished models, or one, on a protocol")
    one.add_argument("protocol", choices=[LOCKED, *NAMES])
    one.add_argument("name", help="stands in the place of the recipe")
    one.add_argument("--fit", nargs="*", default=[], choices=cookbook.FITS)
    one.add_argument("--again", action="store_true", help="evaluate locked patients again, on the record")
    _modelling(one)
    one.set_defaults(act=together)
    one = acts.add_parser("soften", help="write soft labels for a student")
    one.add_argument("name", help="as `soft` of a recipe")
    one.add_argument("--protocol", default="all74", choices=NAMES, help="whose training patients")
    one.add_argument("--unseen", action="store_true", help="ask only teachers that do not know the patient")
    _modelling(one)
    one.set_defaults(act=make_soft)
    one = acts.add_parser("ship", help="write models/default")
    one.add_argument("run", type=Path, help="run folder")
    one.add_argument("--cell", type=Path, required=True, help="of `together locked`, with this run alone")
    one.add_argument("--target", type=Path, default=TARGET)
    one.set_defaults(act=send)
    one = acts.add_parser("page", help="write docs/results.md and the table of the README")
    one.set_defaults(act=pages)
    one = acts.add_parser("missing", help="the cells that the pages want and that are not there")
    one.set_defaults(act=missing)
    return parser


def _modelling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="run folders")
    parser.add_argument("--set", action="append", default=[], help="ID=VALUE of their inference configs")
    _working(parser)


def _working(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of patients with slice files")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the run folders")
    parser.add_argument("--threads", type=int, default=1, help="of this process")


if __name__ == "__main__":
    sys.exit(main())
