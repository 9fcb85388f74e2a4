"""The fault matrix of `/health`: status, reason and time for each fault of a real front and real SQL."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from beacon_lab.dsql.client_connection import ClientConnection
from beacon_lab.dsql.relay import Relay
from beacon_lab.faults import Extent, FaultKind
from beacon_lab.network.pki import Authority

if TYPE_CHECKING:
    from tests.lab.health.conftest import Answer, Sandbox, Station

pytestmark = pytest.mark.lab

#: What a promised deadline may be overrun by.
SLACK_S = 0.05
#: A machine that others use is late at times, so a promise about time gets this many tries.
TRIES = 3
PASS = (200, "pass", "ok")
UNREADABLE = (200, "warn", "intent_unreadable")
DRAINED = (503, "fail", "drained")
LOOPBACK = "127.0.0.1"


def fail(reason: str) -> tuple[int, str, str]:
    return (503, "fail", reason)


def put_to_the_test(
    station: Station, arrange: Callable[[Station], Sandbox], expected: tuple[int, str, str]
) -> Answer:
    """Break, probe, repair: the verdict must be right each time, the time in one of the tries."""
    for _ in range(TRIES):
        sandbox = arrange(station)
        answer = sandbox.ask()
        assert answer.verdict == expected
        station.mend()
        if answer.took_s <= sandbox.deadline_s + SLACK_S:
            return answer
    pytest.fail(f"the answer took {answer.took_s:.3f} s, the deadline is {sandbox.deadline_s} s")


@dataclass(frozen=True)
class Row:
    """A fault, and the verdict that it must lead to."""

    fault: str
    arrange: Callable[[Station], Sandbox]
    expected: tuple[int, str, str]


# ---- what the network and the server do

BREAKS: dict[str, Callable[[Station], object]] = {
    "frozen": lambda station: station.inject(FaultKind.DSQL_FREEZE),
    "silent after login": lambda station: station.inject(FaultKind.DSQL_SILENT),
    "refusing": lambda station: station.inject(FaultKind.DSQL_REFUSE),
    "resetting": lambda station: station.inject(FaultKind.DSQL_RESET),
    "denying": lambda station: station.inject(FaultKind.DSQL_DENY),
    "dripping": lambda station: station.inject(FaultKind.DSQL_SLOW, delay_ms=20, drip_bytes=1),
    "too slow": lambda station: station.inject(FaultKind.DSQL_SLOW, delay_ms=60_000),
    "slow": lambda station: station.inject(FaultKind.DSQL_SLOW, delay_ms=5),
}
VERDICTS = {
    "frozen": fail("timeout"),
    "silent after login": fail("timeout"),
    "refusing": fail("refused"),
    "resetting": fail("reset"),
    "denying": fail("login_rejected"),
    "dripping": fail("timeout"),
    "too slow": fail("timeout"),
    "slow": PASS,
}


@pytest.mark.parametrize("fault", list(BREAKS))
@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "open connection"])
def test_a_broken_endpoint_is_answered_in_time(station: Station, fault: str, *, reused: bool) -> None:
    """Over a new connection and over an open one; healed, the same sandbox passes again."""

    def arrange(station: Station) -> Sandbox:
        sandbox = station.warm() if reused else station.sandbox()
        BREAKS[fault](station)
        arranged.append(sandbox)
        return sandbox

    arranged: list[Sandbox] = []
    put_to_the_test(station, arrange, VERDICTS[fault])
    assert arranged[-1].ask().verdict == PASS


@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "open connection"])
def test_a_frozen_database_is_answered_within_the_default_deadline(station: Station, *, reused: bool) -> None:
    """One second, as deployed."""

    def arrange(station: Station) -> Sandbox:
        sandbox = station.warm(deadline_ms=1000) if reused else station.sandbox(deadline_ms=1000)
        station.inject(FaultKind.DSQL_FREEZE)
        return sandbox

    answer = put_to_the_test(station, arrange, fail("timeout"))
    assert answer.took_s > 0.9


LOSSES: dict[str, Callable[[Station], object]] = {
    "backend killed": lambda station: station.kill_backends(),
    "half-open": lambda station: station.inject(FaultKind.DSQL_HALFOPEN),
    "reset": lambda station: station.call(lambda: station.dsql.front._each(ClientConnection.reset)),
    "ended by the server": lambda station: station.call(
        lambda: station.dsql.front._each(ClientConnection.terminate)
    ),
    "frozen alone": lambda station: station.call(lambda: station.dsql.front._each(ClientConnection.freeze)),
}


@pytest.mark.parametrize("loss", list(LOSSES))
def test_a_lost_connection_costs_one_reconnect_and_is_no_verdict(
    station: Station, loss: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """However it was lost while the sandbox was frozen: 200 inside the deadline, then at once again."""

    def arrange(station: Station) -> Sandbox:
        sandbox = station.warm()
        LOSSES[loss](station)
        arranged.append(sandbox)
        capsys.readouterr()
        return sandbox

    arranged: list[Sandbox] = []
    put_to_the_test(station, arrange, PASS)
    assert '"Reconnects":1' in capsys.readouterr().out
    assert arranged[-1].ask().verdict == PASS
    assert "Reconnects" not in capsys.readouterr().out


def test_a_reset_in_the_middle_of_a_query_is_reported(station: Station) -> None:
    """The SELECT waits for a lock when the RST comes, and so does the one on the fresh connection."""
    with locked_intent(station):
        sandbox = station.sandbox()
        resetter = threading.Timer(0.1, lambda: station.inject(FaultKind.DSQL_RESET))
        resetter.start()
        answer = sandbox.ask()
        resetter.join()
    assert answer.verdict == fail("reset")
    assert answer.took_s <= sandbox.deadline_s + SLACK_S


@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "open connection"])
def test_a_query_that_waits_for_a_lock_is_a_time_out(station: Station, *, reused: bool) -> None:
    """DSQL knows no statement_timeout; the deadline is ours."""

    def arrange(station: Station) -> Sandbox:
        return station.warm() if reused else station.sandbox()

    sandbox = arrange(station)
    with locked_intent(station):
        answer = sandbox.ask()
    assert answer.verdict == fail("timeout")
    assert answer.took_s <= sandbox.deadline_s + SLACK_S
    assert sandbox.ask().verdict == PASS


@contextmanager
def locked_intent(station: Station) -> Iterator[None]:
    """No role can read the intents."""
    with station.dsql.postgres._connect() as connection:
        connection.execute("BEGIN")
        connection.execute("LOCK TABLE beacon.intent IN ACCESS EXCLUSIVE MODE")
        yield


# ---- logging in


def with_certificate(name: str) -> Callable[[Station], Sandbox]:
    def arrange(station: Station) -> Sandbox:
        dsql = station.dsql
        host, an_hour_ago = dsql.front.host, datetime.now(UTC) - timedelta(hours=1)
        shown = {
            "wrong name": lambda: dsql.authority.issue("wrong-name", dns=["z" + host[1:]]),
            "expired": lambda: dsql.authority.issue("expired", dns=[host], not_after=an_hour_ago),
            "other authority": lambda: Authority.create(dsql.authority.directory / "other").issue(
                "unknown", dns=[host]
            ),
        }[name]()
        station.call(lambda: dsql.front.present(shown))
        return station.sandbox()

    return arrange


def with_refusal(sqlstate: str, text: str) -> Callable[[Station], Sandbox]:
    def arrange(station: Station) -> Sandbox:
        station.dsql.front.answer_logins_with(sqlstate, text)
        return station.sandbox()

    return arrange


def without_sni(station: Station) -> Sandbox:
    station.patch.setenv("PGSSLSNI", "0")
    return station.sandbox()


def with_a_key_that_is_not_granted(station: Station) -> Sandbox:
    station.patch.setenv("AWS_ACCESS_KEY_ID", station.dsql.operator.access_key_id)
    station.patch.setenv("AWS_SECRET_ACCESS_KEY", station.dsql.operator.secret_access_key)
    return station.sandbox()


def with_a_clock_that_is_slow(station: Station) -> Sandbox:
    return station.sandbox(now=lambda: datetime.now(UTC) - timedelta(seconds=1000))


LOGINS = [
    Row("certificate of another name", with_certificate("wrong name"), fail("certificate")),
    Row("certificate expired", with_certificate("expired"), fail("certificate")),
    Row("certificate of another authority", with_certificate("other authority"), fail("certificate")),
    Row("no SNI", without_sni, fail("login_rejected")),
    Row("role not granted to this key", with_a_key_that_is_not_granted, fail("login_rejected")),
    Row("token expired before it is used", with_a_clock_that_is_slow, fail("login_rejected")),
    *(
        Row(f"{sqlstate} {text[:20]}", with_refusal(sqlstate, text), fail(reason))
        for sqlstate, text, reason in (
            ("53300", "Unable to accept connection, too many open connections.", "too_many_connections"),
            ("53400", "Unable to accept connection, rate exceeded.", "too_many_connections"),
            ("28000", "unable to accept connection, access denied", "login_rejected"),
            ("28P01", 'password authentication failed for user "shop_test"', "login_rejected"),
            ("57P03", "the database system is starting up", "unavailable"),
            # The words may change: the code decides.
            ("53300", "no", "too_many_connections"),
            ("53400", "no", "too_many_connections"),
            ("28000", "too many FATAL:  57P03", "login_rejected"),
            ("57P03", "no", "unavailable"),
            ("XX000", "no", "server_error"),
        )
    ),
]


@pytest.mark.parametrize("row", LOGINS, ids=lambda row: row.fault)
def test_a_login_that_fails_has_its_reason(station: Station, row: Row) -> None:
    """TLS, SNI, token and what the server refuses with."""
    put_to_the_test(station, row.arrange, row.expected)


@pytest.mark.parametrize("sqlstate", ["53300", "53400", "57P03"])
def test_a_server_that_takes_no_more_connections_serves_the_open_one(station: Station, sqlstate: str) -> None:
    """Overload is not "down" as long as the SELECT is answered."""
    sandbox = station.warm()
    station.dsql.front.answer_logins_with(sqlstate, "no")
    assert sandbox.ask().verdict == PASS


def test_a_reconnect_signs_a_new_token(station: Station) -> None:
    """Two hours on the first token has long expired; the backend is gone and the front's clock has moved."""
    ahead = timedelta()
    station.patch.setattr(station.dsql.front._gate, "clock", lambda: datetime.now(UTC) + ahead)
    sandbox = station.warm(now=lambda: datetime.now(UTC) + ahead)
    ahead = timedelta(hours=2)
    station.kill_backends()
    assert sandbox.ask().verdict == PASS
    # The front does judge: without the new time the token is refused.
    assert station.sandbox().ask().verdict == fail("login_rejected")


