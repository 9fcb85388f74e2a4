"""What passes between one client and its server: who owes whom, seen from the messages' headers. Pure.

Nothing is changed and no message is kept: the bytes are on their way already.

============================================================  ========================================
what has passed                                               so the connection
============================================================  ========================================
every Query, FunctionCall and Sync has its ReadyForQuery      is idle, unless one of the rows below
ReadyForQuery said that a transaction is open, or failed      is busy
messages of the extended protocol, and no Sync after them     is busy; the server owes an answer only
                                                              after a Flush
CopyInResponse, and neither CopyDone nor CopyFail after it    is busy; the client has its turn
a part of a message                                           is busy
============================================================  ========================================

A server in COPY FROM STDIN ignores each Sync. So a Sync that was counted before CopyInResponse came, and each
one that comes before CopyDone or CopyFail, gets no ReadyForQuery.

An idle connection can be closed, and its client loses no statement and no transaction.
"""

from __future__ import annotations

import struct
from typing import Final

from beacon_cli.proxy.wire import HEADER, WireError

__all__ = ["Traffic"]

_HEAD: Final = struct.Struct("!BI").unpack_from
_QUERY, _CALL, _SYNC, _FLUSH, _TERMINATE = b"QFSHX"
_COPY_DONE, _COPY_FAIL = b"cf"
#: Parse, Bind, Describe, Execute, Close.
_EXTENDED: Final = frozenset(b"PBDEC")
_READY, _COPY_IN, _ERROR = b"ZGE"
_IDLE = ord("I")


class Traffic:
    """Counts the exchanges of one connection that has just logged in."""

    __slots__ = (
        "_client",
        "_copying",
        "_failed",
        "_flushed",
        "_open",
        "_server",
        "_sync",
        "_waits",
        "ended",
        "exchanges",
    )

    def __init__(self) -> None:
        #: The exchanges that have ended, and whether the client has said that it leaves.
        self.exchanges = 0
        self.ended = False
        self._client, self._server = _Position(), _Position()
        #: For how many ReadyForQuery the client waits, and how many of them answer a Sync.
        self._waits = self._sync = 0
        self._copying = self._flushed = self._failed = False
        #: Whether a transaction or an exchange of the extended protocol is open.
        self._open = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self._waits or self._open or self._copying or self._client.inside or self._server.inside)

    @property
    def may_add(self) -> bool:
        """Whether one more message can follow what the server has sent, and says something new."""
        return not (self._server.inside or self._failed)

    @property
    def owed(self) -> bool:
        """Whether the server owes an answer."""
        return bool(self._waits or self._flushed) and not self._copying

    def from_client(self, data: bytes) -> None:
        """The client has sent ``data``. Raises :class:`WireError`; the connection has to end then."""
        position = self._client
        if position.head:
            data = position.head + data
        at, end = position.left, len(data)
        while at + HEADER <= end:
            kind, length = _HEAD(data, at)
            if length < 4:
                raise WireError("invalid message length")
            self._client_sent(kind)
            at += 1 + length
        position.keep(data, at, end)

    def from_server(self, data: bytes) -> None:
        """The server has sent ``data``; raises the same."""
        position = self._server
        if position.head:
            data = position.head + data
        at, end = position.left, len(data)
        while at + HEADER <= end:
            kind, length = _HEAD(data, at)
            if length < 4:
                raise WireError("invalid message length")
            if kind == _READY:
                if at + HEADER == end:
                    break
                self._ready(data[at + HEADER])
            elif kind == _COPY_IN:
                self._copying = True
                # These wait in the server's buffer, and are ignored there.
                self._waits -= self._sync
                self._sync = 0
            elif kind == _ERROR:
                self._copying, self._failed = False, True
            at += 1 + length
        position.keep(data, at, end)

    def _client_sent(self, kind: int) -> None:
        if kind == _QUERY or kind == _CALL:  # noqa: PLR1714, SIM109 - twice as fast as a set
            self._waits += 1
        elif kind == _SYNC:
            if not self._copying:
                self._waits += 1
                self._sync += 1
                self._open &= ~1
        elif kind in _EXTENDED:
            self._open |= 1
        elif kind == _FLUSH:
            self._flushed = True
        elif kind in (_COPY_DONE, _COPY_FAIL):
            self._copying = False
        elif kind == _TERMINATE:
            self.ended = True

    def _ready(self, status: int) -> None:
        self.exchanges += 1
        self._waits = max(0, self._waits - 1)
        self._sync = min(self._sync, self._waits)
        self._copying = self._flushed = self._failed = False
        self._open = (self._open & 1) | (0 if status == _IDLE else 2)


class _Position:
    """Where a stream of messages was cut: inside a header, or with so many bytes left of a body."""

    __slots__ = ("head", "left")

    def __init__(self) -> None:
        self.head = b""
        self.left = 0

    @property
    def inside(self) -> bool:
        return bool(self.left or self.head)

    def keep(self, data: bytes, at: int, end: int) -> None:
        if at >= end:
            self.left, self.head = at - end, b""
        else:
            self.left, self.head = 0, data[at:]
