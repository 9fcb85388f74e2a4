"""The probe's rules, on a virtual clock: what it asks, when it connects again, how it judges the end."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.fake_database import DRAIN, ENDPOINT, HOST, NEVER, NOBODY, SETTINGS, Rows, Step, World, code

import beacon.dsql.connector
import beacon.dsql.probe
from beacon.aws.credentials import NoCredentialsError
from beacon.aws.sigv4 import Credentials
from beacon.dsql.intent import ALL_REGIONS, ONE_REGION
from beacon.dsql.login_watch import PATIENCE_S
from beacon.dsql.probe import DsqlProbe, ProbeContext
from beacon.dsql.resolver import NameNotResolvedError, Resolver
from beacon.dsql.session import SessionError
from beacon.model import Endpoint, Forced, Intent, Observation, ProbeReport
from beacon.outcome import ProbeOutcome, Reason, outcome_of


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose sessions the probe opens; nothing in it may stay open but one."""
    world = World()
    world.take_the_place_of_libpq(monkeypatch)
    yield world
    assert world.open_sessions <= 1


def probe_of(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    endpoint: Endpoint = ENDPOINT,
    region: str | None = "us-east-1",
) -> DsqlProbe:
    resolver = Resolver()
    monkeypatch.setattr(resolver, "resolve", world.resolve)

    def credentials() -> Credentials:
        # As they are when asked for: tests take them away.
        return world.credentials()

    context = ProbeContext(
        SETTINGS,
        resolver,
        credentials=credentials,
        clock=lambda: world.now,
        lasting=lambda: world.now + world.frozen_s,
        now=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        jitter=lambda low, high: (low + high) / 2,
    )
    return DsqlProbe(endpoint, context, region)


@pytest.fixture
def probe(world: World, monkeypatch: pytest.MonkeyPatch) -> DsqlProbe:
    """A probe of the world's database that reads its own Region's intent."""
    return probe_of(world, monkeypatch)


def look(probe: DsqlProbe, world: World, within_s: float = 1.0) -> ProbeReport:
    """Probe once; the promised deadline is held, whatever happens."""
    deadline = world.now + within_s
    report = probe.run(deadline)
    assert world.now <= deadline
    return report


def seen(report: ProbeReport) -> tuple[ProbeOutcome, str, str | None]:
    return (report.observation.outcome, report.observation.reason, report.observation.warning)


PASSED = (ProbeOutcome.PASS, "ok", None)
CROWDED = (ProbeOutcome.PASS, "ok", "too_many_connections")
SLOW = (ProbeOutcome.PASS, "ok", "slow_login")
OVERLOAD = SessionError(Reason.TOO_MANY_CONNECTIONS, "53400")
#: Half-way between the least and the most; the jitter of these tests.
LOGIN_AFTER_S = 37.5
#: Reasons of a login that failed at an address, and not by overload or silence.
LOGIN_FAILURES = [
    reason
    for reason in Reason
    if outcome_of(reason) is ProbeOutcome.FAIL
    and reason not in {Reason.NAME, Reason.TIMEOUT, Reason.TOO_MANY_CONNECTIONS}
]
UNREADABLE = (ProbeOutcome.PASS, "ok", "intent_unreadable")


def test_a_first_probe_connects_signs_and_asks(world: World, probe: DsqlProbe) -> None:
    """The host is named, its address dialled, the token made for it; latency is the SELECT's alone."""
    world.queries = [[(0.02, NOBODY)]]
    report = look(probe, world)
    assert report.observation.latency_ms == pytest.approx(20)
    assert report == ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, report.observation.latency_ms), {})
    (opened,) = world.opened
    assert opened["password"].startswith(f"{HOST}/?Action=DbConnect&")
    expected = {
        "host": HOST,
        "port": "5432",
        "hostaddr": "192.0.2.1",
        "user": "probe",
        "dbname": "postgres",
        "sslmode": "verify-full",
        "sslrootcert": "/ca.pem",
    }
    assert expected.items() <= opened.items()
    assert world.asked == [(ONE_REGION, ["orders-prod", "dsql", "us-east-1"])]


