"""Transactions against real SQL: run again where that is safe, and never blindly after a COMMIT."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from tests.lab.client.conftest import FAR, NEAR, Client, region_of

from beacon import CommitOutcomeUnknownError, Connection, RetryPolicy, transact, transact_async
from beacon_lab.dsql.rules import Refusal
from beacon_lab.faults import FaultKind

pytestmark = pytest.mark.lab
AT_ONCE = RetryPolicy(first_pause_s=0.0, most_pause_s=0.0)


class Ledger:
    """A table in which an operation that is applied twice has two rows."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.runs = 0
        self.regions: list[str] = []

    def work(self, operation: str) -> Callable[[Connection[Any]], str]:
        def run(connection: Connection[Any]) -> str:
            self.runs += 1
            self.regions.append(region_of(connection))
            connection.execute("INSERT INTO ledger.entry (operation) VALUES (%s)", (operation,))
            return operation

        return run

    def applied(self, operation: str) -> int:
        """How many times, as PostgreSQL itself knows."""
        with psycopg.connect(**self.client.dsql.parameters(front=self.client.dsql.fronts[FAR])) as connection:
            row = connection.execute(
                "SELECT count(*) FROM ledger.entry WHERE operation = %s", (operation,)
            ).fetchone()
        assert row is not None
        return int(row[0])

    def conflicts(self, times: int) -> None:
        self.client.dsql.front.disturbance.conflict_next_commits = times


@pytest.fixture
def ledger(client: Client) -> Iterator[Ledger]:
    """The table, for this test alone."""
    run = client.dsql.loop.run
    postgres, role = client.dsql.postgres, client.dsql.operator_role
    run(
        postgres.run(
            "CREATE SCHEMA ledger",
            "CREATE TABLE ledger.entry (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), operation text)",
            f"GRANT USAGE ON SCHEMA ledger TO {role}, admin",
            f"GRANT SELECT, INSERT ON ledger.entry TO {role}, admin",
        )
    )
    yield Ledger(client)
    client.heal(NEAR)
    run(postgres.run("DROP SCHEMA ledger CASCADE"))


def operation() -> str:
    return str(uuid.uuid4())


def test_a_transaction_is_applied_once(ledger: Ledger) -> None:
    """And what the work returned is returned."""
    name = operation()
    assert transact(ledger.client.connect, ledger.work(name)) == name
    assert (ledger.runs, ledger.applied(name)) == (1, 1)


def test_a_conflict_at_commit_is_run_again(ledger: Ledger) -> None:
    """Until it is applied, once."""
    name = operation()
    ledger.conflicts(3)
    transact(ledger.client.connect, ledger.work(name), retry=AT_ONCE)
    assert (ledger.runs, ledger.applied(name)) == (4, 1)


@pytest.mark.parametrize("sqlstate", ["40001", "OC000", "OC001"])
def test_a_conflict_at_a_statement_is_run_again(ledger: Ledger, sqlstate: str) -> None:
    """By each of the codes that a database may use for it."""
    name = operation()
    ledger.client.dsql.front.disturbance.failure = Refusal(sqlstate, "change conflicts")
    ledger.client.dsql.front.disturbance.failing_statements = 1
    transact(ledger.client.connect, ledger.work(name), retry=AT_ONCE)
    assert (ledger.runs, ledger.applied(name)) == (2, 1)


def test_conflicts_without_end_are_raised_after_the_last_attempt(ledger: Ledger) -> None:
    """As the database said it, and nothing is applied."""
    name = operation()
    ledger.conflicts(99)
    with pytest.raises(psycopg.errors.SerializationFailure):
        transact(ledger.client.connect, ledger.work(name), retry=RetryPolicy(3, 0.0, 0.0))
    assert (ledger.runs, ledger.applied(name)) == (3, 0)


def test_an_error_of_the_work_is_raised_at_once(ledger: Ledger) -> None:
    """It would fail the same way again; nothing is applied."""
    name = operation()

    def work(connection: Connection[Any]) -> None:
        ledger.work(name)(connection)
        connection.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        transact(ledger.client.connect, work)
    assert (ledger.runs, ledger.applied(name)) == (1, 0)


def test_a_failure_that_the_work_passes_over_is_no_success(ledger: Ledger) -> None:
    """PostgreSQL answers such a COMMIT with a rollback, and no driver says so."""
    name = operation()

    def work(connection: Connection[Any]) -> None:
        ledger.work(name)(connection)
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.InFailedSqlTransaction, match="nothing was committed"):
        transact(ledger.client.connect, work)
    assert ledger.applied(name) == 0


