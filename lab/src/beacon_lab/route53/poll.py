"""One attempt of one checker over real sockets: TCP, TLS up to 1.2, HTTP/1.1, as far away as the checker is.

Loopback has no distance, so the attempt waits for the round trips that the network would cost: one for TCP,
two for the TLS handshake, one for the request. They count within the limits of a check, which nothing
shortens.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass, field, replace

from beacon_lab.network.tcp import hang_up
from beacon_lab.route53.rules import (
    BODY_BYTES,
    BODY_LIMIT_S,
    STATUS_LIMIT_S,
    CheckType,
    HealthCheck,
    PollAttempt,
    Trouble,
)

USER_AGENT = "Amazon-Route53-Health-Check-Service (ref {id}; report http://amzn.to/1vsZADi)"
_HEAD_BYTES = 16 * 1024
_GOODBYE_S = 0.2
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?\r?\n")
_TLS_TRIPS = 2


@dataclass(frozen=True, slots=True)
class Dial:
    """Where a host name and port lead in the lab, and the Region that this place counts as being in."""

    address: str
    port: int
    region: str


def _tls_context() -> ssl.SSLContext:
    """As Route 53's checkers: no certificate is validated, TLS 1.2 is the newest version spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


_TLS = _tls_context()


class _NotHttpError(Exception):
    """The answer is not one of HTTP/1."""


@dataclass(slots=True)
class _Poll:
    """An attempt in progress: what it has met so far."""

    check: HealthCheck
    dial: Dial
    source: str
    round_trip_s: float
    met: PollAttempt = field(default_factory=PollAttempt)
    handed_over: bool = False  # the socket belongs to asyncio, which closes it

    async def run(self) -> PollAttempt:
        started = asyncio.get_running_loop().time()
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout_at(started + self.check.connect_limit_s):
                await self._connect(sock)
            connected = asyncio.get_running_loop().time()
            self.met = PollAttempt(connect_s=connected - started)
            if self.check.type is not CheckType.TCP:
                await self._talk(sock, connected)
        except TimeoutError:
            pass  # what is None in the attempt says which limit passed
        except ConnectionRefusedError:
            self._fail(Trouble.REFUSED)
        except ssl.SSLError:
            self._fail(Trouble.TLS)
        except (ConnectionError, asyncio.IncompleteReadError):
            self._fail(Trouble.RESET)
        except OSError:
            self._fail(Trouble.UNREACHABLE)
        except (_NotHttpError, asyncio.LimitOverrunError):
            self._fail(Trouble.NOT_HTTP)
        finally:
            if not self.handed_over:
                sock.close()
        return self.met

    def _fail(self, trouble: Trouble) -> None:
        self.met = replace(self.met, trouble=trouble)

    async def _connect(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_IP, _BIND_NO_PORT, 1)
        sock.bind((self.source, 0))
        await asyncio.sleep(self.round_trip_s)
        await asyncio.get_running_loop().sock_connect(sock, (self.dial.address, self.dial.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def _talk(self, sock: socket.socket, connected: float) -> None:
        async with asyncio.timeout_at(connected + STATUS_LIMIT_S):
            reader, writer = await self._open(sock)
        try:
            async with asyncio.timeout_at(connected + STATUS_LIMIT_S):
                await asyncio.sleep(self.round_trip_s / 2)
                writer.write(_request(self.check))
                headers = await self._read_head(reader)
                await asyncio.sleep(self.round_trip_s / 2)
            answered = asyncio.get_running_loop().time()
            self.met = replace(self.met, status_s=answered - connected)
            if self.check.type.matches_string:
                async with asyncio.timeout_at(answered + BODY_LIMIT_S):
                    body = await _read_body(reader, headers)
                spent = asyncio.get_running_loop().time() - answered
                self.met = replace(self.met, body=body, body_s=spent)
        finally:
            # A brief goodbye: the next attempt makes a connection of its own.
            await hang_up(writer, within_s=_GOODBYE_S * 2)

    async def _open(self, sock: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self.check.type.tls:
            self.handed_over = True
            return await asyncio.open_connection(sock=sock, limit=_HEAD_BYTES)
        await asyncio.sleep(self.round_trip_s * _TLS_TRIPS)
        self.handed_over = True
        # With an empty server name asyncio sends no SNI.
        name = self.check.fqdn if self.check.enable_sni else ""
        return await asyncio.open_connection(
            sock=sock,
            limit=_HEAD_BYTES,
            ssl=_TLS,
            server_hostname=name,
            ssl_handshake_timeout=STATUS_LIMIT_S + 1,
            ssl_shutdown_timeout=_GOODBYE_S,
        )

    async def _read_head(self, reader: asyncio.StreamReader) -> dict[str, str]:
        head = await reader.readuntil(b"\r\n\r\n")
        match = _STATUS_LINE.match(head)
        if match is None:
            raise _NotHttpError
        self.met = replace(self.met, status=int(match[1]), phrase=(match[2] or b"").decode("latin-1").strip())
        lines = head[match.end() :].decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines if ":" in line)
        return {name.strip().lower(): value.strip() for name, _, value in fields}


_BIND_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT: the port is chosen at connect, so that ports do not run out


async def poll_once(
    check: HealthCheck, dial: Dial | None, *, source: str, round_trip_s: float
) -> PollAttempt:
    """Poll ``check`` once, from the loopback address ``source``.

    ``dial`` is None for a name that leads nowhere.

    Never raises for what the endpoint does: every fault is in the PollAttempt. Cancellation closes all.
    """
    if dial is None:
        return PollAttempt(trouble=Trouble.NAME)
    return await _Poll(check, dial, source, round_trip_s).run()


def _request(check: HealthCheck) -> bytes:
    usual = 443 if check.type.tls else 80
    host = check.fqdn or check.ip_address
    lines = (
        f"GET {check.path} HTTP/1.1",
        f"Host: {host}" if check.port in (80, 443, usual) else f"Host: {host}:{check.port}",
        f"User-Agent: {USER_AGENT.format(id=check.id)}",
        "Accept: */*",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode()


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The first 5,120 bytes of the body, or all of it where it is shorter."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    length = headers.get("content-length")
    if length is not None and not length.isdecimal():
        raise _NotHttpError
    wanted = min(BODY_BYTES, int(length)) if length is not None else BODY_BYTES
    body = await _read_up_to(reader, wanted)
    if length is not None and len(body) < wanted:
        raise asyncio.IncompleteReadError(body, wanted)
    return body


async def _read_up_to(reader: asyncio.StreamReader, wanted: int) -> bytes:
    body = b""
    while len(body) < wanted and (more := await reader.read(wanted - len(body))):
        body += more
    return body


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) < BODY_BYTES:
        size_line = (await reader.readuntil(b"\r\n")).partition(b";")[0].strip()
        try:
            size = int(size_line, 16)
        except ValueError:
            raise _NotHttpError from None
        if size <= 0:
            break
        body += await reader.readexactly(min(size, BODY_BYTES - len(body)))
        if len(body) < BODY_BYTES:
            await reader.readexactly(2)
    return body
