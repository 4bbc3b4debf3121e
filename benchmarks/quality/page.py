"""All cells in, docs/results.md and the table of the README out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from benchmarks.marks import between
from gliomaseg.workflows.compare import LIMIT, holm
from gliomaseg.workflows.confidence import CHECK_BELOW
from gliomaseg.workflows.system import files

from .cells import FOLDER, ROOT, read_cells
from .known import KNOWN
from .origin import minutes_before
from .protocols import FOLD_NAMES, INSTITUTION_NAMES, INSTITUTIONS, LOCKED, STRANGER_NAMES
from .rows import AVERAGES, BOOTSTRAP, POOR, CellContent, Row, compare, distance, key_of, marked_in, rows_of

PLAN: Final = Path(__file__).resolve().parent / "page.yaml"
HEAD_OF_PAGE: Final = PLAN.with_name("results_head.md")
PAGE: Final = ROOT / "docs" / "results.md"
README: Final = ROOT / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
MISSING: Final = "not measured"
NO_TEACHER: Final = "nobody to learn from"
OTHER_STEPS: Final = 0.1
"""From this part more or less on, steps of training are told where networks are compared."""

LOW: Final = 0.7
"""Patients under this Dice are counted where models are compared with what they were trained on."""

HEAD: Final = (
    "Network, recipe",
    "Dice: mean over patients (95 % interval)",
    "median",
    "pooled",
    "lesion slices",
    "empty slices as 1",
    "seed's count",
    "patients",
    "parameters (million)",
    "GFLOP",
    "budget, spent (minutes)",
    "slices trained on (thousand)",
    "machine",
    "commit",
)
SHORT: Final = (0, 1, 2, 3, 5, 8, 9, 10, 11)
"""Columns of ``HEAD`` that the README shows."""


def write_pages(folder: Path = FOLDER) -> list[Path]:
    """Write both, and return their paths."""
    cells, plan = read_cells(folder), read_plan()
    files.write_text(PAGE, page(cells, plan))
    files.write_text(README, with_table(README.read_text(encoding="utf-8"), readme_table(cells, plan)))
    return [PAGE, README]


def read_plan(path: Path = PLAN) -> dict[str, Any]:
    """Return what the pages show."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def wanted_cells() -> list[str]:
    """Return the names of the cells that the pages want."""
    plan = read_plan()
    names = [f"{fold}:{row}" for row in plan["rows"] for fold in plan["folds"]]
    names += [f"{plan['leak'][side]}:{plan['leak']['cell']}" for side in ("slice", "patient")]
    left_out = dict.fromkeys([*plan["left_out"], *(name for pair in plan["left_out_pairs"] for name in pair)])
    names += [f"{protocol}:{name}" for name in left_out for protocol in INSTITUTION_NAMES]
    names += [f"{start['protocol']}:{start['network']}:{start['recipe']}" for start in plan["ablations"]]
    return names


def with_table(text: str, table: str) -> str:
    """Return a page with a table between its marks.

    Raises:
        ValueError: the page lacks them.
    """
    return between(text, BEGIN, END, table)


