"""The folder of a bundle in, the numbers that were fitted for its weights out; and back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .confidence import BEFORE
from .system import files


@dataclass(frozen=True)
class Tuned:
    """What was fitted, for the ids of the inference config that bear these names.

    Attributes:
        temperature: divides the logits.
        threshold: probability from which a voxel counts as abnormal, at that temperature.
        confidence_shift: moves the confidence to the Dice, see ``confidence.confidence_of``.
    """

    temperature: float = 1.0
    threshold: float = 0.5
    confidence_shift: float = BEFORE["confidence_shift"]


def read_tuned(folder: str | Path) -> dict[str, float]:
    """Return them from ``configs/inference.json`` of a run or bundle, for configs that evaluate its weights.

    Returns:
        Id -> value; that of a ``Tuned`` by itself where the folder has no such file or the file no such id.
    """
    path = Path(folder) / "configs" / "inference.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: float(config.get(name, value)) for name, value in asdict(Tuned()).items()}


def write_tuned(folder: Path, tuned: Tuned) -> None:
    """Write fitted numbers into the inference config of a run or bundle."""
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    files.write_json(path, {**config, **asdict(tuned)})
