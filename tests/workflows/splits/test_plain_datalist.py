"""A list of files in MONAI's plain form goes in, a datalist comes out."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from gliomaseg.workflows.checks import check_data
from gliomaseg.workflows.datalist import build_datalist, find_cases, load_cases, load_datalist
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.split import SECTIONS
from gliomaseg.workflows.system.files import InputError

from ..small_files import names, write_volume


def test_a_plain_list_of_slices_is_a_datalist(data_folder: Path):
    ours = build_datalist(data_folder)
    plain = {
        name: [{key: case[key] for key in ("image", "label")} for case in ours[name]]
        for name in ("training", "validation")
    }
    for case in plain["validation"]:
        case["image"] = [str(Path(file).relative_to(data_folder)) for file in case["image"]]
    (data_folder / "list.json").write_text(json.dumps(plain), encoding="utf-8")
    read = load_datalist(data_folder / "list.json")
    assert {name: read[name] for name in SECTIONS} == {name: ours[name] for name in SECTIONS}
    assert (read["files"], read["sha256"]) == (ours["files"], ours["sha256"])
    assert read["split"] == {"method": "given", "source": str(data_folder / "list.json")}


def test_a_plain_list_of_volumes_is_a_datalist(tmp_path: Path):
    for name in ("a", "a_seg", "b_flair", "b_t1", "b_seg", "c"):
        write_volume(tmp_path / f"{name}.nii.gz")
    items = [
        {"image": "a.nii.gz", "label": "a_seg.nii.gz", "patient": "anna"},
        {
            "image": ["b_t1.nii.gz", "b_flair.nii.gz"],
            "label": "b_seg.nii.gz",
            "sequences": ["pre-contrast", "FLAIR"],
        },
        "c.nii.gz",
    ]
    (tmp_path / "list.json").write_text(
        json.dumps({"training": items[:1], "test": items[1:]}), encoding="utf-8"
    )
    read = load_datalist(tmp_path / "list.json")
    assert [case["patient"] for case in (*read["training"], *read["test"])] == ["anna", "b", "c"]
    assert read["training"][0]["image"] == str(tmp_path / "a.nii.gz")
    assert [case.get("sequences") for case in read["test"]] == [["pre-contrast", "FLAIR"], None]
    (tmp_path / "items.json").write_text(json.dumps(items[:1]), encoding="utf-8")
    assert names(load_cases(tmp_path / "items.json", "test")) == ["anna"]


def test_a_plain_list_tells_sequences_by_names_and_joins_slices(
    tmp_path: Path, write_picture: Callable[[Path, np.ndarray], None]
):
    for value, name in enumerate(("y/seg", "x/flair", "y/flair", "y/t1", "y/t2"), start=1):
        write_volume(tmp_path / f"{name}.nii.gz", value=value)
    for number in (1, 2):
        write_picture(tmp_path / "s" / f"s_{number}.png", np.full((4, 4), number, np.uint8))
        write_picture(tmp_path / "s" / f"s_{number}_mask.png", np.eye(4, dtype=np.uint8) * 255)
    items = [
        {"image": ["x/flair.nii.gz"]},
        {"image": [f"y/{name}.nii.gz" for name in ("t2", "flair", "t1")], "label": ["y/seg.nii.gz"]},
        *({"image": f"s/s_{number}.png", "label": f"s/s_{number}_mask.png"} for number in (1, 2)),
    ]
    (tmp_path / "list.json").write_text(json.dumps({"testing": items}), encoding="utf-8")
    x, y, s = load_datalist(tmp_path / "list.json")["test"]
    assert (x["patient"], x["image"]) == ("x", str(tmp_path / "x" / "flair.nii.gz"))
    assert (y["patient"], y["sequences"]) == ("y", ["pre-contrast", "FLAIR"])
    assert [Path(file).name for file in y["image"]] == ["t1.nii.gz", "flair.nii.gz"]
    assert y["label"] == str(tmp_path / "y" / "seg.nii.gz")
    assert (s["patient"], s["slices"], len(s["image"]), len(s["label"])) == ("s", [1, 2], 2, 2)
    assert {one.code for one in check_data(tmp_path / "list.json").errors} == {
        "mask-as-image"
    }  # as drawn here


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        (["T1", "FLAIR", "T1CE"], ["pre-contrast", "FLAIR", "post-contrast"]),
        (["post-contrast", "t2w", "FLAIR"], ["post-contrast", "other", "FLAIR"]),
        ("FLAIR", ["FLAIR"]),
    ],
)
def test_a_plain_list_names_the_channels_of_a_file_in_our_words_or_those_of_files(
    tmp_path: Path, shown: list[str] | str, read: list[str]
):
    write_volume(tmp_path / "a.nii.gz")
    items = [{"image": "a.nii.gz", "sequences": shown}]
    (tmp_path / "list.json").write_text(json.dumps(items), encoding="utf-8")
    assert load_datalist(tmp_path / "list.json")["test"][0]["sequences"] == read


@pytest.mark.parametrize("key", ["modality", "channel_names"])
def test_the_list_of_a_decathlon_names_the_channels_as_its_folder_does(tmp_path: Path, key: str):
    for name, channels in (("a", 4), ("b", 3)):
        voxels = np.random.default_rng(channels).integers(0, 99, (4, 4, 5, channels)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{name}.nii.gz")
    named = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    items = [{"image": f"{name}.nii.gz", "label": f"{name}.nii.gz"} for name in "ab"]
    (tmp_path / "dataset.json").write_text(json.dumps({key: named, "training": items}), encoding="utf-8")
    listed = load_datalist(tmp_path / "dataset.json")["training"]
    assert [case.get("sequences") for case in listed] == [
        ["FLAIR", "pre-contrast", "post-contrast", "other"],
        None,
    ]
    assert [case.get("sequences") for case in find_cases(tmp_path)] == [
        case.get("sequences") for case in listed
    ]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_slices_of_a_plain_list_come_in_the_order_of_their_numbers(
    tmp_path: Path, write_picture: Callable[[Path, np.ndarray], None], one_by_one: bool
):
    for number in (1, 2, 10):
        for name in (f"s_{number}", f"s_{number}_mask"):
            write_picture(tmp_path / "s" / f"{name}.png", np.zeros((4, 4), np.uint8))
    images, labels = ([f"s/s_{number}{mark}.png" for number in (1, 10, 2)] for mark in ("", "_mask"))
    items = (
        [{"image": image, "label": label} for image, label in zip(images, labels, strict=True)]
        if one_by_one
        else [{"image": images, "label": labels}]
    )
    (tmp_path / "list.json").write_text(json.dumps(items), encoding="utf-8")
    (case,) = load_datalist(tmp_path / "list.json")["test"]
    assert case["slices"] == [1, 2, 10]
    assert [Path(file).name for file in case["image"]] == ["s_1.png", "s_2.png", "s_10.png"]
    assert [Path(file).name for file in case["label"]] == ["s_1_mask.png", "s_2_mask.png", "s_10_mask.png"]


def test_numbers_that_a_plain_list_gives_count_more_than_those_in_names(
    tmp_path: Path, write_picture: Callable[[Path, np.ndarray], None]
):
    for number in (1, 2, 3):
        write_picture(tmp_path / "s" / f"s_{number}.png", np.zeros((4, 4), np.uint8))
    items = [{"image": f"s/s_{number}.png", "slices": 10 - number} for number in (1, 2, 3)]
    (tmp_path / "list.json").write_text(json.dumps(items), encoding="utf-8")
    (case,) = load_datalist(tmp_path / "list.json")["test"]
    assert case["slices"] == [7, 8, 9]
    assert [Path(file).name for file in case["image"]] == ["s_3.png", "s_2.png", "s_1.png"]


def test_a_patient_of_a_plain_list_with_slices_without_mask_comes_without_masks(
    tmp_path: Path, write_picture: Callable[[Path, np.ndarray], None]
):
    for name in ("s_1", "s_1_mask", "s_2"):
        write_picture(tmp_path / "s" / f"{name}.png", np.zeros((4, 4), np.uint8))
    items = [{"image": "s/s_2.png"}, {"image": "s/s_1.png", "label": "s/s_1_mask.png"}]
    (tmp_path / "list.json").write_text(json.dumps(items), encoding="utf-8")
    (case,) = load_cases(tmp_path / "list.json", "all")
    assert (case["slices"], "label" in case) == ([1, 2], False)
    with pytest.raises(InputError, match="masks"):
        build_datalist(tmp_path / "list.json")
    with pytest.raises(InputError, match=r"There is no mask for s_2\.png of patient s"):
        evaluate_command(tmp_path / "list.json", tmp_path / "out", predictions=tmp_path)


def test_patients_of_one_folder_are_told_apart_in_a_plain_list_as_in_the_folder(
    tmp_path: Path, write_picture: Callable[[Path, np.ndarray], None]
):
    names = ["flat/bert_1", "flat/bert_2", "flat/carl_1", "one/dora_1", "two/TCGA_CS_4941_19960909_1"]
    for name in names:
        write_picture(tmp_path / f"{name}.png", np.zeros((4, 4), np.uint8))
    listed = [{"image": f"{name}.png"} for name in names]
    items = {"training": listed[:2], "test": listed[2:]}
    (tmp_path / "list.json").write_text(json.dumps(items), encoding="utf-8")
    read = load_datalist(tmp_path / "list.json")
    told = [(case["patient"], case["institution"]) for case in (*read["training"], *read["test"])]
    assert told == [
        ("bert", "unknown"),
        ("carl", "unknown"),
        ("one", "unknown"),
        ("TCGA_CS_4941_19960909", "CS"),
    ]


def test_a_plain_list_that_is_read_again_is_not_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_volume(tmp_path / "a.nii.gz")
    (tmp_path / "list.json").write_text(json.dumps([{"image": "a.nii.gz"}]), encoding="utf-8")
    first = load_datalist(tmp_path / "list.json")
    with monkeypatch.context() as patched:
        patched.setattr("gliomaseg.workflows.splits.datalist_file.sha256_of", lambda _: "hashed again")
        assert load_datalist(tmp_path / "list.json") == first
    write_volume(tmp_path / "a.nii.gz", value=2)
    assert load_datalist(tmp_path / "list.json")["sha256"] != first["sha256"]


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (
            [{"image": ["a_t1.nii.gz", "a_t2.nii.gz"]}],
            "Of several volumes of a patient one is FLAIR, and others are pre-contrast and "
            "post-contrast, but "
            "{0}/list.json has a_t1.nii.gz, a_t2.nii.gz as pre-contrast, other; write "
            '"sequences": ["pre-contrast", "FLAIR", "post-contrast"] into the item, in the order of its '
            "files.",
        ),
        (
            [{"image": "a.nii.gz"}, {"image": "x/a.nii.gz"}],
            "Each patient needs a name of its own, but a is in {0}/list.json twice; write "
            '"patient": "..." into each item.',
        ),
        (
            [{"image": "a.nii.gz", "label": ["b.nii.gz", "c.nii.gz"]}],
            "A volume has one label, but {0}/a.nii.gz in {0}/list.json has 2; correct the list.",
        ),
        (
            [{"image": "a_1.png"}, {"label": "b"}],
            'An item of a list of files is {"image": file or files, "label": the same, "patient": name}, '
            "but {0}/list.json has {'label': 'b'}; correct it, or write a datalist with `gliomaseg prepare "
            "DATA`.",
        ),
        (
            [{"image": ["a_1.png"], "label": ["m_1.png", "m_2.png"], "patient": "p"}],
            "Every slice has one mask, but p in {0}/list.json has 1 images and 2 labels; correct the list.",
        ),
        (
            [{"image": "a.nii.gz", "sequences": ["T1", "FLAIR", "angio"]}],
            "A sequence is pre-contrast, FLAIR, post-contrast or other, or called as files are (FLAIR, T1, "
            "T1CE, T2), but \"sequences\" in {0}/list.json has 'angio'; correct the list.",
        ),
        (
            [{"image": ["a_1.png", "a_2.png", "a_3.png"], "slices": [1, 2], "patient": "p"}],
            "Every slice has a number of its own, but p in {0}/list.json has 3 images and the numbers "
            '[1, 2]; correct "slices", or leave it out.',
        ),
        (
            [{"image": ["a_1.png", "a_2.png"], "slices": [7, 7], "patient": "p"}],
            "Every slice has a number of its own, but p in {0}/list.json has 2 images and the numbers "
            '[7, 7]; correct "slices", or leave it out.',
        ),
        (
            [{"image": ["a_1.png"], "slices": ["first"]}],
            "\"slices\" are whole numbers, but {0}/list.json has ['first']; correct the list.",
        ),
        (
            [{"image": "a_1.png"}],
            "Every file that {0}/list.json names must be there, but {0}/a_1.png is not (No such file or "
            "directory); bring it back or correct the list. Relative paths start at its folder.",
        ),
    ],
)
def test_a_faulty_plain_list_is_refused(tmp_path: Path, items: list[dict], words: str):
    (tmp_path / "list.json").write_text(json.dumps({"training": items}), encoding="utf-8")
    with pytest.raises(InputError, match=f"^{re.escape(words.replace('{0}', str(tmp_path)))}$"):
        load_datalist(tmp_path / "list.json")
