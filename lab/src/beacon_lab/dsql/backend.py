"""A DSQL front's connection to PostgreSQL over the Unix socket, one for each client."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from beacon_lab.dsql import pgwire

__all__ = ["Backend", "send_cancel"]


class Backend(asyncio.Protocol):
    """Connects as soon as it is made; what is sent before that waits.

    ``answer`` gets PostgreSQL's messages, whole; ``lost`` is called once, when the connection is gone or
    could not be made, unless this side closed it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        path: Path,
        parameters: Mapping[str, str],
        answer: Callable[[list[bytes]], None],
        lost: Callable[[], None],
    ) -> None:
        self._answer = answer
        self._lost = lost
        self._cutter = pgwire.MessageCutter()
        self._transport: asyncio.Transport | None = None
        self._waiting = [pgwire.startup(parameters)]
        self._closed = False
        self._paused = False
        self._connecting = loop.create_task(self._connect(loop, path))

    async def _connect(self, loop: asyncio.AbstractEventLoop, path: Path) -> None:
        try:
            await loop.create_unix_connection(lambda: self, str(path))
        except OSError:
            self.connection_lost(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """PostgreSQL has accepted."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream by construction
        self._transport = transport
        if self._closed:
            transport.abort()
            return
        if self._paused:
            transport.pause_reading()
        transport.writelines(self._waiting)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Bytes from PostgreSQL."""
        if not self._closed and (packets := self._cutter.feed(data)):
            self._answer(packets)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it
        """The connection is gone."""
        if not self._closed:
            self._closed = True
            self._lost()

    def send(self, data: bytes) -> None:
        """Send to PostgreSQL."""
        if self._closed or not data:
            return
        if self._transport is None:
            self._waiting.append(data)
        else:
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Leave PostgreSQL's answers where they are."""
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take PostgreSQL's answers again."""
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """End the connection; PostgreSQL rolls back what was open."""
        self._closed = True
        self._connecting.cancel()
        if self._transport is not None:
            self._transport.abort()


def send_cancel(path: Path, packet: bytes) -> None:
    """Pass a CancelRequest on. A request that cannot be passed on is lost, as the protocol has it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        connection.connect(str(path))
        connection.sendall(packet)
