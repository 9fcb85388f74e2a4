"""Through a DSQL front, PostgreSQL refuses what DSQL refuses and stays PostgreSQL in the rest."""

from __future__ import annotations

import select
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import DsqlCluster

pytestmark = pytest.mark.lab

IDLE = psycopg.pq.TransactionStatus.IDLE
FAILED = psycopg.pq.TransactionStatus.INERROR
WORKING = psycopg.pq.TransactionStatus.INTRANS


@pytest.fixture
def tally(dsql: DsqlCluster) -> Iterator[None]:
    """A table to write to, with one row."""
    admin = dsql.connect()
    admin.execute("CREATE TABLE tally (id int PRIMARY KEY, n int)")
    admin.execute("INSERT INTO tally VALUES (1, 0)")
    yield
    dsql.heal()
    dsql.connect().execute("DROP TABLE tally")


def run(connection: psycopg.Connection, sql: str, protocol: str) -> psycopg.Cursor:
    """Runs `sql` in the simple or in the extended protocol."""
    if protocol == "simple":
        return connection.execute(sql.encode())
    return connection.execute(sql.encode(), (), prepare=True)


@pytest.fixture(params=["simple", "extended"])
def protocol(request: pytest.FixtureRequest) -> str:
    """Both of PostgreSQL's protocols."""
    return str(request.param)


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SET statement_timeout = '1s'", 'setting configuration parameter "statement_timeout" not supported'),
        ("SET LOCAL lock_timeout TO 5", 'setting configuration parameter "lock_timeout" not supported'),
        (
            'set session "Idle_In_Transaction_Session_Timeout" = 5',
            'setting configuration parameter "idle_in_transaction_session_timeout" not supported',
        ),
        (
            "SELECT set_config('statement_timeout', '5', false)",
            'setting configuration parameter "statement_timeout" not supported',
        ),
        (
            "SET default_transaction_isolation = 'read committed'",
            'setting configuration parameter "default_transaction_isolation" not supported',
        ),
        (
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            'setting configuration parameter "TRANSACTION" not supported',
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            'setting configuration parameter "TRANSACTION" not supported',
        ),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "Unsupported isolation level: SERIALIZABLE"),
        ("/* a */ SAVEPOINT a -- b", "unsupported transaction statement: SAVEPOINT"),
        ("TRUNCATE beacon.change", "unsupported statement: Truncate"),
        ("DO $$ BEGIN END $$", "unsupported statement: Do"),
        ("CREATE INDEX ON beacon.change (at)", "unsupported mode. please use CREATE INDEX ASYNC."),
    ],
)
def test_what_dsql_refuses_is_refused_and_the_connection_continues(
    dsql: DsqlCluster, protocol: str, sql: str, sentence: str
) -> None:
    """DSQL's error 0A000 in both protocols; outside of a transaction nothing else happens."""
    connection = dsql.connect()
    with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
        run(connection, sql, protocol)
    assert caught.value.diag.message_primary == sentence
    assert connection.info.transaction_status == IDLE
    assert connection.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
    assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)


@pytest.mark.usefixtures("tally")
def test_a_refusal_aborts_the_transaction_it_stands_in(dsql: DsqlCluster, protocol: str) -> None:
    """As in DSQL: what follows gets 25P02, ROLLBACK ends it, and nothing of it stays."""
    connection = dsql.connect()
    run(connection, "BEGIN", protocol)
    run(connection, "UPDATE tally SET n = 7", protocol)
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        run(connection, "SET lock_timeout = 1", protocol)
    assert connection.info.transaction_status == FAILED
    for sql in ("SELECT 1", "SET lock_timeout = 1"):
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            run(connection, sql, protocol)
    assert run(connection, "COMMIT", protocol).statusmessage == "ROLLBACK"
    assert connection.execute(b"SELECT n FROM tally").fetchone() == (0,)


def test_settings_that_dsql_has_can_be_set(dsql: DsqlCluster, protocol: str) -> None:
    """Only what DSQL lacks is refused."""
    connection = dsql.connect()
    run(connection, "SET timezone = 'Europe/Berlin'", protocol)
    run(connection, "SET application_name TO 'a; SET statement_timeout = 1'", protocol)
    run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ", protocol)
    assert connection.execute("SHOW timezone").fetchone() == ("Europe/Berlin",)