@pytest.mark.parametrize("kind", [FaultKind.DSQL_FREEZE, FaultKind.DSQL_RESET, FaultKind.DSQL_DENY])
def test_a_connection_lost_before_commit_is_run_again_elsewhere(ledger: Ledger, kind: FaultKind) -> None:
    """No COMMIT was sent, so nothing was applied; the second run is the only one that counts."""
    name, client = operation(), ledger.client
    endpoints = client.endpoints()

    def work(connection: Connection[Any]) -> None:
        ledger.work(name)(connection)
        if region_of(connection) == NEAR:
            client.inject(NEAR, kind)
            connection.execute("SELECT 1")

    transact(lambda: client.connect(endpoints, query_timeout_s=0.3), work, retry=AT_ONCE)
    assert ledger.regions == [NEAR, FAR]
    assert ledger.applied(name) == 1


def lost_at_commit(ledger: Ledger, name: str, kind: FaultKind) -> Callable[[Connection[Any]], None]:
    """Work after which the near Region breaks: its COMMIT is not answered."""

    def work(connection: Connection[Any]) -> None:
        ledger.work(name)(connection)
        if region_of(connection) == NEAR:
            ledger.client.inject(NEAR, kind)

    return work


@pytest.mark.parametrize("kind", [FaultKind.DSQL_FREEZE, FaultKind.DSQL_RESET, FaultKind.DSQL_HALFOPEN])
def test_a_commit_without_an_answer_is_not_run_again(ledger: Ledger, kind: FaultKind) -> None:
    """The client cannot know whether it was applied, and raises an error that says so."""
    name, client = operation(), ledger.client
    with pytest.raises(CommitOutcomeUnknownError, match="find out before you run it again") as caught:
        transact(lambda: client.connect(query_timeout_s=0.3), lost_at_commit(ledger, name, kind))
    assert ledger.runs == 1
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)
    client.heal(NEAR)
    assert ledger.applied(name) <= 1


def test_a_commit_that_was_carried_out_and_not_answered_is_reported_as_unknown(ledger: Ledger) -> None:
    """The answer is lost on its way back: here it was applied, and to run it again would apply it twice."""
    name, client = operation(), ledger.client

    def work(connection: Connection[Any]) -> None:
        ledger.work(name)(connection)
        client.inject(NEAR, FaultKind.DSQL_SLOW, delay_ms=2000)

    with pytest.raises(CommitOutcomeUnknownError):
        transact(lambda: client.connect(query_timeout_s=0.3), work)
    end = time.monotonic() + 5
    while ledger.applied(name) == 0:
        assert time.monotonic() < end, "the COMMIT was never carried out"
    assert (ledger.runs, ledger.applied(name)) == (1, 1)


def test_idempotent_work_is_run_again_after_a_commit_without_an_answer(ledger: Ledger) -> None:
    """The caller says that twice is as good as once."""
    name, client = operation(), ledger.client
    endpoints = client.endpoints()
    transact(
        lambda: client.connect(endpoints, query_timeout_s=0.3),
        lost_at_commit(ledger, name, FaultKind.DSQL_RESET),
        idempotent=True,
        retry=AT_ONCE,
    )
    assert ledger.regions == [NEAR, FAR]
    assert ledger.applied(name) >= 1


def test_work_with_a_transaction_of_its_own_is_refused_and_applies_nothing(ledger: Ledger) -> None:
    """Its COMMIT would be outside the retry loop; as a savepoint, DSQL does not have it."""
    name = operation()

    def work(connection: Connection[Any]) -> None:
        with connection.transaction():
            ledger.work(name)(connection)

    with pytest.raises(psycopg.errors.FeatureNotSupported):
        transact(ledger.client.connect, work)
    assert ledger.applied(name) == 0


@pytest.mark.parametrize("how", ["method", "statement"])
def test_work_that_commits_by_itself_is_an_error(ledger: Ledger, how: str) -> None:
    """What it did after that would not be one transaction with what it did before."""
    name = operation()

    def work(connection: Connection[Any]) -> None:
        ledger.work(name)(connection)
        if how == "method":
            connection.commit()
        else:
            connection.execute("COMMIT")

    with pytest.raises(psycopg.ProgrammingError):
        transact(ledger.client.connect, work)
    assert ledger.runs == 1


