"""One case on its way from files to arrays to samples that a network can take.

Nothing here imports any other part of the project.
"""

from .augment import RandNumbersd, SliceAugmentation
from .cleanup import RemoveFindingsd
from .intensity import (
    ClipForegroundd,
    EndOfCached,
    FillMissingSequencesd,
    ForegroundStatisticsd,
    NormalizeForegroundd,
    RandSliceStatisticsd,
    SliceStatisticsd,
    foreground_statistics,
)
from .load import LoadStudyd, SliceStackReader
from .neighbours import NeighboursAsChannelsd
from .picture import LargestSliced, PictureMaskd
from .resize import ResizeStudyd
from .sample import RandSlicesd, SliceIndicesd
from .shrink import ShrinkStudyd
from .square import LayInSquared, PadOrCropToSquared, PadToSquared
from .write import NameByPatientd

__all__ = [
    "ClipForegroundd",
    "EndOfCached",
    "FillMissingSequencesd",
    "ForegroundStatisticsd",
    "LargestSliced",
    "LayInSquared",
    "LoadStudyd",
    "NameByPatientd",
    "NeighboursAsChannelsd",
    "NormalizeForegroundd",
    "PadOrCropToSquared",
    "PadToSquared",
    "PictureMaskd",
    "RandNumbersd",
    "RandSliceStatisticsd",
    "RandSlicesd",
    "RemoveFindingsd",
    "ResizeStudyd",
    "ShrinkStudyd",
    "SliceAugmentation",
    "SliceIndicesd",
    "SliceStackReader",
    "SliceStatisticsd",
    "foreground_statistics",
]