def test_the_publisher_reads_every_regions_intent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Region the statement reads all of the service's rows."""
    world.queries = [[(0.0, DRAIN)]]
    report = look(probe_of(world, monkeypatch, region=None), world)
    assert report.intents == {"us-east-1": Intent("us-east-1", Forced.DRAIN, "game day", "ann", 60.0)}
    assert world.asked == [(ALL_REGIONS, ["orders-prod", "dsql"])]


def test_an_address_to_dial_replaces_the_look_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and token stay, address and port are the given ones."""
    world.addresses = NameNotResolvedError(stalled=True)
    world.queries = [[(0.0, NOBODY)]]
    probe = probe_of(world, monkeypatch, replace(ENDPOINT, dial=("127.0.0.1", 6000)))
    assert seen(look(probe, world)) == PASSED
    (opened,) = world.opened
    assert (opened["host"], opened["hostaddr"], opened["port"]) == (HOST, "127.0.0.1", "6000")


def test_a_connection_is_reused(world: World, probe: DsqlProbe) -> None:
    """Three probes, one connect."""
    world.queries = [[(0.0, NOBODY)] * 3]
    assert [seen(look(probe, world)) for _ in range(3)] == [PASSED] * 3
    assert len(world.opened) == 1


def test_a_login_replaces_the_open_connection_within_a_minute(world: World, probe: DsqlProbe) -> None:
    """The open one answers first; its successor has a new token, has answered, and is used from then on."""
    world.queries = [[(0.0, NOBODY)] * 3, [(0.0, NOBODY)] * 2]
    look(probe, world)
    world.now += LOGIN_AFTER_S - 0.1
    look(probe, world)
    assert len(world.opened) == 1
    world.now += 0.2
    # The old one did not fail, so this is no reconnect.
    assert not look(probe, world).observation.reconnected
    assert len(world.opened) == 2
    assert [session.closed for session in world.sessions] == [True, False]
    look(probe, world)
    assert len(world.opened) == 2


def test_time_in_which_the_sandbox_was_frozen_counts(world: World, probe: DsqlProbe) -> None:
    """A monotonic clock that stands still would keep a session for days."""
    world.queries = [[(0.0, NOBODY)] * 2, [(0.0, NOBODY)]]
    look(probe, world)
    world.frozen_s += LOGIN_AFTER_S + 1
    look(probe, world)
    assert len(world.opened) == 2


def test_an_open_connection_is_used_for_as_long_as_no_login_succeeds(world: World, probe: DsqlProbe) -> None:
    """A cluster at its limit for two hours. DSQL itself ends the session, which is no verdict."""
    world.queries = [[(0.0, NOBODY)] * 200]
    look(probe, world)
    for _ in range(144):
        world.now += 50
        world.connects = [(0.0, OVERLOAD)]
        assert seen(look(probe, world)) == CROWDED
    world.frozen_s += 7200
    world.connects = [(0.0, OVERLOAD)]
    assert seen(look(probe, world)) == CROWDED


def test_a_drain_that_was_read_beside_a_failed_login_is_in_the_report(world: World, probe: DsqlProbe) -> None:
    """The sandbox must remember it for when the intents cannot be read."""
    world.queries = [[(0.0, NOBODY), (0.0, DRAIN)]]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    world.connects = [(0.0, SessionError(Reason.REFUSED))] * 2
    report = look(probe, world)
    assert seen(report) == (ProbeOutcome.FAIL, "refused", None)
    assert report.intents is not None
    assert report.intents["us-east-1"].forced is Forced.DRAIN


def test_a_slow_rejection_is_no_slow_login(world: World, probe: DsqlProbe) -> None:
    """The second login has no time left; the first one's reason counts."""
    world.queries = [[(0.0, NOBODY)] * 2]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    world.connects = [(0.55, SessionError(Reason.LOGIN_REJECTED, "28000"))] * 2
    assert seen(look(probe, world)) == (ProbeOutcome.FAIL, "login_rejected", None)


def test_a_successor_that_has_not_answered_replaces_nothing(world: World, probe: DsqlProbe) -> None:
    """A slow connection that answers is worth more than a new one that is silent."""
    world.connects = [(0.01, []), (0.2, [])]
    world.queries = [[(0.0, NOBODY), (0.45, NOBODY)], [(NEVER, NOBODY)]]
    look(probe, world)
    assert seen(look(probe, world)) == PASSED
    assert [session.closed for session in world.sessions] == [False, True]


