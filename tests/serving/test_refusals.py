"""A request reads studies and what came with it, and nothing else of the machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from gliomaseg.serving.refusals import UnknownError, require_image
from gliomaseg.workflows.system.files import InputError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with an uploaded scan, beside a temporary folder with one sent along, and a secret."""
    for place in (
        "project/sessions/a/scan.nii.gz",
        "project/model/model.pt",
        "temporary/tmpx.nii.gz",
        "secret",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    (tmp_path / "temporary/tmplink").symlink_to(tmp_path / "secret")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("image", ["sessions/a/scan.nii.gz", "../temporary/tmpx.nii.gz"])
def test_what_was_uploaded_is_read(image: str, project: Path) -> None:
    require_image(str(project / image), [], project / "sessions")


def test_a_study_is_known_by_its_name(project: Path) -> None:
    require_image("model", ["model"], project / "sessions")


@pytest.mark.parametrize(
    "image",
    [
        "{}/sessions/../../secret",
        "{}/sessions",
        "{}/model/model.pt",
        "{}/../temporary/tmplink",
        "{}/sessions/gone.nii.gz",
        "/etc/passwd",
        "sessions/a/scan.nii.gz",
        "model",
        "",
    ],
)
def test_any_other_file_is_not(image: str, project: Path) -> None:
    asked = image.format(project)
    with pytest.raises(UnknownError, match=f"There is no study '{asked}' in the datastore; GET /datastore"):
        require_image(asked, ["a"], project / "sessions")


@pytest.mark.parametrize("image", [None, ["/etc/passwd"], 3])
def test_a_study_is_named_by_a_text(image: Any, project: Path) -> None:
    with pytest.raises(InputError, match=r"`image` is the name of a study, got .*; GET /datastore/"):
        require_image(image, ["a"], project / "sessions")
