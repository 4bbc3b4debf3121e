"""One stack of slices in, what is wrong with its files out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..folders.slices import SeveralError, decode
from ..folders.studies import Slice, Study
from .findings import Finding, finding
from .negatives import is_negative

GREY_MODES = ("L", "I;16", "I;16B", "I;16L", "1")
"""Pillow's modes of images that are taken as FLAIR alone."""

COLOUR_MODES = ("RGB", "RGBA", "P", "CMYK")
"""Pillow's modes of images that are read as three sequences."""

_MAGIC = (b"II*\0", b"MM\0*", b"\x89PNG")
"""How TIFF and PNG files begin: what starts so and cannot be identified has lost its end."""


class Fault(NamedTuple):
    """One fault of one file."""

    code: str
    file: str
    what: str


MOST_OF_IT = 0.5
"""Labels that hold a larger part of the picture are turned round, or have no background."""


@dataclass(frozen=True)
class SliceFacts:
    """What is kept of a slice once its pixels are let go: some 200 bytes."""

    number: int
    image: str | None
    mask: str | None
    image_size: tuple[int, ...] | None = None
    image_mode: str | None = None
    mask_size: tuple[int, ...] | None = None
    digest: bytes | None = None
    lesion_pixels: int = 0
    is_like_a_mask: bool = False
    is_negative: bool = False
    faults: tuple[Fault, ...] = ()


def inspect_slice(one: Slice) -> SliceFacts:
    """Decode image and mask of a slice completely and note what matters.

    The digest is of the decoded image, so that the same pixels in another file format count as the same; flat
    images have none, for all black slices are alike.
    """
    faults: list[Fault] = []
    image = _read(one.image, faults)
    mask = _read(one.mask, faults)
    if mask is not None and one.mask:
        faults += _mask_faults(one.mask, mask[1])
    return SliceFacts(
        one.number,
        one.image,
        one.mask,
        image_size=image[1].shape[:2] if image else None,
        image_mode=image[0] if image else None,
        mask_size=mask[1].shape[:2] if mask else None,
        digest=digest_of(image[1]) if image else None,
        lesion_pixels=int(np.count_nonzero(mask[1])) if mask else 0,
        is_like_a_mask=image is not None and _has_two_values(image[1]),
        is_negative=image is not None and is_negative(image[1] if image[1].ndim == 2 else image[1][..., 1]),
        faults=tuple(faults),
    )


def _has_two_values(pixels: npt.NDArray[Any]) -> bool:
    low, high = pixels.min(initial=255), pixels.max(initial=0)
    return bool(low < high and ((pixels == low) | (pixels == high)).all())


def digest_of(pixels: npt.NDArray[Any]) -> bytes | None:
    """Return 8 bytes that tell arrays apart, or None for an array of one value."""
    if pixels.size == 0 or pixels.min() == pixels.max():
        return None
    shape = str(pixels.shape).encode()
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=8, person=shape[:16]).digest()


def stack_findings(study: Study, facts: Sequence[SliceFacts], resize: int | None) -> list[Finding]:
    """Return all faults of one stack, one finding for each kind of fault.

    Args:
        study: the stack.
        facts: of its slices, as ``inspect_slice`` gives them.
        resize: the size all slices are brought to; masks may then differ from their images in size, if not
            in proportion, but never from one another.
    """
    faults = [fault for one in facts for fault in one.faults]
    for look in (_missing_parts, _numbers, _sizes, _stray_masks, _modes, _repeated_images):
        faults += look(study, facts)
    faults += _mask_sizes(facts, resize)
    remedies = _resize_remedy(facts) if resize is None else {}
    return [*gather(study.patient, faults, remedies), *_whole_study(study, facts)]


def gather(
    patient: str, faults: Sequence[Fault], remedies: dict[str, str] | None = None
) -> Iterator[Finding]:
    """Join the faults of a patient that are of one kind: the first is told, the others are counted."""
    for code in dict.fromkeys(fault.code for fault in faults):
        same = [fault for fault in faults if fault.code == code]
        more = f" ({len(same) - 1} more like it in {patient}.)" if len(same) > 1 else ""
        yield finding(code, [fault.file for fault in same], same[0].what + more, (remedies or {}).get(code))


