"""Ports that the user has chosen: looked at before anything starts, and named when they cannot be had."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from beacon_lab.errors import LabError

__all__ = ["port_errors", "require_port"]

_ADDRESS = "127.0.0.1"


def require_port(option: str, port: int, *kinds: socket.SocketKind) -> None:
    """Raise :class:`LabError` when ``port`` cannot be listened on; 0, any free one, always can."""
    if port == 0:
        return
    for kind in kinds:
        with port_errors(option, port), socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                # As the servers do: a port that a finished connection left behind has no listener.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_ADDRESS, port))


@contextlib.contextmanager
def port_errors(option: str, port: int) -> Iterator[None]:
    """Turn "address in use" and "not permitted" into a sentence that names the option."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        trouble = "in use" if error.errno == errno.EADDRINUSE else "not permitted to this user"
        raise LabError(
            f"port {port} on {_ADDRESS} is {trouble}: choose another with {option}, or 0 for any free one"
        ) from error
