"""An array with its affine in, a NIfTI file on the very same grid out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from monai.data import NibabelWriter


class ExactNiftiWriter(NibabelWriter):  # type: ignore[misc]
    """Write an array as it lies, without the resampling step of MONAI's writer.

    Where no other grid is asked for, that step has nothing to do; but MONAI 1.6 takes two axes of the affine
    for all of it there, and fails on volumes such as sagittal scans. For ``SaveImaged(writer=...)``.
    """

    def set_metadata(self, meta_dict: Mapping[str, Any] | None, resample: bool = False, **_: Any) -> None:
        """Take the affine over.

        Args:
            meta_dict: metadata of the array; ``affine`` maps its indices to RAS.
            resample: must be False.

        Raises:
            ValueError: resampling is asked for.
        """
        if resample:
            raise ValueError(
                "Expected resample=False, got True: this writer keeps the grid; use Invertd before."
            )
        _, affine, _ = self.get_meta_info(meta_dict)
        self.affine = np.eye(4) if affine is None else np.asarray(affine, dtype=np.float64)
