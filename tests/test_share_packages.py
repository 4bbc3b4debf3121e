"""Sharing the large packages of two environments: whole packages of the wanted version, or nothing."""

import contextlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script() -> ModuleType:
    file = ROOT / "scripts" / "share_packages.py"
    if not file.is_file():
        pytest.skip("needs the sources beside the tests")
    spec = importlib.util.spec_from_file_location("share_packages", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def installed(site: Path, name: str, version: str = "1.0", *, size: int = 100) -> Path:
    """Put a package of one module, one command and its compiled form into ``site``; return the module."""
    module = site / name / "core.py"
    module.parent.mkdir(parents=True)
    module.write_text("#" * size)
    command = site.parent / "bin" / name
    command.parent.mkdir(exist_ok=True)
    command.write_text("#!/the/other/python")
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(
        f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n{name}/core.py,,\n"
        f"{name}/__pycache__/core.cpython-311.pyc,,\n../bin/{name},,\n"
    )
    return module


@pytest.fixture
def sites(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "one" / "site-packages", tmp_path / "two" / "site-packages"
    source.mkdir(parents=True)
    target.mkdir(parents=True)
    return source, target


def test_a_large_package_of_the_wanted_version_is_linked(
    script: ModuleType, sites: tuple[Path, Path]
) -> None:
    source, target = sites
    module = installed(source, "torch")

    assert script.share(source, target, {"torch": "1.0"}, large=100) == ["torch"]

    assert (target / "torch" / "core.py").samefile(module)
    assert (target / "torch-1.0.dist-info" / "METADATA").exists()
    assert not (target.parent / "bin").exists()


@pytest.mark.parametrize("wanted", [{"torch": "2.0"}, {}])
def test_another_version_is_left_to_pip(
    script: ModuleType, sites: tuple[Path, Path], wanted: dict[str, str]
) -> None:
    source, target = sites
    installed(source, "torch")

    assert script.share(source, target, wanted, large=100) == []
    assert list(target.iterdir()) == []


def test_a_small_package_is_left_to_pip(script: ModuleType, sites: tuple[Path, Path]) -> None:
    source, target = sites
    installed(source, "torch", size=1000)
    installed(source, "tqdm", size=10)

    assert script.share(source, target, {"torch": "1.0", "tqdm": "1.0"}, large=1000) == ["torch"]


def test_a_package_that_is_not_whole_is_left_to_pip(script: ModuleType, sites: tuple[Path, Path]) -> None:
    source, target = sites
    installed(source, "torch").unlink()

    assert script.share(source, target, {"torch": "1.0"}, large=1) == []
    assert list(target.iterdir()) == []


def test_a_package_that_is_there_already_stays(script: ModuleType, sites: tuple[Path, Path]) -> None:
    source, target = sites
    installed(source, "torch")
    own = installed(target, "torch", "0.9")

    assert script.share(source, target, {"torch": "1.0"}, large=1) == []
    assert not own.samefile(source / "torch" / "core.py")


@pytest.mark.parametrize("stop", [OSError(18, "Invalid cross-device link"), KeyboardInterrupt()])
def test_half_a_package_is_taken_away_again(
    stop: BaseException, script: ModuleType, sites: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = sites
    installed(source, "torch")
    link = script.os.link

    def until_the_metadata(old: Path, new: Path) -> None:
        if new.name == "METADATA":
            raise stop
        link(old, new)

    monkeypatch.setattr(script.os, "link", until_the_metadata)

    expected = contextlib.nullcontext() if isinstance(stop, OSError) else pytest.raises(KeyboardInterrupt)
    with expected:
        assert script.share(source, target, {"torch": "1.0"}, large=1) == []
    assert [path for path in target.rglob("*") if path.is_file()] == []


def test_what_an_interrupted_call_linked_is_no_obstacle(script: ModuleType, sites: tuple[Path, Path]) -> None:
    source, target = sites
    module = installed(source, "torch")
    (target / "torch").mkdir()
    (target / "torch" / "core.py").hardlink_to(module)

    assert script.share(source, target, {"torch": "1.0"}, large=1) == ["torch"]


def test_another_file_in_the_way_of_one_package_leaves_the_others(
    script: ModuleType, sites: tuple[Path, Path]
) -> None:
    source, target = sites
    for name in ("itk", "torch", "triton"):
        installed(source, name)
    (target / "torch").mkdir()
    (target / "torch" / "core.py").write_text("somebody's")

    wanted = dict.fromkeys(("itk", "torch", "triton"), "1.0")
    assert script.share(source, target, wanted, large=1) == ["itk", "triton"]
    assert (target / "torch" / "core.py").read_text() == "somebody's"


def test_the_environment_of_another_python_has_nothing_to_share(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("torch==1.0\n")

    installed(tmp_path / "old" / "lib" / "python3.8" / "site-packages", "torch", size=100)

    script.main(str(tmp_path / "old"), str(constraints))

    assert capsys.readouterr().out == ""


def test_the_label_environment_can_share_what_is_large(script: ModuleType) -> None:
    """The two sets of pins agree on the packages that fill the disk."""
    ours, label = ((ROOT / name).read_text("utf-8") for name in ("constraints.txt", "constraints-label.txt"))
    for name in ("torch", "triton", "nvidia-cudnn-cu13", "nvidia-cublas", "itk-core"):
        assert script.pins(ours)[name] == script.pins(label)[name]
