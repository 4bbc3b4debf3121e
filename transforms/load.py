"""Files of a study in, one channel-first array with an affine out.

A study is a list of slice files (TIFF, PNG, JPEG), one NIfTI file or one for each sequence, the files of
one DICOM series or of several, or one volume of another kind that MONAI's own readers know.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import ImageReader, MetaTensor
from monai.transforms import LoadImaged
from PIL import Image

from . import keys
from .dicom import DICOM_ENDINGS, is_dicom, open_dicom, quietly, read_series
from .space import LARGEST_VOXELS
from .volume import Volume, compact, join
from .volume_files import is_volume_file, laid_like, read_volume

# MONAI makes every reader it knows of. Where pydicom is installed, NVIDIA's reader of DICOM warns each time,
# in the log and otherwise, that a package is missing which nothing here needs.
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)

SLICE_ENDINGS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
"""File endings that are read as one slice each."""

READ_AS = {"P": "RGB", "PA": "RGB", "RGBA": "RGB", "CMYK": "RGB", "LA": "L"}
"""Pillow's colour modes that are converted, and to which; transparency carries no signal."""

SLICE_AFFINE = np.array([[0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float64)
"""RAS affine of ``(H, W, D)`` indices for slices that lie as ``keys.SLICE_ORIENTATION`` says.

Its unit is one voxel: slice files carry no spacing, and none is invented.
"""


class SliceStackReader(ImageReader):  # type: ignore[misc]
    """Read a list of slice files as one stack.

    ``LoadImage`` hands over the files in the order given; the first becomes depth 0. Colour files give
    ``(C, H, W, D)`` with channels as in ``keys.CHANNELS``, grey ones ``(1, H, W, D)``. The dtype is that of
    the files (uint8, or uint16 for 16-bit greys).

    Example:
        >>> SliceStackReader().verify_suffix(["a_1.tif", "a_2.tif"])
        True
        >>> SliceStackReader().verify_suffix("volume.nii.gz")
        False
    """

    def verify_suffix(self, filename: Sequence[str | os.PathLike[str]] | str | os.PathLike[str]) -> bool:
        """Return whether every file is a slice, judged by its ending."""
        return all(Path(name).suffix.lower() in SLICE_ENDINGS for name in _as_list(filename))

    def read(self, data: Sequence[str | os.PathLike[str]] | str | os.PathLike[str], **_: Any) -> Any:
        """Decode the files, in the order given.

        Args:
            data: one file or several, all of the same size.

        Returns:
            One ``(H, W)`` or ``(H, W, 3)`` array a file.

        Raises:
            FileNotFoundError: a file is not there.
            ValueError: there are no files; or one is damaged, holds several pictures, or differs in size or
                colour from the first.
        """
        files = [Path(name) for name in _as_list(data)]
        if not files:
            raise ValueError("A study needs at least 1 slice file, got an empty list; leave that study out.")
        slices: list[npt.NDArray[Any]] = []
        voxels = 0
        for file in files:
            slices.append(_decode(file))
            voxels += slices[-1].size
            if voxels > LARGEST_VOXELS:
                raise ValueError(
                    f"A study has 1 to {LARGEST_VOXELS} voxels, but {len(slices)} of the {len(files)} slices "
                    f"of {files[0]} have more; give the slices of one head, at the size of the scanner."
                )
        for file, pixels in zip(files, slices, strict=True):
            if (pixels.shape, pixels.dtype) != (slices[0].shape, slices[0].dtype):
                raise ValueError(
                    f"All slices of a study need one size and colour mode: {files[0]} is {_kind(slices[0])}, "
                    f"{file} is {_kind(pixels)}; leave that slice out or save it like the others."
                )
        return slices

    def get_data(self, img: Sequence[npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """Stack decoded slices along a last axis of depth.

        Returns:
            ``(C, H, W, D)`` array, channels first, and its metadata: RAS affine in voxels, channel axis,
            shape, and ``spacing_known`` which is False.
        """
        stack = np.stack([_channels_first(pixels) for pixels in img], axis=-1)
        meta = {
            "affine": SLICE_AFFINE.copy(),
            "original_affine": SLICE_AFFINE.copy(),
            "spatial_shape": np.asarray(stack.shape[1:]),
            "original_channel_dim": 0,
            "space": "RAS",
            "spacing_known": False,
        }
        return stack, meta


class LoadStudyd(LoadImaged):  # type: ignore[misc]
    """Load studies: stacks of slices, volumes or DICOM series, told by the files' endings.

    Slices go through ``SliceStackReader``, NIfTI, NRRD, MetaImage and DICOM through readers of ours that
    refuse damaged files in one sentence, anything else through the reader that MONAI picks. Several volumes
    are laid over each other on the grid of FLAIR; what each shows stands under ``keys.SEQUENCES``, by default
    ``keys.CHANNELS``.
    The scan keeps the values of its files, integers as uint8, int16 or int32; the label becomes uint8 with 1
    where the file is not zero, ``(1, H, W, D)``. Affines are kept as read, in mm; a label whose file has its
    axes in another order than its scan, or the other way round, is turned to lie like that.

    Args:
        keys: which of ``image`` and ``label`` to load.
        label_key: the key that is made 0/1; other keys keep their values.
        allow_missing_keys: a case without label passes.
    """

    def __init__(
        self,
        keys: Sequence[str] | str = (keys.IMAGE, keys.LABEL),
        label_key: str = keys.LABEL,
        allow_missing_keys: bool = True,
    ) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "NvImgCodecPydicomReader", UserWarning)
            super().__init__(
                keys,
                reader=None,
                dtype=None,
                ensure_channel_first=True,
                allow_missing_keys=allow_missing_keys,
            )
        self.label_key = label_key
        self.register(SliceStackReader())

    def __call__(
        self, data: Mapping[Hashable, Any], reader: ImageReader | None = None
    ) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the files of each key replaced by a MetaTensor."""
        loaded = dict(data)
        sequences = data.get(keys.SEQUENCES) or keys.CHANNELS
        for key in self.key_iterator(loaded):
            loaded[key] = self._load(_as_list(loaded[key]), sequences, reader)
        label = loaded.get(self.label_key)
        if self.label_key in self.keys and isinstance(label, MetaTensor):
            label = (label != 0).to(torch.uint8)
            image = loaded.get(keys.IMAGE)
            loaded[self.label_key] = turned_like(label, image) if isinstance(image, MetaTensor) else label
        return loaded

    def _load(
        self, files: Sequence[str | os.PathLike[str]], sequences: Sequence[str], reader: ImageReader | None
    ) -> MetaTensor:
        names = [os.fspath(Path(file).expanduser()) for file in files]
        if reader is None and names and all(map(is_volume_file, names)):
            return _as_tensor(join([read_volume(name) for name in names], sequences))
        if reader is None and names and _holds_dicom(names[0]):
            return _as_tensor(join([read_series(part) for part in split_series(names)], sequences))
        loaded: Any = self._loader(names, reader)
        return _computable(loaded[0] if isinstance(loaded, tuple) else loaded)  # MONAI Label asks for pairs


def turned_like(label: MetaTensor, image: MetaTensor) -> MetaTensor:
    """Turn a volume by flips and swaps of its axes to lie as another does, if that one knows how it lies.

    A segmentation of 3D Slicer that is cropped to its extent gets its surroundings back.

    Args:
        label: ``(X, Y, Z)`` or ``(C, X, Y, Z)``.
        image: whose affine counts.
    """
    if not image.meta.get("spacing_known", True):
        return label
    target = np.asarray(image.affine)
    name = str(label.meta.get("filename_or_obj", ""))
    values, affine = laid_like(label.numpy(), np.asarray(label.affine), name, image.shape[-3:], target)
    if values.shape == label.shape and np.array_equal(affine, np.asarray(label.affine)):
        return label
    meta = {**label.meta, "affine": torch.as_tensor(affine), "spatial_shape": np.asarray(values.shape[-3:])}
    return MetaTensor(torch.from_numpy(values.copy()), meta=meta)


def split_series(names: Sequence[str]) -> list[list[str]]:
    """Split the files of several series, each in one piece, by the series that they say they belong to."""
    if len(names) == 1:
        return [list(names)]
    parts: dict[str, list[str]] = {}
    for name in names:
        with quietly(name):
            header = open_dicom(name, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
            parts.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(name)
    return list(parts.values())


def _holds_dicom(name: str) -> bool:
    return name.lower().endswith(DICOM_ENDINGS) or (Path(name).is_file() and is_dicom(name))


def _as_tensor(volume: Volume) -> MetaTensor:
    meta = {
        "affine": torch.as_tensor(volume.affine),
        "original_affine": volume.affine.copy(),
        "spatial_shape": np.asarray(volume.values.shape[1:]),
        "original_channel_dim": 0,
        "space": "RAS",
        "spacing_known": volume.spacing_known,
        "filename_or_obj": volume.name,
        "notes": list(volume.notes),
    }
    return MetaTensor(torch.from_numpy(volume.values), meta=meta)


def _computable(loaded: MetaTensor) -> MetaTensor:
    """Leave number types behind that torch stores but does not compute with, such as uint16."""
    if loaded.dtype in (torch.uint16, torch.uint32, torch.uint64):
        return MetaTensor(torch.from_numpy(compact(loaded.as_tensor().numpy())), meta=loaded.meta)
    return loaded


def _as_list(
    names: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
) -> list[str | os.PathLike[str]]:
    return [names] if isinstance(names, str | os.PathLike) else list(names)


def _decode(file: Path) -> npt.NDArray[Any]:
    if not file.is_file():
        raise FileNotFoundError(
            f"Expected a slice file at {file}, but there is none; was the data set moved?"
        )
    try:
        with warnings.catch_warnings(), Image.open(file) as picture:
            warnings.filterwarnings("ignore", "Truncated File Read", UserWarning)  # the error says more
            count = getattr(picture, "n_frames", 1)
            mode = READ_AS.get(picture.mode)
            pixels = np.asarray(picture.convert(mode) if mode else picture)
    except Exception as error:  # Pillow's plug-ins let struct.error, SyntaxError, KeyError, ... through
        raise ValueError(
            f"Could not decode {file}: {error}; copy that slice again or leave it out."
        ) from error
    if count != 1:
        raise ValueError(f"Expected one slice a file, got {count} in {file}; save each under its number.")
    return pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels


def _kind(pixels: npt.NDArray[Any]) -> str:
    return f"{pixels.shape} {pixels.dtype}"


def _channels_first(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