def test_a_transaction_takes_one_ddl_statement_and_no_dml_beside_it(dsql: DsqlCluster, protocol: str) -> None:
    """Two DDL statements, or DDL and DML, in one transaction: 0A000, and the transaction is lost."""
    connection = dsql.connect()
    for statements, sentence in (
        (["CREATE TABLE t1 (a int)", "CREATE TABLE t2 (a int)"], "multiple ddl statements not supported"),
        (
            ["CREATE TABLE t1 (a int)", "DELETE FROM beacon.guard WHERE false"],
            "ddl and dml are not supported",
        ),
        (
            ["DELETE FROM beacon.guard WHERE false", "CREATE TABLE t1 (a int)"],
            "ddl and dml are not supported",
        ),
    ):
        run(connection, "BEGIN", protocol)
        run(connection, statements[0], protocol)
        with pytest.raises(psycopg.errors.FeatureNotSupported, match=sentence):
            run(connection, statements[1], protocol)
        run(connection, "ROLLBACK", protocol)
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="multiple ddl statements"):
        connection.execute("CREATE TABLE t1 (a int); CREATE TABLE t2 (a int)")
    assert connection.execute("SELECT to_regclass('t1')").fetchone() == (None,)
    # One after the other, each in its own transaction, they are fine.
    connection.execute("CREATE TABLE t1 (a int)")
    connection.execute("INSERT INTO t1 VALUES (1)")
    connection.execute("DROP TABLE t1")


def test_parameters_do_not_hide_a_mixed_transaction(dsql: DsqlCluster) -> None:
    """A statement with parameters is refused as itself, not for its parameters."""
    connection = dsql.connect(autocommit=False)
    connection.execute("CREATE TABLE t1 (a int)")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="ddl and dml are not supported"):
        connection.execute("INSERT INTO t1 VALUES (%s)", (1,))
    connection.rollback()


@pytest.mark.usefixtures("tally")
def test_a_conflict_can_be_made_to_appear_at_commit(dsql: DsqlCluster, protocol: str) -> None:
    """The commit of a write fails with 40001 and OC000 as often as asked; then it succeeds."""
    connection = dsql.connect()
    dsql.loop.call(lambda: setattr(dsql.front.disturbance, "conflict_next_commits", 2))
    for _ in range(2):
        run(connection, "BEGIN", protocol)
        run(connection, "UPDATE tally SET n = n + 1", protocol)
        assert connection.info.transaction_status == WORKING
        with pytest.raises(psycopg.errors.SerializationFailure, match=r"\(OC000\)"):
            run(connection, "COMMIT", protocol)
        assert connection.info.transaction_status == IDLE
        assert connection.execute(b"SELECT n FROM tally").fetchone() == (0,)
    run(connection, "BEGIN", protocol)
    run(connection, "UPDATE tally SET n = n + 1", protocol)
    assert run(connection, "COMMIT", protocol).statusmessage == "COMMIT"
    assert connection.execute(b"SELECT n FROM tally").fetchone() == (1,)


@pytest.mark.usefixtures("tally")
def test_a_conflict_strikes_a_write_that_commits_by_itself(dsql: DsqlCluster, protocol: str) -> None:
    """Without BEGIN the statement is the commit; it fails and has changed nothing."""
    connection = dsql.connect()
    dsql.loop.call(lambda: setattr(dsql.front.disturbance, "conflict_next_commits", 1))
    with pytest.raises(psycopg.errors.SerializationFailure, match=r"\(OC000\)"):
        run(connection, "UPDATE tally SET n = n + 1", protocol)
    run(connection, "UPDATE tally SET n = n + 10", protocol)
    assert connection.execute(b"SELECT n FROM tally").fetchone() == (10,)


@pytest.mark.usefixtures("tally")
def test_a_conflict_spares_transactions_that_only_read(dsql: DsqlCluster) -> None:
    """A read-only transaction has nothing to conflict with; the next write meets it."""
    connection = dsql.connect(autocommit=False)
    dsql.loop.call(lambda: setattr(dsql.front.disturbance, "conflict_next_commits", 1))
    connection.execute("SELECT 1")
    connection.commit()
    connection.execute(b"UPDATE tally SET n = 5")
    with pytest.raises(psycopg.errors.SerializationFailure):
        connection.commit()


@pytest.mark.usefixtures("tally")
def test_two_writers_of_one_row_conflict_in_dsql_s_words(dsql: DsqlCluster) -> None:
    """A real conflict through two Regions' endpoints: the second one gets 40001 with OC000."""
    first = dsql.connect(autocommit=False)
    second = dsql.connect(front=dsql.fronts["us-east-2"], autocommit=False)
    second.execute(b"SELECT n FROM tally")
    first.execute(b"UPDATE tally SET n = 1")
    first.commit()
    with pytest.raises(psycopg.errors.SerializationFailure, match=r"\(OC000\)"):
        second.execute(b"UPDATE tally SET n = 2")


