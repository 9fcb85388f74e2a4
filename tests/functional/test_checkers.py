"""The health checkers against a real server on loopback: what they send, what they accept, how they count."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from beacon_lab.network.address_plan import CHECKER_RANGES
from beacon_lab.network.pki import Authority
from beacon_lab.network.tcp import hang_up
from beacon_lab.route53 import rules
from beacon_lab.route53.checkers import CHECKERS, CheckerFleet, HealthChange
from beacon_lab.route53.observations import CalculatedCheckError, UnknownCheckError
from beacon_lab.route53.poll import Dial, poll_once
from beacon_lab.route53.rules import CHECKER_REGIONS, CheckType, HealthCheck, PollAttempt, PollResult, Trouble

FQDN = "abc123.execute-api.us-east-1.amazonaws.com"
WANTED = "beacon:shop-prod:us-east-1:serving"
REGION = "us-east-1"
SOURCE = CHECKERS[0].source
ID = "11111111-2222-3333-4444-555555555555"
AGENT = f"Amazon-Route53-Health-Check-Service (ref {ID}; report http://amzn.to/1vsZADi)"
THREE_PLACES = ("us-east-1", "us-west-2", "eu-west-1")
SPEED = 200.0  # an interval of 10 s takes 50 ms


@dataclass(slots=True)
class Endpoint:
    """A server whose every answer a test decides; it keeps what it was asked."""

    port: int = 0
    answer: Callable[[str], bytes] = lambda _: ok(WANTED)
    handshake_s: float = 0.0
    head_s: float = 0.0
    body_s: float = 0.0
    talks_first: bool = False
    requests: list[bytes] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    tls_versions: list[str] = field(default_factory=list)
    open: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open[task] = writer
        source = writer.get_extra_info("peername")[0]
        tls = writer.get_extra_info("ssl_object")
        if tls is not None:
            self.tls_versions.append(tls.version())
        try:
            if not self.talks_first:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            self.sources.append(source)
            head, blank, body = self.answer(source).partition(b"\r\n\r\n")
            await asyncio.sleep(self.head_s)
            writer.write(head + blank)
            await asyncio.sleep(self.body_s)
            writer.write(body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            del self.open[task]

    def on_name(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.server_names.append(name)


def ok(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


@pytest.fixture(scope="module")
def server_tls(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], ssl.SSLContext]:
    # The name is not the checked one, and no client trusts the authority: checkers validate neither.
    directory: Path = tmp_path_factory.mktemp("pki")
    certificate = Authority.create(directory).issue("other", dns=["other.example.test"])

    def context() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(certificate.cert_file, certificate.key_file)
        return made

    return context


def insecure() -> ssl.SSLContext:
    """A client's context that accepts any certificate, as the checkers' does."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None, **settings: Any) -> AsyncIterator[Endpoint]:  # noqa: ANN401
    endpoint = Endpoint(**settings)
    if tls is not None:
        tls.sni_callback = endpoint.on_name
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, ssl=tls)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()
        await server.wait_closed()
        for writer in endpoint.open.values():
            writer.transport.abort()
        await asyncio.gather(*endpoint.open)


def a_check(kind: CheckType = CheckType.HTTP_STR_MATCH, **changes: Any) -> HealthCheck:  # noqa: ANN401
    usual: dict[str, Any] = {
        "fqdn": FQDN,
        "search_string": WANTED,
        "request_interval_s": 10,
        "path": "/live/x/health",
    }
    return HealthCheck(ID, kind, **{**usual, **changes})


async def try_once(
    check: HealthCheck, endpoint: Endpoint, round_trip_s: float = 0.0
) -> tuple[PollResult, PollAttempt]:
    dial = Dial("127.0.0.1", endpoint.port, REGION)
    met = await poll_once(check, dial, source=SOURCE, round_trip_s=round_trip_s)
    return rules.judge_poll(check, met), met


async def passes_in_time(check: HealthCheck, endpoint: Endpoint) -> bool:
    """Whether one of three attempts passes: a busy machine may spend the last 100 ms of the limit itself."""
    for _ in range(3):
        if (await try_once(check, endpoint))[0] is PollResult.PASS:
            return True
    return False


