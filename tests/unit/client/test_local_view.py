"""What one process met itself: who is passed over, for how long, and the time a login may take."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon.client.candidates import Candidate
from beacon.client.local_view import LEAST_STAGGER_S, MOST_STAGGER_S, LocalView
from beacon.model import Endpoint

HOSTS = ("a", "b", "c", "d")


def candidate(host: str, *, last_resort: bool = False, latency_ms: float | None = None) -> Candidate:
    return Candidate(Endpoint("us-east-1", host), last_resort, latency_ms)


def shortest(low: float, _high: float) -> float:
    return low


def longest(_low: float, high: float) -> float:
    return high


def held_s(view: LocalView, host: str, failed_at: float) -> float:
    """For how long ``host`` is passed over from a failure on; the view's times are whole seconds here."""
    view.failed(host, failed_at)
    assert view.passed_over_since(host, failed_at) == failed_at
    return next(
        float(after) for after in range(1, 100) if view.passed_over_since(host, failed_at + after) is None
    )


def hosts(candidates: object) -> list[str]:
    assert isinstance(candidates, list | tuple)
    return [each.endpoint.host for each in candidates]


@pytest.mark.parametrize(("jitter", "least_s"), [(shortest, 4.0), (longest, 8.0)])
def test_who_failed_is_passed_over_for_a_jittered_time(
    jitter: Callable[[float, float], float], least_s: float
) -> None:
    """The processes of a fleet do not come back together; no other endpoint is passed over meanwhile."""
    view = LocalView(jitter)
    assert view.passed_over_since("a", 0.0) is None
    assert held_s(view, "a", 100.0) == least_s
    assert view.passed_over_since("b", 100.0) is None


def test_the_time_doubles_while_an_endpoint_keeps_failing_up_to_a_minute() -> None:
    """Each failure after the time is over doubles the next one."""
    view, now, found = LocalView(shortest), 0.0, []
    for _ in range(7):
        found.append(held_s(view, "a", now))
        now += found[-1]
    assert found == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_the_cap_holds_with_the_longest_jitter_and_after_a_thousand_failures() -> None:
    """Jitter is not added to it."""
    view, now = LocalView(longest), 0.0
    for _ in range(1000):
        found = held_s(view, "a", now)
        now += found
    assert found == 60.0


def test_a_failure_counts_once_while_the_endpoint_is_passed_over() -> None:
    """All connections of a pool meet the same failure: neither the time nor its start moves."""
    view = LocalView(shortest)
    for after in (0.0, 0.1, 3.9):
        view.failed("a", 100.0 + after)
    assert view.passed_over_since("a", 103.9) == 100.0
    assert view.passed_over_since("a", 104.0) is None
    assert held_s(view, "a", 104.0) == 8.0


def test_a_login_alone_ends_nothing() -> None:
    """An endpoint may log clients in and answer nothing: the time and its doubling continue."""
    view = LocalView(shortest)
    view.failed("a", 0.0)
    view.connected("a", 0.02, 1.0)
    assert view.passed_over_since("a", 1.0) == 0.0
    assert view.must_answer("a")
    assert held_s(view, "a", 4.0) == 8.0


def test_the_first_answered_statement_ends_the_passing_over_and_its_doubling() -> None:
    """The next failure is a first one again."""
    view = LocalView(shortest)
    view.failed("a", 0.0)
    view.failed("a", 4.0)
    view.answered("a")
    assert view.passed_over_since("a", 4.0) is None
    assert not view.must_answer("a")
    assert held_s(view, "a", 5.0) == 4.0


def test_a_login_must_prove_itself_after_a_failure_until_it_has_answered() -> None:
    """Also when the time of passing over has run out: it was never shown to be well."""
    view = LocalView(shortest)
    assert not view.must_answer("a")
    view.failed("a", 0.0)
    assert view.passed_over_since("a", 100.0) is None
    assert view.must_answer("a")


# ---- silence


def test_one_silent_connection_is_no_verdict_but_a_suspicion() -> None:
    """A network drops connections without a word: the next login has to answer, and nothing else changes."""
    view = LocalView(shortest)
    view.silent("a", 0.0, 10.0)
    assert view.passed_over_since("a", 10.0) is None
    assert (view.must_answer("a"), view.must_answer("b")) == (True, False)
    assert view.silent_at("a") == 10.0


def test_connections_that_were_open_before_the_first_silence_confirm_nothing() -> None:
    """All of a pool's connections may have been dropped at once; when the last one was silent is kept."""
    view = LocalView(shortest)
    for at in (10.0, 10.5, 11.0):
        view.silent("a", 9.9, at)
    assert view.passed_over_since("a", 11.0) is None
    assert view.silent_at("a") == 11.0


