"""Where a client learns of endpoints: a document, taken whole or not at all; a record, followed; a list."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import boto3
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from moto import mock_aws

from beacon.client.candidates import Candidate
from beacon.client.sources import DnsRecord, Fetched, Source, SourceError, SsmDocument, StaticList
from beacon.document.form import serialize
from beacon.document.store import StoreError
from beacon.model import Document, Effective, Endpoint, EndpointState, Observed

NOW = datetime(2026, 11, 22, 1, 2, 3, 456000, tzinfo=UTC)
EPOCH = int(NOW.timestamp() * 1000)
EAST_1, EAST_2 = "a" * 26 + ".dsql.us-east-1.on.aws", "b" * 26 + ".dsql.us-east-2.on.aws"
OTHER = "c" * 26 + ".dsql.us-west-2.on.aws"
GOOD = Document(
    service="orders-prod",
    target="dsql",
    observer="us-east-1",
    epoch=EPOCH,
    as_of=NOW,
    valid_until=NOW + timedelta(seconds=300),
    endpoints=(
        EndpointState("us-east-1", EAST_1, 5432, Observed.UP, None, Effective.IN, "ok", NOW, 1.5, 0, NOW),
        EndpointState("us-east-2", EAST_2, 5432, Observed.DOWN, None, Effective.OUT, "reset", NOW),
    ),
)
CANARY = "canary-7f3a"


def as_json(**members: object) -> str:
    return json.dumps(json.loads(serialize(GOOD)) | members)


def with_host(host: str) -> str:
    value = json.loads(serialize(GOOD))
    value["endpoints"][0]["host"] = host
    return json.dumps(value)


def rows() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(serialize(GOOD))["endpoints"]
    return found


def without(member: str) -> str:
    value = json.loads(serialize(GOOD))
    del value[member]
    return json.dumps(value)


#: What a reader may find in the parameter; each is ignored whole.
BAD_VALUES = {
    "empty": "",
    "an empty object": "{}",
    "null": "null",
    "not JSON": "us-east-1",
    "a byte-order mark": "\ufeff" + serialize(GOOD),
    "a duplicate key": serialize(GOOD)[:-1] + ',"epoch":1}',
    "NaN": as_json().replace("1.5", "NaN"),
    "over 4 KB": serialize(GOOD) + " " * 4096,
    "an unknown schema": as_json(schema=2),
    "zero endpoints": as_json(endpoints=[]),
    "a duplicate endpoint": as_json(endpoints=[*rows(), rows()[0]]),
    "an unknown endpoint": with_host(EAST_1.replace("a", "z", 1)),
    "a foreign host": with_host("db.example.org"),
    "an IP literal": with_host("192.0.2.1"),
    "localhost": with_host("localhost"),
    "a link-local address": with_host("169.254.169.254"),
    "a trailing dot": with_host(f"{EAST_1}."),
    "mixed case": with_host(EAST_1.replace("dsql", "Dsql")),
    "userinfo": with_host(f"admin@{EAST_1}"),
    "no epoch": without("epoch"),
    "a negative epoch": as_json(epoch=-1),
    "a string for an epoch": as_json(epoch=str(EPOCH)),
    "an epoch of 2^63": as_json(epoch=2**63),
    "an epoch of the far future": as_json(epoch=EPOCH + 3_600_000),
    "a timestamp without a zone": as_json(as_of="2026-11-22T01:02:03.456"),
    "a lower epoch": as_json(epoch=EPOCH - 1),
    "another service's document": as_json(service="orders-test"),
    "another Region's document": as_json(observer="us-east-2"),
}


def ssm(**options: Any) -> SsmDocument:  # noqa: ANN401 - those of SsmDocument
    return SsmDocument(
        "orders", "prod", **{"region": "us-east-1", "hosts": [EAST_1, EAST_2], "environment": {}, **options}
    )


class StubStore:
    """Stands for SSM: gives the test's answers."""

    answer: ClassVar[str | Exception | None] = None
    made: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, path: str, region: str) -> None:
        self.made.append((path, region))

    def read_document(self) -> str | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> type[StubStore]:
    """SSM without a parameter."""
    monkeypatch.setattr("beacon.document.store.ParameterStore", StubStore)
    monkeypatch.setattr(StubStore, "answer", None)
    monkeypatch.setattr(StubStore, "made", [])
    return StubStore


def hosts(source: Source, now: datetime = NOW) -> list[tuple[str, bool]]:
    return [(each.endpoint.host, each.last_resort) for each in source.candidates(now)]


