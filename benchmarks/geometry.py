"""Rewrite the patients of a validation set as hospitals store them, and compare the Dice with the TIFFs'.

    python -m benchmarks.geometry --model runs/first --datalist runs/first/datalist.json

Each patient is written as NIfTI in RAS, LPS, flipped, oblique, leaning (gantry tilt), 512 x 512, 12 bits and
1 x 1 x 5 mm, as DICOM (classic, oblique, 512 x 512, enhanced) and as FLAIR alone, then segmented. The TIFFs
carry no spacing, so 0.94 x 0.94 x 5 mm is made up for the rewritten files. Results go to
benchmarks/results/geometry.json, with a table on the screen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from gliomaseg.transforms import keys
from gliomaseg.workflows.evaluation.masks import load_label
from gliomaseg.workflows.inputs import find_studies_to_predict
from gliomaseg.workflows.phantoms.study import write_dicom, write_enhanced, write_nifti
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.splits.datalist_file import load_datalist
from gliomaseg.workflows.system import files

RESULTS = Path(__file__).parent / "results" / "geometry.json"

LPS = np.diag([-0.94, -0.94, 5.0, 1.0])
"""Of ``(W, H, D)``: columns to the left, rows to posterior, slices to superior."""

DESCRIPTIONS = ("AX T1", "AX FLAIR", "AX T1 POST GD")


class Study:
    """A patient as an array ``(C, X, Y, Z)`` of int16 in LPS with its truth ``(X, Y, Z)``."""

    def __init__(self, image: np.ndarray, truth: np.ndarray, affine: np.ndarray = LPS) -> None:
        self.image, self.truth, self.affine = image.astype(np.int16), truth, affine

    def turned(self, codes: str) -> Study:
        """Return the study with its axes in another orientation."""
        start = nib.io_orientation(self.affine)
        turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes))
        apply = nib.orientations.apply_orientation
        image = np.stack([apply(channel, turn) for channel in self.image])
        affine = self.affine @ nib.orientations.inv_ornt_aff(turn, self.truth.shape)
        return Study(image, apply(self.truth, turn), affine)

    def moved(self, matrix: np.ndarray) -> Study:
        """Return the study somewhere else in space."""
        return Study(self.image, self.truth, matrix @ self.affine)

    def leaning(self, step: float) -> Study:
        """Return the study with slices shifted against each other, as a tilted gantry does."""
        affine = self.affine.copy()
        affine[1, 2] += step
        return Study(self.image, self.truth, affine)

    def doubled(self) -> Study:
        """Return the study with twice as many pixels each way in a slice, interpolated."""
        pixels = torch.from_numpy(self.image).float().movedim(-1, 0)
        size = tuple(2 * n for n in self.truth.shape[:2])
        grown = torch.nn.functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
        scale = np.diag([0.5, 0.5, 1.0, 1.0])
        scale[:2, 3] = -0.25
        truth = self.truth.repeat(2, axis=0).repeat(2, axis=1)
        return Study(grown.movedim(0, -1).round().numpy(), truth, self.affine @ scale)

    def scaled(self, factor: int) -> Study:
        """Return the study with more bits."""
        return Study(self.image * factor, self.truth, self.affine)


def rotation() -> np.ndarray:
    """Return a turn about all three axes, by 17, 12 and 8 degrees, and a shift in mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = nib.eulerangles.euler2mat(np.radians(8), np.radians(12), np.radians(17))
    matrix[:3, 3] = [31.5, -12.25, 77.0]
    return matrix


def nifti(folder: Path, study: Study) -> Path:
    """Write all sequences as one 4-D file."""
    return write_nifti(folder / "scan.nii.gz", np.moveaxis(study.image, 0, -1), study.affine)


def flair_nifti(folder: Path, study: Study) -> Path:
    """Write FLAIR alone."""
    return write_nifti(folder / "scan.nii.gz", study.image[keys.FLAIR], study.affine)


def dicom(folder: Path, study: Study) -> Path:
    """Write three classic series into one folder."""
    for number, (channel, description) in enumerate(zip(study.image, DESCRIPTIONS, strict=True), start=1):
        tags = {"SeriesDescription": description, "SeriesNumber": number}
        write_dicom(folder / f"s{number}", channel, study.affine, tags)
    return folder


def flair_dicom(folder: Path, study: Study) -> Path:
    """Write FLAIR alone as a classic series."""
    return write_dicom(folder, study.image[keys.FLAIR], study.affine)


def enhanced(folder: Path, study: Study) -> Path:
    """Write three enhanced multi-frame files into one folder."""
    for number, (channel, description) in enumerate(zip(study.image, DESCRIPTIONS, strict=True), start=1):
        tags = {"SeriesDescription": description, "SeriesNumber": number}
        write_enhanced(folder / f"s{number}.dcm", channel, study.affine, tags)
    return folder


