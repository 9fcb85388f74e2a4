"""Network distance: a listener whose callers are so many milliseconds away from the address it leads to.

Loopback has no distance, so the bytes wait here, half a round trip in each direction. The kernel completes
the TCP handshake at once; a caller's first bytes therefore wait one round trip more, so that connecting costs
what it costs over the distance.
"""

import asyncio
import socket
from collections.abc import Callable

from beacon_lab.network import tcp

__all__ = ["DistantListener"]


class DistantListener:
    """Listens on a port of its own and passes connections on to ``target``, late."""

    def __init__(self, address: str, target: tuple[str, int], round_trip_ms: float, *, port: int = 0) -> None:
        self._address = address
        self._wanted_port = port
        self._cut = False
        self._target = target
        self._round_trip_s = round_trip_ms / 1000
        self._server: asyncio.Server | None = None
        self._ends: set[_End] = set()
        self._reserved: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port; the same for the listener's whole life."""
        if self._reserved is None:
            raise RuntimeError("the listener was not started")
        return int(self._reserved.getsockname()[1])

    async def start(self) -> None:
        """Start to listen; again after ``close``, on the same port."""
        if self._reserved is None:
            self._reserved = tcp.reserve(self._address, self._wanted_port)
        self._server = await tcp.listen(self._accept, self._address, self.port)

    def close(self) -> None:
        """Stop listening and resets what is open; the port stays reserved."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in list(self._ends):
            end.reset()

    def cut(self) -> None:
        """No byte arrives on either side any more, while connections are still accepted, until ``mend``."""
        self._cut = True
        for end in self._ends:
            end.lost = True

    async def mend(self) -> None:
        """End what ``cut`` or ``close`` did; connections that have lost bytes are reset."""
        self._cut = False
        for end in list(self._ends):
            if end.lost:
                end.reset()
        if self._server is None:
            await self.start()

    async def stop(self) -> None:
        """End for good."""
        self.close()
        if self._reserved is not None:
            self._reserved.close()
        await asyncio.gather(*(end.closed for end in list(self._ends)))

    def _accept(self) -> "_End":
        near = _End(self._ends, self._round_trip_s / 2)
        near.lost = self._cut
        if not self._cut:
            near.on_connect = lambda: self._reach(near)
        return near

    def _reach(self, near: "_End") -> None:
        loop = asyncio.get_running_loop()
        # In the loop's next turn: Python 3.11.2 starts to read after `connection_made`, paused or not, and
        # the first bytes would be lost, since the far end is not connected yet.
        loop.call_soon(near.pause)
        far = _End(self._ends, self._round_trip_s / 2)
        near.peer, far.peer = far, near
        far.lost = near.lost
        far.on_connect = near.resume

        async def connect() -> None:
            await asyncio.sleep(self._round_trip_s)
            try:
                await loop.create_connection(lambda: far, *self._target)
            except OSError:
                near.reset()

        near.task = loop.create_task(connect())


class _End(asyncio.Protocol):
    """One socket of a pair; what it receives reaches the other one later."""

    def __init__(self, ends: set["_End"], delay_s: float) -> None:
        self._ends = ends
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self.peer: _End | None = None
        #: Whether what is sent here is lost on the way.
        self.lost = False
        self.task: asyncio.Task[None] | None = None
        self.on_connect: Callable[[], None] | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream by construction
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends.add(self)
        if self.on_connect is not None:
            self.on_connect()

    def data_received(self, data: bytes) -> None:
        """Bytes that set out for the other end."""
        if self.peer is not None and not self.lost:
            self._loop.call_later(self._delay_s, self.peer.write, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of one socket reaches the other as what it was: a close or a reset."""
        self._ends.discard(self)
        # What is still on its way from the other end finds no receiver: a closed socket cannot be reset.
        self._transport = None
        if self.task is not None:
            self.task.cancel()
        if self.peer is not None:
            ending = self.peer.finish if exc is None else self.peer.reset
            self._loop.call_later(self._delay_s, ending)
        if not self.closed.done():
            self.closed.set_result(None)

    def write(self, data: bytes) -> None:
        """Bytes arrive."""
        if self._transport is not None:
            self._transport.write(data)

    def pause(self) -> None:
        """Leave what arrives where it is."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take what arrives again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def finish(self) -> None:
        """Close after what was written."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close with RST."""
        if self._transport is not None:
            tcp.reset(self._transport)
