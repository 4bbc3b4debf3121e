"""The mask of a DICOM study in, a DICOM Segmentation out, each frame on its image of the FLAIR series.

highdicom writes it; it is loaded when it is needed.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...transforms.dicom import frames_in_order
from ...transforms.dicom_geometry import count_of
from ..system.environment import version_of
from ..system.files import InputError
from .sources import (
    LABEL,
    SERIES,
    cannot,
    flair_files,
    identifiers,
    require_header,
    series_number,
    sources_of,
)

logger = logging.getLogger(__name__)

WHAT: Final = "DICOM Segmentation"

SERIES_NUMBER_AFTER: Final = 9000
"""The series of a segmentation gets the number of its FLAIR series and this: behind those of the scanner."""

COLOUR: Final = (70.6, 16.5, 74.7)
"""CIELab of the orange in which predictions are drawn, ``pictures.PRED_COLOUR``."""


def load_highdicom() -> ModuleType:
    """Return highdicom.

    Raises:
        InputError: it is not installed.
    """
    try:
        import highdicom.seg
    except ImportError as error:
        raise InputError(
            "--dicom-seg needs highdicom, which is not installed; pip install 'highdicom>=0.24' (the extra "
            "`dicom`), or leave --dicom-seg out and take the NIfTI masks."
        ) from error
    return highdicom


def make_dicom_seg(
    case: Mapping[str, Any], mask: npt.NDArray[np.uint8], network: str, model_sha256: str
) -> Any:
    """Return the mask of a DICOM study as a binary DICOM Segmentation, a frame for each slice with findings.

    Patient and study are those of the FLAIR series, every frame names the image that it lies on, and the
    identifiers are made of series, model and mask: the same mask written again is the same object to an
    archive, another mask is another one.

    Args:
        case: the record of the study.
        mask: ``(X, Y, Z)``, 0/1, on the grid of the FLAIR series as ``dicom.read_series`` gives it.
        network: the name of the network, and
        model_sha256: the hash of its weights, for whoever asks later what has drawn this.

    Raises:
        InputError: highdicom is not installed, or the series lacks what such an object needs.
    """
    highdicom = load_highdicom()
    names = flair_files(case)
    order = frames_in_order(names)
    sources = sources_of(names, order)
    require_header(WHAT, case, sources, order)
    pixels = _frames(mask, order, sources)
    tracking, series, instance = identifiers(sources[0], model_sha256, mask, "tracking", "series", "instance")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that a scanner has written
            return highdicom.seg.Segmentation(
                source_images=sources,
                pixel_array=pixels,
                segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                omit_empty_frames=bool(mask.any()),
                segment_descriptions=[_segment(highdicom, network, tracking)],
                series_instance_uid=series,
                series_number=SERIES_NUMBER_AFTER + series_number(sources[0]),
                sop_instance_uid=instance,
                instance_number=1,
                manufacturer="gliomaseg",
                manufacturer_model_name=network[:64] or "gliomaseg",
                software_versions=version_of("gliomaseg") or "unknown",
                device_serial_number=model_sha256[:16],
                series_description=SERIES,
                content_label="FLAIR_ABNORMAL",
                content_description="By a neural network; research software, not for diagnosis",
                content_creator_name="gliomaseg^",
            )
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        logger.debug("highdicom refuses the header of %s", names[0], exc_info=error)  # may tell of a person
        odd = f"its header is odd in a way that highdicom refuses ({type(error).__name__})"
        raise cannot(WHAT, case, odd) from error


def _frames(
    mask: npt.NDArray[np.uint8], order: Sequence[tuple[str, int]], sources: Sequence[Any]
) -> npt.NDArray[np.uint8]:
    """Return ``(F, R, C)``, a frame for each image of the sources, in their order."""
    if len(sources) > 1:
        return np.ascontiguousarray(mask.transpose(2, 1, 0))
    frames = np.zeros((count_of(sources[0]), mask.shape[1], mask.shape[0]), np.uint8)
    for depth, (_, number) in enumerate(order):
        frames[number] = mask[..., depth].T
    return frames


def _segment(highdicom: ModuleType, network: str, tracking_uid: str) -> Any:
    """Return what the segment is said to be: a lesion of the brain, found by a program."""
    from pydicom.sr.codedict import codes

    return highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label=LABEL,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=f"gliomaseg {network}".strip()[:64],
            version=version_of("gliomaseg") or "unknown",
            family=codes.DCM.ArtificialIntelligence,
        ),
        tracking_uid=tracking_uid,
        tracking_id=LABEL,
        anatomic_regions=[codes.SCT.Brain],
        display_color=highdicom.color.CIELabColor(*COLOUR),
    )
