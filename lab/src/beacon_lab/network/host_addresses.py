"""Several addresses for one front's host, some of them dead: what a resolver may answer on a bad day."""

import asyncio
import contextlib
import socket
from enum import Enum, unique

from beacon_lab.network import tcp
from beacon_lab.network.distance import DistantListener

__all__ = ["Condition", "HostAddresses"]


@unique
class Condition(Enum):
    """How an address of the host answers, on the front's port."""

    #: Leads to the front.
    LIVE = "live"
    #: Nothing listens there.
    REFUSING = "refusing"
    #: Accepts connections, takes every byte and is silent.
    SWALLOWING = "swallowing"
    #: Not even the TCP handshake is answered, as if packets were dropped on the way.
    UNREACHABLE = "unreachable"


class HostAddresses:
    """Addresses of 127.0.0.0/8 beside a front's own; use in the front's event loop.

    Give ``lookup`` to a resolver. The order is that of the answer: what was added first is named first, the
    front's own address last.
    """

    def __init__(self, address: str, port: int) -> None:
        self._own = address
        self._port = port
        self._added: list[str] = []
        self._exit = contextlib.AsyncExitStack()

    def lookup(self, _host: str) -> list[str]:
        """The addresses of the host, as a resolver returns them."""
        return [*self._added, self._own]

    async def add(self, address: str, condition: Condition) -> None:
        """Add an address. Raises OSError if its port is in use."""
        match condition:
            case Condition.LIVE:
                live = DistantListener(address, (self._own, self._port), 0.0, port=self._port)
                await live.start()
                self._exit.push_async_callback(live.stop)
            case Condition.REFUSING:
                self._exit.callback(tcp.reserve(address, self._port).close)
            case Condition.SWALLOWING:
                await self._swallow(address)
            case Condition.UNREACHABLE:
                self._fill(address)
        self._added.append(address)

    async def stop(self) -> None:
        """Close what was added."""
        self._added.clear()
        await self._exit.aclose()

    async def _swallow(self, address: str) -> None:
        holder = tcp.reserve(address, self._port)
        self._exit.callback(holder.close)
        taken: set[asyncio.Transport] = set()
        server = await tcp.listen(lambda: _Mouth(taken), address, self._port)

        async def close() -> None:
            server.close()
            for transport in list(taken):
                tcp.reset(transport)
            # The transports leave the loop in its next turn.
            await asyncio.sleep(0)

        self._exit.push_async_callback(close)

    def _fill(self, address: str) -> None:
        """Listen with room for one connection and take it: Linux drops every SYN that comes after."""
        listener = tcp.reserve(address, self._port)
        self._exit.callback(listener.close)
        listener.listen(0)
        plug = socket.create_connection((address, self._port), timeout=1.0)
        self._exit.callback(plug.close)


class _Mouth(asyncio.Protocol):
    """Takes every byte and says nothing."""

    def __init__(self, taken: set[asyncio.Transport]) -> None:
        self._taken = taken
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream by construction
        self._transport = transport
        self._taken.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it
        """The client has gone."""
        if self._transport is not None:
            self._taken.discard(self._transport)
