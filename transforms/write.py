"""An array with its affine in, a NIfTI file on the very same grid out, called after its patient."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor, NibabelWriter
from monai.transforms import MapTransform

from . import keys

FILE_NAME = "filename_or_obj"
"""Under which MONAI keeps in metadata what a file is called, from which ``SaveImaged`` makes another name."""


class NameByPatientd(MapTransform):  # type: ignore[misc]
    """Call an array after its patient, so that ``SaveImaged`` does: names of scans may be those of others.

    Of a stack of slices, the number of the first is in the name too: there may be others of it. An array
    without a patient, or without metadata, is left alone.
    """

    def __init__(self, keys: KeysCollection = "pred") -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the name in the metadata."""
        result = dict(data)
        if not (patient := str(result.get(keys.PATIENT) or "")):
            return result
        name = name_by_patient(patient, result.get("slices"))
        for key in self.key_iterator(result):
            if isinstance(result[key], MetaTensor):
                array = result[key].clone()
                array.meta = {**array.meta, FILE_NAME: f"{name}.nii.gz"}
                result[key] = array
        return result


def name_by_patient(patient: str, slices: Sequence[Any] | None = None) -> str:
    """Return what ``NameByPatientd`` calls a scan, without an ending; two patients never have one name.

    Args:
        patient: any words.
        slices: numbers of a stack's.

    Example:
        >>> name_by_patient("anna"), name_by_patient("TCGA_CS_4941_19960909", [3, 4]), name_by_patient("x/y")
        ('anna', 'TCGA_CS_4941_19960909_from-3', 'x_y-bd3c90')
    """
    name = re.sub(r"[/\\\0]", "_", patient).lstrip(".")
    if name != patient:
        name += f"-{hashlib.sha256(patient.encode()).hexdigest()[:6]}"
    return f"{name}_from-{int(slices[0])}" if slices is not None and len(slices) else name


class ExactNiftiWriter(NibabelWriter):  # type: ignore[misc]
    """Write an array as it lies, without the resampling step of MONAI's writer, and with all of its axes.

    Where no other grid is asked for, that step has nothing to do; but MONAI 1.6 takes two axes of the affine
    for all of it there, and fails on volumes such as sagittal scans. For ``SaveImaged(writer=...)``.
    """

    data_obj: Any

    def set_data_array(
        self, data_array: Any, channel_dim: int | None = 0, squeeze_end_dims: bool = True, **kwargs: Any
    ) -> None:
        """Take the array over; of one channel it stays ``(H, W, D)``, also where D is 1."""
        super().set_data_array(data_array, channel_dim, squeeze_end_dims=False, **kwargs)
        if squeeze_end_dims and self.data_obj.shape[-1] == 1:
            self.data_obj = self.data_obj[..., 0]

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
