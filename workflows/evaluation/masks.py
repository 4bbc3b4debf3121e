"""Masks that somebody's program wrote for a study in, one array on the study's own grid out."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor

from ...transforms import LoadStudyd, keys
from ...transforms.plain import plain
from ...transforms.space import AFFINE_TOLERANCE_MM
from ...transforms.volume_files import laid_like, read_geometry, read_shape
from ...transforms.write import name_by_patient
from ..folders.sequence_files import volume_of
from ..system.files import InputError

SLICE_MASK_ENDINGS = (".tif", ".tiff", ".png")
MOST_CLASSES = 20
"""More values than that in one mask are no classes."""

SHOWN = 3
"""So many patients without masks are named after the first."""

VOLUME_ENDINGS = (".nii.gz", ".nii", ".mha", ".seg.nrrd", ".nrrd")


def load_label(case: Mapping[str, Any]) -> MetaTensor:
    """Load the truth of a record as ``(H, W, D)`` uint8, 0/1, in the space of its files.

    Raises:
        InputError: a file is missing or damaged.
    """
    return _load(case[keys.LABEL])


def load_prediction(
    folder: Path, case: Mapping[str, Any], empty: Sequence[int] | None = None
) -> npt.NDArray[np.uint8]:
    """Find and load the masks that a folder holds for a record.

    A mask of slice ``TCGA_XX_1_7.tif`` may be called ``TCGA_XX_1_7_mask.tif``, ``TCGA_XX_1_7_pred.tif`` or
    just ``TCGA_XX_1_7.tif`` (or ``.png``). A volume is called after the patient, or like the scan; its axes
    may be in another order than those of the scan, as its affine says. Both may lie in the folder itself or
    in one named after the patient. Any value but 0 counts as abnormal.

    Args:
        folder: of the masks.
        case: the record whose scan they belong to.
        empty: shape of the scan, ``(H, W, D)``, where a scan or slice without a mask counts as one in which
            nothing was found; None refuses it.

    Returns:
        ``(H, W, D)`` uint8, 0/1.

    Raises:
        InputError: a mask is missing, damaged, of another size than those beside it, not a mask (in colour,
            or of many values as probabilities have), or a volume that lies elsewhere in space than its scan.
    """
    scan = case[keys.IMAGE]
    volume = find_volume(folder, case)
    if volume is not None:
        return _on_the_grid_of(volume_of(case), _load(volume), volume)
    if empty is not None:
        return _with_empty(folder, case, empty)
    if whole := _whole(case):
        raise _missing(folder, str(case[keys.PATIENT]), Path(whole).name)
    return np.asarray(_load([find_slice(folder, case, Path(name)) for name in scan]).numpy(), dtype=np.uint8)


def _on_the_grid_of(scan: str | None, mask: MetaTensor, name: str) -> npt.NDArray[np.uint8]:
    """Return a mask turned to lie as its scan, if that is a volume that says how it lies."""
    values, affine = mask.numpy(), np.asarray(mask.affine)
    if scan is not None and Path(scan).is_file():
        target, known = read_geometry(scan)
        if known:
            values, affine = laid_like(values, affine, name, read_shape(scan), target)
        require_same_place(affine, name, target, scan)
    return np.asarray(values, dtype=np.uint8)


def _with_empty(folder: Path, case: Mapping[str, Any], shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Return the masks of the slices that have one, and 0 for all others."""
    found = files_there(folder, case)
    if not found:
        return np.zeros(tuple(shape), dtype=np.uint8)
    masks = _load(found).numpy()
    whole = np.zeros((*masks.shape[:2], len(case[keys.IMAGE])), dtype=np.uint8)
    whole[..., [_slice_file(folder, case, Path(name)) is not None for name in case[keys.IMAGE]]] = masks
    return whole


def find_volume(folder: Path, case: Mapping[str, Any]) -> str | None:
    """Return the volume that holds the masks of a record, None where there is none."""
    return next(iter(_volumes(folder, case)), None)


def _volumes(folder: Path, case: Mapping[str, Any]) -> list[str]:
    """Return the volumes that are called like the masks of a record; the first one is taken."""
    whole, patient = _whole(case), str(case[keys.PATIENT])
    stems = [patient, name_by_patient(patient, case.get("slices"))]  # the latter by configs and bundles
    stems += [_bare(Path(whole).name)] if whole else []
    names = [f"{stem}{tail}" for stem in dict.fromkeys(stems) for tail in ("", "_mask", "_seg", "_pred")]
    return _files(_places(folder, case), names, VOLUME_ENDINGS, case)