def test_work_that_asks_for_a_rollback_hears_that_nothing_was_committed(ledger: Ledger) -> None:
    """psycopg would end the block without a word, and the caller would take it for done."""
    name = operation()

    def work(connection: Connection[Any]) -> None:
        ledger.work(name)(connection)
        raise psycopg.Rollback

    with pytest.raises(psycopg.ProgrammingError, match="nothing was committed"):
        transact(ledger.client.connect, work)
    assert ledger.applied(name) == 0


def test_a_loss_that_the_work_passes_over_is_run_again(ledger: Ledger) -> None:
    """No COMMIT was sent, so the outcome is known: nothing."""
    name, client = operation(), ledger.client
    endpoints = client.endpoints()

    def work(connection: Connection[Any]) -> None:
        ledger.work(name)(connection)
        if region_of(connection) == NEAR:
            client.inject(NEAR, FaultKind.DSQL_RESET)
            with contextlib.suppress(psycopg.OperationalError):
                connection.execute("SELECT 1")

    transact(lambda: client.connect(endpoints), work, retry=AT_ONCE)
    assert (ledger.regions, ledger.applied(name)) == ([NEAR, FAR], 1)


def test_an_outcome_that_is_unknown_stays_so_when_the_next_attempt_fails(ledger: Ledger) -> None:
    """Idempotent work too: that it could not be run again says nothing about the first time."""
    name, client = operation(), ledger.client
    endpoints = client.endpoints()

    def work(connection: Connection[Any]) -> None:
        lost_at_commit(ledger, name, FaultKind.DSQL_RESET)(connection)
        client.inject(FAR, FaultKind.DSQL_REFUSE)

    with pytest.raises(CommitOutcomeUnknownError, match="running it again failed") as caught:
        transact(lambda: client.connect(endpoints, timeout_s=0.5), work, idempotent=True, retry=AT_ONCE)
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)
    client.heal(FAR)
    assert ledger.runs == 1


def test_a_connection_in_a_pipeline_or_a_transaction_is_refused(ledger: Ledger) -> None:
    """A pipeline sends COMMIT without waiting for its answer; an open transaction is the caller's own."""

    @contextlib.contextmanager
    def in_pipeline() -> Iterator[Connection[Any]]:
        with ledger.client.connect() as connection, connection.pipeline():
            yield connection

    @contextlib.contextmanager
    def in_transaction() -> Iterator[Connection[Any]]:
        with ledger.client.connect() as connection:
            connection.execute("SELECT 1")
            yield connection

    for opened, word in ((in_pipeline, "pipeline"), (in_transaction, "transaction under way")):
        with pytest.raises(ValueError, match=word):
            transact(opened, ledger.work(operation()))
    assert ledger.runs == 0


def test_a_connection_with_autocommit_is_refused(ledger: Ledger) -> None:
    """Each statement would commit itself, and nothing could be run again."""
    with pytest.raises(ValueError, match="without autocommit"):
        transact(lambda: ledger.client.connect(autocommit=True), ledger.work(operation()))
    assert ledger.runs == 0


def test_a_retry_policy_names_everything_that_is_wrong_with_it() -> None:
    """All at once."""
    with pytest.raises(
        ValueError, match=r"attempts must be 1-100, not 0; first_pause_s must be at most most_pause_s"
    ):
        RetryPolicy(0, 2.0, 1.0)


def test_the_same_holds_for_asyncio(ledger: Ledger) -> None:
    """A conflict is run again, a COMMIT without an answer is not."""
    client = ledger.client

    def work(name: str, *, breaks: bool) -> Callable[[Any], Any]:
        async def run(connection: Any) -> str:  # noqa: ANN401 - an AsyncConnection
            ledger.runs += 1
            await connection.execute("INSERT INTO ledger.entry (operation) VALUES (%s)", (name,))
            if breaks:
                await asyncio.to_thread(client.inject, NEAR, FaultKind.DSQL_FREEZE)
            return name

        return run

    class Opened:
        """What a pool's ``connection()`` is: a connection for a block."""

        async def __aenter__(self) -> Any:  # noqa: ANN401 - as above
            self.connection = await client.connect_async(query_timeout_s=0.3)
            return self.connection

        async def __aexit__(self, *_: object) -> None:
            await self.connection.close()

    async def story() -> None:
        first, second = operation(), operation()
        ledger.conflicts(2)
        assert await transact_async(Opened, work(first, breaks=False), retry=AT_ONCE) == first
        assert (ledger.runs, ledger.applied(first)) == (3, 1)
        with pytest.raises(CommitOutcomeUnknownError):
            await transact_async(Opened, work(second, breaks=True))
        assert ledger.runs == 4

    asyncio.run(story())
