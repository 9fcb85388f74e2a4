"""The DNS server, asked over real UDP and TCP sockets: by dnspython, and by dig where it is installed."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import dns.asyncquery
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beacon_lab.route53.distances import REGIONS, client_subnet
from beacon_lab.route53.dns_server import AddressInUseError, DnsServer
from beacon_lab.route53.records import Failover, RecordSet, Zone

HERE = "127.0.0.1"
NAME = "app.example.test"
EAST, WEST = "east.dsql.us-east-1.on.aws", "west.dsql.us-west-2.on.aws"
STATIC = {EAST: "127.7.0.1", WEST: "127.7.0.2"}
SOA = "ns-1.awsdns-1.com. hostmaster.example.com. 1 7200 900 1209600 60"


def a_zone(*records: RecordSet) -> Zone:
    own = (
        RecordSet("example.test.", "SOA", 900, (SOA,)),
        RecordSet("example.test.", "NS", 172800, ("ns-1.awsdns-1.com", "ns-2.awsdns-2.net")),
    )
    return Zone("Z1", "example.test.", (*own, *records))


def cname(target: str, identifier: str, **policy: object) -> RecordSet:
    return RecordSet(f"{NAME}.", "CNAME", 7, (target,), identifier, identifier, **policy)  # type: ignore[arg-type]


FAILOVER = a_zone(cname(EAST, "p", failover=Failover.PRIMARY), cname(WEST, "s", failover=Failover.SECONDARY))
LATENCY = a_zone(cname(EAST, "e", region="us-east-1"), cname(WEST, "w", region="us-west-2"))
PLAIN = a_zone(
    RecordSet("v4.example.test.", "A", 60, ("192.0.2.1", "192.0.2.2")),
    RecordSet("v4.example.test.", "AAAA", 60, ("2001:db8::1",)),
    RecordSet("text.example.test.", "TXT", 60, ('"one" "two"',)),
    RecordSet("big.example.test.", "TXT", 60, tuple(f'"{number:0200d}"' for number in range(20))),
    RecordSet("chain.example.test.", "CNAME", 60, ("v4.example.test",)),
    RecordSet("loop.example.test.", "CNAME", 60, ("loop.example.test",)),
    RecordSet("lost.example.test.", "CNAME", 60, ("nowhere.example.test",)),
    RecordSet("away.example.test.", "CNAME", 60, ("www.example.org",)),
    RecordSet("*.wild.example.test.", "A", 60, ("192.0.2.9",)),
    RecordSet("deep.under.wild.example.test.", "A", 60, ("192.0.2.8",)),
    RecordSet("handed.example.test.", "NS", 60, ("ns.example.org",)),
    RecordSet("broken.example.test.", "A", 60, ("not an address",)),
)


@asynccontextmanager
async def serving(*zones: Zone, sick: set[str] | None = None, **options: object) -> AsyncIterator[DnsServer]:
    ill = sick if sick is not None else set()
    server = DnsServer(
        zones=lambda: zones,
        healthy=lambda check: check not in ill,
        default_region="us-east-1",
        static=STATIC,
        **options,  # type: ignore[arg-type]
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


Ask = Callable[..., Awaitable[dns.message.Message]]


async def by_udp(server: DnsServer, query: dns.message.Message, port: int = 0) -> dns.message.Message:
    return await dns.asyncquery.udp(query, HERE, timeout=5, port=port or server.port)


async def by_tcp(server: DnsServer, query: dns.message.Message, port: int = 0) -> dns.message.Message:
    return await dns.asyncquery.tcp(query, HERE, timeout=5, port=port or server.port)


def answers(response: dns.message.Message) -> list[str]:
    return [f"{rrset.name} {rrset.ttl} {rdata}" for rrset in response.answer for rdata in rrset]


def query_for(name: str, rdtype: str = "A", **options: object) -> dns.message.Message:
    return dns.message.make_query(name, rdtype, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("ask", [by_udp, by_tcp])
def test_health_moves_the_answer_at_once(ask: Ask) -> None:
    """Failover, over UDP and TCP: PRIMARY, SECONDARY when it is sick, PRIMARY again when both are."""

    async def scenario() -> None:
        sick: set[str] = set()
        async with serving(FAILOVER, sick=sick) as server:
            seen = []
            for ill in (set[str](), {"p"}, {"p", "s"}, {"s"}):
                sick.clear()
                sick.update(ill)
                response = await ask(server, query_for(NAME, "CNAME"))
                assert response.flags & dns.flags.AA
                seen += answers(response)
        assert seen == [f"{NAME}. 7 {target}." for target in (EAST, WEST, EAST, EAST)]

    asyncio.run(scenario())


def test_one_query_leads_from_the_record_to_the_address_of_a_static_host() -> None:
    """A CNAME to a host of the lab is followed to its loopback address."""

    async def scenario() -> None:
        async with serving(FAILOVER) as server:
            assert answers(await by_udp(server, query_for(NAME))) == [
                f"{NAME}. 7 {EAST}.",
                f"{EAST}. 5 127.7.0.1",
            ]
            assert answers(await by_udp(server, query_for(WEST))) == [f"{WEST}. 5 127.7.0.2"]
            nothing = await by_udp(server, query_for(WEST, "AAAA"))
            assert (nothing.rcode(), nothing.answer) == (dns.rcode.NOERROR, [])

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "rdtype", "expected"),
    [
        ("v4.example.test", "A", ["v4.example.test. 60 192.0.2.1", "v4.example.test. 60 192.0.2.2"]),
        ("V4.Example.TEST", "A", ["V4.Example.TEST. 60 192.0.2.1", "V4.Example.TEST. 60 192.0.2.2"]),
        ("v4.example.test", "AAAA", ["v4.example.test. 60 2001:db8::1"]),
        ("text.example.test", "TXT", ['text.example.test. 60 "one" "two"']),
        (
            "chain.example.test",
            "AAAA",
            ["chain.example.test. 60 v4.example.test.", "v4.example.test. 60 2001:db8::1"],
        ),
        ("chain.example.test", "CNAME", ["chain.example.test. 60 v4.example.test."]),
        ("away.example.test", "A", ["away.example.test. 60 www.example.org."]),
        (
            "example.test",
            "NS",
            ["example.test. 172800 ns-1.awsdns-1.com.", "example.test. 172800 ns-2.awsdns-2.net."],
        ),
        ("example.test", "SOA", [f"example.test. 900 {SOA}"]),
        ("any.wild.example.test", "A", ["any.wild.example.test. 60 192.0.2.9"]),
        ("a.b.wild.example.test", "A", ["a.b.wild.example.test. 60 192.0.2.9"]),
        ("deep.under.wild.example.test", "A", ["deep.under.wild.example.test. 60 192.0.2.8"]),
    ],
)
def test_records_are_answered_with_their_ttl(name: str, rdtype: str, expected: list[str]) -> None:
    """Each kind of record, wildcards and chains inside the zone; case makes no difference."""

    async def scenario() -> None:
        async with serving(PLAIN) as server:
            response = await by_udp(server, query_for(name, rdtype))
            assert sorted(answers(response)) == sorted(expected)
            assert response.rcode() == dns.rcode.NOERROR

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode"),
    [
        ("nowhere.example.test", "A", dns.rcode.NXDOMAIN),
        ("v4.example.test", "TXT", dns.rcode.NOERROR),
        ("wild.example.test", "A", dns.rcode.NOERROR),  # exists between names
        ("x.under.wild.example.test", "A", dns.rcode.NXDOMAIN),  # a name that exists stops the wildcard
        ("broken.example.test", "A", dns.rcode.NXDOMAIN),
    ],
)
def test_what_is_not_there_is_denied_with_the_zones_soa(
    name: str, rdtype: str, rcode: dns.rcode.Rcode
) -> None:
    """NXDOMAIN for names, an empty answer for types, the SOA's minimum as TTL of both."""

    async def scenario() -> None:
        async with serving(PLAIN) as server:
            response = await by_udp(server, query_for(name, rdtype))
            assert (response.rcode(), response.answer) == (rcode, [])
            assert [(rrset.rdtype, rrset.ttl) for rrset in response.authority] == [(dns.rdatatype.SOA, 60)]

    asyncio.run(scenario())