class DnsServer:
    """A name server on loopback that knows aliases alone: name to ``(TTL in seconds, target)``."""

    def __init__(self, aliases: Mapping[str, tuple[int, str]], delay_s: float = 0.0) -> None:
        self._aliases = aliases
        self._delay_s = delay_s
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.asked: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def record(self, name: str) -> DnsRecord:
        return DnsRecord(name, nameservers=["127.0.0.1"], port=self.port)

    def close(self) -> None:
        self._stop.set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            packet, sender = self._socket.recvfrom(4096)
            if packet and not self._stop.wait(self._delay_s):
                self._socket.sendto(self._answer(packet), sender)

    def _answer(self, packet: bytes) -> bytes:
        query = dns.message.from_wire(packet)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        name = query.question[0].name.to_text()
        self.asked.append(name)
        found = self._aliases.get(name.lower())
        if found is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            answer.answer.append(dns.rrset.from_text(name, found[0], "IN", "CNAME", found[1]))
        return answer.to_wire()


ServeDns = Callable[..., DnsServer]


@pytest.fixture
def serve() -> Iterator[ServeDns]:
    """Starts name servers."""
    started: list[DnsServer] = []

    def start(aliases: Mapping[str, tuple[int, str]], delay_s: float = 0.0) -> DnsServer:
        started.append(DnsServer(aliases, delay_s))
        return started[-1]

    yield start
    for server in started:
        server.close()


# ---- the document in SSM


def test_a_document_is_read_from_its_parameter_and_accepted(store: type[StubStore]) -> None:
    """One store for all fetches; the candidates are the document's, and as old as it says."""
    source = ssm()
    assert (source.candidates(NOW), source.as_of()) == ((), None)
    store.answer = serialize(GOOD)
    for _ in range(2):
        fetched = source.fetch()
        assert fetched == Fetched(serialize(GOOD), None)
        source.accept(fetched.text, NOW)
    assert store.made == [("/orders/prod/dsql", "us-east-1")]
    assert hosts(source) == [(EAST_1, False), (EAST_2, True)]
    assert source.as_of() == NOW


def test_past_its_end_a_document_still_ranks(store: type[StubStore]) -> None:
    """Every endpoint is a candidate again."""
    source = ssm()
    source.accept(serialize(GOOD), NOW)
    assert hosts(source, NOW + timedelta(seconds=301)) == [(EAST_1, False), (EAST_2, False)]


@pytest.mark.parametrize("text", BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_bad_value_is_ignored_whole_and_the_last_good_one_stays(text: str) -> None:
    """The same candidates as before, what is wrong with it said, and nothing of it repeated."""
    source = ssm()
    source.accept(serialize(GOOD), NOW)
    with pytest.raises(SourceError, match="the document is ignored: ") as caught:
        source.accept(text, NOW + timedelta(seconds=10))
    assert hosts(source) == [(EAST_1, False), (EAST_2, True)]
    assert source.as_of() == NOW
    assert "example" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("text", [text for name, text in BAD_VALUES.items() if name != "a lower epoch"])
def test_a_bad_value_at_the_start_leaves_nothing_known(text: str) -> None:
    """And the first good one is believed."""
    source = ssm()
    with pytest.raises(SourceError):
        source.accept(text, NOW)
    assert (source.candidates(NOW), source.as_of()) == ((), None)
    source.accept(serialize(GOOD), NOW)
    assert hosts(source) == [(EAST_1, False), (EAST_2, True)]


def test_without_hosts_any_dsql_endpoint_of_its_region_is_believed_and_nothing_else() -> None:
    """A service needs no list of them; an endpoint that is named for another Region is refused still."""
    source = ssm(hosts=())
    source.accept(with_host(EAST_1.replace("a", "z", 1)), NOW)
    with pytest.raises(SourceError):
        source.accept(with_host(OTHER), NOW)
    assert hosts(source)[0] == (EAST_1.replace("a", "z", 1), False)


def test_a_parameter_that_is_missing_says_which(store: type[StubStore]) -> None:
    """Its name is not secret, and what to look for."""
    with pytest.raises(SourceError, match="no parameter /orders/prod/dsql/document in us-east-1"):
        ssm().fetch()


def test_a_store_that_fails_is_a_source_error_with_its_code(store: type[StubStore]) -> None:
    """What the store says is fit for a log."""
    store.answer = StoreError("reading the document failed", "AccessDeniedException")
    with pytest.raises(SourceError, match="reading the document failed: AccessDeniedException") as caught:
        ssm().fetch()
    assert caught.value.__suppress_context__


def test_without_boto3_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first fetch reads it, in any process."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "beacon.document.store", raising=False)
    with pytest.raises(SourceError, match=r"install dsql-beacon\[ssm\]"):
        ssm().fetch()


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-2"}, "us-east-1"),
        ({"AWS_DEFAULT_REGION": "us-east-2"}, "us-east-2"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-2"}, "us-east-2"),
    ],
)
def test_the_region_is_the_environments_unless_it_is_passed(environment: dict[str, str], region: str) -> None:
    """The document of one's own Region, ranked from there."""
    assert ssm(region=None, environment=environment).name == f"ssm:{region}:/orders/prod/dsql/document"
    passed = ssm(region="us-west-2", environment=environment)
    assert passed.name == "ssm:us-west-2:/orders/prod/dsql/document"


