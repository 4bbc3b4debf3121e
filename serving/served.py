"""What the answers of the server are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from ..workflows.ensemble import Ensemble
from ..workflows.segment import Segmenter
from .jobs import Jobs
from .meters import Meters
from .settings import ServeSettings

ENDED: Final = ("done", "failed")
"""States of a job in which nothing changes any more."""


@dataclass(frozen=True)
class Served:
    """What the answers are made from, kept in the application's state.

    Attributes:
        segmenter: outlines.
        settings: of the server.
        jobs: queue and results.
        meters: count them.
    """

    segmenter: Segmenter | Ensemble
    settings: ServeSettings
    jobs: Jobs
    meters: Meters


def _served(request: Request) -> Served:
    served: Served = request.app.state.served
    return served


Here = Annotated[Served, Depends(_served)]
"""Argument of a route."""