def test_chains_end() -> None:
    """A loop is followed a bounded number of times; a chain to nowhere says so after its CNAME."""

    async def scenario() -> None:
        async with serving(PLAIN) as server:
            loop = await by_udp(server, query_for("loop.example.test"))
            assert 1 <= len(loop.answer) <= 8
            lost = await by_udp(server, query_for("lost.example.test"))
            assert (lost.rcode(), len(lost.answer)) == (dns.rcode.NXDOMAIN, 1)

    asyncio.run(scenario())


def test_foreign_zones_are_refused_and_delegations_referred() -> None:
    """REFUSED without authority; a delegation answers with its name servers, without authority either."""

    async def scenario() -> None:
        async with serving(PLAIN) as server:
            for question in (query_for("example.org"), query_for("test"), query_for("example.test", "ANY")):
                foreign = await by_udp(server, question)
                assert (foreign.rcode(), foreign.answer) == (dns.rcode.REFUSED, [])
                assert not foreign.flags & dns.flags.AA
            referral = await by_udp(server, query_for("www.handed.example.test"))
            assert [rrset.rdtype for rrset in referral.authority] == [dns.rdatatype.NS]
            assert not referral.flags & dns.flags.AA

    asyncio.run(scenario())


@pytest.mark.parametrize("region", REGIONS)
def test_a_client_subnet_says_where_the_client_is(region: str) -> None:
    """Latency records answer the subnet's Region; the option comes back with the scope that was used."""

    async def scenario() -> None:
        subnet = client_subnet(region)
        option = dns.edns.ECSOption(str(subnet.network_address), 24)
        async with serving(LATENCY) as server:
            response = await by_udp(server, query_for(NAME, "CNAME", use_edns=0, options=[option]))
        near = WEST if region.startswith(("us-west", "ap-")) else EAST
        assert answers(response) == [f"{NAME}. 7 {near}."]
        echoed = [option for option in response.options if isinstance(option, dns.edns.ECSOption)]
        assert [(echo.address, echo.srclen, echo.scopelen) for echo in echoed] == [
            (str(subnet.network_address), 24, 16)
        ]

    asyncio.run(scenario())


