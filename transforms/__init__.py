"""One case on its way from files to arrays to samples that a network can take.

Nothing here imports any other part of the project.
"""

from .intensity import (
    EndOfCached,
    FillMissingSequencesd,
    ForegroundStatisticsd,
    NormalizeForegroundd,
    RandSequenceDropoutd,
    RandSliceStatisticsd,
    foreground_statistics,
)
from .load import LoadStudyd, SliceStackReader
from .resize import ResizeStudyd
from .sample import SliceIndicesd
from .square import PadToSquared

__all__ = [
    "EndOfCached",
    "FillMissingSequencesd",
    "ForegroundStatisticsd",
    "LoadStudyd",
    "NormalizeForegroundd",
    "PadToSquared",
    "RandSequenceDropoutd",
    "RandSliceStatisticsd",
    "ResizeStudyd",
    "SliceIndicesd",
    "SliceStackReader",
    "foreground_statistics",
]