def test_without_a_region_nothing_is_guessed() -> None:
    """At construction, before anything is asked."""
    with pytest.raises(ValueError, match="set AWS_REGION, or pass region="):
        ssm(region=None, environment={})


def test_the_document_comes_from_the_real_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3's, against an SSM that keeps what it is given; in the source's Region alone."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("ssm", region_name="us-east-1")
        client.put_parameter(Name="/orders/prod/dsql/document", Value=serialize(GOOD), Type="String")
        assert ssm().fetch().text == serialize(GOOD)
        with pytest.raises(SourceError, match="no parameter"):
            ssm(region="us-east-2").fetch()


# ---- a DNS name


def test_a_record_is_followed_to_the_endpoint(serve: ServeDns) -> None:
    """Alias by alias, and not beyond the endpoint; it is good for the least TTL on the way."""
    server = serve(
        {
            "db.example.org.": (60, "orders.beacon.example.org."),
            "orders.beacon.example.org.": (5, "writer.example.org."),
            "writer.example.org.": (30, f"{EAST_1}."),
            f"{EAST_1}.": (1, "balancer.example.org."),
        }
    )
    source = server.record("db.example.org")
    assert source.candidates(NOW) == ()
    fetched = source.fetch()
    assert fetched == Fetched(EAST_1, 5.0)
    source.accept(fetched.text, NOW)
    assert source.candidates(NOW) == (Candidate(Endpoint("us-east-1", EAST_1)),)
    assert source.as_of() is None
    assert server.asked == ["db.example.org.", "orders.beacon.example.org.", "writer.example.org."]


def test_case_and_a_trailing_dot_do_not_matter(serve: ServeDns) -> None:
    """The certificate and the token are issued for the lower-case name."""
    server = serve({"db.example.org.": (0, f"{EAST_1.upper()}.")})
    assert server.record("DB.Example.ORG.").fetch() == Fetched(EAST_1, 0.0)


@pytest.mark.parametrize(
    ("aliases", "reason"),
    [
        ({}, "NXDOMAIN"),
        ({"db.example.org.": (5, "elsewhere.example.org.")}, "NXDOMAIN"),
        ({"db.example.org.": (5, "localhost.")}, "NXDOMAIN"),
        ({"db.example.org.": (5, "a.example.org."), "a.example.org.": (5, "db.example.org.")}, "too many"),
        ({"db.example.org.": (5, "db.example.org.")}, "too many"),
    ],
    ids=["no such name", "no DSQL host at its end", "localhost", "a loop", "its own alias"],
)
def test_a_record_that_leads_to_no_endpoint_says_so(
    serve: ServeDns, aliases: dict[str, tuple[int, str]], reason: str
) -> None:
    """With its own name and the kind of failure, and what was known stays."""
    server = serve(aliases)
    source = server.record("db.example.org")
    source.accept(EAST_1, NOW)
    with pytest.raises(SourceError, match=f"db.example.org leads to no DSQL endpoint: {reason}") as caught:
        source.fetch()
    assert "elsewhere" not in str(caught.value)
    assert len(server.asked) <= 8
    assert hosts(source) == [(EAST_1, False)]


