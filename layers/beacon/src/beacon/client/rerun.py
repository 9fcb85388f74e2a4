"""Transactions that run again where that is safe, and report where the outcome cannot be known.

==============================================  =========================================================
what happens                                    the transaction
==============================================  =========================================================
optimistic-concurrency conflict (40001, OC000,  is rolled back by the database, and runs again after a
OC001), at any statement or at COMMIT           pause
the connection is lost, or gives no answer in   was never committed, and runs again on another connection
time, before COMMIT was sent                    after a pause
the same after COMMIT was sent                  is unknown: :class:`CommitOutcomeUnknownError`; it runs
                                                again only if the caller says that twice is as good as once
a statement failed and the work continued       ends in ``InFailedSqlTransaction``, in place of a COMMIT
                                                that would silently roll back
the work commits, or has a ``transaction()``    ends in an error: the outcome of such a COMMIT would be
of its own                                      lost, and DSQL has no savepoints
anything else                                   ends in the error that was raised
==============================================  =========================================================

The work may run several times, and everything that it does outside the database happens as often. A pause is
random, up to a bound that doubles (full jitter), so that transactions that conflicted do not meet again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq

from beacon.client.arguments import flag, kind_of, number, require_none
from beacon.outcome import CONFLICT

__all__ = ["CommitOutcomeUnknownError", "Rerun", "RetryPolicy", "require_calls", "require_fresh"]

#: SQLSTATEs by which a server ends a session, and those that say themselves that the outcome is unknown.
_SESSION_ENDED = ("57P", "08")
_UNKNOWN = frozenset({"08007", "40003"})


class CommitOutcomeUnknownError(psycopg.OperationalError):
    """COMMIT was sent and no answer came: the transaction may be applied, now or in a moment, or not.

    Find out before you run it again, for instance by a key that it wrote. Wait for a while before you believe
    that the key is not there, since a server that was frozen may still carry out the COMMIT.
    """


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often the work of a transaction is run, and the pauses between.

    A pause is random, up to a bound that doubles. Raises ``ValueError`` with every reason at once.

    :param attempts: how often the work is run, at most; default 8.
    :param first_pause_s: the bound of the first pause, in seconds; default 0.02.
    :param most_pause_s: the most that doubling makes of it, in seconds; default 1.0.
    """

    attempts: int = 8
    first_pause_s: float = 0.02
    most_pause_s: float = 1.0

    def __post_init__(self) -> None:
        problems = number("first_pause_s", self.first_pause_s, 0, 60)
        problems += number("most_pause_s", self.most_pause_s, 0, 60)
        if not problems and self.first_pause_s > self.most_pause_s:
            problems = [
                f"first_pause_s must be at most most_pause_s, {self.most_pause_s}, not {self.first_pause_s}"
            ]
        require_none(number("attempts", self.attempts, 1, 100, whole=True) + problems)


def require_calls(name: str, connections: object, work: object, *, idempotent: object, retry: object) -> None:
    """Raise ``ValueError`` with everything that is wrong with the arguments of ``name``, a function."""
    problems = []
    if getattr(connections, "__name__", "") == "getconn" and hasattr(
        getattr(connections, "__self__", None), "connection"
    ):
        problems.append(
            f"{name} takes pool.connection, not pool.getconn, whose connection would not come back"
        )
    elif not callable(connections):
        if hasattr(connections, "connection"):
            problems.append(f"{name} takes pool.connection, not the pool itself")
        else:
            problems.append(
                f"{name} opens a connection for each attempt: pass pool.connection without parentheses, or a"
                f" function that connects, not {kind_of(connections)}"
            )
    if not callable(work):
        problems.append(
            f"work must be a function of one connection, not {kind_of(work)}: pass its name, uncalled"
        )
    if not isinstance(retry, RetryPolicy | None):
        problems.append(f"retry must be a RetryPolicy, such as RetryPolicy(attempts=3), not {kind_of(retry)}")
    require_none(problems + flag("idempotent", idempotent))


class Rerun:
    """Counts the attempts of one transaction, and judges how each one ended."""

    def __init__(self, policy: RetryPolicy, *, idempotent: bool) -> None:
        self._policy = policy
        self._idempotent = idempotent
        self._attempt = 0
        self._committing = self._lost = self._unknown = False
        self._seen: psycopg.Error | None = None

    def begin(self) -> None:
        """A new attempt."""
        self._attempt += 1
        self._committing = self._lost = False
        self._seen = None

    @contextmanager
    def watching(self, pgconn: pq.abc.PGconn) -> Iterator[None]:
        """Note whether the connection was lost, before the block that opened it closes it."""
        try:
            yield
        except psycopg.Rollback as wish:
            raise psycopg.ProgrammingError("the work asked for a rollback: nothing was committed") from wish
        except psycopg.Error as error:
            if self._seen is not None:
                # The work failed; that the rollback failed too is of no interest.
                raise self._seen from None
            self._seen = error if not self._committing else None
            ended = (error.sqlstate or "").startswith(_SESSION_ENDED)
            self._lost = ended or pgconn.status == pq.ConnStatus.BAD
            raise

    def before_commit(self, pgconn: pq.abc.PGconn) -> None:
        """From here on the outcome may be unknown."""
        status = pgconn.transaction_status
        if status == pq.TransactionStatus.INERROR:
            raise psycopg.errors.InFailedSqlTransaction(
                "a statement of the transaction failed, and the work continued: nothing was committed"
            )
        if status == pq.TransactionStatus.UNKNOWN:
            raise psycopg.OperationalError(
                "the connection was lost, and the work continued: nothing was committed"
            )
        if status == pq.TransactionStatus.IDLE:
            raise psycopg.ProgrammingError("the work ended its transaction itself")
        self._committing = True

    def judge(self, error: psycopg.Error) -> float:
        """How long to pause before the next attempt; raises the error of one that is not repeated."""
        last = self._attempt >= self._policy.attempts
        if self._committing and (self._lost or error.sqlstate in _UNKNOWN):
            self._unknown = True
            if last or not self._idempotent:
                raise CommitOutcomeUnknownError(
                    "COMMIT was sent and not answered: the transaction may have been applied, or may yet be;"
                    " find out before you run it again"
                ) from error
        elif last or not (self._lost or error.sqlstate in CONFLICT):
            if self._unknown:
                raise CommitOutcomeUnknownError(
                    "an earlier attempt's COMMIT was sent and not answered, and running it again failed"
                ) from error
            raise error
        most_s = min(self._policy.first_pause_s * 2.0 ** (self._attempt - 1), self._policy.most_pause_s)
        return random.uniform(0, most_s)  # noqa: S311 - no secret hangs on it


def require_fresh(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Raise ``ValueError`` unless a transaction can begin here."""
    if connection.autocommit:
        raise ValueError("transact needs a connection without autocommit: each statement would commit itself")
    if connection.pgconn.pipeline_status != pq.PipelineStatus.OFF:
        raise ValueError("transact needs a connection outside of a pipeline: open one within the work")
    if connection.pgconn.transaction_status not in {pq.TransactionStatus.IDLE, pq.TransactionStatus.UNKNOWN}:
        raise ValueError("transact needs a connection without a transaction under way")
