"""A finished model may be used otherwise than its config says, and whoever reads the result sees it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gliomaseg.workflows.cli import app
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.exports.bundle_configs import bundle_configs
from gliomaseg.workflows.models import CHANGEABLE, open_model, with_settings
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_model_is_used_as_it_is_asked_for_and_its_files_stay(smoke_run: Path) -> None:
    before = (smoke_run / "configs" / "inference.json").read_bytes()
    settings = {"threshold": 0.3, "mirror": True, "turn": 5, "size": 96, "cleanup_largest": True}
    segmenter = Segmenter.from_name(smoke_run, "cpu", settings)
    assert (segmenter.threshold, segmenter.size, segmenter.inferer.size) == (0.3, 96, 96)
    assert (segmenter.inferer.mirror, segmenter.inferer.turn) == (True, 5)
    assert segmenter.cleanup.largest_only
    assert (smoke_run / "configs" / "inference.json").read_bytes() == before


def test_ids_that_are_younger_than_a_run_are_known_all_the_same(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "older"))
    path = run / "configs" / "inference.json"
    config = content(path)
    del config["turn"], config["inferer"]["turn"]
    path.write_text(json.dumps(config), encoding="utf-8")
    assert Segmenter.from_name(run, "cpu", {"mirror": True}).inferer.turn == 0
    segmenter = Segmenter.from_name(run, "cpu", {"turn": 10, "mirror": True})
    assert (segmenter.inferer.turn, segmenter.inferer.mirror) == (10, True)


def changed(run: Path, folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Return a copy of a run with another inference config."""
    copy = Path(shutil.copytree(run, folder / "changed"))
    path = copy / "configs" / "inference.json"
    config = content(path)
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")
    return copy


def without_cleanup(config: dict[str, Any]) -> None:
    for name in [name for name in config if name.startswith("cleanup")]:
        del config[name]
    config["postprocessing"]["transforms"].remove("@cleanup")


def without_views(config: dict[str, Any]) -> None:
    for name in ("mirror", "turn"):
        del config[name], config["inferer"][name]


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        (without_cleanup, {"cleanup_largest": True}),
        (without_cleanup, {"cleanup_share": 0.5, "threshold": 0.2}),
        (lambda config: config.pop("check_below"), {"check_below": 0.3}),
        (lambda config: config.pop("confidence_shift"), {"confidence_shift": -0.4}),
        (without_views, {"turn": 3}),
        (without_views, {"mirror": True}),
        (without_views, {"check_below": 0.3, "temperature": 2.0}),
    ],
)
def test_whatever_is_set_comes_into_effect(
    change: Callable[[dict[str, Any]], Any], settings: dict[str, Any], smoke_run: Path, tmp_path: Path
) -> None:
    segmenter = Segmenter.from_name(changed(smoke_run, tmp_path, change), "cpu", settings)
    cleanup = segmenter.cleanup
    found = {
        "cleanup_largest": cleanup and cleanup.largest_only,
        "cleanup_share": cleanup and cleanup.share,
        "threshold": segmenter.threshold,
        "check_below": segmenter.check_below,
        "confidence_shift": segmenter.confidence_shift,
        "turn": segmenter.inferer.turn,
        "mirror": segmenter.inferer.mirror,
        "temperature": segmenter.inferer.temperature,
    }
    assert {name: found[name] for name in settings} == settings


def test_a_setting_that_nothing_would_come_of_is_refused(smoke_run: Path, tmp_path: Path) -> None:
    run = changed(smoke_run, tmp_path, lambda config: config["inferer"].update(mirror=False))
    words = r"Nothing would come of mirror: `inferer` in .* does not refer to it; write '@mirror' there"
    with pytest.raises(InputError, match=words):
        Segmenter.from_name(run, "cpu", {"mirror": True})
    assert Segmenter.from_name(run, "cpu", {"turn": 4}).inferer.turn == 4


def test_a_part_that_refers_to_an_id_through_others_is_understood(smoke_run: Path, tmp_path: Path) -> None:
    def by_reference(config: dict[str, Any]) -> None:
        config["mine"] = config.pop("inferer")
        config["inferer"] = "@mine"

    def by_expression(config: dict[str, Any]) -> None:
        config["inferer"] = "$None"

    segmenter = Segmenter.from_name(changed(smoke_run, tmp_path / "a", by_reference), "cpu", {"mirror": True})
    assert segmenter.inferer.mirror is True
    run = changed(smoke_run, tmp_path / "b", by_expression)
    with pytest.raises(InputError, match="Nothing would come of mirror: `inferer` in "):
        Segmenter.from_name(run, "cpu", {"mirror": True})