def test_without_credentials_it_is_a_warning_and_nothing_is_contacted(station: Station) -> None:
    """A fault of our own says nothing about the endpoint; an open connection stays in use."""
    station.patch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shop-test-health")
    sandbox, warm = station.sandbox(), station.warm()
    station.patch.delenv("AWS_SECRET_ACCESS_KEY")
    before = station.dsql.front.connections
    assert sandbox.ask().verdict == (200, "warn", "no_credentials")
    assert station.dsql.front.connections == before
    assert warm.ask().verdict == PASS


# ---- name resolution


@pytest.fixture
def stalled() -> Iterator[Callable[[str], list[str]]]:
    """A name service that takes six seconds, or until the test is over."""
    over = threading.Event()

    def lookup(_host: str) -> list[str]:
        over.wait(6.0)
        raise OSError("no answer")

    yield lookup
    over.set()


def test_a_name_service_that_stalls_does_not_hold_the_answer(
    station: Station, stalled: Callable[[str], list[str]]
) -> None:
    """Six seconds of silence, 503 in time; and again, without a second look-up beside the first."""
    before = threading.active_count()
    sandbox = station.sandbox(lookup=stalled)
    for _ in range(TRIES):
        put_to_the_test(station, lambda _station: sandbox, fail("timeout"))
    assert threading.active_count() <= before + 1


