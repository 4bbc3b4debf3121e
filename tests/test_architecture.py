"""Imports run one way, heavy packages wait where a quick start counts, and only the command line prints.

All is read from the syntax trees of the modules, wherever they are installed, so it holds for a wheel too.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

# What a part may import of ours, besides itself.
MAY_IMPORT = {
    "transforms": set(),
    "networks": set(),
    "configs": set(),
    "models": set(),
    "workflows": {"transforms", "networks", "configs", "models"},
    "serving": {"transforms", "workflows"},
}

# The command line is the door to every part; it imports them inside its functions.
DOOR = ("workflows", "cli")

# MONAI Label loads this file by its path, outside any package, where a relative import has nothing to go by.
LOADED_BY_PATH = ("serving", "label_app", "main")

# The modules of workflows/ in the order a case travels; each may import those before it, none behind it.
# fmt: off
ORDER = [
    # reading and writing, and what went wrong
    "memory", "system.files", "system.occupied", "system.pool", "system.machine", "system.causes",
    "system.environment", "system.shard", "system.once",
    # made-up patients
    "phantoms.head", "phantoms.scan", "phantom", "phantoms.study",
    # what a folder holds
    "folders.visits", "folders.volume_names", "folders.slices", "folders.studies", "folders.dataset_json",
    "folders.sequences", "folders.dicom_series", "folders.sidecars", "folders.sequence_files",
    "folders.label_names", "folders.label_places", "folders.volume_values", "folders.volume_folder",
    "folders.path_table", "folders.participants", "folders.doubles", "folders.sources", "folders.persons",
    "folders.look_alikes",
    # who trains
    "split", "splits.given_split", "splits.case_split", "splits.plain_datalist", "splits.datalist_file",
    "datalist", "folds",
    # what a person names to be segmented
    "folders.dicom_folder", "folders.records", "folders.own_names", "folders.sorted_volumes",
    "folders.volume_records", "inputs",
    # what is wrong with the data
    "checking.findings", "checking.negatives", "checking.slice_checks", "checking.volume_checks", "checks",
    # what is counted, and made into figures
    "measures.averaging", "measures.calibration", "measures.confidence", "measures.mask_checks",
    "measures.surface_distance",
    "measures.lesions", "metrics", "per_patient", "summary", "evaluation.comparison",
    # what a person sees
    "pictures", "reports.plots", "reports.animation",
    # parts of the engines
    "inferers", "losses", "draws", "batches", "handlers", "window_check", "schedule", "tensorboard",
    "checkpoints", "distributed", "confidence", "tuned",
    # the pages
    "reports.history", "reports.pages", "reports.words", "reports.figures", "reports.patients",
    "reports.charts", "report", "reports.comparison_page",
    # a model at work
    "overrides", "limits", "bundle_names", "graphs", "models", "leakage.seen", "leakage.leaks", "figures",
    "whole_study", "segment", "ensemble", "resuming.fingerprints", "resuming.measured",
    "evaluation.masks", "evaluation.turned_masks", "evaluation.swapped_masks", "evaluate",
    # and made
    "exports.bundle_code", "exports.training_data", "exports.bundle_metadata", "training.fitting",
    "training.tuning", "training.budget", "training.options", "training.asked", "training.config",
    "training.trial", "training.data", "training.folder", "training.end", "run", "federation",
    "cross_validate", "profiling",
    # for others
    "exports.bundle_configs", "exports.bundle_docs", "exports.torchscript", "exports.onnx_file",
    "exports.openvino_file", "exports.bundle", "export",
    # at the door
    "doctor", "results", "resuming.finished", "dicom.sources", "dicom.seg", "dicom.rtstruct",
    "dicom.objects", "predict", "truths", "convert", "evaluate_command", "evaluation.evaluated_runs",
    "compare", "demo", "terminal", "cli",
]

# These modules start at once: there, the heavy packages are imported inside the functions that need them.
LIGHT = {"cli", "terminal", "phantom", "datalist", "checks"}
HEAVY = {
    "ignite", "itk", "matplotlib", "monai", "pandas",
    "scipy", "sklearn", "tensorboard", "torch", "torchvision",
}
# fmt: on

Name = tuple[str, ...]


def folder_of(part: str) -> Path:
    """Return where a part is installed."""
    spec = importlib.util.find_spec(f"gliomaseg.{part}")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def trees_of(part: str) -> dict[Name, ast.Module]:
    """Return the syntax tree of every module of a part under its name, as ``("workflows", "cli")``."""
    folder = folder_of(part)
    paths = sorted(folder.rglob("*.py"))
    names = [(part, *path.relative_to(folder).with_suffix("").parts) for path in paths]
    return {
        name: ast.parse(path.read_text(encoding="utf-8")) for name, path in zip(names, paths, strict=True)
    }


TREES = {name: tree for part in MAY_IMPORT for name, tree in trees_of(part).items()}


def ours(importer: Name) -> Iterator[Name]:
    """Yield the modules of ours that ``importer`` imports relatively, in the form of ``TREES``."""
    for node in ast.walk(TREES[importer]):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*importer[: len(importer) - node.level], *(node.module or "").split("."))
            base = tuple(word for word in base if word)
            for name in ((*base, alias.name) for alias in node.names):
                yield name if name in TREES or not base else base


def theirs(node: ast.AST, *, at_import: bool = False) -> Iterator[str]:
    """Yield what a tree imports absolutely; with ``at_import`` only what runs when it is imported."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield node.module or ""
    waits = isinstance(node, ast.FunctionDef) or (
        isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    )
    if not (at_import and waits):
        for child in ast.iter_child_nodes(node):
            yield from theirs(child, at_import=at_import)


