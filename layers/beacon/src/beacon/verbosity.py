"""Have libpq report a refused login by its SQLSTATE alone, in place of the server's words.

While a connection is being made libpq keeps the server's error only as text, and how much of it is a setting
that psycopg does not pass on. The setting is one call of the C library, which is loaded already. Without the
server's words there is also nothing in the text that must not leave the process.

Source: PostgreSQL 18 documentation, libpq, ``PQsetErrorVerbosity``.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable

from psycopg import pq

__all__ = ["show_sqlstates", "sqlstate_in"]

_SQLSTATE_ONLY = 3  # PQERRORS_SQLSTATE, known from libpq 12 on
# The severity is in the server's language; a cause of libpq's own never has this form.
_SAID = re.compile(rb"(?:^|failed: )[^\s:]+:\s+([0-9A-Z]{5})\s*\Z")


def _find() -> Callable[[int, int], int] | None:
    """The call; ``None`` where the driver is another build than the wheel's, and texts have to do."""
    driver = sys.modules.get("psycopg_binary.pq")
    if pq.__impl__ != "binary" or driver is None or driver.__file__ is None:
        return None
    try:
        # Looked up in the driver and what it is linked to, so it is the libpq that made the connection.
        call = ctypes.CDLL(driver.__file__).PQsetErrorVerbosity
    except (OSError, AttributeError):
        return None
    call.argtypes, call.restype = (ctypes.c_void_p, ctypes.c_int), ctypes.c_int
    return call


_set_verbosity = _find()


def show_sqlstates(pgconn: pq.abc.PGconn) -> None:
    """From now on a server's error is reported on ``pgconn`` as its SQLSTATE, where that can be had."""
    pointer: int | None = getattr(pgconn, "pgconn_ptr", None)
    if _set_verbosity is not None and pointer:
        _set_verbosity(pointer, _SQLSTATE_ONLY)


def sqlstate_in(message: bytes) -> str | None:
    """The SQLSTATE that libpq's ``message`` consists of, apart from where it happened."""
    found = _SAID.search(message)
    return None if found is None else found[1].decode("ascii")