def test_a_younger_id_in_the_config_of_an_older_run_comes_into_effect(
    smoke_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def younger(config: dict[str, Any]) -> None:
        del config["inferer"]["turn"]
        config["turn"] = 12

    def ones_own(config: dict[str, Any]) -> None:
        config["inferer"]["mirror"] = False
        config["mirror"] = True

    assert Segmenter.from_name(changed(smoke_run, tmp_path / "a", younger), "cpu").inferer.turn == 12
    assert not caplog.records
    assert not Segmenter.from_name(changed(smoke_run, tmp_path / "b", ones_own), "cpu").inferer.mirror
    assert "Nothing would come of mirror: `inferer` in " in caplog.text
    caplog.clear()
    bundled = bundle_configs(open_model(changed(smoke_run, tmp_path / "d", younger)))["inference"]
    assert (bundled["turn"], bundled["inferer"]["turn"]) == (12, "@turn")
    Segmenter.from_name(changed(smoke_run, tmp_path / "c", without_views), "cpu")
    assert not caplog.records


def test_a_part_of_ones_own_may_be_used_elsewhere_or_have_the_value_itself(
    smoke_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def elsewhere(config: dict[str, Any]) -> None:
        config["inferer"]["mirror"] = False
        config["more"] = "$[@mirror]"
        config["mirror"] = True

    def literal(config: dict[str, Any]) -> None:
        config["inferer"]["size"] = config["size"] = 96

    for name, change in (("a", elsewhere), ("b", literal)):
        Segmenter.from_name(changed(smoke_run, tmp_path / name, change), "cpu")
    assert not caplog.records


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_an_export_that_others_compute_has_its_own_precision(
    form: str, exported: Callable[[str], Path]
) -> None:
    with pytest.raises(InputError, match="computes as it was exported, whatever precision is; leave it out"):
        Segmenter.from_name(exported(form), "cpu", {"precision": "bf16"})


@pytest.mark.parametrize("value", ["$1 / 0", "@nope", '$"a"'])
def test_an_expression_is_no_value(value: str, smoke_run: Path) -> None:
    with pytest.raises(InputError, match="A finished model takes plain values, but threshold is "):
        Segmenter.from_name(smoke_run, "cpu", {"threshold": value})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"network_name": "unet"},
            "temperature, confidence_shift and check_below can be set, but network_name was; leave it out",
        ),
        ({"neighbours": 1}, "can be set, but neighbours was; leave it out, or train with it"),
        ({"twist": 1}, "can be set, but twist was"),
        ({"turn": 90}, "`turn` is a number from 0 to 45; got 90"),
        ({"mirror": 1}, "`mirror` is true or false; got 1"),
        ({"temperature": 0}, "`temperature` is a number above 0; got 0"),
        ({"check_below": 2}, "`check_below` is a number from 0 to 1; got 2"),
        ({"confidence_shift": 11}, "`confidence_shift` is a number from -10 to 10; got 11"),
        ({"precision": "fp8"}, "`precision` is one of auto, bf16, fp32; got 'fp8'"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], words: str, smoke_run: Path) -> None:
    with pytest.raises(InputError, match=words):
        Segmenter.from_name(smoke_run, "cpu", settings)


def test_everything_that_may_be_set_is_in_the_config_of_the_package() -> None:
    known = open_model(None).parser()
    assert all(name in known for name in CHANGEABLE)


@pytest.mark.slow
def test_a_network_that_was_exported_can_be_used_otherwise(exported: Callable[[str], Path]) -> None:
    segmenter = Segmenter.from_name(exported("torchscript"), "cpu", {"turn": 5, "threshold": 0.2})
    assert (segmenter.inferer.turn, segmenter.threshold) == (5, 0.2)


@pytest.mark.slow
def test_what_is_inside_a_file_of_a_whole_study_cannot_be_set(smoke_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export_model(smoke_run, "onnx", tmp_path / "study.onnx", whole_study=True)
    model = open_model(tmp_path / "study.onnx")
    assert Segmenter.from_name(tmp_path / "study.onnx", "cpu", {"threshold": 0.2}).threshold == 0.2
    with pytest.raises(
        InputError, match=r"study\.onnx prepares a study itself and has turn inside; name the run"
    ):
        with_settings(model, {"turn": 5})


def test_an_evaluation_tells_what_was_set(smoke_run: Path, phantom_data: Path, tmp_path: Path) -> None:
    settings = {"threshold": 0.01, "cleanup_largest": True}
    evaluate_command(phantom_data, tmp_path / "out", model=smoke_run, device="cpu", settings=settings)
    protocol = content(tmp_path / "out" / "metrics.json")["protocol"]
    assert protocol["settings"] == settings
    assert protocol["threshold"] == 0.01
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "--set threshold=0.01 --set cleanup_largest=true" in page
    with pytest.raises(InputError, match="--set changes how a model is used, but --predictions names masks"):
        evaluate_command(phantom_data, tmp_path / "o", predictions=tmp_path, settings=settings)


def test_studies_are_outlined_anew_when_something_else_is_set(
    smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    scan = sorted(phantom_data.iterdir())[0]
    voxels = []
    for threshold in ("0.999", "0.001"):
        words = ["predict", str(scan), "--output", str(tmp_path / "out"), "--model", str(smoke_run)]
        words += ["--device", "cpu", "--set", f"threshold={threshold}", "--resume"]
        assert CliRunner().invoke(app, words).exit_code == 0
        results = content(tmp_path / "out" / "results.json")
        assert results["settings"] == {"threshold": float(threshold)}
        voxels.append(results["studies"][0]["volume_voxels"])
    assert voxels[0] < voxels[1]