def test_a_part_imports_only_the_parts_before_it() -> None:
    wrong = [
        (name, found)
        for name in TREES
        for found in ours(name)
        if found[0] not in {name[0], *MAY_IMPORT[name[0]]} and (name, found[0]) != (DOOR, "serving")
    ]
    assert not wrong, wrong


def test_configs_name_no_part_of_a_package_of_workflows() -> None:
    """Runs keep their configs, so that what these name has to stay where it is."""
    folders = (folder_of("configs"), folder_of("models") / "default" / "configs")
    configs = [path for folder in folders for path in folder.iterdir() if path.suffix in (".json", ".yaml")]
    named = set(
        re.findall(r"gliomaseg\.workflows\.(\w+)", " ".join(path.read_text("utf-8") for path in configs))
    )
    alone = {name[1] for name in TREES if name[0] == "workflows" and len(name) == 2}
    assert named - alone == set()
    words = ast.get_docstring(TREES[("workflows", "__init__")]) or ""
    inside = re.search(r"Inside MONAI's loop:.*?\n\n", words, re.DOTALL)
    assert inside is not None
    assert named - set(re.findall(r"``(\w+)``", inside[0])) == set()


def test_imports_between_our_parts_are_relative() -> None:
    roots = {"gliomaseg", *MAY_IMPORT}
    wrong = [
        (name, found)
        for name, tree in TREES.items()
        for found in theirs(tree)
        if found.split(".")[0] in roots and name != LOADED_BY_PATH
    ]
    assert not wrong, wrong


WORKFLOWS = [name for name in TREES if name[0] == "workflows" and name[-1] != "__init__"]


def test_every_module_of_workflows_has_a_place_in_the_order() -> None:
    homeless = sorted({in_order(name) for name in WORKFLOWS} - set(ORDER))
    assert not homeless, f"give these a place in ORDER, behind all they import: {', '.join(homeless)}"


def test_the_order_names_each_module_once_and_none_that_is_gone() -> None:
    assert sorted(ORDER) == sorted(in_order(name) for name in WORKFLOWS)


def in_order(name: Name) -> str:
    """Return how ``ORDER`` calls a module of workflows/."""
    return ".".join(name[1:])


def test_workflows_imports_only_modules_before_it() -> None:
    place = {name: ORDER.index(in_order(name)) for name in WORKFLOWS}
    pairs = [(name, found) for name in WORKFLOWS for found in ours(name) if found in place]
    wrong = [(name, found) for name, found in pairs if name != found and place[found] > place[name]]
    assert not wrong, wrong


def test_a_package_of_workflows_imports_nothing_that_imports_it() -> None:
    def unit(name: Name) -> Name:  # a package counts as one, with all its modules
        return name[:2]

    imports: dict[Name, set[Name]] = {unit(name): set() for name in WORKFLOWS}
    for name in WORKFLOWS:
        imports[unit(name)] |= {unit(found) for found in ours(name) if unit(found) in imports} - {unit(name)}
    circles = [unit for unit in imports if unit in reached_from(imports[unit], imports)]
    assert not circles, circles


def reached_from(starts: set[Name], imports: dict[Name, set[Name]]) -> set[Name]:
    """Return what is imported from ``starts`` on, in any number of steps."""
    reached: set[Name] = set()
    waiting = set(starts)
    while waiting:
        reached |= waiting
        waiting = {found for name in waiting for found in imports[name]} - reached
    return reached


def test_modules_that_start_at_once_import_nothing_heavy() -> None:
    light = {
        name: tree
        for name, tree in TREES.items()
        if name[0] == "workflows" and (name[-1] == "__init__" or name[1] in LIGHT)
    }
    wrong = [
        (n, found)
        for n, t in light.items()
        for found in theirs(t, at_import=True)
        if found.split(".")[0] in HEAVY
    ]
    assert not wrong, wrong


def test_only_the_command_line_prints() -> None:
    calls = [
        (name, node) for name, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.Call)
    ]
    wrong = [
        (name, node.lineno) for name, node in calls if ast.unparse(node.func) == "print" and name[-1] != "cli"
    ]
    assert not wrong, wrong


def test_checks_are_raised_not_asserted() -> None:
    wrong = [
        (n, node.lineno)
        for n, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]
    assert not wrong, wrong
