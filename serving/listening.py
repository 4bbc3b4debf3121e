"""An address and a port in, a sentence out where no server could listen there."""

from __future__ import annotations

import socket
from typing import Final

from ..workflows.system.files import InputError

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
"""Addresses that only this machine reaches."""


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that has the address, so that nobody else takes it while a server starts.

    Args:
        host: address or name of this machine.
        port: 0 takes any that is free.

    Raises:
        InputError: the port is taken, or the address is none of this machine.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen()  # only now is the port ours alone
    except (OSError, OverflowError) as error:
        bound.close()
        raise InputError(
            f"The server cannot listen at {host}:{port} ({error}); choose another --port or --host."
        ) from error
    return bound


def require_free_port(host: str, port: int) -> None:
    """Raise when nobody could listen there.

    Raises:
        InputError: the port is taken, or the address is none of this machine.
    """
    bound_socket(host, port).close()