def readme_table(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return the README's table: some rows over the folds, then what was measured on locked patients."""
    rows = rows_of(cells, plan["readme"], plan["folds"])
    lines = [_line([HEAD[column] for column in SHORT]), "|" + "---|" * len(SHORT)]
    for row in rows:
        full = row_cells(row)
        lines.append(_line([full[column] for column in SHORT]))
    (locked,) = rows_of(cells, [plan["short"]["locked"]], [LOCKED])
    if locked.cells:
        full = row_cells(locked)
        name = f"the weights that ship, on {len(locked.dice)} locked patients"
        lines.append(_line([name, *(full[column] for column in SHORT[1:])]))
    whole = [len(row.dice) for row in rows if len(row.cells) == row.wanted]
    words = f"Folds 1 to 4, {max(whole)} patients" if whole else "Folds 1 to 4"
    note = (
        f"{words}, none of whom trained or chose the weights that they test, but which recipes were kept was "
        "asked of all of them together, so the best rows are a little too good; the locked patients chose "
        "nothing. What each recipe is stands in "
        "[docs/results.md](docs/results.md#networks-by-patient-folds-1-to-4), with the paired tests, the "
        "ablation, the leak of a split by slice, and the machine. On one core ten minutes are about a "
        "hundred steps of the peers or fewer, so a low figure there says that a network is slow to train, "
        "not that it is poor. The minutes are those of one fold, validation included. Written by `python -m "
        "benchmarks.quality page`."
    )
    return "\n".join([*lines, "", note])


def page(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return docs/results.md."""
    parts: Sequence[Callable[[Sequence[CellContent], Mapping[str, Any]], str]] = (
        short_part,
        folds_part,
        known_part,
        locked_part,
        peers_part,
        leak_part,
        institutions_part,
        ablation_part,
        confidence_part,
        everything_part,
    )
    head = HEAD_OF_PAGE.read_text(encoding="utf-8").strip()
    return "\n\n".join([head, *(part(cells, plan) for part in parts)]) + "\n"


def short_part(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return the page in a few lines: best recipe, weights that ship, peers; and what was aimed at."""
    short = plan["short"]
    best = rows_of(cells, short["folds"], plan["folds"])
    shipped = rows_of(cells, [short["locked"]], [LOCKED])[0]
    lines = [_in_short(row, "By patient, folds 1 to 4", short["aims"]["folds"]) for row in best]
    lines.append(_in_short(shipped, "The weights that ship, locked patients", short["aims"]["locked"]))
    for row in best:
        if known := _known(row):
            lines.append(
                f"- On the patients who trained them, the models of `{row.name}` reach {np.mean(known):.3f}; "
                f"{np.mean(known) - row.mean:.3f} of that is lost on the way to new patients."
            )
    lines.append(
        "- For scale, on the same data by patient: 0.82 in 22 folds over all 110 patients, and 0.84 between "
        "two expert readers ([sources](concepts/honest-figures.md))."
    )
    ours, *others = rows_of(cells, [plan["ours"], *plan["peers"]], plan["folds"])
    found = [(other, compare(ours.dice, other.dice)) for other in others]
    gaps = [
        f"`{other.name}` {gap['mean_difference']:+.3f} ({gap['patients']} patients, p = {gap['p']:.2g})"
        for other, gap in found
        if gap
    ]
    if gaps:
        lines.append(
            f"- Dice of `{ours.name}` less that of a peer after equal minutes on a CPU: {'; '.join(gaps)}."
        )
    return "\n".join(["## In short", "", *lines])


def _in_short(row: Row, words: str, aim: float) -> str:
    """Return one line: the figure of a row, and whether it is what was aimed at."""
    if len(row.cells) < row.wanted:
        return f"- **{words}:** `{row.name}` is not measured on all of them. The aim is {aim}."
    reached = "reached" if row.mean >= aim else "not reached"
    return (
        f"- **{words}:** `{row.name}`, mean Dice {_mean(row)}, median {row.median:.3f}, {len(row.dice)} "
        f"patients. The aim, {aim}, is {reached}."
    )


def _known(row: Row) -> list[float]:
    """Return the Dice of all patients who trained a row's models; nothing unless all of its cells have it."""
    if len(row.cells) < row.wanted or not all(KNOWN in cell for cell in row.cells):
        return []
    return [dice for cell in row.cells for dice in cell[KNOWN].values()]


def folds_part(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return the table of all networks on the reported folds."""
    rows = rows_of(cells, plan["rows"], plan["folds"])
    lines = table([row_cells(row) for row in rows])
    there = [row.cells[0] for row in rows if row.cells]
    return "\n".join(["## Networks by patient: folds 1 to 4", "", *lines, "", *_recipes(there)])


def _recipes(cells: Sequence[CellContent]) -> list[str]:
    """Return a line on each recipe of some cells, once, and what a mean of models is made of."""
    lines = [
        "What the recipes are ([recipes.yaml](../benchmarks/quality/recipes.yaml) has their ids):",
        "",
    ]
    for cell in cells:
        if cell.get("kind") == "ensemble":
            models = [_code(member.partition(":")[2]) for member in cell["members"]]
            ids = [f"{name}: {json.dumps(value)}" for name, value in cell["inference"].items()]
            more = "".join(f", `{one}`" for one in ids) + "".join(f", {one} fitted" for one in cell["fit"])
            lines.append(f"- `{cell['recipe']}`: the mean probability of {' and '.join(models)}{more}.")
            continue
        start = f", from `{cell['base']}`" if cell["base"] else ""
        lines.append(f"- `{cell['recipe']}`{start}: {cell['changes']}.")
    return list(dict.fromkeys(lines))


def _code(name: str) -> str:
    return f"`{name}`"


def known_part(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return what the models of the folds do on the patients who trained them, beside those who did not."""
    lines = []
    for row in rows_of(cells, plan["rows"], plan["folds"]):
        known = _known(row)
        if not known:
            continue
        mean = float(np.mean(known))
        lines.append(
            (
                f"`{row.name}`",
                *(f"{value:.3f}" for value in (row.mean, mean, mean - row.mean)),
                *(_below(values) for values in (list(row.dice.values()), known)),
            )
        )
    words = (
        "The same models on the patients who trained them, shown as they are, without augmentation; everyone "
        "counts once for each fold trained in. What is missing from 1 there is not for want of patients: the "
        "training was too short, the network is too small, or a lesion fades out where the label does not. "
        "The difference is what was lost on the way to new patients."
    )
    head = (
        "Network, recipe",
        "mean Dice, tested",
        "mean Dice, trained on",
        "difference",
        f"under {LOW}, tested",
        "trained on",
    )
    body = table(lines, head) if lines else ["Not measured."]
    return "\n".join(["## On the patients who trained", "", words, "", *body])


def locked_part(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return the table of what was measured on the locked patients."""
    text = ["## The locked patients", ""]
    found = [cell for cell in cells if cell["protocol"] == LOCKED]
    if not found:
        return "\n".join([*text, "Not measured."])
    rows = [row_cells(Row(key_of(cell), (cell,), 1)) for cell in found]
    again = [
        f"`{key_of(cell)}` was evaluated {len(cell['earlier']) + 1} times."
        for cell in found
        if cell["earlier"]
    ]
    members = [f"`{key_of(cell)}` is the mean of {', '.join(cell['members'])}." for cell in found]
    return "\n".join([*text, *table(rows), "", *members, *again])


def peers_part(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return the comparisons of ours with each peer, and of further pairs."""
    ours, *others = rows_of(cells, [plan["ours"], *plan["peers"]], plan["folds"])
    head = ("patients", "difference of Dice (95 % interval)", "better, worse", "p (Wilcoxon)", "p (Holm)")
    against = _corrected([(f"`{other.name}`", *_compared(ours, other)) for other in others])
    pairs = [rows_of(cells, pair, plan["folds"]) for pair in plan["pairs"]]
    within = _corrected(
        [(f"`{one.name}`", f"`{other.name}`", *_compared(one, other)) for one, other in pairs]
    )
    words = f"`{plan['ours']}` less each peer, patient by patient, on the folds that both have."
    told = (
        f"{LIMIT} More steps alone, with the same recipe on a faster machine, have moved what ships by "
        "0.005 ([decision 18](decisions/0018-lesions-are-made-fainter-in-training.md)), so a p of one pair "
        "is a hint and no proof of what the change did. The last column corrects for the number of pairs "
        "of its table."
    )
    text = ["## Ours and the peers", "", words, "", *table(against, ("Peer", *head)), "", told]
    if within:
        text += [
            "",
            "Further pairs, in the same way:",
            "",
            *table(within, ("This", "less that", *head)),
        ]
    return "\n".join(text)


def _corrected(lines: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the lines of a table whose last column is a p, with one more: the p by Holm's correction."""
    corrected = iter(f"{p:.2g}" for p in holm([float(line[-1]) for line in lines if line[-1]]))
    return [(*line, next(corrected) if line[-1] else "") for line in lines]


def _compared(one: Row, other: Row) -> tuple[str, str, str, str]:
    """Return the columns of a paired comparison."""
    found = compare(one.dice, other.dice)
    if found is None:
        return "", MISSING, "", ""
    fields = (str(found["patients"]), _difference(found), f"{found['better']}, {found['worse']}")
    return (*fields, f"{found['p']:.2g}")


def leak_part(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return the figures of one network on a split by slice and on one by patient."""
    leak = plan["leak"]
    by_slice, by_patient = (rows_of(cells, [leak["cell"]], [leak[side]])[0] for side in ("slice", "patient"))
    text = [
        "## The seed's protocol, and what it leaks",
        "",
        f"`{leak['cell']}`, the same recipe on the same data in the seed's proportions (76 : 10 : 14 of "
        "all), once split by slice and once by patient. By slice, neighbours of nearly every test slice are "
        "in the training set.",
        "",
    ]
    if not (by_slice.cells and by_patient.cells):
        return "\n".join([*text, "Not measured."])
    rows = [
        (
            words,
            *(_number(value(row.cells[0])) for row in (by_slice, by_patient)),
            _gap(value, by_slice, by_patient),
        )
        for words, value in _LEAK_ROWS
    ]
    gap = by_slice.average("pooled") - by_patient.average("pooled")
    seen = by_slice.cells[0]["sees_locked"]
    locked = (
        "The models of this section alone have seen locked patients: they measure the split and are used for "
        "nothing else."
        if seen
        else ""
    )
    same = _same_slices(cells, plan)
    words = f"{gap:+.3f} of pooled Dice"
    number = f"The difference is {words}." if same else f"**The leak in one number: {words}.**"
    lines = table(rows, ("Count", "by slice", "by patient", "difference"))
    end = ["", locked] if locked else []
    return "\n".join([*text, *lines, "", f"{number} {_worth(cells, plan)}", *same, *end])


def _same_slices(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> list[str]:
    """Return the leak on the same slices; nothing unless all of its networks are there."""
    name, protocol = plan["leak"]["same"], plan["leak"]["slice"]
    (known,) = rows_of(cells, [name], [protocol])
    (strangers,) = rows_of(cells, [name], STRANGER_NAMES)
    found = compare(known.dice, strangers.dice)
    if found is None or not known.cells or len(strangers.cells) < strangers.wanted:
        return []
    steps = [known.cells[0]["budget"].get("steps"), _trained(strangers, "steps")]
    trained = f", after {steps[0]:,.0f} and {steps[1]:,.0f} steps" if all(steps) else ""
    return [
        "",
        f"`{name}` on the same test slices of {found['patients']} patients, by a network that has trained on "
        "other slices of them, and by one of five that were trained on the same slices but for those of a "
        f"fifth of the patients, whom they are tested on{trained}. The Dice is that of all test slices of a "
        "patient together.",
        "",
        *table(
            [
                (
                    _mean(known),
                    _mean(strangers),
                    _difference(found),
                    f"{found['better']}, {found['worse']}",
                    f"{found['p']:.2g}",
                )
            ],
            ("patients known", "patients new", "difference", "better, worse", "p (Wilcoxon)"),
        ),
        "",
        f"**The leak in one number: {found['mean_difference']:+.3f} of the mean over patients.** The five "
        "have a fifth fewer patients to learn from, which is a part of it. A patient has few test slices, so "
        "single ones change by much, which makes the interval wide; the rank test counts who does better.",
    ]


def _worth(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return what the two sides of the leak differ in beside it, and how far that alone reaches."""
    leak = plan["leak"]
    sides = [rows_of(cells, [leak["cell"]], [leak[side]])[0] for side in ("slice", "patient")]
    tested = [list(row.dice.values()) for row in sides]
    low, high = _interval_of_gap(*tested)
    steps = [row.cells[0]["budget"].get("steps") for row in sides]
    trained = f", after {steps[0]:,} and {steps[1]:,} steps" if all(steps) else ""
    words = (
        f"It cannot be told from chance here: {len(tested[0])} patients are tested by slice and "
        f"{len(tested[1])} by patient, on other slices{trained}. The mean over patients differs by "
        f"{np.mean(tested[0]) - np.mean(tested[1]):+.3f}, with a 95 % interval of {low:+.3f} to {high:+.3f}."
    )
    (held,) = rows_of(cells, [leak["cell"]], FOLD_NAMES)
    if len(held.cells) > 1:
        pooled = [cell["metrics"]["dice"]["pooled"] for cell in held.cells]
        words += (
            f" By patient, on {len(pooled)} folds, the pooled Dice of the same recipe lies between "
            f"{min(pooled):.3f} and {max(pooled):.3f}."
        )
    return words + (
        " The first two rows hold more than a leak: by slice, the slices of several patients share a batch, "
        "and few batches are without lesion; by patient, whole batches are, and one voxel outlined there "
        "makes them 0."
    )


def _interval_of_gap(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the difference of two means, of different patients."""
    draw = np.random.default_rng(0)
    one, other = (
        draw.choice(np.asarray(values), (BOOTSTRAP, len(values))).mean(axis=1) for values in (ours, theirs)
    )
    low, high = np.percentile(one - other, (2.5, 97.5)).tolist()
    return low, high


_LEAK_ROWS: Final[tuple[tuple[str, Callable[[CellContent], float | None]], ...]] = (
    (
        "as the seed printed it: threshold 0.3, batches of 16, divided by one batch too few",
        lambda cell: cell["as_the_seed_printed"],
    ),
    ("seed's count at 0.5, divided rightly", lambda cell: cell["metrics"]["dice"]["seed_protocol"]),
    ("pooled over all voxels", lambda cell: cell["metrics"]["dice"]["pooled"]),
    ("mean over slices with lesion", lambda cell: cell["metrics"]["dice"]["positive_slices"]),
    ("mean over all slices, empty ones as 1", lambda cell: cell["metrics"]["dice"]["slices_empty_as_one"]),
    ("mean over patients", lambda cell: cell["metrics"]["dice"]["per_patient_mean"]),
)


def institutions_part(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return the tables of institutions left out, beside the same patients in the folds."""
    tables = [_left_out(cells, name, plan["folds"]) for name in plan["left_out"]]
    pairs = [_left_out_pair(cells, *pair) for pair in plan["left_out_pairs"]]
    return "\n\n".join(["## Leave one institution out", *tables, *pairs])


def _left_out_pair(cells: Sequence[CellContent], name: str, less: str) -> str:
    """Return the comparison of two rows, by the institution that is left out."""
    protocols = {site: [one] for site, one in zip(INSTITUTIONS, INSTITUTION_NAMES, strict=True)}
    lines = []
    for site, of_site in {**protocols, "all": list(INSTITUTION_NAMES)}.items():
        one, other = _where_both_are(*(rows_of(cells, [row], of_site)[0] for row in (name, less)))
        means = (_mean(one), _mean(other)) if one.cells else ("", "")
        lines.append((site, *means, *_compared(one, other)))
    head = ("Left out", "this", "that", "patients", "difference", "better, worse", "p (Wilcoxon)")
    words = f"This, `{name}`, less that, `{less}`, patient by patient, everyone tested from the one left out."
    return "\n".join([words, "", *table(lines, head)])


def _where_both_are(one: Row, other: Row) -> tuple[Row, Row]:
    """Return both with the cells of protocols that both have."""
    both = {cell["protocol"] for cell in one.cells} & {cell["protocol"] for cell in other.cells}
    return (
        replace(one, cells=tuple(cell for cell in one.cells if cell["protocol"] in both)),
        replace(other, cells=tuple(cell for cell in other.cells if cell["protocol"] in both)),
    )


def _left_out(cells: Sequence[CellContent], name: str, held: Sequence[str]) -> str:
    in_folds = rows_of(cells, [name], held)[0]
    folds, left_out = in_folds.dice, rows_of(cells, [name], INSTITUTION_NAMES)[0]
    lines = []
    for site, protocol in zip(INSTITUTIONS, INSTITUTION_NAMES, strict=True):
        row = rows_of(cells, [name], [protocol])[0]
        if not row.cells:
            lines.append((site, MISSING, "", "", ""))
            continue
        found = compare(row.dice, folds)
        inside = "" if found is None else f"{_difference(found)}, {found['patients']} patients"
        lines.append((site, str(len(row.dice)), _mean(row), f"{row.median:.3f}", inside))
    head = (
        "Left out",
        "patients",
        "mean Dice (95 % interval)",
        "median",
        "less the same patients in folds 1 to 4",
    )
    words = f"`{name}`, trained on all other institutions, tested on everyone from the one left out."
    told = _of_other_steps(left_out, in_folds) + _of_other_patients(left_out, in_folds)
    return "\n".join([words + told, "", *table(lines, head)])


def _of_other_patients(here: Row, there: Row) -> str:
    """Say how many patients have trained, which changes what a network knows as well."""
    if not (here.cells and there.cells):
        return ""
    trained = {
        cell["protocol"].removeprefix("institution-"): cell["patients"]["training"] for cell in here.cells
    }
    counts = ", ".join(f"{number} without {site}" for site, number in trained.items())
    folds = sorted({cell["patients"]["training"] for cell in there.cells})
    words = f"{folds[0]}" if len(folds) == 1 else f"{folds[0]} to {folds[-1]}"
    return (
        f" Patients who trained: {counts}; {words} in the folds. The last column holds that difference too."
    )


def _of_other_steps(here: Row, there: Row) -> str:
    """Say so where networks that are compared were trained for other numbers of steps."""
    mine, theirs = _trained(here, "steps"), _trained(there, "steps")
    if mine is None or theirs is None or abs(mine / theirs - 1) < OTHER_STEPS:
        return ""
    return (
        f" These networks were trained for {mine / theirs:.1f} times the steps of those of the folds, on a "
        "machine of another speed, so the last column says something of that too."
    )


def _trained(row: Row, what: str) -> float | None:
    """Return the mean over cells of all ``steps`` or ``slices`` behind a network; None if one tells none."""
    totals = []
    for cell in row.cells:
        counts, before = [cell["budget"].get(what)], cell.get("started_from")
        while before:
            counts.append(before.get(what))
            before = before.get("started_from")
        if not all(counts):
            return None
        totals.append(sum(counts))
    return float(np.mean(totals)) if totals else None


def ablation_part(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return the effect of each change on fold 0, a table for each network."""
    tables = [_ablation(cells, start) for start in plan["ablations"]]
    return "\n\n".join(["## One change at a time: fold 0", *tables])


def _ablation(cells: Sequence[CellContent], start: Mapping[str, str]) -> str:
    there = {
        cell["recipe"]: cell
        for cell in cells
        if (cell["protocol"], cell["network"]) == (start["protocol"], start["network"])
    }
    if start["recipe"] not in there:
        return f"`{start['network']}:{start['recipe']}`: not measured."
    lines = []
    for name, cell in there.items():
        mean = f"{cell['metrics']['dice']['per_patient_mean']:.3f}"
        if name == start["recipe"]:
            lines.insert(0, (f"`{name}`", cell["changes"], mean, "", "", _minutes(cell)))
            continue
        base = cell["base"] or start["recipe"]
        found = compare(cell["dice_per_patient"], there[base]["dice_per_patient"]) if base in there else None
        change = MISSING if found is None else _difference(found)
        lines.append((f"`{name}`", cell["changes"], mean, f"`{base}`", change, _minutes(cell)))
    head = (
        "Recipe",
        "What is different",
        "mean Dice",
        "from",
        "change (95 % interval)",
        "budget, spent (minutes)",
    )
    count = len(there[start["recipe"]]["dice_per_patient"])
    words = (
        f"`{start['network']}` on the {count} patients of fold 0. With so few, changes of a hundredth are "
        "noise; the interval, too narrow for so few, says so in part."
    )
    return "\n".join([words, "", *table(lines, head)])


def confidence_part(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return calibration and the worth of the confidence."""
    rows = [(row, row.cells) for row in rows_of(cells, plan["rows"], plan["folds"]) if row.cells]
    for cell in (one for one in cells if one["protocol"] == LOCKED):
        (teacher,) = rows_of(cells, [key_of(cell)], plan["folds"])
        rows.append((Row(f"locked {key_of(cell)}", (cell,), 1), teacher.cells))
    lines = [
        (
            f"`{row.name}`",
            *(_error(row, when, "average_calibration_error", 3) for when in ("before", "after")),
            *(_error(row, when, "expected_calibration_error", 4) for when in ("before", "after")),
            ", ".join(f"{cell['fitted']['temperature']:.2f}" for cell in row.cells),
            MISSING if row.spearman is None else f"{row.spearman:.2f}",
            *_judged(row, row.expected(teachers)),
        )
        for row, teachers in rows
    ]
    head = (
        "Network, recipe",
        "average error before",
        "after",
        "expected error before",
        "after",
        "temperatures",
        "Spearman of promise and Dice",
        "distance of promise and Dice",
        "of fitted confidence and Dice",
        f"confidence under {CHECK_BELOW}",
        f"of those with Dice under {POOR}",
    )
    words = (
        "Errors of the probabilities before and after the temperature, fitted on the inner validation by the "
        "likelihood of all its voxels; the fold is new to it. The expected error weighs voxels alike and is "
        "small because most are air; the average error weighs the 20 bins alike. The probabilities promise a "
        "Dice, which ranks patients well and is too high. The confidence is that promise with one number "
        "added to its logit, fitted so that it comes nearest to the Dice of patients (`confidence_shift`): "
        "here, for each fold, those of the other folds with the same recipe, and for the locked patients "
        "those of folds 1 to 4. The distance is a mean over patients. Where nothing is outlined there is no "
        "promise, so these patients are left out of it and of the fit, and marked; in cells that do not tell "
        "who they are, that is everybody with a Dice of 0. Studies under "
        f"`check_below`, {CHECK_BELOW}, are marked to be checked by hand; the last columns say how many "
        f"patients that are, and how many of those whose Dice is under {POOR} are among them."
    )
    body = table(lines, head) if lines else ["Not measured."]
    return "\n".join(["## Confidence", "", words, "", *body])


def _error(row: Row, when: str, name: str, digits: int) -> str:
    """Return a calibration error; members of an ensemble bring their temperatures, so it has no before."""
    if when == "before" and row.cells[0].get("kind") == "ensemble":
        return ""
    return f"{row.error(when, name):.{digits}f}"


def _judged(row: Row, expected: Sequence[tuple[float, float]] | None) -> tuple[str, str, str, str]:
    """Return how far a promise is off, how far what is made of it, and whom that marks."""
    promised = _off(row.promised)
    if expected is None:
        return promised, NO_TEACHER, NO_TEACHER, NO_TEACHER
    found = marked_in(row, expected)
    words = f"{found.marked} of {found.everyone}", f"{found.found} of {found.poor}"
    return (promised, _off(expected), *words)


def _off(pairs: Sequence[tuple[float, float]]) -> str:
    off = distance(pairs)
    return MISSING if off is None else f"{off:.3f}"


def everything_part(cells: Sequence[CellContent], plan: Mapping[str, Any]) -> str:
    """Return every cell there is, each in a line."""
    lines = [
        (
            f"`{cell['protocol']}:{key_of(cell)}`",
            f"{cell['metrics']['dice']['per_patient_mean']:.3f}",
            str(len(cell["dice_per_patient"])),
            _minutes(cell),
            f"`{cell['commit']}`",
        )
        for cell in cells
    ]
    head = ("Cell", "mean Dice", "patients", "budget, spent (minutes)", "commit")
    body = table(lines, head) if lines else ["None yet."]
    note = ["", "Cells of `all74` were tested on the patients who chose their epoch."]
    trained_on_test = [
        f"`{cell['protocol']}:{key_of(cell)}`"
        for cell in cells
        if cell.get("everyone") and cell["chosen_on_test"]
    ]
    if trained_on_test:
        note.append(f"Those who were tested trained {', '.join(trained_on_test)} too: no figures at all.")
    return "\n".join(["## Every cell", "", *body, *(note if lines else [])])


def row_cells(row: Row) -> tuple[str, ...]:
    """Return the columns of ``HEAD`` for a row."""
    name = f"`{row.name}`"
    if not row.cells:
        return (name, MISSING, *[""] * (len(HEAD) - 2))
    cell = row.cells[0]
    part = "" if len(row.cells) == row.wanted else f" ({len(row.cells)} of {row.wanted} folds)"
    return (
        name,
        _mean(row, bold=True) + part,
        f"{row.median:.3f}",
        *(f"{row.average(average):.3f}" for average in AVERAGES),
        str(len(row.dice)),
        f"{cell['parameters'] / 1e6:.1f}",
        f"{cell['gflop_256']:.1f}",
        _minutes(cell),
        _slices(row),
        _machine(cell),
        ", ".join(dict.fromkeys(f"`{one['commit']}`" for one in row.cells)),
    )


def table(lines: Sequence[Sequence[str]], head: Sequence[str] = HEAD) -> list[str]:
    """Return a table in Markdown."""
    return [_line(head), "|" + "---|" * len(head), *(_line(line) for line in lines)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _mean(row: Row, *, bold: bool = False) -> str:
    low, high = row.interval
    mark = "**" if bold else ""
    spread = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"{mark}{row.mean:.3f}{mark}{spread}"


def _below(dices: Sequence[float]) -> str:
    share = sum(dice < LOW for dice in dices) / len(dices)
    return f"{share:.0%}"


def _difference(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    spread = "" if low is None else f" ({low:+.3f} to {high:+.3f})"
    return f"{found['mean_difference']:+.3f}{spread}"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _gap(value: Callable[[CellContent], float | None], first: Row, second: Row) -> str:
    one, other = value(first.cells[0]), value(second.cells[0])
    return "" if one is None or other is None else f"{one - other:+.3f}"


def _minutes(cell: CellContent) -> str:
    if cell.get("kind") == "ensemble" and len(cell["members"]) > 1:
        return f"those of its members, {cell['budget']['busy_minutes']:.1f}"
    asked, before = [_asked(cell["budget"])], cell.get("started_from")
    spent = minutes_before({**cell["budget"], "started_from": before})
    while before:
        asked.insert(0, _asked(before))
        before = before.get("started_from")
    return f"{' + '.join(asked)}, {spent:.1f}"


def _slices(row: Row) -> str:
    """Return the mean over the folds of the slices behind a network, in thousands."""
    count = _trained(row, "slices")
    return "" if count is None else f"{count / 1000:.1f}"


def _asked(budget: Mapping[str, Any]) -> str:
    minutes = budget.get("budget_minutes", "not kept")
    return f"{minutes:g}" if isinstance(minutes, int | float) else minutes or "none"


def _machine(cell: CellContent) -> str:
    machine, threads = cell["machine"], cell["budget"].get("threads")
    if machine.get("gpus"):
        return ", ".join(machine["gpus"])
    return f"{machine.get('processor') or 'CPU'}, {threads} thread{'s' if threads != 1 else ''}"
