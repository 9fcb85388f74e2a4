"""How a pool treats a connection: each row of pool_care's table, and how fast connections may move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from beacon.aws.sigv4 import Credentials
from beacon.client.candidates import Candidate
from beacon.client.connect_error import Attempt, ConnectError
from beacon.client.endpoints import Endpoints
from beacon.client.local_view import LocalView
from beacon.client.pool_care import HOME_S, RETIRE_S, PoolCare, PoolPolicy, Treatment, _Why
from beacon.client.sources import Fetched
from beacon.model import Endpoint
from beacon.outcome import Reason

BEST, NEXT, THIRD, GONE = "best", "next", "third", "gone"
USE, LOOK, REPLACE = Treatment.USE, Treatment.LOOK, Treatment.REPLACE


def shortest(low: float, _high: float) -> float:
    return low


def longest(_low: float, high: float) -> float:
    return high


class Ranked:
    """A source that is known without being asked; whom it holds out can be changed."""

    name = "ranked"

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self.hosts = hosts
        self.out: set[str] = set()

    def fetch(self) -> Fetched:
        return Fetched("", float("inf"))

    def accept(self, text: str, now: datetime) -> None: ...

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:  # noqa: ARG002 - a source's
        found = [Candidate(Endpoint("us-east-1", host), host in self.out) for host in self.hosts]
        return tuple(sorted(found, key=lambda candidate: candidate.last_resort))

    def as_of(self) -> datetime | None:
        return None


class Ward:
    """Endpoints on a clock of their own, and the care for a pool of connections to them."""

    def __init__(
        self,
        *hosts: str,
        size: int = 10,
        jitter: Callable[[float, float], float] = longest,
        policy: PoolPolicy | None = None,
    ) -> None:
        self.time = 10_000.0
        self.source = Ranked(hosts or (BEST, NEXT, THIRD))
        self.local = LocalView(longest)
        self.endpoints = Endpoints(
            self.source,
            credentials=lambda: Credentials("a", "b"),
            local=self.local,
            clock=lambda: self.time,
            now=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        )
        self.care = PoolCare(self.endpoints, policy or PoolPolicy(), size, jitter)

    def hold_out(self, *hosts: str) -> None:
        self.source.out = set(hosts)
        self.endpoints._forget()

    def failed(self, host: str) -> None:
        self.local.failed(host, self.time)

    def silent(self, host: str) -> None:
        """A connection that was opened long ago was silent."""
        self.local.silent(host, 0.0, self.time)

    def judge(self, host: str = BEST, *, age_s: float = 60.0, idle_s: float = 0.0) -> Treatment:
        return self.care.treatment(host, opened_at=self.time - age_s, used_at=self.time - idle_s)

    def retire(self, host: str, connections: int, within_s: float) -> list[float]:
        """Ask for all connections to ``host`` every quarter of a second; when each of them is replaced."""
        began = self.time
        replaced: list[float] = []
        while len(replaced) < connections and self.time - began <= within_s:
            verdicts = [self.judge(host) for _ in range(connections - len(replaced))]
            replaced += [self.time - began] * verdicts.count(REPLACE)
            self.time += 0.25
        return replaced


@pytest.fixture
def ward() -> Ward:
    return Ward()


# ---- the table, row by row


def test_a_connection_to_the_best_endpoint_is_used() -> None:
    """Young, used a moment ago, its endpoint not passed over."""
    assert Ward().judge() is USE


@pytest.mark.parametrize(("age_s", "verdict"), [(2999.9, USE), (3000.0, REPLACE), (86_400.0, REPLACE)])
def test_an_old_connection_is_replaced(ward: Ward, age_s: float, verdict: Treatment) -> None:
    """DSQL ends it at sixty minutes, in the middle of whatever it does then."""
    assert ward.judge(age_s=age_s) is verdict


def test_an_old_connection_is_replaced_though_nothing_can_be_reached() -> None:
    """It is not for the endpoint's sake; the policy says at which age."""
    ward = Ward(policy=PoolPolicy(max_age_s=60.0))
    for host in (BEST, NEXT, THIRD):
        ward.failed(host)
    assert ward.judge(age_s=60.0) is REPLACE
    assert ward.judge(age_s=59.0) is LOOK


