"""An exported bundle has all that the Model Zoo and MONAI Label ask for, and runs without gliomaseg."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import load_net_with_metadata

from gliomaseg.networks import create_network
from gliomaseg.workflows import cli
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.exports import bundle_docs
from gliomaseg.workflows.exports.bundle_code import DISTRIBUTIONS, modules_for
from gliomaseg.workflows.exports.bundle_configs import bundle_configs
from gliomaseg.workflows.exports.training_data import MADE_UP, OTHERS, package_metadata
from gliomaseg.workflows.models import open_model
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.folder import write_metadata

NAME = "glioma_mri_segmentation"
CODE = "gliomaseg_bundle_0_1_0"
CONFIGS = ("train", "inference", "evaluate", "multi_gpu_train")

# As in meta_schema_20240725.json.
REQUIRED = {
    "schema": str,
    "version": str,
    "monai_version": str,
    "pytorch_version": str,
    "numpy_version": str,
    "required_packages_version": dict,
    "task": str,
    "description": str,
    "authors": str,
    "copyright": str,
    "network_data_format": dict,
}
TENSOR = {
    "type": str,
    "format": str,
    "num_channels": int,
    "spatial_shape": list,
    "dtype": str,
    "value_range": list,
}

quiet = pytest.mark.filterwarnings("ignore:.*torch.jit.load:FutureWarning")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.manual_seed(0)
    torch.save(create_network("resnext26_unet_tiny").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def bundle(weights: Path) -> Path:
    """Return the bundle of weights without a run; shared, copy it before you change a file in it."""
    export_model(weights, "bundle", weights.parent / NAME)
    return weights.parent / NAME


@pytest.fixture(scope="module")
def run_bundle(smoke_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a finished run; shared, copy it before you change a file in it."""
    folder = tmp_path_factory.mktemp("exports") / NAME
    export_model(smoke_run, "bundle", folder)
    return folder


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_bundle_of_other_data_does_not_claim_those_of_the_project(
    run_bundle: Path, smoke_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    datalist = content(run / "datalist.json")
    datalist["training"][0]["patient"] = "anna"
    (run / "datalist.json").write_text(json.dumps(datalist), encoding="utf-8")
    export_model(run, "bundle", tmp_path / "bundle")
    assert content(tmp_path / "bundle/configs/metadata.json")["data_source"].startswith("not recorded")
    readme = (tmp_path / "bundle/docs/README.md").read_text(encoding="utf-8")
    assert "Trained on other data than those that the project was made for" in readme
    assert "Made for the LGG segmentation dataset" not in readme
    licence = (tmp_path / "bundle/docs/data_license.txt").read_text(encoding="utf-8")
    assert "which, is not recorded.\nUnder which licence those data are is not recorded." in licence
    assert "No licence restricts them" not in licence


def test_a_bundle_of_made_up_patients_says_so(run_bundle: Path) -> None:
    assert content(run_bundle / "configs/metadata.json")["data_source"] == MADE_UP
    readme = (run_bundle / "docs/README.md").read_text(encoding="utf-8")
    assert f"those that the project was made for [1]: {MADE_UP}." in readme
    assert "Made for the LGG segmentation dataset" not in readme
    licence = (run_bundle / "docs/data_license.txt").read_text(encoding="utf-8")
    assert f"These weights were trained on: {MADE_UP}.\nNo licence restricts them" in licence
    assert "LGG" not in licence


def test_a_bundle_of_the_data_of_the_project_says_so(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    text = (run / "datalist.json").read_text(encoding="utf-8")
    (run / "datalist.json").write_text(
        re.sub(r"(TCGA_[A-Z]{2}_)P(\d{3})", r"\g<1>4\2", text), encoding="utf-8"
    )
    export_model(run, "bundle", tmp_path / "bundle")
    source = content(tmp_path / "bundle/configs/metadata.json")["data_source"]
    assert source == package_metadata()["data_source"]
    readme = (tmp_path / "bundle/docs/README.md").read_text(encoding="utf-8")
    assert "Made for the LGG segmentation dataset" in readme
    licence = (tmp_path / "bundle/docs/data_license.txt").read_text(encoding="utf-8")
    assert licence.startswith(
        "The data that models of this bundle are trained on, and the licence they are under"
    )
    assert "These weights were trained on" not in licence


def test_what_a_person_wrote_of_the_data_outlives_further_commands(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs/metadata.json"
    path.write_text(json.dumps({**content(path), "data_source": "Clinic X"}), encoding="utf-8-sig")
    write_metadata(run, content(run / "metrics.json"))
    assert content(path)["data_source"] == "Clinic X"
    export_model(run, "bundle", tmp_path / "bundle")
    readme = (tmp_path / "bundle/docs/README.md").read_text(encoding="utf-8")
    assert "those that the project was made for [1]: Clinic X. `docs/data_license.txt` says" in readme


def test_damaged_metadata_stop_no_run(
    smoke_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs/metadata.json"
    path.write_text('{"data_source": "Clinic X",}', encoding="utf-8")
    write_metadata(run, {})
    assert content(path)["data_source"] == MADE_UP
    assert f"Not read: {path}" in caplog.text


def test_a_site_of_a_federation_does_not_speak_for_the_others(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs/train.json"
    path.write_text(json.dumps({**content(path), "federation": True}), encoding="utf-8")
    write_metadata(run, {})
    assert content(run / "configs/metadata.json")["data_source"] == MADE_UP + OTHERS


# ---- What is in the folder


def test_every_file_that_the_model_zoo_asks_for_is_there(bundle: Path) -> None:
    names = [f"configs/{name}.json" for name in (*CONFIGS, "metadata")]
    names += ["configs/logging.conf", "models/model.pt", "models/model.ts", "LICENSE"]
    names += ["docs/README.md", "docs/data_license.txt", f"{CODE}/__init__.py"]
    assert [name for name in names if not (bundle / name).stat().st_size] == []


def test_nothing_else_is_left_beside_the_bundle(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.parent.iterdir()) == [NAME, "tiny.pt"]
    assert [path for path in bundle.rglob("*") if path.name.startswith(".") or path.suffix == ".pyc"] == []


def test_the_metadata_has_what_the_schema_requires(bundle: Path) -> None:
    metadata = content(bundle / "configs" / "metadata.json")
    assert metadata["schema"].endswith("meta_schema_20240725.json")
    assert {name: type(metadata[name]) for name in REQUIRED} == REQUIRED
    assert metadata["version"] in metadata["changelog"]
    assert not any("+" in metadata[f"{name}_version"] for name in ("monai", "pytorch", "numpy"))
    for side in ("inputs", "outputs", "post_processed_outputs"):
        for tensor in metadata["network_data_format"][side].values():
            assert {name: type(tensor[name]) for name in TENSOR} == TENSOR


def test_the_first_tensors_are_named_as_monai_label_expects(bundle: Path) -> None:
    form = content(bundle / "configs" / "metadata.json")["network_data_format"]
    assert next(iter(form["inputs"])) == "image"
    assert next(iter(form["outputs"])) == "pred"
    assert form["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "abnormality"}


def test_the_metadata_tells_the_channels_of_the_weights(bundle: Path) -> None:
    form = content(bundle / "configs" / "metadata.json")["network_data_format"]
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert form["inputs"]["image"]["num_channels"] == state["encoder.conv1.weight"].shape[1]
    assert form["outputs"]["pred"]["num_channels"] == 1


def test_the_readme_has_the_headings_of_the_zoo_in_their_order(bundle: Path) -> None:
    text = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    headings = [line.strip("# *") for line in text.splitlines() if line.startswith("#") and "**" in line]
    zoo = ["Authors", "Tags", "Model Description", "Data", "Preprocessing", "Performance"]
    zoo += ["Additional Usage Steps", "System Configuration", "Limitations", "Citation Info", "References"]
    assert [heading for heading in headings if heading in zoo] == zoo
    assert "No figures are recorded for these weights" in text
    assert "3.0 million parameters" in text


def test_the_readme_and_metadata_of_a_run_tell_its_figures(smoke_run: Path, run_bundle: Path) -> None:
    metrics = content(smoke_run / "metrics.json")
    told = content(run_bundle / "configs" / "metadata.json")["eval_metrics"]
    assert told["val_mean_dice"] == round(metrics["dice"]["per_patient_mean"], 4)
    text = (run_bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert f"(the headline) | {metrics['dice']['per_patient_mean']:.3f} |" in text
    assert "trained on 6 patients and validated on 2" in text


def test_a_run_that_its_bundle_config_evaluated_can_be_exported(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    metrics = content(run / "metrics.json")
    known = ("split", "size", "threshold", "data_sha256", "model_sha256", "patients", "slices")  # of Figures
    metrics["protocol"] = {name: metrics["protocol"][name] for name in known}
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    export_model(run, "bundle", tmp_path / NAME)
    text = (tmp_path / NAME / "docs" / "README.md").read_text(encoding="utf-8")
    assert f"Measured on {metrics['protocol']['patients']} patients" in text
    assert " slices), split: patient.\n" in text


def test_a_warning_about_the_figures_goes_with_them(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    metrics = content(run / "metrics.json")
    metrics["protocol"]["warning"] = "Too good."
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    export_model(run, "bundle", tmp_path / NAME)
    assert "**Warning.** Too good." in (tmp_path / NAME / "docs" / "README.md").read_text(encoding="utf-8")


def test_without_a_licence_there_is_no_bundle(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_docs.metadata, "files", lambda _: [])
    with pytest.raises(InputError, match="this installation of gliomaseg has no LICENSE; install it again"):
        export_model(weights, "bundle", weights.parent / "other")
    assert not (weights.parent / "other").exists()


# ---- The configs


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_names_the_code_of_the_bundle_and_nothing_installed(name: str, bundle: Path) -> None:
    text = (bundle / "configs" / f"{name}.json").read_text(encoding="utf-8")
    assert f"{CODE}." in text
    assert "gliomaseg." not in text


def test_no_path_of_the_machine_that_trained_is_left(smoke_run: Path, run_bundle: Path) -> None:
    for path in (run_bundle / "configs").iterdir():
        assert str(smoke_run.parent) not in path.read_text(encoding="utf-8"), path.name


def test_the_numbers_are_those_of_the_run(smoke_run: Path, run_bundle: Path) -> None:
    for name in ("train", "inference"):
        old, new = (content(folder / "configs" / f"{name}.json") for folder in (smoke_run, run_bundle))
        for key in ("network_name", "size", "threshold", "precision"):
            assert new[key] == old[key], (name, key)


def test_weights_alone_get_our_configs_with_their_network(bundle: Path) -> None:
    for name in ("train", "inference"):
        assert content(bundle / "configs" / f"{name}.json")["network_name"] == "resnext26_unet_tiny"


def test_monai_label_can_read_the_handlers_and_put_new_weights_in_place(bundle: Path) -> None:
    train = content(bundle / "configs" / "train.json")
    assert all(isinstance(handler, dict) for handler in train["train"]["handlers"])
    assert train["ckpt_dir"] == "$@bundle_root + '/models'"
    assert train["best"]["path"] == "$@ckpt_dir + '/model.pt'"
    assert train["val_interval"] == 1


def test_the_window_of_a_run_is_not_that_of_those_who_train_its_bundle(
    smoke_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs/train.json"
    path.write_text(json.dumps({**content(path), "window": [32, 32]}), encoding="utf-8")
    train = bundle_configs(open_model(run))["train"]
    assert (train["window"], train["train"]["augmentation"]["window"]) == (None, "@window")


# ---- The code


def sources(bundle: Path) -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in (bundle / CODE).rglob("*.py")}


def test_every_import_of_the_code_stays_in_the_bundle(bundle: Path) -> None:
    for path, tree in sources(bundle).items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                home = path.parents[node.level - 1]
                assert bundle in home.parents, path
                target = home.joinpath(*(node.module or "").split("."))
                assert target.is_dir() or target.with_suffix(".py").is_file(), (path, node.module)


def test_every_package_that_the_code_imports_is_in_the_metadata(bundle: Path) -> None:
    metadata = content(bundle / "configs" / "metadata.json")
    known = {"torch", "numpy", "monai", *metadata["required_packages_version"]}
    known |= {name for name, package in DISTRIBUTIONS.items() if package in known}
    for path, tree in sources(bundle).items():
        for node in tree.body:  # what is imported inside functions may be optional
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in names:
                assert name.partition(".")[0] in known | sys.stdlib_module_names, (path, name)


def test_the_report_and_the_command_line_stay_at_home(bundle: Path) -> None:
    names = {path.stem for path in sources(bundle)}
    assert names.isdisjoint({"cli", "report", "plots", "export", "segment", "phantom"})


def test_a_name_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 'serving\.app\.App': there is no such module"):
        modules_for([("serving", "app", "App")])


# ---- The weights


@quiet
def test_the_compiled_network_gives_what_the_network_gives_at_any_size(bundle: Path) -> None:
    network = create_network("resnext26_unet_tiny").eval()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    compiled = torch.jit.load(bundle / "models" / "model.ts")
    for height, width in ((32, 32), (40, 50)):
        image = torch.rand(2, 3, height, width)
        with torch.no_grad():
            assert torch.allclose(compiled(image), network(image), atol=1e-5)


@quiet
def test_a_torchscript_file_carries_metadata_and_inference_config(weights: Path, tmp_path: Path) -> None:
    export_model(weights, "torchscript", tmp_path / "model.ts")
    _, metadata, files = load_net_with_metadata(
        str(tmp_path / "model.ts"), more_extra_files=["inference.json"]
    )
    assert metadata["network_data_format"]["inputs"]["image"]["num_channels"] == 3
    assert json.loads(files["inference.json"])["network_name"] == "resnext26_unet_tiny"
    assert [path.name for path in tmp_path.iterdir()] == ["model.ts"]


def test_a_bundle_can_be_named_as_the_model(
    weights: Path, bundle: Path, phantom_data: Path, tmp_path: Path
) -> None:
    case = load_cases(phantom_data)[0]
    one, two = (Segmenter.from_name(name, "cpu")(case) for name in (weights, bundle))
    assert np.array_equal(one.probability, two.probability)
    export_model(bundle, "bundle", tmp_path / NAME)  # and exported again
    for name in CONFIGS:
        assert content(tmp_path / NAME / "configs" / f"{name}.json") == content(
            bundle / "configs" / f"{name}.json"
        )


# ---- What is refused


@pytest.mark.parametrize("form", ["bundle", "torchscript", "onnx"])
def test_an_output_that_exists_is_refused_and_left_alone(form: str, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=rf"There is something at {tmp_path / 'out'} already; .*--output"):
        export_model(weights, form, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("form", "name", "only"),
    [
        ("onnx", "model", "onnx"),
        ("torchscript", "model.onnx", "onnx"),
        ("openvino", "model", "openvino"),
        ("openvino", "model.onnx", "onnx"),
        ("torchscript", "model.XML", "openvino"),
        ("bundle", "b.onnx", "onnx"),
    ],
)
def test_a_name_that_does_not_tell_the_form_is_refused(
    form: str, name: str, only: str, weights: Path, tmp_path: Path
) -> None:
    ending = {"onnx": r"\.onnx", "openvino": r"\.xml"}[only]
    with pytest.raises(
        InputError, match=rf"ending {ending} is for --to {only}, .*--output is .*{name}; take a name such as"
    ):
        export_model(weights, form, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["model.xml", "model.bin"])
def test_neither_file_of_openvino_is_written_over(there: str, weights: Path, tmp_path: Path) -> None:
    (tmp_path / there).touch()
    with pytest.raises(InputError, match=rf"There is something at {tmp_path / there} already"):
        export_model(weights, "openvino", tmp_path / "model.xml")
    assert [path.name for path in tmp_path.iterdir()] == [there]


def test_an_unknown_form_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match="--to keras is no form of export; available now: bundle, torchscript, onnx, openvino",
    ):
        export_model(None, "keras", tmp_path / "model")


def test_a_network_that_cannot_be_compiled_leaves_nothing(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("no such statement")

    monkeypatch.setattr(torch.jit, "script", refuse)
    with pytest.raises(
        InputError, match=r"tiny cannot be compiled to TorchScript \(RuntimeError\); take one of seed"
    ):
        export_model(weights, "bundle", tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []


def test_no_room_left_is_said_and_leaves_nothing(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(InputError, match=rf"Could not write {tmp_path / NAME}: No space left on device"):
        export_model(weights, "bundle", tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_comes_next(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / NAME
    monkeypatch.setattr(
        "sys.argv", ["gliomaseg", "export", str(weights), "--to", "bundle", "-o", str(output)]
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert f"Wrote {output}. Research software. Not for diagnosis." in capsys.readouterr().out


# ---- Where gliomaseg is not installed

HIDE_GLIOMASEG = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "gliomaseg":
            raise ModuleNotFoundError("No module named 'gliomaseg'", name=name)

sys.meta_path.insert(0, Hide())
"""

CHECKS = """
import sys
import torch
from monai.bundle import ConfigWorkflow, ckpt_export, verify_net_in_out

bundle, data, output = sys.argv[1:]
meta, inference = f"{bundle}/configs/metadata.json", f"{bundle}/configs/inference.json"
verify_net_in_out(net_id="network_def", meta_file=meta, config_file=inference, bundle_root=bundle)
ckpt_export(net_id="network_def", filepath=f"{output}/again.ts", ckpt_file=f"{bundle}/models/model.pt",
            meta_file=meta, config_file=inference, bundle_root=bundle)
torch.jit.load(f"{output}/again.ts")
for names, kind in ((["train"], "train"), (["train", "evaluate"], "train"), (["inference"], "infer")):
    workflow = ConfigWorkflow(
        config_file=[f"{bundle}/configs/{name}.json" for name in names], workflow_type=kind,
        meta_file=meta, logging_file=f"{bundle}/configs/logging.conf", bundle_root=bundle,
        dataset_dir=data, output_dir=output)
    workflow.initialize()
    if workflow.check_properties() != []:
        raise SystemExit(f"{names}: {workflow.check_properties()}")
if any(name.partition(".")[0] == "gliomaseg" for name in sys.modules):
    raise SystemExit("gliomaseg was imported")
"""


def elsewhere(folder: Path, *words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in ``folder``, either with all packages but gliomaseg or with ``path`` on its path."""
    hide = folder / "hide"
    hide.mkdir(exist_ok=True)
    (hide / "sitecustomize.py").write_text(HIDE_GLIOMASEG, encoding="utf-8")
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path or hide), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def launch(folder: Path, bundle: Path, configs: list[str], *words: object) -> None:
    """Run configs of a bundle with MONAI's launcher, from a folder that is not the bundle's."""
    files = str([str(bundle / "configs" / f"{name}.json") for name in configs])
    start = ("-m", "monai.bundle", "run", "--config_file", files, "--bundle_root", bundle)
    done = elsewhere(folder, *start, *words)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_gliomaseg_is_hidden_in_these_tests(tmp_path: Path) -> None:
    assert "No module named 'gliomaseg'" in elsewhere(tmp_path, "-c", "import gliomaseg.networks").stderr


@pytest.mark.slow
def test_the_zoos_checks_pass_without_touching_the_gliomaseg_that_is_installed(
    run_bundle: Path, phantom_data: Path, tmp_path: Path
) -> None:
    done = elsewhere(tmp_path, "-c", CHECKS, run_bundle, phantom_data, tmp_path, path=run_bundle)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_the_bundle_trains(run_bundle: Path, phantom_data: Path, tmp_path: Path) -> None:
    words = ("--dataset_dir", phantom_data, "--output_dir", tmp_path / "eval", "--ckpt_dir", tmp_path / "new")
    launch(tmp_path, run_bundle, ["train"], *words, "--epochs", 1, "--passes", 1)
    old = torch.load(run_bundle / "models" / "model.pt", weights_only=True)
    new = torch.load(tmp_path / "new" / "model.pt", weights_only=True)
    assert {name: value.shape for name, value in old.items()} == {
        name: value.shape for name, value in new.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("configs", [["train", "evaluate"], ["evaluate"]])
def test_the_bundle_evaluates_to_the_figures_of_the_run(
    configs: list[str], run_bundle: Path, smoke_run: Path, tmp_path: Path
) -> None:
    words = ("--dataset_dir", smoke_run / "datalist.json", "--output_dir", tmp_path / "eval")
    launch(tmp_path, run_bundle, configs, *words)
    was, found = (content(path / "metrics.json") for path in (smoke_run, tmp_path / "eval"))
    for key in ("dice", "iou", "volume_error_voxels"):
        assert found[key] == was[key], key


@pytest.mark.slow
def test_the_bundle_keeps_the_masks_of_patients_whose_files_have_one_name(
    run_bundle: Path, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 99, (40, 40, 3)).astype(np.int16)
    for patient, slices in (("P1", 3), ("P2", 1)):
        (tmp_path / "data" / patient).mkdir(parents=True)
        image = nib.Nifti1Image(values[..., :slices], np.diag([4.0, 4, 5, 1]))
        nib.save(image, tmp_path / "data" / patient / "FLAIR.nii.gz")
    launch(tmp_path, run_bundle, ["inference"], "--dataset_dir", tmp_path / "data", "--output_dir", "masks")
    shapes = {path.name: nib.load(path).shape for path in tmp_path.rglob("*_mask.nii.gz")}
    assert shapes == {"P1_mask.nii.gz": (40, 40, 3), "P2_mask.nii.gz": (40, 40, 1)}


@pytest.mark.slow
def test_the_bundle_outlines_as_the_run_does(
    run_bundle: Path, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    segmenter, cases = Segmenter.from_name(smoke_run, "cpu"), load_cases(phantom_data)
    threshold = round(float(np.quantile(segmenter(cases[0]).probability, 0.9)), 4)  # weak weights, full masks
    words = ("--dataset_dir", phantom_data, "--output_dir", tmp_path / "masks", "--threshold", threshold)
    launch(tmp_path, run_bundle, ["inference"], *words)
    for case in cases:
        path = tmp_path / "masks" / f"{case['patient']}_from-{case['slices'][0]}_mask.nii.gz"
        mask = np.asarray(nib.load(path).dataobj)
        assert np.array_equal(mask, segmenter(case).probability >= threshold), path.name
        assert mask.any()