def test_other_subnets_count_as_the_default_region() -> None:
    """An address outside the test subnets, or too short a prefix, is echoed with scope 0."""

    async def scenario() -> None:
        async with serving(LATENCY) as server:
            for option in (dns.edns.ECSOption("192.0.2.0", 24), dns.edns.ECSOption("10.0.0.0", 8)):
                response = await by_udp(server, query_for(NAME, "CNAME", use_edns=0, options=[option]))
                assert answers(response) == [f"{NAME}. 7 {EAST}."]
                assert [
                    option.scopelen for option in response.options if isinstance(option, dns.edns.ECSOption)
                ] == [0]

    asyncio.run(scenario())


@pytest.mark.parametrize("ask", [by_udp, by_tcp])
def test_each_client_region_has_a_port_of_its_own(ask: Ask) -> None:
    """The port that was asked says where the client is; UDP and TCP share it."""

    async def scenario() -> None:
        async with serving(LATENCY, by_region={"us-east-1": 0, "us-west-2": 0}) as server:
            asked = {
                region: await ask(server, query_for(NAME, "CNAME"), port)
                for region, port in server.by_region.items()
            }
        assert {region: answers(response) for region, response in asked.items()} == {
            "us-east-1": [f"{NAME}. 7 {EAST}."],
            "us-west-2": [f"{NAME}. 7 {WEST}."],
        }

    asyncio.run(scenario())


@pytest.mark.parametrize(("payload", "truncated"), [(None, True), (600, True), (4096, True)])
def test_a_large_answer_is_truncated_over_udp_and_whole_over_tcp(
    payload: int | None, truncated: bool
) -> None:
    """The TC bit sends the client to TCP, whatever payload it offers: 4 kB do not fit one packet."""

    async def scenario() -> None:
        edns: dict[str, object] = {} if payload is None else {"use_edns": 0, "payload": payload}
        async with serving(PLAIN) as server:
            query = query_for("big.example.test", "TXT", **edns)
            short = await by_udp(server, query)
            assert bool(short.flags & dns.flags.TC) is truncated
            assert short.answer == []
            assert short.edns == (-1 if payload is None else 0)
            whole = await by_tcp(server, query)
            assert len(whole.answer[0]) == 20

    asyncio.run(scenario())


def test_unusual_queries_get_the_code_that_names_the_trouble() -> None:
    """NOTIMP for other opcodes, BADVERS for a newer EDNS."""

    async def scenario() -> None:
        async with serving(PLAIN) as server:
            notify = query_for("example.test", "SOA")
            notify.set_opcode(dns.opcode.STATUS)
            assert (await by_udp(server, notify)).rcode() == dns.rcode.NOTIMP
            newer = query_for("example.test", "SOA", use_edns=1)
            assert (await by_udp(server, newer)).rcode() == dns.rcode.BADVERS

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def a_server() -> DnsServer:
    return DnsServer(zones=lambda: (PLAIN,), healthy=lambda _: True, default_region="us-east-1")


WIRE = query_for("v4.example.test", "A", use_edns=0, options=[dns.edns.ECSOption("10.1.0.0", 16)]).to_wire()


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=80),
        st.tuples(st.integers(0, len(WIRE) - 1), st.binary(min_size=1, max_size=4)).map(
            lambda edit: WIRE[: edit[0]] + edit[1] + WIRE[edit[0] + len(edit[1]) :]
        ),
    )
)
def test_no_bytes_break_the_server(a_server: DnsServer, data: bytes) -> None:
    """Random bytes, and a query with a few bytes changed: an answer that parses, or none."""
    answer = a_server.respond(data, "us-east-1", limit=512)
    if answer is not None:
        assert answer[:2] == data[:2]
        dns.message.from_wire(answer, ignore_trailing=True)


