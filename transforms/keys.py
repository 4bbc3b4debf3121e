"""The vocabulary of a case: dictionary keys, channel order, class names and how a slice lies."""

from typing import Final

IMAGE: Final = "image"
"""The scan. On disk a list of slice files or one volume; loaded, a ``(C, H, W, D)`` array."""

LABEL: Final = "label"
"""The truth, of the same form as the scan; loaded, ``(1, H, W, D)``: 0 for background, 1 for lesion."""

PRED: Final = "pred"
"""What the network says: logits first, a 0/1 mask after post-processing, shaped like the label."""

PROBABILITY: Final = "probability"
"""The sigmoid of the logits, in [0, 1], kept beside the mask where it is needed."""

PICTURED: Final = "pictured"
"""The slice of the scan with the largest lesion, ``(C, H, W)``, kept for pictures of a validation."""

PATIENT: Final = "patient"
"""Who the case belongs to; no patient is ever on two sides of a split."""

STATISTICS: Final = "statistics"
"""Foreground statistics of a case, ``(C, 4)`` float32: low and high percentile, mean, standard deviation."""

SLICE_STATISTICS: Final = "slice_statistics"
"""The same of each slice alone, ``(D, C, 4)``; of a drawn slice, ``(C, 4)``."""

DRAWN: Final = "drawn"
"""Random numbers in [0, 1) that decide how a sample is varied, see ``transforms.augment.COLUMNS``."""

CHANNELS: Final = ("pre-contrast", "FLAIR", "post-contrast")
"""Channel order of the scan, as in the RGB slices of the data set."""

SEQUENCES: Final = "sequences"
"""Which of ``CHANNELS`` the files of a case hold, in their order; absent where it is FLAIR alone or all."""

FLAIR: Final = 1
"""Index of FLAIR in ``CHANNELS``. It stands in for a missing sequence."""

CLASSES: Final = ("background", "abnormality")
"""Names of the label values 0 and 1."""

SLICE_ORIENTATION: Final = ("P", "L", "S")
"""Anatomical direction in which ``(H, W, D)`` grow: rows towards posterior, columns towards the
patient's left (radiological view), slices towards superior."""
