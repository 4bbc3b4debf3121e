"""Teachers and patients in, a probability map a patient out; and the labels of a training mixed with them.

Hinton, Vinyals and Dean (2015): a small network learns more from the probabilities of a large one than from
the truth alone. DiceCELoss takes such soft labels as they are.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform
from tqdm import tqdm

from gliomaseg.transforms import keys
from gliomaseg.transforms.shrink import WHOLE, shrink
from gliomaseg.transforms.space import to_slices
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.files import InputError

from .lock import Lock
from .measure import Cases, segmenter_of
from .origin import TEACHERS, seen_by


def soften(
    folder: Path, runs: Sequence[Path], cases: Cases, lock: Lock, inference: Mapping[str, Any], unseen: bool
) -> None:
    """Write the mean probability of some models for each case; cases that are there are left.

    Args:
        folder: for one file a patient, uint8 from 0 to ``WHOLE``, in the orientation of training.
        runs: of the teachers.
        cases: training patients of the student.
        lock: no teacher may know a locked patient.
        inference: ids of the teachers' inference configs.
        unseen: ask only the teachers that were not trained on a patient.

    Raises:
        InputError: a teacher knows locked patients, all know a patient that none should, or the folder holds
            the answers of other teachers.
    """
    trained = [seen_by(run, lock) for run in runs]
    teachers = [segmenter_of(run, inference) for run in runs]
    lock.refuse((str(case[keys.PATIENT]) for case in cases), "softened")
    information = {
        "teachers": [teacher.model.sha256 for teacher in teachers],
        "names": [run.name for run in runs],
        "inference": dict(inference),
        "unseen": unseen,
        "seen": sorted(set().union(*(training | validation for training, validation in trained))),
    }
    path = folder / TEACHERS
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != information:
        raise InputError(f"{folder} holds the answers of other teachers; choose another name.")
    files.write_json(path, information)
    for case in tqdm(cases, desc="softening", unit="patient", dynamic_ncols=True):
        patient = str(case[keys.PATIENT])
        asked = [
            teacher
            for teacher, (training, _) in zip(teachers, trained, strict=True)
            if not (unseen and patient in training)
        ]
        if not asked:
            raise InputError(f"All teachers were trained on {patient}; leave --unseen out or add others.")
        target = folder / f"{patient}.npz"
        if not target.is_file():
            with files.replace_atomically(target) as temporary:
                np.savez_compressed(temporary, soft=soft_label(asked, case))


def soft_label(teachers: Sequence[Segmenter], case: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Return the teachers' mean probability as ``(H, W, D)`` uint8, in the orientation of training."""
    answers = [teacher(case) for teacher in teachers]
    mean = np.mean([answer.probability for answer in answers], axis=0, dtype=np.float64)
    return np.asarray(np.rint(to_slices(mean, answers[0].affine) * WHOLE), dtype=np.uint8)


class MixSoftd(MapTransform):  # type: ignore[misc]
    """Mix a label with the soft label of its patient; stands behind what draws slices by the label.

    Args:
        folder: of ``soften``.
        weight: of the soft label, in [0, 1].
        keys: the label, ``(1, S, S, D)`` uint8 from 0 to ``WHOLE``.

    Raises:
        ValueError: the weight is no share, or no folder was named.
    """

    def __init__(self, folder: str | None, weight: float = 0.7, keys: Any = keys.LABEL) -> None:
        super().__init__(keys)
        if not 0 <= weight <= 1:
            raise ValueError(f"`weight` is a share and must lie in [0, 1], got {weight}.")
        if folder is None:
            raise ValueError("Soft labels need `soft_folder`, the folder of `soften`, but it is None.")
        self.folder = Path(folder)
        self.weight = weight

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the label mixed, of the same shape and dtype."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self._mixed(result[key], str(result[keys.PATIENT]))
        return result

    def _mixed(self, label: torch.Tensor, patient: str) -> torch.Tensor:
        path = self.folder / f"{patient}.npz"
        if not path.is_file():
            raise InputError(f"There is no soft label of {patient} in {self.folder}; run `soften` again.")
        with np.load(path) as content:
            soft = torch.from_numpy(content["soft"])[None]
        if soft.shape[-1] != label.shape[-1] or soft.shape[1] != soft.shape[2]:
            raise InputError(
                f"The soft label of {patient} is {tuple(soft.shape[1:])} and its mask has {label.shape[-1]} "
                "slices; soft labels need square slices, and as many as the mask."
            )
        small = shrink(soft.to(torch.float32), label.shape[1])
        mixed = self.weight * small + (1 - self.weight) * label.to(torch.float32)
        result: torch.Tensor = mixed.round_().to(torch.uint8)
        return result.movedim(-1, 0).contiguous().movedim(0, -1)
