"""An evaluator's cases in, metrics.json out: the handler with which a bundle config evaluates weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from torch import Tensor

from ..transforms import keys
from ..transforms.plain import plain
from ..transforms.space import spacing_of
from .leakage.leaks import say_who_trained
from .leakage.seen import NOBODY_KNOWN, hashes_by_patient, history_behind
from .metrics import CaseFigures, case_figures
from .per_patient import merge_cases
from .summary import summarize
from .system import files


class Figures:
    """Collect the figures of an evaluator's cases and write metrics.json, for bundle configs.

    Gives the same figures as ``gliomaseg evaluate``, but none of the confidence; in a distributed run the
    cases of all processes are gathered first.

    Args:
        path: of metrics.json.
        protocol: what was evaluated and how.
        model: file of weights, run folder or bundle; whoever trained it and is evaluated is told in the
            protocol.
        datalist: whose validation cases are evaluated; needed with ``model``.
    """

    def __init__(
        self,
        path: str,
        protocol: Mapping[str, Any],
        model: str | None = None,
        datalist: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.protocol = dict(protocol)
        self.model = model
        self.datalist = datalist
        self._found: list[CaseFigures] = []

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, lambda _: self._found.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def collect(self, engine: Engine) -> None:
        """Measure the cases of one step."""
        for output, case in zip(engine.state.output, engine.state.batch, strict=True):
            mask, truth, probability = (
                plain(output[key])[0].cpu().numpy() for key in (keys.PRED, keys.LABEL, keys.PROBABILITY)
            )
            label = output[keys.LABEL]
            spacing = _spacing_of(label)
            self._found.append(
                case_figures(
                    mask,
                    truth,
                    str(case[keys.PATIENT]),
                    probability=probability,
                    spacing_mm=spacing,
                    slices=[int(number) for number in case["slices"]] if "slices" in case else None,
                    institution=case.get("institution"),
                    person=case.get("person"),
                    steps_mm=None if spacing is None else label.affine.cpu().numpy()[:3, :3],
                )
            )

    def write(self, engine: Engine) -> None:
        """Write the file, in the first process."""
        gathered = gather(self._found)
        if gathered is not None:
            protocol = dict(self.protocol)
            if weights := protocol.pop("weights", None):
                protocol["model_sha256"] = files.sha256_of(weights)
            self._say_who_trained(protocol)
            files.write_json(self.path, summarize(gathered, protocol))

    def _say_who_trained(self, protocol: dict[str, Any]) -> None:
        if self.model is None or self.datalist is None:
            return
        model = Path(self.model).absolute()
        history = history_behind(model)
        if not history.seen and not history.unknown:
            history = replace(history, unknown=NOBODY_KNOWN.format(name=model))
        cases = self.datalist["validation"]
        images = hashes_by_patient(cases, str(self.datalist["root"]), self.datalist.get("files", {}))
        say_who_trained(protocol, cases, history, images)


def _spacing_of(volume: Tensor) -> tuple[float, float, float] | None:
    """Return the spacing of ``(1, H, W, D)`` along its axes in mm, None where the files do not tell."""
    known = isinstance(volume, MetaTensor) and bool(
        torch.as_tensor(volume.meta.get("spacing_known", True)).all()
    )
    return spacing_of(volume.affine.cpu().numpy()) if known and isinstance(volume, MetaTensor) else None


def gather(found: Iterable[CaseFigures]) -> list[CaseFigures] | None:
    """Collect the figures of all processes in the first one; the others get None."""
    mine = list(found)
    if not torch.distributed.is_initialized():
        return mine
    first = torch.distributed.get_rank() == 0
    parts: list[list[CaseFigures]] | None = [[]] * torch.distributed.get_world_size() if first else None
    torch.distributed.gather_object(mine, parts)
    return merge_cases(parts) if parts is not None else None