@pytest.mark.parametrize("silent_first", [True, False])
@pytest.mark.parametrize("apart_s", [0.0, 7.0])
def test_where_neither_an_old_connection_nor_a_new_one_got_through_it_is_replaced(
    ward: Ward, silent_first: bool, apart_s: float
) -> None:
    """In either order: who asks for it does not wait for it to be silent too."""
    if silent_first:
        ward.silent(BEST)
        ward.time += apart_s
        ward.failed(BEST)
    else:
        ward.failed(BEST)
        ward.time += apart_s
        ward.silent(BEST)
    ward.care._next[_Why.NOT_BEST] = float("inf")  # homing is another row's
    assert ward.judge() is REPLACE


def test_a_failure_just_within_the_time_of_a_silence_confirms_it(ward: Ward) -> None:
    """15 s apart are still together."""
    ward.silent(BEST)
    ward.time += 15.0
    ward.failed(BEST)
    ward.care._next[_Why.NOT_BEST] = float("inf")  # homing is another row's
    assert ward.judge() is REPLACE


def test_a_silence_of_long_ago_confirms_nothing(ward: Ward) -> None:
    """It was another connection's own trouble."""
    ward.silent(BEST)
    ward.time += 15.1
    ward.failed(BEST)
    ward.care._next[_Why.NOT_BEST] = float("inf")  # homing is another row's
    assert ward.judge() is LOOK


def test_a_connection_that_was_opened_since_the_failure_is_looked_at(ward: Ward) -> None:
    """A new one did get through after all."""
    ward.silent(BEST)
    ward.failed(BEST)
    ward.care._next[_Why.NOT_BEST] = float("inf")
    ward.time += 2
    assert ward.judge(age_s=2.0) is LOOK
    assert ward.judge(age_s=2.1) is REPLACE


@pytest.mark.parametrize("hosts", [(BEST,), (BEST, NEXT, THIRD)])
def test_nothing_is_replaced_for_a_silence_while_nothing_else_can_be_reached(hosts: tuple[str, ...]) -> None:
    """All that can be tried failed: what is there is looked at, since it may be what works first again."""
    ward = Ward(*hosts)
    for host in hosts:
        ward.silent(host)
        ward.failed(host)
    assert [ward.judge(host) for host in hosts] == [LOOK] * len(hosts)


def test_a_last_resort_that_can_be_reached_is_better_than_silence(ward: Ward) -> None:
    """A drained Region answers."""
    ward.hold_out(NEXT, THIRD)
    ward.silent(BEST)
    ward.failed(BEST)
    ward.care._next[_Why.NOT_BEST] = float("inf")
    assert ward.judge() is REPLACE


def test_one_silent_connection_is_no_verdict_on_its_endpoint(ward: Ward) -> None:
    """Others that were not used since are looked at; those that were are used."""
    ward.time += 1
    ward.silent(BEST)
    ward.time += 0.5
    assert ward.judge(idle_s=0.6) is LOOK
    assert ward.judge(idle_s=0.5) is LOOK
    assert ward.judge(idle_s=0.4) is USE
    assert ward.judge(NEXT, idle_s=0.6) is REPLACE  # its first one, on the way home


def test_a_connection_to_an_endpoint_that_is_held_out_is_replaced(ward: Ward) -> None:
    """One now, the next one after its share of the time."""
    ward.hold_out(BEST)
    assert [ward.judge(BEST) for _ in range(3)] == [REPLACE, USE, USE]
    ward.time += RETIRE_S / 10
    assert [ward.judge(BEST) for _ in range(2)] == [REPLACE, USE]


def test_an_endpoint_that_no_source_names_any_more_is_held_out_too(ward: Ward) -> None:
    """It was taken from the list."""
    assert [ward.judge(GONE) for _ in range(2)] == [REPLACE, USE]
    ward.time += RETIRE_S / 10
    assert ward.judge(GONE) is REPLACE


def test_a_connection_elsewhere_than_to_the_best_endpoint_goes_home_slowly(ward: Ward) -> None:
    """Nothing is wrong with it."""
    assert [ward.judge(NEXT) for _ in range(3)] == [REPLACE, USE, USE]
    ward.time += RETIRE_S
    assert ward.judge(NEXT) is USE
    ward.time += HOME_S / 10
    assert [ward.judge(THIRD) for _ in range(2)] == [REPLACE, USE]


def test_a_connection_to_an_endpoint_that_is_passed_over_is_looked_at() -> None:
    """A fresh one failed: whether this one works is soon known."""
    ward = Ward(BEST, NEXT)
    ward.failed(BEST)
    ward.failed(NEXT)
    assert ward.judge(BEST) is LOOK
    assert ward.judge(NEXT) is LOOK
    ward.time += 8
    assert ward.judge(BEST) is USE


