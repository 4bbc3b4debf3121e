"""Names of files in, whether they are volumes and what they are called without their ending out."""

from __future__ import annotations

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
"""File endings of volumes, in any mixture of upper and lower case; ``transforms.volume_files`` reads them."""


def is_volume(name: str) -> bool:
    """Return whether a file name is that of a volume: NIfTI, NRRD or MetaImage.

    Example:
        >>> is_volume("anna.NII.GZ"), is_volume("anna.seg.nrrd"), is_volume("anna.tif")
        (True, True, False)
    """
    return name.lower().endswith(ENDINGS)


def stem_of(name: str) -> str:
    """Return the name of a volume without ``.nii.gz``, ``.nrrd`` and so on.

    Example:
        >>> stem_of("BRATS_001.nii.gz"), stem_of("anna.nrrd")
        ('BRATS_001', 'anna')
    """
    return name[: -next(len(ending) for ending in ENDINGS if name.lower().endswith(ending))]
