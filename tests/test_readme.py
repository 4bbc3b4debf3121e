"""README and docs keep their word: links lead somewhere, commands exist, tables equal the code."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
import shlex
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
import yaml
from PIL import Image

from gliomaseg.networks import count_gflop, count_parameters, create_network, network_names
from gliomaseg.workflows.checking.findings import KINDS
from gliomaseg.workflows.cli import app
from gliomaseg.workflows.overrides import all_ids, parse_setting
from gliomaseg.workflows.system import machine

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMANDS = typer.main.get_command(app).commands
OTHER_PROGRAMS = {"cd", "curl", "git", "make", "tensorboard"}
MOST_BYTES = 200_000
in_a_checkout = pytest.mark.skipif(
    not (ROOT / "setup.py").is_file(), reason="needs the sources beside the tests"
)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def config(name: str) -> str:
    return resources.files("gliomaseg.configs").joinpath(name).read_text(encoding="utf-8")


def rows_under(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table behind a line that starts so, without its head."""
    lines = text_of(page).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(heading))
    first = next(number for number in range(start, len(lines)) if lines[number].startswith("|"))
    last = next(number for number in range(first, len(lines)) if not lines[number].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[first + 2 : last]]


def commands_in(text: str) -> list[str]:
    """Return what the console blocks of a page tell to type, one command each."""
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


def headings_of(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def ids_of(*names: str) -> set[str]:
    return {name for config_name in names for name in all_ids(yaml.safe_load(config(config_name)))}


TYPED = [(name_of(page), line) for page in PAGES for line in commands_in(page.read_text(encoding="utf-8"))]


# What stands on the page


def test_the_readme_says_near_its_top_that_it_is_not_for_diagnosis() -> None:
    assert "**Not for diagnosis.**" in "\n".join(text_of("README.md").splitlines()[:8])


def test_the_place_of_the_results_is_marked_once_and_holds_a_table_or_says_that_there_is_none() -> None:
    text = text_of("README.md")
    assert (text.count("<!-- results:begin -->"), text.count("<!-- results:end -->")) == (1, 1)
    held = text.partition("<!-- results:begin -->")[2].partition("<!-- results:end -->")[0].strip()
    assert held.startswith(("|", "No figures yet"))


def test_every_command_is_in_the_readme() -> None:
    text = text_of("README.md")
    missing = [name for name in COMMANDS if f"gliomaseg {name}" not in text and f"make {name}" not in text]
    assert missing == []


def test_the_readme_lists_the_ids_on_top_of_the_training_config() -> None:
    block = config("train.yaml").partition("# ---- The fifteen ids")[2].partition("# ----")[0]
    lines = re.findall(r"^(\w+): (.+?) +# (.+)$", block, re.MULTILINE)
    assert len(lines) == 15
    wanted = [[f"`{name}`", f"`{value}`", words] for name, value, words in lines]
    assert rows_under("README.md", "### The fifteen ids") == wanted


def test_the_readme_lists_every_network_with_its_size() -> None:
    rows = {row[0].strip("`"): tuple(row[1:3]) for row in rows_under("README.md", "## Networks by name")}
    assert list(rows) == network_names()
    for name, shown in rows.items():
        with torch.device("meta"):
            network = create_network(name)
        assert shown == (f"{count_parameters(network) / 1e6:.1f}", f"{count_gflop(network):.1f}"), name


def test_own_data_lists_every_fault_that_doctor_finds() -> None:
    rows = rows_under("docs/how-to/own-data.md", "| Fault | Level |")
    assert rows == [[kind.title, kind.level, kind.remedy] for kind in KINDS.values()]


@pytest.mark.slow
def test_the_readme_lists_what_a_run_leaves_behind(smoke_run: Path) -> None:
    rows = rows_under("README.md", "### What a run leaves behind")
    listed = [name.strip("`") for row in rows for name in row[0].split(", ")]
    assert [name for name in listed if not (smoke_run / name).exists()] == []
    assert {name.partition("/")[0] for name in listed} == {path.name for path in smoke_run.iterdir()}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_examples_of_a_page_hold(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples failed; see above"


# Where it leads


@in_a_checkout
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_link_is_dead(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        assert not anchor or anchor in headings_of(target), f"{name_of(page)} links to {link}"


@pytest.mark.parametrize(("page", "line"), TYPED)
def test_a_command_that_a_page_prints_can_be_typed(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "gliomaseg":
        check_ours(words[1], words[2:])
    elif "monai.bundle" in words:
        check_bundle(words)
    elif words[:2] == ["python", "-c"]:
        compile(words[2], page, "exec")
    else:
        assert words[0] in OTHER_PROGRAMS, line


def check_ours(name: str, words: list[str]) -> None:
    """Parse the words as the command line does, and look up the ids they set."""
    assert name in COMMANDS
    with COMMANDS[name].make_context(name, words) as context:
        settings: list[str] = context.params.get("settings") or []
    known = ids_of("train.yaml")
    for setting in settings:
        assert parse_setting(setting)[0] in known, setting


def check_bundle(words: list[str]) -> None:
    """Look up the configs and ids of a call of MONAI's launcher."""
    start = words.index("monai.bundle")
    assert words[:start] in (["python", "-m"], ["torchrun", "--nproc_per_node", "2", "-m"])
    assert words[start + 1] == "run"
    options: dict[str, Any] = dict(zip(words[start + 2 :: 2], words[start + 3 :: 2], strict=True))
    given = options.pop("--config_file")
    files = ast.literal_eval(given) if given.startswith("[") else [given]
    # In an exported bundle the evaluation is JSON like the rest; here it is a mixin in YAML.
    names = [Path(file).name.replace("evaluate.json", "evaluate.yaml") for file in files]
    for file, name in zip(files, names, strict=True):
        assert file in (f"configs/{name}", "configs/evaluate.json") or file.startswith("runs/")
        assert config(name)
    for option in options:
        assert option.removeprefix("--") in ids_of(*names), option


@in_a_checkout
def test_the_words_for_make_that_the_pages_print_exist() -> None:
    words = {match for page in PAGES for match in re.findall(r"`make ([a-z-]+)", page.read_text("utf-8"))}
    words |= {line.split()[1] for _, line in TYPED if line.startswith("make ")}
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    assert {"demo", "test"} <= words <= targets


# The picture


def test_the_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > MOST_BYTES} == {}


@in_a_checkout
@pytest.mark.slow
def test_the_picture_is_the_one_that_the_script_draws(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_pictures", ROOT / "scripts" / "make_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.save(script.phantom_picture(), tmp_path / "again.png")
    drawn, kept = (
        np.asarray(Image.open(path).convert("RGB"), np.int16)
        for path in (tmp_path / "again.png", script.TARGET)
    )
    # Not byte for byte: the last digit of a filter may differ between versions of scipy.
    assert drawn.shape == kept.shape
    assert float(np.abs(drawn - kept).mean()) < 1


def test_headings_become_anchors_as_on_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Cite, licence\n\n## `make test`: all\n", encoding="utf-8")
    assert headings_of(page) == {"cite-licence", "make-test-all"}


def test_the_messages_on_the_page_of_troubles_are_those_of_the_program() -> None:
    rows = rows_under("docs/how-to/trouble.md", "| You see | Why |")
    quoted = [words for row in rows for words in re.findall("`([A-Z][^`]*)`", row[0])]
    assert len(quoted) >= 4
    for words in quoted:
        assert any(kind.said.startswith(words) for kind in machine.KINDS), words
