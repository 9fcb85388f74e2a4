"""One client and its server: what either sends goes to the other, unchanged, until one of them ends.

The proxy adds a message of its own only as the last one of a connection, which it closes then:

=============================================  =========  ===============================================
what happens                                   SQLSTATE   what the client knows
=============================================  =========  ===============================================
the link has to move, and is idle              57P01      nothing was under way
the link has to move, and stayed busy for      57P01      the transaction is rolled back; a statement
too long                                                  that was under way may have taken effect
the server was silent for ``query_timeout_s``  08007      whether the statement took effect is unknown
the server has gone, a statement was under     08007      the same
way
the server has gone otherwise                  08006      an open transaction is rolled back
the client broke the protocol                  08P01
=============================================  =========  ===============================================

The connection to a server belongs to one client for its whole life. No other client ever gets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from enum import Enum

from beacon.model import Endpoint
from beacon_cli.proxy.channel import Channel, LostError
from beacon_cli.proxy.server_login import ServerLogin
from beacon_cli.proxy.traffic import Traffic
from beacon_cli.proxy.wire import WireError, fatal, message

__all__ = ["Ending", "Link"]

#: How long a client has to read the last message, in seconds.
_LINGER_S = 2.0
_TERMINATE = message(b"X")


class Ending(Enum):
    """Why a link has ended; the values are those of the metric's label."""

    CLIENT = "client"
    SERVER = "server"
    SILENT = "silent"
    MOVED = "moved"
    CUT = "cut"
    STOPPED = "stopped"
    PROTOCOL = "protocol"


class Link:
    """A client that is logged in at ``endpoint``; ``ended`` is called once with the reason."""

    __slots__ = (
        "__weakref__",
        "_client",
        "_heard_at",
        "_loop",
        "_on_end",
        "_server",
        "bytes_in",
        "bytes_out",
        "ending",
        "endpoint",
        "leaving_since",
        "login_key",
        "opened_at",
        "peer",
        "traffic",
        "used_at",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        login: ServerLogin,
        endpoint: Endpoint,
        on_end: Callable[[Link, Ending], None],
        *,
        opened_at: float,
    ) -> None:
        self._loop, self._on_end = loop, on_end
        self.endpoint, self.peer, self.login_key = endpoint, login.peer, login.key
        self.opened_at = self.used_at = opened_at
        #: Since when it has to move, by the loop's clock; ``None``: it may stay.
        self.leaving_since: float | None = None
        self.ending: Ending | None = None
        self.traffic = Traffic()
        self.bytes_in = self.bytes_out = 0
        self._heard_at = loop.time()
        self._client = Channel(loop, client, self._client_readable, self._client_drained, self._client_lost)
        self._server = Channel(
            loop, login.take_socket(), self._server_readable, self._server_drained, self._server_lost
        )

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self.ending is not None

    def start(self, greeting: bytes, early: bytes) -> None:
        """Give the client its ``greeting``, and the server what the client has sent ``early``."""
        try:
            self._client.write(greeting)
            if early:
                self._pass_to_server(early)
        except LostError:
            self._end(Ending.CLIENT)
        if not self.closed:
            self._client.resume()
            self._server.resume()

    def silent_s(self, now: float) -> float:
        """For how long the server has owed an answer and was silent, by the loop's clock."""
        if not self.traffic.owed or not self._server.reading or self._server.waiting:
            return 0.0
        return now - self._heard_at

    def leave(self, now: float) -> None:
        """Move: at once where that is possible, else as soon as nothing is under way."""
        if self.leaving_since is None:
            self.leaving_since = now
        if not self.closed and self._client.reading:
            # What the client has sent meanwhile has to be on its way first.
            self._client_readable()
        self._leave_if_idle()

    def cut(self, ending: Ending, sqlstate: str, text: str) -> None:
        """End it now, with this as the client's last message."""
        self._end(ending, fatal(sqlstate, f"beacon proxy: {text}"))

    # ---- from the client

    def _client_readable(self) -> None:
        if self.closed:
            return
        try:
            data = self._client.read()
        except LostError:
            self._end(Ending.CLIENT)
            return
        if data:
            try:
                self._pass_to_server(data)
            except LostError:
                self._server_lost()

    def _pass_to_server(self, data: bytes) -> None:
        self._server.write(data)
        self.bytes_in += len(data)
        self._heard_at = self._loop.time()
        try:
            self.traffic.from_client(data)
        except WireError as error:
            self.cut(Ending.PROTOCOL, "08P01", str(error))
            return
        if self._server.full:
            self._client.pause()

    def _client_drained(self) -> None:
        self._server.resume()

    def _client_lost(self) -> None:
        self._end(Ending.CLIENT)

    # ---- from the server

    def _server_readable(self) -> None:
        if self.closed:
            return
        try:
            data = self._server.read()
        except LostError:
            self._server_lost()
            return
        if not data:
            return
        try:
            self._client.write(data)
        except LostError:
            self._end(Ending.CLIENT)
            return
        self.bytes_out += len(data)
        self._heard_at = self._loop.time()
        try:
            self.traffic.from_server(data)
        except WireError:
            self._server_lost()
            return
        if self._client.full:
            self._server.pause()
        if self.leaving_since is not None:
            self._leave_if_idle()

    def _server_drained(self) -> None:
        self._client.resume()

    def _server_lost(self) -> None:
        if self.closed:
            return
        if self.traffic.ended:
            self._end(Ending.CLIENT)
            return
        region, owed = self.endpoint.region, self.traffic.owed
        unknown = ": whether the statement took effect is unknown" if owed else ""
        self.cut(Ending.SERVER, "08007" if owed else "08006", f"the connection to {region} was lost{unknown}")

    # ---- the end

    def _leave_if_idle(self) -> None:
        if self.leaving_since is not None and not self.closed and self.traffic.idle:
            self.cut(Ending.MOVED, "57P01", "the endpoint has changed: connect again")

    def _end(self, ending: Ending, last: bytes = b"") -> None:
        if self.closed:
            return
        self.ending = ending
        if self.traffic.idle and ending is not Ending.SERVER:
            with contextlib.suppress(LostError):
                self._server.write(_TERMINATE)
        self._server.close()
        self._on_end(self, ending)
        if ending is Ending.CLIENT:
            self._client.close()
            return
        # In the middle of a message, or behind the server's own last word, one of ours would only confuse.
        self._client.say_farewell(last if self.traffic.may_add else b"", _LINGER_S)
