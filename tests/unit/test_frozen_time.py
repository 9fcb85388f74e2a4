"""A sandbox that sleeps between invocations: its monotonic clock counts only time in use.

Lambda freezes a sandbox after each answer. What is kept from one invocation to the next is measured by a
clock that counts that time. These tests freeze for minutes: on a monotonic clock alone each of them fails.
"""

import inspect
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.fake_database import DRAIN, ENDPOINT, HOST, NOBODY, SETTINGS, FakeSession, Step, World, code
from tests.instants import FIRST, monotonic_instants

import beacon
import beacon.dsql.connector
from beacon.dsql.probe import DsqlProbe, ProbeContext
from beacon.dsql.resolver import Resolver
from beacon.dsql.session import SessionError
from beacon.health.check import HealthCheck
from beacon.health.trigger import EVERY_S, EdgeTrigger
from beacon.outcome import Reason
from beacon.publisher.observe import Observer, RecheckPolicy
from beacon.suspend_clock import SuspendAwareClock, suspend_aware

ENVIRONMENT = {
    "BEACON_APP": "orders",
    "BEACON_ENV": "prod",
    "AWS_REGION": "us-east-1",
    "BEACON_ENDPOINTS": f"us-east-1={HOST}",
    "BEACON_DB_USER": "probe",
    "BEACON_CA_FILE": "/ca.pem",
}
GET = {"httpMethod": "GET"}
DOWN = SessionError(Reason.REFUSED)


