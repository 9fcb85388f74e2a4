"""How the client waits in asyncio: for an answer, for its turn, and beside a pool.

:mod:`beacon.client.threads` has the same names for threads. Connections, pools and transactions are written
for this module, and their twins for threads are generated from them (``tools/sync_side``). Only a difference
between a task and a thread belongs here.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg import pq, waiting
from psycopg.abc import RV, PQGen

__all__ = ["Keeper", "Returns", "open_at_once", "opened_by", "pause", "result_of", "sleep", "wait_for"]

#: How often a connect that waits for its turn looks whether the pool is being closed, in seconds.
_NAP_S = 0.1

C = TypeVar("C")
T = TypeVar("T")


async def sleep(pause_s: float) -> None:
    """Do nothing for ``pause_s``."""
    await asyncio.sleep(pause_s)


async def pause(stop: threading.Event, wait_s: float) -> bool:
    """Do nothing for ``wait_s`` or less; whether ``stop`` is set then."""
    # The event belongs to threads and wakes no task: short naps, so that closing the pool does not wait.
    await asyncio.sleep(min(wait_s, _NAP_S))
    return stop.is_set()


async def wait_for(
    connection: psycopg.AsyncConnection[Any], gen: PQGen[RV], interval_s: float, timeout_s: float | None
) -> RV:
    """Wait as psycopg does, but a task that is cancelled closes its connection at once."""
    pgconn = connection.pgconn
    try:
        return await waiting.wait_async(gen, pgconn.socket, interval=interval_s, timeout=timeout_s)
    except (asyncio.CancelledError, KeyboardInterrupt):
        # psycopg would ask the server to cancel, and wait five seconds and more for a server that is silent.
        if pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            pgconn.finish()
        raise


async def opened_by(
    connections: Callable[[], AbstractAsyncContextManager[C]],
) -> AbstractAsyncContextManager[C]:
    """A connection for one ``async with`` block; ``connections`` may be a coroutine function."""
    opened: Any = connections()
    if inspect.isawaitable(opened):
        opened = await opened
    if not hasattr(opened, "__aenter__"):
        if isinstance(opened, psycopg.Connection):
            opened.close()  # the caller gets none, so nothing else would
        raise ValueError(
            "transact_async takes connections for asyncio: use pool.connection of an AsyncPool, or transact"
        )
    found: AbstractAsyncContextManager[C] = opened
    return found


async def result_of(work: Callable[[C], Awaitable[T]], connection: C) -> T:
    """What ``work`` comes to, which has to be a coroutine function."""
    running: Any = work(connection)
    if not inspect.isawaitable(running):
        raise ValueError(
            "work of transact_async must be a coroutine function (async def): nothing was committed, use"
            " transact for a plain one"
        )
    result: T = await running
    return result


class Returns:
    """Gives connections back to psycopg_pool, also when the task that had one is cancelled."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    async def give(self, put: Callable[[C], Coroutine[Any, Any, None]], connection: C) -> None:
        """Give ``connection`` back by ``put``, which ends also when the caller is cancelled meanwhile."""
        # psycopg_pool waits for its lock, and for a rollback; it loses a connection if that is cancelled.
        returning = asyncio.create_task(put(connection))
        self._under_way.add(returning)
        returning.add_done_callback(self._under_way.discard)
        await asyncio.shield(returning)

    async def arrive(self, timeout_s: float) -> None:
        """Wait until all that are on their way have arrived, for ``timeout_s`` at most."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)


class _Kept(Protocol):
    async def look_through(self) -> None:
        """Replace idle connections that should be elsewhere."""


class Keeper:
    """Looks through the idle connections of one pool, in a task of its own."""

    def __init__(self, pause_s: Callable[[], float], stop: threading.Event) -> None:
        self._pause_s, self._stop = pause_s, stop
        self._task: asyncio.Task[None] | None = None

    def start(self, pool: _Kept, name: str) -> None:
        """Look through ``pool`` from now on; calling it again does nothing."""
        if self._task is None:
            self._stop.clear()
            # By a weak reference, so that a pool that is dropped ends as psycopg_pool's does.
            self._task = asyncio.create_task(_keep(weakref.ref(pool), self._pause_s), name=name)

    async def stop(self) -> None:
        """Look no more; ``stop`` is set already."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ended(self, timeout_s: float) -> None:
        """Wait for the end, for ``timeout_s`` at most: :meth:`stop` has waited for it."""


async def _keep(reference: weakref.ref[_Kept], pause_s: Callable[[], float]) -> None:
    while True:
        await asyncio.sleep(pause_s())
        pool = reference()
        if pool is None:
            return
        await pool.look_through()
        del pool


def open_at_once(pool: object) -> None:
    """Refuse to: a constructor cannot wait for a pool that opens in an event loop."""
    name = type(pool).__name__
    raise ValueError(f"an {name} cannot open in its constructor: use `async with`, or `await pool.open()`")