def test_the_system_resolver_may_stall_too(
    station: Station,
    stalled: Callable[[str], list[str]],
    answers_to_names: Callable[[Callable[[str], list[str]]], None],
) -> None:
    """The same through getaddrinfo, as in Lambda."""
    answers_to_names(stalled)
    put_to_the_test(station, lambda found: found.sandbox(BEACON_DIAL=""), fail("timeout"))


def test_a_name_that_does_not_exist_has_its_own_reason(station: Station) -> None:
    """It fails at once."""

    def lookup(host: str) -> list[str]:
        raise OSError(-2, "Name or service not known", host)

    assert station.sandbox(lookup=lookup).ask().verdict == fail("name")


def test_a_known_address_serves_while_the_name_service_stalls(
    station: Station, stalled: Callable[[str], list[str]]
) -> None:
    """The connection is lost, the look-up stalls, the last good address is dialled: 200."""
    lookups = [lambda _host: [LOOPBACK], stalled]

    def lookup(host: str) -> list[str]:
        return (lookups.pop(0) if len(lookups) > 1 else lookups[0])(host)

    sandbox = station.warm(lookup=lookup)
    station.kill_backends()
    answer = sandbox.ask()
    assert answer.verdict == PASS
    assert answer.took_s <= sandbox.deadline_s + SLACK_S


