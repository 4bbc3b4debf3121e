"""``ID=VALUE`` from the command line in, a config with that value out; an unknown id names the nearest."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from monai.bundle import ConfigParser

from .system.files import InputError

_SEPARATOR = "::"

_REFERENCE = re.compile(r"[@%](\w+)")

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
"""Numbers that YAML 1.1 takes for text: 1e-4, 2.5e3."""


def parse_setting(setting: str) -> tuple[str, Any]:
    """Split ``ID=VALUE`` and read the value as YAML, with numbers such as 1e-4 as numbers.

    Raises:
        InputError: there is no ``=``, or the value is not YAML or holds a ``#``.

    Example:
        >>> parse_setting("learning_rate=1e-4")
        ('learning_rate', 0.0001)
        >>> parse_setting("train#trainer#max_epochs=3")
        ('train::trainer::max_epochs', 3)
    """
    name, equals, value = setting.partition("=")
    if not equals or not name.strip():
        raise InputError(f"Expected --set ID=VALUE, got {setting!r}; for instance --set threshold=0.4.")
    refuse_hash(name.strip(), value)  # before YAML takes what follows for a comment
    try:
        return name.strip().replace("#", _SEPARATOR), _with_numbers(yaml.safe_load(value))
    except yaml.YAMLError as error:
        raise InputError(f"The value of --set {setting!r} is not YAML; put quotes around it.") from error


def apply_settings(
    parser: ConfigParser, settings: Mapping[str, Any], source: str, also_used: Sequence[str] = ()
) -> None:
    """Write settings into a config that has these ids already.

    Args:
        parser: a config that has been read and not yet parsed.
        settings: id -> value.
        source: the config's name, for the error.
        also_used: ids that programs read, whether the config refers to them or not.

    Raises:
        InputError: the config has no such id, nothing uses it any more once all settings are written, or a
            value holds a ``#``, which MONAI would read as an id.
    """
    known = list(all_ids(parser.get()))
    for name, value in settings.items():
        if name not in known:
            raise InputError(f"{source} has no id {name!r}; {_nearest(name, known)}")
        refuse_hash(name, value)
    before = references_in(parser.get())
    for name, value in settings.items():
        parser[name] = value
    after = references_in(parser.get())
    for name in settings:
        top = name.split(_SEPARATOR)[0]
        if top in before and top not in after and top not in also_used:
            raise InputError(
                f"{name} is set, but nothing uses {top} any more, since {_replaced(settings, name)} is set "
                "too; leave one of them out, or write the value where it is used."
            )


def _replaced(settings: Mapping[str, Any], name: str) -> str:
    others = [
        other for other, value in settings.items() if other != name and isinstance(value, Mapping | list)
    ]
    return " or ".join(others) or "what used it"


def references_from(config: Mapping[str, Any], name: str) -> set[str]:
    """Return the ids that a part of a config refers to, itself or through others.

    Args:
        config: by id.
        name: of the part; it may be missing.

    Example:
        >>> sorted(references_from({"a": "@b", "b": ["@c"], "c": 1, "d": "@a"}, "a"))
        ['b', 'c']
    """
    found: set[str] = set()
    waiting = references_in(config.get(name))
    while waiting:
        found |= waiting
        waiting = set().union(*(references_in(config.get(one)) for one in waiting)) - found
    return found


def references_in(config: Any) -> set[str]:
    """Return the names of top-level ids that other places of a config refer to.

    Example:
        >>> sorted(references_in({"a": 1, "b": "@a", "c": ["$@b::x + len(@d)"]}))
        ['a', 'b', 'd']
    """
    if isinstance(config, Mapping):
        return set().union(*map(references_in, config.values()), set())
    if isinstance(config, list):
        return set().union(*map(references_in, config), set())
    return set(_REFERENCE.findall(config)) if isinstance(config, str) else set()


def all_ids(config: Any, prefix: str = "") -> Iterable[str]:
    """Yield every id of a config, nested ones with ``::`` between.

    Example:
        >>> list(all_ids({"a": {"b": 1}, "c": [2]}))
        ['a', 'a::b', 'c', 'c::0']
    """
    if isinstance(config, Mapping):
        items: Iterable[tuple[Any, Any]] = config.items()
    elif isinstance(config, list):
        items = enumerate(config)
    else:
        return
    for key, value in items:
        name = f"{prefix}{_SEPARATOR}{key}" if prefix else str(key)
        yield name
        yield from all_ids(value, name)


def refuse_hash(name: str, value: Any) -> None:
    """Refuse a text with ``#``, also inside a list or mapping: MONAI replaces it by ``::`` anywhere.

    Raises:
        InputError: the text has one.
    """
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            refuse_hash(name, part)
    if isinstance(value, str) and "#" in value:
        raise InputError(
            f"The value of {name} is {value!r}; bundle configs cannot hold a '#', so use a path without one."
        )


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    inside = [candidate for candidate in known if candidate.endswith(f"{_SEPARATOR}{name}")]
    found = list(dict.fromkeys([*near, *inside]))[:3]
    if found:
        return f"did you mean {' or '.join(found)}?"
    return "the ids are listed at the top of configs/train.yaml."


def _with_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_numbers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_numbers(part) for part in value]
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