def find_slice(folder: Path, case: Mapping[str, Any], scan: Path) -> str:
    """Return the mask of one slice file.

    Raises:
        InputError: there is none.
    """
    found = _slice_file(folder, case, scan)
    if found is None:
        raise _missing(folder, str(case[keys.PATIENT]), scan.name)
    return found


def _slice_file(folder: Path, case: Mapping[str, Any], scan: Path) -> str | None:
    names = [f"{scan.stem}_mask", f"{scan.stem}_pred", scan.stem]
    return next(iter(_files(_places(folder, case), names, (*SLICE_MASK_ENDINGS, scan.suffix), case)), None)


def require_masks(folder: Path, cases: Sequence[Mapping[str, Any]], all_of_them: bool = True) -> list[str]:
    """Refuse a folder that lacks masks of some records, before any are measured.

    Args:
        folder: of the masks.
        cases: the records.
        all_of_them: False accepts a folder that has any mask of any record.

    Returns:
        The patients who lack masks, of all slices or of some.

    Raises:
        InputError: masks are lacking; the first one is told, the others are named.
    """
    _refuse_shared(folder, cases)
    lacking: list[tuple[str, InputError]] = []
    for case in cases:
        try:
            _require_mask(folder, case)
        except InputError as error:
            lacking.append((str(case[keys.PATIENT]), error))
    if not lacking or (not all_of_them and any(files_there(folder, case) for case in cases)):
        return [patient for patient, _ in lacking]
    others = [patient for patient, _ in lacking[1:]]
    shown = ", ".join(others[:SHOWN]) + (f" and {len(others) - SHOWN} more" if len(others) > SHOWN else "")
    more = f" Of {len(cases)} patients {len(lacking)} lack masks, also {shown}." if others else ""
    raise InputError(f"{lacking[0][1]}{more}")


