"""Final labels become cases: a volume is a patient, and so are all pictures of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gliomaseg.serving.labelled import cases_of, labelled_persons
from gliomaseg.workflows.phantoms.study import write_nifti


def pair(name: str) -> dict[str, str]:
    return {"image": f"/s/{name}", "label": f"/s/labels/final/{name}"}


def test_a_volume_is_one_case() -> None:
    assert cases_of([pair("TCGA_DU_P001_20000101.nii.gz")]) == [
        {
            "patient": "TCGA_DU_P001_20000101",
            "institution": "DU",
            "image": "/s/TCGA_DU_P001_20000101.nii.gz",
            "label": "/s/labels/final/TCGA_DU_P001_20000101.nii.gz",
        }
    ]


def test_the_pictures_of_a_patient_are_one_case_in_numeric_order() -> None:
    (case,) = cases_of([pair("p_10.tif"), pair("p_9.tif")])
    assert case["patient"] == "p"
    assert case["slices"] == [9, 10]
    assert case["image"] == ["/s/p_9.tif", "/s/p_10.tif"]
    assert case["label"] == ["/s/labels/final/p_9.tif", "/s/labels/final/p_10.tif"]


def test_a_picture_without_a_number_is_a_patient() -> None:
    assert [case["patient"] for case in cases_of([pair("holiday.png"), pair("a.nii")])] == ["a", "holiday"]


def test_studies_of_one_person_belong_together(tmp_path: Path) -> None:
    names = ["TCGA_DU_P001_20000101", "TCGA_DU_P001_20010101"]
    for name in names:
        for place in (tmp_path, tmp_path / "labels"):
            write_nifti(place / f"{name}.nii.gz", np.ones((2, 2, 2), np.uint8), np.eye(4))
    picture = tmp_path / "x_1.tif"
    Image.fromarray(np.full((2, 2), 255, np.uint8)).save(picture)
    pairs = [
        {"image": str(tmp_path / f"{n}.nii.gz"), "label": str(tmp_path / f"labels/{n}.nii.gz")} for n in names
    ]
    persons = labelled_persons(cases_of([*pairs, {"image": str(picture), "label": str(picture)}]))
    assert [(one.name, one.volume) for one in persons] == [("TCGA_DU_P001", 16), ("x", 4)]
