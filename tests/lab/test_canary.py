"""The write canary against a real front and real SQL: a row that is committed, and why it is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.places import ROOT

from beacon.aws.credentials import NoCredentialsError
from beacon.aws.sigv4 import Credentials
from beacon.dsql.probe import ProbeContext
from beacon.dsql.resolver import NameNotResolvedError, Resolver
from beacon.model import Endpoint
from beacon.publisher.canary import WriteCanary
from beacon.settings import Settings
from beacon_lab.dsql.bootstrap import run_script
from beacon_lab.faults import FaultKind

if TYPE_CHECKING:
    from tests.lab.conftest import DsqlCluster

pytestmark = pytest.mark.lab

SQL = ROOT / "sql"
REGION = "us-east-1"
#: What a promised deadline may be overrun by here, where two cores are shared.
SLACK_S = 0.1


@pytest.fixture
def table(dsql: DsqlCluster) -> Iterator[psycopg.Connection]:
    """An admin's connection through the other Region; the table is there, and gone afterwards."""
    admin = dsql.connect(front=dsql.fronts["us-east-2"])
    for _ in range(2):
        run_script(admin, SQL / "canary.sql", {"login_role": dsql.login_role})
    yield admin
    dsql.heal()
    dsql.connect().execute("DROP TABLE IF EXISTS beacon.canary")


def canary(dsql: DsqlCluster, *, broken: str = "") -> WriteCanary:
    """As the first Region's publisher runs it."""
    front = dsql.front
    dial = None if broken == "name" else (front.address, front.port)
    endpoint = Endpoint(front.region, front.host, dial=dial)
    settings = Settings(
        app="shop",
        env="test",
        region=REGION,
        endpoints=(endpoint,),
        db_user=dsql.login_role,
        ca_file=str(dsql.authority.ca_file),
    )

    def credentials() -> Credentials:
        if broken == "credentials":
            raise NoCredentialsError
        return Credentials(dsql.function.access_key_id, dsql.function.secret_access_key)

    return WriteCanary(endpoint, ProbeContext(settings, Resolver(lambda _: []), credentials))


def rows(admin: psycopg.Connection) -> list[tuple[str, str, str, datetime]]:
    return admin.execute("SELECT service, target, region, written_at FROM beacon.canary").fetchall()


def test_a_row_is_committed_and_overwritten(dsql: DsqlCluster, table: psycopg.Connection) -> None:
    """One row per Region, however often; another connection sees it."""
    first = canary(dsql).run()
    ((service, target, region, written_at),) = rows(table)
    assert (first.failed, first.reason, first.sqlstate) == (False, "ok", None)
    assert (service, target, region) == (dsql.service, "dsql", REGION)
    assert abs(datetime.now(UTC) - written_at) < timedelta(minutes=1)
    assert not canary(dsql).run().failed
    ((*_, again),) = rows(table)
    assert again > written_at


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (FaultKind.DSQL_REFUSE, "refused"),
        (FaultKind.DSQL_FREEZE, "timeout"),
        (FaultKind.DSQL_DENY, "login_rejected"),
    ],
)
def test_an_endpoint_that_is_broken_fails_the_canary_in_time(
    dsql: DsqlCluster, table: psycopg.Connection, fault: FaultKind, reason: str
) -> None:
    """Within the probes' deadline, by its reason, and without a row."""
    dsql.loop.run(dsql.front.inject(fault))
    started = time.monotonic()
    report = canary(dsql).run()
    assert time.monotonic() - started < 1.0 + SLACK_S
    assert (report.failed, report.reason) == (True, reason)
    assert rows(table) == []


def test_a_missing_table_or_grant_fails_the_canary(dsql: DsqlCluster, table: psycopg.Connection) -> None:
    """Without ``sql/canary.sql``, an operator who turned it on reads so, with the SQLSTATE."""
    table.execute(f'REVOKE UPDATE ON beacon.canary FROM "{dsql.login_role}"')
    assert (canary(dsql).run().failed, canary(dsql).run().sqlstate) == (True, "42501")
    table.execute("DROP TABLE beacon.canary")
    assert (canary(dsql).run().failed, canary(dsql).run().sqlstate) == (True, "42P01")


@pytest.mark.parametrize(("broken", "reason"), [("credentials", "no_credentials"), ("name", "name")])
def test_a_fault_of_ours_fails_the_canary_too(dsql: DsqlCluster, broken: str, reason: str) -> None:
    """No row was committed, and that is all that it says."""
    report = canary(dsql, broken=broken).run()
    assert (report.failed, report.reason) == (True, reason)


def test_a_resolver_that_stalls_does_not_hold_the_canary(
    dsql: DsqlCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as a time-out."""

    def stalled(_resolver: object, _host: str, _timeout_s: float) -> list[str]:
        raise NameNotResolvedError(stalled=True)

    monkeypatch.setattr(Resolver, "resolve", stalled)
    assert canary(dsql, broken="name").run().reason == "timeout"
