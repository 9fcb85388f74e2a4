"""What the settings predict for DNS and SSM."""

from dataclasses import replace

import pytest

from beacon.predict import Span, Timings, dns_after, ssm_after

TIMINGS = Timings(
    interval_s=10.0,
    threshold=3,
    publish_every_s=60.0,
    recheck_s=1.0,
    deadline_s=1.0,
    fall=5,
    rise=2,
    failback_hold_s=90.0,
    checkers=16,
    distance_s=1.0,
    slack_s=0.0,
)


def test_dns_turns_between_one_less_than_the_threshold_and_the_threshold() -> None:
    """Two to three periods after the change, a period being the interval, the answer and the way."""
    found = dns_after(TIMINGS, failing=True, answer_s=1.0)
    assert (found.earliest_s, found.latest_s) == (22.0, 36.0)


def test_dns_fails_with_the_fourteenth_checker_and_recovers_with_the_third() -> None:
    """More than 18 % of 16 checkers is three: two that still call it healthy are not enough."""
    failing = dns_after(TIMINGS, failing=True, answer_s=0.0)
    recovering = dns_after(TIMINGS, failing=False, answer_s=0.0)
    assert failing.expected_s == pytest.approx((2 + 14 / 17) * 10.5)
    assert recovering.expected_s == pytest.approx((2 + 3 / 17) * 10.5)


def test_ssm_turns_at_the_next_run_and_its_rechecks() -> None:
    """A failure is confirmed in the run that meets it, by four rechecks a second apart and the first look; a
    tick is late by 5 % at the most."""
    assert ssm_after(TIMINGS, confirming=True) == Span(5.0, 35.0, 68.0)


def test_a_failure_that_the_region_itself_sees_starts_the_run() -> None:
    """The first of 16 checkers comes by after one part in 17 of the interval, and its probe fails first."""
    found = ssm_after(TIMINGS, confirming=True, edge=True)
    assert found.expected_s == pytest.approx(10 / 17 + 1.0 + 5.0)
    assert (found.earliest_s, found.latest_s) == (5.0, 68.0)


def test_ssm_recovers_after_rise_runs_and_the_hold() -> None:
    """No recheck and no edge hastens a recovery: one more run for `rise`, two for a hold of 90 s."""
    assert ssm_after(TIMINGS, recovering=True) == Span(177.0, 210.0, 243.0)
    assert ssm_after(replace(TIMINGS, failback_hold_s=0.0), recovering=True) == Span(57.0, 90.0, 123.0)


def test_an_intent_needs_one_run() -> None:
    """What the operator forces is read by the next run and needs no confirmation."""
    assert ssm_after(TIMINGS) == Span(0.0, 30.0, 63.0)


@pytest.mark.parametrize("failing", [True, False])
@pytest.mark.parametrize("speed", [1.0, 5.0, 20.0])
def test_a_prediction_is_in_order(failing: bool, speed: float) -> None:
    """Earliest, expected, latest, at every speed."""
    timings = replace(
        TIMINGS, interval_s=10 / speed, publish_every_s=60 / speed, failback_hold_s=90 / speed, slack_s=1.5
    )
    for span in (
        dns_after(timings, failing=failing, answer_s=1.0),
        ssm_after(timings, confirming=failing, edge=failing, recovering=not failing),
    ):
        assert 0 <= span.earliest_s <= span.expected_s <= span.latest_s


def test_a_span_reads_as_its_bounds() -> None:
    """The expected value is left to the caller."""
    assert str(Span(1.0, 2.0, 3.25)) == "1.0-3.2"


def test_without_other_words_there_are_sixteen_checkers_at_their_distances() -> None:
    """What connecting takes a far checker, and what the lab's machine may add."""
    usual = Timings(10.0, 3, 60.0, 1.0, 1.0, 5, 2, 90.0)
    assert (usual.checkers, usual.distance_s, usual.slack_s) == (16, 0.9, 1.5)
    assert dns_after(usual, failing=True, answer_s=1.0).latest_s == pytest.approx(3 * (11 + 0.9) + 1.5)
    assert ssm_after(usual).latest_s == pytest.approx(63.0 + 1.5)


def test_of_a_hundred_checkers_the_nineteenth_brings_the_recovery() -> None:
    """18 of 100 are exactly 18 %, which is not more than that; the 82nd failure turns the check."""
    timings = replace(TIMINGS, checkers=100, distance_s=0.0)
    recovering = dns_after(timings, failing=False, answer_s=0.0)
    failing = dns_after(timings, failing=True, answer_s=0.0)
    assert recovering.expected_s == pytest.approx((2 + 19 / 101) * 10)
    assert failing.expected_s == pytest.approx((2 + 82 / 101) * 10)


def test_an_edge_is_never_later_than_the_next_tick() -> None:
    """Where the schedule is quicker than the checkers, it notices first."""
    assert ssm_after(replace(TIMINGS, publish_every_s=1.0), edge=True).expected_s == 0.5


def test_rechecks_take_their_distance_each() -> None:
    """Four of them, half a second apart, after the first look."""
    assert ssm_after(replace(TIMINGS, recheck_s=0.5), confirming=True).earliest_s == 3.0


def test_an_intent_that_the_region_itself_sees_needs_no_probe_to_fail() -> None:
    """The first of 16 checkers meets the drain, and its answer starts the run."""
    assert ssm_after(TIMINGS, edge=True).expected_s == pytest.approx(10 / 17)
