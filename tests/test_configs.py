"""The shipped configs are what MONAI's own tools expect, and their generated twins agree with them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.transforms import Compose

from gliomaseg.transforms import keys
from gliomaseg.workflows.models import configs_folder
from gliomaseg.workflows.overrides import all_ids

CONFIGS = configs_folder()
TRAIN = CONFIGS / "train.yaml"


SMALL = {"size": 32, "batch_cases": 2, "slices_per_case": 1, "network_name": "resnext26_unet_tiny"}


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["train.yaml"], "train"),
        (["train.json"], "train"),
        (["train.yaml", "evaluate.yaml"], "train"),
        (["train.yaml", "smoke.yaml"], "train"),
        (["inference.yaml"], "infer"),
        (["inference.json"], "infer"),
    ],
)
def test_monai_finds_all_properties(names: list[str], kind: str, phantom_data: Path, tmp_path: Path) -> None:
    settings = SMALL if kind == "train" else {"network_name": "resnext26_unet_tiny"}
    bundle = ConfigWorkflow(
        config_file=[str(CONFIGS / name) for name in names],
        workflow_type=kind,
        logging_file=str(CONFIGS / "logging.conf"),
        dataset_dir=str(phantom_data),
        output_dir=str(tmp_path),
        bundle_root=str(tmp_path),
        **settings,
    )
    bundle.initialize()
    assert bundle.check_properties() == []


@pytest.mark.parametrize("name", ["train", "inference"])
def test_the_json_form_is_generated_from_the_yaml(name: str) -> None:
    generated = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    assert generated == ConfigParser.load_config_file(str(CONFIGS / f"{name}.yaml"))


@pytest.mark.parametrize("name", ["evaluate", "smoke", "multi_gpu_train"])
def test_a_mixin_changes_only_ids_that_train_has_or_that_are_new_at_the_top(name: str) -> None:
    known = set(all_ids(ConfigParser.load_config_file(str(TRAIN))))
    for key in ConfigParser.load_config_file(str(CONFIGS / f"{name}.yaml")):
        assert key in known or "::" not in key, key


@pytest.mark.parametrize("name", ["train", "inference", "evaluate", "smoke", "multi_gpu_train"])
def test_a_config_opens_with_what_it_does_and_how_to_run_it(name: str) -> None:
    head = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").split("\n\n")[0]
    assert head.startswith("# ")
    assert "Run it:" in head


def test_no_number_of_a_config_is_read_as_a_text() -> None:
    for path in CONFIGS.glob("*.yaml"):
        for key in all_ids(content := yaml.safe_load(path.read_text(encoding="utf-8"))):
            value = ConfigParser(content).get(key)
            if isinstance(value, str):
                with pytest.raises(ValueError, match="could not convert"):
                    float(value)


def test_metadata_names_the_version_in_its_changelog() -> None:
    metadata = json.loads((CONFIGS / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["version"] in metadata["changelog"]


def test_training_and_inference_agree_on_the_numbers_they_share() -> None:
    from gliomaseg.workflows.run import SHARED_IDS

    train, inference = (
        ConfigParser.load_config_file(str(CONFIGS / f"{name}.yaml")) for name in ("train", "inference")
    )
    for name in SHARED_IDS:
        if name != "network_def":
            assert train[name] == inference[name], name


# ---- The recipe


def training(**settings: object) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(TRAIN))
    for name, value in settings.items():
        parser[name] = value
    return parser


RANGES = {
    "RandFlipd": ["prob"],
    "RandAffined": ["prob", "rotate_range", "scale_range", "shear_range", "translate_range"],
    "RandGaussianSmoothd": ["prob", "sigma_x", "sigma_y"],
    "RandScaleIntensityFixedMeand": ["prob", "factors"],
    "RandShiftIntensityd": ["prob", "offsets"],
    "RandBiasFieldd": ["prob", "coeff_range"],
    "RandGaussianNoised": ["prob", "std"],
}
"""The random changes, with what their strength scales."""


def changes(augmentation: float) -> dict[str, list[Any]]:
    """Return the chance and the ranges of every random change of the shipped config."""
    parser = training(augmentation=augmentation, size=160)
    places = {item["_target_"]: place for place, item in enumerate(parser["train::random_transforms"])}
    return {
        target: [parser.get_parsed_content(f"train::random_transforms::{places[target]}::{n}") for n in names]
        for target, names in RANGES.items()
    }


def test_the_random_changes_as_they_stand() -> None:
    assert changes(1.0) == {
        "RandFlipd": [0.5],
        "RandAffined": [0.8, 0.26, [0.15, 0.15], [0.05, 0.05], [10.0, 10.0]],
        "RandGaussianSmoothd": [0.1, [0.3, 1.0], [0.3, 1.0]],
        "RandScaleIntensityFixedMeand": [0.3, 0.25],
        "RandShiftIntensityd": [0.3, 0.2],
        "RandBiasFieldd": [0.15, [-0.2, 0.2]],
        "RandGaussianNoised": [0.2, 0.1],
    }


def test_half_the_strength_halves_every_chance_and_range() -> None:
    whole, half = changes(1.0), changes(0.5)
    for name, numbers in whole.items():
        for one, other in zip(numbers, half[name], strict=True):
            assert torch.equal(torch.as_tensor(other), torch.as_tensor(one) / 2), name


def test_chances_end_at_always_and_mirroring_at_every_other_time() -> None:
    strong = changes(10)
    assert strong.pop("RandFlipd") == [0.5]
    assert {numbers[0] for numbers in strong.values()} == {1.0}
    training(augmentation=10).get_parsed_content("train::random_transforms")  # MONAI takes these numbers


def test_without_augmentation_a_sample_is_the_slice_normalised_and_resized(phantom_data: Path) -> None:
    from gliomaseg.workflows.sources import find_cases

    settings = {"augmentation": 0, "slice_statistics": 0, "size": 32, "slices_per_case": 6}
    parser = training(**settings, **{f"train::random_transforms::12::{n}": 0 for n in ("prob", "alone")})
    steps = parser.get_parsed_content("train::random_transforms")
    plain = [item for item in steps if not type(item).__name__.startswith("Rand") or item is steps[0]]
    cached = Compose(parser.get_parsed_content("train::deterministic_transforms"))(
        find_cases(phantom_data)[0]
    )
    found = Compose(steps).set_random_state(seed=1)(cached)
    expected = Compose(plain).set_random_state(seed=1)(cached)
    for sample, wanted in zip(found, expected, strict=True):
        assert torch.equal(sample[keys.IMAGE], wanted[keys.IMAGE])
        assert torch.equal(sample[keys.LABEL], wanted[keys.LABEL])


def test_neighbours_decide_the_channels_of_a_sample_and_of_the_network(phantom_data: Path) -> None:
    from gliomaseg.workflows.sources import find_cases

    parser = training(neighbours=2, size=32, network_name="resnext26_unet_tiny")
    sample = parser.get_parsed_content("train::preprocessing")(find_cases(phantom_data)[0])[0]
    assert sample[keys.IMAGE].shape == (15, 32, 32)
    assert sample[keys.LABEL].shape == (1, 32, 32)
    assert parser.get_parsed_content("network_def").in_channels == 15
    assert training(network_name="resnext26_unet_tiny").get_parsed_content("network_def").in_channels == 3
