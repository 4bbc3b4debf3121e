"""The demo knows its own run."""

import re
import shutil
from pathlib import Path

import pytest

from gliomaseg.workflows.datalist import build_datalist, write_datalist
from gliomaseg.workflows.demo import _is_demo, run_demo
from gliomaseg.workflows.system.files import InputError


def test_a_demo_does_not_go_on_with_another_run(smoke_run: Path) -> None:
    before = (smoke_run / "configs" / "train.json").read_bytes()
    words = f"{smoke_run} holds a run on other patients than those of the demo; choose another --output"
    with pytest.raises(InputError, match=f"^{re.escape(words)}"):
        run_demo(smoke_run)
    assert (smoke_run / "configs" / "train.json").read_bytes() == before


def test_a_demo_knows_its_own_run(phantom_data: Path, smoke_run: Path, tmp_path: Path) -> None:
    shutil.copytree(phantom_data, tmp_path / "phantoms")
    assert _is_demo(tmp_path)
    write_datalist(build_datalist(tmp_path / "phantoms"), tmp_path / "datalist.json")
    assert _is_demo(tmp_path)
    shutil.copy(smoke_run / "datalist.json", tmp_path)
    assert not _is_demo(tmp_path)
