"""A setting is read as a person means it, and an id that does not exist is never taken silently."""

import copy
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from gliomaseg.workflows.models import configs_folder
from gliomaseg.workflows.overrides import all_ids, apply_settings, parse_setting, refuse_hash
from gliomaseg.workflows.run import TrainOptions
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.config import read_train_config

CONFIG = {
    "epochs": 24,
    "learning_rate": 1e-3,
    "network_name": "resnext50_unet",
    "train": {"trainer": {"max_epochs": "@epochs"}, "handlers": [{"_target_": "A"}, {"_target_": "B"}]},
}


@pytest.fixture
def parser() -> ConfigParser:
    """Return a small config that has been read."""
    return ConfigParser(copy.deepcopy(CONFIG))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("40", 40),
        ("0.5", 0.5),
        ("1e-4", 1e-4),
        ("1E3", 1000.0),
        ("2.5e+2", 250.0),
        (".5e1", 5.0),
        ("-1e-4", -1e-4),
        ("null", None),
        ("true", True),
        ("[1e-4, 2, [3e0]]", [1e-4, 2, [3.0]]),
        ("{a: 1e-4}", {"a": 1e-4}),
        ("resnext101_unet", "resnext101_unet"),
        ("nan", "nan"),
        ("infinity", "infinity"),
        ("'1e-4x'", "1e-4x"),
        ("runs/a=b", "runs/a=b"),
    ],
)
def test_values_are_read_as_a_person_means_them(text: str, value: Any) -> None:
    found = parse_setting(f"x={text}")
    assert found == ("x", value)
    assert type(found[1]) is type(value)


def test_a_reference_needs_quotes() -> None:
    assert parse_setting("x='@epochs'") == ("x", "@epochs")
    with pytest.raises(InputError, match=r"The value of --set 'x=@epochs' is not YAML; put quotes around it"):
        parse_setting("x=@epochs")


def test_both_separators_name_the_same_id() -> None:
    assert parse_setting("train#trainer#max_epochs=3") == parse_setting("train::trainer::max_epochs = 3")


@pytest.mark.parametrize("text", ["epochs", "=4", " =4", ""])
def test_a_setting_without_id_or_value_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"Expected --set ID=VALUE, got '{text}'; for instance"):
        parse_setting(text)


def test_a_value_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(InputError, match=r"The value of --set 'x=\[1, 2' is not YAML"):
        parse_setting("x=[1, 2")


def test_settings_are_written_into_the_config(parser: ConfigParser) -> None:
    settings = {"network_name": "unet", "train::trainer::max_epochs": 5, "train::handlers::1::_target_": "C"}
    apply_settings(parser, settings, "train.yaml")
    assert parser["network_name"] == "unet"
    assert parser["train::trainer::max_epochs"] == 5
    assert parser["train::handlers"][1] == {"_target_": "C"}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("learning_rat", "did you mean learning_rate?"),
        ("epoch", "did you mean epochs"),
        ("max_epochs", "train::trainer::max_epochs"),
        ("train::handlers::2", "did you mean train::handlers"),
        ("zzzzzz", "the ids are listed at the top of configs/train.yaml."),
    ],
)
def test_an_unknown_id_names_the_nearest(parser: ConfigParser, name: str, nearest: str) -> None:
    before = list(all_ids(parser.get()))
    with pytest.raises(InputError, match=rf"^my\.yaml has no id '{name}'; .*{nearest.rstrip('?.')}"):
        apply_settings(parser, {name: 1}, "my.yaml")
    assert list(all_ids(parser.get())) == before


def test_a_setting_that_nothing_uses_any_more_is_refused(parser: ConfigParser) -> None:
    words = r"epochs is set, but nothing uses epochs any more, since train::trainer is set too; leave one of"
    with pytest.raises(InputError, match=words):
        apply_settings(parser, {"epochs": 3, "train::trainer": {"max_epochs": 5}}, "train.yaml")


def test_numbers_of_a_loss_that_was_replaced_are_refused(tmp_path: Path) -> None:
    loss = {"_target_": "DiceFocalLoss", "sigmoid": True}
    for name in ("pos_weight", "lambda_dice", "lambda_ce"):
        settings = {"loss": loss, name: 2.0}
        options = TrainOptions(data=tmp_path, output=tmp_path / "run", settings=settings)
        with pytest.raises(
            InputError, match=f"{name} is set, but nothing uses {name} any more, since loss is set"
        ):
            read_train_config(options)


@pytest.mark.parametrize("setting", ["output_dir=runs/a #1", "output_dir=#1", 'output_dir="runs/#1"'])
def test_what_follows_a_hash_is_not_lost(setting: str) -> None:
    with pytest.raises(InputError, match=r"value of output_dir is .*; bundle configs cannot hold a '#'"):
        parse_setting(setting)


@pytest.mark.parametrize("value", ["runs/#3", ["a", "runs/#3"], {"a": ["runs/#3"]}])
def test_a_value_with_a_hash_is_refused(parser: ConfigParser, value: Any) -> None:
    words = r"The value of network_name is 'runs/#3'; bundle configs cannot hold a '#'"
    with pytest.raises(InputError, match=words):
        apply_settings(parser, {"network_name": value}, "train.yaml")


@pytest.mark.parametrize("value", [None, 3, 0.5, "runs/3", ["a", 1], {"a": {"b": "c"}}])
def test_values_without_a_hash_pass(value: Any) -> None:
    refuse_hash("x", value)


def test_ids_are_named_down_to_the_last_leaf() -> None:
    assert list(all_ids(CONFIG))[-6:] == [
        "train::trainer::max_epochs",
        "train::handlers",
        "train::handlers::0",
        "train::handlers::0::_target_",
        "train::handlers::1",
        "train::handlers::1::_target_",
    ]


def test_the_numbers_at_the_top_of_the_shipped_config_can_be_set() -> None:
    parser = ConfigParser()
    parser.read_config(str(configs_folder() / "train.yaml"))
    settings = dict(map(parse_setting, ("learning_rate=1e-4", "size=256", "train#trainer#max_epochs=2")))
    apply_settings(parser, settings, "train.yaml")
    assert (parser["learning_rate"], parser["size"], parser["train::trainer::max_epochs"]) == (1e-4, 256, 2)