def test_a_connection_that_was_opened_after_the_first_silence_and_is_silent_too_confirms_it() -> None:
    """The endpoint logs clients in and answers nothing."""
    view = LocalView(shortest)
    view.silent("a", 0.0, 10.0)
    view.silent("a", 10.2, 15.2)
    assert view.passed_over_since("a", 15.2) == 15.2


def test_a_connection_that_was_opened_at_the_moment_of_the_first_silence_confirms_it() -> None:
    """It was opened after the endpoint had stopped answering."""
    view = LocalView(shortest)
    view.silent("a", 0.0, 10.0)
    view.silent("a", 10.0, 15.0)
    assert view.passed_over_since("a", 15.0) == 15.0


def test_an_answer_between_two_silences_makes_the_second_one_a_first_one() -> None:
    """Each was a connection's own trouble."""
    view = LocalView(shortest)
    view.silent("a", 0.0, 10.0)
    view.answered("a")
    assert not view.must_answer("a")
    view.silent("a", 10.2, 15.2)
    assert view.passed_over_since("a", 15.2) is None
    assert view.must_answer("a")


# ---- overload


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def test_too_many_connections_are_never_a_reason_to_pass_an_endpoint_over() -> None:
    """The survivor of a failover keeps its place, whatever comes down on it."""
    view = LocalView(middle)
    for at in range(100):
        view.overloaded("a", 0.0, float(at))
    assert view.passed_over_since("a", 99.0) is None
    assert not view.must_answer("a")
    assert hosts(view.ordered((candidate("a"), candidate("b")), 99.0)) == ["a", "b"]


def test_connects_to_an_overloaded_endpoint_are_one_at_a_time_and_further_and_further_apart() -> None:
    """The distance doubles with each refusal, up to a bound; other endpoints are not meant."""
    view, now, found = LocalView(middle), 0.0, []
    view.overloaded("a", 0.0, now)
    for _ in range(6):
        wait_s = view.turn_s("a", now)
        now += wait_s
        found.append(wait_s)
        assert view.turn_s("a", now) == 0.0
        assert view.turn_s("a", now) > 0.0  # one alone
        view.overloaded("a", 0.0, now)
    assert found == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert view.turn_s("b", now) == 0.0


def test_refusals_of_connects_that_started_together_count_once() -> None:
    """All workers of a pool meet the same overload."""
    view = LocalView(middle)
    for at in (10.0, 10.01, 10.02):
        view.overloaded("a", 0.05, at)
    assert view.turn_s("a", 10.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("jitter", "first_s"), [(shortest, 0.5), (longest, 1.5)])
def test_the_distances_are_jittered(jitter: Callable[[float, float], float], first_s: float) -> None:
    """By half, up and down: the processes that were refused together come back one after the other."""
    view = LocalView(jitter)
    view.overloaded("a", 0.0, 10.0)
    assert view.turn_s("a", 10.0) == first_s
    assert view.turn_s("a", 10.0 + first_s) == 0.0
    assert view.turn_s("a", 10.0 + first_s) == first_s


def test_a_connect_that_started_at_the_moment_of_the_refusal_says_what_happened() -> None:
    """Refused, it doubles the distance; logged in, it halves it."""
    refused, succeeded = LocalView(middle), LocalView(middle)
    for view in (refused, succeeded):
        view.overloaded("a", 0.0, 10.0)
    refused.overloaded("a", 0.25, 10.25)
    assert refused.turn_s("a", 10.25) == 2.0
    succeeded.connected("a", 0.25, 10.25)
    assert succeeded.turn_s("a", 10.25) == 0.5


def test_when_an_endpoint_was_overloaded_last_is_remembered() -> None:
    """A pool connects more slowly from then on."""
    view = LocalView(middle)
    assert view.overloaded_at == float("-inf")
    view.overloaded("a", 0.0, 10.0)
    view.overloaded("b", 0.0, 12.0)
    assert view.overloaded_at == 12.0


def test_connects_that_succeed_come_closer_together_until_nothing_holds_them_back() -> None:
    """The distance is halved by each; a login that had started before the refusal changes nothing."""
    view = LocalView(middle)
    view.overloaded("a", 0.0, 0.0)
    view.connected("a", 0.5, 0.1)
    assert view.turn_s("a", 0.1) == pytest.approx(0.9)
    view.connected("a", 0.1, 2.0)
    assert view.turn_s("a", 2.0) == pytest.approx(0.5)
    view.connected("a", 0.1, 3.0)
    assert view.turn_s("a", 3.0) == 0.0
    assert view.turn_s("a", 3.0) == 0.0


