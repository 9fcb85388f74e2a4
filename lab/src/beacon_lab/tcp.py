"""TCP as the lab's servers need it: a port that is kept while nobody listens, and endings by RST."""

import asyncio
import socket
import struct
from collections.abc import Callable

__all__ = ["listen", "reserve", "reset"]


def reserve(address: str, port: int) -> socket.socket:
    """A socket that holds a port without listening on it.

    While it is open nobody gets the port by chance, a connection to it is refused, and `listen` may be called
    for it any number of times. Raises OSError if the port is in use.
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
    """Listens on a reserved port."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(factory, address, port, reuse_address=True, backlog=512)


def reset(transport: asyncio.Transport) -> None:
    """Closes a TCP connection with RST."""
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