def test_a_connection_to_an_endpoint_that_is_passed_over_is_elsewhere_than_at_the_best() -> None:
    """While another one is usable: the row above comes first, at its own slow pace, and then this one."""
    ward = Ward()
    ward.failed(BEST)
    assert [ward.judge(BEST) for _ in range(3)] == [REPLACE, LOOK, LOOK]
    assert ward.judge(NEXT) is USE


@pytest.mark.parametrize(("idle_s", "verdict"), [(0.0, USE), (0.99, USE), (1.0, LOOK), (3600.0, LOOK)])
def test_an_idle_connection_is_looked_at(ward: Ward, idle_s: float, verdict: Treatment) -> None:
    """A network drops connections without a word; one that was used a moment ago is not asked."""
    assert ward.judge(idle_s=idle_s) is verdict


def test_a_pool_may_look_at_every_connection() -> None:
    """``check_idle_s`` of zero."""
    assert Ward(policy=PoolPolicy(check_idle_s=0.0)).judge(idle_s=0.0) is LOOK


@pytest.mark.parametrize(
    ("login_s", "left_s", "is_too_late"),
    [(None, 0.0, True), (None, 0.001, False), (0.6, 0.09, True), (0.6, 0.11, False), (0.6, -1.0, True)],
)
def test_nothing_is_looked_at_in_less_time_than_an_answer_takes(
    ward: Ward, login_s: float | None, left_s: float, is_too_late: bool
) -> None:
    """A round trip of the usual login to its endpoint, where there was one."""
    if login_s is not None:
        ward.local.connected(BEST, login_s, ward.time)
    assert ward.care.is_too_late(BEST, left_s) is is_too_late


def test_the_keeper_looks_at_nothing(ward: Ward) -> None:
    """It passes a use in the future: idle connections are replaced or left alone."""
    ward.failed(BEST)
    ward.failed(NEXT)
    ward.failed(THIRD)
    ward.silent(BEST)
    ward.time += 8
    assert ward.care.treatment(BEST, opened_at=ward.time - 60, used_at=float("inf")) is USE


# ---- how fast


@pytest.mark.parametrize("jitter", [shortest, longest])
@pytest.mark.parametrize("connections", [1, 4, 20])
def test_retirement_is_spread_over_its_time(
    jitter: Callable[[float, float], float], connections: int
) -> None:
    """All of them within it, never more at once than their share, and not in the first half alone."""
    ward = Ward(size=connections, jitter=jitter)
    ward.hold_out(BEST)
    replaced = ward.retire(BEST, connections, RETIRE_S)
    assert len(replaced) == connections
    gap_s = RETIRE_S / connections * 0.75
    assert all(later - earlier >= gap_s for earlier, later in pairwise(replaced))
    assert replaced[-1] >= gap_s * (connections - 1)
    assert max(Counter(replaced).values()) == 1


@pytest.mark.parametrize("size", [0, 1])
def test_a_pool_of_one_connection_moves_it_at_the_same_pace(size: int) -> None:
    """One in 10 s from an endpoint that is held out, one in 5 minutes home."""
    ward = Ward(size=size)
    ward.hold_out(BEST)
    for host, gap_s in ((BEST, 10.0), (THIRD, 300.0)):
        assert ward.judge(host) is REPLACE
        ward.time += gap_s - 0.25
        assert ward.judge(host) is USE
        ward.time += 0.25
        assert ward.judge(host) is REPLACE


def test_home_is_reached_within_its_time() -> None:
    """At a thirtieth of that pace: the pools do not all meet a Region that came back at once."""
    ward = Ward(size=20)
    replaced = ward.retire(NEXT, 20, HOME_S)
    assert len(replaced) == 20
    assert all(later - earlier >= HOME_S / 20 for earlier, later in pairwise(replaced))


def test_the_two_paces_do_not_wait_for_each_other(ward: Ward) -> None:
    """One that went home lately does not keep one that must leave."""
    ward.hold_out(THIRD)
    assert ward.judge(NEXT) is REPLACE
    assert ward.judge(THIRD) is REPLACE


@pytest.mark.parametrize("out", [(BEST,), (BEST, NEXT), (BEST, NEXT, THIRD)])
def test_nothing_is_retired_while_nothing_better_is_reachable(ward: Ward, out: tuple[str, ...]) -> None:
    """Those that are not held out have all failed here, or there are none."""
    ward.hold_out(*out)
    for host in {NEXT, THIRD} - set(out):
        ward.failed(host)
    for _ in range(10):
        assert ward.judge(BEST) is USE
        ward.time += 0.5


