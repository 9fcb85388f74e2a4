"""A fleet whose endpoint broke comes to the survivor: fifty pools of twenty, on a clock of their own.

What a DSQL cluster takes is a bucket of connects that fills at 100 a second. Beyond it a login is refused
with 53400. Each pool has the library's own care and local view. It connects as psycopg_pool does: three
workers, and a failed connect again after pauses that double. Chance is seeded: each run is the same.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest

from beacon.aws.sigv4 import Credentials
from beacon.client.connect_error import Attempt, ConnectError
from beacon.client.endpoints import Endpoints
from beacon.client.local_view import LocalView
from beacon.client.pool_care import PoolCare, PoolPolicy, Treatment
from beacon.client.sources import StaticList
from beacon.model import Endpoint
from beacon.outcome import Reason
from beacon_lab.network.token_bucket import TokenBucket

BROKEN = "a" * 26 + ".dsql.us-east-1.on.aws"
SURVIVOR = "b" * 26 + ".dsql.us-east-2.on.aws"
POOLS, SIZE, WORKERS = 50, 20, 3
#: What one connect takes, how long a race may try, how long psycopg_pool pauses after a failed one.
CONNECT_S, RACE_S, PAUSE_S = 0.05, 5.0, 1.0
RATE_PER_S = 100
#: How many of its connections a pool needs to serve all of its requests.
BUSY = 10
LIMIT_S = 60.0

Work = Generator[float, None, None]


@dataclass(eq=False)
class Opened:
    """A connection of a pool, as far as the pool's care looks at it."""

    endpoint: Endpoint
    opened_at: float
    closed: bool = False


class Service:
    """One process of the fleet, whose pool was filled long ago and lost all of its connections."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.owed, self.connections = SIZE, list[Opened]()
        self.endpoints = Endpoints(
            StaticList([SURVIVOR, BROKEN]),
            local=LocalView(fleet.chance.uniform),
            credentials=lambda: Credentials("a", "b"),
            clock=lambda: fleet.now,
            monotonic=lambda: fleet.now,
        )
        self.care = PoolCare(self.endpoints, PoolPolicy(), SIZE, fleet.chance.uniform)

    @property
    def open(self) -> int:
        """How many connections it has."""
        return len(self.connections)

    def fill(self) -> Work:
        """The first filling; it is no part of what is measured."""
        for _ in range(SIZE):
            while wait_s := self.care.must_wait_s():
                yield wait_s

    def refill(self) -> Work:
        """What one worker of psycopg_pool does."""
        while self.owed:
            self.owed -= 1
            pause_s = PAUSE_S
            while True:
                while wait_s := self.care.must_wait_s():
                    yield wait_s
                if (yield from self._race()):
                    break
                self.care.failed(ConnectError("refused", [_OVERLOADED]))
                yield pause_s
                pause_s *= 2

    def _race(self) -> Generator[float, None, bool]:
        """What a race does at an endpoint that may have too many connections."""
        fleet, local = self.fleet, self.endpoints.surroundings.local
        end = fleet.now + RACE_S
        while True:
            while wait_s := local.turn_s(SURVIVOR, fleet.now):
                yield min(wait_s, end - fleet.now)
                if fleet.now >= end:
                    return False
            fleet.attempts.append(fleet.now)
            taken = fleet.bucket.take(fleet.now)
            yield CONNECT_S
            if taken:
                local.connected(SURVIVOR, CONNECT_S, fleet.now)
                self.connections.append(Opened(Endpoint("us-east-2", SURVIVOR), fleet.now))
                self.care.joined(self.connections[-1])
                return True
            fleet.refused += 1
            local.overloaded(SURVIVOR, CONNECT_S, fleet.now)


_OVERLOADED = Attempt("us-east-2", SURVIVOR, Reason.TOO_MANY_CONNECTIONS.value, CONNECT_S)


@dataclass
class Fleet:
    """All services, and the cluster that they turn to; ``burst`` is what its bucket holds at 0 s."""

    burst: int
    seed: int
    now: float = -1000.0
    refused: int = 0
    attempts: list[float] = field(default_factory=list)
    goodput: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - no secret hangs on it
        self.bucket = TokenBucket(rate_per_s=RATE_PER_S, burst=self.burst)
        self.services = [Service(self) for _ in range(POOLS)]

    def run(self) -> None:
        """Until every pool is full again; each learns of the fault within half a second."""
        self._play([(-1000.0, service.fill()) for service in self.services])
        self.attempts.clear()
        self.now = 0.0
        starts = [(self.chance.uniform(0.0, 0.5), service) for service in self.services]
        self._play([(start_s, service.refill()) for start_s, service in starts for _ in range(WORKERS)])

    def _play(self, workers: list[tuple[float, Work]]) -> None:
        due = [(at, number, work) for number, (at, work) in enumerate(workers)]
        heapq.heapify(due)
        while due:
            at, number, work = heapq.heappop(due)
            while int(self.now) < int(at):
                self.now = float(int(self.now) + 1)
                served = sum(min(service.open, BUSY) for service in self.services)
                self.goodput[int(self.now)] = served / (BUSY * POOLS)
            self.now = at
            assert self.now < LIMIT_S, "the fleet never recovered"
            pause_s = next(work, None)
            if pause_s is not None:
                heapq.heappush(due, (self.now + pause_s, number, work))

    def busiest(self, from_s: float) -> int:
        """The most connects in any one second from then on."""
        late = [at for at in self.attempts if at >= from_s]
        return max(sum(first <= at < first + 1.0 for at in late) for first in late)


@pytest.fixture(scope="module", params=[1, 2, 3])
def rested(request: pytest.FixtureRequest) -> Fleet:
    """The cluster's bucket is full, as it is on a quiet day."""
    fleet = Fleet(1000, request.param)
    fleet.run()
    return fleet


