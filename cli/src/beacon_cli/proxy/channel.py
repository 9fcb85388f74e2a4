"""One end of a connection: a socket that never blocks, with or without TLS, and the bytes that wait for room.

An event loop's own transports would do TLS a second time in Python; here OpenSSL reads and writes the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

__all__ = ["HIGH", "Channel", "LostError"]

#: A peer is read no more while so many bytes wait here, in bytes, until half of them have gone.
HIGH: Final = 262_144
_CHUNK: Final = 32_768
_AGAIN: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def _nothing() -> None:
    """What a channel without an owner calls."""


class LostError(Exception):
    """The connection is gone."""


class Channel:
    """Reads and writes one socket, which is the channel's from now on.

    ``readable`` is called when there is something to read, ``drained`` when the waiting bytes have gone after
    :attr:`full` was true, ``lost`` when waiting bytes cannot be sent.
    """

    __slots__ = (
        "_drained",
        "_fd",
        "_loop",
        "_lost",
        "_out",
        "_readable",
        "_reading",
        "_socket",
        "_timer",
        "_was_full",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connected: socket.socket,
        readable: Callable[[], None] = _nothing,
        drained: Callable[[], None] = _nothing,
        lost: Callable[[], None] = _nothing,
    ) -> None:
        self._loop, self._socket, self._fd = loop, connected, connected.fileno()
        self._readable, self._drained, self._lost = readable, drained, lost
        self._out: bytearray | None = None
        self._reading = self._was_full = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._fd < 0

    @property
    def reading(self) -> bool:
        """Whether what comes is read."""
        return self._reading

    @property
    def full(self) -> bool:
        """Whether too many bytes wait for the peer."""
        return self._out is not None and len(self._out) > HIGH

    @property
    def waiting(self) -> bool:
        """Whether any bytes wait for the peer."""
        return self._out is not None

    def resume(self) -> None:
        """Read what comes."""
        if not self._reading and not self.closed:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)
            if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                # OpenSSL has read these from the socket, which will not say so again.
                self._loop.call_soon(self._readable)

    def pause(self) -> None:
        """Leave what comes where it is."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def read(self) -> bytes:
        """What has come; empty when that is nothing. Raises :class:`LostError`."""
        try:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise LostError
            if isinstance(self._socket, ssl.SSLSocket):
                while pending := self._socket.pending():
                    data += self._socket.recv(pending)
        except _AGAIN:
            return b""
        except OSError:
            raise LostError from None
        return data

    def write(self, data: bytes) -> None:
        """Send ``data``, or as much as there is room for, and the rest later. Raises :class:`LostError`."""
        if self._out is not None:
            self._out += data
        else:
            sent = self._send(data)
            # One TLS record takes 16 KiB of it.
            while 0 < sent < len(data) and (more := self._send(memoryview(data)[sent:])):
                sent += more
            if sent < len(data):
                self._out = bytearray(data[sent:] if sent else data)
                self._loop.add_writer(self._fd, self._writable)
        self._was_full = self._was_full or self.full

    def close(self) -> None:
        """Close at once; calling it again does nothing."""
        if self.closed:
            return
        self.pause()
        if self._out is not None:
            self._loop.remove_writer(self._fd)
            self._out = None
        if self._timer is not None:
            self._timer.cancel()
        # Bound methods of its own and of its owner: without them nothing waits for the garbage collector.
        self._readable = self._drained = self._lost = _nothing
        self._fd = -1
        self._socket.close()

    def say_farewell(self, last: bytes, linger_s: float) -> None:
        """Send ``last`` and close, for a socket without TLS.

        The peer may still be sending, and an RST would destroy ``last``. So what comes is read and dropped,
        until the peer ends the connection too, or for ``linger_s`` at most.
        """
        self.pause()
        self._readable, self._lost, self._drained = self._drop, self.close, self._end_writing
        self._timer = self._loop.call_later(linger_s, self.close)
        try:
            if last:
                self.write(last)
        except LostError:
            self.close()
            return
        self._was_full = True
        self.resume()
        if self._out is None:
            self._end_writing()

    def _drop(self) -> None:
        try:
            while self.read():
                pass
        except LostError:
            self.close()

    def _end_writing(self) -> None:
        if self._out is None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        else:
            self._was_full = True

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._socket.send(data)
        except _AGAIN:
            return 0
        except OSError:
            raise LostError from None

    def _writable(self) -> None:
        out = self._out
        if out is None:
            return
        try:
            # TLS wants the same bytes again after a send that found no room: the buffer only grows meanwhile.
            sent = self._send(out)
        except LostError:
            self._loop.remove_writer(self._fd)
            self._out = None
            self._lost()
            return
        del out[:sent]
        if not out:
            self._loop.remove_writer(self._fd)
            self._out = None
        if self._was_full and len(out) <= HIGH // 2:
            self._was_full = False
            self._drained()
