"""The package as installed: one version everywhere, every file shipped, a command that starts at once."""

from __future__ import annotations

import doctest
import importlib.util
import json
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
PARTS = ("transforms", "networks", "workflows", "serving", "configs", "models")
HEAVY = ("torch", "monai", "matplotlib", "pandas", "ignite", "itk", "sklearn", "scipy")
READ_SETUP = """
import json, setuptools, distutils.core
found = distutils.core.run_setup("setup.py", stop_after="init")
print(json.dumps({"packages": found.packages, "package_data": found.package_data}))
"""
in_a_checkout = pytest.mark.skipif(
    not (ROOT / "setup.py").is_file(), reason="needs the sources beside the tests"
)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def run_python(program: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def setup_says() -> dict[str, Any]:
    return json.loads(run_python(READ_SETUP, ROOT))


def test_the_installed_version_is_the_one_in_pyproject() -> None:
    assert f'\nversion = "{version("gliomaseg")}"\n' in text_of("pyproject.toml")


@in_a_checkout
def test_the_citation_names_the_installed_version() -> None:
    assert f"\nversion: {version('gliomaseg')}\n" in text_of("CITATION.cff")


def test_the_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="gliomaseg")
    assert command.value == "gliomaseg.workflows.cli:main"


@in_a_checkout
def test_every_package_is_shipped(setup_says: dict[str, Any]) -> None:
    folders = {path.parent.relative_to(ROOT) for part in PARTS for path in (ROOT / part).rglob("__init__.py")}
    assert {".".join(("gliomaseg", *folder.parts)) for folder in folders} == set(setup_says["packages"])


@in_a_checkout
@pytest.mark.parametrize(
    "part", ["transforms", "networks", "workflows", "serving", "configs", "models/default"]
)
def test_every_data_file_is_shipped(part: str, setup_says: dict[str, Any]) -> None:
    home = f"gliomaseg.{part.split('/')[0]}"
    packages = {
        name: which for name, which in setup_says["package_data"].items() if f"{name}.".startswith(f"{home}.")
    }
    files = [
        path
        for path in (ROOT / part).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    ]
    shipped = {
        path
        for name, patterns in packages.items()
        for pattern in patterns
        for path in ROOT.joinpath(*name.split(".")[1:]).glob(pattern)
    }
    assert [path.name for path in files if path not in shipped] == []


@pytest.mark.parametrize("part", ["transforms", "networks", "workflows", "serving"])
def test_the_installed_parts_say_that_they_are_typed(part: str) -> None:
    spec = importlib.util.find_spec(f"gliomaseg.{part}")
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).with_name("py.typed").is_file()


@pytest.mark.parametrize("module", ["cli", "phantom", "datalist", "checks"])
def test_what_starts_at_once_leaves_the_heavy_packages_alone(module: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(f"gliomaseg.workflows.{module}") is None:
        pytest.skip(f"there is no {module} yet")
    program = f"import sys, gliomaseg.workflows.{module}; print([n for n in {HEAVY} if n in sys.modules])"
    assert run_python(program, tmp_path).strip() == "[]"


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_the_examples_of_the_scripts_hold(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert doctest.testmod(module).failed == 0


def test_phantom_data_is_laid_out_like_the_real_download(phantom_data: Path) -> None:
    patients = [path for path in phantom_data.iterdir() if path.is_dir()]
    assert len(patients) == 8
    for patient in patients:
        assert 6 <= len(list(patient.glob(f"{patient.name}_*_mask.tif"))) <= 8