def test_a_name_server_that_is_silent_holds_up_its_thread_within_the_limit(
    serve: ServeDns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is that of a whole look-up, also where each alias takes its time."""
    monkeypatch.setattr("beacon.client.sources._DNS_S", 0.4)
    chain = {f"a{number}.example.org.": (5, f"a{number + 1}.example.org.") for number in range(7)}
    for server, name in ((serve({}, delay_s=30), "db.example.org"), (serve(chain, 0.15), "a0.example.org")):
        began = time.monotonic()
        with pytest.raises(SourceError, match="LifetimeTimeout"):
            server.record(name).fetch()
        assert 0.3 < time.monotonic() - began < 0.8


def test_a_name_server_that_refuses_every_packet_is_a_source_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server listens: the same as silence, and no exception of the system's."""
    monkeypatch.setattr("beacon.client.sources._DNS_S", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    source = DnsRecord("db.example.org", nameservers=["127.0.0.1"], port=port)
    with pytest.raises(SourceError, match="leads to no DSQL endpoint"):
        source.fetch()


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2.1", f"{EAST_1}.", EAST_1.upper(), f"x@{EAST_1}"])
def test_a_text_that_is_no_endpoint_is_refused_and_the_last_one_stays(text: str) -> None:
    """From any writer of the copy on disk, it passes by the same rule."""
    source = DnsRecord("db.example.org")
    source.accept(EAST_2, NOW)
    with pytest.raises(SourceError, match="leads to what is no DSQL endpoint"):
        source.accept(text, NOW)
    assert hosts(source) == [(EAST_2, False)]


def test_without_dnspython_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first fetch reads it."""
    for module in ("dns", "dns.exception", "dns.resolver"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SourceError, match=r"install dsql-beacon\[dns\]"):
        DnsRecord("db.example.org").fetch()


@pytest.mark.parametrize(
    "record",
    [
        "",
        ".",
        "db",
        "-db.example.org",
        "db..example.org",
        "db.example.org/",
        "db.example.org\n",
        "x" * 64 + ".org",
        "a." * 127 + "org",
        "192.0.2.1",
        "db example.org",
        "https://db.example.org",
    ],
)
def test_what_is_no_dns_name_is_refused(record: str) -> None:
    """At construction, before anything is asked."""
    with pytest.raises(ValueError, match="is not a DNS name"):
        DnsRecord(record)


def test_everything_wrong_with_a_record_is_in_one_error() -> None:
    """The name, each name server, the port."""
    with pytest.raises(ValueError, match="is not a DNS name") as caught:
        DnsRecord("db", nameservers=["192.0.2.1", "resolver", ""], port=0)
    assert str(caught.value) == (
        "'db' is not a DNS name; 'resolver' is not an address; '' is not an address; "
        "port must be 1-65535, not 0"
    )


# ---- a list


def test_a_list_is_known_at_once_and_for_good() -> None:
    """Best first, with ports; there is nothing to ask for, and no end to it."""
    source = StaticList([EAST_2, f"{EAST_1}:6432"])
    assert source.candidates(NOW) == (
        Candidate(Endpoint("us-east-2", EAST_2, 5432)),
        Candidate(Endpoint("us-east-1", EAST_1, 6432)),
    )
    fetched = source.fetch()
    assert fetched.good_for_s == float("inf")
    source.accept(fetched.text, NOW)
    assert len(source.candidates(NOW + timedelta(days=400))) == 2
    assert source.as_of() is None


def test_everything_wrong_with_a_list_is_in_one_error() -> None:
    """A sentence for each entry that cannot be used, and none for one that can."""
    given = ["localhost", "192.0.2.1:5432", EAST_1.upper(), EAST_1, f"{EAST_1}:5433", f"{EAST_2}:0"]
    given += [f"{EAST_2}:", f"{EAST_2}:65536", f"{EAST_2}:\u0665", "[::1]:5432", OTHER]
    with pytest.raises(ValueError, match="is not a DSQL endpoint") as caught:
        StaticList(given)
    problems = str(caught.value).split("; ")
    assert len(problems) == len(given) - 2
    assert [problem.split()[-1] for problem in problems[3:7]] == ["twice", "port", "port", "port"]
    assert OTHER not in str(caught.value)


def test_an_empty_list_is_refused() -> None:
    """No client could connect with it."""
    with pytest.raises(ValueError, match="name at least one endpoint"):
        StaticList([])


def test_sources_are_distinguished_by_name() -> None:
    """So that messages and the copy on disk can."""
    names = [
        ssm().name,
        ssm(region="us-east-2").name,
        ssm(target="other").name,
        DnsRecord("db.example.org").name,
        StaticList([EAST_1]).name,
    ]
    assert len(set(names)) == len(names)


def test_a_document_of_a_higher_epoch_replaces_the_last() -> None:
    """The heartbeat: the same endpoints, a later end."""
    source = ssm()
    source.accept(serialize(GOOD), NOW)
    later = NOW + timedelta(seconds=60)
    following = replace(GOOD, epoch=EPOCH + 60_000, as_of=later, valid_until=later + timedelta(seconds=300))
    source.accept(serialize(following), later)
    assert source.as_of() == later
