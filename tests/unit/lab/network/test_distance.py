"""A connection over a distance: what reaches the other end, and that both may end it at once."""

import asyncio
import contextlib
from typing import Any

from beacon_lab.network import tcp
from beacon_lab.network.distance import DistantListener

ROUND_TRIP_MS = 40.0


async def connect_and_reset(listener: DistantListener, ended: asyncio.Event) -> None:
    """Reset a connection from the near end while the far end resets it too."""
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"hello")
    await asyncio.wait_for(ended.wait(), 10)
    tcp.reset(writer.transport)  # type: ignore[arg-type] # a stream's transport is a Transport
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def test_both_ends_may_reset_a_connection_at_once() -> None:
    """Each reset meets a socket that is closed already, and no reader hears of it."""
    troubles: list[dict[str, Any]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: troubles.append(context))
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            tcp.reset(writer.transport)  # type: ignore[arg-type] # as above
            ended.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            target = server.sockets[0].getsockname()[:2]
            listener = DistantListener("127.0.0.1", target, ROUND_TRIP_MS)
            await listener.start()
            await connect_and_reset(listener, ended)
            await listener.stop()
            over = asyncio.Event()
            loop.call_later(2 * ROUND_TRIP_MS / 1000, over.set)  # after all that is still on its way
            await over.wait()

    asyncio.run(scenario())
    assert troubles == []