def test_retirement_begins_when_something_better_is_reachable_again(ward: Ward) -> None:
    """No share of the time was used up meanwhile."""
    ward.hold_out(BEST)
    ward.failed(NEXT)
    ward.failed(THIRD)
    assert ward.judge(BEST) is USE
    ward.time += 8
    assert [ward.judge(BEST) for _ in range(2)] == [REPLACE, USE]


@pytest.mark.parametrize(("jitter", "calm_s", "busy_s"), [(shortest, 3.75, 0.375), (longest, 6.25, 0.625)])
def test_idle_connections_are_looked_through_more_often_while_something_is_wrong(
    jitter: Callable[[float, float], float], calm_s: float, busy_s: float
) -> None:
    """An endpoint is passed over here, or held out by the sources; jittered always."""
    ward = Ward(jitter=jitter)
    assert ward.care.pause_s() == calm_s
    ward.failed(THIRD)
    assert ward.care.pause_s() == busy_s
    ward.time += 8
    assert ward.care.pause_s() == calm_s
    ward.hold_out(NEXT)
    assert ward.care.pause_s() == busy_s


# ---- whether there is anything to look through


class Pooled:
    """A connection of the pool, as the care sees it."""

    def __init__(self, host: str, opened_at: float) -> None:
        self.endpoint = Endpoint("us-east-1", host)
        self.opened_at = opened_at
        self.closed = False


def test_connections_that_are_young_and_at_the_best_endpoint_need_no_search(ward: Ward) -> None:
    """An empty pool needs none either."""
    assert not ward.care.is_anyone_astray()
    home = Pooled(BEST, ward.time)
    ward.care.joined(home)
    assert not ward.care.is_anyone_astray()


@pytest.mark.parametrize("host", [NEXT, GONE])
def test_one_connection_elsewhere_than_at_the_best_endpoint_is_searched_for(ward: Ward, host: str) -> None:
    """One among others is enough; once it is closed there is nothing to find."""
    pooled = [Pooled(BEST, ward.time), Pooled(host, ward.time), Pooled(BEST, ward.time)]
    for each in pooled:
        ward.care.joined(each)
    assert ward.care.is_anyone_astray()
    pooled[1].closed = True
    assert not ward.care.is_anyone_astray()


def test_nothing_is_searched_for_while_no_endpoint_can_be_preferred(ward: Ward) -> None:
    """The best of those that are neither held out nor passed over counts, and there may be none."""
    strayed = Pooled(NEXT, ward.time)
    ward.care.joined(strayed)
    ward.hold_out(BEST)
    assert not ward.care.is_anyone_astray()
    ward.hold_out(BEST, NEXT)
    assert ward.care.is_anyone_astray()
    ward.failed(THIRD)
    assert not ward.care.is_anyone_astray()


def test_the_best_endpoint_may_be_an_empty_pools_second_one_while_the_first_is_passed_over(
    ward: Ward,
) -> None:
    """A connection to the one that is passed over is astray then, and one to the next is not."""
    ward.failed(BEST)
    at_next = Pooled(NEXT, ward.time)
    ward.care.joined(at_next)
    assert not ward.care.is_anyone_astray()
    at_best = Pooled(BEST, ward.time)
    ward.care.joined(at_best)
    assert ward.care.is_anyone_astray()


def test_a_connection_that_reaches_its_age_is_searched_for_and_the_search_comes_sooner(ward: Ward) -> None:
    """At the best endpoint too, and wherever no endpoint can be reached."""
    old = Pooled(BEST, ward.time)
    ward.care.joined(old)
    ward.time += 2999.5
    assert (ward.care.is_anyone_astray(), ward.care.pause_s()) == (False, 6.25)
    ward.time += 0.5
    assert (ward.care.is_anyone_astray(), ward.care.pause_s()) == (True, 0.625)
    ward.hold_out(BEST, NEXT, THIRD)
    assert ward.care.is_anyone_astray()
    old.closed = True
    assert not ward.care.is_anyone_astray()


# ---- the rate of connects


def test_a_pool_has_the_rate_of_its_policy() -> None:
    """By the endpoints' clock."""
    ward = Ward(policy=PoolPolicy(connects_per_s=2))
    assert [ward.care.must_wait_s() for _ in range(3)] == [0.0, 0.0, 0.25]
    ward.time += 0.9
    assert ward.care.must_wait_s() == pytest.approx(0.1)
    ward.time += 0.1
    assert ward.care.must_wait_s() == 0.0


