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

__all__ = [
    "EndOfCached",
    "FillMissingSequencesd",
    "ForegroundStatisticsd",
    "LoadStudyd",
    "NormalizeForegroundd",
    "RandSequenceDropoutd",
    "RandSliceStatisticsd",
    "ResizeStudyd",
    "SliceIndicesd",
    "SliceStackReader",
    "foreground_statistics",
]