def test_one_failed_statement_beside_a_slow_connection_is_tried_again(world: World, probe: DsqlProbe) -> None:
    """As beside a quick one."""
    world.queries = [[(0.0, NOBODY), (0.5, NOBODY)], [(0.0, code("XX000"))], [(0.0, NOBODY)]]
    look(probe, world)
    assert seen(look(probe, world)) == PASSED


def test_an_answer_of_a_round_that_broke_off_is_never_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour asleep later it would hide a drain."""
    probe = probe_of(world, monkeypatch, region=None)
    world.queries = [[(0.0, NOBODY), (0.02, NOBODY)], [(0.0, DRAIN)] * 2]
    look(probe, world)
    assert probe.ask() is not None
    world.now += 0.5
    world.frozen_s += 3600
    assert probe.ask() is None
    report = look(probe, world)
    assert report.intents
    assert world.sessions[0].closed


@pytest.mark.parametrize("reason", LOGIN_FAILURES)
def test_a_new_login_that_fails_twice_is_a_failure_though_the_open_connection_answers(
    world: World, probe: DsqlProbe, reason: Reason
) -> None:
    """An application's connections begin with one. The open connection stays, and the next login counts."""
    world.queries = [[(0.0, NOBODY)] * 4, [(0.0, NOBODY)]]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    world.connects = [(0.01, SessionError(reason))] * 4
    for _ in range(2):
        assert seen(look(probe, world)) == (ProbeOutcome.FAIL, reason.value, None)
    assert len(world.opened) == 5
    assert not world.sessions[0].closed
    assert seen(look(probe, world)) == PASSED
    assert world.sessions[0].closed


@pytest.mark.parametrize("reason", LOGIN_FAILURES)
def test_a_new_login_that_fails_once_is_tried_again(world: World, probe: DsqlProbe, reason: Reason) -> None:
    """Inside the same deadline, with an open connection and without."""
    world.connects = [(0.01, SessionError(reason)), (0.01, [])] * 2
    world.queries = [[(0.0, NOBODY)] * 2, [(0.0, NOBODY)]]
    assert seen(look(probe, world)) == PASSED
    world.now += LOGIN_AFTER_S + 1
    assert seen(look(probe, world)) == PASSED
    assert len(world.opened) == 4


def test_a_statement_that_fails_on_the_new_connection_is_tried_on_another(
    world: World, probe: DsqlProbe
) -> None:
    """The open connection answered a moment ago; the second failure counts."""
    world.queries = [[(0.0, NOBODY)] * 4, [(0.0, code("XX000"))], [(0.0, NOBODY)]]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    assert seen(look(probe, world)) == PASSED
    assert [session.closed for session in world.sessions] == [True, True, False]
    world.now += LOGIN_AFTER_S + 1
    world.sessions[-1]._steps = [(0.0, NOBODY)] * 4
    world.queries = [[(0.0, code("XX000"))], [(0.0, code("XX000"))]]
    assert seen(look(probe, world)) == (ProbeOutcome.FAIL, "server_error", None)
    assert world.open_sessions == 1


def test_too_many_connections_are_no_failure_while_the_open_one_answers(
    world: World, probe: DsqlProbe
) -> None:
    """A herd must not take the survivor down. One login is tried, and the next one not before its time."""
    world.queries = [[(0.0, NOBODY)] * 4]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    world.connects = [(0.01, OVERLOAD)] * 2
    assert [seen(look(probe, world)) for _ in range(2)] == [CROWDED, PASSED]
    assert len(world.opened) == 2
    world.now += LOGIN_AFTER_S + 1
    assert seen(look(probe, world)) == CROWDED
    assert len(world.opened) == 3


def test_logins_that_are_silent_fail_after_their_patience(world: World, probe: DsqlProbe) -> None:
    """The first may be an idle cluster that wakes; each probe tries again, with nearly all of its time."""
    world.queries = [[(0.0, NOBODY)] * 30, [(0.0, NOBODY)] * 2]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    world.connects = [(NEVER, [])] * 20
    began = world.now
    found = []
    while world.connects:
        at = world.now - began
        found.append((at, seen(look(probe, world))))
        world.now += 0.5
    assert [(at, what) for at, what in found if at < PATIENCE_S - 1.5] == [
        (at, SLOW) for at, _ in found if at < PATIENCE_S - 1.5
    ]
    late = [what for at, what in found if at > PATIENCE_S]
    assert late
    assert set(late) == {(ProbeOutcome.FAIL, "timeout", None)}
    world.connects = [(0.9, [])]
    assert seen(look(probe, world)) == PASSED
    assert seen(look(probe, world)) == PASSED


