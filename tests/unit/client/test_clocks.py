"""The client in a sandbox whose monotonic clock counts only time in use, and whose wall clock may jump.

What lasts from one call to the next is measured by the suspend-aware clock; no monotonic instant outlives a
call. :mod:`tests.unit.client.test_race` has what happens within one.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import pq
from tests.instants import FIRST, monotonic_instants

import beacon
from beacon.aws.credentials import CredentialChain
from beacon.aws.sigv4 import Credentials
from beacon.client.candidates import Candidate
from beacon.client.connect_error import ConnectError
from beacon.client.connect_options import Login
from beacon.client.endpoints import Endpoints
from beacon.client.local_view import LocalView
from beacon.client.pool_care import RETIRE_S, PoolCare, PoolPolicy, Treatment
from beacon.client.query_timeout import settle
from beacon.client.race import Race, Won
from beacon.client.sources import Fetched
from beacon.dsql.resolver import Resolver
from beacon.model import Endpoint
from beacon.suspend_clock import SuspendAwareClock

NEAR, FAR = "a" * 26 + ".dsql.us-east-1.on.aws", "b" * 26 + ".dsql.us-east-2.on.aws"
START = datetime(2026, 11, 22, tzinfo=UTC)
LAYER = Path(beacon.__file__).parent


class Sandbox:
    """Two clocks: one counts time in use, the other all time, and can be set."""

    def __init__(self) -> None:
        self.used_s = self.frozen_s = self.set_s = 0.0
        self.lasting = SuspendAwareClock(self.monotonic, self.wall)

    def monotonic(self) -> float:
        return FIRST + self.used_s

    def wall(self) -> float:
        return self.now().timestamp()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.used_s + self.frozen_s + self.set_s)

    def use(self, seconds: float = 0.01) -> None:
        self.used_s += seconds
        self.lasting()

    def freeze(self, seconds: float) -> None:
        """Between two invocations; then a moment of use."""
        self.frozen_s += seconds
        self.use()

    def set_clock(self, seconds: float) -> None:
        self.lasting()
        self.set_s += seconds
        self.use()


class Listed:
    """A source that is asked now and then, as a document is."""

    name = "listed"

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)

    def fetch(self) -> Fetched:
        self.asked.release()
        return Fetched("x", 60.0)

    def accept(self, text: str, now: datetime) -> None: ...

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:  # noqa: ARG002 - a source's
        return Candidate(Endpoint("us-east-1", NEAR)), Candidate(Endpoint("us-east-2", FAR))

    def as_of(self) -> datetime | None:
        return None


def longest(_low: float, high: float) -> float:
    return high


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
def endpoints(sandbox: Sandbox) -> Iterator[Endpoints]:
    made = make(sandbox)
    yield made
    made.close()
    for feed in made._feeds:
        if feed._thread is not None:
            feed._thread.join(5)
            assert not feed._thread.is_alive()


def make(sandbox: Sandbox) -> Endpoints:
    return Endpoints(
        Listed(),
        local=LocalView(longest),
        credentials=lambda: Credentials("a", "b"),
        resolver=Resolver(lambda _host: ["127.0.0.1"], sandbox.lasting),
        clock=sandbox.lasting,
        monotonic=sandbox.monotonic,
        now=sandbox.now,
    )


def first_host(endpoints: Endpoints) -> str:
    return endpoints.surroundings.local.ordered(endpoints.published(), endpoints.surroundings.clock())[
        0
    ].endpoint.host


# ---- time that stands still


def test_a_penalty_ends_by_the_time_that_has_passed_and_not_by_that_in_use(
    sandbox: Sandbox, endpoints: Endpoints
) -> None:
    """A thousand invocations of ten milliseconds would be ten seconds otherwise."""
    endpoints.surroundings.local.failed(NEAR, endpoints.surroundings.clock())
    sandbox.freeze(7)
    assert first_host(endpoints) == FAR
    sandbox.freeze(1)
    assert first_host(endpoints) == NEAR


@pytest.mark.parametrize(
    ("idle_s", "frozen_s", "verdict"),
    [(0.0, 0.5, Treatment.USE), (0.0, 1.0, Treatment.LOOK), (0.0, 3000.0, Treatment.REPLACE)],
)
def test_a_connections_age_and_idleness_count_the_time_in_which_the_sandbox_was_frozen(
    sandbox: Sandbox, endpoints: Endpoints, idle_s: float, frozen_s: float, verdict: Treatment
) -> None:
    """DSQL has ended it meanwhile, or a network dropped it."""
    care = PoolCare(endpoints, PoolPolicy(), 4, longest)
    opened_at = endpoints.surroundings.clock()
    sandbox.use(idle_s)
    sandbox.freeze(frozen_s)
    assert care.treatment(NEAR, opened_at=opened_at, used_at=opened_at) is verdict


def test_addresses_and_credentials_age_while_the_sandbox_is_frozen(
    sandbox: Sandbox, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are looked at again in time."""
    endpoints.surroundings.resolver.resolve("host", 5)
    asked: list[object] = []

    def found(session: object) -> Credentials:
        asked.append(session)
        return Credentials("a", "b")

    monkeypatch.setattr("beacon.aws.credentials._new_session", object)
    monkeypatch.setattr("beacon.aws.credentials._from_session", found)
    chain = CredentialChain({}, sandbox.lasting)
    chain()
    assert (endpoints.surroundings.resolver.known("host", 30), chain.ready) == (["127.0.0.1"], True)
    sandbox.freeze(600)
    assert (endpoints.surroundings.resolver.known("host", 30), chain.ready) == ([], False)
    chain()
    assert len(asked) == 2


