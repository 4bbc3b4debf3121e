"""Read what a training run wrote for TensorBoard back as plain curves: one list of (step, value) per tag."""

from __future__ import annotations

import os
from pathlib import Path

Curve = list[tuple[int, float]]
"""The values of one tag as ``(step, value)``, steps rising; a step is whatever the writer counted by."""

_EVENT_FILES = "events.out.tfevents.*"
_READ_ALL_SCALARS_AND_NOTHING_ELSE = {
    "scalars": 0,  # 0 means all of them
    "images": 1,
    "audio": 1,
    "histograms": 1,
    "compressedHistograms": 1,
    "tensors": 1,
}


def read_history(run_dir: str | os.PathLike[str]) -> dict[str, Curve]:
    """Return every scalar curve of a run, by tag.

    A run leaves one event file per process start. Files are taken in the order in which their processes
    started, and a process that writes a tag again from some step on replaces what earlier ones wrote from
    that step on: a resumed run reads as one curve, without the part that was lost in the interruption.
    A file cut short by a crash counts up to its last whole event.

    Args:
        run_dir: the run folder; event files may also lie in folders below it.

    Returns:
        Tag to curve, in the order of the tags' names; empty when there are no event files or no folder.
    """
    starts = [start for file in Path(run_dir).rglob(_EVENT_FILES) if (start := _read_file(file))]
    curves: dict[str, Curve] = {}
    for _, written in sorted(starts, key=lambda start: start[0]):
        for tag, curve in written.items():
            curves[tag] = _continue(curves.get(tag, []), curve)
    return dict(sorted(curves.items()))


def _read_file(file: Path) -> tuple[float, dict[str, Curve]] | None:
    """Return when the writing process started (seconds since 1970) and its curves; None for an empty file."""
    from tensorboard.backend.event_processing import event_accumulator

    # Its own purging compares the steps of all tags, which need not count by the same.
    events = event_accumulator.EventAccumulator(
        str(file), size_guidance=_READ_ALL_SCALARS_AND_NOTHING_ELSE, purge_orphaned_data=False
    )
    events.Reload()
    tags = events.Tags()["scalars"]
    if not tags:
        return None
    curves = {tag: _last_at_each_step(events.Scalars(tag)) for tag in tags}
    return float(events.FirstEventTimestamp()), curves


def _last_at_each_step(events: list[object]) -> Curve:
    values = {int(event.step): float(event.value) for event in events}  # type: ignore[attr-defined]
    return sorted(values.items())


def _continue(earlier: Curve, later: Curve) -> Curve:
    first = later[0][0]
    return [point for point in earlier if point[0] < first] + later
