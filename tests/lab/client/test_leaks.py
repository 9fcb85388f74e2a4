"""Thousands of connects under faults leave nothing behind: no descriptor, no thread, no task, no login.

`make test` makes 3,000 of them: what a connect leaves is as visible as after 10,000, which
BEACON_CONNECTS=10000 makes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import psycopg
import pytest
from tests.lab.client.conftest import FAR, NEAR, Client, region_of

from beacon import ConnectError, Endpoints, StaticList
from beacon.client.local_view import LocalView
from beacon.dsql.resolver import Resolver
from beacon_lab.faults import FaultKind

pytestmark = pytest.mark.lab

CONNECTS = int(os.environ.get("BEACON_CONNECTS", "3000"))
TURN = 50
#: What the near and the far Region do, in turns: won and lost races, and races without an answer.
COURSES = (
    (None, None),
    (FaultKind.DSQL_REFUSE, FaultKind.DSQL_REFUSE),
    (FaultKind.DSQL_REFUSE, None),
    (FaultKind.DSQL_REFUSE, FaultKind.DSQL_RESET),
    (FaultKind.DSQL_RESET, None),
    (FaultKind.DSQL_RESET, FaultKind.DSQL_REFUSE),
    (FaultKind.DSQL_DENY, None),
    (FaultKind.DSQL_RESET, FaultKind.DSQL_RESET),
    (FaultKind.DSQL_FREEZE, None),
    (FaultKind.DSQL_REFUSE, FaultKind.DSQL_REFUSE),
)


class Hasty(LocalView):
    """Starts the next candidate almost at once, so that most races have a loser; remembers nothing."""

    def stagger_s(self, candidate: object) -> float:  # noqa: ARG002 - LocalView's
        return 0.002

    def failed(self, host: str, now: float) -> None:
        """Each race meets the fault again."""


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def settled(measure: Callable[[], object], wanted: object, limit_s: float = 10.0) -> object:
    """What ``measure`` says once it is ``wanted``, or at the end of the time."""
    end = time.monotonic() + limit_s
    while (found := measure()) != wanted and time.monotonic() < end:
        time.sleep(0.02)
    return found


def hasty(client: Client) -> Endpoints:
    return client.endpoints(local=Hasty())


def take_turn(client: Client, number: int) -> None:
    """Break both Regions as the turn has it."""
    for region, kind in zip((NEAR, FAR), COURSES[number % len(COURSES)], strict=True):
        client.heal(region)
        if kind is not None:
            client.inject(region, kind)


def test_thousands_of_connects_leave_nothing(client: Client) -> None:
    """Healthy, refused, reset, denied and silent ones, won and lost races, and those that all fail."""
    endpoints = hasty(client)
    client.connect(endpoints).close()
    gc.collect()
    before, threads = descriptors(), set(threading.enumerate())
    seen: Counter[str] = Counter()
    turns = CONNECTS // TURN
    for number in range(turns):
        take_turn(client, number)
        for _ in range(TURN):
            try:
                with client.connect(endpoints, timeout_s=0.5, autocommit=True) as connection:
                    seen[region_of(connection)] += 1
            except ConnectError:
                seen["none"] += 1
    client.heal(NEAR)
    client.heal(FAR)
    assert sum(seen.values()) == CONNECTS
    assert min(seen[NEAR], seen[FAR], seen["none"]) > CONNECTS / 50, seen
    # Fewer is no leak: what earlier tests left behind has been closed meanwhile.
    assert settled(lambda: descriptors() <= before, wanted=True)
    assert set(threading.enumerate()) - threads == set()
    assert settled(client.open_connections, {NEAR: 0, FAR: 0}) == {NEAR: 0, FAR: 0}


def test_connects_of_tasks_leave_nothing_also_when_they_are_cancelled(client: Client) -> None:
    """A tenth as many, in parallel: no task, no reader in the loop, no descriptor."""

    async def one(endpoints: Endpoints, patience_s: float) -> str:
        try:
            async with asyncio.timeout(patience_s):
                connection = await client.connect_async(endpoints, timeout_s=0.5, autocommit=True)
        except TimeoutError:
            return "cancelled"
        except ConnectError:
            return "none"
        await connection.close()
        return region_of(connection)

    async def story() -> Counter[str]:
        endpoints = hasty(client)
        await (await client.connect_async(endpoints)).close()
        gc.collect()
        before, threads = descriptors(), set(threading.enumerate())
        seen: Counter[str] = Counter()
        patience = cycle((1.0, 0.003, 1.0, 0.02))
        for number in range(CONNECTS // 10 // TURN):
            await asyncio.to_thread(take_turn, client, number)
            seen.update(await asyncio.gather(*(one(endpoints, next(patience)) for _ in range(TURN))))
        assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()
        end = time.monotonic() + 10
        while descriptors() > before and time.monotonic() < end:  # noqa: ASYNC110 - the system closes them
            await asyncio.sleep(0.02)
        assert descriptors() <= before
        # The loop's own workers, which inject the faults here, stay.
        left = {thread.name for thread in set(threading.enumerate()) - threads}
        assert {name for name in left if not name.startswith("asyncio")} == set()
        return seen

    seen = asyncio.run(story())
    assert sum(seen.values()) == CONNECTS // 10
    assert min(seen[NEAR], seen[FAR], seen["none"], seen["cancelled"]) > 0, seen


def test_names_that_never_resolve_hold_one_thread_each_at_most(client: Client) -> None:
    """However many connects wait for them; and none is left when the resolver answers at last."""
    answer = threading.Event()

    def lookup(host: str) -> list[str]:
        if host == client.hosts[0]:
            answer.wait(30)
            raise socket.gaierror
        return [client.dsql.front.address]

    listed = StaticList([f"{front.host}:{front.port}" for front in client.dsql.fronts.values()])
    endpoints = client.endpoints(listed, dial={}, resolver=Resolver(lookup), local=Hasty())
    before = set(threading.enumerate())

    def lingering() -> int:
        return sum(thread.name == "beacon-resolve" for thread in set(threading.enumerate()) - before)

    for _ in range(200):
        with client.connect(endpoints) as connection:
            assert region_of(connection) == FAR
        assert lingering() <= 2
    answer.set()
    assert settled(lingering, 0) == 0


def test_a_connection_that_is_dropped_without_a_close_says_so_as_psycopgs_does(client: Client) -> None:
    """And its socket is closed with it."""
    opened = [client.connect()]
    descriptor = opened[0].pgconn.socket
    with pytest.warns(ResourceWarning, match="was deleted while still open"):
        opened.clear()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_failed_connect_says_what_was_tried_and_nothing_secret(client: Client) -> None:
    """Regions and reason codes; no token, no key, no text of a server's or of libpq's."""
    client.inject(NEAR, FaultKind.DSQL_FREEZE)
    client.inject(FAR, FaultKind.DSQL_DENY)
    with pytest.raises(psycopg.OperationalError) as caught:
        client.connect(timeout_s=0.5)
    error = caught.value
    assert isinstance(error, ConnectError)
    assert {(attempt.region, attempt.reason) for attempt in error.attempts} == {
        (NEAR, "timeout"),
        (FAR, "login_rejected"),
    }
    said = f"{error} {error!r} {error.__cause__!r} {error.__context__!r} {error.args!r}"
    principal = client.dsql.operator
    for secret in (
        principal.access_key_id,
        principal.secret_access_key,
        "X-Amz",
        "Signature",
        "access denied",
    ):
        assert secret not in said
