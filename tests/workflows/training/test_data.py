"""Data that a person names for a run are taken, or refused with a sentence."""

import json
import re
import shutil
from pathlib import Path

import pytest

from gliomaseg.workflows.datalist import build_datalist, find_cases, write_datalist
from gliomaseg.workflows.phantom import make_phantom
from gliomaseg.workflows.run import TrainOptions, train
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.data import check_before_training, refuse_other_data, refuse_other_split


def test_a_run_that_has_begun_goes_on_though_a_person_is_on_both_sides(
    phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "datalist.json"
    datalist = build_datalist(phantom_data)
    for number, section in enumerate(("training", "validation")):
        datalist[section][0]["patient"] = f"sub-1_ses-{number}"
    write_datalist(datalist, path)
    with pytest.raises(InputError, match="sub-1 is in training and in validation"):
        check_before_training(path)
    check_before_training(path, goes_on=True)
    assert "sub-1 is in training and in validation" in caplog.text


def test_another_split_than_that_of_a_datalist_is_refused_if_a_person_asks_for_it() -> None:
    split = {"method": "folds", "fold": 0, "validation": None}
    refuse_other_split(split, {"split": "folds", "fold": 0, "epochs": 3}, Path("list.json"))
    words = "A datalist brings its own split, but `fold` 3 was asked for and list.json has 0; leave it out"
    with pytest.raises(InputError, match=words):
        refuse_other_split(split, {"fold": 3}, Path("list.json"))
    with pytest.raises(
        InputError, match=r"`validation_share` 0.4 was asked for and list.json has none; leave"
    ):
        refuse_other_split(split, {"validation_share": 0.4}, Path("list.json"))
    given = {"method": "given", "source": "list.json"}  # which says nothing of shares and folds
    refuse_other_split(given, {"validation_share": 0.4, "fold": 3}, Path("list.json"))


def test_a_run_does_not_go_on_with_other_data(smoke_run: Path, phantom_data: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    make_phantom(tmp_path / "other", patients=4, size=64, slices=6, seed=9)
    words = f"A run goes on with the data that it began with, but {run} has those of {phantom_data}, and "
    for data in (tmp_path / "other", tmp_path / "list.json"):
        if data.suffix:
            content = build_datalist(tmp_path / "other")
            for section in ("training", "validation"):
                for case in content[section]:
                    case["patient"] = f"x{case['patient']}"
            write_datalist(content, data)
        with pytest.raises(InputError, match=re.escape(f"{words}{data} was named; name its own, or begin")):
            train(TrainOptions(data, run, resume=True))
    kept = run / "datalist.json"
    case, other = find_cases(phantom_data)[0], find_cases(tmp_path / "other")[0]
    tables = {}
    for name, one in (("a", case), ("b", other)):
        rows = [f"x,{image},{label}" for image, label in zip(one["image"], one["label"], strict=True)]
        tables[name] = tmp_path / f"{name}.csv"
        tables[name].write_text("\n".join(["patient,image,label", *rows]), encoding="utf-8")
    plain = tmp_path / "plain.json"
    plain.write_text(
        json.dumps([{"image": other["image"], "label": other["label"], "patient": case["patient"]}])
    )
    for data in (phantom_data, phantom_data.parent, kept, smoke_run / "datalist.json", tables["a"]):
        refuse_other_data(data, kept)
    for data in (tables["b"], plain):  # the latter with the name of a patient of the run
        with pytest.raises(InputError, match=re.escape(f"{words}{data} was named; name its own, or begin")):
            refuse_other_data(data, kept)
    (tmp_path / "junk.txt").touch()
    with pytest.raises(InputError, match=r"junk\.txt is another kind of file"):
        refuse_other_data(tmp_path / "junk.txt", kept)
    with pytest.raises(
        InputError, match=r"There is nothing at .*typo; check the path, or name the datalist of"
    ):
        refuse_other_data(tmp_path / "typo", kept)
    content = json.loads(kept.read_text(encoding="utf-8"))
    kept.write_text(json.dumps({**content, "root": str(tmp_path / "gone")}), encoding="utf-8")
    refuse_other_data(tmp_path / "other", kept)  # they may have moved there
