"""The shipped configs are what MONAI's own tools expect, and their generated twins agree with them."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow

from gliomaseg.transforms import keys
from gliomaseg.workflows.folders.sources import find_cases
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


@pytest.mark.parametrize("name", ["evaluate", "federated", "smoke", "multi_gpu_train"])
def test_a_mixin_changes_only_ids_that_train_has_or_that_are_new_at_the_top(name: str) -> None:
    known = set(all_ids(ConfigParser.load_config_file(str(TRAIN))))
    for key in ConfigParser.load_config_file(str(CONFIGS / f"{name}.yaml")):
        assert key.lstrip("+") in known or "::" not in key, key


@pytest.mark.parametrize("name", ["train", "inference", "evaluate", "federated", "smoke", "multi_gpu_train"])
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
    from gliomaseg.workflows.models import SHARED_IDS

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


def test_gradients_of_several_batches_can_be_added_up(phantom_data: Path) -> None:
    parser = training(
        network_name="resnext26_unet_tiny", size=32, batch_cases=2, device="cpu", accumulation=3
    )
    parser["datalist"] = {"training": find_cases(phantom_data)[:2], "validation": []}
    assert parser.get_parsed_content("train::trainer").accumulation_steps == 3


def test_the_strength_of_augmentation_reaches_the_device() -> None:
    whole, half = (training(augmentation=n).get_parsed_content("train::augmentation") for n in (1.0, 0.5))
    assert (whole.affine, whole.rotate, whole.flair_alone) == (0.8, 0.26, 0.15)
    assert (half.affine, half.rotate, half.flair_alone) == (0.4, 0.13, 0.15)


def test_a_window_reaches_the_batch_and_its_check(phantom_data: Path) -> None:
    parser = training(
        network_name="resnext26_unet_tiny", size=64, window=[64, 32], batch_cases=2, device="cpu"
    )
    parser["datalist"] = {"training": find_cases(phantom_data)[:2], "validation": []}
    batch = next(iter(parser.get_parsed_content("train::dataloader")))
    image, label = parser.get_parsed_content("train::trainer").prepare_batch(batch, "cpu")
    assert (batch["image"].shape, image.shape, label.shape) == (
        (4, 3, 64, 64),
        (4, 3, 64, 32),
        (4, 1, 64, 32),
    )
    (check,) = (
        one for one in parser.get_parsed_content("train::handlers") if type(one).__name__ == "WindowCheck"
    )
    assert check.window == (64, 32)
    assert check.dataset is parser.get_parsed_content("train::dataset")


def test_the_batch_of_the_shipped_config_is_compact_and_prepared_on_the_device(phantom_data: Path) -> None:
    parser = training(network_name="resnext26_unet_tiny", size=32, batch_cases=2, device="cpu")
    parser["datalist"] = {"training": find_cases(phantom_data)[:2], "validation": []}
    batch = next(iter(parser.get_parsed_content("train::dataloader")))
    assert {key: value.dtype for key, value in batch.items()} == {
        keys.IMAGE: torch.uint8,
        keys.LABEL: torch.uint8,
        keys.STATISTICS: torch.float32,
        keys.DRAWN: torch.float64,
    }
    image, label = parser.get_parsed_content("train::trainer").prepare_batch(batch, "cpu")
    assert (image.shape, label.shape) == ((4, 3, 32, 32), (4, 1, 32, 32))
    assert image.dtype == label.dtype == torch.float32
    assert 0.0 <= float(label.min()) <= float(label.max()) <= 1.0


def test_neighbours_decide_the_channels_of_a_sample_and_of_the_network(phantom_data: Path) -> None:
    parser = training(neighbours=2, size=32, network_name="resnext26_unet_tiny")
    sample = parser.get_parsed_content("train::preprocessing")(find_cases(phantom_data)[0])[0]
    assert sample[keys.IMAGE].shape == (15, 32, 32)
    assert sample[keys.LABEL].shape == (1, 32, 32)
    assert parser.get_parsed_content("network_def").in_channels == 15
    assert training(network_name="resnext26_unet_tiny").get_parsed_content("network_def").in_channels == 3


def test_training_sees_a_slice_as_validation_does_but_for_whole_grey_values(phantom_data: Path) -> None:
    from gliomaseg.workflows.inferers import StudyInferer

    plain = {"train::augmentation::flip": 0, "train::augmentation::missing": 0}
    off = {**plain, "train::augmentation::flair_alone": 0, "augmentation": 0, "slice_statistics": 0}
    parser = training(
        size=32, network_name="resnext26_unet_tiny", batch_cases=1, device="cpu", precision="fp32", **off
    )
    record = find_cases(phantom_data)[0]
    parser["datalist"] = {"training": [record], "validation": []}
    batch = next(iter(parser.get_parsed_content("train::dataloader")))
    image, _ = parser.get_parsed_content("train::trainer").prepare_batch(batch, "cpu")
    shown: list[torch.Tensor] = []
    whole = parser.get_parsed_content("validate::preprocessing")(record)[keys.IMAGE]
    StudyInferer(size=32, batch_size=100)(
        whole[None], lambda slices: (shown.append(slices), slices[:, :1])[1]
    )
    grey = (1 / batch[keys.STATISTICS][0, :, 3]).max()
    for drawn in image:
        assert min(float((drawn - one).abs().max()) for one in shown[0].float()) <= 0.51 * float(grey)
