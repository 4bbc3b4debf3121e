"""The headers of a request in, a sentence out where another web page is behind it."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import re
import secrets
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

OPEN = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
"""Paths that need no token: those who watch over servers have none."""

WATCHED = (*OPEN, "/metrics")
"""Paths that are read by whatever name the server is called: numbers alone are there, and clusters have names
of their own for what runs in them."""

CHALLENGE = {"WWW-Authenticate": 'Basic realm="gliomaseg", charset="UTF-8"'}
"""Has a browser ask its user."""

STRANGER = (
    "The server answers those who show its token, which this request does not; send it as `Authorization: "
    "Bearer TOKEN`, or as the password with any name."
)

READING = ("GET", "HEAD")
"""Methods that change nothing; a browser hides their answers from other pages by itself."""


def refusal_of(method: str, headers: Mapping[str, str], bound: str, also: Sequence[str] = ()) -> str | None:
    """Return why a request is not answered; None where it is.

    A browser sends what any page asks it to send. Two things tell such a request: its ``Origin`` is not the
    server, or, where the page has bent the name of its own site to this machine, its ``Host`` is a name that
    is not ours. Programs such as 3D Slicer send no ``Origin``.

    Args:
        method: of the request.
        headers: with names in lower case.
        bound: address or name that the server listens at.
        also: further names of the server, such as that of a proxy before it.

    Example:
        >>> refusal_of("POST", {"host": "127.0.0.1:8000"}, "127.0.0.1") is None
        True
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    name = _name_of(host) if re.fullmatch(r"[\w.-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?", host) else ""
    further = {one.lower() for one in also}
    ours = {bound.lower(), "localhost", socket.gethostname().lower(), *further}
    if name not in ours and not _is_address(name):
        return (
            f"The server is called by its address, as localhost or by a name in --host or --name, but "
            f"{host!r} was called; use one of these, or have whoever runs it add a --name."
        )
    foreign = origin is not None and _place_of(origin) != host.lower()
    if origin is not None and _name_of(_place_of(origin)) in further:
        foreign = False  # a proxy calls us by our address
    if method not in READING and foreign:
        return (
            f"Other web pages may not change anything here, but a page of {origin} sent {method}; send it "
            "from a program, or from a page of this server."
        )
    return None


def shows_token(headers: Mapping[str, str], token: str) -> bool:
    """Return whether a request shows the token: as ``Bearer``, or as the password of ``Basic``.

    Args:
        headers: with names in lower case.
        token: of the server.

    Example:
        >>> shows_token({"authorization": "Bearer 0123456789abcdef"}, "0123456789abcdef")
        True
    """
    kind, _, given = headers.get("authorization", "").partition(" ")
    given = given.strip()
    if kind.lower() == "basic":
        try:
            _, _, given = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            return False
    elif kind.lower() != "bearer":
        return False
    return secrets.compare_digest(given.encode(), token.encode())


def _name_of(host: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(f"//{host}").hostname or ""
    return ""


def _place_of(origin: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(origin).netloc.lower()
    return ""


def _is_address(name: str) -> bool:
    """Return whether it is an address, which no page can bend."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
