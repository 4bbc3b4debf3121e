"""Imports run one way, heavy packages wait where a quick start counts, and only the command line prints.

All is read from the syntax trees of the modules, wherever they are installed, so it holds for a wheel too.
"""

from __future__ import annotations

import ast
import importlib.util
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

# The modules of workflows/ in the order a case travels, whatever package they lie in; each may import those
# before it, none behind it.
# fmt: off
ORDER = [
    "memory", "files", "occupied", "pool", "machine", "causes",  # reading and writing, and what went wrong
    "phantom_head", "phantom_scan", "phantom", "phantom_study",  # made-up patients
    "visits", "volume_names", "slices", "studies", "dataset_json", "sequences", "dicom_series", "sidecars",
    "sequence_files", "label_names", "label_places", "volume_values", "volume_folder", "path_table",
    "participants", "doubles", "sources",  # what a folder holds
    "persons", "split", "given_split", "case_split", "plain_datalist", "datalist_file", "datalist",
    "folds",  # who trains
    "dicom_folder", "records", "own_names", "sorted_volumes", "volume_records",
    "inputs",  # what a person names to be segmented
    "findings", "negatives", "slice_checks", "volume_checks", "checks",  # what is wrong with the data
    "averaging", "calibration", "fitting", "mask_checks", "surface_distance", "lesions",  # what is counted
    "metrics", "per_patient", "summary", "comparison",  # and made into figures
    "pictures", "plots", "animation",  # what a person sees
    "inferers", "losses", "draws", "batches", "handlers", "schedule", "tensorboard", "checkpoints",
    "distributed", "tuned",  # parts of the engines
    "history", "pages", "report_words", "report_figures", "report_patients", "report_charts", "report",
    "comparison_page",  # the pages
    "environment", "overrides", "limits", "bundle_names", "graphs", "models", "seen", "leaks", "figures",
    "whole_study", "segment", "ensemble", "fingerprints", "masks", "measured", "turned_masks",  # at work
    "swapped_masks", "evaluate", "tuning",
    "bundle_code", "bundle_metadata", "budget",
    "options", "train_config", "run_data", "run_folder", "run_end", "run", "federation",
    "cross_validate", "profiling",  # and where its time goes
    "bundle_configs", "bundle_docs", "torchscript", "onnx_file",
    "openvino_file", "bundle",  # for others
    "export", "doctor", "shard", "results", "finished", "dicom_sources", "dicom_seg",
    "dicom_rtstruct", "dicom_objects", "predict", "truths", "convert",
    "evaluate_command",
    "evaluated", "compare", "demo", "cli",  # at the door
]

# These modules start at once: there, the heavy packages are imported inside the functions that need them.
LIGHT = {"cli", "phantom", "datalist", "checks"}
HEAVY = {
    "ignite", "itk", "matplotlib", "monai", "pandas",
    "scipy", "sklearn", "tensorboard", "torch", "torchvision",
}
# fmt: on

Name = tuple[str, ...]


def trees_of(part: str) -> dict[Name, ast.Module]:
    """Return the syntax tree of every module of a part under its name, as ``("workflows", "files")``."""
    spec = importlib.util.find_spec(f"gliomaseg.{part}")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
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
    homeless = sorted({name[-1] for name in WORKFLOWS} - set(ORDER))
    assert not homeless, f"give these a place in ORDER, behind all they import: {', '.join(homeless)}"


def test_the_order_names_each_module_once_and_none_that_is_gone() -> None:
    assert sorted(ORDER) == sorted(name[-1] for name in WORKFLOWS)


def test_workflows_imports_only_modules_before_it() -> None:
    place = {name: ORDER.index(name[-1]) for name in WORKFLOWS}
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
        if name[0] == "workflows" and name[1] in {*LIGHT, "__init__"}
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