def test_who_is_passed_over_is_tried_after_the_others_and_not_left_out() -> None:
    """Last resorts stay last, those that are passed over behind those that are not; else the order stays."""
    view = LocalView(shortest)
    given_order = (
        candidate("a"),
        candidate("b"),
        candidate("c"),
        candidate("d", last_resort=True),
        candidate("e", last_resort=True),
    )
    assert hosts(view.ordered(given_order, 0.0)) == ["a", "b", "c", "d", "e"]
    view.failed("a", 0.0)
    view.failed("d", 0.0)
    assert hosts(view.ordered(given_order, 1.0)) == ["b", "c", "a", "e", "d"]
    view.failed("b", 1.0)
    view.failed("c", 1.0)
    assert hosts(view.ordered(given_order, 2.0)) == ["a", "b", "c", "e", "d"]
    assert hosts(view.ordered(given_order, 4.0)) == ["a", "b", "c", "d", "e"]


@given(
    usable=st.integers(0, len(HOSTS)),
    failed=st.lists(st.sampled_from(HOSTS), max_size=6),
    jitter=st.floats(4.0, 8.0),
)
def test_an_order_loses_no_candidate_and_is_stable(usable: int, failed: list[str], jitter: float) -> None:
    """Whatever failed: the same candidates, last resorts last, and two that are alike as they were given."""
    view = LocalView(lambda _low, _high: jitter)
    for at, host in enumerate(failed):
        view.failed(host, float(at))
    order = [candidate(host, last_resort=number >= usable) for number, host in enumerate(HOSTS)]
    found = view.ordered(order, 6.0)
    rank = [
        (each.last_resort, view.passed_over_since(each.endpoint.host, 6.0) is not None, order.index(each))
        for each in found
    ]
    assert rank == sorted(rank)
    assert sorted(hosts(list(found))) == sorted(HOSTS)


def test_without_a_login_or_a_latency_the_next_one_waits_longest() -> None:
    """Nothing is known: no second endpoint starts too early."""
    assert LocalView().stagger_s(candidate("a")) == MOST_STAGGER_S == 0.25


@pytest.mark.parametrize(
    ("latency_ms", "stagger_s"),
    [(0.0, 0.06), (1.0, 3 * (0.02 + 0.006)), (5.0, 3 * (0.02 + 0.03)), (60.0, MOST_STAGGER_S)],
)
def test_before_the_first_login_the_observers_latency_says_how_long_one_takes(
    latency_ms: float, stagger_s: float
) -> None:
    """Six round trips and some work, three times over, within the bounds."""
    found = LocalView().stagger_s(candidate("a", latency_ms=latency_ms))
    assert found == pytest.approx(stagger_s)


@pytest.mark.parametrize(
    ("login_s", "stagger_s"), [(0.0001, LEAST_STAGGER_S), (0.03, 0.09), (2.0, MOST_STAGGER_S)]
)
def test_a_login_of_our_own_counts_more_than_what_an_observer_says(login_s: float, stagger_s: float) -> None:
    """Three usual logins, within the bounds."""
    view = LocalView()
    view.connected("a", login_s, 0.0)
    assert view.stagger_s(candidate("a", latency_ms=7.0)) == pytest.approx(stagger_s)
    assert view.stagger_s(candidate("b", latency_ms=5.0)) == pytest.approx(0.15)


def test_an_answer_takes_at_least_a_round_trip_of_the_usual_login() -> None:
    """And nothing is known of it before the first one."""
    view = LocalView(shortest)
    assert view.least_answer_s("a") == 0.0
    view.connected("a", 0.6, 100.0)
    assert view.least_answer_s("a") == pytest.approx(0.1)


def test_one_slow_login_does_not_make_the_usual_one() -> None:
    """It is smoothed, and what was met once fades."""
    view = LocalView()
    view.connected("a", 0.02, 0.0)
    view.connected("a", 0.12, 0.0)
    assert view.stagger_s(candidate("a")) == pytest.approx(3 * (0.02 + 0.3 * 0.1))
    for _ in range(20):
        view.connected("a", 0.02, 0.0)
    assert view.stagger_s(candidate("a")) == pytest.approx(0.06, rel=0.01)


@given(logins=st.lists(st.floats(0, 100), max_size=5), latency_ms=st.none() | st.floats(0, 60_000))
def test_a_stagger_is_within_its_bounds(logins: list[float], latency_ms: float | None) -> None:
    """Whatever was measured: never at once, and never longer than a person notices."""
    view = LocalView()
    for took_s in logins:
        view.connected("a", took_s, 0.0)
    assert LEAST_STAGGER_S <= view.stagger_s(candidate("a", latency_ms=latency_ms)) <= MOST_STAGGER_S