def _refuse_shared(folder: Path, cases: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a mask that would be compared with the truth of two patients."""
    owners: dict[str, Mapping[str, Any]] = {}
    for case in cases:
        for file in files_there(folder, case):
            owner = owners.setdefault(file, case)
            if owner[keys.IMAGE] != case[keys.IMAGE]:
                raise InputError(
                    f"A mask belongs to one scan, but {file} is called like those of {owner[keys.PATIENT]} "
                    f"and of {case[keys.PATIENT]}; put the masks into folders named after the patients."
                )


def _require_mask(folder: Path, case: Mapping[str, Any]) -> None:
    if not files_of_prediction(folder, case):
        raise _missing(folder, str(case[keys.PATIENT]), Path(_whole(case) or "").name)


def files_of_prediction(folder: Path, case: Mapping[str, Any]) -> list[str]:
    """Return the files that ``load_prediction`` loads.

    Raises:
        InputError: one is missing.
    """
    volume, scan = find_volume(folder, case), case[keys.IMAGE]
    if volume is not None or _whole(case):
        return [volume] if volume is not None else []
    return [find_slice(folder, case, Path(name)) for name in scan]


def files_there(folder: Path, case: Mapping[str, Any]) -> list[str]:
    """Return the files of ``files_of_prediction`` that are there, in the order of the slices."""
    volume, scan = find_volume(folder, case), case[keys.IMAGE]
    if volume is not None or _whole(case):
        return [volume] if volume is not None else []
    found = (_slice_file(folder, case, Path(name)) for name in scan)
    return [name for name in found if name is not None]


def unclaimed_masks(folder: Path, cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the files of a folder, and of patients' folders in it, that could be masks and are nobody's."""
    claimed = {name for case in cases for name in files_there(folder, case)}
    places = [folder, *(folder / str(case[keys.PATIENT]) for case in cases)]
    there = [path for place in places if place.is_dir() for path in sorted(place.iterdir())]
    endings = (*VOLUME_ENDINGS, *SLICE_MASK_ENDINGS)
    return [str(path) for path in there if path.name.lower().endswith(endings) and str(path) not in claimed]


def _whole(case: Mapping[str, Any]) -> str | None:
    """Return the file of a scan that is a volume, None for slices."""
    scan = case[keys.IMAGE]
    return scan if isinstance(scan, str) else volume_of(case)


def _places(folder: Path, case: Mapping[str, Any]) -> tuple[Path, Path]:
    return folder / str(case[keys.PATIENT]), folder


def left_masks(folder: Path, cases: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the volumes that are taken for masks where another one beside is called like the mask too."""
    found = []
    for case in cases:
        taken, *others = _volumes(folder, case) or [""]
        known = {_real(taken)} | _files_of(case, keys.LABEL)
        beside = [path for path in others if Path(path).parent == Path(taken).parent]
        found += [(taken, path) for path in beside if _real(path) not in known][:1]
    return found


def truths_taken(folder: Path, cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the patients for whom nothing but the truth itself lies in a folder of predictions."""
    return [
        str(case[keys.PATIENT])
        for case in cases
        if _files_of(case, keys.LABEL).intersection(map(_real, files_there(folder, case)))
    ]


def _files_of(case: Mapping[str, Any], key: str) -> frozenset[str]:
    files = case.get(key) or ()
    return frozenset(map(_real, [files] if isinstance(files, str) else files))


def _real(path: str | Path) -> str:
    folder, name = os.path.split(path)
    return os.path.join(_real_folder(folder), name)  # noqa: PTH118 - a Path for each of 10,000 slices is slow


@functools.lru_cache(4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _files(
    places: Iterable[Path], names: Iterable[str], endings: Iterable[str], case: Mapping[str, Any]
) -> list[str]:
    """Return the files that are there; the truth behind all others, and never the scan."""
    both = dict.fromkeys(written for end in endings for written in (end, end.upper()))
    paths = (place / f"{name}{end}" for place, name, end in itertools.product(places, names, both))
    there = [str(path) for path in paths if path.is_file()]
    if not there:
        return []
    truths, scans = _files_of(case, keys.LABEL), _files_of(case, keys.IMAGE)
    others = [path for path in there if _real(path) not in truths | scans]
    return [*others, *(path for path in there if _real(path) in truths)]


def require_same_place(mask_affine: Any, mask: str, scan_affine: Any, scan: str) -> None:
    """Refuse a mask whose voxels would be compared with other places of the head.

    Args:
        mask_affine: ``(4, 4)``, in mm.
        mask: its file.
        scan_affine: the same of the scan.
        scan: its file or folder.

    Raises:
        InputError: the affines differ by more than rounding.
    """
    theirs, ours = np.asarray(mask_affine), np.asarray(scan_affine)
    if not np.allclose(theirs, ours, atol=AFFINE_TOLERANCE_MM):
        raise InputError(
            f"The mask {mask} lies elsewhere in space than its scan {scan}: the affines differ by up to "
            f"{abs(theirs - ours).max():.3g}; write it with the scan's own header."
        )


def _missing(folder: Path, patient: str, scan: str) -> InputError:
    stem = _bare(scan)
    is_slice = scan.lower().endswith(SLICE_MASK_ENDINGS)
    names = f"{stem}_mask.tif, {stem}.png or, for the whole volume," if is_slice else f"{stem}_mask.nii.gz or"
    return InputError(
        f"There is no mask for {scan} of patient {patient} in {folder}; it may be called {names} "
        f"{patient}.nii.gz."
    )


def _load(names: str | Sequence[str]) -> MetaTensor:
    """Load masks and take off the channel axis."""
    try:
        label = _loader()({keys.LABEL: names})[keys.LABEL]
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(str(error)) from error
    first = names if isinstance(names, str) else names[0]
    if label.shape[0] != 1:
        raise InputError(f"Expected a mask of one channel, got {label.shape[0]} in {first}; save it as grey.")
    if is_graded(label):
        raise InputError(
            f"A mask holds 0 and one value, or few classes, but {first} has many, as probabilities do; write "
            "1 where they reach your threshold and 0 elsewhere, without smoothing."
        )
    mask: MetaTensor = (label[0] != 0).to(torch.uint8)
    return mask


def is_graded(label: torch.Tensor) -> bool:
    """Tell whether values are shades and no classes: fractions, or more of them than anybody has classes."""
    values = plain(label)
    if values.is_floating_point() and not bool(
        torch.isfinite(values).all() and (values == values.round()).all()
    ):
        return True
    low, high = int(values.min()), int(values.max())
    if high - low >= 1 << 16:
        return len(torch.unique(values)) > MOST_CLASSES
    return int((torch.bincount(values.flatten().long() - low) > 0).sum()) > MOST_CLASSES


@functools.cache
def _loader() -> LoadStudyd:
    """Return one loader for all masks: setting one up tries every reader that MONAI knows."""
    return LoadStudyd(keys=keys.LABEL, label_key="")  # the values as they are


def _bare(name: str) -> str:
    for ending in (*VOLUME_ENDINGS, *SLICE_MASK_ENDINGS):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name