Write = Callable[[Path, Study], Path]

FORMS: dict[str, tuple[Callable[[Study], Study], Write]] = {
    "NIfTI LPS": (lambda study: study, nifti),
    "NIfTI RAS": (lambda study: study.turned("RAS"), nifti),
    "NIfTI flipped, sagittal axes first (ASR)": (lambda study: study.turned("ASR"), nifti),
    "NIfTI oblique": (lambda study: study.moved(rotation()), nifti),
    "NIfTI leaning 15 degrees": (lambda study: study.leaning(5 * np.tan(np.radians(15))), nifti),
    "NIfTI 512 x 512": (Study.doubled, nifti),
    "NIfTI 12 bits": (lambda study: study.scaled(16), nifti),
    "NIfTI 1 x 1 x 5 mm": (lambda s: Study(s.image, s.truth, np.diag([-1.0, -1, 5, 1])), nifti),
    "DICOM": (lambda study: study, dicom),
    "DICOM oblique, 12 bits": (lambda study: study.moved(rotation()).scaled(16), dicom),
    "DICOM 512 x 512": (Study.doubled, dicom),
    "DICOM enhanced": (lambda study: study, enhanced),
    "NIfTI FLAIR alone": (lambda study: study, flair_nifti),
    "DICOM FLAIR alone": (lambda study: study, flair_dicom),
}


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return the volume Dice; 1 where both are empty."""
    total = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / total if total else 1.0


def measure(segmenter: Segmenter, case: dict[str, Any], forms: list[str], scratch: Path) -> dict[str, Any]:
    """Return the Dice of one patient as TIFFs and in every form."""
    truth = np.asarray(load_label(case).numpy(), dtype=np.uint8)
    result = segmenter(case)
    study = Study(result.image.transpose(0, 2, 1, 3), truth.transpose(1, 0, 2))
    row: dict[str, Any] = {"patient": case[keys.PATIENT], "TIFF": dice(result.mask, truth)}
    for number, name in enumerate(forms):
        change, write = FORMS[name]
        changed = change(study)
        (record,) = find_studies_to_predict([write(scratch / str(number), changed)])
        row[name] = dice(*on_grid_of(segmenter(record), changed))
    return row


def on_grid_of(result: Any, study: Study) -> tuple[np.ndarray, np.ndarray]:
    """Return mask and truth on one grid; DICOM may come back with its slices the other way round."""
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(result.affine), nib.io_orientation(study.affine)
    )
    mask = nib.orientations.apply_orientation(result.mask, turn)
    back = result.affine @ nib.orientations.inv_ornt_aff(turn, result.mask.shape)
    if not np.allclose(back, study.affine, atol=1e-3):
        raise RuntimeError(f"The mask lies at {back.tolist()} and the scan at {study.affine.tolist()}.")
    return mask.astype(np.uint8), study.truth


def summary(rows: list[dict[str, Any]], forms: list[str]) -> dict[str, dict[str, float]]:
    """Return mean Dice, mean change and largest change against the TIFFs for every form."""
    table = {}
    for name in ["TIFF", *forms]:
        changes = [row[name] - row["TIFF"] for row in rows]
        table[name] = {
            "mean_dice": statistics.fmean(row[name] for row in rows),
            "mean_change": statistics.fmean(changes),
            "largest_change": max(changes, key=abs),
        }
    return table


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--datalist", type=Path, required=True)
    parser.add_argument("--section", default="validation")
    parser.add_argument("--patients", type=int, help="only the first few")
    parser.add_argument("--forms", nargs="*", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    segmenter = Segmenter.from_name(asked.model, asked.device)
    cases = load_datalist(asked.datalist)[asked.section][: asked.patients]
    rows: list[dict[str, Any]] = []
    started = time.monotonic()
    for case in cases:
        with tempfile.TemporaryDirectory() as scratch:
            rows.append(measure(segmenter, case, asked.forms, Path(scratch)))
        table = summary(rows, asked.forms)
        content = {
            "model_sha256": segmenter.model.sha256,
            "patients": len(rows),
            "minutes": round((time.monotonic() - started) / 60, 1),
            "forms": table,
            "per_patient": rows,
        }
        files.write_json(asked.output, json.loads(json.dumps(content)))
        print(f"{len(rows)}/{len(cases)} {rows[-1]['patient']} TIFF {rows[-1]['TIFF']:.3f}", flush=True)
    print(f"{'form':<45}{'mean Dice':>10}{'mean change':>13}{'largest':>10}")
    for name, row in table.items():
        print(f"{name:<45}{row['mean_dice']:>10.4f}{row['mean_change']:>13.4f}{row['largest_change']:>10.4f}")


if __name__ == "__main__":
    main()
