"""The few functions of libpq that a probe needs, called in the library that psycopg's wheel brings.

psycopg itself takes most of a cold start to import, for types, cursors and an event loop that no probe uses;
its low-level module cannot be had without the rest. libpq's C interface below is public and has been stable
for twenty years. Every result is copied and freed at once, so that no pointer of libpq's outlives a call.

Source: PostgreSQL 18, chapter "libpq - C Library".
"""

from __future__ import annotations

import ctypes
import os.path
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import Final

__all__ = ["VERSION", "Connection", "ExecStatus", "LibpqError", "Polling", "Result", "Row"]

Row = tuple[str | None, ...]


class LibpqError(Exception):
    """A call failed; what libpq says about it is :attr:`Connection.error_message`, and not repeated here."""


class Polling(IntEnum):
    """What a connection that is being made waits for."""

    FAILED = 0
    READING = 1
    WRITING = 2
    OK = 3


class ExecStatus(IntEnum):
    """How a statement ended."""

    EMPTY_QUERY = 0
    COMMAND_OK = 1
    TUPLES_OK = 2
    COPY_OUT = 3
    COPY_IN = 4
    BAD_RESPONSE = 5
    NONFATAL_ERROR = 6
    FATAL_ERROR = 7
    COPY_BOTH = 8


@dataclass(frozen=True, slots=True)
class Result:
    """A statement's result: ``status`` is an :class:`ExecStatus`, or a number that is not known here."""

    status: int
    rows: list[Row]
    sqlstate: bytes | None


def _load() -> ctypes.CDLL:
    """libpq, found through an extension module of psycopg's that is linked with it, or the system's own."""
    for package in ("psycopg_binary", "psycopg_c"):
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            # Named for interpreter and processor: the layer holds the libraries of two.
            for suffix in EXTENSION_SUFFIXES:
                # Not with pathlib, which takes longer to import than libpq to load.
                module = f"{place}/pq{suffix}"
                if os.path.isfile(module):  # noqa: PTH113
                    return ctypes.CDLL(module)
    from ctypes.util import find_library  # noqa: PLC0415 - starts compilers and linkers to find out

    name = find_library("pq")
    if name is None:
        raise ImportError("no libpq: install psycopg[binary]")
    return ctypes.CDLL(name)


_LIBRARY: Final = _load()
_CONNECTION: Final = ctypes.c_void_p
_RESULT: Final = ctypes.c_void_p
_STRINGS: Final = ctypes.POINTER(ctypes.c_char_p)
_INTEGERS: Final = ctypes.POINTER(ctypes.c_int)
_NOTICE: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, _RESULT)
_SIGNATURES: Final = {
    "PQlibVersion": (ctypes.c_int, ()),
    "PQconnectStart": (_CONNECTION, (ctypes.c_char_p,)),
    "PQconnectPoll": (ctypes.c_int, (_CONNECTION,)),
    "PQstatus": (ctypes.c_int, (_CONNECTION,)),
    "PQsocket": (ctypes.c_int, (_CONNECTION,)),
    "PQerrorMessage": (ctypes.c_char_p, (_CONNECTION,)),
    "PQsetErrorVerbosity": (ctypes.c_int, (_CONNECTION, ctypes.c_int)),
    "PQsetnonblocking": (ctypes.c_int, (_CONNECTION, ctypes.c_int)),
    "PQsetNoticeReceiver": (ctypes.c_void_p, (_CONNECTION, _NOTICE, ctypes.c_void_p)),
    "PQfinish": (None, (_CONNECTION,)),
    "PQsendQueryParams": (
        ctypes.c_int,
        (
            _CONNECTION,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_void_p,
            _STRINGS,
            _INTEGERS,
            _INTEGERS,
            ctypes.c_int,
        ),
    ),
    "PQflush": (ctypes.c_int, (_CONNECTION,)),
    "PQconsumeInput": (ctypes.c_int, (_CONNECTION,)),
    "PQisBusy": (ctypes.c_int, (_CONNECTION,)),
    "PQgetResult": (_RESULT, (_CONNECTION,)),
    "PQresultStatus": (ctypes.c_int, (_RESULT,)),
    "PQresultErrorField": (ctypes.c_char_p, (_RESULT, ctypes.c_int)),
    "PQntuples": (ctypes.c_int, (_RESULT,)),
    "PQnfields": (ctypes.c_int, (_RESULT,)),
    "PQgetisnull": (ctypes.c_int, (_RESULT, ctypes.c_int, ctypes.c_int)),
    "PQgetlength": (ctypes.c_int, (_RESULT, ctypes.c_int, ctypes.c_int)),
    "PQgetvalue": (ctypes.c_void_p, (_RESULT, ctypes.c_int, ctypes.c_int)),
    "PQclear": (None, (_RESULT,)),
}
for _name, (_returns, _takes) in _SIGNATURES.items():
    _function = getattr(_LIBRARY, _name)
    _function.restype, _function.argtypes = _returns, _takes

