"""How the client waits in threads: for an answer, for its turn, and beside a pool.

:mod:`beacon.client.tasks` has the same names for asyncio, and says what they are for.
"""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import sleep
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg.abc import RV, PQGen

__all__ = ["Keeper", "Returns", "open_at_once", "opened_by", "pause", "result_of", "sleep", "wait_for"]

C = TypeVar("C")
T = TypeVar("T")


def pause(stop: threading.Event, wait_s: float) -> bool:
    """Do nothing for ``wait_s``, or until ``stop`` is set; whether it is set then."""
    return stop.wait(wait_s)


def wait_for(
    connection: psycopg.Connection[Any], gen: PQGen[RV], interval_s: float, timeout_s: float | None
) -> RV:
    """Wait as psycopg does."""
    return psycopg.Connection.wait(connection, gen, interval=interval_s, timeout=timeout_s)


def opened_by(connections: Callable[[], AbstractContextManager[C]]) -> AbstractContextManager[C]:
    """A connection for one ``with`` block."""
    opened: Any = connections()
    if not hasattr(opened, "__enter__"):
        if inspect.iscoroutine(opened):
            opened.close()
        raise ValueError(
            "transact takes connections for threads: use pool.connection of a Pool, or transact_async"
        )
    found: AbstractContextManager[C] = opened
    return found


def result_of(work: Callable[[C], T], connection: C) -> T:
    """What ``work`` returns, which may be no coroutine: none of its statements would have run."""
    result = work(connection)
    if inspect.iscoroutine(result):
        result.close()
        raise ValueError(
            "work of transact must be a plain function (def): nothing was committed, use transact_async for a"
            " coroutine function"
        )
    return result


class Returns:
    """Gives connections back to psycopg_pool; a thread cannot be cancelled on the way."""

    def give(self, put: Callable[[C], None], connection: C) -> None:
        """Give ``connection`` back by ``put``."""
        put(connection)

    def arrive(self, timeout_s: float) -> None:
        """Wait for none: :meth:`give` has."""


class _Kept(Protocol):
    def look_through(self) -> None:
        """Replace idle connections that should be elsewhere."""


class Keeper:
    """Looks through the idle connections of one pool, in a thread of its own."""

    def __init__(self, pause_s: Callable[[], float], stop: threading.Event) -> None:
        self._pause_s, self._stop = pause_s, stop
        self._thread: threading.Thread | None = None

    def start(self, pool: _Kept, name: str) -> None:
        """Look through ``pool`` from now on; calling it again does nothing."""
        if self._thread is None:
            self._stop.clear()
            # By a weak reference, so that a pool that is dropped ends as psycopg_pool's does.
            arguments = (weakref.ref(pool), self._stop, self._pause_s)
            self._thread = threading.Thread(target=_keep, args=arguments, name=name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more: ``stop`` is set, which the thread finds out by itself."""

    def ended(self, timeout_s: float) -> None:
        """Wait for the end, for ``timeout_s`` at most."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)


def _keep(reference: weakref.ref[_Kept], stop: threading.Event, pause_s: Callable[[], float]) -> None:
    while not stop.wait(pause_s()):
        pool = reference()
        if pool is None:
            return
        pool.look_through()
        del pool


class _Openable(Protocol):
    def open(self) -> None:
        """Open the pool."""


def open_at_once(pool: _Openable) -> None:
    """Open ``pool`` at the end of its constructor."""
    pool.open()
