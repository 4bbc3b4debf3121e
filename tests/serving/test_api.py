from __future__ import annotations

import asyncio
import base64
import errno
import inspect
import io
import json
import re
import zipfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pydicom import dcmread
from starlette.requests import Request

from gliomaseg.serving import api, inference, landing, outlining, uploads, web_server
from gliomaseg.serving.api import create_app
from gliomaseg.serving.jobs import Job, Jobs, StoppedError
from gliomaseg.serving.settings import ServeSettings
from gliomaseg.workflows.folders.slices import parse_name
from gliomaseg.workflows.phantoms.study import write_dicom
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError

ADDRESS = "http://127.0.0.1:8000"
PATIENCE = 600  # questions that a test asks about a job before it gives up
NOT_FOR_DIAGNOSIS = "Research software. Not for diagnosis."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "served"


@pytest.fixture
def client(bright_segmenter: Segmenter, folder: Path) -> Iterator[TestClient]:
    folder.mkdir()
    app = create_app(bright_segmenter, ServeSettings(upload_mb=8, upload_files=40), folder)
    with TestClient(app, base_url=ADDRESS) as client:
        yield client


def slices_of(data: Path, patient: str = "TCGA_CS_P006_20000106") -> list[tuple[str, tuple[str, bytes]]]:
    """Return the scans of a made-up patient as form fields; in this one something is found."""
    place = next(data.rglob(patient))
    numbered = {parse_name(file.name).number: file for file in place.glob("*.tif") if "mask" not in file.name}
    scans = [file for _, file in sorted(numbered.items())]
    return [("files", (f"{place.name}/{file.name}", file.read_bytes())) for file in scans]


def volume(data: np.ndarray, affine: np.ndarray, path: Path) -> tuple[str, tuple[str, bytes]]:
    nib.save(nib.Nifti1Image(data, affine), path)
    return "files", (path.name, path.read_bytes())


def done(client: TestClient, parts: list[Any], words: dict[str, str] | None = None) -> dict[str, Any]:
    """Upload and ask until it is done or failed."""
    sent = client.post("/api/jobs", files=parts, data=words)
    assert sent.status_code == 202, sent.text
    assert sent.headers["location"] == sent.json()["self"]
    for _ in range(PATIENCE):
        job = client.get(sent.json()["self"]).json()
        if job["state"] in ("done", "failed"):
            return job
        client.app.state.served.jobs._worker.join(0.1)
    raise AssertionError(job)


def test_slices_come_back_as_masks_figures_and_pictures(
    client: TestClient, phantom_data: Path, folder: Path
) -> None:
    parts = slices_of(phantom_data)
    job = done(client, parts)
    patient = parts[0][1][0].split("/")[0]
    assert (job["state"], job["error"], job["done"], job["total"]) == ("done", None, 1, 1)
    assert job["note"] == NOT_FOR_DIAGNOSIS
    (study,) = job["studies"]
    assert (study["patient"], study["slices"], study["volume_ml"]) == (patient, len(parts), None)
    assert study["volume_voxels"] > 0
    assert len(study["files"]) == len(parts)
    masks = [np.asarray(Image.open(io.BytesIO(client.get(name).content))) for name in study["files"]]
    assert sum(int((mask > 0).sum()) for mask in masks) == study["volume_voxels"]
    areas = [int((mask > 0).sum()) for mask in masks]
    assert study["largest_slice"] == 1 + int(np.argmax(areas))
    assert Image.open(io.BytesIO(client.get(study["overlay"]).content)).width > 64
    assert str(folder) not in json.dumps(job)


def test_a_slice_is_shown_with_and_without_the_outline(client: TestClient, phantom_data: Path) -> None:
    (study,) = done(client, slices_of(phantom_data))["studies"]
    address = study["slice"].replace("{number}", str(study["largest_slice"]))
    answer = client.get(address)
    assert answer.headers["content-type"] == "image/png"
    outlined = np.asarray(Image.open(io.BytesIO(answer.content)))
    bare = np.asarray(Image.open(io.BytesIO(client.get(f"{address}?outline=false").content)))
    assert outlined.shape == bare.shape == (64, 64, 3)
    assert (bare[..., 0] == bare[..., 2]).all()  # grey
    assert (outlined[..., 0] != outlined[..., 2]).any()