def test_a_new_connection_that_logs_in_and_is_silent_counts_as_a_silent_login(
    world: World, probe: DsqlProbe
) -> None:
    """To an application it is as dead; it never replaces the open connection."""
    silent_ones: list[list[Step]] = [[(NEVER, NOBODY)] for _ in range(20)]
    world.queries = [[(0.0, NOBODY)] * 30, *silent_ones]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    began = world.now
    assert seen(look(probe, world)) == SLOW
    while world.now - began < PATIENCE_S:
        look(probe, world)
    assert seen(look(probe, world)) == (ProbeOutcome.FAIL, "timeout", None)
    assert not world.sessions[0].closed


def test_the_publisher_has_no_patience_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It rechecks a failure within the round."""
    probe = probe_of(world, monkeypatch, region=None)
    world.queries = [[(0.0, NOBODY)] * 2]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    world.connects = [(NEVER, [])]
    assert seen(look(probe, world)) == (ProbeOutcome.FAIL, "timeout", None)


def test_a_fault_of_ours_at_a_new_login_is_a_warning(world: World, probe: DsqlProbe) -> None:
    """The open connection answered: the endpoint passes."""

    def none() -> Credentials:
        raise NoCredentialsError("none")

    world.queries = [[(0.0, NOBODY)] * 2]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    world.credentials = none
    assert seen(look(probe, world)) == (ProbeOutcome.PASS, "ok", "no_credentials")


def test_open_connections_are_not_asked_together_when_a_login_is_due(world: World, probe: DsqlProbe) -> None:
    """The probe's own run tries it."""
    world.queries = [[(0.0, NOBODY)] * 2, [(0.0, NOBODY)] * 2]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    assert probe.ask() is None
    assert seen(look(probe, world)) == PASSED
    assert len(world.opened) == 2
    assert probe.ask() is not None


@pytest.mark.parametrize(
    "end",
    [
        SessionError(Reason.RESET),
        SessionError(Reason.UNAVAILABLE, "57P01"),
        SessionError(Reason.TIMEOUT),
        SessionError(Reason.BAD_ANSWER),
        code("XX000"),
    ],
    ids=str,
)
def test_an_open_connection_that_fails_is_never_a_verdict(
    world: World, probe: DsqlProbe, end: SessionError
) -> None:
    """It costs one fresh connection inside the same deadline."""
    world.queries = [[(0.0, NOBODY), (0.0, end)], [(0.0, NOBODY)]]
    look(probe, world)
    report = look(probe, world)
    assert seen(report) == PASSED
    assert report.observation.reconnected
    assert len(world.opened) == 2
    assert world.sessions[0].closed


def test_a_silent_connection_gets_a_third_of_the_deadline(world: World, probe: DsqlProbe) -> None:
    """A half-open connection leaves the fresh one two thirds."""
    world.queries = [[(0.0, NOBODY), (NEVER, NOBODY)], [(0.5, NOBODY)]]
    look(probe, world)
    started = world.now
    report = look(probe, world)
    assert seen(report) == PASSED
    assert report.observation.reconnected
    assert world.now - started == pytest.approx(1 / 3 + 0.01 + 0.5)
    # The silent one is gone, the fresh one is kept.
    assert [session.closed for session in world.sessions] == [True, False]


@pytest.mark.parametrize("takes_s", [0.4, 0.7, 0.95])
def test_a_slow_database_is_not_a_dead_one(world: World, probe: DsqlProbe, takes_s: float) -> None:
    """A reused connection that answers late but in time passes, also where a fresh one would be too slow."""
    world.connects = [(0.01, []), (takes_s, [])]
    world.queries = [[(0.0, NOBODY), (takes_s, NOBODY), (0.0, NOBODY)], [(takes_s, NOBODY), (0.0, NOBODY)]]
    look(probe, world)
    report = look(probe, world)
    assert seen(report) == PASSED
    assert report.observation.latency_ms is not None
    assert takes_s * 1000 <= report.observation.latency_ms <= 1000
    # One stays open, and is used on.
    assert seen(look(probe, world)) == PASSED
    assert world.open_sessions == 1