def read_fault(file: str, error: OSError, content: bytes | None) -> Fault:
    """Say why a file could not be read: missing, of zero bytes, cut off, or something else."""
    if isinstance(error, FileNotFoundError):
        return Fault("missing-file", file, f"{file} is not there.")
    if content == b"":
        return Fault("empty-file", file, f"{file} has zero bytes.")
    if isinstance(error, SeveralError):
        return Fault("unreadable", file, f"{file} is no slice: {error}; save each under its number.")
    begins_well = content is not None and content.startswith(_MAGIC)
    if begins_well:
        return Fault("truncated", file, f"{file} ends early, after {len(content or b'')} bytes.")
    reason = error.strerror or "it is not a picture of a known kind"
    return Fault("unreadable", file, f"{file} cannot be read: {reason}.")


def _read(file: str | None, faults: list[Fault]) -> tuple[str, npt.NDArray[Any]] | None:
    if file is None:
        return None
    content = None
    try:
        content = Path(file).read_bytes()
        return decode(content)
    except OSError as error:
        faults.append(read_fault(file, error, content))
        return None


def _mask_faults(file: str, pixels: npt.NDArray[Any]) -> list[Fault]:
    if pixels.ndim != 2:
        return [Fault("mask-channels", file, f"A mask has one channel, but {file} has {pixels.shape[-1]}.")]
    values = np.unique(pixels).tolist()
    if set(values) <= {0, 255} or set(values) <= {0, 1}:
        return []
    return [
        Fault(
            "mask-values",
            file,
            f"Mask values must be 0 and 255 (or 0 and 1), but {file} has {shortened(values)}.",
        )
    ]


def shortened(values: Sequence[float]) -> str:
    """Write down a list of values, the middle left out when it is long."""
    words = [f"{value:g}" for value in values]
    return ", ".join(words if len(words) <= 6 else [*words[:3], "...", *words[-2:]])


def _missing_parts(study: Study, facts: Sequence[SliceFacts]) -> Iterator[Fault]:
    for one in facts:
        if one.image and not one.mask and study.has_masks:
            yield Fault("image-without-mask", one.image, f"{one.image} has no mask.")
        if one.mask and not one.image:
            yield Fault("mask-without-image", one.mask, f"{one.mask} has no image.")


def _numbers(study: Study, facts: Sequence[SliceFacts]) -> Iterator[Fault]:
    for file in study.repeated:
        yield Fault(
            "same-number", file, f"{file} has a slice number that another file of {study.patient} has."
        )
    numbers = {one.number for one in facts}
    gaps = sorted(set(range(min(numbers), max(numbers))) - numbers)
    if gaps:
        yield Fault(
            "gap",
            study.folder,
            f"{study.patient} has slices {min(numbers)} to {max(numbers)}, but not {shortened(gaps)}.",
        )


def _sizes(study: Study, facts: Sequence[SliceFacts]) -> Iterator[Fault]:
    usual = _usual_image_size(facts)
    for one in facts:
        if one.image and one.image_size and usual and one.image_size != usual:
            what = f"{one.image} is {_by(one.image_size)}, most slices of {study.patient} are {_by(usual)}."
            yield Fault("size-within-patient", one.image, what)


def _stray_masks(study: Study, facts: Sequence[SliceFacts]) -> Iterator[Fault]:
    """Find masks that differ in size from the others; a slice whose image differs too is told elsewhere."""
    usual_image, usual = _usual_image_size(facts), _usual_mask_size(facts)
    for one in facts:
        whole_slice = one.image_size == one.mask_size and one.image_size != usual_image
        if one.mask and one.mask_size and usual and one.mask_size != usual and not whole_slice:
            what = f"{one.mask} is {_by(one.mask_size)}, most masks of {study.patient} are {_by(usual)}."
            yield Fault("mask-size-within-patient", one.mask, what)


def _mask_sizes(facts: Sequence[SliceFacts], resize: int | None) -> Iterator[Fault]:
    """Find masks of the usual size whose images have another; strays are told by ``_stray_masks``."""
    usual = _usual_mask_size(facts)
    for one in facts:
        if not (one.image_size and one.mask_size == usual and one.mask) or one.image_size == usual:
            continue
        if usual and (resize is None or not _same_proportion(one.image_size, usual)):
            what = f"{one.mask} is {_by(usual)}, its image is {_by(one.image_size)}."
            yield Fault("mask-size", one.mask, what)