VERSION: Final[int] = _LIBRARY.PQlibVersion()
_BAD: Final = 1
_SQLSTATE_ONLY: Final = 3  # PQERRORS_SQLSTATE, known from libpq 12 on
_SQLSTATE_FIELD: Final = ord("C")


# Left to itself libpq writes a server's notices to standard error, and so into the log.
_unheard: Final = _NOTICE(lambda _context, _result: None)


class Connection:
    """A libpq connection that never blocks; a method of a closed one fails as libpq's function does."""

    __slots__ = ("_pointer",)

    def __init__(self, conninfo: bytes) -> None:
        """Start to connect; continue with :meth:`poll`. Raises ``MemoryError``."""
        self._pointer: int | None = _LIBRARY.PQconnectStart(conninfo)
        if self._pointer is None:
            raise MemoryError("libpq has no memory for a connection")
        _LIBRARY.PQsetNoticeReceiver(self._pointer, _unheard, None)
        # While a connection is being made, a server's error reaches us as text alone. The SQLSTATE is enough
        # of it: it is the same in every language, and nothing in it must not leave the process.
        _LIBRARY.PQsetErrorVerbosity(self._pointer, _SQLSTATE_ONLY)

    def __del__(self) -> None:
        if getattr(self, "_pointer", None) is not None:
            self.close()

    @property
    def bad(self) -> bool:
        """Whether it cannot be used, as when what it was started with makes no sense."""
        return bool(_LIBRARY.PQstatus(self._pointer) == _BAD)

    @property
    def socket(self) -> int:
        """The descriptor to wait for, or -1."""
        return int(_LIBRARY.PQsocket(self._pointer))

    @property
    def error_message(self) -> str:
        """What libpq says about the latest failure. It may hold anything that a server sent."""
        return (_LIBRARY.PQerrorMessage(self._pointer) or b"").decode("utf-8", "replace")

    def poll(self) -> int:
        """Continue to connect when the socket is ready; return the :class:`Polling` to wait for next."""
        return int(_LIBRARY.PQconnectPoll(self._pointer))

    def never_block(self) -> None:
        """Let sending return at once too; for when the connection is made."""
        if _LIBRARY.PQsetnonblocking(self._pointer, 1) != 0:
            raise LibpqError

    def send(self, statement: bytes, parameters: Sequence[str]) -> None:
        """Queue a statement with text parameters and a text result; continue with :meth:`flush`."""
        count = len(parameters)
        values = (ctypes.c_char_p * count)(*(parameter.encode() for parameter in parameters))
        if not _LIBRARY.PQsendQueryParams(self._pointer, statement, count, None, values, None, None, 0):
            raise LibpqError

    def flush(self) -> bool:
        """Send what is queued; whether something is left because the socket takes no more."""
        left = _LIBRARY.PQflush(self._pointer)
        if left < 0:
            raise LibpqError
        return bool(left)

    def consume(self) -> None:
        """Take in what the socket has."""
        if not _LIBRARY.PQconsumeInput(self._pointer):
            raise LibpqError

    @property
    def busy(self) -> bool:
        """Whether :meth:`result` would block."""
        return bool(_LIBRARY.PQisBusy(self._pointer))

    def result(self) -> Result | None:
        """The statement's next result, or ``None`` when there is no more."""
        pointer = _LIBRARY.PQgetResult(self._pointer)
        if pointer is None:
            return None
        try:
            status = _LIBRARY.PQresultStatus(pointer)
            rows = _rows(pointer) if status == ExecStatus.TUPLES_OK else []
            return Result(status, rows, _LIBRARY.PQresultErrorField(pointer, _SQLSTATE_FIELD))
        finally:
            _LIBRARY.PQclear(pointer)

    def close(self) -> None:
        """Close the socket and free everything; calling it again does nothing."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            _LIBRARY.PQfinish(pointer)


def _rows(result: int) -> list[Row]:
    columns = range(_LIBRARY.PQnfields(result))
    return [
        tuple(_value(result, row, column) for column in columns) for row in range(_LIBRARY.PQntuples(result))
    ]


def _value(result: int, row: int, column: int) -> str | None:
    if _LIBRARY.PQgetisnull(result, row, column):
        return None
    length = _LIBRARY.PQgetlength(result, row, column)
    return ctypes.string_at(_LIBRARY.PQgetvalue(result, row, column), length).decode("utf-8", "replace")