def test_a_volume_keeps_its_grid_and_has_millilitres(client: TestClient, head: Any, tmp_path: Path) -> None:
    part = volume(head.scan[..., 1], head.affine, tmp_path / "flair.nii.gz")
    (study,) = done(client, [part])["studies"]
    (tmp_path / "mask.nii.gz").write_bytes(client.get(study["files"][0]).content)
    mask = nib.load(tmp_path / "mask.nii.gz")
    assert mask.shape == head.scan.shape[:3]
    assert np.allclose(mask.affine, head.affine, atol=1e-5)
    assert study["volume_ml"] == pytest.approx(study["volume_voxels"] * 2.8 * 2.8 * 5 / 1000, rel=1e-3)
    assert study["notes"] == ["FLAIR stood in for pre-contrast and post-contrast."]
    assert [round(size, 1) for size in study["spacing_mm"]] == [2.8, 2.8, 5.0]


def test_the_archive_holds_all_that_predict_would_write(
    client: TestClient, phantom_data: Path, folder: Path
) -> None:
    job = done(client, [*slices_of(phantom_data), *slices_of(phantom_data, "TCGA_FG_P002_20000102")])
    answer = client.get(job["archive"])
    assert 'filename="gliomaseg.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        names, text = packed.namelist(), packed.read("results.json").decode()
        table = packed.read("results.csv").decode()
    patients = [study["patient"] for study in job["studies"]]
    assert len(patients) == 2
    assert {"results.csv", "results.json", *(f"overlays/{name}.png" for name in patients)} <= set(names)
    assert str(folder) not in text + table
    assert [study["patient"] for study in json.loads(text)["studies"]] == patients


def test_one_study_that_cannot_be_read_does_not_stop_the_others(
    client: TestClient, head: Any, tmp_path: Path, folder: Path
) -> None:
    good = volume(head.scan[..., 1], head.affine, tmp_path / "good.nii.gz")
    job = done(client, [good, ("files", ("bad.nii.gz", b"no scan"))])
    assert job["state"] == "done"
    assert [study["patient"] for study in job["studies"]] == ["good"]
    (failure,) = job["failed"]
    assert (failure["patient"], failure["input"]) == ("bad", "study/bad.nii.gz")
    assert failure["reason"]
    assert "1 of 2 studies could not be segmented" in job["error"]
    assert str(folder) not in json.dumps(job)


@pytest.mark.parametrize("name", ["list.json", "list.csv"])
@pytest.mark.parametrize("there", [True, False])
def test_a_list_in_an_upload_is_not_even_read(
    client: TestClient, tmp_path: Path, name: str, there: bool
) -> None:
    secret = tmp_path / "secret.nii.gz"
    if there:
        secret.write_bytes(b"whatever")
    content = {
        "list.json": json.dumps({"test": [{"image": str(secret)}]}),
        "list.csv": f"patient,image,label\nx,{secret},\n",
    }[name]
    job = done(client, [("files", (name, content.encode()))])
    assert job["error"] == (
        f"{name} is a list of files, and those that it names stay where they are; send the scans themselves."
    )


def test_an_upload_without_any_scan_fails_with_a_sentence(client: TestClient, folder: Path) -> None:
    job = done(client, [("files", ("notes.txt", b"no scan"))])
    assert (job["state"], job["studies"], job["archive"]) == ("failed", [], None)
    assert job["error"].startswith("notes.txt is no scan that can be read: expected slices")
    archive = client.get(f"{job['self']}/archive.zip")
    assert archive.status_code == 404
    assert archive.json()["detail"].startswith("There is no archive, since nothing could be outlined")
    assert str(folder) not in job["error"]


def test_deleting_a_job_deletes_its_files(client: TestClient, phantom_data: Path, folder: Path) -> None:
    job = done(client, slices_of(phantom_data))
    assert list(folder.iterdir())
    assert client.delete(job["self"]).status_code == 204
    assert list(folder.iterdir()) == []
    gone = client.get(job["self"])
    assert gone.status_code == 404
    assert gone.json()["detail"].startswith(f"There is no job '{job['id']}'; results are deleted 60 minutes")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("files/../input/x", "Not Found"),
        (
            "files/%2e%2e/input/x",
            "There is no file '../input/x'; there are {patient}/{patient}_1_mask.tif, {patient}/",
        ),
        ("files//etc/passwd", "There is no file '/etc/passwd'; there are "),
        ("studies/nobody/slices/1", "There is no study 'nobody'; there is "),
        ("studies/{patient}/slices/0", "The slices of {patient} are 1 to {slices}, but 0 was asked for."),
        ("studies/{patient}/slices/99", "The slices of {patient} are 1 to {slices}, but 99 was asked for."),
    ],
)
def test_what_is_not_there_is_answered_with_a_sentence(
    end: str, words: str, client: TestClient, phantom_data: Path
) -> None:
    job = done(client, slices_of(phantom_data))
    study = job["studies"][0]
    answer = client.get(f"{job['self']}/{end.format(**study)}")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith(words.format(**study))


