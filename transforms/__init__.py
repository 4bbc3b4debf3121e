"""One case on its way from files to arrays to samples that a network can take.

Nothing here imports any other part of the project.
"""

from .cleanup import RemoveFindingsd
from .augment import RandNumbersd, SliceAugmentation
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
from .neighbours import NeighboursAsChannelsd
from .resize import ResizeStudyd
from .sample import RandSlicesd, SliceIndicesd
from .shrink import ShrinkStudyd
from .square import PadToSquared

__all__ = [
    "EndOfCached",
    "FillMissingSequencesd",
    "ForegroundStatisticsd",
    "LoadStudyd",
    "NeighboursAsChannelsd",
    "NormalizeForegroundd",
    "PadToSquared",
    "RandNumbersd",
    "RandSequenceDropoutd",
    "RandSliceStatisticsd",
    "RandSlicesd",
    "RemoveFindingsd",
    "ResizeStudyd",
    "ShrinkStudyd",
    "SliceAugmentation",
    "SliceIndicesd",
    "SliceStackReader",
    "foreground_statistics",
]