@dataclass
class Sandbox:
    """A health function over a fake database, with clocks that a freeze sets apart."""

    world: World
    fired: list[bytes] = field(default_factory=list)
    wall_ahead_s: float = 0.0

    def __post_init__(self) -> None:
        self.lasting = SuspendAwareClock(self.monotonic, self.wall)
        self.trigger = EdgeTrigger(self.fired.append, self.lasting)
        self.check = HealthCheck(
            ENVIRONMENT,
            clock=self.monotonic,
            lasting=self.lasting,
            make_probe=lambda settings: DsqlProbe(ENDPOINT, self.context(), settings.region),
            trigger=self.trigger,
        )

    def monotonic(self) -> float:
        return self.world.now

    def wall(self) -> float:
        return 1.8e9 + self.world.now + self.wall_ahead_s

    def context(self) -> ProbeContext:
        resolver = Resolver(lambda _host: ["192.0.2.1"], self.lasting)
        return ProbeContext(
            SETTINGS,
            resolver,
            credentials=self.world.credentials,
            clock=self.monotonic,
            lasting=self.lasting,
            jitter=lambda low, high: (low + high) / 2,
        )

    def freeze(self, seconds: float) -> None:
        """Lambda stops the sandbox: the wall clock continues alone."""
        self.wall_ahead_s += seconds

    def ask(self) -> int:
        return int(str(self.check.answer(GET)["statusCode"]))


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox that has just started."""
    world = World(now=FIRST)
    world.take_the_place_of_libpq(monkeypatch)
    return Sandbox(world)


def unreadable(count: int) -> list[Step]:
    return [(0.0, code("42501"))] * count


def test_a_drain_that_a_sandbox_keeps_ends_by_wall_time(sandbox: Sandbox) -> None:
    """It was for 60 s, and the intents cannot be read since: after a minute asleep the Region serves."""
    sandbox.world.queries = [[(0.0, DRAIN), *unreadable(3)], unreadable(3)]
    assert sandbox.ask() == 503
    sandbox.freeze(20)
    assert sandbox.ask() == 503
    sandbox.freeze(41)
    assert sandbox.ask() == 200


def test_a_wall_clock_that_is_set_back_does_not_prolong_a_drain(sandbox: Sandbox) -> None:
    """It ends after its time in use at the latest."""
    sandbox.world.queries = [[(0.0, DRAIN), *unreadable(3)], unreadable(3)]
    assert sandbox.ask() == 503
    sandbox.freeze(-86_400)
    sandbox.world.now += 61
    assert sandbox.ask() == 200


def test_the_trigger_fires_again_after_ten_seconds_of_wall_time(sandbox: Sandbox) -> None:
    """A sandbox that is in use for a few milliseconds at a time would otherwise wait a quarter of an hour."""
    sandbox.world.connects = [(0.0, DOWN)] * 20
    sandbox.ask()
    sandbox.ask()
    assert len(sandbox.fired) == 1
    sandbox.freeze(EVERY_S)
    sandbox.ask()
    assert len(sandbox.fired) == 2


def test_a_session_ages_while_the_sandbox_is_frozen(sandbox: Sandbox) -> None:
    """Fifty invocations of a few milliseconds, a second apart, are almost a minute: a login is due."""
    sandbox.world.queries = [[(0.002, NOBODY)] * 60, [(0.002, NOBODY)] * 60]
    for _ in range(50):
        assert sandbox.ask() == 200
        sandbox.freeze(1.0)
    assert len(sandbox.world.opened) == 2
    assert sandbox.world.now - FIRST < 1.0


def test_a_wall_clock_that_jumps_makes_no_false_verdict(sandbox: Sandbox) -> None:
    """A year ahead and two years back: each answer is still 200, in time."""
    sandbox.world.queries = [[(0.002, NOBODY)] * 3 for _ in range(9)]
    for jump_s in (0.0, 3.2e7, -6.4e7, 60.0, -60.0):
        sandbox.freeze(jump_s)
        assert sandbox.ask() == 200


def test_nothing_that_outlives_an_invocation_holds_a_monotonic_instant(sandbox: Sandbox) -> None:
    """After good answers, bad ones, a drain, a fired trigger and a replaced session."""
    world = sandbox.world
    world.queries = [
        [(0.01, NOBODY), (0.5, NOBODY)],
        [(0.01, DRAIN), (0.01, code("XX000"))],
        [(0.01, NOBODY)] * 9,
    ]
    for step_s in (0.0, 1.0, 50.0, 1.0, 50.0):
        sandbox.freeze(step_s)
        sandbox.ask()
        assert monotonic_instants(sandbox.check) == []
    world.connects = [(0.0, DOWN)] * 20
    sandbox.freeze(50.0)
    assert sandbox.ask() == 503
    assert sandbox.fired
    assert monotonic_instants(sandbox.check) == []


def test_nothing_that_outlives_the_publishers_round_holds_one(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open connections are asked together there, and their instants of asking end with the round."""
    world = sandbox.world
    world.queries = [[(0.0, NOBODY)] * 3, [(0.0, NOBODY)] * 9]
    probe = DsqlProbe(ENDPOINT, sandbox.context(), None)
    # The observer polls real descriptors; this one is always readable.
    readable, writable = os.pipe()
    os.write(writable, b"x")
    monkeypatch.setattr(FakeSession, "descriptor", readable)
    monkeypatch.setattr(beacon.dsql.connector, "_wait", lambda interests, _timeout_s: set(interests))
    world.connects = [(0.0, [])] * 9
    observer = Observer({"us-east-1": probe}, RecheckPolicy(1.0, 0.75, 3), clock=sandbox.monotonic)
    for step_s in (0.0, 1.0, 50.0):
        sandbox.freeze(step_s)
        observer.run()
        assert monotonic_instants(observer) == []
    assert len(world.opened) == 2
    os.close(readable)
    os.close(writable)


def test_the_search_for_held_instants_would_find_one(sandbox: Sandbox) -> None:
    """In an attribute, a slot, a list or a mapping."""
    sandbox.ask()
    vars(sandbox.trigger)["_last"] = sandbox.monotonic()
    assert monotonic_instants(sandbox.check, FakeSession) == ["HealthCheck._trigger._last"]
    assert monotonic_instants({"a": [(1.0, FIRST)]}) == ["dict['a'][0][1]"]


def test_a_default_clock_is_monotonic_only_where_nothing_is_kept() -> None:
    """The tests above give their own clocks; these are the ones that run in Lambda."""
    assert inspect.signature(EdgeTrigger).parameters["clock"].default is suspend_aware
    assert inspect.signature(HealthCheck).parameters["lasting"].default is suspend_aware
    assert ProbeContext(SETTINGS, Resolver()).lasting is suspend_aware
    # What may time a single invocation, by the tests above.
    within = {"dsql/connector.py", "health/check.py", "publisher/observe.py", "publisher/invocation.py"}
    library = Path(beacon.__file__).parent
    server_side = [path for wing in SERVER_SIDE for path in (library / wing).rglob("*.py")]
    used = {str(path.relative_to(library)) for path in server_side if "time.monotonic" in path.read_text()}
    assert used == within


SERVER_SIDE = ("health", "publisher", "dsql", "document", "aws")
