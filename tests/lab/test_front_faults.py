"""Each fault of a DSQL front does to open and to new connections what it promises, and heals."""

from __future__ import annotations

import os
import select
import socket
import statistics
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from beacon_lab.dsql.rules import Refusal
from beacon_lab.faults import FaultKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import DsqlCluster

    from beacon_lab.dsql.front import DsqlFront

pytestmark = pytest.mark.lab

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
# Long enough for an answer that is on its way over loopback, on a busy machine.
SILENCE_S = 0.4
ANSWER_S = 10.0


def inject(dsql: DsqlCluster, kind: FaultKind, **options: float) -> None:
    dsql.loop.run(dsql.front.inject(kind, **options))  # type: ignore[arg-type]


def heal(dsql: DsqlCluster) -> None:
    dsql.loop.run(dsql.front.heal())


def serves(dsql: DsqlCluster) -> bool:
    return dsql.connect().execute("SELECT 1").fetchone() == (1,)


def ask(connection: psycopg.Connection, sql: bytes = b"SELECT 1") -> None:
    """Sends a query and does not wait for the answer."""
    connection.pgconn.send_query(sql)
    connection.pgconn.flush()


def answers(connection: psycopg.Connection, within_s: float) -> bool:
    """Whether anything arrives in time: an answer, or the connection's end."""
    return bool(select.select([connection.pgconn.socket], [], [], within_s)[0])


def is_reset(connection: psycopg.Connection | socket.socket) -> bool:
    """Reads on, past libpq and TLS; whether the connection ends in RST, not in a close or in silence."""
    number = connection.fileno() if isinstance(connection, socket.socket) else connection.pgconn.socket
    with socket.socket(fileno=os.dup(number)) as raw:
        raw.settimeout(ANSWER_S)
        try:
            while raw.recv(65536):
                pass
        except ConnectionResetError:
            return True
    return False


@contextmanager
def dialled(dsql: DsqlCluster, port: int | None = None) -> Iterator[socket.socket]:
    address = (dsql.front.address, port or dsql.front.port)
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        yield connection


def test_refuse_resets_open_connections_and_refuses_new_ones_on_the_same_port(dsql: DsqlCluster) -> None:
    """dsql-refuse: RST now, ECONNREFUSED then; healed, the same port serves."""
    port = dsql.front.port
    connection = dsql.connect()
    inject(dsql, FaultKind.DSQL_REFUSE)
    assert is_reset(connection)
    with pytest.raises(ConnectionRefusedError), dialled(dsql):
        pass
    heal(dsql)
    assert dsql.front.port == port
    assert serves(dsql)


def test_refuse_and_heal_many_times_never_lose_the_port(dsql: DsqlCluster) -> None:
    """The port is held while no server listens: thirty turns, with a client each, end as they began."""
    for _ in range(30):
        dsql.connect()
        inject(dsql, FaultKind.DSQL_REFUSE)
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind((dsql.front.address, dsql.front.port))
        heal(dsql)
    assert serves(dsql)


def test_freeze_silences_open_connections_and_heal_resets_them(dsql: DsqlCluster) -> None:
    """dsql-freeze: an open connection gets nothing more, not even an end, until heal resets it."""
    connection = dsql.connect()
    inject(dsql, FaultKind.DSQL_FREEZE)
    ask(connection)
    assert not answers(connection, SILENCE_S)
    heal(dsql)
    assert answers(connection, ANSWER_S)
    assert is_reset(connection)
    assert serves(dsql)


def test_freeze_accepts_new_connections_and_is_silent(dsql: DsqlCluster) -> None:
    """dsql-freeze: TCP connects, and not even the answer to an SSLRequest comes; heal resets."""
    inject(dsql, FaultKind.DSQL_FREEZE)
    with dialled(dsql) as connection:
        connection.sendall(SSL_REQUEST)
        assert not select.select([connection], [], [], SILENCE_S)[0]
        heal(dsql)
        assert is_reset(connection)
    assert serves(dsql)


def test_freeze_in_the_middle_of_a_login_and_of_a_result(dsql: DsqlCluster) -> None:
    """dsql-freeze strikes whatever stage a connection is in."""
    with dialled(dsql) as half:
        half.sendall(SSL_REQUEST)
        assert half.recv(1) == b"S"
        connection = dsql.connect()
        ask(connection, b"SELECT repeat('x', 1000) FROM generate_series(1, 200000)")
        assert answers(connection, ANSWER_S)
        inject(dsql, FaultKind.DSQL_FREEZE)
        half.sendall(b"\x16\x03\x01\x00\x01\x01")
        assert not select.select([half], [], [], SILENCE_S)[0]
        heal(dsql)
        assert is_reset(connection)
        assert is_reset(half)


