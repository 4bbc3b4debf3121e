"""A study in, the one slice or mask of it that becomes a picture out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from . import keys
from .load import SLICE_ENDINGS
from .plain import plain


class LargestSliced(MapTransform):  # type: ignore[misc]
    """Keep the slice with the largest lesion as it was scanned, before the scan is shrunk for the network.

    Adds ``(C, H, W)`` under ``keys.PICTURED``, of the scan's dtype, without metadata; the first slice where
    there is no lesion.

    Args:
        keys: the image, ``(C, H, W, D)``.
        label_key: the truth, ``(1, H, W, D)``.
    """

    def __init__(self, keys: KeysCollection = keys.IMAGE, label_key: str = keys.LABEL) -> None:
        super().__init__(keys)
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the slice."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[keys.PICTURED] = plain(result[key])[..., largest_lesion(result[self.label_key])].clone()
        return result


def largest_lesion(label: Any) -> int:
    """Return the number of the slice with the largest lesion in ``(1, H, W, D)``; the first of equals."""
    counts = (torch.as_tensor(label)[0] > 0).flatten(0, 1).sum(dim=0)
    return int(counts.argmax())


class PictureMaskd(MapTransform):  # type: ignore[misc]
    """Give the mask of a single picture two axes, columns first, as uint8.

    MONAI Label writes masks with ITK, which counts columns first: without this step it turns the mask of a
    picture on its side. Stands behind ``SaveImaged``, which MONAI Label leaves out. Stacks of slices and
    volumes are left alone.

    Args:
        keys: of masks, ``(1, H, W, 1)``; they become ``(W, H)``.
        ref_key: of the scan; its metadata follows, as MONAI Label compares them.
    """

    def __init__(self, keys: KeysCollection = keys.PRED, ref_key: str = keys.IMAGE) -> None:
        super().__init__(keys)
        self.ref_key = ref_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data``."""
        result = dict(data)
        scan = result.get(self.ref_key)
        if not isinstance(scan, MetaTensor) or not _is_picture(scan):
            return result
        for key in self.key_iterator(result):
            mask = torch.as_tensor(result[key])[0, ..., 0].T.contiguous()
            result[key] = MetaTensor(mask.to(torch.uint8))
            scan.meta["spatial_shape"] = list(mask.shape)
        return result


def _is_picture(scan: MetaTensor) -> bool:
    name = str(scan.meta.get("filename_or_obj", ""))
    return Path(name).suffix.lower() in SLICE_ENDINGS and scan.shape[-1] == 1
