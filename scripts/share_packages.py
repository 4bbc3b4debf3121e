"""Give one environment the large packages of another as hard links: they take their place on the disk once.

    .venv-label/bin/python scripts/share_packages.py .venv constraints-label.txt

Run by the Python of the new environment, before pip, which takes what is there as installed. A package is
linked where the constraints name the very version that the other environment has, for the same Python.
Everything else, and all of it where the file system knows no hard links, is left to pip. Commands of a
package (``bin/``) are not linked: they name the Python of the other environment.
"""

import csv
import os
import re
import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePath

LARGE = 50 * 2**20
"""Bytes from which a package is worth linking."""


def pins(constraints: str) -> dict[str, str]:
    r"""Return the pinned version of each package.

    >>> pins("# these\nPyYAML==6.0\ntorch==2.14.1 # with CUDA\n")
    {'pyyaml': '6.0', 'torch': '2.14.1'}
    """
    return {canonical(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", constraints, re.M)}


def canonical(name: str) -> str:
    """Return the name of a package as registries compare it.

    >>> canonical("nvidia_cuDNN.cu13")
    'nvidia-cudnn-cu13'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def share(source: Path, target: Path, wanted: dict[str, str], *, large: int = LARGE) -> list[str]:
    """Link every large package of ``source`` that is wanted and not in ``target``; return their names.

    Both are folders of packages (``site-packages``). A package that is not whole, or cannot be linked as a
    whole, is left to pip.
    """
    there = {canonical(found.name) for found in distributions(path=[str(target)]) if found.name}
    shared = []
    for found in distributions(path=[str(source)]):
        name = canonical(found.name or "")
        if wanted.get(name) != found.version or name in there:
            continue
        files = _files(found)
        if not all((source / file).is_file() for file in files):
            continue
        if sum((source / file).stat().st_size for file in files) >= large and _link(files, source, target):
            shared.append(name)
    return sorted(shared)


def _files(found: Distribution) -> list[PurePath]:
    """Return the files of a package inside its folder, those that say it is installed last.

    What Python compiled (``.pyc``) is left out: it may be missing, and is made again.
    """
    record = csv.reader(
        (found.read_text("RECORD") or "").splitlines()
    )  # `files` may leave out what is missing
    listed = [PurePath(row[0]) for row in record if row]
    inside = [file for file in listed if ".." not in file.parts and file.suffix != ".pyc"]
    return sorted(inside, key=lambda file: file.parts[0].endswith(".dist-info"))


def _link(files: list[PurePath], source: Path, target: Path) -> bool:
    """Link files, or none of them; those that an interrupted call left linked are taken as they are."""
    made: list[Path] = []
    try:
        for file in files:
            link = target / file
            if link.is_file() and link.samefile(source / file):
                continue
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / file, link)
            made.append(link)
    except BaseException as error:
        for link in made:
            link.unlink()
        if isinstance(error, OSError):  # no hard links here, or another file in the way
            return False
        raise
    return True


def main(environment: str, constraints: str) -> None:
    """Share the packages of ``environment``, where it has this Python, with the one that runs this."""
    target = Path(sysconfig.get_path("purelib"))
    source = Path(environment) / target.relative_to(sys.prefix)
    if source.is_dir():
        shared = share(source, target, pins(Path(constraints).read_text(encoding="utf-8")))
        if shared:
            print(f"Took {len(shared)} large packages from {environment} as links, without a second copy.")


if __name__ == "__main__":
    main(*sys.argv[1:])
