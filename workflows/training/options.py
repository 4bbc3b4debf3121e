"""What a person asks of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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