def test_a_source_is_asked_again_after_a_frozen_time(sandbox: Sandbox, endpoints: Endpoints) -> None:
    """At the first call after the thaw, in the background."""
    feed = endpoints._feeds[0]
    source = feed._source
    assert isinstance(source, Listed)
    with endpoints:
        endpoints.candidates()
        assert source.asked.acquire(timeout=5)
        while feed._due_at is None:
            threading.Event().wait(0.005)
        sandbox.freeze(3600)
        endpoints.candidates()
        assert source.asked.acquire(timeout=5)


def test_the_allowance_of_connects_grows_while_the_sandbox_is_frozen(
    sandbox: Sandbox, endpoints: Endpoints
) -> None:
    """A pool does not thaw with an empty one."""
    care = PoolCare(endpoints, PoolPolicy(), 4, longest)
    while not care.must_wait_s():
        pass
    sandbox.freeze(60)
    assert care.must_wait_s() == 0.0


# ---- a wall clock that jumps


def test_a_wall_clock_that_is_set_back_lengthens_no_penalty_and_rejuvenates_nothing(
    sandbox: Sandbox, endpoints: Endpoints
) -> None:
    """All of them continue as if nothing had happened."""
    care = PoolCare(endpoints, PoolPolicy(), 4, longest)
    opened_at = endpoints.surroundings.clock()
    endpoints.surroundings.local.failed(NEAR, endpoints.surroundings.clock())
    sandbox.set_clock(-86_400)
    sandbox.use(8)
    assert first_host(endpoints) == NEAR
    sandbox.use(2992)
    assert care.treatment(NEAR, opened_at=opened_at, used_at=opened_at) is Treatment.REPLACE


def test_a_wall_clock_that_is_set_back_stops_no_connect(sandbox: Sandbox, endpoints: Endpoints) -> None:
    """Neither the rate nor a back-off waits for a day to pass."""
    care = PoolCare(endpoints, PoolPolicy(connects_per_s=1), 1, longest)
    assert care.must_wait_s() == 0.0
    endpoints.surroundings.local.overloaded(NEAR, 0.0, endpoints.surroundings.clock())
    sandbox.set_clock(-86_400)
    assert care.must_wait_s() <= 5.25
    assert endpoints.surroundings.local.turn_s(NEAR, endpoints.surroundings.clock()) <= 1.5


@pytest.mark.parametrize("pools", [1, 10])
def test_a_wall_clock_that_jumps_forward_replaces_no_more_connections_at_a_time_than_any_move(
    sandbox: Sandbox, pools: int
) -> None:
    """Every connection is old at once. One goes at a time; the others are looked at, and work."""
    size = 20
    cares = [PoolCare(make(sandbox), PoolPolicy(), size, longest) for _ in range(pools)]
    opened_at = sandbox.lasting()
    sandbox.set_clock(86_400)
    left = dict.fromkeys(range(pools), size)
    began = sandbox.used_s
    while any(left.values()):
        for number, care in enumerate(cares):
            verdicts = [
                care.treatment(NEAR, opened_at=opened_at, used_at=sandbox.lasting())
                for _ in range(left[number])
            ]
            assert verdicts.count(Treatment.REPLACE) <= 1
            assert set(verdicts) <= {Treatment.REPLACE, Treatment.LOOK}
            left[number] -= verdicts.count(Treatment.REPLACE)
        sandbox.use(0.1)
        assert sandbox.used_s - began <= RETIRE_S * 1.5, "DSQL ends a connection that is never replaced"
    assert sandbox.used_s - began >= RETIRE_S * 0.7


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_wall_clock_that_jumps_leaves_no_client_without_a_candidate(
    sandbox: Sandbox, endpoints: Endpoints, jump_s: float
) -> None:
    """Though everything failed a moment ago."""
    for host in (NEAR, FAR):
        endpoints.surroundings.local.failed(host, endpoints.surroundings.clock())
    sandbox.set_clock(jump_s)
    assert {each.endpoint.host for each in endpoints.candidates()} == {NEAR, FAR}


