"""One study of volumes in, what is wrong with it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..folders.studies import Study
from ..folders.volume_names import stem_of
from ..folders.volume_values import LARGEST_CLASS, NOT_A_NUMBER, read_values, values_of_mask
from .findings import Finding, finding
from .negatives import is_negative
from .slice_checks import MOST_OF_IT, Fault, digest_of, gather, shortened

CHANNELS = (1, 3)
"""Usual numbers of sequences: FLAIR alone, or pre-contrast, FLAIR and post-contrast."""

TELLING = 50
"""Voxels from which equal labels of two patients are no chance."""

_MAGIC = (b"\x1f\x8b", b"\x5c\x01\0\0", b"\0\0\x01\x5c")
"""How gzip and NIfTI files begin, the latter with the length of its header, 348, in either byte order."""

Volume = tuple[npt.NDArray[Any], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class VolumeFacts:
    """What is kept of a volume once its voxels are let go."""

    study: Study
    slices: int
    slices_with_lesion: int
    digest: bytes | None
    label_digest: bytes | None
    findings: tuple[Finding, ...]


def inspect_volume(study: Study) -> VolumeFacts:
    """Read scan and label of a study completely and note what matters."""
    faults: list[Fault] = []
    image = _read(study.volume, faults)
    label = _read(study.label, faults)
    if image is not None and study.volume:
        faults += _image_faults(study.volume, image[0], study)
        faults += _contrast_faults(study.volume, image, study)
        faults += _geometry_faults(study.volume)
        faults += _other_sequences(study)
    if label is not None and study.label:
        lies = label if image is None else _as_it_lies(study, label, image)
        faults += _label_faults(study.label, lies[0])
        faults += _pair_faults(study.label, lies, image) if image is not None else ()
    for file in study.repeated:
        faults.append(_repeated_fault(study, file))
    if study.volume is None and study.label:
        faults.append(Fault("mask-without-image", study.label, f"{study.label} has no image."))
    lesion = _slices_with_lesion(label) if label is not None else 0
    findings = [*gather(study.patient, faults), *_whole_study(study, label is not None and lesion == 0)]
    return VolumeFacts(
        study,
        slices=_slice_count(image),
        slices_with_lesion=lesion,
        digest=digest_of(image[0]) if image is not None else None,
        label_digest=_label_digest(label),
        findings=tuple(findings),
    )


def _slice_count(image: Volume | None) -> int:
    if image is None:
        return 0
    return int(image[0].shape[_slice_axis(image[1])]) if image[0].ndim > 2 else 1


def _label_digest(label: Volume | None) -> bytes | None:
    """Return what tells labels apart; a few voxels may be alike by chance."""
    if label is None or np.count_nonzero(label[0]) < TELLING:
        return None
    return digest_of(label[0] != 0)


def _read(file: str | None, faults: list[Fault]) -> Volume | None:
    if file is None:
        return None
    path = Path(file)
    if not path.exists():
        faults.append(Fault("missing-file", file, f"{file} is not there."))
    elif path.is_dir():
        faults.append(Fault("unreadable", file, f"{file} is a folder."))
    elif path.stat().st_size == 0:
        faults.append(Fault("empty-file", file, f"{file} has zero bytes."))
    else:
        try:
            return read_values(path)
        except OSError as error:
            faults.append(_read_fault(path, str(error)))
    return None


def _read_fault(path: Path, reason: str) -> Fault:
    from ...transforms.nifti import unpacked  # the transforms bring MONAI along: for volumes only

    try:
        if unpacked(path):
            what = f"{path} is not compressed, whatever its name says: rename it to {path.stem}."
            return Fault("unreadable", str(path), what)
        with path.open("rb") as stream:
            begins_well = stream.read(4).startswith(_MAGIC)
    except OSError:
        begins_well = False  # nobody may read it, as the reason says
    if begins_well and NOT_A_NUMBER not in reason:
        length = path.stat().st_size
        return Fault("truncated", str(path), f"{path} ends early or is damaged, at {length} bytes.")
    return Fault("unreadable", str(path), f"{path} cannot be read: {reason}.")


def _other_sequences(study: Study) -> list[Fault]:
    """Look at the files of the other sequences, alone and then as they will be laid over FLAIR."""
    faults: list[Fault] = []
    for file in study.parts:
        part = _read(file, faults) if file != study.volume else None
        if part is not None:
            faults += _image_faults(file, part[0], study)
            faults += _geometry_faults(file)
    return faults if faults or not study.parts else list(_overlay_faults(study))


def _overlay_faults(study: Study) -> Iterator[Fault]:
    from ...transforms import volume_files  # the transforms bring MONAI along: for volumes only
    from ...transforms.volume import join

    try:
        joined = join([volume_files.read_volume(file) for file in study.parts], study.sequences)
    except ValueError as error:
        rule, _, _ = str(error).partition("; ")
        file = next((part for part in study.parts if part in rule and part != study.volume), study.parts[0])
        yield Fault("sequence-elsewhere", file, f"{rule}.")
        return
    for note in joined.notes:
        file = next((part for part in study.parts if part in note), study.parts[0])
        yield Fault("resampled", file, note)


def _image_faults(file: str, voxels: npt.NDArray[Any], study: Study) -> Iterator[Fault]:
    if voxels.ndim not in (2, 3, 4):
        yield Fault(
            "volume-axes",
            file,
            f"A scan has 3 axes, or 4 with the sequences last, but {file} has {voxels.ndim}.",
        )
        return
    count = voxels.shape[3] if voxels.ndim == 4 else 1
    if study.parts and count != 1:
        what = f"Of several files of a patient each holds one sequence, but {file} has {count}."
        yield Fault("channels", file, what)
    elif study.sequences and not study.parts and count != len(study.sequences):
        what = f"{file} has {count} sequences, but {len(study.sequences)} of them have names."
        yield Fault("channels", file, what)
    elif study.sequences:
        pass  # as they are named
    elif count == 1 and values_of_mask(voxels) is None:
        yield Fault("grey", file, f"{file} has one sequence; it is taken as FLAIR alone.")
    elif count not in CHANNELS:
        yield Fault(
            "channels",
            file,
            f"{file} has {count} sequences; expected 1 (FLAIR) or 3 (pre-contrast, FLAIR, post-contrast).",
        )
    yield from _value_faults(file, voxels)
    yield from _mask_faults(file, voxels, study)


def _flair_of(voxels: npt.NDArray[Any], study: Study) -> npt.NDArray[Any]:
    """Return FLAIR of a volume of several channels, by their names where they have some."""
    from ...transforms.keys import CHANNELS, FLAIR  # the transforms bring MONAI along: for volumes only

    if voxels.ndim != 4:
        return voxels
    if CHANNELS[FLAIR] in study.sequences and len(study.sequences) == voxels.shape[3]:
        return voxels[..., study.sequences.index(CHANNELS[FLAIR])]
    return voxels[..., FLAIR] if voxels.shape[3] == len(CHANNELS) else voxels


def _mask_faults(file: str, voxels: npt.NDArray[Any], study: Study) -> Iterator[Fault]:
    """Find a mask in the place of a scan; one that is by itself may be the label of another file."""
    flair = _flair_of(voxels, study)
    values = values_of_mask(flair)
    if values is None:
        return
    name = file if flair is voxels else f"FLAIR in {file}"
    few = f"{name} has the values {', '.join(f'{value:g}' for value in values)} alone, as masks have"
    if len(values) == 2 and study.label is not None:
        yield Fault("mask-as-image", file, f"A scan has many grey values, but {few}.")
    else:
        yield Fault("like-a-mask", file, f"{few}.")


def _value_faults(file: str, voxels: npt.NDArray[Any]) -> Iterator[Fault]:
    from ...transforms.intensity import LARGEST_VALUE  # the transforms bring MONAI along: for volumes only

    finite = np.isfinite(voxels)
    if finite.all() and voxels.size and voxels.min() == voxels.max():
        yield Fault("blank", file, f"{file} has the value {float(voxels.flat[0]):g} everywhere.")
    if not finite.all():
        wrong = int(np.count_nonzero(~finite.reshape(*voxels.shape[:3], -1).all(axis=3)))
        count = "1 voxel that is" if wrong == 1 else f"{wrong} voxels that are"
        yield Fault("not-finite", file, f"{file} has {count} NaN or infinite.")
    elif voxels.size and float(max(voxels.max(), -float(voxels.min()))) > LARGEST_VALUE:
        yield Fault(
            "beyond-all-scans", file, f"{file} has values from {voxels.min():g} to {voxels.max():g}, "
            f"beyond {LARGEST_VALUE:g}."
        )  # fmt: skip


def _contrast_faults(file: str, image: Volume, study: Study) -> Iterator[Fault]:
    """Find a FLAIR whose black and white are exchanged."""
    flair = _flair_of(image[0], study)
    if flair.ndim not in (2, 3) or not np.isfinite(flair).all():
        return  # said by the others
    if is_negative(flair if flair.ndim == 2 else np.moveaxis(flair, _slice_axis(image[1]), -1)):
        name = file if flair is image[0] else f"FLAIR in {file}"
        yield Fault("negative", file, f"Air is dark in MRI, but it is brighter than the head in {name}.")


def _geometry_faults(file: str) -> list[Fault]:
    """Refuse what the Segmenter will refuse; where the size of a voxel is made up, it looks at no spacing."""
    from ...transforms.space import check_axial
    from ...transforms.volume_files import read_geometry  # the transforms bring MONAI along: for volumes only

    code = "unreadable"
    try:
        affine, known = read_geometry(file)
        code = "not-axial"
        if known:
            check_axial(affine, file)
    except ValueError as error:
        rule, _, _ = str(error).partition("; ")
        return [Fault(code, file, f"{rule}.")]
    return []


def _label_faults(file: str, voxels: npt.NDArray[Any]) -> Iterator[Fault]:
    if np.count_nonzero(voxels) > MOST_OF_IT * voxels.size:
        share = np.count_nonzero(voxels) / voxels.size
        yield Fault("inverted", file, f"{file} calls {100 * share:.0f} % of the picture abnormal.")
    values = np.unique(voxels).tolist()
    if set(values) <= {0, 1} or set(values) <= {0, 255}:
        return
    if set(values) <= set(range(LARGEST_CLASS + 1)):
        named = ", ".join(f"{value:g}" for value in values)
        what = f"{file} has the values {named}; all but 0 are taken as abnormality."
        yield Fault("label-classes", file, what)
    else:
        rule = f"Label values must be 0 and 1 (or 0 and 255, or classes up to {LARGEST_CLASS})"
        yield Fault("mask-values", file, f"{rule}, but {file} has {shortened(values)}.")


def _pair_faults(file: str, label: Volume, image: Volume) -> Iterator[Fault]:
    from ...transforms.space import AFFINE_TOLERANCE_MM  # as above

    shape, own = image[0].shape[:3], label[0].shape
    if own not in (shape, (*shape, 1)):
        yield Fault("label-shape", file, f"{file} is {_by(own)} voxels, its image is {_by(shape)}.")
    offset = float(np.abs(label[1] - image[1]).max())
    if offset > AFFINE_TOLERANCE_MM:
        yield Fault(
            "affine", file, f"{file} lies elsewhere than its image: their affines differ by {offset:g}."
        )


def _repeated_fault(study: Study, file: str) -> Fault:
    name, folder = stem_of(Path(file).name), Path(file).parent
    beside = [one for one in study.files() if Path(one).parent == folder and one != study.label]
    twin = next((one for one in beside if stem_of(Path(one).name) == name), None)
    if twin is not None:
        return Fault("same-name", file, f"{file} and {twin} have one name.")
    return Fault("two-labels", file, f"{file} and {study.label} are both labels of {study.volume}.")


def _as_it_lies(study: Study, label: Volume, image: Volume) -> Volume:
    """Return the label turned to lie as its image, as it is when it is loaded."""
    from ...transforms.volume_files import laid_like, read_geometry

    try:
        _, known = read_geometry(str(study.volume))
    except ValueError:  # said by _geometry_faults
        return label
    if not known or label[0].ndim != 3:
        return label
    return laid_like(*label, str(study.label), (*image[0].shape, 1)[:3], image[1])


def _whole_study(study: Study, is_blank: bool) -> Iterator[Finding]:
    if study.label is None:
        yield finding("no-masks", [study.folder], f"{study.patient} in {study.folder} has no masks.")
    elif is_blank:
        yield finding("no-lesion", [study.label], f"{study.patient} in {study.folder} has no lesion.")


def _slices_with_lesion(label: Volume) -> int:
    voxels, affine = label
    if voxels.ndim < 3:
        return int(voxels.any())
    through = _slice_axis(affine)
    others = tuple(axis for axis in range(4) if axis != through)
    return int(np.count_nonzero(np.any(voxels.reshape(*voxels.shape[:3], -1) != 0, axis=others)))


def _slice_axis(affine: npt.NDArray[Any]) -> int:
    """Return the axis that runs through the axial slices, the last one where the affine does not tell."""
    import nibabel

    if not np.isfinite(affine).all():
        return 2
    axes = nibabel.io_orientation(affine)[:, 0]
    found = np.flatnonzero(axes == 2)
    return int(found[0]) if len(found) else 2


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(str(length) for length in shape)