def test_a_pool_slows_down_once_for_each_overload(ward: Ward) -> None:
    """The next connect waits, and it starts when its time has come."""
    assert ward.care.must_wait_s() == 0.0
    ward.local.overloaded(BEST, 0.0, ward.time)
    waited_s = 0.0
    while wait_s := ward.care.must_wait_s():
        ward.time += wait_s
        waited_s += wait_s
    assert waited_s > 1.0
    ward.time += 1000
    for _ in range(5):
        assert ward.care.must_wait_s() == 0.0, "the allowance is whole again"
        ward.time += 0.4


@pytest.mark.parametrize(
    ("reasons", "slow"),
    [
        ((Reason.REFUSED,), False),
        ((), False),
        ((Reason.TOO_MANY_CONNECTIONS,), True),
        ((Reason.REFUSED, Reason.TOO_MANY_CONNECTIONS), True),
    ],
)
def test_a_connect_that_failed_uses_up_none_of_the_rate_unless_the_endpoint_is_overloaded(
    reasons: tuple[Reason, ...], slow: bool
) -> None:
    """A pool that cannot connect anywhere may try again; one that is too many may not."""
    ward = Ward(size=2)
    began = ward.time
    for _ in range(20):
        while wait_s := ward.care.must_wait_s():
            ward.time += wait_s
        attempts = [Attempt("us-east-1", BEST, reason, 0.0) for reason in reasons]
        ward.care.failed(ConnectError("no endpoint can be connected to", attempts))
    assert (ward.time - began > 10.0) is slow


def test_why_a_pool_has_no_connection_is_said_until_a_connect_succeeds(ward: Ward) -> None:
    """It follows what psycopg_pool says of a request that got none."""
    assert ward.care.why_not() == ""
    ward.care.failed(ConnectError("no endpoint answered within 5.0 s"))
    assert ward.care.why_not() == "; the last connect failed: no endpoint answered within 5.0 s"
    ward.care.joined(Pooled(BEST, ward.time))
    assert ward.care.why_not() == ""


@pytest.mark.parametrize(("query_timeout_s", "check_s"), [(None, 0.5), (30.0, 0.5), (0.5, 0.5), (0.2, 0.2)])
def test_a_look_takes_no_longer_than_a_statement_may(
    ward: Ward, query_timeout_s: float | None, check_s: float
) -> None:
    """Else a request with a short limit would wait for a connection longer than for its answer."""
    assert ward.care.check_s(query_timeout_s) == check_s


# ---- the policy


def test_a_policys_defaults_are_the_documented_ones() -> None:
    """The class says them."""
    assert PoolPolicy() == PoolPolicy(
        max_age_s=3000.0, check_idle_s=1.0, check_timeout_s=0.5, connects_per_s=25, refill_s=7.0
    )


def test_a_number_of_connects_is_whole() -> None:
    """Half a connect is none."""
    with pytest.raises(ValueError, match="connects_per_s"):
        PoolPolicy(connects_per_s=1.5)  # type: ignore[arg-type]


def test_everything_wrong_with_a_policy_is_in_one_error() -> None:
    """Each bound is said."""
    with pytest.raises(ValueError, match="max_age_s") as caught:
        PoolPolicy(max_age_s=59.9, check_idle_s=-0.1, check_timeout_s=0.04, connects_per_s=0, refill_s=-1)
    assert str(caught.value) == (
        "max_age_s must be 60-3300, not 59.9; check_idle_s must be 0-3600, not -0.1; "
        "check_timeout_s must be 0.05-30, not 0.04; connects_per_s must be 1-100, not 0; "
        "refill_s must be 0-600, not -1"
    )


@pytest.mark.parametrize(
    "bounds",
    [
        {"max_age_s": 60, "check_idle_s": 0, "check_timeout_s": 0.05, "connects_per_s": 1, "refill_s": 0},
        {
            "max_age_s": 3300,
            "check_idle_s": 3600,
            "check_timeout_s": 30,
            "connects_per_s": 100,
            "refill_s": 600,
        },
    ],
)
def test_a_policy_at_its_bounds_can_be_used(bounds: dict[str, float]) -> None:
    """The bounds are within."""
    assert PoolPolicy(**bounds).max_age_s == bounds["max_age_s"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bound",
    [
        {"max_age_s": 3300.1},
        {"check_idle_s": 3600.1},
        {"check_timeout_s": 30.1},
        {"connects_per_s": 101},
        {"refill_s": 600.1},
    ],
)
def test_a_policy_beyond_a_bound_cannot(bound: dict[str, float]) -> None:
    """A connection must end before DSQL ends it; a rate is a share of what all clients have."""
    with pytest.raises(ValueError, match=next(iter(bound))):
        PoolPolicy(**bound)  # type: ignore[arg-type]