def test_a_busy_database_that_takes_no_more_connections_still_counts(world: World, probe: DsqlProbe) -> None:
    """The fresh connection is refused at once; the open one has the rest of the deadline."""
    world.connects = [(0.01, []), (0.0, SessionError(Reason.TOO_MANY_CONNECTIONS))]
    world.queries = [[(0.0, NOBODY), (0.9, NOBODY)]]
    look(probe, world)
    assert seen(look(probe, world)) == CROWDED


@pytest.mark.parametrize(("late", "expected"), [("42P01", UNREADABLE), ("40001", None), ("XX000", None)])
def test_a_late_answer_is_judged_like_any_other(
    world: World, probe: DsqlProbe, late: str, expected: tuple[ProbeOutcome, str, str | None] | None
) -> None:
    """An unreadable intent and a conflict prove life; another error leaves the fresh connection's verdict."""
    world.connects = [(0.01, []), (NEVER, [])]
    world.queries = [[(0.0, NOBODY), (0.6, code(late))]]
    look(probe, world)
    if late == "40001":
        expected = (ProbeOutcome.PASS, "conflict", "intent_unreadable")
    assert seen(look(probe, world)) == (expected or (ProbeOutcome.FAIL, "timeout", None))


def test_a_frozen_database_fails_in_time_and_leaves_nothing_open(world: World, probe: DsqlProbe) -> None:
    """Neither the open connection nor a fresh one answers."""
    world.connects = [(0.01, []), (NEVER, [])]
    world.queries = [[(0.0, NOBODY), (NEVER, NOBODY)]]
    look(probe, world)
    report = look(probe, world)
    assert seen(report) == (ProbeOutcome.FAIL, "timeout", None)
    assert report.observation.latency_ms is None
    assert world.open_sessions == 0


@pytest.mark.parametrize("reused", [False, True], ids=["new", "open"])
@pytest.mark.parametrize("stood_still_s", [1.3, 3600.0])
def test_a_process_that_stood_still_looks_again(
    world: World, probe: DsqlProbe, *, reused: bool, stood_still_s: float
) -> None:
    """The time went by without us: what was missed says nothing of the endpoint, whose state decides."""
    jump: Step = (-stood_still_s, NOBODY)  # not the database's time, but the clock's
    world.queries = [[(0.0, NOBODY)] * 9] if reused else []
    if reused:
        look(probe, world)
        world.queries = [[(0.0, NOBODY)]]
        world.sessions[0]._steps[0] = jump
    else:
        world.queries = [[jump], [(0.0, NOBODY)]]
    report = probe.run(world.now + 1.0)
    assert seen(report) == PASSED


def test_a_process_that_stood_still_during_a_login_warns_of_nothing(world: World, probe: DsqlProbe) -> None:
    """The login that was due had no time; the second look gives it one."""
    world.queries = [[(0.0, NOBODY)] * 4, [(-5.0, NOBODY)], [(0.0, NOBODY)]]
    look(probe, world)
    world.now += LOGIN_AFTER_S + 1
    assert seen(probe.run(world.now + 1.0)) == PASSED
    assert world.open_sessions == 1


def test_a_wait_that_ends_a_little_late_is_a_time_out(world: World, probe: DsqlProbe) -> None:
    """A busy machine wakes no thread exactly on time: that is no reason to take the time twice."""
    world.queries = [[(-1.2, NOBODY)]]
    started = world.now
    assert seen(probe.run(started + 1.0)) == (ProbeOutcome.FAIL, "timeout", None)
    assert world.now - started == pytest.approx(1.21)


def test_a_process_that_stood_still_while_the_database_is_frozen_fails(
    world: World, probe: DsqlProbe
) -> None:
    """The second look has a deadline of its own, and there is no third."""
    world.queries = [[(-5.0, NOBODY)], [(-5.0, NOBODY)]]
    started = world.now
    assert seen(probe.run(started + 1.0)) == (ProbeOutcome.FAIL, "timeout", None)
    assert world.now - started == pytest.approx(10, abs=0.1)
    assert world.open_sessions == 0


