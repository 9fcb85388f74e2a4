"""Transactions that are run again where that is safe, for asyncio; see :mod:`beacon.client.rerun`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import psycopg

from beacon.client.rerun import Rerun, RetryPolicy, require_calls, require_fresh
from beacon.client.tasks import opened_by, result_of, sleep

__all__ = ["transact_async"]

T = TypeVar("T")
C = TypeVar("C", bound=psycopg.AsyncConnection[Any])


async def transact_async(
    connections: Callable[[], AbstractAsyncContextManager[C]],
    work: Callable[[C], Awaitable[T]],
    *,
    idempotent: bool = False,
    retry: RetryPolicy | None = None,
) -> T:
    """Run ``work`` in a transaction, commit it, and return what it returned.

    :mod:`beacon.client.rerun` says when the work runs again. Raises
    :class:`~beacon.client.rerun.CommitOutcomeUnknownError`, the last error when all attempts are used up, and
    ``ValueError`` for what cannot be used.

    :param connections: opens a connection for one attempt: ``pool.connection``, or a function that calls
        :func:`beacon.connect_async`.
    :param work: a function of the connection; it may run several times.
    :param idempotent: whether to apply the work twice is as good as once; default ``False``.
    :param retry: how often the work runs, and the pauses between; default ``None``: ``RetryPolicy()``.
    """
    require_calls("transact_async", connections, work, idempotent=idempotent, retry=retry)
    rerun = Rerun(retry or RetryPolicy(), idempotent=idempotent)
    while True:
        rerun.begin()
        try:
            async with await opened_by(connections) as connection:
                with rerun.watching(connection.pgconn):
                    require_fresh(connection)
                    # Within a block psycopg forbids the work to commit; an inner block is a savepoint.
                    async with connection.transaction():
                        with rerun.watching(connection.pgconn):
                            result = await result_of(work, connection)
                        rerun.before_commit(connection.pgconn)
                    return result
        except psycopg.Error as error:
            pause_s = rerun.judge(error)
        await sleep(pause_s)
