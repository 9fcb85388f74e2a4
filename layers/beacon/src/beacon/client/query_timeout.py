"""The time that a statement has for its answer, and what a new connection needs to know to keep that time.

A frozen server keeps a driver waiting without a limit: Aurora DSQL has no ``statement_timeout``, and
psycopg's own cancellation waits for the server too. So a connection that gets no answer within
``query_timeout_s`` is closed, and :class:`QueryTimeoutError` is raised. The next login to its endpoint has to
answer a statement before it counts (:mod:`beacon.client.local_view`).
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Protocol

import psycopg
from psycopg import pq

from beacon.client.connect_options import Login
from beacon.client.race import Won
from beacon.client.surroundings import Surroundings
from beacon.model import Endpoint

__all__ = ["QueryTimeoutError", "has_answer", "is_overdue", "settle", "time_limits"]

#: The time for a last look at an answer that has arrived: the process was held up while it came.
_LAST_LOOK_S = 0.05


class QueryTimeoutError(psycopg.OperationalError):
    """No answer came in time, and the connection is closed. Whether the statement took effect is unknown.

    :param region: the Region that the connection led to.
    :param timeout_s: the time that the statement had, in seconds.
    """

    def __init__(self, region: str, timeout_s: float) -> None:
        self.region, self.timeout_s = region, timeout_s
        super().__init__(f"no answer from {region} within {timeout_s:g} s: the connection is closed")

    def __reduce__(self) -> tuple[type[QueryTimeoutError], tuple[str, float]]:
        return type(self), (self.region, self.timeout_s)


def time_limits(query_timeout_s: float) -> tuple[float, float]:
    """The limits of the two waits for one answer: its time, and the last look."""
    return query_timeout_s, _LAST_LOOK_S


def is_overdue(
    error: psycopg.OperationalError, pgconn: pq.abc.PGconn, began: float, allowed_s: float
) -> bool:
    """Whether a failed wait has run out of time: psycopg's error for it has no public name."""
    # An error of the server is an answer, however late it is read.
    late = time.monotonic() - began >= allowed_s
    return late and error.sqlstate is None and pgconn.status == pq.ConnStatus.OK


def has_answer(pgconn: pq.abc.PGconn) -> bool:
    """Whether an answer has arrived and was not read: this process, or its event loop, was held up."""
    poller = select.poll()
    poller.register(pgconn.socket, select.POLLIN)
    return bool(poller.poll(0))


class _Settled(Protocol):
    """The attributes that a connection of Beacon has and psycopg's has not."""

    endpoint: Endpoint
    opened_at: float
    used_at: float
    query_timeout_s: float | None
    on_silence: Callable[[], None] | None


def settle(connection: _Settled, won: Won[pq.abc.PGconn], surroundings: Surroundings, login: Login) -> None:
    """Tell a new connection its endpoint, its age, its time limit, and what to call when it is silent."""
    clock, local = surroundings.clock, surroundings.local
    opened_at, host = clock(), won.candidate.endpoint.host
    connection.endpoint = won.candidate.endpoint
    connection.opened_at = connection.used_at = opened_at
    connection.query_timeout_s = login.query_timeout_s
    connection.on_silence = lambda: local.silent(host, opened_at, clock())
