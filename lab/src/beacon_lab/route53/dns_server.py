"""The DNS server: UDP and TCP on one port per client Region, and one default port, all answering by the
same records.

A client's Region is that of its EDNS client subnet (a test subnet of ``distances``), else that of the port it
asked. Health is asked at each query, so an answer is never older than the checkers' verdict.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name

from beacon_lab.errors import LabError
from beacon_lab.route53.answers import Answerer, ZoneIndex, servable
from beacon_lab.route53.records import Healthy, Zone

#: How long a TCP connection may stay without a query.
IDLE_S = 10.0
_PLAIN_PAYLOAD = 512
_LARGEST_PAYLOAD = 1232  # what fits one packet on every path: larger answers go by TCP
_MOST_CONNECTIONS = 64
_PORT_TRIES = 20
_NO_REGION = ""

_log = logging.getLogger(__name__)


class AddressInUseError(LabError):
    """The address and port to listen on are taken; the sentence names them."""


class DnsServer:
    """Answers for the zones that ``zones()`` returns, choosing among records by ``healthy``.

    ``by_region`` names a port for each client Region that gets one (0: any free port). ``default_region`` is
    where clients of the default port count as being. ``static`` maps more host names to IPv4 addresses.
    ``chance`` decides between weighted records.
    """

    def __init__(
        self,
        *,
        zones: Callable[[], Sequence[Zone]],
        healthy: Healthy,
        default_region: str,
        address: str = "127.0.0.1",
        port: int = 0,
        by_region: Mapping[str, int] | None = None,
        static: Mapping[str, str] | None = None,
        chance: Random | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        self.address = address
        self._zones = zones
        self._healthy = healthy
        self._default_region = default_region
        self._wanted = {_NO_REGION: port, **(by_region or {})}
        self._chance = chance or Random()  # noqa: S311 - weighted records are no secret
        self._idle_s = idle_s
        self._static = dict(_static_names(static or {}))
        self._indexed: Sequence[Zone] | None = None
        self._index = ZoneIndex(())
        self._ports: dict[str, int] = {}
        self._udp: list[asyncio.DatagramTransport] = []
        self._tcp: list[asyncio.Server] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def port(self) -> int:
        """The default port, UDP and TCP; known once started."""
        return self._ports[_NO_REGION]

    @property
    def by_region(self) -> Mapping[str, int]:
        """The port of each client Region, UDP and TCP; known once started."""
        return MappingProxyType(
            {region: port for region, port in self._ports.items() if region != _NO_REGION}
        )

    def know(self, host: str, address: str) -> None:
        """Answer with ``address`` for ``host`` from now on; raises ``ValueError`` as the constructor does."""
        self._static.update(_static_names({host: address}))

    async def start(self) -> None:
        """Listen on every port. Raises AddressInUseError, and then listens on none."""
        try:
            for region, port in self._wanted.items():
                self._ports[region] = await self._listen(port, region or self._default_region)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every socket and connection; idempotent."""
        for server in self._tcp:
            server.close()
        for transport in self._udp:
            transport.close()
        for writer in self._connections.values():
            writer.transport.abort()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for server in self._tcp:
            await server.wait_closed()
        self._tcp.clear()
        self._udp.clear()

    async def _listen(self, port: int, region: str) -> int:
        loop = asyncio.get_running_loop()
        for _ in range(_PORT_TRIES if port == 0 else 1):
            with contextlib.ExitStack() as unless_used:
                datagram = unless_used.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                stream = unless_used.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                for each in (datagram, stream):
                    each.setblocking(False)
                try:
                    stream.bind((self.address, port))
                    taken: int = stream.getsockname()[1]
                    datagram.bind((self.address, taken))
                    server = await asyncio.start_server(lambda r, w: self._serve(r, w, region), sock=stream)
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
                    continue
                self._tcp.append(server)
                transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self, region), sock=datagram)
                self._udp.append(transport)
                unless_used.pop_all()
                return taken
        raise AddressInUseError(
            f"{self.address} port {port or 'any'} is in use: the DNS server cannot listen there"
        )

    def respond(self, wire: bytes, region: str, *, limit: int | None) -> bytes | None:
        """The answer to one message as bytes, at most ``limit`` long; None for what is not a query at all.

        ``limit`` None means TCP; otherwise the query's own payload size may raise it to what one packet
        holds.
        """
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError, struct.error, IndexError):
            return None
        if query.flags & dns.flags.QR:
            return None
        response = self._answerer().answer(query, region)
        if limit is None:
            return response.to_wire(max_size=65535)
        if query.edns >= 0:
            limit = min(max(query.payload, limit), _LARGEST_PAYLOAD)
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            for section in (response.answer, response.authority, response.additional):
                section.clear()
            response.flags |= dns.flags.TC
            return response.to_wire(max_size=limit)

    def _answerer(self) -> Answerer:
        zones = self._zones()
        if zones is not self._indexed:
            self._index = ZoneIndex([_servable_part(zone) for zone in zones])
            self._indexed = zones
        return Answerer(self._index, self._healthy, self._static, self._chance)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, region: str) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections[task] = writer
        try:
            while True:
                async with asyncio.timeout(self._idle_s):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    wire = await reader.readexactly(length)
                answer = self.respond(wire, region, limit=None)
                if answer is None:
                    break
                writer.write(struct.pack("!H", len(answer)) + answer)
                async with asyncio.timeout(self._idle_s):
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError, TimeoutError):
            pass  # the client went away, or said nothing for too long
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            del self._connections[task]


class _Udp(asyncio.DatagramProtocol):
    """One UDP port."""

    def __init__(self, server: DnsServer, region: str) -> None:
        self._server = server
        self._region = region
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's datagram transports do not inherit from DatagramTransport.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.respond(data, self._region, limit=_PLAIN_PAYLOAD)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


def _static_names(names: Mapping[str, str]) -> Mapping[dns.name.Name, ipaddress.IPv4Address]:
    """Host names and addresses, parsed. Raises ``ValueError`` for what is no name or no IPv4 address."""
    try:
        return {dns.name.from_text(name): ipaddress.IPv4Address(address) for name, address in names.items()}
    except dns.exception.DNSException as error:
        raise ValueError(f"a static name is not a host name: {error}") from error


def _servable_part(zone: Zone) -> Zone:
    kept = []
    for record in zone.records:
        if (problem := servable(record)) is None:
            kept.append(record)
        else:
            _log.warning("not served: %s", problem)
    return Zone(zone.id, zone.name, tuple(kept))
