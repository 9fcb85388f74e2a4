"""Gray faults of a DSQL front: logins, statements or commits fail in part, or for one side only."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest

from beacon_lab.dsql.connect_limit import ConnectLimit
from beacon_lab.faults import WHOLE, Extent, FaultKind
from beacon_lab.network.host_addresses import Condition, HostAddresses

if TYPE_CHECKING:
    from tests.lab.conftest import DsqlCluster

pytestmark = pytest.mark.lab

SILENCE_S = 0.4
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"  # an SSLRequest


def inject(dsql: DsqlCluster, kind: FaultKind, extent: Extent = WHOLE) -> None:
    dsql.loop.run(dsql.front.inject(kind, extent))


def heal(dsql: DsqlCluster) -> None:
    dsql.loop.run(dsql.front.heal())


def one(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT 1").fetchone() == (1,)


def is_silent(connection: psycopg.Connection, sql: bytes) -> bool:
    """Whether a statement gets no answer."""
    connection.pgconn.send_query(sql)
    connection.pgconn.flush()
    return not select.select([connection.pgconn.socket], [], [], SILENCE_S)[0]


def has_ended(connection: psycopg.Connection) -> bool:
    """Whether a connection that waits for an answer loses its server instead."""
    assert select.select([connection.pgconn.socket], [], [], 10.0)[0], "nothing arrives"
    while connection.pgconn.get_result() is not None:
        pass
    return connection.pgconn.status == psycopg.pq.ConnStatus.BAD


# ---- logins


@pytest.mark.parametrize(
    ("kind", "way", "words"),
    [
        (FaultKind.DSQL_LOGIN, "error", "unable to accept connection, internal error"),
        (FaultKind.DSQL_LOGIN, "reset", "Connection reset by peer|EOF|closed the connection"),
        (FaultKind.DSQL_LOGIN, "denied", "unable to accept connection, access denied"),
        (FaultKind.DSQL_OVERLOAD, "rate", "Unable to accept connection, rate exceeded"),
        (FaultKind.DSQL_OVERLOAD, "connections", "Unable to accept connection, too many open connections"),
    ],
)
def test_logins_fail_while_open_connections_answer(
    dsql: DsqlCluster, kind: FaultKind, way: str, words: str
) -> None:
    """Each way: an open session, idle or in a transaction, does not notice; healed, logins work."""
    idle, busy = dsql.connect(), dsql.connect(autocommit=False)
    assert one(busy)
    inject(dsql, kind, Extent(way=way))
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError, match=words):
            dsql.connect()
        assert one(idle)
        assert one(busy)
    heal(dsql)
    assert one(dsql.connect())


def test_a_share_of_the_logins_fails(dsql: DsqlCluster) -> None:
    """Half of them, the same for the same seed."""

    def run() -> list[bool]:
        inject(dsql, FaultKind.DSQL_LOGIN, Extent(50, "denied", seed=3))
        found = []
        for _ in range(16):
            try:
                dsql.connect().close()
            except psycopg.OperationalError:
                found.append(False)
            else:
                found.append(True)
        return found

    first = run()
    assert {True, False} == set(first)
    assert run() == first


# ---- the limit on connections


@pytest.fixture
def small_limit(dsql: DsqlCluster) -> Iterator[ConnectLimit]:
    """Two logins, one more each second, three connections; the front has its own limit back afterwards."""
    limit = dsql.front.connect_limit
    await_open(limit, 0)
    dsql.loop.call(lambda: limit.refit(rate_per_s=1.0, burst=2, connections=3))
    yield limit
    dsql.loop.call(limit.refit)


def await_open(limit: ConnectLimit, most: int) -> None:
    """Wait until no more connections are counted: a front learns of a client's close a moment later."""
    give_up = time.monotonic() + 5.0
    while limit.open > most:
        assert time.monotonic() < give_up
        time.sleep(0.01)


def connected(dsql: DsqlCluster, within_s: float) -> psycopg.Connection:
    """A connection as soon as the rate allows it."""
    give_up = time.monotonic() + within_s
    while True:
        try:
            return dsql.connect()
        except psycopg.OperationalError as error:
            if "rate exceeded" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def test_a_front_limits_the_rate_and_the_number_of_connections(
    dsql: DsqlCluster, small_limit: ConnectLimit
) -> None:
    """53400 once the burst is used up, 53300 at the most; open ones answer, and closed ones make room."""
    first, second = dsql.connect(), dsql.connect()
    with pytest.raises(psycopg.OperationalError, match="Unable to accept connection, rate exceeded"):
        dsql.connect()
    assert one(first)
    third = connected(dsql, 5.0)
    with pytest.raises(psycopg.OperationalError, match="too many open connections"):
        dsql.connect()
    assert one(second)
    assert one(third)
    first.close()
    await_open(small_limit, 2)
    assert one(connected(dsql, 5.0))


def test_a_bad_token_takes_no_token_of_the_bucket(dsql: DsqlCluster, small_limit: ConnectLimit) -> None:
    """A stranger without credentials cannot use up the rate."""
    for _ in range(4):
        with pytest.raises(psycopg.OperationalError, match="access denied"):
            dsql.connect(password="nothing")
    assert one(dsql.connect())
    assert (small_limit.open, small_limit.refused) == (1, 0)


# ---- statements and commits


