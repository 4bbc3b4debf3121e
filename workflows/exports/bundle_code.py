"""Names in configs in, the source files behind them and all that these import out: the code of a bundle."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata, resources
from pathlib import Path
from typing import Final

from ..bundle_names import INSTALLED, PARTS

Module = tuple[str, ...]
"""A module by its place below the import name, ``("workflows", "run")``; a package is ``("networks",)``."""

DISTRIBUTIONS: Final = {
    "PIL": "pillow",
    "ignite": "pytorch-ignite",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
"""Import names whose package on PyPI is called otherwise."""

UNSEEN: Final = ("fire", "nibabel", "tensorboard")
"""Packages that the code needs without importing them: MONAI's command line, its reader and writer of NIfTI,
and torch's TensorBoard writer do."""

WITHOUT: Final = frozenset({"torch", "monai", "numpy", "pydicom", "highdicom"})
"""Not among the required packages: three have fields of their own, the others are for DICOM only."""

INIT: Final = '''"""The part of gliomaseg {version} that the configs of this bundle use."""

__version__ = "{version}"
'''


def modules_for(names: Iterable[Module]) -> list[Module]:
    """Return the modules that the given names need, sorted: theirs, and whatever these import of ours.

    Imports inside functions count too.

    Args:
        names: of modules, or of things in modules.

    Raises:
        ValueError: a name belongs to no module.
    """
    waiting = [_home_of(name) for name in names]
    found: set[Module] = set()
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [module[:length] for length in range(1, len(module))]  # the packages it lies in
            waiting += _imports_of(module)
    return sorted(found)


def write_code(folder: Path, modules: Iterable[Module], version: str) -> None:
    """Copy modules into a package folder, unchanged: all their imports of ours are relative."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(INIT.format(version=version), encoding="utf-8")
    for module in modules:
        source = _path_of(module)
        if source is not None:
            target = folder.joinpath(*_package_of(module, source), source.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())


def required_packages(modules: Iterable[Module]) -> dict[str, str]:
    """Return the packages that modules need besides torch, MONAI and numpy, with the versions in use here."""
    imported = {name for module in modules for name in _foreign_imports(module)}
    names = {DISTRIBUTIONS.get(name, name) for name in imported - WITHOUT - sys.stdlib_module_names}
    return {name: installed_version(name) for name in sorted(names | set(UNSEEN))}


def installed_version(package: str) -> str:
    """Return the version of an installed package without its local part, such as ``+cpu``."""
    return metadata.version(package).partition("+")[0]


def _home_of(name: Module) -> Module:
    """Return the module that a name is, or in which it is defined."""
    for length in range(len(name), 0, -1):
        if _path_of(name[:length]) is not None:
            return name[:length]
    raise ValueError(
        f"Expected the name of something in {', '.join(PARTS)}, got {'.'.join(name)!r}: there is no such "
        "module; configs of other code cannot go into a bundle."
    )


def _path_of(module: Module) -> Path | None:
    """Return the source file of a module, None where there is no such module."""
    if not module or module[0] not in PARTS:
        return None
    place = Path(str(resources.files(f"{INSTALLED}.{module[0]}"))).joinpath(*module[1:])
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((path for path in candidates if path.is_file()), None)


def _package_of(module: Module, source: Path) -> Module:
    return module if source.name == "__init__.py" else module[:-1]


def _tree_of(module: Module) -> tuple[Module, ast.AST]:
    """Return the package that a module lies in, and its syntax tree."""
    source = _path_of(module)
    if source is None:
        raise ValueError(f"Expected a module of ours, got {'.'.join(module)!r}; there is no such file.")
    return _package_of(module, source), ast.parse(source.read_text(encoding="utf-8"))


def _imports_of(module: Module) -> Iterator[Module]:
    """Yield the modules of ours that a module imports."""
    package, tree = _tree_of(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*package[: len(package) + 1 - node.level], *(node.module or "").split("."))
            base = tuple(word for word in base if word)
            for name in (base, *((*base, alias.name) for alias in node.names)):
                if _path_of(name) is not None:
                    yield name


def _foreign_imports(module: Module) -> Iterator[str]:
    """Yield the top-level names of all that a module imports absolutely."""
    _, tree = _tree_of(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