def test_malformed_packets_are_ignored_and_the_next_query_is_answered() -> None:
    """Over UDP there is no answer to garbage; over TCP the connection ends; the server lives on."""

    async def scenario() -> None:
        garbage = bytes(random.Random(1).randbytes(40))  # noqa: S311  # repeatable
        async with serving(PLAIN) as server:
            with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
                client.setblocking(False)
                client.connect((HERE, server.port))
                for packet in (b"", b"\x00", garbage, WIRE[:20], query_for("v4.example.test").to_wire()):
                    client.send(packet)
                answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 4096), 5)
                assert len(dns.message.from_wire(answer).answer) == 1
            reader, writer = await asyncio.open_connection(HERE, server.port)
            writer.write(struct.pack("!H", len(garbage)) + garbage)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await writer.wait_closed()

    asyncio.run(scenario())


def test_one_tcp_connection_carries_several_queries() -> None:
    """Sent together and read one after another, in order."""

    async def scenario() -> None:
        async with serving(PLAIN) as server:
            reader, writer = await asyncio.open_connection(HERE, server.port)
            queries = [
                query_for("v4.example.test"),
                query_for("text.example.test", "TXT"),
                query_for("nowhere.example.test"),
            ]
            for query in queries:
                wire = query.to_wire()
                writer.write(struct.pack("!H", len(wire)) + wire)
            for query in queries:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                assert query.is_response(dns.message.from_wire(await reader.readexactly(length)))
            writer.close()
            await writer.wait_closed()

    asyncio.run(scenario())


def test_an_idle_tcp_connection_is_closed() -> None:
    """The server ends it after the idle time, without a byte."""

    async def scenario() -> None:
        async with serving(PLAIN, idle_s=0.2) as server:
            reader, writer = await asyncio.open_connection(HERE, server.port)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await writer.wait_closed()

    asyncio.run(scenario())


def test_stopping_drops_open_connections_and_frees_the_port() -> None:
    """A client in the middle of a connection does not keep the server, nor its port."""

    async def scenario() -> None:
        async with serving(PLAIN) as server:
            reader, writer = await asyncio.open_connection(HERE, server.port)
            await by_tcp(server, query_for("v4.example.test"))
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await writer.wait_closed()
        async with serving(PLAIN, port=server.port) as again:
            assert again.port == server.port

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_taken_port_is_one_sentence(kind: int) -> None:
    """Whether UDP or TCP is taken, the error names the address, and nothing stays open."""

    async def scenario() -> None:
        with closing(socket.socket(socket.AF_INET, kind)) as other:
            other.bind((HERE, 0))
            if kind == socket.SOCK_STREAM:
                other.listen()
            port = other.getsockname()[1]
            with pytest.raises(AddressInUseError, match=f"{HERE} port {port} is in use"):
                async with serving(PLAIN, port=port):
                    pass

    asyncio.run(scenario())


def test_a_changed_zone_is_served_from_the_next_query_on() -> None:
    """The server asks for its zones each time."""

    async def scenario() -> None:
        views = iter([[PLAIN], [FAILOVER]])
        current: list[list[Zone]] = [next(views)]
        server = DnsServer(zones=lambda: current[0], healthy=lambda _: True, default_region="us-east-1")
        await server.start()
        try:
            assert (await by_udp(server, query_for(NAME, "CNAME"))).rcode() == dns.rcode.NXDOMAIN
            current[0] = next(views)
            assert answers(await by_udp(server, query_for(NAME, "CNAME"))) == [f"{NAME}. 7 {EAST}."]
        finally:
            await server.stop()

    asyncio.run(scenario())


@pytest.fixture
def dig() -> str:
    path = shutil.which("dig")
    if path is None:
        pytest.skip("dig is not installed (Debian: bind9-dnsutils)")
    return path


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_dig_reads_the_answers(dig: str, transport: str) -> None:
    """dig over UDP and TCP, with a client subnet, and falling back to TCP for a large answer."""

    async def scenario() -> None:
        async def ask(*words: str) -> list[str]:
            command = (
                dig,
                f"@{HERE}",
                "-p",
                str(server.port),
                transport,
                "+tries=1",
                "+time=5",
                "+short",
                *words,
            )
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            output, _ = await process.communicate()
            assert process.returncode == 0
            return output.decode().splitlines()

        async with serving(LATENCY) as server:
            assert await ask(NAME) == [f"{EAST}.", "127.7.0.1"]
            assert await ask(NAME, "+subnet=10.4.0.0/16") == [f"{WEST}.", "127.7.0.2"]
        async with serving(PLAIN) as server:
            assert len(await ask("big.example.test", "TXT")) == 20

    asyncio.run(scenario())
