"""The publisher before real fronts, real SQL and moto's SSM: how it handles an operator's intent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from beacon.aws.sigv4 import Credentials
from beacon.document.form import Expected, parse
from beacon.document.store import ParameterStore
from beacon.dsql.probe import DsqlProbe, ProbeContext
from beacon.dsql.resolver import Resolver
from beacon.model import Document, Effective, Endpoint, EndpointState, Policy
from beacon.publisher.decide import Subject
from beacon.publisher.observe import Observer, RecheckPolicy
from beacon.publisher.round import Publisher
from beacon.settings import Settings

if TYPE_CHECKING:
    from tests.lab.conftest import DsqlCluster

pytestmark = pytest.mark.lab

DRAINED = "us-east-1"


class Bench:
    """Sandboxes of the first Region's publisher, one after the other, and an operator's hand in the table."""

    def __init__(self, dsql: DsqlCluster) -> None:
        self.dsql = dsql
        self.settings = Settings(
            app="shop",
            env="test",
            region=DRAINED,
            endpoints=tuple(
                Endpoint(region, front.host, dial=(front.address, front.port))
                for region, front in dsql.fronts.items()
            ),
            db_user=dsql.login_role,
            ca_file=str(dsql.authority.ca_file),
            policy=Policy(ranking="priority"),
        )
        signer = dsql.function
        credentials = Credentials(signer.access_key_id, signer.secret_access_key)
        context = ProbeContext(self.settings, Resolver(), lambda: credentials)
        self.probes = {
            endpoint.region: DsqlProbe(endpoint, context, None) for endpoint in self.settings.endpoints
        }
        self.store = ParameterStore(self.settings.parameter_path, DRAINED)

    def sandbox(self) -> Publisher:
        """One that knows nothing but what is stored."""
        settings = self.settings
        subject = Subject(settings.service, settings.target, settings.region, settings.endpoints)
        return Publisher(
            Observer(self.probes, RecheckPolicy(1.0, 0.5, 3)), self.store, subject, settings.policy
        )

    def round(self, publisher: Publisher) -> Document:
        """One round; return what a reader that has just started takes."""
        report = publisher.run()
        assert (report.written, report.problems) == (True, ())
        text = self.store.read().document
        assert text is not None
        settings = self.settings
        return parse(text, Expected(settings.service, settings.target, settings.region), datetime.now(UTC))

    def sql(self, statement: str) -> None:
        """Run a statement behind the fronts, as PostgreSQL's owner."""
        self.dsql.loop.run(self.dsql.postgres.run(statement))

    def drain(self, until: str) -> datetime:
        """Drain the first Region; return the end that the database keeps. ``until`` is SQL."""
        row = (
            self.dsql.connect()
            .execute(
                "UPDATE beacon.intent SET forced = 'drain', reason = 'test', actor = 'test',"  # noqa: S608 - the test's own
                f" changed_at = now(), until = {until} WHERE service = %s AND region = %s RETURNING until",
                (self.dsql.service, DRAINED),
            )
            .fetchone()
        )
        assert row is not None
        ends = row[0]
        assert isinstance(ends, datetime)
        return ends

    def close(self) -> None:
        """Nothing is forced, everything can be read."""
        for probe in self.probes.values():
            probe.close()
        self.sql("GRANT SELECT ON beacon.intent TO shop_test")
        self.sql("UPDATE beacon.intent SET forced = NULL, until = NULL")


@pytest.fixture
def bench(dsql: DsqlCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Two healthy Regions in which no operator forces anything, and an SSM without parameters."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        made = Bench(dsql)
        yield made
        made.close()


def row(document: Document) -> EndpointState:
    found = document.state_of(DRAINED)
    assert found is not None
    return found


def test_a_drain_that_cannot_be_read_any_more_ends_at_its_expiry(bench: Bench) -> None:
    """Also for a sandbox that never read it: the document says when, by what the database said was left."""
    ends = bench.drain("now() + interval '6 seconds'")
    last = bench.round(bench.sandbox())
    known = row(last).forced_until
    assert known is not None
    assert abs(known - ends) < timedelta(seconds=2)
    assert row(last).effective is Effective.OUT
    bench.sql("REVOKE SELECT ON beacon.intent FROM shop_test")
    publisher, give_up = bench.sandbox(), time.monotonic() + 30
    while row(found := bench.round(publisher)).effective is Effective.OUT:
        assert row(found).forced_until == known
        assert time.monotonic() < give_up
        last = found
        time.sleep(0.05)
    assert last.as_of < known <= found.as_of
    assert (row(found).forced, found.preferred.region) == (None, DRAINED)