def test_a_dead_address_does_not_use_up_the_time_of_the_next(station: Station) -> None:
    """The first of two accepts and is silent."""
    silent = "127.7.7.7"
    with socket.create_server((silent, station.dsql.front.port)):
        sandbox = station.sandbox(lookup=lambda _host: [silent, LOOPBACK])
        answer = sandbox.ask()
    assert answer.verdict == PASS
    assert answer.took_s <= sandbox.deadline_s + SLACK_S


# ---- what the statement meets


@pytest.mark.parametrize("sqlstate", ["40001", "OC000", "OC001"])
@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "open connection"])
def test_a_conflict_is_retried_once_and_never_a_fail(
    station: Station, sqlstate: str, *, reused: bool
) -> None:
    """Once: as if nothing had been; twice: the database is alive, the intent unread."""
    sandbox = station.warm() if reused else station.sandbox()
    station.fail_statements(1, sqlstate)
    assert sandbox.ask().verdict == PASS
    station.fail_statements(2, sqlstate)
    assert sandbox.ask().verdict == UNREADABLE
    assert sandbox.ask().verdict == PASS


UNREADABLES: dict[str, tuple[str, str]] = {
    "schema dropped (42P01)": ("ALTER SCHEMA beacon RENAME TO gone", "ALTER SCHEMA gone RENAME TO beacon"),
    "table dropped (42P01)": (
        "ALTER TABLE beacon.intent RENAME TO gone",
        "ALTER TABLE beacon.gone RENAME TO intent",
    ),
    "grant revoked (42501)": (
        "REVOKE SELECT ON beacon.intent FROM shop_test",
        "GRANT SELECT ON beacon.intent TO shop_test",
    ),
    "schema not granted (42501)": (
        "REVOKE USAGE ON SCHEMA beacon FROM shop_test",
        "GRANT USAGE ON SCHEMA beacon TO shop_test",
    ),
}


