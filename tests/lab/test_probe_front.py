"""The probe against a real front and real SQL: each fault's outcome and reason, within the deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from beacon.aws.sigv4 import Credentials
from beacon.dsql.probe import DsqlProbe, ProbeContext
from beacon.dsql.resolver import Resolver
from beacon.model import Endpoint, Forced, Intent, ProbeReport
from beacon.outcome import ProbeOutcome
from beacon.settings import Settings
from beacon_lab.dsql.rules import Refusal
from beacon_lab.faults import FaultKind
from beacon_lab.network.pki import Authority

if TYPE_CHECKING:
    from tests.lab.conftest import DsqlCluster

    from beacon_lab.dsql.principals import Principal

pytestmark = pytest.mark.lab

REGION = "us-east-1"
#: What a promised deadline may be overrun by here, where two cores are shared.
SLACK_S = 0.1


class Bench:
    """A probe of the cluster's first front, as its function runs it, and an operator's hand in the table."""

    def __init__(self, dsql: DsqlCluster) -> None:
        self.dsql = dsql
        self.signer: Principal = dsql.function
        self.probe, self.all_regions = self._probe(REGION), self._probe(None)

    def _probe(self, region: str | None) -> DsqlProbe:
        front = self.dsql.front
        endpoint = Endpoint(front.region, front.host, dial=(front.address, front.port))
        settings = Settings(
            app="shop",
            env="test",
            region=REGION,
            endpoints=(endpoint,),
            db_user=self.dsql.login_role,
            ca_file=str(self.dsql.authority.ca_file),
        )
        return DsqlProbe(endpoint, ProbeContext(settings, Resolver(), self._credentials), region)

    def _credentials(self) -> Credentials:
        return Credentials(self.signer.access_key_id, self.signer.secret_access_key)

    def look(self, deadline_s: float = 1.0) -> ProbeReport:
        """Probe once, held to the deadline."""
        started = time.monotonic()
        report = self.probe.run(started + deadline_s)
        assert time.monotonic() - started < deadline_s + SLACK_S
        return report

    def verdict(self, deadline_s: float = 1.0) -> tuple[str, str, bool]:
        """ProbeOutcome, reason, and whether it took a fresh connection after an open one."""
        seen = self.look(deadline_s).observation
        return (seen.outcome.value, seen.reason, seen.reconnected)

    def inject(self, kind: FaultKind, **options: float) -> None:
        self.dsql.loop.run(self.dsql.front.inject(kind, **options))  # type: ignore[arg-type]

    def fail_statements(self, times: int, sqlstate: str) -> None:
        """Let the next statements fail with an error of the server's."""
        self.dsql.front.disturbance.failure = Refusal(sqlstate, "canary")
        self.dsql.front.disturbance.failing_statements = times

    def sql(self, statement: str) -> None:
        """Run a statement behind the fronts, as PostgreSQL's owner."""
        self.dsql.loop.run(self.dsql.postgres.run(statement))

    def intend(self, forced: str | None, until: str = "NULL", region: str = REGION) -> None:
        """Set a Region's forced state; ``until`` is SQL."""
        named = forced and "test"
        self.dsql.connect().execute(
            "UPDATE beacon.intent SET forced = %s, reason = %s, actor = %s,"  # noqa: S608 - the test's own
            f" changed_at = now() - interval '2 days', until = {until}"
            " WHERE service = %s AND region = %s",
            (forced, named, named, self.dsql.service, region),
        )


@pytest.fixture
def bench(dsql: DsqlCluster) -> Iterator[Bench]:
    """A healthy Region in which no operator forces anything."""
    bench = Bench(dsql)
    yield bench
    bench.probe.close()
    bench.all_regions.close()
    dsql.loop.run(dsql.front.heal())
    for region in dsql.fronts:
        bench.intend(None, region=region)


def test_a_healthy_region_passes_over_one_connection(bench: Bench) -> None:
    """Warm probes open nothing new."""
    before = bench.dsql.front.connections
    for _ in range(3):
        report = bench.look()
        assert (report.observation.outcome, report.observation.reason) == (ProbeOutcome.PASS, "ok")
        assert report.intents == {}
        assert not report.observation.reconnected
    assert bench.dsql.front.connections == before + 1


FAULTS = {
    FaultKind.DSQL_REFUSE: "refused",
    FaultKind.DSQL_FREEZE: "timeout",
    FaultKind.DSQL_RESET: "reset",
    FaultKind.DSQL_DENY: "login_rejected",
}


@pytest.mark.parametrize("kind", list(FAULTS))
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_broken_endpoint_fails_with_its_reason_and_heals(bench: Bench, kind: FaultKind, warm: bool) -> None:
    """Over a new connection and over an open one; afterwards the next probe passes."""
    if warm:
        bench.look()
    bench.inject(kind)
    assert bench.verdict() == ("fail", FAULTS[kind], warm)
    bench.dsql.loop.run(bench.dsql.front.heal())
    assert bench.verdict() == ("pass", "ok", False)


def test_a_half_open_connection_costs_one_reconnect(bench: Bench) -> None:
    """It swallows every byte; the fresh one answers inside the same deadline, and is the one that stays."""
    bench.look()
    bench.inject(FaultKind.DSQL_HALFOPEN)
    assert bench.verdict() == ("pass", "ok", True)
    assert bench.verdict() == ("pass", "ok", False)


def test_a_backend_that_was_killed_costs_one_reconnect(bench: Bench) -> None:
    """As after a thaw of the sandbox."""
    bench.look()
    bench.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'beacon'")
    assert bench.verdict() == ("pass", "ok", True)


