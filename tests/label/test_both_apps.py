"""Our app, and MONAI Label's own with our bundle: the same client gets right answers from both."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from gliomaseg.workflows.phantoms.study import write_nifti
from gliomaseg.workflows.system.files import sha256_of

LOWEST_DICE = 0.85
"""Of the network with the known answer, where it sees the scan smaller than it is."""


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * np.logical_and(mask, truth).sum() / (np.count_nonzero(mask) + np.count_nonzero(truth)))


@pytest.mark.parametrize("form", ["volume", "flair"])
def test_a_volume_is_outlined_in_its_place(form: str, server, head, tmp_path: Path) -> None:
    path = head.write(form, tmp_path)
    assert server.client.upload(form, path).json == {"image": form}
    answer = server.client.infer(form)
    assert answer.status == 200
    mask = answer.volume(tmp_path)
    assert mask.shape == (56, 64, 7)
    assert np.allclose(mask.affine, nib.load(path).affine, atol=1e-4)
    values = np.asarray(mask.dataobj)
    assert set(np.unique(values)) == {0, 1}
    assert dice(values, head.truth()) > LOWEST_DICE
    assert dice(values[::-1], head.truth()) < 0.1
    centres = [
        nib.affines.apply_affine(mask.affine, np.argwhere(m).mean(axis=0)) for m in (values, head.truth())
    ]
    assert np.linalg.norm(centres[0] - centres[1]) < 10  # mm


@pytest.mark.parametrize("form", ["tif", "png"])
def test_a_picture_gets_one_picture_of_its_size(form: str, server, head, tmp_path: Path) -> None:
    server.client.upload(f"slice_{form}", head.write(form, tmp_path))
    answer = server.client.infer(f"slice_{form}")
    assert answer.status == 200
    mask = answer.picture
    assert (mask.size, getattr(mask, "n_frames", 1), mask.mode) == ((56, 64), 1, "L")
    values = np.asarray(mask)
    assert len(np.unique(values)) == 2
    truth = head.lesion[..., head.depth]
    assert np.array_equal(values > 0, truth > 0)
    assert dice(values[:, ::-1], truth) < 0.1
    assert dice(values[::-1], truth) < 0.9


def test_both_apps_say_the_same_of_one_volume(ours, stock, head, tmp_path: Path) -> None:
    path = head.write("volume", tmp_path)
    masks = []
    for server in (ours, stock):
        server.client.upload("alike", path)
        masks.append(np.asarray(server.client.infer("alike").volume(tmp_path).dataobj))
    assert np.array_equal(*masks)


def test_the_stock_app_trains_the_bundle_on_saved_labels(stock, made, tmp_path: Path) -> None:
    """Last in this file: the app of MONAI Label serves whatever a training leaves behind."""
    client = stock.client
    weights = next(stock.folder.rglob("models/model.pt"))
    before = sha256_of(weights)
    affine = np.diag([2.8, 2.8, 5.0, 1.0]) @ [[0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    for patient in made.patients[:3]:
        lesion = made.lesion(patient)
        files = [made.studies / patient / f"{patient}_{n + 1}.tif" for n in range(lesion.shape[2])]
        scan = np.stack([np.asarray(Image.open(file)) for file in files], axis=2)
        client.upload(patient, write_nifti(tmp_path / f"{patient}.nii.gz", scan, affine))
        drawn = write_nifti(tmp_path / f"{patient}_label.nii.gz", lesion, affine)
        assert client.save_label(patient, drawn).json == {"image": patient, "label": patient}
        kept = client.send("GET", f"/datastore/label?label={patient}&tag=final").volume(tmp_path)
        assert np.array_equal(np.asarray(kept.dataobj), lesion)
    wishes = {"max_epochs": 1, "device": "cpu", "multi_gpu": False, "val_split": 0.34}
    assert client.post(f"/train/{client.model}", wishes).status == 200
    task = client.wait_for("/train/")
    assert task["status"] == "DONE", task["words"]
    assert "epoch 1/1: loss" in task["words"]
    assert ", mean dice 0." in task["words"] or ", mean dice 1." in task["words"]
    assert sha256_of(weights) != before
    assert list(stock.folder.rglob("events.out.tfevents.*"))
    assert client.infer(made.patients[0]).status == 200
    assert client.post("/activelearning/first").json["id"] not in made.patients[:3]