@pytest.mark.parametrize("cause", list(UNREADABLES))
def test_an_unreadable_intent_warns_and_serves(
    station: Station, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The database answered: 200 warn with a metric, from new and open connections; repaired, pass."""
    breaks, mends = UNREADABLES[cause]
    warm, cold = station.warm(), station.sandbox()
    station.sql(breaks, undo=mends)
    for sandbox in (warm, cold):
        capsys.readouterr()
        assert sandbox.ask().verdict == UNREADABLE
        assert '"IntentUnreadable":1' in capsys.readouterr().out
    station.mend()
    assert warm.ask().verdict == cold.ask().verdict == PASS


def test_a_schema_that_is_not_known_is_unreadable_too(station: Station) -> None:
    """3F000, which PostgreSQL keeps for other statements."""
    sandbox = station.warm()
    station.fail_statements(1, "3F000")
    assert sandbox.ask().verdict == UNREADABLE


@pytest.mark.parametrize("sqlstate", ["XX000", "53100", "42703"])
def test_an_error_that_persists_fails(station: Station, sqlstate: str) -> None:
    """Over the open connection and the fresh one; once alone it costs one reconnect."""
    sandbox = station.warm()
    station.fail_statements(1, sqlstate)
    assert sandbox.ask().verdict == PASS
    station.fail_statements(2, sqlstate)
    assert sandbox.ask().verdict == fail("server_error")


@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "open connection"])
def test_zero_rows_are_no_answer(station: Station, monkeypatch: pytest.MonkeyPatch, *, reused: bool) -> None:
    """The statement always has a row; an empty answer does not mean "no drain"."""
    sandbox = station.warm() if reused else station.sandbox()
    whole = Relay.from_server

    def without_rows(relay: Relay, packet: bytes) -> bytes:
        return b"" if packet[:1] == b"D" else whole(relay, packet)

    monkeypatch.setattr(Relay, "from_server", without_rows)
    assert sandbox.ask().verdict == fail("bad_answer")
    monkeypatch.undo()


def replaced_intent(station: Station, forced: str, notices: int = 0) -> None:
    """Put a view in the table's place that says `forced` (SQL) of every row, after so many notices."""
    shout = f"FOR i IN 1..{notices} LOOP RAISE WARNING 'flood %', repeat('x', 200); END LOOP"
    columns = "service, target, region, beacon.shout() AS forced, reason, actor, until, changed_at"
    station.sql(
        "ALTER TABLE beacon.intent RENAME TO kept",
        f"CREATE FUNCTION beacon.shout() RETURNS text LANGUAGE plpgsql AS"
        f" $$ BEGIN {shout}; RETURN {forced}; END $$",
        f"CREATE VIEW beacon.intent AS SELECT {columns} FROM beacon.kept",  # noqa: S608 - the test's own
        "GRANT SELECT ON beacon.intent TO shop_test",
    )
    for statement in (
        "DROP VIEW beacon.intent",
        "DROP FUNCTION beacon.shout",
        "ALTER TABLE beacon.kept RENAME TO intent",
    ):
        station._undo.append(statement)


def test_a_forced_value_that_is_not_known_is_unreadable(station: Station) -> None:
    """A later version's intent: reported, never guessed at."""
    sandbox = station.warm()
    replaced_intent(station, "'weight'")
    assert sandbox.ask().verdict == UNREADABLE


def test_a_flood_of_notices_is_read_past_or_cut_off(
    station: Station, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two thousand of them are read past; without an end they are a time-out in time. None is printed."""
    sandbox = station.warm(deadline_ms=1000)
    capfd.readouterr()
    replaced_intent(station, "NULL", 500)
    assert sandbox.ask().verdict == PASS
    station.mend()

    def arrange(station: Station) -> Sandbox:
        sandbox = station.warm()
        replaced_intent(station, "NULL", 1_000_000_000)
        return sandbox

    put_to_the_test(station, arrange, fail("timeout"))
    captured = capfd.readouterr()
    assert "flood" not in captured.out + captured.err


# ---- operators


def test_a_drain_is_seen_by_every_sandbox_at_once_and_ends_at_its_release(station: Station) -> None:
    """No restart, no cache: the next answer says it."""
    warm, cold = station.warm(), station.sandbox()
    station.drain()
    assert warm.ask().verdict == cold.ask().verdict == DRAINED
    station.release()
    assert warm.ask().verdict == cold.ask().verdict == PASS


@pytest.mark.parametrize("until", ["now() - interval '1 second'", "now()", "'-infinity'"])
def test_a_drain_that_is_over_is_none(station: Station, until: str) -> None:
    """Judged in the SELECT, by the database's clock."""
    if until == "'-infinity'":
        station.sql(
            "ALTER TABLE beacon.intent DROP CONSTRAINT a_drain_ends_after_it_begins",
            undo="ALTER TABLE beacon.intent ADD CONSTRAINT a_drain_ends_after_it_begins"
            " CHECK (until IS NULL OR (forced IS NOT NULL AND until > changed_at)) NOT VALID",
        )
    sandbox = station.sandbox()
    station.drain(until)
    assert sandbox.ask().verdict == PASS


def test_the_sandboxs_clocks_have_no_say_in_a_drain_that_can_be_read(station: Station) -> None:
    """Ten hours ahead, the drain of an hour holds; and its end is the database's."""
    ahead_s = 0.0
    sandbox = station.warm(
        clock=lambda: time.monotonic() + ahead_s, lasting=lambda: time.monotonic() + ahead_s
    )
    station.drain("now() + interval '1 hour'")
    ahead_s = 36_000.0
    assert sandbox.ask().verdict == DRAINED
    station.drain("clock_timestamp() + interval '0.3 seconds'")
    assert sandbox.ask().verdict == DRAINED
    give_up = time.monotonic() + 10
    while (answer := sandbox.ask()).verdict == DRAINED:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert answer.verdict == PASS


@pytest.mark.parametrize("cause", list(UNREADABLES))
def test_a_drain_in_force_outlives_its_readability_where_it_was_seen(
    station: Station, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sandboxes that read it stay drained, others serve with a warning; all raise the metric."""
    breaks, mends = UNREADABLES[cause]
    saw, never_saw = station.warm(), station.warm()
    station.drain("now() + interval '1 hour'")
    assert saw.ask().verdict == DRAINED
    station.sql(breaks, undo=mends)
    for sandbox, expected in ((saw, DRAINED), (never_saw, UNREADABLE), (station.sandbox(), UNREADABLE)):
        capsys.readouterr()
        # A drain that was read also survives the loss of its connection.
        station.kill_backends()
        assert sandbox.ask().verdict == expected
        assert '"IntentUnreadable":1' in capsys.readouterr().out


def test_a_remembered_drain_ends_by_itself(station: Station) -> None:
    """What the database said was left of it has passed since."""
    ahead_s = 0.0
    sandbox = station.warm(lasting=lambda: time.monotonic() + ahead_s)
    station.drain("now() + interval '10 minutes'")
    assert sandbox.ask().verdict == DRAINED
    breaks, mends = UNREADABLES["grant revoked (42501)"]
    station.sql(breaks, undo=mends)
    ahead_s = 590.0
    assert sandbox.ask().verdict == DRAINED
    ahead_s = 601.0
    assert sandbox.ask().verdict == UNREADABLE


def test_a_drain_does_not_hide_that_the_database_is_down(station: Station) -> None:
    """The probe's reason wins: an operator has to see it."""
    sandbox = station.warm()
    station.drain()
    assert sandbox.ask().verdict == DRAINED
    station.inject(FaultKind.DSQL_REFUSE)
    assert sandbox.ask().verdict == fail("refused")


# ---- time


def test_a_login_replaces_the_open_connection(station: Station, capsys: pytest.CaptureFixture[str]) -> None:
    """Within a minute, without a failure: no reconnect is counted."""
    ahead_s = 0.0
    sandbox = station.warm(lasting=lambda: time.monotonic() + ahead_s, jitter=lambda low, _high: low)
    before = station.dsql.front.connections
    (first,) = backends(station)
    ahead_s = 25.0
    assert sandbox.ask().verdict == PASS
    assert backends(station) == {first}
    ahead_s = 31.0
    capsys.readouterr()
    assert sandbox.ask().verdict == PASS
    assert "Reconnects" not in capsys.readouterr().out
    give_up = time.monotonic() + 10
    while len(found := backends(station)) > 1:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert found != {first}
    assert station.dsql.front.connections == before


@pytest.mark.parametrize(
    ("way", "reason"), [("error", "server_error"), ("reset", "reset"), ("denied", "login_rejected")]
)
def test_logins_that_fail_beside_an_open_session_are_a_verdict(
    station: Station, way: str, reason: str
) -> None:
    """The open session answers in the same probe and is kept. The first login that succeeds replaces it."""
    ahead_s = 0.0
    sandbox = station.warm(lasting=lambda: time.monotonic() + ahead_s)
    kept = backends(station)
    station.inject(FaultKind.DSQL_LOGIN, Extent(way=way))
    assert sandbox.ask().verdict == PASS
    ahead_s = 46.0
    for _ in range(3):
        assert sandbox.ask().verdict == fail(reason)
    assert backends(station) == kept
    station.heal()
    assert sandbox.ask().verdict == PASS


@pytest.mark.parametrize("way", ["rate", "connections"])
def test_overload_at_login_beside_an_open_session_is_a_warning(station: Station, way: str) -> None:
    """A herd must not take the survivor out. Without an open session overload is a failure."""
    ahead_s = 0.0
    sandbox = station.warm(lasting=lambda: time.monotonic() + ahead_s)
    station.inject(FaultKind.DSQL_OVERLOAD, Extent(way=way))
    ahead_s = 46.0
    assert sandbox.ask().verdict == (200, "warn", "too_many_connections")
    assert sandbox.ask().verdict == PASS
    assert station.sandbox().ask().verdict == fail("too_many_connections")


def test_logins_that_are_silent_beside_an_open_session_get_fifteen_seconds(station: Station) -> None:
    """An idle cluster may wake in that time; after it, silence is a failure. The deadline holds."""
    front, ahead_s = station.dsql.front, 0.0
    addresses = [front.address]
    sandbox = station.warm(lookup=lambda _host: list(addresses), lasting=lambda: time.monotonic() + ahead_s)
    # A listener that never accepts: the connection opens, and nothing answers.
    with socket.create_server(("127.0.0.200", front.port)):
        addresses[:] = ["127.0.0.200"]
        ahead_s = 46.0
        slow = sandbox.ask()
        assert slow.verdict == (200, "warn", "slow_login")
        ahead_s = 62.0
        failed = sandbox.ask()
        assert failed.verdict == fail("timeout")
    assert max(slow.took_s, failed.took_s) < sandbox.deadline_s + SLACK_S
    addresses[:] = [front.address]
    assert sandbox.ask().verdict == PASS


@pytest.mark.parametrize("alive", [0, 1, 2])
def test_two_dead_addresses_of_three_do_not_fail_the_probe(station: Station, alive: int) -> None:
    """One refuses and one swallows every packet: the third one is tried inside the deadline."""
    front = station.dsql.front
    with socket.create_server(("127.0.0.200", front.port)):
        addresses = ["127.0.0.200", "127.0.0.201"]
        addresses.insert(alive, front.address)
        sandbox = station.sandbox(lookup=lambda _host: list(addresses))
        assert sandbox.ask().verdict == PASS


def backends(station: Station) -> set[int]:
    """The process ids of the health function's backends."""
    with station.dsql.postgres._connect() as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'beacon'")
        return {row[0] for row in rows}


@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "open connection"])
@pytest.mark.parametrize("jump_s", [1.0, 86_400.0])
def test_a_clock_that_jumps_anywhere_in_an_answer_changes_no_verdict(
    station: Station, jump_s: float, *, reused: bool
) -> None:
    """As after a thaw in the middle: at each single reading of the monotonic clock, healthy stays healthy."""
    readings, jump_at, ahead_s = 0, 0, 0.0

    def clock() -> float:
        nonlocal readings, ahead_s
        readings += 1
        if readings == jump_at:
            ahead_s += jump_s
        return time.monotonic() + ahead_s

    for at in range(1, 200):
        sandbox = station.warm(clock=clock) if reused else station.sandbox(clock=clock)
        readings, jump_at = 0, at
        assert sandbox.ask().verdict == PASS, f"the jump was at reading {at}"
        sandbox.close()
        if readings < at:
            break
    # Beyond the last reading there is nothing left to break.
    assert 4 < at < 199