def test_a_slow_database_passes_while_it_answers_in_time(bench: Bench) -> None:
    """Far beyond the third that an open connection has to itself, and too slow to log in again."""
    bench.look()
    bench.inject(FaultKind.DSQL_SLOW, delay_ms=100)
    started = time.monotonic()
    seen = bench.look().observation
    assert (seen.outcome.value, seen.reason, seen.reconnected) == ("pass", "ok", False)
    assert time.monotonic() - started > 0.4
    assert seen.latency_ms is not None
    assert seen.latency_ms > 400


def test_a_slow_drip_is_a_time_out(bench: Bench) -> None:
    """The socket is never silent, and never done."""
    bench.look()
    bench.inject(FaultKind.DSQL_SLOW, delay_ms=40, drip_bytes=1)
    assert bench.verdict()[:2] == ("fail", "timeout")


@pytest.mark.parametrize(
    ("sqlstate", "text", "reason"),
    [
        ("53300", "unable to accept connection, too many connections", "too_many_connections"),
        ("53400", "unable to accept connection, connection rate limit exceeded", "too_many_connections"),
        ("57P03", "the database system is starting up", "unavailable"),
        ("28000", "unable to accept connection, access denied", "login_rejected"),
    ],
)
def test_a_refused_login_has_its_reason(bench: Bench, sqlstate: str, text: str, reason: str) -> None:
    """An open connection is not concerned."""
    bench.look()
    bench.dsql.front.answer_logins_with(sqlstate, text)
    assert bench.verdict() == ("pass", "ok", False)
    bench.probe.close()
    assert bench.verdict() == ("fail", reason, False)


def test_a_wrong_certificate_fails(bench: Bench, tmp_path: Path) -> None:
    """Of another name, expired, of an unknown authority."""
    front, authority = bench.dsql.front, bench.dsql.authority
    for number, certificate in enumerate(
        (
            authority.issue("wrong-name", dns=["z" + front.host[1:]]),
            authority.issue("expired", dns=[front.host], not_after=datetime.now(UTC) - timedelta(hours=1)),
            Authority.create(tmp_path).issue("unknown", dns=[front.host]),
        )
    ):
        bench.dsql.loop.call(lambda shown=certificate: front.present(shown))  # type: ignore[misc]
        assert bench.verdict() == ("fail", "certificate", False), number


def test_a_wrong_signature_is_a_rejected_login(bench: Bench) -> None:
    """A principal that the cluster does not know as this role."""
    bench.signer = bench.dsql.operator
    assert bench.verdict() == ("fail", "login_rejected", False)


# ---- intents


@pytest.mark.parametrize("until", ["NULL", "'infinity'", "now() + interval '1 hour'"])
def test_a_valid_drain_is_read(bench: Bench, until: str) -> None:
    """Without end, with an infinite one, with one to come; through the point read and through the whole."""
    bench.intend("drain", until)
    found = bench.look().intents
    assert found is not None
    left_s = found[REGION].remaining_s
    assert found == {REGION: Intent(REGION, Forced.DRAIN, "test", "test", left_s)}
    assert (left_s is None) == ("hour" not in until)
    assert left_s is None or 3500 < left_s <= 3600
    whole = bench.all_regions.run(time.monotonic() + 1).intents
    assert whole is not None
    assert set(whole) == {REGION}


def test_an_expired_drain_is_none_and_anothers_is_not_ours(bench: Bench) -> None:
    """The database's clock judges; the point read sees its own Region alone."""
    bench.intend("drain", "now() - interval '1 second'")
    bench.intend("drain", region="us-east-2")
    assert bench.look().intents == {}
    whole = bench.all_regions.run(time.monotonic() + 1).intents
    assert whole is not None
    assert set(whole) == {"us-east-2"}


@pytest.mark.parametrize(
    ("breaks", "repairs"),
    [
        ("ALTER TABLE beacon.intent RENAME TO gone", "ALTER TABLE beacon.gone RENAME TO intent"),
        ("ALTER SCHEMA beacon RENAME TO gone", "ALTER SCHEMA gone RENAME TO beacon"),
        (
            "REVOKE SELECT ON beacon.intent FROM shop_test",
            "GRANT SELECT ON beacon.intent TO shop_test",
        ),
    ],
    ids=["table", "schema", "grant"],
)
def test_an_intent_that_cannot_be_read_is_a_pass_with_a_warning(
    bench: Bench, breaks: str, repairs: str
) -> None:
    """The database answered; the connection stays good and reads again once it can."""
    bench.look()
    bench.sql(breaks)
    try:
        for _ in range(2):
            report = bench.look()
            assert report.observation.outcome is ProbeOutcome.PASS
            assert report.observation.warning == "intent_unreadable"
            assert report.intents is None
    finally:
        bench.sql(repairs)
    report = bench.look()
    assert (report.intents, report.observation.reconnected) == ({}, False)


@pytest.mark.parametrize("sqlstate", ["40001", "OC000", "OC001"])
def test_a_conflict_is_no_verdict(bench: Bench, sqlstate: str) -> None:
    """Once it is retried, twice it is a pass all the same."""
    bench.look()
    bench.fail_statements(1, sqlstate)
    assert bench.verdict() == ("pass", "ok", False)
    bench.fail_statements(2, sqlstate)
    assert bench.verdict() == ("pass", "conflict", False)
    assert bench.verdict() == ("pass", "ok", False)


def test_an_error_that_persists_is_the_endpoints(bench: Bench) -> None:
    """On the open connection and on the fresh one."""
    bench.look()
    bench.fail_statements(1, "XX000")
    assert bench.verdict() == ("pass", "ok", True)
    bench.fail_statements(2, "XX000")
    report = bench.look()
    assert (report.observation.reason, report.observation.sqlstate) == ("server_error", "XX000")
