"""The name of a template in, the template out, as every page of ours is filled: escaped, from one file."""

from __future__ import annotations

from importlib import metadata, resources

import jinja2
from markupsafe import Markup, escape


def page_template(name: str) -> jinja2.Template:
    """Return a template of this folder; what it is given is escaped, and a name it lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    return environment.get_template(name)


def version() -> str:
    """Return the version of the package, nothing where it is not installed."""
    try:
        return metadata.version("gliomaseg")
    except metadata.PackageNotFoundError:
        return ""


def _source(name: str) -> str:
    return resources.files("gliomaseg.workflows.reports").joinpath(name).read_text(encoding="utf-8")


def _breakable(name: str) -> Markup:
    """Let a long patient name break after its underscores."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))