async def eventually(true: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def a_fleet(
    endpoint: Endpoint, *checks: HealthCheck, speed: float = SPEED
) -> AsyncIterator[CheckerFleet]:
    names = {(FQDN, 443): Dial("127.0.0.1", endpoint.port, REGION)}
    defects: list[Exception] = []
    fleet = CheckerFleet(
        names,
        on_defect=lambda _, error: defects.append(error),
        speed=speed,
        seed=1,
        round_trip_s=lambda *_: 0.0,
    )
    fleet.apply({check.id: check for check in checks})
    try:
        yield fleet
    finally:
        await fleet.stop()
    assert not defects


def test_the_request_is_the_documented_one() -> None:
    """Path, Host, User-Agent with the check's id, one request a connection, the checker's own address."""

    async def scenario() -> None:
        async with serving() as endpoint:
            outcome, _ = await try_once(a_check(), endpoint)
            assert outcome is PollResult.PASS
            assert endpoint.sources == [SOURCE]
            first, *fields = endpoint.requests[0].decode().strip().split("\r\n")
            assert first == "GET /live/x/health HTTP/1.1"
            assert fields == [
                f"Host: {FQDN}",
                f"User-Agent: {AGENT}",
                "Accept: */*",
                "Connection: close",
            ]
            await try_once(a_check(port=8443), endpoint)
            assert f"Host: {FQDN}:8443".encode() in endpoint.requests[1]

    asyncio.run(scenario())


@pytest.mark.parametrize(("enable_sni", "name"), [(True, FQDN), (False, None)])
def test_the_name_is_sent_by_sni_only_when_enabled(
    server_tls: Callable[[], ssl.SSLContext], enable_sni: bool, name: str | None
) -> None:
    """TLS 1.2 at most, and a certificate for another name from an unknown authority is accepted."""

    async def scenario() -> None:
        async with serving(server_tls()) as endpoint:
            check = a_check(CheckType.HTTPS_STR_MATCH, enable_sni=enable_sni)
            outcome, _ = await try_once(check, endpoint)
            assert outcome is PollResult.PASS
            assert endpoint.server_names == [name]
            assert endpoint.tls_versions == ["TLSv1.2"]

    asyncio.run(scenario())


def test_a_status_within_two_seconds_of_connecting_passes_and_a_later_one_fails(
    server_tls: Callable[[], ssl.SSLContext],
) -> None:
    """1.9 s passes, 2.1 s does not, over TLS and without; the attempt itself ends at the limit."""

    async def scenario() -> None:
        https, http = CheckType.HTTPS_STR_MATCH, CheckType.HTTP_STR_MATCH
        async with (
            serving(server_tls(), head_s=1.85) as early_tls,
            serving(server_tls(), head_s=2.1) as late_tls,
            serving(head_s=1.9) as early,
            serving(head_s=2.1) as late,
        ):
            passing = asyncio.gather(
                passes_in_time(a_check(https), early_tls), passes_in_time(a_check(http), early)
            )
            failing = asyncio.gather(try_once(a_check(https), late_tls), try_once(a_check(http), late))
            assert all(await passing)
            assert [outcome for outcome, _ in await failing] == [PollResult.STATUS_TIMEOUT] * 2

    asyncio.run(scenario())


def test_distance_is_spent_from_the_two_seconds(server_tls: Callable[[], ssl.SSLContext]) -> None:
    """At 0.3 s of round trip a TLS check has used 0.9 s: 0.9 s of server time passes, 1.3 s does not."""

    async def scenario() -> None:
        check = a_check(CheckType.HTTPS_STR_MATCH)
        async with serving(server_tls(), head_s=0.9) as quick, serving(server_tls(), head_s=1.3) as slow:
            (passes, met), (fails, _) = await asyncio.gather(
                try_once(check, quick, round_trip_s=0.3), try_once(check, slow, round_trip_s=0.3)
            )
        assert (passes, fails) == (PollResult.PASS, PollResult.STATUS_TIMEOUT)
        assert met.connect_s is not None
        assert met.connect_s >= 0.3
        assert met.status_s is not None
        assert met.status_s >= 0.3 * 3 + 0.9

    asyncio.run(scenario())


def test_a_silent_endpoint_costs_two_seconds(server_tls: Callable[[], ssl.SSLContext]) -> None:
    """One that accepts TCP and never speaks, with and without TLS; nothing is left open."""

    async def scenario() -> None:
        async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silence, "127.0.0.1", 0)
        endpoint = Endpoint(port=server.sockets[0].getsockname()[1])
        started = time.monotonic()
        results = await asyncio.gather(
            *(try_once(a_check(kind), endpoint) for kind in (CheckType.HTTP, CheckType.HTTPS))
        )
        spent_s = time.monotonic() - started
        assert [outcome for outcome, _ in results] == [PollResult.STATUS_TIMEOUT] * 2
        assert 2.0 <= spent_s < 3.0
        server.close()
        await server.wait_closed()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (ok("x" * (5120 - len(WANTED)) + WANTED), PollResult.PASS),
        (ok("x" * (5121 - len(WANTED)) + WANTED), PollResult.STRING_ABSENT),
        (ok(WANTED.upper()), PollResult.STRING_ABSENT),
        (ok(WANTED, "503 Service Unavailable"), PollResult.BAD_STATUS),
        (ok(WANTED, "302 Found"), PollResult.PASS),
        (ok("x" * 6000), PollResult.STRING_ABSENT),
        (f"HTTP/1.1 200 OK\r\n\r\n{WANTED}".encode(), PollResult.PASS),
        (f"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{WANTED}".encode(), PollResult.TROUBLE),
        (f"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{WANTED}".encode(), PollResult.TROUBLE),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"5;x=y\r\n" + WANTED[at : at + 5].encode() + b"\r\n" for at in range(0, 30, 5))
            + b"4\r\n"
            + WANTED[30:].encode()
            + b"\r\n0\r\n\r\n",
            PollResult.PASS,
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", PollResult.TROUBLE),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000 + b"\r\n\r\n", PollResult.TROUBLE),
        (b"", PollResult.TROUBLE),
    ],
)
def test_answers_are_judged_as_documented(answer: bytes, outcome: PollResult) -> None:
    """The place and case of the string, the status, and every way that HTTP delimits a body."""

    async def scenario() -> None:
        async with serving(answer=lambda _: answer) as endpoint:
            assert (await try_once(a_check(), endpoint))[0] is outcome

    asyncio.run(scenario())