def _usual_image_size(facts: Sequence[SliceFacts]) -> tuple[int, ...] | None:
    sizes = Counter(one.image_size for one in facts if one.image_size)
    return sizes.most_common(1)[0][0] if sizes else None


def _usual_mask_size(facts: Sequence[SliceFacts]) -> tuple[int, ...] | None:
    """Return the size that most masks have; of two that are as frequent, that of the images."""
    sizes = Counter(one.mask_size for one in facts if one.mask_size)
    images = _usual_image_size(facts)
    return max(sizes, key=lambda size: (sizes[size], size == images), default=None)


def _resize_remedy(facts: Sequence[SliceFacts]) -> dict[str, str]:
    image, mask = _usual_image_size(facts), _usual_mask_size(facts)
    if not image or not mask or image == mask or not _same_proportion(image, mask):
        return {}
    return {"mask-size": f"Bring both to one size with `--resize {max(image)}`, or save them at one size."}


def _same_proportion(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one[0] * other[1] == one[1] * other[0]


def _modes(study: Study, facts: Sequence[SliceFacts]) -> Iterator[Fault]:
    known = [one for one in facts if one.image_mode]
    grey = [one for one in known if one.image_mode in GREY_MODES]
    for one in known:
        if one.image and one.image_mode not in (*GREY_MODES, *COLOUR_MODES):
            what = f"Images have three channels, 8 bits each (RGB), but {one.image} is {one.image_mode}."
            yield Fault("image-mode", one.image, what)
    code = "grey" if len(grey) == len(known) else "mode-within-patient"
    for one in grey:
        say = (
            "is grey; it is taken as FLAIR alone"
            if code == "grey"
            else f"is grey, others of {study.patient} are not"
        )
        yield Fault(code, one.image or "", f"{one.image} {say}.")


def _repeated_images(_: Study, facts: Sequence[SliceFacts]) -> Iterator[Fault]:
    first: dict[bytes, str] = {}
    for one in facts:
        if one.digest is None or one.image is None:
            continue
        if one.digest in first:
            yield Fault("repeated-image", one.image, f"{one.image} is the same image as {first[one.digest]}.")
        first.setdefault(one.digest, one.image)


def _whole_study(study: Study, facts: Sequence[SliceFacts]) -> Iterator[Finding]:
    if not study.has_masks:
        yield finding("no-masks", [study.folder], f"{study.patient} in {study.folder} has no masks.")
    elif not any(one.lesion_pixels for one in facts):
        yield finding("no-lesion", [study.folder], f"{study.patient} in {study.folder} has no lesion.")
    pictures = [one for one in facts if one.digest is not None]
    if pictures and all(one.is_like_a_mask for one in pictures):
        what = f"the images of {study.patient} in {study.folder} have two values each, as masks have."
        if study.has_masks:
            yield finding("mask-as-image", [study.folder], f"A scan has many grey values, but {what}")
        else:
            yield finding("like-a-mask", [study.folder], what[0].upper() + what[1:])
    if sum(one.is_negative for one in pictures) > len(pictures) / 2:
        what = (
            f"Air is dark in MRI, but the images of {study.patient} in {study.folder} are bright around it."
        )
        yield finding("negative", [study.folder], what)
    covered = sum(one.lesion_pixels for one in facts)
    pixels = sum(one.mask_size[0] * one.mask_size[1] for one in facts if one.mask_size)
    if covered > MOST_OF_IT * pixels:
        share = f"{100 * covered / pixels:.0f} %"
        what = f"The masks of {study.patient} in {study.folder} call {share} of the pictures abnormal."
        yield finding("inverted", [study.folder], what)
    if study.ignored:
        count = f"{len(study.ignored)} pictures" if len(study.ignored) > 1 else "a picture"
        what = f"{study.folder} holds {count} not named like a slice: {study.ignored[0]}."
        yield finding("other-names", study.ignored, what)


def _by(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"
