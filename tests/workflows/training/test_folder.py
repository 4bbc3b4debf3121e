"""The folder of a run is prepared."""

from pathlib import Path

from gliomaseg.workflows.run import TrainOptions
from gliomaseg.workflows.training.config import read_train_config
from gliomaseg.workflows.training.folder import prepare_folder

from ..quick import SMOKE


def test_one_institution_validates_where_the_config_says_so(phantom_data: Path, tmp_path: Path) -> None:
    settings = {**SMOKE, "split": "institution", "institution": "DU"}
    options = TrainOptions(phantom_data, tmp_path / "run", settings=settings)
    kept = prepare_folder(options, read_train_config(options))
    assert {case["institution"] for case in kept["validation"]} == {"DU"}
    assert "DU" not in {case["institution"] for case in kept["training"]}
