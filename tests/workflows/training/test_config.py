"""Options of a run go in, its training config or a sentence on what is wrong with it comes out."""

import json
import re
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from gliomaseg.workflows.models import configs_folder
from gliomaseg.workflows.run import TrainOptions
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.config import read_train_config

from ..quick import SMOKE


def test_any_device_can_be_asked_for_in_words(phantom_data: Path, smoke_run: Path, tmp_path: Path) -> None:
    for config in (None, smoke_run / "configs" / "train.json"):
        options = TrainOptions(phantom_data, tmp_path / "run", config, {"device": "auto"})
        device = read_train_config(options).get_parsed_content("device")
        assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "epochs: [1\n"), ("a.json", '{"epochs": 1'), ("a.yaml", ""), ("a.yaml", "hello")],
)
def test_a_config_that_cannot_be_read_is_named(name: str, text: str, tmp_path: Path) -> None:
    config = tmp_path / name
    config.write_text(text, encoding="utf-8")
    with pytest.raises(
        InputError, match=rf"The config .*{name} cannot be read: .*(line|no ids).*another with --config"
    ):
        read_train_config(TrainOptions(tmp_path, tmp_path / "run", config=config))


def test_a_config_in_json_may_be_indented_with_tabs(tmp_path: Path) -> None:
    """Which YAML forbids, and JSON does not."""
    content = json.dumps(ConfigParser.load_config_file(str(configs_folder() / "train.yaml")), indent="\t")
    (tmp_path / "mine.json").write_text(content, encoding="utf-8")
    options = TrainOptions(tmp_path, tmp_path / "run", tmp_path / "mine.json")
    assert read_train_config(options)["output_dir"] == str(tmp_path / "run")


def test_a_damaged_config_of_a_run_to_resume_is_named(tmp_path: Path) -> None:
    kept = tmp_path / "run" / "configs" / "train.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"epochs": 1', encoding="utf-8")
    with pytest.raises(InputError, match=rf"{kept} cannot be read.*start a new run in another folder"):
        read_train_config(TrainOptions(tmp_path, tmp_path / "run", resume=True))


def test_an_unknown_id_is_refused_and_the_nearest_named(phantom_data: Path, tmp_path: Path) -> None:
    options = TrainOptions(phantom_data, tmp_path / "run", settings={"learning_rat": 0.1})
    with pytest.raises(InputError, match=r"has no id 'learning_rat'; did you mean learning_rate"):
        read_train_config(options)
    assert not (tmp_path / "run").exists()


def test_a_config_that_is_not_for_training_is_refused(phantom_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "other.yaml"
    config.write_text("sise: 3\n", encoding="utf-8")
    words = (
        f"{config} is no training config: it has no train::trainer and dataset_dir, and configs/train.yaml "
        "has no id 'sise' that it could change; start from a copy of configs/train.yaml, or leave --config "
        "out."
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        read_train_config(TrainOptions(phantom_data, tmp_path / "run", config=config))


def test_a_config_may_hold_differences_alone(phantom_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("size: 96\ntrain#trainer#max_epochs: 3\n", encoding="utf-8")
    read = read_train_config(TrainOptions(phantom_data, tmp_path / "run", config=config))
    ours = read_train_config(TrainOptions(phantom_data, tmp_path / "run"))
    assert (read["size"], read["train::trainer::max_epochs"]) == (96, 3)
    assert read["learning_rate"] == ours["learning_rate"]


def test_differences_to_a_run_that_goes_on_are_differences_to_its_own_config(
    smoke_run: Path, tmp_path: Path
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("accumulation: 2\n", encoding="utf-8")
    read = read_train_config(TrainOptions(tmp_path, smoke_run, config=config, resume=True))
    assert (read["accumulation"], read["size"], read["epochs"]) == (2, SMOKE["size"], SMOKE["epochs"])


def test_a_difference_that_would_replace_a_section_is_refused(phantom_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("train: {trainer: {max_epochs: 3}}\n", encoding="utf-8")
    words = (
        f"{config} would put train in place of all that the config has there; write the ids in it one by "
        f"one, such "
        "as `train::trainer`."
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        read_train_config(TrainOptions(phantom_data, tmp_path / "run", config=config))
