"""The way out to one client of a DSQL front: encryption, then the slowness that a fault may impose."""

import asyncio
import socket
from collections import deque

from beacon_lab.dsql.gate import Gate
from beacon_lab.network import tcp
from beacon_lab.network.tls_channel import TlsChannel

__all__ = ["Outlet"]


class Outlet:
    """Writes to a client's socket, in plain text until ``tls`` is set when the handshake begins."""

    def __init__(self, gate: Gate, loop: asyncio.AbstractEventLoop) -> None:
        self._gate = gate
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._held: deque[bytes] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._frozen = False
        self.tls: TlsChannel | None = None

    def open(self, transport: asyncio.Transport) -> None:
        """The client has connected."""
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, plain: bytes) -> None:
        """Send one message, in its turn; several at once when nothing is slow."""
        if not plain:
            return
        if self._gate.slowness is None and not self._held:
            self._write(plain)
        else:
            self._held.append(plain)
            self._send_later()

    def send_now(self, data: bytes) -> None:
        """Send bytes as they are, past TLS and slowness."""
        if data and not self._frozen and self._transport is not None:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what TLS itself has to say."""
        if self.tls is not None:
            self.send_now(self.tls.outgoing())

    def quicken(self) -> None:
        """Send at once what was held back."""
        self._stop_timer()
        while self._held:
            self._write(self._held.popleft())

    def freeze(self) -> None:
        """Nothing goes out any more, and nothing is read."""
        self._frozen = True
        if self._transport is not None:
            self._transport.pause_reading()

    def finish(self) -> None:
        """Close after what was sent, with TLS's goodbye; what is still held back is dropped."""
        self.forget()
        if self.tls is not None:
            self.tls.say_goodbye()
            self.flush()
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close with RST."""
        if self._transport is not None:
            tcp.reset(self._transport)

    def forget(self) -> None:
        """Drop what is held back: TLS takes nothing more after its goodbye."""
        self._stop_timer()
        self._held.clear()

    def _write(self, plain: bytes) -> None:
        if self.tls is None:
            self.send_now(plain)
        else:
            self.tls.send(plain)
            self.flush()

    def _send_later(self) -> None:
        if self._timer is None and self._held:
            slowness = self._gate.slowness
            delay_s = 0.0 if slowness is None else slowness.delay_ms / 1000
            self._timer = self._loop.call_later(delay_s, self._send_next)

    def _send_next(self) -> None:
        self._timer = None
        if self._frozen or not self._held:
            return
        slowness = self._gate.slowness
        packet = self._held.popleft()
        if slowness is not None and slowness.drip_bytes and len(packet) > slowness.drip_bytes:
            self._held.appendleft(packet[slowness.drip_bytes :])
            packet = packet[: slowness.drip_bytes]
        self._write(packet)
        self._send_later()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