def test_a_body_that_takes_more_than_two_seconds_fails_a_string_match_only() -> None:
    """HTTP looks at the status alone; HTTP_STR_MATCH waits for the body, for 2 s."""

    async def scenario() -> None:
        async with serving(body_s=2.2) as endpoint:
            (matching, _), (plain, _) = await asyncio.gather(
                try_once(a_check(CheckType.HTTP_STR_MATCH), endpoint),
                try_once(a_check(CheckType.HTTP), endpoint),
            )
        assert (matching, plain) == (PollResult.BODY_TIMEOUT, PollResult.PASS)

    asyncio.run(scenario())


def test_a_closed_port_an_unknown_name_and_a_server_without_tls_are_distinguished() -> None:
    """Each becomes a trouble of its own."""

    async def scenario() -> None:
        async with serving(talks_first=True) as endpoint:
            _, no_tls = await try_once(a_check(CheckType.HTTPS), endpoint)
        _, closed = await try_once(a_check(CheckType.TCP), endpoint)
        nowhere = await poll_once(a_check(), None, source=SOURCE, round_trip_s=0)
        assert no_tls.trouble is Trouble.TLS
        assert closed.trouble is Trouble.REFUSED
        assert nowhere.trouble is Trouble.NAME

    asyncio.run(scenario())


def test_sixteen_checkers_stand_in_eight_places_with_addresses_of_their_own() -> None:
    """Two in each documented place."""
    assert Counter(checker.region for checker in CHECKERS) == dict.fromkeys(CHECKER_REGIONS, 2)
    assert len({checker.source for checker in CHECKERS}) == 16


def test_only_checkers_of_the_listed_places_poll_and_each_reports() -> None:
    """Three places, six checkers; reports show published addresses and the documented wording."""

    async def scenario() -> None:
        check = a_check(regions=THREE_PLACES)
        async with serving() as endpoint, a_fleet(endpoint, check) as fleet:
            await eventually(lambda: len(fleet.observations(check.id)) == 6)
            seen = fleet.observations(check.id)
            assert Counter(report.region for report in seen) == dict.fromkeys(THREE_PLACES, 2)
            assert {report.status for report in seen} == {
                "Success: HTTP Status Code 200, OK. Resolved IP: 127.0.0.1"
            }
            for report in seen:
                ranges = (*CHECKER_RANGES[report.region], *CHECKER_RANGES["GLOBAL"])
                assert any(ip_address(report.checker_address) in network for network in ranges)
            assert fleet.last_failures(check.id) == ()
            endpoint.answer = lambda _: ok(WANTED, "503 Service Unavailable")
            await eventually(lambda: len(fleet.last_failures(check.id)) == 6)
            endpoint.answer = lambda _: ok(WANTED)
            await eventually(lambda: all(report.passed for report in fleet.observations(check.id)))
            failure = "Failure: HTTP Status Code 503, Service Unavailable. Resolved IP: 127.0.0.1"
            assert {report.status for report in fleet.last_failures(check.id)} == {failure}

    asyncio.run(scenario())


