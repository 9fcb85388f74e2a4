"""TCP as the lab needs it: a port that is kept while nothing listens, and the endings of connections."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

__all__ = ["hang_up", "listen", "reserve", "reset"]


def reserve(address: str, port: int) -> socket.socket:
    """A socket that holds a port without listening on it.

    While it is open no other process gets the port by chance, and a connection to it is refused. ``listen``
    may be called for it any number of times. Raises OSError if the port is in use.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address, port))
    except BaseException:
        holder.close()
        raise
    return holder


async def listen(factory: Callable[[], asyncio.Protocol], address: str, port: int) -> asyncio.Server:
    """Listen on a reserved port."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(factory, address, port, reuse_address=True, backlog=512)


def reset(transport: asyncio.Transport) -> None:
    """Close a TCP connection with RST."""
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def hang_up(writer: asyncio.StreamWriter, *, within_s: float) -> None:
    """Close a stream, plain or TLS; one that takes longer than ``within_s``, or a cancellation, cuts it off.

    A TLS transport closes itself when the peer says goodbye. A second ``close`` makes it forget its
    connection: from then on Python 3.11.2's ``abort``, and ``get_extra_info`` of every version, raise
    AttributeError, and nothing can cut the connection off. So a stream that is closing is never closed again.
    """
    if not writer.is_closing():
        writer.close()
    try:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(within_s):
                await writer.wait_closed()
    finally:
        writer.transport.abort()
