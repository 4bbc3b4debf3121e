"""Map the folders of this repository under the one import name ``gliomaseg``.

There is no folder called ``gliomaseg``: ``networks/`` is imported as ``gliomaseg.networks``, and so on.
"""

from setuptools import find_packages, setup

PARTS = ("transforms", "networks", "workflows", "serving", "configs", "models")


def packages_of(part: str) -> list[str]:
    """Return the dotted names of a folder and of the packages nested in it."""
    return [f"gliomaseg.{part}", *(f"gliomaseg.{part}.{name}" for name in find_packages(part))]


setup(
    packages=[name for part in PARTS for name in packages_of(part)],
    package_dir={f"gliomaseg.{part}": part for part in PARTS},
    package_data={
        "gliomaseg.configs": ["*.yaml", "*.json", "*.conf"],
        "gliomaseg.models": ["default/*", "default/*/*"],
        "gliomaseg.workflows": ["py.typed"],
        "gliomaseg.workflows.exports": ["*.j2"],
        "gliomaseg.workflows.reports": ["*.j2"],
        "gliomaseg.networks": ["py.typed"],
        "gliomaseg.serving": ["web/*", "py.typed"],
        "gliomaseg.transforms": ["py.typed"],
    },
)