def test_slow_delays_each_message_and_heal_ends_it(dsql: DsqlCluster) -> None:
    """dsql-slow: an answer of four messages takes four delays; what is under way at heal comes at once."""
    connection = dsql.connect()
    inject(dsql, FaultKind.DSQL_SLOW, delay_ms=50)
    started = time.monotonic()
    assert connection.execute("SELECT 1").fetchone() == (1,)
    assert time.monotonic() - started >= 0.2
    inject(dsql, FaultKind.DSQL_SLOW, delay_ms=60_000)
    ask(connection)
    assert not answers(connection, SILENCE_S)
    heal(dsql)
    assert answers(connection, ANSWER_S)
    assert connection.pgconn.get_result() is not None


def test_slow_can_drip(dsql: DsqlCluster) -> None:
    """dsql-slow with a drip: bytes come one by one, so the socket is never silent and never done."""
    connection = dsql.connect()
    inject(dsql, FaultKind.DSQL_SLOW, delay_ms=10, drip_bytes=1)
    ask(connection)
    arrivals = 0
    give_up = time.monotonic() + ANSWER_S
    while connection.pgconn.is_busy() and time.monotonic() < give_up:
        assert answers(connection, ANSWER_S)
        connection.pgconn.consume_input()
        arrivals += 1
    result = connection.pgconn.get_result()
    assert result is not None
    assert result.get_value(0, 0) == b"1"
    # RowDescription 33 bytes, DataRow 12, CommandComplete 14, ReadyForQuery 6.
    assert arrivals > 20


def test_slow_login_still_succeeds(dsql: DsqlCluster) -> None:
    """dsql-slow: a new connection is slow, not broken."""
    inject(dsql, FaultKind.DSQL_SLOW, delay_ms=5)
    assert serves(dsql)


def test_reset_answers_open_and_new_connections_with_rst(dsql: DsqlCluster) -> None:
    """dsql-reset: an open connection is reset in the middle of a statement, a new one after connecting."""
    connection = dsql.connect()
    ask(connection, b"SELECT pg_sleep(30)")
    inject(dsql, FaultKind.DSQL_RESET)
    assert is_reset(connection)
    with dialled(dsql) as new:
        new.sendall(SSL_REQUEST)
        assert is_reset(new)
    heal(dsql)
    assert serves(dsql)


def test_deny_ends_open_connections_with_a_word_and_denies_logins(dsql: DsqlCluster) -> None:
    """dsql-deny: open connections are terminated by the server, new ones get access denied."""
    connection = dsql.connect()
    inject(dsql, FaultKind.DSQL_DENY)
    with pytest.raises(psycopg.errors.AdminShutdown):
        connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="unable to accept connection, access denied"):
        dsql.connect()
    heal(dsql)
    assert serves(dsql)


def test_halfopen_swallows_on_open_connections_without_end_while_new_ones_work(dsql: DsqlCluster) -> None:
    """dsql-halfopen: what an open connection sends is taken and never answered, also after heal."""
    connection = dsql.connect()
    inject(dsql, FaultKind.DSQL_HALFOPEN)
    ask(connection, b"SELECT '" + b"x" * 4_000_000 + b"'")
    give_up = time.monotonic() + ANSWER_S
    while connection.pgconn.flush():
        assert time.monotonic() < give_up, "the bytes are not taken"
        select.select([], [connection.pgconn.socket], [], 0.1)
    assert serves(dsql)
    heal(dsql)
    assert not answers(connection, SILENCE_S)
    assert serves(dsql)


def test_silent_logs_in_and_answers_no_statement(dsql: DsqlCluster) -> None:
    """dsql-silent: an open connection and a new one, which logs in, get no answer; heal resets both."""
    before = dsql.connect()
    inject(dsql, FaultKind.DSQL_SILENT)
    after = dsql.connect()
    for connection in (before, after):
        ask(connection)
        assert not answers(connection, SILENCE_S)
    heal(dsql)
    for connection in (before, after):
        assert is_reset(connection)
    assert serves(dsql)


def test_silence_gives_up_the_locks_of_the_connections_it_strikes(dsql: DsqlCluster) -> None:
    """A transaction that stalls in one Region does not block the writers of the other."""
    stalled = dsql.connect(autocommit=False)
    stalled.execute("UPDATE beacon.guard SET undrained = undrained")
    inject(dsql, FaultKind.DSQL_SILENT)
    other = dsql.connect(front=dsql.fronts["us-east-2"])
    assert other.execute("UPDATE beacon.guard SET undrained = undrained").rowcount == 1