def test_a_share_of_the_statements_fails_and_the_rest_answers(dsql: DsqlCluster) -> None:
    """Simple and extended protocol alike; the connection stays usable."""
    connection = dsql.connect()
    inject(dsql, FaultKind.DSQL_FLAKY, Extent(40, seed=1))
    ends = {False: 0, True: 0}
    for number in range(40):
        try:
            row = connection.execute("SELECT %s::int", (number,), binary=bool(number % 2)).fetchone()
        except psycopg.errors.InternalError_:
            ends[False] += 1
        else:
            assert row == (number,)
            ends[True] += 1
    assert 8 <= ends[False] <= 24
    heal(dsql)
    assert one(connection)


def test_a_statement_that_hangs_is_never_answered_and_a_new_connection_may_work(dsql: DsqlCluster) -> None:
    """The connection that met it stays silent until heal resets it; its locks are given up."""
    connection = dsql.connect(autocommit=False)
    connection.execute("UPDATE beacon.guard SET undrained = undrained")
    inject(dsql, FaultKind.DSQL_FLAKY, Extent(way="hang"))
    assert is_silent(connection, b"SELECT 1")
    other = dsql.connect(front=dsql.fronts["us-east-2"])
    assert other.execute("UPDATE beacon.guard SET undrained = undrained").rowcount == 1
    heal(dsql)
    assert has_ended(connection)
    assert one(dsql.connect())


@pytest.mark.parametrize("parameters", [None, ()], ids=["simple", "extended"])
def test_commits_of_a_write_fail_while_reads_pass(dsql: DsqlCluster, parameters: tuple[()] | None) -> None:
    """A write is rolled back, in a block or alone; a read commits as usual."""
    admin = dsql.connect()
    admin.execute("DROP TABLE IF EXISTS gray")
    admin.execute("CREATE TABLE gray (id int)")
    connection = dsql.connect(autocommit=False)
    inject(dsql, FaultKind.DSQL_COMMIT)
    connection.execute("SELECT 1", parameters)
    connection.commit()
    connection.execute("INSERT INTO gray VALUES (1)", parameters)
    with pytest.raises(psycopg.errors.InternalError_, match="could not be committed"):
        connection.commit()
    with pytest.raises(psycopg.errors.InternalError_, match="could not be committed"):
        admin.execute("INSERT INTO gray VALUES (2)", parameters)
    assert admin.execute("SELECT count(*) FROM gray").fetchone() == (0,)
    heal(dsql)
    connection.rollback()
    connection.execute("INSERT INTO gray VALUES (3)", parameters)
    connection.commit()
    assert admin.execute("SELECT id FROM gray").fetchall() == [(3,)]
    admin.execute("DROP TABLE gray")


def test_a_commit_that_hangs_is_never_answered(dsql: DsqlCluster) -> None:
    """The client cannot know the outcome; it was rolled back."""
    connection = dsql.connect(autocommit=False)
    connection.execute("UPDATE beacon.guard SET undrained = undrained")
    inject(dsql, FaultKind.DSQL_COMMIT, Extent(way="hang"))
    assert is_silent(connection, b"COMMIT")
    assert one(dsql.connect())


# ---- one side only


@pytest.mark.parametrize("way", ["silent", "refuse"])
def test_an_endpoint_that_is_dead_from_afar_answers_in_its_own_region(dsql: DsqlCluster, way: str) -> None:
    """Open and new connections of distant callers are lost, those of the own Region are not."""
    far = dsql.loop.run(dsql.front.add_listener(5.0))
    near, away = dsql.connect(), dsql.connect(port=far)
    inject(dsql, FaultKind.DSQL_FAR, Extent(way=way))
    if way == "silent":
        assert is_silent(away, b"SELECT 1")
        with socket.create_connection((dsql.front.address, far), timeout=5.0) as new:
            new.sendall(SSL_REQUEST)
            assert not select.select([new], [], [], SILENCE_S)[0]
    else:
        with pytest.raises(psycopg.OperationalError):
            away.execute("SELECT 1")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((dsql.front.address, far), timeout=5.0).close()
    assert one(near)
    assert one(dsql.connect())
    heal(dsql)
    assert one(dsql.connect(port=far))
    if way == "silent":
        assert has_ended(away)
    assert one(near)


# ---- several addresses of a host


@pytest.fixture
def addresses(dsql: DsqlCluster) -> Iterator[HostAddresses]:
    """The front's host with more addresses than one."""
    made = HostAddresses(dsql.front.address, dsql.front.port)
    yield made
    dsql.loop.run(made.stop())


@pytest.mark.parametrize("condition", list(Condition))
def test_an_address_of_the_host_is_in_the_requested_condition(
    dsql: DsqlCluster, addresses: HostAddresses, condition: Condition
) -> None:
    """What a client meets there: the front, a refusal, silence, or not even a handshake."""
    address = "127.0.0.77"
    dsql.loop.run(addresses.add(address, condition))
    assert addresses.lookup(dsql.front.host) == [address, dsql.front.address]
    where = (address, dsql.front.port)
    match condition:
        case Condition.LIVE:
            assert one(dsql.connect(hostaddr=address))
        case Condition.REFUSING:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(where, timeout=5.0).close()
        case Condition.SWALLOWING:
            with socket.create_connection(where, timeout=5.0) as connection:
                connection.sendall(SSL_REQUEST)
                assert not select.select([connection], [], [], SILENCE_S)[0]
        case Condition.UNREACHABLE:
            with pytest.raises(TimeoutError):
                socket.create_connection(where, timeout=SILENCE_S).close()
    assert one(dsql.connect())