@pytest.mark.parametrize(("well", "healthy"), [(2, False), (3, True)])
def test_more_than_18_percent_of_the_checkers_must_say_healthy(well: int, healthy: bool) -> None:
    """2 of 16 are 12.5 %, 3 of 16 are 18.75 %."""

    async def scenario() -> None:
        served = {checker.source for checker in CHECKERS[:well]}
        check = a_check(failure_threshold=2)
        async with (
            serving(answer=lambda source: ok(WANTED if source in served else "")) as endpoint,
            a_fleet(endpoint, check) as fleet,
        ):
            assert fleet.healthy(check.id), "a new check counts as healthy"
            everybody = {checker.source for checker in CHECKERS}
            await eventually(lambda: set(Counter(endpoint.sources)) == everybody)
            await eventually(lambda: min(Counter(endpoint.sources).values()) >= 4)
            assert fleet.healthy(check.id) is healthy

    asyncio.run(scenario())


def test_status_changes_after_the_threshold_both_ways_and_is_reported() -> None:
    """Each checker needs three failures; the event comes once, with what each checker says."""

    async def scenario() -> None:
        check = a_check(failure_threshold=3)
        changes: list[HealthChange] = []
        async with serving() as endpoint, a_fleet(endpoint, check) as fleet:
            fleet.subscribe(changes.append)
            await eventually(lambda: len(fleet.observations(check.id)) == 16)
            asked_before = Counter(endpoint.sources)
            endpoint.answer = lambda _: ok("")
            await eventually(lambda: not fleet.healthy(check.id))
            asked = Counter(endpoint.sources) - asked_before
            assert sum(count >= 3 for count in asked.values()) >= 14
            endpoint.answer = lambda _: ok(WANTED)
            await eventually(lambda: fleet.healthy(check.id))
        assert [(change.check_id, change.healthy, change.checkers) for change in changes] == [
            (check.id, False, 16),
            (check.id, True, 16),
        ]
        assert [change.saying_healthy for change in changes] == [2, 3]
        assert changes[0].at_s < changes[1].at_s <= time.monotonic()

    asyncio.run(scenario())


def test_disabled_and_inverted_take_effect_at_once() -> None:
    """Disabled: healthy, and no checker polls. Inverted: the opposite. Enabled again: no data, so healthy."""

    async def scenario() -> None:
        check = a_check(failure_threshold=1)
        async with serving(answer=lambda _: ok("")) as endpoint, a_fleet(endpoint, check) as fleet:
            await eventually(lambda: not fleet.healthy(check.id))
            fleet.apply({check.id: replace(check, inverted=True)})
            assert fleet.healthy(check.id)
            fleet.apply({check.id: replace(check, disabled=True)})
            assert fleet.healthy(check.id)
            asked = len(endpoint.requests)
            await asyncio.sleep(10 / SPEED * 3)
            assert len(endpoint.requests) <= asked + 16, "attempts that were under way may still arrive"
            fleet.apply({check.id: check})
            assert fleet.healthy(check.id)
            await eventually(lambda: not fleet.healthy(check.id))
            fleet.apply({})
            assert fleet.healthy(check.id)
            with pytest.raises(UnknownCheckError):
                fleet.observations(check.id)

    asyncio.run(scenario())


def test_a_new_inverted_check_is_unhealthy() -> None:
    """No data yet counts as healthy, and inverted turns that around."""

    async def scenario() -> None:
        check = a_check(inverted=True)
        async with serving() as endpoint, a_fleet(endpoint, check, speed=0.001) as fleet:
            assert not fleet.healthy(check.id)

    asyncio.run(scenario())