@pytest.mark.usefixtures("tally")
def test_pipelines_keep_their_order(dsql: DsqlCluster) -> None:
    """With many statements under way, a refusal strikes its own and the rest of its group only."""
    connection = dsql.connect()
    before, after = connection.cursor(), connection.cursor()

    def work() -> None:
        with connection.pipeline() as pipeline:
            before.execute("SELECT %s", (1,))
            pipeline.sync()
            connection.execute(b"SET lock_timeout = 1")
            after.execute(b"UPDATE tally SET n = 9")
            pipeline.sync()

    with pytest.raises(psycopg.errors.FeatureNotSupported):
        work()
    assert before.fetchone() == (1,)
    assert after.statusmessage is None
    assert connection.execute(b"SELECT n FROM tally").fetchone() == (0,)


@pytest.mark.usefixtures("tally")
def test_a_conflict_at_commit_inside_a_pipeline(dsql: DsqlCluster) -> None:
    """BEGIN, UPDATE and COMMIT sent at once: the COMMIT fails, the row is as before."""
    connection = dsql.connect()
    dsql.loop.call(lambda: setattr(dsql.front.disturbance, "conflict_next_commits", 1))

    def work() -> None:
        with connection.pipeline():
            connection.execute(b"BEGIN")
            connection.execute(b"UPDATE tally SET n = %s", (9,))
            connection.execute(b"COMMIT")

    with pytest.raises(psycopg.errors.SerializationFailure):
        work()
    assert connection.info.transaction_status == IDLE
    assert connection.execute(b"SELECT n FROM tally").fetchone() == (0,)


def test_a_running_statement_can_be_cancelled(dsql: DsqlCluster) -> None:
    """A CancelRequest over TLS reaches PostgreSQL, and the connection continues."""
    if psycopg.pq.version() < 170000:
        pytest.skip("needs libpq 17, which encrypts its cancel requests")
    connection = dsql.connect()
    timer = threading.Timer(0.2, connection.cancel_safe)
    timer.start()
    started = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(30)")
    timer.join()
    assert time.monotonic() - started < 20
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_large_values_and_results_pass_unchanged_both_ways(dsql: DsqlCluster) -> None:
    """Messages larger than any buffer arrive whole, also when the client reads slowly."""
    connection = dsql.connect()
    text = "ünïcode " * 1_000_000
    assert connection.execute("SELECT %s", (text,)).fetchone() == (text,)
    cursor = connection.execute(
        "SELECT i, repeat('x', 500) FROM generate_series(1, 50000) AS s (i)", binary=True
    )
    assert [row[0] for row in cursor] == list(range(1, 50001))


@pytest.mark.usefixtures("tally")
def test_copy_and_notices_pass(dsql: DsqlCluster) -> None:
    """COPY in both directions, in both protocols, and a flood of notices leave the conversation intact."""
    connection = dsql.connect()
    notices: list[object] = []
    connection.add_notice_handler(notices.append)
    with connection.cursor() as cursor:
        with cursor.copy(b"COPY tally FROM STDIN") as copy:
            for number in range(2, 102):
                copy.write_row((number, number))
        with cursor.copy(b"COPY tally TO STDOUT") as copy:
            assert len(list(copy.rows())) == 101
    for _ in range(200):
        connection.execute("DROP TABLE IF EXISTS nothing_of_this_name")
    assert len(notices) == 200
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        connection.execute("SET lock_timeout = 1")
    assert connection.execute(b"SELECT count(*) FROM tally").fetchone() == (101,)


def test_a_backend_that_is_terminated_ends_the_client_s_connection(dsql: DsqlCluster) -> None:
    """pg_terminate_backend behind the front reaches the client as 57P01 and a closed connection."""
    connection = dsql.connect()
    pid = connection.info.backend_pid
    dsql.loop.run(dsql.postgres.run(f"SELECT pg_terminate_backend({pid})"))
    # Read before anything is sent: TCP's reset would take the words from a client that sends just then.
    assert select.select([connection.pgconn.socket], [], [], 10)[0]
    connection.pgconn.consume_input()
    with pytest.raises(psycopg.errors.AdminShutdown):
        connection.execute("SELECT 1")
    assert connection.closed
    assert dsql.connect().execute("SELECT 1").fetchone() == (1,)


def test_a_client_that_goes_away_leaves_no_backend(dsql: DsqlCluster) -> None:
    """A connection that is dropped in a transaction gives its locks up at once."""
    connection = dsql.connect(autocommit=False)
    connection.execute("UPDATE beacon.guard SET undrained = undrained")
    pid = connection.info.backend_pid
    connection.close()
    admin = dsql.connect()
    give_up = time.monotonic() + 10
    while admin.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone():
        assert time.monotonic() < give_up, "the backend stays"
        time.sleep(0.02)
    assert admin.execute("UPDATE beacon.guard SET undrained = undrained").rowcount == 1