def test_refused_uploads_leave_nothing_behind(client: TestClient, folder: Path) -> None:
    refusals = {
        "nothing": client.post("/api/jobs", data={"files": "text"}, files={"other": ("a.tif", b"")}),
        "elsewhere": client.post("/api/jobs", files=[("files", ("../../a.tif", b"scan"))]),
        "large": client.post("/api/jobs", files=[("files", ("a.tif", bytes(9 * 2**20)))]),
        "many": client.post("/api/jobs", files=[("files", (f"{n}.tif", b"")) for n in range(41)]),
        "endless": client.post("/api/jobs", content=iter([b"no end"])),
        "wrong": client.post("/api/jobs", content=b"scan", headers={"content-type": "text/plain"}),
    }
    status = {name: answer.status_code for name, answer in refusals.items()}
    assert status == {
        "nothing": 422,
        "elsewhere": 422,
        "large": 413,
        "many": 400,
        "endless": 411,
        "wrong": 422,
    }
    assert all(answer.json()["detail"] for answer in refusals.values())
    assert "Maximum number of files is 40" in refusals["many"].json()["detail"]
    assert list(folder.iterdir()) == []


def test_an_archive_of_a_study_is_outlined(client: TestClient, phantom_data: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for _, (name, content) in slices_of(phantom_data):
            packed.writestr(f"anna/{name}", content)
    job = done(client, [("files", ("study.zip", stream.getvalue()))])
    assert job["state"] == "done"
    assert len(job["studies"]) == 1


def test_probabilities_can_be_asked_for(client: TestClient, head: Any, tmp_path: Path) -> None:
    part = volume(head.scan, head.affine, tmp_path / "anna.nii.gz")
    names = [address.rsplit("/", 1)[-1] for address in done(client, [part])["studies"][0]["files"]]
    more = done(client, [part], {"probabilities": "true"})["studies"][0]["files"]
    assert [address.rsplit("/", 1)[-1] for address in more] == [*names, "anna_probability.nii.gz"]
    assert client.get(more[-1]).status_code == 200


def test_a_form_that_is_damaged_is_answered_in_a_sentence(client: TestClient, folder: Path) -> None:
    for content, kind in (
        (b"--e\r\nno header", "multipart/form-data; boundary=e"),
        (b"x", "multipart/form-data"),
    ):
        answer = client.post("/api/jobs", content=content, headers={"content-type": kind})
        assert answer.status_code == 400
        assert answer.json()["detail"].endswith("with its files in the field `files`.")
    assert list(folder.iterdir()) == []


def test_a_form_that_ends_early_is_no_whole_one(client: TestClient, folder: Path) -> None:
    part = b'--e\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s'
    content = part % (b"p_flair.nii.gz", b"whole\r\n") + part % (b"p_t1.nii.gz", b"cut sho")
    kind = {"content-type": "multipart/form-data; boundary=e"}
    answer = client.post("/api/jobs", content=content, headers=kind)
    assert answer.status_code == 400
    assert "A form ends with its boundary, but this one ends early" in answer.json()["detail"]
    assert list(folder.iterdir()) == []
    assert client.post("/api/jobs", content=content + b"rt\r\n--e--\r\n", headers=kind).status_code == 202


def test_a_server_without_room_for_a_job_says_so(bright_segmenter: Segmenter) -> None:
    app = create_app(bright_segmenter, ServeSettings(waiting=1), Path("/proc/self/nowhere"))
    client = TestClient(app, base_url=ADDRESS)
    for _ in range(3):
        answer = client.post("/api/jobs", files=[("files", ("a.tif", b"scan"))])
        assert answer.status_code == 507


def test_too_many_uploads_are_answered_with_503(bright_segmenter: Segmenter, folder: Path) -> None:
    folder.mkdir()
    app = create_app(bright_segmenter, ServeSettings(waiting=1), folder)
    client = TestClient(app, base_url=ADDRESS)  # without its lifespan, so nobody works
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").status_code == 503
    assert client.post("/api/jobs", files=[("files", ("a.tif", b""))]).json()["state"] == "waiting"
    answer = client.post("/api/jobs", files=[("files", ("a.tif", b""))])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


def test_the_model_and_the_health_are_told(client: TestClient, bright_segmenter: Segmenter) -> None:
    model = client.get("/api/model").json()
    assert (model["network"], model["size"], model["sha256"]) == ("bright", 96, bright_segmenter.model.sha256)
    assert (model["largest_upload_mb"], model["note"]) == (8, NOT_FOR_DIAGNOSIS)
    assert client.get("/health/ready").json() == client.get("/health/live").json() == {"status": "ok"}


def test_what_was_done_is_told_to_prometheus(client: TestClient, phantom_data: Path) -> None:
    done(client, slices_of(phantom_data))
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    assert 'gliomaseg_jobs_ended_total{state="done"} 1.0' in lines
    assert 'gliomaseg_studies_total{state="done"} 1.0' in lines
    assert 'gliomaseg_jobs{state="waiting"} 0.0' in lines
    assert "gliomaseg_ready 1.0" in lines
    assert "TCGA" not in answer.text


@pytest.mark.parametrize("address", ["/", "/api/docs"])
def test_pages_say_that_they_are_not_for_diagnosis_and_load_nothing_from_elsewhere(
    address: str, client: TestClient
) -> None:
    answer = client.get(address)
    assert answer.headers["content-type"].startswith("text/html")
    assert NOT_FOR_DIAGNOSIS in answer.text
    for attribute in ('src="', '<link rel="stylesheet" href="', '<link rel="icon" href="'):
        for place in answer.text.split(attribute)[1:]:
            name = place.split('"')[0]
            assert not name.startswith(("/", "http")), name  # a proxy may show the page below a path
            assert client.get(urljoin(address, name)).status_code == 200, name
    assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == (
        "no-store",
        "nosniff",
    )
    assert "style=" not in answer.text  # which that policy forbids


def test_other_web_pages_are_refused(client: TestClient) -> None:
    part = [("files", ("a.tif", b""))]
    foreign = client.post("/api/jobs", files=part, headers={"origin": "https://elsewhere.example"})
    assert foreign.status_code == 403
    assert "a page of https://elsewhere.example sent POST" in foreign.json()["detail"]
    bent = client.get("/api/model", headers={"host": "elsewhere.example"})
    assert bent.status_code == 403
    assert "localhost or by a name in --host or --name" in bent.json()["detail"]
    assert bent.headers["x-content-type-options"] == "nosniff"
    own = client.post("/api/jobs", files=part, headers={"origin": ADDRESS})
    assert own.status_code == 202


def test_the_schema_names_what_the_documentation_names(client: TestClient) -> None:
    schema = client.get("/api/openapi.json").json()
    page = client.get("/api/docs").text
    told = [path.replace("{job_id}", "{id}") for path in schema["paths"]]
    assert len(told) >= 8
    assert [path for path in told if path.replace("/health/ready", "/health/live") not in page] == []
    form = schema["paths"]["/api/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["files"]


def test_a_missing_package_says_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "PACKAGES", {"no_such_module": "no-such-package", "json": "json"})
    words = r"The server needs no-such-package, not installed here; install the extra `serve`: pip install"
    with pytest.raises(InputError, match=words):
        web_server.require_packages()


def test_the_series_of_a_dicom_study_can_be_named_and_segmentations_asked_for(
    client: TestClient, head: Any, tmp_path: Path
) -> None:
    for number, channel in ((5, 0), (6, 1)):
        tags = {"SeriesDescription": f"plain {number}", "SeriesNumber": number}
        write_dicom(
            tmp_path / "anna" / f"s{number}", head.scan[..., channel], head.affine, tags, study="anna"
        )
    files = sorted(path for path in tmp_path.rglob("*.dcm"))
    parts = [("files", (path.relative_to(tmp_path).as_posix(), path.read_bytes())) for path in files]
    assert done(client, parts)["error"] is not None  # either may be FLAIR
    job = done(client, parts, {"flair": "6", "pre": "5", "post": "none", "dicom_seg": "True"})
    assert job["error"] is None
    (study,) = job["studies"]
    assert (study["patient"], study["slices"]) == ("anna", 7)
    assert study["sequences"] == ["pre-contrast", "FLAIR"]
    assert study["volume_ml"] > 0
    nifti, seg = sorted(study["files"])
    assert (Path(nifti).name, Path(seg).name) == ("anna_mask.nii.gz", "anna_mask.seg.dcm")
    assert dcmread(io.BytesIO(client.get(seg).content)).Modality == "SEG"
    with zipfile.ZipFile(io.BytesIO(client.get(job["archive"]).content)) as archive:
        assert "anna/anna_mask.seg.dcm" in archive.namelist()


def test_segmentations_of_what_is_not_dicom_are_refused(
    client: TestClient, head: Any, tmp_path: Path
) -> None:
    part = volume(head.scan[..., 1], head.affine, tmp_path / "flair.nii.gz")
    job = done(client, [part], {"dicom_seg": "true"})
    words = "DICOM Segmentations (--dicom-seg; dicom_seg of an upload) are made of the masks of DICOM studies"
    assert job["error"].startswith(f"{words}, but no input is DICOM")
    assert done(client, [part], {"dicom_seg": "false"})["error"] is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("probabilites", "true", "but 'probabilites' was sent; correct it."),
        (
            "probabilities",
            "maybe",
            "The field probabilities says true or 1 or on or yes, or false or 0 or off or ",
        ),
    ],
)
def test_a_field_or_a_word_that_nobody_knows_is_refused(
    field: str, value: str, words: str, client: TestClient, head: Any, tmp_path: Path
) -> None:
    part = volume(head.scan[..., 1], head.affine, tmp_path / "flair.nii.gz")
    answer = client.post("/api/jobs", files=[part], data={field: value})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_what_the_machine_lacks_is_said_without_the_places_of_the_server(
    client: TestClient, head: Any, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_files(found: list[Path], *_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files", str(found[0]))

    monkeypatch.setattr(outlining, "predict_studies", out_of_files)
    job = done(client, [volume(head.scan[..., 1], head.affine, tmp_path / "flair.nii.gz")])
    assert job["state"] == "failed"
    assert job["error"].startswith(
        "More files would have to be open than this process may open ([Errno 24] Too"
    )
    assert "flair.nii.gz" in job["error"]
    assert str(folder) not in job["error"]


def test_words_about_series_go_along(client: TestClient, head: Any, tmp_path: Path) -> None:
    part = volume(head.scan[..., 1], head.affine, tmp_path / "flair.nii.gz")
    sent = client.post("/api/jobs", files=[part], data={"flair": " 5 ", "pre": "", "post": "none"})
    job = client.app.state.served.jobs.find(sent.json()["id"])
    assert job.wanted == {"FLAIR": "5", "post-contrast": "none"}
    while client.get(sent.json()["self"]).json()["state"] not in ("done", "failed"):
        client.app.state.served.jobs._worker.join(0.1)
    assert job.error is not None
    assert job.error.startswith("Beside inputs, --flair and --post can only choose a series of a DICOM study")


def test_a_list_in_an_upload_names_no_file_of_the_machine(
    client: TestClient, head: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.nii.gz"
    nib.save(nib.Nifti1Image(head.scan[..., 1], head.affine), secret)
    listing = json.dumps({"training": [{"image": str(secret)}]}).encode()
    parts = [("files", ("d/dataset.json", listing)), ("files", ("d/notes.txt", b"x"))]
    job = done(client, parts)
    assert (job["state"], job["studies"]) == ("failed", [])
    monkeypatch.setattr(uploads, "SKIPPED", ())  # and if it came through
    job = done(client, parts)
    assert (job["state"], job["studies"]) == ("failed", [])
    assert job["error"].startswith("The files of a study come along with it, but secret names one elsewhere")


def test_all_that_failed_can_be_read_and_taken_home(client: TestClient) -> None:
    job = done(client, [("files", (f"{name}.nii.gz", b"no scan")) for name in ("a", "b")])
    assert (job["state"], [failure["patient"] for failure in job["failed"]]) == ("failed", ["a", "b"])
    with zipfile.ZipFile(io.BytesIO(client.get(job["archive"]).content)) as packed:
        assert packed.namelist() == ["results.csv", "results.json"]


def test_a_full_disk_is_a_507_without_a_path(
    client: TestClient, phantom_data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = done(client, slices_of(phantom_data))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    answer = client.get(job["archive"])
    assert answer.status_code == 507
    assert "No space left on device" in answer.json()["detail"]
    assert str(folder) not in answer.text
    monkeypatch.setattr(client.app.state.served.jobs, "submit", full)
    before = sorted(folder.iterdir())
    assert client.post("/api/jobs", files=[("files", ("a.tif", b""))]).status_code == 507
    assert sorted(folder.iterdir()) == before


def test_a_number_that_is_none_is_answered_with_a_sentence(client: TestClient, phantom_data: Path) -> None:
    job = done(client, slices_of(phantom_data))
    answer = client.get(job["studies"][0]["slice"].replace("{number}", "first"))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("number: Input should be a valid integer")
    assert "got 'first'. /api/docs says what is asked for" in answer.json()["detail"]


def test_a_proxy_may_call_the_server_by_its_own_name(bright_segmenter: Segmenter, folder: Path) -> None:
    folder.mkdir()
    settings = ServeSettings(names=("Seg.example.org",))
    client = TestClient(create_app(bright_segmenter, settings, folder), base_url=ADDRESS)
    part = [("files", ("a.tif", b""))]
    origin = {"origin": "https://seg.example.org"}
    for headers in (origin, {**origin, "host": "seg.example.org"}):
        assert client.post("/api/jobs", files=part, headers=headers).status_code == 202
    foreign = client.post("/api/jobs", files=part, headers={"origin": "https://example.org"})
    assert foreign.status_code == 403


def test_whoever_reads_that_a_job_is_done_reads_all_of_it(tmp_path: Path) -> None:
    class Ending(Job):
        """A job that ends right after somebody has read its results."""

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if name == "results":
                self.state = "done"
            return value

    job = Ending("a", tmp_path, state="running")
    served = api.Served(None, ServeSettings(), Jobs(tmp_path, lambda *_: None), None)
    assert api._describe(job, served).state == "running"


def test_an_upload_that_nobody_waits_for_is_given_up(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_: Request) -> bool:
        return True

    monkeypatch.setattr(Request, "is_disconnected", gone)
    assert client.post("/api/jobs", files=[("files", ("a.tif", b""))]).status_code == 400
    assert list(folder.iterdir()) == []
    assert client.app.state.served.jobs._jobs == {}


def test_an_upload_that_is_given_up_while_it_is_unpacked_is_answered_and_leaves_nothing(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = client.app.state.served.jobs

    def unpack(sent: Any, place: Path, settings: Any, goes: Any) -> None:
        (job,) = jobs._jobs.values()
        jobs.delete(job)
        (place / "scan").touch()
        goes()

    monkeypatch.setattr(api, "save_uploads", unpack)
    answer = client.post("/api/jobs", files=[("files", ("a.tif", b""))])
    assert answer.status_code == 503
    assert answer.json()["detail"] == ("The server stops, or the upload took too long; send it again later.")
    assert list(folder.iterdir()) == []


def test_an_answer_that_fails_says_no_more_than_that_and_has_the_same_headers(
    bright_segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(bright_segmenter, ServeSettings(), tmp_path)
    monkeypatch.setattr(type(app.state.served.jobs), "find", lambda *_: {}["secret"])
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
        answer = client.get("/api/jobs/any")
    assert answer.status_code == 500
    words = "Something went wrong in the server; its log says what. Please report it."
    assert answer.json() == {"detail": words}
    wanted = {name.lower(): value for name, value in api.HEADERS.items()}
    assert wanted.items() <= dict(answer.headers).items()


def test_an_unexpected_fault_in_one_study_leaves_the_others_to_be_looked_at(
    client: TestClient, phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = slices_of(phantom_data) + slices_of(phantom_data, "TCGA_DU_P003_20000103")
    segment = Segmenter.__call__

    def stumble(segmenter: Segmenter, case: dict[str, Any]) -> Any:
        if case["patient"].startswith("TCGA_DU"):
            raise KeyError("secret")
        return segment(segmenter, case)

    monkeypatch.setattr(Segmenter, "__call__", stumble)
    job = done(client, parts)
    assert [study["patient"] for study in job["studies"]] == ["TCGA_CS_P006_20000106"]
    (failed,) = job["failed"]
    assert failed["patient"] == "TCGA_DU_P003_20000103"
    assert failed["reason"] == "Something went wrong that should not (KeyError); please report it."
    assert (job["state"], job["done"], job["total"]) == ("done", 2, 2)
    assert "secret" not in json.dumps(job)


TOKEN = "0123456789abcdef"


def test_a_server_with_a_token_answers_those_who_show_it(bright_segmenter: Segmenter, folder: Path) -> None:
    folder.mkdir()
    app = create_app(bright_segmenter, ServeSettings(token=TOKEN), folder)
    basic = base64.b64encode(f"anna:{TOKEN}".encode()).decode()
    with TestClient(app, base_url=ADDRESS) as client:
        for path in ("/", "/page.js", "/api/model", "/api/docs", "/metrics", "/api/jobs/x"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Basic realm=")  # so that browsers ask
            assert "send it as `Authorization: Bearer TOKEN`, or as the password" in answer.json()["detail"]
        assert client.post("/api/jobs", files=[("files", ("a.tif", b""))]).status_code == 401
        assert list(folder.iterdir()) == []
        for shown in (f"Bearer {TOKEN}", f"bearer  {TOKEN}", f"Basic {basic}"):
            assert client.get("/api/model", headers={"authorization": shown}).status_code == 200, shown
        for wrong in ("Bearer", f"Bearer {TOKEN}0", TOKEN, f"Basic {TOKEN}", "Basic YTpi", f"Digest {TOKEN}"):
            assert client.get("/api/model", headers={"authorization": wrong}).status_code == 401, wrong
        assert client.get("/health/live").status_code == client.get("/health/ready").status_code == 200


WATCHED = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/metrics")


@pytest.mark.parametrize("path", WATCHED)
def test_whoever_watches_over_servers_may_ask_by_any_name_and_for_the_head_alone(
    client: TestClient, path: str
) -> None:
    for headers in ({}, {"host": "gliomaseg.cluster.local:8000"}):
        assert client.get(path, headers=headers).status_code == 200
        answer = client.head(path, headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")
    assert client.get("/api/model", headers={"host": "gliomaseg.cluster.local:8000"}).status_code == 403
    assert client.post(path, headers={"host": "gliomaseg.cluster.local:8000"}).status_code == 403


def test_a_server_is_alive_while_all_its_threads_are_busy() -> None:
    """Threads answer what is not written for the loop itself, and may all wait for a disk."""
    for answer in (api.live, api.ready, inference.live, inference.ready):
        assert inspect.iscoroutinefunction(answer)


def test_below_a_path_all_addresses_have_it(
    bright_segmenter: Segmenter, folder: Path, phantom_data: Path
) -> None:
    folder.mkdir()
    app = create_app(bright_segmenter, ServeSettings(root_path="glioma/", token=TOKEN), folder)
    with TestClient(app, base_url=ADDRESS, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        job = done(client, slices_of(phantom_data))  # the proxy may leave the path in the request or not
        assert job["self"] == f"/glioma/api/jobs/{job['id']}"
        (study,) = job["studies"]
        for address in (job["self"], job["archive"], study["overlay"], *study["files"]):
            assert address.startswith("/glioma/api/jobs/")
            assert client.get(address).status_code == 200, address
            assert client.get(address.removeprefix("/glioma")).status_code == 200, address
        assert client.get("/glioma/health/live", headers={"authorization": ""}).status_code == 200
        assert client.get("/glioma/api/openapi.json").json()["servers"] == [{"url": "/glioma"}]


def test_a_line_for_each_upload_names_nobody(
    bright_segmenter: Segmenter, folder: Path, phantom_data: Path, head: Any, tmp_path: Path
) -> None:
    folder.mkdir()
    told: list[str] = []
    app = create_app(bright_segmenter, ServeSettings(), folder, told.append)
    with TestClient(app, base_url=ADDRESS) as client:
        done(client, slices_of(phantom_data))
        scan = volume(head.scan[..., 1], head.affine, tmp_path / "anna.nii.gz")
        done(client, [scan, ("files", ("bert.nii.gz", b"no scan"))])
        done(client, [("files", ("carl.nii.gz", b"no scan"))])
        client.get("/")  # a turn of the loop, so that the last line is there
    lines = [re.sub(r"^[-0-9]{10} [0-9:]{8} |[0-9.]+ s$", "", line) for line in told]
    assert lines == [
        "upload 1: 1 study outlined, ",
        "upload 2: 1 study outlined, 1 not, ",
        "upload 3: nothing outlined, ",
    ]


def test_an_upload_of_which_nothing_more_comes_is_given_up(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_: Request) -> AsyncGenerator[bytes, None]:
        yield b"--e\r\n"
        await asyncio.Event().wait()

    monkeypatch.setattr(landing, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(Request, "stream", silent)
    answer = client.post("/api/jobs", files=[("files", ("a.tif", b""))])
    assert answer.status_code == 408
    assert answer.json()["detail"].startswith(
        "An upload goes on without breaks, but no bytes came in 0 seconds"
    )
    assert list(folder.iterdir()) == []
    assert client.app.state.served.jobs.count("uploading") == 0


@pytest.mark.parametrize(("step", "whole"), [(1 << 13, True), (100, False)])
def test_an_upload_that_comes_in_drops_is_given_up(
    step: int, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every part takes 25 seconds; so fast is enough as fills the least in a minute."""
    clock = [0.0]

    async def drops() -> AsyncGenerator[bytes, None]:
        for _ in range(20):
            clock[0] += 25
            yield bytes(step)

    async def come() -> int:
        return sum([len(part) async for part in landing._lively(drops(), lambda: None)])

    monkeypatch.setattr(landing, "_now", lambda: clock[0])
    if whole:
        assert asyncio.run(come()) == 20 * step
        return
    with pytest.raises(
        landing.StalledError, match=r"breaks, but 300 bytes came in 60 seconds; send it again"
    ):
        asyncio.run(come())


def test_a_model_may_be_used_otherwise_and_everybody_is_told(
    bright_segmenter: Segmenter, folder: Path, phantom_data: Path
) -> None:
    folder.mkdir()
    app = create_app(bright_segmenter, ServeSettings(changes={"threshold": 0.5}), folder)
    with TestClient(app, base_url=ADDRESS) as client:
        model = client.get("/api/model").json()
        assert (model["settings"], model["device"], model["dtype"]) == ({"threshold": 0.5}, "cpu", "float32")
        job = done(client, slices_of(phantom_data))
        with zipfile.ZipFile(io.BytesIO(client.get(job["archive"]).content)) as packed:
            results = json.loads(packed.read("results.json"))
    assert results["settings"] == {"threshold": 0.5}
    assert results["computed"] == {"device": "cpu", "dtype": "float32"}


def test_what_is_not_read_of_an_upload_is_told(client: TestClient, phantom_data: Path) -> None:
    letter = ("files", ("TCGA_CS_P006_20000106/scan.mgz", b"no volume that we know"))
    job = done(client, [*slices_of(phantom_data), letter])
    assert job["state"] == "done"
    (note,) = job["notes"]
    assert note.startswith("Not read: TCGA_CS_P006_20000106/scan.mgz; volumes of other kinds become scans")


def test_a_study_at_work_stops_between_its_parts(
    bright_segmenter: Segmenter, head: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bright_segmenter.inferer, "batch_size", 2)
    job = Job("a", tmp_path)
    job.input.mkdir()
    volume(head.scan[..., 1], head.affine, job.input / "anna.nii.gz")
    asked: list[int] = []

    def goes() -> None:
        asked.append(len(asked))
        if len(asked) == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        outlining.Outliner(bright_segmenter)(job, goes)
    assert not list(job.output.rglob("*_mask*"))
    assert asked == [0, 1, 2]


@pytest.mark.parametrize(
    "host", ["127.0.0.1/health/live?", "127.0.0.1/health/live#", "a@127.0.0.1", "127.0.0.1, x"]
)
def test_a_name_of_the_server_with_a_path_in_it_opens_nothing(
    bright_segmenter: Segmenter, folder: Path, host: str
) -> None:
    folder.mkdir()
    app = create_app(bright_segmenter, ServeSettings(token=TOKEN), folder)
    with TestClient(app, base_url=ADDRESS) as client:
        assert client.get("/api/model", headers={"host": host}).status_code == 403
