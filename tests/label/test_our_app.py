"""``gliomaseg label`` answers viewers rightly, judges retrainings, and takes no harm from bad input."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from gliomaseg.networks import create_network
from gliomaseg.workflows.cli import app
from gliomaseg.workflows.phantoms.study import write_nifti
from gliomaseg.workflows.system.files import sha256_of

QUICK = {"max_epochs": 1, "settings": {"passes": 1, "batch_cases": 2, "slices_per_case": 1}}
"""A retraining of one step or two."""


def predicted(inputs: list[Path], made: Any, folder: Path) -> Path:
    """Let ``gliomaseg predict`` outline studies; return the folder of their masks."""
    words = ["predict", *map(str, inputs), "--model", str(made.run), "--output", str(folder)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return folder


def the_info(client: Any) -> dict[str, Any]:
    return client.get("/info/")["models"]["gliomaseg"]


# What stands at the door


def test_the_server_says_what_it_is(client, made) -> None:
    info = client.get("/info/")
    assert "Not for diagnosis" in info["description"]
    assert info["labels"] == ["abnormality"]
    assert list(info["models"]) == list(info["trainers"]) == ["gliomaseg"]
    assert set(info["strategies"]) == {"random", "first", "uncertainty"}
    assert info["models"]["gliomaseg"]["model_sha256"] == sha256_of(made.run / "models/model.pt")


def test_the_studies_of_the_folder_are_there_with_their_labels(client, made, tmp_path: Path) -> None:
    objects = client.get("/datastore/?output=all")["objects"]
    assert set(made.patients) <= set(objects)
    labelled = [name for name in made.patients if "final" in objects[name]["labels"]]
    assert labelled == made.patients[:3]
    for name in labelled:
        label = client.send("GET", f"/datastore/label?label={name}&tag=final").volume(tmp_path)
        assert np.array_equal(np.asarray(label.dataobj), made.lesion(name))


def test_the_folder_of_studies_is_only_read(ours, made) -> None:
    endings = {path.suffix for path in made.studies.rglob("*") if path.is_file()}
    assert endings == {".tif"}


def test_other_web_pages_cannot_read_the_answers(client) -> None:
    with client.ask("GET", "/info/", {"Origin": "https://elsewhere.example"}) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/train/gliomaseg", "text/plain"),  # a form needs nobody's leave
        ("POST", "/infer/gliomaseg?image=a", "application/x-www-form-urlencoded"),
        ("DELETE", "/datastore/image?id=a", "application/json"),
    ],
)
def test_other_web_pages_cannot_change_anything(method: str, path: str, kind: str, client) -> None:
    answer = client.send(method, path, b"{}", kind, Origin="https://elsewhere.example")
    assert answer.status == 403
    assert f"a page of https://elsewhere.example sent {method}" in answer.json["detail"]
    own = client.send("DELETE", "/datastore/image?id=a", Origin=client.base)
    assert own.status == 404  # there is no such study


def test_a_name_that_was_bent_to_this_machine_is_not_answered(client) -> None:
    answer = client.send("GET", "/datastore/?output=all", Host="elsewhere.example")
    assert (answer.status, "'elsewhere.example' was called" in answer.json["detail"]) == (403, True)


# The same study through both doors


def test_a_folder_of_slices_gets_the_mask_of_predict_bit_by_bit(client, made, tmp_path: Path) -> None:
    patient = made.patients[4]
    answer = client.infer(patient)
    mask = np.asarray(answer.volume(tmp_path).dataobj)
    folder = predicted([made.studies / patient], made, tmp_path / "masks") / patient
    slices = [np.asarray(Image.open(folder / f"{patient}_{n + 1}_mask.tif")) for n in range(mask.shape[2])]
    assert np.array_equal(mask * np.uint8(255), np.stack(slices, axis=-1))
    assert mask.any()


@pytest.mark.parametrize("form", ["volume", "flair", "tif", "png"])
def test_a_file_gets_the_mask_file_of_predict_byte_by_byte(
    form: str, client, made, head, tmp_path: Path
) -> None:
    path = head.write(form, tmp_path)
    client.upload(f"bytes_{form}", path)
    answer = client.infer(f"bytes_{form}")
    (mask,) = (path for path in predicted([path], made, tmp_path / "masks").rglob("*_mask.*"))
    if form in ("tif", "png"):
        assert answer.body == mask.read_bytes()
    else:  # gzip stores the name of its file
        (tmp_path / "answer.nii.gz").write_bytes(answer.body)
        ours, theirs = nib.load(tmp_path / "answer.nii.gz"), nib.load(mask)
        assert ours.header.structarr.tobytes() == theirs.header.structarr.tobytes()
        assert np.asarray(ours.dataobj).tobytes() == np.asarray(theirs.dataobj).tobytes()


# What viewers do


def test_the_form_that_slicer_and_ohif_ask_for_holds_the_same_mask(client, made, tmp_path: Path) -> None:
    from gliomaseg.transforms import LoadStudyd

    patient = made.patients[3]
    plain = client.infer(patient).volume(tmp_path)
    answer = client.infer(patient, result_extension=".nrrd", result_dtype="uint8", result_compress=False)
    (tmp_path / "a.nrrd").write_bytes(answer.body)
    asked = LoadStudyd("image")({"image": str(tmp_path / "a.nrrd")})["image"]
    assert np.array_equal(asked.numpy()[0], np.asarray(plain.dataobj))
    assert np.allclose(asked.affine, plain.affine)


def test_what_is_known_of_a_mask_comes_with_it(client, made, tmp_path: Path) -> None:
    facts = client.infer(made.patients[3], output="json").json
    mask = np.asarray(client.infer(made.patients[3]).volume(tmp_path).dataobj)
    assert facts["volume_voxels"] == mask.sum() > 0
    assert facts["volume_ml"] is None  # slices do not tell the size of a voxel
    assert facts["label_names"] == {"abnormality": 1}
    assert facts["note"] == "Not for diagnosis."


def test_mask_and_facts_can_be_asked_for_at_once(client, made) -> None:
    answer = client.infer(made.patients[3], output="all")
    assert b'"volume_voxels"' in answer.body
    assert b".nii.gz" in answer.body


def test_a_scan_that_is_not_in_the_datastore_can_come_with_the_question(client, head, tmp_path: Path) -> None:
    path = head.write("volume", tmp_path)
    client.upload("known", path)
    answer = client.infer_file(path)
    assert answer.status == 200
    assert np.array_equal(
        np.asarray(answer.volume(tmp_path).dataobj),
        np.asarray(client.infer("known").volume(tmp_path).dataobj),
    )


def test_a_corrected_label_comes_back_as_0_and_1_on_the_grid_of_its_scan(
    client, head, tmp_path: Path
) -> None:
    path = head.write("volume", tmp_path)
    client.upload("corrected", path)
    drawn = write_nifti(tmp_path / "l.nii.gz", head.truth() * np.int16(3), head.affine)
    assert client.save_label("corrected", drawn).json == {"image": "corrected", "label": "corrected"}
    kept = client.send("GET", "/datastore/label?label=corrected&tag=final").volume(tmp_path)
    assert np.array_equal(np.asarray(kept.dataobj), head.truth())
    assert np.array_equal(kept.affine, nib.load(path).affine)
    client.send("DELETE", "/datastore/image?id=corrected")
    assert "corrected" not in client.get("/datastore/?output=all")["objects"]


def test_unlabelled_studies_are_outlined_in_one_go_without_a_gpu(client, made) -> None:
    assert client.post("/batch/infer/gliomaseg?images=unlabeled").status == 200
    task = client.wait_for("/batch/infer")
    assert task["status"] == "DONE", task["words"]
    objects = client.get("/datastore/?output=all")["objects"]
    assert all("original" in objects[name]["labels"] for name in made.patients[3:])
    assert "original" not in objects[made.patients[0]]["labels"]


# Which study is next


def test_the_study_that_the_model_is_least_sure_of_is_next(client, made, head, tmp_path: Path) -> None:
    faint, slope = head.volume().copy(), 30 + 210 * np.linspace(0, 1, 56) ** 2  # no edge to go by
    faint[..., 1] = np.where(faint[..., 1] > 25, slope.astype(np.uint8)[:, None, None], 0)
    client.upload("doubtful", write_nifti(tmp_path / "doubtful.nii.gz", faint, head.affine))
    client.post("/scoring/uncertainty")
    client.wait_for("/scoring/")
    objects = client.get("/datastore/?output=all")["objects"]
    unlabelled = {name: one["image"]["info"] for name, one in objects.items() if "final" not in one["labels"]}
    scores = {name: info["uncertainty"] for name, info in unlabelled.items() if info.get("uncertainty")}
    for name in ("doubtful", *made.patients[3:]):
        confidence = client.infer(name, output="json").json["confidence"]
        assert unlabelled[name]["uncertainty"] == pytest.approx(1 - confidence, abs=1e-4)
    following = client.post("/activelearning/uncertainty").json
    assert following["id"] == max(sorted(scores), key=scores.__getitem__)
    assert following["id"] == "doubtful"
    assert following["score"] == scores["doubtful"]


def test_the_first_and_a_random_study_can_be_next(client) -> None:
    objects = client.get("/datastore/?output=all")["objects"]
    unlabelled = sorted(name for name, one in objects.items() if "final" not in one["labels"])
    assert client.post("/activelearning/first").json["id"] == unlabelled[0]
    assert client.post("/activelearning/random").json["id"] in unlabelled


# Bad input


def broken(kind: str, head: Any, folder: Path) -> Path:
    if kind == "two channels":
        return write_nifti(folder / "two.nii.gz", head.volume()[..., :2], head.affine)
    if kind == "corrupt":
        path = head.write("volume", folder)
        path.write_bytes(path.read_bytes()[:-400])
        return path
    path = folder / "text.png"
    path.write_bytes(b"this is no picture")
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("two channels", "Expected 1 channel (FLAIR) or 3 (pre-contrast, FLAIR, post-contrast), got 2 in"),
        ("corrupt", "Could not read"),
        ("no picture", "Could not decode"),
    ],
)
def test_a_scan_that_cannot_be_used_is_told(
    kind: str, words: str, client, made, head, tmp_path: Path
) -> None:
    client.upload("broken", broken(kind, head, tmp_path))
    answer = client.infer("broken")
    client.send("DELETE", "/datastore/image?id=broken")
    assert answer.status == 422
    assert words in answer.json["detail"]
    assert client.infer(made.patients[4]).status == 200


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/infer/gliomaseg?image=nobody", "There is no study 'nobody' in the datastore; GET /datastore/"),
        ("/infer/gliomaseg?image=/etc/passwd", "There is no study '/etc/passwd' in the datastore"),
        ("/infer/other?image=bytes_volume", "There is no model 'other'; there is gliomaseg."),
        ("/batch/infer/other", "There is no model 'other'; there is gliomaseg."),
        ("/train/other", "There is no model 'other'; there is gliomaseg."),
        ("/scoring/other", "There is no scoring method 'other'; there is uncertainty."),
        ("/activelearning/other", "There is no strategy 'other'; there are random, first, uncertainty."),
    ],
)
def test_an_unknown_name_is_answered_with_those_there_are(path: str, words: str, client) -> None:
    answer = client.post(path) if "/infer/" not in path or "/batch/" in path else client.send("POST", path)
    assert answer.status == 404
    assert words in answer.json["detail"]
    assert client.get("/info/")["name"] == "gliomaseg"


def test_a_label_that_does_not_belong_to_its_study_is_refused(client, head, tmp_path: Path) -> None:
    client.upload("mine", head.write("volume", tmp_path))
    drawn = write_nifti(tmp_path / "l.nii.gz", head.truth()[:-1], head.affine)
    answer = client.save_label("mine", drawn)
    assert (answer.status, "shape of its scan, (56, 64, 7)" in answer.json["detail"]) == (422, True)
    assert client.save_label("nobody", drawn).status == 404
    assert client.get("/datastore/?output=all")["objects"]["mine"]["labels"] == {}


@pytest.mark.parametrize(
    ("study", "name", "words"),
    [
        ("ct", "a.dcm", "got ['.dcm']; convert DICOM with gliomaseg label"),
        ("..%2Fa", "a.nii.gz", "rename it"),
    ],
)
def test_an_upload_that_cannot_be_a_study_is_refused(study: str, name: str, words: str, client) -> None:
    answer = client.put_file(f"/datastore/image?image={study}", "file", b"x", as_name=name)
    assert answer.status == 422
    assert words in answer.json["detail"]


def test_an_upload_over_another_study_is_refused(client, head, tmp_path: Path) -> None:
    path = head.write("volume", tmp_path)
    client.upload("twice", path)
    assert (
        client.save_label("twice", write_nifti(tmp_path / "l.nii.gz", head.truth(), head.affine)).status
        == 200
    )
    answer = client.upload("twice", head.write("flair", tmp_path))
    assert answer.status == 422
    assert "There is a study 'twice' already; delete it first with DELETE" in answer.json["detail"]
    assert client.send("GET", "/datastore/image?image=twice").body == path.read_bytes()
    client.send("DELETE", "/datastore/image?id=twice")
    assert client.upload("twice", path).status == 200
    assert client.get("/datastore/?output=all")["objects"]["twice"]["labels"] == {}
    client.send("DELETE", "/datastore/image?id=twice")


def test_a_study_may_be_called_like_a_folder_of_the_project(client, head, tmp_path: Path) -> None:
    client.upload("model", head.write("volume", tmp_path))
    answer = client.infer("model")
    client.send("DELETE", "/datastore/image?id=model")
    assert answer.status == 200


def test_a_file_of_the_project_is_no_study(client, project, made) -> None:
    label = f"{project}/sessions/../studies/labels/final/{made.patients[0]}.nii.gz"
    answer = client.infer(label)
    assert (answer.status, "There is no study" in answer.json["detail"]) == (404, True)
    answer = client.infer("x", image=["/etc/passwd"])
    assert (answer.status, "`image` is the name of a study" in answer.json["detail"]) == (422, True)


def test_params_that_are_no_json_are_told(client) -> None:
    form = b"params=%7Bbroken"
    answer = client.send("POST", "/infer/gliomaseg?image=a", form, "application/x-www-form-urlencoded")
    assert (answer.status, "`params` is JSON, such as {}, but: " in answer.json["detail"]) == (422, True)


def test_training_without_labels_is_refused_at_once(client, made, tmp_path: Path) -> None:
    objects = client.get("/datastore/?output=all")["objects"]
    kept: dict[str, Path] = {}
    for name in [name for name, one in objects.items() if "final" in one["labels"]]:
        kept[name] = tmp_path / f"{name}.nii.gz"
        kept[name].write_bytes(client.send("GET", f"/datastore/label?label={name}&tag=final").body)
        client.send("DELETE", f"/datastore/label?id={name}&tag=final")
    client.until_labelled(0)
    answer = client.post("/train/gliomaseg", QUICK)
    for name, path in kept.items():
        client.save_label(name, path)
    assert answer.status == 422
    assert "final labels of at least 2 patients, one of them to validate on, got 0" in answer.json["detail"]
    assert sorted(kept) == made.patients[:3]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"settings": {"epoch": 3}}, "The training config has no id 'epoch'"),
        ({"max_epochs": "many"}, "max_epochs, learning_rate and val_split are numbers: invalid literal"),
        ({"max_epochs": 0}, "A retraining takes at least 1 epoch, got max_epochs 0"),
        ({"settings": {"size": "$__import__('os').abort()"}}, 'a plain value, got size: "$__import__'),
        ({"settings": [1]}, "`settings` maps ids of the training config to values"),
        ({"val_split": 2}, "The part that validates lies between 0 and 1, got 2.0"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_at_once(wishes: Any, words: str, client) -> None:
    answer = client.post("/train/gliomaseg", wishes)
    assert answer.status == 422
    assert words in answer.json["detail"]
    assert client.send("GET", "/train/?check_if_running=true").status == 404


# Retraining


def test_a_worse_model_is_kept_beside_and_the_served_one_stays(client, made, project, tmp_path: Path) -> None:
    before, mask = the_info(client), client.infer(made.patients[4]).volume(tmp_path)
    worse = {**QUICK, "pretrained": False, "learning_rate": 1e-6}
    assert client.post("/train/gliomaseg", worse).status == 200
    task = client.wait_for("/train/")
    assert task["status"] == "DONE", task["words"]
    assert "epoch 1/1: loss" in task["words"]
    assert "It is not better: the model before is served as before" in task["words"]
    info = client.get("/info/")
    assert info["models"]["gliomaseg"] == before
    (outcome, *_) = reversed(info["train_stats"]["gliomaseg"]["retrainings"])
    assert outcome["published"] is False
    assert outcome["dice"] <= outcome["dice_of_served"]
    assert outcome["dice_of_served"] == 1
    run = project / outcome["run"]
    assert (run / "models/model.pt").is_file()
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    assert (run / "report.html").is_file()
    again = client.infer(made.patients[4]).volume(tmp_path)
    assert np.array_equal(np.asarray(again.dataobj), np.asarray(mask.dataobj))


def test_a_better_model_is_served_and_nobody_changes_sides(client, made, project, tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.manual_seed(0)
    torch.save(create_network("resnext26_unet_tiny").state_dict(), stream)
    client.put_file("/model/gliomaseg", "file", stream.getvalue(), as_name="untrained.pt")
    before = json.loads((project / "split.json").read_text())
    patient = made.patients[3]
    scan = nib.load(project / "studies" / f"{patient}.nii.gz")
    client.save_label(patient, write_nifti(tmp_path / "l.nii.gz", made.lesion(patient), scan.affine))
    good = str(made.run / "models/model.pt")
    wishes = {"max_epochs": 1, "learning_rate": 1e-6, "settings": {**QUICK["settings"], "pretrained": good}}
    assert client.post("/train/gliomaseg", wishes).status == 200
    task = client.wait_for("/train/")
    assert "It is better and is served from now on." in task["words"], task["words"]
    last = client.get("/info/")["train_stats"]["gliomaseg"]["retrainings"][-1]
    assert last["published"] is True
    assert last["dice"] > last["dice_of_served"]
    served = the_info(client)
    assert served["served"] == last["run"]
    assert served["model_sha256"] == last["model_sha256"]
    assert client.infer(made.patients[4], output="json").json["model_sha256"] == last["model_sha256"]
    after = json.loads((project / "split.json").read_text())
    assert all(set(before[side]) <= set(after[side]) for side in before)
    assert sum(map(len, after.values())) == sum(map(len, before.values())) + 1
    assert sha256_of(made.run / "models/model.pt") != last["model_sha256"]


# The end


def test_the_server_stops_when_it_is_told_to(ours) -> None:
    assert ours.stop() == 0
    with socket.socket() as caller:
        assert caller.connect_ex(("127.0.0.1", int(ours.client.base.rpartition(":")[2]))) != 0