def test_a_calculated_check_follows_its_children() -> None:
    """One of two children must be healthy; it has no observations of its own."""

    async def scenario() -> None:
        good = a_check(failure_threshold=1)
        bad = replace(good, id="bad", search_string="never there")
        both = HealthCheck("both", CheckType.CALCULATED, children=(good.id, bad.id), health_threshold=2)
        one = replace(both, id="one", health_threshold=1)
        async with serving() as endpoint, a_fleet(endpoint, good, bad, both, one) as fleet:
            await eventually(lambda: not fleet.healthy("both"))
            assert fleet.healthy("one")
            with pytest.raises(CalculatedCheckError):
                fleet.observations("both")

    asyncio.run(scenario())


def test_no_part_coordinates_the_checkers() -> None:
    """First requests are spread over the interval: neither all at once nor evenly."""

    async def scenario() -> None:
        check = a_check()
        arrivals: list[float] = []

        def note(_: str) -> bytes:
            arrivals.append(time.monotonic())
            return ok(WANTED)

        async with serving(answer=note) as endpoint, a_fleet(endpoint, check, speed=20):
            await eventually(lambda: len(endpoint.requests) >= 16)
        first = sorted(arrivals)[:16]
        gaps = [later - earlier for earlier, later in itertools.pairwise(first)]
        assert max(gaps) > 2 * min(gaps)
        assert first[-1] - first[0] > 0.1

    asyncio.run(scenario())


def test_a_goodbye_of_the_server_before_ours_is_no_defect(server_tls: Callable[[], ssl.SSLContext]) -> None:
    """API Gateway ends the connection after its answer; the checker then hangs up, on any Python."""

    async def scenario() -> None:
        async def answer_and_leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ok(WANTED))
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer_and_leave, "127.0.0.1", 0, ssl=server_tls())
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=insecure())
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.read()
        await eventually(writer.is_closing)
        await hang_up(writer, within_s=1.0)
        # A transport that was closed twice has forgotten its connection: this raises AttributeError then.
        assert writer.get_extra_info("cipher") is not None
        endpoint = Endpoint(port=port)
        outcome, _ = await try_once(a_check(CheckType.HTTPS_STR_MATCH), endpoint, round_trip_s=0.05)
        assert outcome is PollResult.PASS
        server.close()
        await server.wait_closed()

    asyncio.run(scenario())


def test_a_stream_that_does_not_end_is_cut_off() -> None:
    """A peer that reads nothing: data that is left to send would keep a closed connection open."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            _, writer = await asyncio.open_connection(*deaf.getsockname())
            writer.write(b"x" * 50_000_000)
            end = writer.get_extra_info("socket")
            await hang_up(writer, within_s=0.1)
            await eventually(lambda: end.fileno() < 0, within_s=5.0)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error", [AttributeError("no attribute '_abort'"), OSError(24, "Too many open files")]
)
def test_a_checker_that_breaks_is_a_defect_and_no_verdict(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is reported with its address and its check; the check's status stays what it was."""

    async def broken(*_: object, **__: object) -> PollAttempt:
        raise error

    async def scenario() -> None:
        defects: list[tuple[str, Exception]] = []
        check = a_check(failure_threshold=1)
        fleet = CheckerFleet({}, on_defect=lambda part, found: defects.append((part, found)), speed=SPEED)
        fleet.apply({check.id: check})
        await eventually(lambda: len(defects) > 16)
        assert fleet.healthy(check.id)
        assert fleet.observations(check.id) == ()
        await fleet.stop()
        assert {found for _, found in defects} == {error}
        assert f"the health checker at {SOURCE} of check {ID}" in {part for part, _ in defects}

    monkeypatch.setattr("beacon_lab.route53.checkers.poll_once", broken)
    asyncio.run(scenario())


def test_a_broken_answer_does_not_end_the_polling(caplog: pytest.LogCaptureFixture) -> None:
    """After any answer of an endpoint, the checkers continue, and no attempt fails in the lab itself."""

    async def scenario() -> None:
        answers = iter(
            [b"\x00\xff", b"HTTP/1.1 999 \r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"]
        )
        check = a_check()
        async with (
            serving(answer=lambda _: next(answers, ok(WANTED))) as endpoint,
            a_fleet(endpoint, check) as fleet,
        ):
            await eventually(lambda: len(endpoint.requests) >= 40)
            await eventually(lambda: all(report.passed for report in fleet.observations(check.id)))

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert caplog.records == []
