"""A finished cell in, the Dice of its model on the patients who trained it added to it.

Where a model does no better on them than on the tested ones, more patients would not have helped it: it is
the training, the network or the labels that are in the way.
"""

from __future__ import annotations

import json
from typing import Any, Final

from gliomaseg.workflows.evaluate import evaluate_cases
from gliomaseg.workflows.system.files import InputError

from .cells import Cell, write_cell
from .measure import segmenter_of
from .origin import is_finished
from .protocols import split_for
from .runner import Place

KNOWN: Final = "dice_per_training_patient"
"""In a cell: volume Dice by patient, as the patients are, without augmentation."""


def measure_known(cell: Cell, place: Place) -> bool:
    """Measure a cell's model on the patients who trained it, unless it has been.

    Returns:
        Whether anything was measured.

    Raises:
        InputError: the cell is not filled, its run is gone, or it was split by slice.
    """
    path, recipe = cell.file(place.cells), place.recipes[cell.recipe]
    split = split_for(cell.protocol, place.data, place.lock)
    if split.warning:
        raise InputError(
            f"Patients are measured whole, but {cell.protocol} splits them by slice; take another."
        )
    if not path.is_file():
        raise InputError(f"Only a filled cell has a model to measure, but there is no {path}; run it first.")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if KNOWN in content:
        return False
    run = cell.run(place.runs, recipe)
    if not is_finished(run):
        raise InputError(f"The model of {cell} is needed again, but {run} is not there; train it again.")
    segmenter = segmenter_of(run, {**recipe.inference, **content["fitted"]})
    trained = [*split.training, *(split.validation if recipe.everyone else ())]
    figures = evaluate_cases(trained, segmenter, {"split": cell.protocol}).figures
    content[KNOWN] = {case.patient: round(case.dice, 6) for case in figures}
    write_cell(path, content)
    return True
