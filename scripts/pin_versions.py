"""Write ``constraints.txt`` from the reports of ``pip install --dry-run --report``, one for each Python.

    python scripts/pin_versions.py report-3.10.json report-3.11.json report-3.12.json

A package that resolves alike everywhere gets one line; where an older Python has to stay behind, each
version gets its own line with a marker.
"""

import json
import re
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "constraints.txt"
OURS = "gliomaseg"
HEADER = """\
# The exact versions this project is tested with on Python 3.10, 3.11 and 3.12 (Linux, x86-64).
# Written by scripts/pin_versions.py; CONTRIBUTING.md says how to move a version.
"""


def versions_in(report: Path) -> tuple[str, dict[str, str]]:
    """Return the Python version of a report, as "3.11", and the version of every package in it."""
    content = json.loads(report.read_text(encoding="utf-8"))
    found = {_canonical(item["metadata"]["name"]): item["metadata"]["version"] for item in content["install"]}
    found.pop(OURS, None)
    return content["environment"]["python_version"], found


def lines_for(name: str, pins: dict[str, str], pythons: list[str]) -> list[str]:
    """Return the constraint lines of one package, ``pins`` being its version for each Python that has it.

    >>> lines_for("numpy", {"3.10": "2.2.6", "3.11": "2.4.6", "3.12": "2.4.6"}, ["3.10", "3.11", "3.12"])
    ['numpy==2.2.6 ; python_version == "3.10"', 'numpy==2.4.6 ; python_version >= "3.11"']
    """
    lines = []
    for version in dict.fromkeys(pins[python] for python in pythons if python in pins):
        users = [python for python in pythons if pins.get(python) == version]
        marker = _marker(users, pythons)
        lines.append(f"{name}=={version}{marker}")
    return lines


def _marker(users: list[str], pythons: list[str]) -> str:
    if users == pythons:
        return ""
    if len(users) > 1 and users == pythons[-len(users) :]:
        return f' ; python_version >= "{users[0]}"'
    return " ; " + " or ".join(f'python_version == "{python}"' for python in users)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(reports: list[Path]) -> None:
    """Merge ``reports`` into ``constraints.txt``."""
    found = dict(sorted((versions_in(report) for report in reports), key=lambda item: _as_numbers(item[0])))
    names = sorted({name for versions in found.values() for name in versions})
    lines = [
        line
        for name in names
        for line in lines_for(name, {p: v[name] for p, v in found.items() if name in v}, list(found))
    ]
    TARGET.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


def _as_numbers(python: str) -> list[int]:
    return [int(part) for part in python.split(".")]


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
