"""What clients of the proxy see when their endpoint breaks or is drained; nothing lost, nothing doubled."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from itertools import pairwise

import psycopg
import pytest
from tests.lab.client.conftest import FAR, NEAR
from tests.lab.proxy.conftest import Proxied, until

from beacon_lab.faults import FaultKind

pytestmark = pytest.mark.lab
Make = Callable[..., Proxied]
QUERY_S = 1.0
#: From the fault to the first commit elsewhere: the stalled statement, a race, and room for a busy machine.
PROMISE_S = 4.0
INSERT = "INSERT INTO beacon.drill (id, service, drill, region, at) VALUES (%s, 'proxy', %s, 'any', now())"
FOUND = "SELECT id::text FROM beacon.drill WHERE drill = %s"


class Writer(threading.Thread):
    """A plain psycopg client: one row a transaction, and a new connection after each error."""

    def __init__(self, proxied: Proxied, service: str) -> None:
        super().__init__()
        self._proxied, self._service = proxied, service
        self.halt = threading.Event()
        self.acknowledged: list[tuple[float, str]] = []
        self.unknown: set[str] = set()
        self.errors: list[str] = []

    def run(self) -> None:
        connection: psycopg.Connection | None = None
        while not self.halt.wait(0.01):
            row = str(uuid.uuid4())
            sent = False
            try:
                if connection is None:
                    connection = psycopg.connect(**self._proxied.parameters, autocommit=True)
                sent = True
                connection.execute(INSERT, (row, self._service))
                self.acknowledged.append((time.monotonic(), row))
            except psycopg.Error as error:
                self.errors.append(f"{error.sqlstate or ''} {error}".strip())
                if sent:
                    self.unknown.add(row)
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def longest_gap_s(self) -> float:
        times = [at for at, _ in self.acknowledged]
        return max(after - before for before, after in pairwise(times))


@pytest.mark.parametrize("kind", [FaultKind.DSQL_FREEZE, FaultKind.DSQL_SILENT, FaultKind.DSQL_RESET])
def test_an_endpoint_that_breaks_in_the_middle_loses_and_doubles_nothing(
    proxied: Make, kind: FaultKind
) -> None:
    """Four plain clients write on; each acknowledged row is there once, and the gap is bounded."""
    made = proxied(query_timeout_s=QUERY_S)
    service = f"proxy-{uuid.uuid4().hex[:8]}"
    dsql = made.client.dsql
    with dsql.connect(front=dsql.fronts[FAR]) as admin:
        writers = [Writer(made, service) for _ in range(4)]
        for writer in writers:
            writer.start()
        try:
            until(lambda: all(len(writer.acknowledged) > 20 for writer in writers))
            made.client.inject(NEAR, kind)
            broken_at = time.monotonic()
            until(
                lambda: all(
                    sum(at > broken_at + QUERY_S for at, _ in writer.acknowledged) > 20 for writer in writers
                ),
                30,
            )
        finally:
            for writer in writers:
                writer.halt.set()
            for writer in writers:
                writer.join()
        found = [row for (row,) in admin.execute(FOUND, (service,))]
        admin.execute("DELETE FROM beacon.drill WHERE drill = %s", (service,))
    acknowledged = {row for writer in writers for _, row in writer.acknowledged}
    unknown = set[str]().union(*(writer.unknown for writer in writers))
    assert len(found) == len(set(found))
    assert acknowledged <= set(found)
    assert set(found) - acknowledged <= unknown
    assert max(writer.longest_gap_s() for writer in writers) < PROMISE_S
    assert sum(len(writer.errors) for writer in writers) >= 1


def test_a_silent_server_is_cut_with_an_error_that_says_so(proxied: Make) -> None:
    """The SQLSTATE is that of an unknown outcome, and the next connect goes elsewhere."""
    made = proxied(query_timeout_s=0.5)
    connection = made.connect()
    assert made.region_of(connection) == NEAR
    made.client.inject(NEAR, FaultKind.DSQL_SILENT)
    with pytest.raises(psycopg.OperationalError, match=f"no answer from {NEAR} within 0[.]5 s") as caught:
        connection.execute("SELECT 1")
    assert caught.value.sqlstate == "08007"
    assert made.region_of(made.connect()) == FAR
    assert made.proxy.counts.ended["silent"] == 1


def test_a_slow_statement_within_its_time_is_left_alone_and_so_is_an_idle_client(proxied: Make) -> None:
    """Silence counts only while an answer is owed."""
    made = proxied(query_timeout_s=0.8)
    connection = made.connect()
    assert connection.execute("SELECT pg_sleep(0.4)").fetchone() == ("",)
    with connection.transaction():
        connection.execute("SELECT 1")
        time.sleep(1.2)
        assert connection.execute("SELECT 2").fetchone() == (2,)


def test_idle_clients_leave_a_region_that_is_drained_and_busy_ones_when_they_are_idle(proxied: Make) -> None:
    """Each with 57P01, at a moment at which it has nothing to lose."""
    made = proxied()
    idle = [made.connect() for _ in range(10)]
    busy = made.connect()
    busy.autocommit = False
    assert busy.execute("SELECT 1").fetchone() == (1,)
    assert {made.region_of(each) for each in [*idle, busy]} == {NEAR}
    made.order.held_out = NEAR
    until(lambda: made.links() == 1)
    assert made.proxy.counts.ended["moved"] == 10
    with pytest.raises(psycopg.errors.AdminShutdown, match="the endpoint has changed: connect again"):
        idle[0].execute("SELECT 1")
    until(lambda: all(link.leaving_since is not None for link in made.proxy._links.values()))
    assert busy.execute("SELECT 2").fetchone() == (2,)
    busy.commit()
    until(lambda: made.links() == 0)
    assert made.region_of(made.connect()) == FAR


def test_a_client_that_stays_busy_is_cut_after_the_limit(proxied: Make) -> None:
    """Its transaction is rolled back."""
    made = proxied(move_limit_s=0.5)
    connection = made.connect()
    connection.autocommit = False
    connection.execute("SELECT 1")
    made.order.held_out = NEAR
    until(lambda: made.links() == 0)
    assert made.proxy.counts.ended["cut"] == 1
    with pytest.raises(psycopg.errors.AdminShutdown, match=r"busy for 0\.5 s"):
        connection.execute("SELECT 1")


def test_a_proxy_that_stops_lets_a_statement_finish(proxied: Make) -> None:
    """Idle clients go at once; new ones are refused."""
    made = proxied(stop_limit_s=10)
    idle, busy = made.connect(), made.connect()
    results: list[object] = []

    def work() -> None:
        results.append(busy.execute("SELECT pg_sleep(1)").fetchone())

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: made.call(lambda: any(link.traffic.owed for link in made.proxy._links.values())))
    began = time.monotonic()
    made.stop()
    assert time.monotonic() - began < 8
    thread.join()
    assert results == [("",)]
    with pytest.raises(psycopg.OperationalError):
        idle.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        made.connect()


def test_connects_start_no_faster_than_they_may(proxied: Make) -> None:
    """Though all of them come at once, each is served in its turn."""
    made = proxied(connects_per_s=10, connect_timeout_s=20)
    began = time.monotonic()
    for _ in range(25):
        made.connect().close()
    assert time.monotonic() - began >= 1.5


def test_more_clients_than_may_be_served_get_an_error(proxied: Make) -> None:
    """With the SQLSTATE that drivers know for it."""
    made = proxied(most_clients=2)
    made.connect(), made.connect()
    with pytest.raises(psycopg.OperationalError, match="serves 2 clients already"):
        made.connect()
    assert made.proxy.counts.rejected == {"53300": 1}
