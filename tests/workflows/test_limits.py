"""A number that no run can be made with is refused in one sentence that says what would work."""

from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from gliomaseg.workflows.limits import (
    AFTERWARDS,
    CHANCES,
    FIXED,
    PAIRS,
    RECIPE,
    SWITCHES,
    WORDS,
    check_recipe,
)
from gliomaseg.workflows.models import configs_folder
from gliomaseg.workflows.run import TrainOptions
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.config import read_train_config


def test_the_shipped_recipe_passes_and_has_all_of_these_ids() -> None:
    config = ConfigParser.load_config_file(str(configs_folder() / "train.yaml"))
    check_recipe(config)
    assert {*FIXED, *RECIPE, *SWITCHES, *WORDS, *(name for pair in PAIRS for name in pair)} <= set(config)
    inference = ConfigParser.load_config_file(str(configs_folder() / "inference.yaml"))
    check_recipe(inference)
    assert set(AFTERWARDS) <= set(inference)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("size", "big", r"`size` is a whole number from 32 up, or null; got 'big'\."),
        ("size", 16, r"`size` is a whole number from 32 up, or null; got 16\."),
        ("epochs", 0, r"`epochs` is a whole number from 1 up; got 0\."),
        ("batch_cases", 2.5, r"`batch_cases` is a whole number from 1 up; got 2\.5\."),
        ("epochs", 40.0, r"`epochs` is a whole number from 1 up; got 40\.0\. Write 40\."),
        ("epochs", 40.5, r"`epochs` is a whole number from 1 up; got 40\.5\.$"),
        ("epochs", "-1", r"`epochs` is a whole number from 1 up; got '-1'\.$"),
        ("learning_rate", "2e-3", r"`learning_rate` is a number from 0 up; got '2e-3'\. Write 0\.002\."),
        ("weight_decay", "1e-9", r"`weight_decay` is a number from 0 up; got '1e-9'\. Write 0\.000000001\."),
        ("learning_rate", "inf", r"`learning_rate` is a number from 0 up; got 'inf'\.$"),
        ("learning_rate", "nan", r"`learning_rate` is a number from 0 up; got 'nan'\.$"),
        ("learning_rate", -1, r"`learning_rate` is a number from 0 up; got -1\."),
        ("num_workers", -1, r"`num_workers` is a whole number from 0 up; got -1\."),
        ("neighbours", -1, r"`neighbours` is a whole number from 0 up; got -1\."),
        ("neighbours", 1.5, r"`neighbours` is a whole number from 0 up; got 1\.5\."),
        ("neighbours", True, r"`neighbours` is a whole number from 0 up; got True\."),
        ("accumulation", 0, r"`accumulation` is a whole number from 1 up; got 0\."),
        ("lesion_share", float("inf"), r"`lesion_share` is a number from 0 up; got inf\."),
        (
            "window",
            128,
            r"`window` is \[height, width\] in pixels, each a whole number from 32 .*or null.*; got 128\.",
        ),
        ("window", [160], r"`window` is \[height, width\] in pixels.* got \[160\]\."),
        ("window", [160, 16], r"`window` is \[height, width\] in pixels.* got \[160, 16\]\."),
        ("window", [160, 128.0], r"`window` is \[height, width\] in pixels.* got \[160, 128\.0\]\."),
        ("resize", "abc", r"`resize` is a whole number from 1 up, or null; got 'abc'\."),
        ("validation_share", 1, r"`validation_share` is a number above 0 and below 1; got 1\."),
        ("fold", -1, r"`fold` is a whole number from 0 up; got -1\."),
        ("in_channels", 1, r"`in_channels` is 3, since a scan has pre-contrast, .* got 1\."),
        ("out_channels", 2, r"`out_channels` is 1, since there is one finding, abnormality; got 2\."),
        ("out_channels", True, r"`out_channels` is 1, since .* got True\."),
        ("augmentation", -0.5, r"`augmentation` is a number from 0 to 4; got -0\.5\."),
        ("augmentation", "much", r"`augmentation` is a number from 0 to 4; got 'much'\."),
        ("augmentation", float("nan"), r"`augmentation` is a number from 0 to 4; got nan\."),
        ("slice_statistics", 2, r"`slice_statistics` is a number from 0 to 1; got 2\."),
        ("lambda_ce", None, r"`lambda_ce` is a number from 0 up; got None\."),
        ("pos_weight", 0, r"`pos_weight` is a number above 0, or null; got 0\."),
        ("cleanup_share", 10, r"`cleanup_share` is a number from 0 to 1; got 10\."),
        ("average_decay", 2, r"`average_decay` is a number from 0 to below 1; got 2\."),
        ("average_decay", 1.0, r"`average_decay` is a number from 0 to below 1; got 1\.0\."),
        ("fit_temperature", "maybe", r"`fit_temperature` is true or false; got 'maybe'\."),
        ("fit_threshold", 1, r"`fit_threshold` is true or false; got 1\."),
        ("precision", "fp16", r"`precision` is one of auto, bf16, fp32; got 'fp16'\."),
        ("mirror", 1, r"`mirror` is true or false; got 1\."),
        ("turn", 60, r"`turn` is a number from 0 to 45; got 60\."),
        ("cleanup_largest", "yes, please", r"`cleanup_largest` is true or false; got 'yes, please'\."),
    ],
)
def test_a_number_out_of_range_is_refused(name: str, value: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        check_recipe({name: value})
    with pytest.raises(InputError, match=words):
        read_train_config(TrainOptions(tmp_path, tmp_path / "run", settings={name: value}))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_shares_that_are_both_nothing_are_refused(one: str, other: str) -> None:
    check_recipe({one: 0, other: 0.5})
    with pytest.raises(InputError, match=f"`{one}` and `{other}` are both 0, which leaves nothing; set one"):
        check_recipe({one: 0, other: 0.0})


def test_expressions_and_missing_ids_pass() -> None:
    check_recipe({"neighbours": "$1 + 0", "augmentation": "@strength", "mirror": "$not False"})
    check_recipe({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", None),
        ("window", [160, 128]),
        ("pos_weight", None),
        ("patience", None),
        ("size", None),
        ("threshold", 1),
        ("neighbours", 3),
    ],
)
def test_what_may_be_passes(name: str, value: Any) -> None:
    check_recipe({name: value})


@pytest.mark.parametrize("value", ["abc", -1, [0.1, "x"], None, float("inf"), True, 2])
def test_chances_of_changes_that_are_no_numbers_are_refused(value: Any) -> None:
    words = r"`train::augmentation::flip` is a number from 0 to 1; got "
    with pytest.raises(InputError, match=words):
        check_recipe(
            {"train": {"augmentation": {"_target_": "x", "strength": "@augmentation", "flip": value}}}
        )


def test_a_window_is_at_most_as_large_as_the_slices() -> None:
    check_recipe({"window": [192, 128], "size": 192})
    check_recipe({"window": [500, 500], "size": None})
    words = r"each a whole number from 32 to 160, or null \(`size` is the largest\); got \[192, 128\]"
    with pytest.raises(InputError, match=words):
        check_recipe({"window": [192, 128], "size": 160})


def test_the_window_of_the_augmentation_is_set_in_one_place() -> None:
    words = r"`train::augmentation::window` follows `window`; set that to \[64, 64\]\."
    with pytest.raises(InputError, match=words):
        check_recipe({"train": {"augmentation": {"window": [64, 64]}}})
    for value in (None, "@window"):
        check_recipe({"train": {"augmentation": {"window": value}}})


def test_handlers_without_the_one_that_keeps_the_weights_are_refused() -> None:
    config = ConfigParser.load_config_file(str(configs_folder() / "train.yaml"))
    words = r"kept by `@best`, but none of `train::handlers` refers to it; leave it in, as configs/train"
    for handlers in ([], [config["train"]["handlers"][0]]):
        with pytest.raises(InputError, match=words):
            check_recipe({**config, "train": {**config["train"], "handlers": handlers}})
    check_recipe({**config, "train": {**config["train"], "handlers": ["@best"]}})
    check_recipe({"train": {"handlers": []}})


def test_chances_are_those_of_the_augmentation_and_ranges_may_be_larger() -> None:
    config = ConfigParser.load_config_file(str(configs_folder() / "train.yaml"))
    changes = config["train"]["augmentation"]
    assert set(CHANCES) < set(changes)
    with pytest.raises(InputError, match=r"`train::augmentation::shift` is a number from 0 up; got -1"):
        check_recipe({"train": {"augmentation": {**changes, "shift": -1}}})
    check_recipe({"train": {"augmentation": {**changes, "shift": 2}}})
