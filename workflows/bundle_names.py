"""A config that names our code in, the same config with another package's name out.

In this project the code is ``gliomaseg``; a bundle brings its own copy under a name with the version in it,
so that an installed gliomaseg of another version cannot mix in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

INSTALLED: Final = "gliomaseg"
"""The import name of this project."""

PARTS: Final = ("transforms", "networks", "workflows")
"""The parts that configs name and bundles carry."""

_NAMED: Final = re.compile(rf"\bgliomaseg(?:_bundle_\w+)?\.((?:{'|'.join(PARTS)})\b[\w.]*)")
"""A dotted name in one of the parts, under the installed name or that of any bundle."""


def package_name(version: str) -> str:
    """Return the import name of the code in a bundle.

    Example:
        >>> package_name("0.1.0")
        'gliomaseg_bundle_0_1_0'
        >>> package_name("0.2.0.dev1+cpu")
        'gliomaseg_bundle_0_2_0_dev1_cpu'
    """
    return f"gliomaseg_bundle_{re.sub(r'[^0-9a-z]', '_', version.lower())}"


def rename(config: Any, package: str) -> Any:
    """Return a copy of a config in which every name of our code, in any text, starts with ``package``.

    Example:
        >>> rename({"_target_": "gliomaseg.networks.create_network"}, "gliomaseg_bundle_0_1_0")
        {'_target_': 'gliomaseg_bundle_0_1_0.networks.create_network'}
        >>> rename(["$gliomaseg_bundle_0_1_0.workflows.run.train()", 3], "gliomaseg")
        ['$gliomaseg.workflows.run.train()', 3]
    """
    if isinstance(config, Mapping):
        return {key: rename(value, package) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [rename(value, package) for value in config]
    return _NAMED.sub(rf"{package}.\1", config) if isinstance(config, str) else config


def named_code(config: Any) -> Iterator[tuple[str, ...]]:
    """Yield every name of our code that a config holds, in parts and without the package.

    Example:
        >>> list(named_code({"a": [{"_target_": "gliomaseg.workflows.handlers.Clock"}]}))
        [('workflows', 'handlers', 'Clock')]
    """
    if isinstance(config, Mapping):
        config = list(config.values())
    if isinstance(config, list | tuple):
        for value in config:
            yield from named_code(value)
    elif isinstance(config, str):
        for name in _NAMED.findall(config):
            yield tuple(name.split("."))