@pytest.mark.parametrize(
    "reason",
    [
        *LOGIN_FAILURES,
        Reason.NAME,
        Reason.TIMEOUT,
        Reason.TOO_MANY_CONNECTIONS,
        Reason.CONFIGURATION,
        Reason.INTERNAL,
    ],
)
def test_a_connect_that_fails_gives_its_reason(world: World, probe: DsqlProbe, reason: Reason) -> None:
    """Reasons of our own make it unknown, with themselves as the warning; all others a fail."""
    world.connects = [(0.1, SessionError(reason))] * 2
    own = reason in {Reason.CONFIGURATION, Reason.INTERNAL}
    expected = (
        (ProbeOutcome.UNKNOWN, reason.value, reason.value) if own else (ProbeOutcome.FAIL, reason.value, None)
    )
    assert seen(look(probe, world)) == expected


def test_a_fresh_connection_whose_query_fails_is_not_kept(world: World, probe: DsqlProbe) -> None:
    """In any state, the next probe starts again."""
    world.queries = [[(0.0, code("XX000"))], [(NEVER, NOBODY)], [(0.0, [])], [(0.0, NOBODY)]]
    assert [seen(look(probe, world))[:2] for _ in range(4)] == [
        (ProbeOutcome.FAIL, "server_error"),
        (ProbeOutcome.FAIL, "timeout"),
        (ProbeOutcome.FAIL, "bad_answer"),
        (ProbeOutcome.PASS, "ok"),
    ]
    assert len(world.opened) == 4


def test_a_failed_query_shows_its_sqlstate(world: World, probe: DsqlProbe) -> None:
    """The code goes into the log."""
    world.queries = [[(0.0, code("53100"))]]
    assert look(probe, world).observation.sqlstate == "53100"


@pytest.mark.parametrize("sqlstate", ["40001", "OC000", "OC001"])
def test_a_conflict_is_retried_once(world: World, probe: DsqlProbe, sqlstate: str) -> None:
    """On the same connection; a second conflict is a pass all the same: the database is alive."""
    world.queries = [[(0.0, code(sqlstate)), (0.0, DRAIN), (0.0, code(sqlstate)), (0.0, code(sqlstate))]]
    first = look(probe, world)
    assert seen(first) == PASSED
    assert first.intents is not None
    second = look(probe, world)
    assert seen(second) == (ProbeOutcome.PASS, "conflict", "intent_unreadable")
    assert second.intents is None
    assert (len(world.asked), len(world.opened)) == (4, 1)


@pytest.mark.parametrize(
    "answer",
    [code("42P01"), code("3F000"), code("42501"), [("us-east-1", "weight", "", "", None)]],
    ids=["42P01", "3F000", "42501", "malformed"],
)
def test_an_unreadable_intent_is_a_pass_with_a_warning(
    world: World, probe: DsqlProbe, answer: Rows | SessionError
) -> None:
    """The database answered; intents unread is not the same as none. The connection is kept."""
    world.queries = [[(0.03, answer)] * 2]
    for _ in range(2):
        report = look(probe, world)
        assert seen(report) == UNREADABLE
        assert report.intents is None
        assert report.observation.latency_ms == pytest.approx(30)
    assert len(world.opened) == 1


def test_without_credentials_nothing_is_contacted(world: World, probe: DsqlProbe) -> None:
    """A fault of ours says nothing about the endpoint; an open connection needs none."""

    def none() -> Credentials:
        raise NoCredentialsError("none")

    world.credentials, keep = none, world.credentials
    assert seen(look(probe, world)) == (ProbeOutcome.UNKNOWN, "no_credentials", "no_credentials")
    assert world.opened == []
    world.credentials = keep
    world.queries = [[(0.0, NOBODY)] * 2]
    look(probe, world)
    world.credentials = none
    assert seen(look(probe, world)) == PASSED


@pytest.mark.parametrize(("stalled", "reason"), [(True, "timeout"), (False, "name")])
def test_a_name_that_does_not_resolve_fails(
    world: World, probe: DsqlProbe, stalled: bool, reason: str
) -> None:
    """A stall is a timeout; a name without address has its own reason."""
    world.addresses = NameNotResolvedError(stalled=stalled)
    assert seen(look(probe, world)) == (ProbeOutcome.FAIL, reason, None)