def test_halfopen_gives_up_the_locks_of_the_lost_connection(dsql: DsqlCluster) -> None:
    """The server's side of a half-open connection is gone: its transaction does not block the others."""
    lost = dsql.connect(autocommit=False)
    lost.execute("UPDATE beacon.guard SET undrained = undrained")
    inject(dsql, FaultKind.DSQL_HALFOPEN)
    assert dsql.connect().execute("UPDATE beacon.guard SET undrained = undrained").rowcount == 1


def test_a_fault_of_one_region_leaves_the_other_alone(dsql: DsqlCluster) -> None:
    """One cluster, an endpoint per Region: only the broken one is broken."""
    other = dsql.connect(front=dsql.fronts["us-east-2"])
    for kind in FaultKind:
        if kind.is_dsql:
            inject(dsql, kind)
            assert other.execute("SELECT 1").fetchone() == (1,)


def test_one_fault_replaces_the_one_before(dsql: DsqlCluster) -> None:
    """From any fault to any other, and back to health, without a step between."""
    kinds = [kind for kind in FaultKind if kind.is_dsql]
    for first in kinds:
        for second in kinds:
            inject(dsql, first)
            inject(dsql, second)
        heal(dsql)
        assert serves(dsql), first


def test_a_fault_of_another_part_is_refused(dsql: DsqlCluster) -> None:
    """A front does not pretend to carry out what is not its own."""
    with pytest.raises(ValueError, match="lambda-error"):
        inject(dsql, FaultKind.LAMBDA_ERROR)


def test_statements_can_be_made_to_fail_with_any_error(dsql: DsqlCluster) -> None:
    """For tests of clients: the next statements, reads too, meet a chosen SQLSTATE; then all is well."""
    connection = dsql.connect()
    disturbance = dsql.front.disturbance

    def disturb() -> None:
        disturbance.failure = Refusal("40001", "schema has been updated by another transaction (OC001)")
        disturbance.failing_statements = 2

    dsql.loop.call(disturb)
    with pytest.raises(psycopg.errors.SerializationFailure, match="OC001"):
        connection.execute("SELECT 1")
    with pytest.raises(psycopg.errors.SerializationFailure, match="OC001"):
        connection.execute("SELECT %s", (1,))
    assert connection.execute("SELECT %s", (1,)).fetchone() == (1,)


def round_trips(front: DsqlFront, port: int, count: int) -> list[float]:
    """Milliseconds from an SSLRequest to its answer."""
    found = []
    for _ in range(count):
        with socket.create_connection((front.address, port), timeout=ANSWER_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            started = time.monotonic()
            connection.sendall(SSL_REQUEST)
            assert connection.recv(1) == b"S"
            found.append((time.monotonic() - started) * 1000)
    return found


def test_a_distant_listener_adds_its_round_trip(dsql: DsqlCluster) -> None:
    """Callers from far away pay one round trip to connect and one for each statement, and no more."""
    distance_ms = 60.0
    far = dsql.loop.run(dsql.front.add_listener(distance_ms))
    near_ms = statistics.median(round_trips(dsql.front, dsql.front.port, 5))
    far_ms = statistics.median(round_trips(dsql.front, far, 5))
    # The first bytes also wait for the round trip that TCP's handshake would have taken.
    assert 2 * distance_ms <= far_ms - near_ms < 3 * distance_ms
    connection = dsql.connect(port=far)
    spent = []
    for _ in range(5):
        started = time.monotonic()
        connection.execute("SELECT 1")
        spent.append((time.monotonic() - started) * 1000)
    assert distance_ms <= statistics.median(spent) < 2 * distance_ms


@pytest.mark.parametrize("kind", [FaultKind.DSQL_FREEZE, FaultKind.DSQL_RESET, FaultKind.DSQL_REFUSE])
def test_faults_reach_distant_callers(dsql: DsqlCluster, kind: FaultKind) -> None:
    """A fault of the endpoint is one for callers from far away too, and heals for them."""
    far = dsql.loop.run(dsql.front.add_listener(10))
    connection = dsql.connect(port=far)
    inject(dsql, kind)
    if kind is FaultKind.DSQL_FREEZE:
        ask(connection)
        assert not answers(connection, SILENCE_S)
    elif kind is FaultKind.DSQL_REFUSE:
        with pytest.raises(ConnectionRefusedError), dialled(dsql, far):
            pass
    else:
        with dialled(dsql, far) as new:
            new.sendall(SSL_REQUEST)
            assert is_reset(new)
    heal(dsql)
    assert is_reset(connection)
    assert dsql.connect(port=far).execute("SELECT 1").fetchone() == (1,)