# ---- no monotonic instant outlives a call


def test_nothing_that_lasts_holds_a_monotonic_instant(
    sandbox: Sandbox, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each object that lives on after a call, after each kind of call has left what it leaves."""
    monkeypatch.setattr("beacon.aws.credentials._new_session", lambda: None)
    monkeypatch.setattr("beacon.aws.credentials._from_session", lambda _: Credentials("a", "b"))
    chain = CredentialChain({}, sandbox.lasting)
    chain()
    care = PoolCare(endpoints, PoolPolicy(), 4, longest)
    local, now = endpoints.surroundings.local, endpoints.surroundings.clock()
    local.failed(NEAR, now)
    local.silent(NEAR, now, now)
    local.silent(FAR, now, now)
    local.overloaded(FAR, 0.0, now)
    local.connected(NEAR, 0.02, now)
    while not care.must_wait_s():
        sandbox.use()
    for host in (NEAR, FAR, "elsewhere"):
        care.treatment(host, opened_at=-1e6, used_at=0.0)
    endpoints.surroundings.resolver.resolve(NEAR, 5)
    # A race that fails at its deadline, and a connection that is silent.
    race = Race(endpoints.candidates(1.0), endpoints.surroundings, _nowhere, 0.5)
    with pytest.raises(ConnectError):
        _drive(race, sandbox)
    connection: Any = _Connection()
    settle(connection, Won(None, endpoints.published()[0], 0.02), endpoints.surroundings, Login("orders"))  # type: ignore[arg-type]
    connection.on_silence()
    endpoints._feeds[0].refresh()
    endpoints._feeds[0].status()
    endpoints.close()
    assert monotonic_instants(endpoints, care, chain, connection) == []


def test_the_check_finds_an_instant_wherever_it_is(sandbox: Sandbox, endpoints: Endpoints) -> None:
    """Else it would prove nothing: in a dictionary's value, in a deque, in a closure's reach."""
    care = PoolCare(endpoints, PoolPolicy(), 4, longest)
    endpoints.surroundings.local.failed(NEAR, sandbox.monotonic())
    care._rate.take(sandbox.monotonic())
    found = monotonic_instants(care)
    assert f"PoolCare._local._penalties[{NEAR!r}].since" in found
    assert "PoolCare._rate._starts[0]" in found
    assert monotonic_instants(lambda: endpoints) != []


def test_the_system_s_monotonic_clock_is_read_within_one_call_alone() -> None:
    """Where the client's modules name it: each of these keeps what it reads in a local variable."""
    readers = {
        "async_connection": {"wait"},
        "connection": {"wait"},
        "query_timeout": {"is_overdue"},
        "endpoints": {"__init__"},  # the default of the clock that races and waits are given
        "sources": {"fetch"},
    }
    client = [*sorted((LAYER / "client").glob("[a-z]*.py"))]
    assert len(client) > 10
    client += [LAYER / "dsql/resolver.py", LAYER / "aws/credentials.py"]
    found: dict[str, set[str]] = {}
    for module in client:
        tree = ast.parse(module.read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and _names_monotonic(function):
                found.setdefault(module.stem, set()).add(function.name)
        assert not any(_is_monotonic(node) for node in tree.body)
    assert found == readers


def _names_monotonic(function: ast.AST) -> bool:
    return any(_is_monotonic(node) for node in ast.walk(function))


def _is_monotonic(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "monotonic"
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
    )


class _Connection:
    """Stands for a psycopg connection, which takes any attribute."""


_Connection.__module__ = "beacon"


def _nowhere(_endpoint: Endpoint, _address: str) -> pq.abc.PGconn:
    return pq.PGconn.connect_start(b"hostaddr=127.0.0.1 port=1 user=guest")


def _drive(race: Race[Any], sandbox: Sandbox) -> None:
    for _ in range(1000):
        race.advance(dict.fromkeys(race.interests(), 0))
        sandbox.use(max(race.pause_s(), 0.001))