def test_a_defect_leaves_no_connection_behind(
    world: World, probe: DsqlProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What broke off half-way must not be read by the next probe."""
    world.queries = [[(0.0, NOBODY), (0.0, NOBODY)], [(0.0, NOBODY)]]
    look(probe, world)
    with monkeypatch.context() as patched:
        patched.setattr(beacon.dsql.probe, "parse_intents", lambda _rows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            look(probe, world)
    assert world.open_sessions == 0
    assert seen(look(probe, world)) == PASSED


# ---- asked together with others


def test_an_open_connection_is_asked_and_heard_without_waiting(world: World, probe: DsqlProbe) -> None:
    """What comes is the report, with the latency since it was asked."""
    world.queries = [[(0.01, NOBODY), (0.05, NOBODY)]]
    assert probe.ask() is None  # nothing is open yet
    look(probe, world)
    assert (probe.ask(), probe.asked) == (7, True)
    assert (probe.hear(), probe.asked) == (None, True)
    world.now += 0.05
    report = probe.hear()
    assert report is not None
    assert seen(report) == PASSED
    assert report.observation.latency_ms == pytest.approx(50, abs=5)
    assert not probe.asked
    assert probe.hear() is None


def test_a_silent_answer_is_awaited_further_by_the_probe_itself(world: World, probe: DsqlProbe) -> None:
    """Nothing is asked twice while its time is not over."""
    world.queries = [[(0.01, NOBODY), (0.3, NOBODY)]]
    look(probe, world)
    started = world.now
    probe.ask()
    world.now += 0.2
    assert probe.hear() is None
    report = probe.run(started + 1.0)
    assert seen(report) == PASSED
    assert (len(world.asked), len(world.opened)) == (2, 1)
    assert world.now == pytest.approx(started + 0.3, abs=0.01)


def test_an_answer_that_does_not_come_also_gets_a_fresh_connection(world: World, probe: DsqlProbe) -> None:
    """In what is left of the deadline, counted from the question."""
    world.queries = [[(0.01, NOBODY), (9.0, NOBODY)], [(0.01, NOBODY)]]
    look(probe, world)
    started = world.now
    probe.ask()
    world.now += 0.34
    assert probe.hear() is None
    report = probe.run(started + 1.0)
    assert seen(report) == PASSED
    assert report.observation.reconnected
    assert world.now < started + 0.5


@pytest.mark.parametrize("when", ["asked", "heard"])
def test_an_open_connection_that_breaks_while_asked_is_no_verdict(
    world: World, probe: DsqlProbe, when: str
) -> None:
    """One fresh connection, which counts as a reconnect."""
    step: Step = (-1.0, []) if when == "asked" else (0.0, SessionError(Reason.RESET))
    world.queries = [[(0.01, NOBODY), step], [(0.01, NOBODY)]]
    look(probe, world)
    assert (probe.ask() is None) == (when == "asked")
    assert probe.hear() is None
    assert not probe.asked
    report = look(probe, world)
    assert seen(report) == PASSED
    assert report.observation.reconnected
    assert not look_again(probe, world).observation.reconnected


def look_again(probe: DsqlProbe, world: World) -> ProbeReport:
    world.sessions[-1]._steps.append((0.01, NOBODY))
    return look(probe, world)


def test_an_unreadable_intent_is_heard_as_a_pass_with_a_warning(world: World, probe: DsqlProbe) -> None:
    """The database answered."""
    world.queries = [[(0.01, NOBODY), (0.0, code("42501"))]]
    look(probe, world)
    probe.ask()
    report = probe.hear()
    assert report is not None
    assert seen(report) == UNREADABLE


def test_a_conflict_that_is_heard_is_asked_once_more_by_the_probe_itself(
    world: World, probe: DsqlProbe
) -> None:
    """Over the same connection."""
    world.queries = [[(0.01, NOBODY), (0.0, code("40001")), (0.01, NOBODY)]]
    look(probe, world)
    probe.ask()
    assert (probe.hear(), probe.asked) == (None, False)
    assert seen(look(probe, world)) == PASSED
    assert len(world.opened) == 1
