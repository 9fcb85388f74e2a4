"""Whether a Region is serving, by the table that deployments go by."""

from datetime import UTC, datetime, timedelta

import pytest

from beacon_cli.standing import STALE_S, Check, Observation, Standing, judge, region_of

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
EVER = datetime.min.replace(tzinfo=UTC)
GOOD, BAD = "Success: HTTP Status Code 200, OK", "Failure: HTTP Status Code 503, Service Unavailable"
CHECK = Check("abc", "us-east-1")


def seen(good: int, bad: int, age_s: float = 5) -> list[Observation]:
    """So many successes and failures, all of the same age."""
    moment = NOW - timedelta(seconds=age_s)
    return [Observation(status, moment) for status in [GOOD] * good + [BAD] * bad]


def standing(*observations: Observation, check: Check = CHECK, since: datetime = EVER) -> Standing:
    return judge(check, observations, now=NOW, since=since)


@pytest.mark.parametrize(("good", "bad", "serving"), [(16, 0, True), (3, 13, True), (2, 14, False)])
def test_more_than_18_percent_of_the_checkers_decide(good: int, bad: int, serving: bool) -> None:
    """Three of sixteen are 18.75 %, two are 12.5 %."""
    assert standing(*seen(good, bad)).serving is serving


def test_exactly_18_percent_are_too_few() -> None:
    """Route 53 says "more than"."""
    assert not standing(*seen(9, 41)).serving
    assert standing(*seen(10, 40)).serving


def test_a_region_that_does_not_serve_says_what_its_checkers_met() -> None:
    """A refusal says where to look."""
    assert BAD in standing(*seen(0, 16)).why
    assert "0 of 16" in standing(*seen(0, 16)).why


@pytest.mark.parametrize("check", [Check("a", "r", disabled=True), Check("a", "r", inverted=True)])
def test_a_check_that_an_operator_changed_says_nothing_good(check: Check) -> None:
    """A disabled check is healthy unasked; an inverted one takes a Region out that answers well."""
    assert not standing(*seen(16, 0), check=check).serving


def test_what_is_not_known_is_no_reason_to_deploy() -> None:
    """No observation, old ones, or fresh ones of a few checkers only."""
    assert not standing().serving
    assert not standing(*seen(16, 0, age_s=STALE_S)).serving
    assert not standing(*seen(8, 0), *seen(8, 0, age_s=STALE_S)).serving
    assert standing(*seen(9, 0), *seen(7, 0, age_s=STALE_S)).serving


def test_old_successes_do_not_hide_fresh_failures() -> None:
    """Only what was seen lately is counted."""
    assert not standing(*seen(7, 0, age_s=STALE_S), *seen(0, 9)).serving


def test_after_a_deployment_only_later_observations_count() -> None:
    """What checkers saw before it says nothing of what is there now."""
    before, after = NOW - timedelta(seconds=10), NOW - timedelta(seconds=4)
    assert standing(*seen(6, 0), since=before).serving
    assert not standing(*seen(6, 0), since=after).serving


@pytest.mark.parametrize(
    ("search_string", "region"),
    [
        ("beacon:orders-prod:us-east-1:serving", "us-east-1"),
        ("beacon:orders-prod-2:us-east-1:serving", None),
        ("beacon:orders-prod:us-east-1:serving!", None),
        ("", None),
    ],
)
def test_a_check_is_known_by_what_it_searches_for(search_string: str, region: str | None) -> None:
    """Other checks in the account are none of ours."""
    assert region_of(search_string, "orders-prod") == region