@pytest.fixture(scope="module", params=[1, 2, 3])
def scarce(request: pytest.FixtureRequest) -> Fleet:
    """The cluster has a fifth of its burst left: another fleet was there before."""
    fleet = Fleet(200, request.param)
    fleet.run()
    return fleet


def test_a_fleet_is_served_within_two_seconds_and_whole_again_within_fifteen(rested: Fleet) -> None:
    """Half of each pool comes at once: that is what the cluster's burst is for."""
    assert rested.goodput[2] > 0.9
    assert min(share for second, share in rested.goodput.items() if second >= 5) == 1.0
    assert [service.open for service in rested.services] == [SIZE] * POOLS
    assert rested.now < 15.0


def test_after_the_burst_a_fleet_stays_below_what_a_cluster_takes(rested: Fleet) -> None:
    """In any one second from the second one on, and no login is refused."""
    assert rested.busiest(2.0) < RATE_PER_S
    assert rested.busiest(0.0) <= POOLS * SIZE / 2 + POOLS
    assert rested.refused == 0


def test_a_fleet_that_is_refused_backs_off_and_is_served_within_five_seconds(scarce: Fleet) -> None:
    """With 53400 the sum comes down to what the cluster takes, though no pool knows of the others."""
    assert scarce.refused > 0
    assert scarce.busiest(3.5) < RATE_PER_S
    assert scarce.refused < POOLS * SIZE / 10
    assert scarce.goodput[5] >= 0.95
    assert [service.open for service in scarce.services] == [SIZE] * POOLS


def test_no_service_leaves_a_survivor_for_its_refusals(scarce: Fleet) -> None:
    """It is passed over by none, keeps its place, and its connections are used."""
    for service in scarce.services:
        local, now = service.endpoints.surroundings.local, scarce.now
        assert local.passed_over_since(SURVIVOR, now) is None
        assert not local.must_answer(SURVIVOR)
        assert [each.endpoint for each in service.endpoints.candidates()] == [
            Endpoint("us-east-2", SURVIVOR),
            Endpoint("us-east-1", BROKEN),
        ]
        assert service.care.treatment(SURVIVOR, opened_at=now - 1, used_at=now) is Treatment.USE


def test_no_two_pools_keep_step(rested: Fleet) -> None:
    """No tenth of a second sees half of the fleet, once the burst is over."""
    tenths = Counter(int(at * 10) for at in rested.attempts)
    assert max(count for tenth, count in tenths.items() if tenth >= 20) < POOLS / 2
