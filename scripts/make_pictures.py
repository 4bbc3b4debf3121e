"""Write the pictures of the README from made-up patients: ``.venv/bin/python scripts/make_pictures.py``."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from gliomaseg.workflows import pictures
from gliomaseg.workflows.phantom import phantom_case
from gliomaseg.workflows.system.files import replace_atomically

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "phantom.png"
SEED = 7
SIZE = 300
"""Height and width of a slice in pixels; three stand side by side."""

GREYS = 61
"""Levels of grey in the file: with the three colours they fit into six bits a pixel, which keeps it small."""

Mask = npt.NDArray[np.uint8]


def almost(truth: Mask) -> Mask:
    """Return a mask that is a little off the truth ``(H, W, D)``, as that of a network would be.

    >>> truth = np.zeros((60, 60, 1), np.uint8)
    >>> truth[10:50, 10:50] = 1
    >>> pred = almost(truth)
    >>> round(2 * float((pred & truth).sum()) / float(pred.sum() + truth.sum()), 1)
    0.9
    """
    moved = ndimage.shift(truth.astype(np.float32), (2, -4, 0), order=1)
    return (ndimage.gaussian_filter(moved, (5, 5, 0)) > 0.5).astype(np.uint8)


def phantom_picture() -> pictures.Picture:
    """Return two slices of one made-up patient, the first without and with outlines, ``(300, 900, 3)``."""
    case = phantom_case(SEED, SIZE)
    gray = pictures.to_gray(case.image)
    pred = almost(case.mask)
    first, second = pictures.choose_slices(case.mask, 2)
    outlined = [with_outlines(gray[..., k], case.mask[..., k], pred[..., k]) for k in (first, second)]
    return pictures.montage([pictures.to_rgb(gray[..., first]), *outlined], columns=3)


def with_outlines(gray: Mask, truth: Mask, pred: Mask) -> pictures.Picture:
    """Draw both outlines on a slice ``(H, W)``, two pixels wide so that they show on a small screen."""
    inner = (ndimage.binary_erosion(mask).astype(np.uint8) for mask in (truth, pred))
    return pictures.overlay(pictures.overlay(gray, *inner), truth, pred)


def save(picture: pictures.Picture, path: Path) -> None:
    """Write a picture of greys and the legend's colours as a small PNG."""
    greys = [(level, level, level) for level in np.linspace(0, 255, GREYS).round().astype(int).tolist()]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in (*greys, *pictures.LEGEND.values()) for value in colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_atomically(path) as temporary:
        small = Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        small.save(temporary, format="PNG", optimize=True)


if __name__ == "__main__":
    save(phantom_picture(), TARGET)
