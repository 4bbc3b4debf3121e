"""The folder of a bundle in, the numbers that were fitted for its weights out; and back."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from .confidence import CHECK_BELOW
from .system import files

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """What was fitted, for the ids of the inference config that bear these names.

    Attributes:
        temperature: divides the logits.
        threshold: probability from which a voxel counts as abnormal, at that temperature.
        confidence_shift: moves the confidence to the Dice, see ``confidence.confidence_of``; None where
            nobody taught it, and that of the config stays.
    """

    temperature: float = 1.0
    threshold: float = 0.5
    confidence_shift: float | None = None

    def ids(self) -> dict[str, float]:
        """Return them by the names of the inference config, without what nobody taught.

        Example:
            >>> Tuned(1.5).ids()
            {'temperature': 1.5, 'threshold': 0.5}
        """
        return {name: value for name, value in asdict(self).items() if value is not None}


def read_tuned(folder: str | Path) -> dict[str, float]:
    """Return two of them from the inference config of a run or bundle, for configs that evaluate its weights.

    Returns:
        ``temperature`` and ``threshold``; 1 and 0.5 where the folder has no such file or the file no such id.
    """
    path = Path(folder) / "configs" / "inference.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    unfitted = Tuned()
    return {name: float(config.get(name, getattr(unfitted, name))) for name in ("temperature", "threshold")}


def write_tuned(folder: Path, tuned: Tuned) -> None:
    """Write fitted numbers into the inference config of a run or bundle.

    A config that knew no ``confidence_shift`` has a limit for what the probabilities promise; it gets that of
    the package.
    """
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    fitted = tuned.ids()
    if "confidence_shift" in fitted and "confidence_shift" not in config:
        fitted["check_below"] = CHECK_BELOW
        logger.info(
            "%s has a confidence_shift now, so check_below is %g and no longer %s.",
            path, CHECK_BELOW, config.get("check_below", "what it was before"),
        )  # fmt: skip
    files.write_json(path, {**config, **fitted})
