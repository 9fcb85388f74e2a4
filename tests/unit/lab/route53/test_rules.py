"""Each row of the truth tables in beacon_lab.route53.rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon_lab.route53 import rules
from beacon_lab.route53.rules import CheckerState, CheckType, HealthCheck, PollAttempt, PollResult, Trouble

WANTED = "beacon:shop-prod:us-east-1:serving"
HTTP_TYPES = (CheckType.HTTP, CheckType.HTTPS)
MATCH_TYPES = (CheckType.HTTP_STR_MATCH, CheckType.HTTPS_STR_MATCH)


def a_check(kind: CheckType = CheckType.HTTPS_STR_MATCH, **changes: Any) -> HealthCheck:  # noqa: ANN401
    return HealthCheck("hc", kind, **{"fqdn": "api.example.test", "search_string": WANTED, **changes})


def an_answer(**changes: Any) -> PollAttempt:  # noqa: ANN401
    good: dict[str, Any] = {
        "connect_s": 0.1,
        "status_s": 0.5,
        "status": 200,
        "body_s": 0.0,
        "body": WANTED.encode(),
    }
    return PollAttempt(**{**good, **changes})


@pytest.mark.parametrize(
    ("kind", "attempt", "outcome"),
    [
        (CheckType.TCP, PollAttempt(connect_s=10.0), PollResult.PASS),
        (CheckType.TCP, PollAttempt(connect_s=10.001), PollResult.CONNECT_TIMEOUT),
        (CheckType.TCP, PollAttempt(trouble=Trouble.REFUSED), PollResult.TROUBLE),
        *[
            (kind, an_answer(connect_s=4.0, status_s=2.0), PollResult.PASS)
            for kind in (*HTTP_TYPES, *MATCH_TYPES)
        ],
        *[
            (kind, an_answer(connect_s=4.001), PollResult.CONNECT_TIMEOUT)
            for kind in (*HTTP_TYPES, *MATCH_TYPES)
        ],
        *[
            (kind, an_answer(status_s=2.001), PollResult.STATUS_TIMEOUT)
            for kind in (*HTTP_TYPES, *MATCH_TYPES)
        ],
        *[
            (kind, PollAttempt(connect_s=0.1), PollResult.STATUS_TIMEOUT)
            for kind in (*HTTP_TYPES, *MATCH_TYPES)
        ],
        *[(kind, PollAttempt(), PollResult.CONNECT_TIMEOUT) for kind in (*HTTP_TYPES, *MATCH_TYPES)],
        *[
            (kind, an_answer(status=code), PollResult.PASS)
            for kind in HTTP_TYPES
            for code in (200, 204, 301, 399)
        ],
        *[
            (kind, an_answer(status=code), PollResult.BAD_STATUS)
            for kind in (*HTTP_TYPES, *MATCH_TYPES)
            for code in (101, 199, 400, 403, 429, 500, 503)
        ],
        *[(kind, an_answer(body=b"", body_s=None), PollResult.PASS) for kind in HTTP_TYPES],
        *[(kind, an_answer(body_s=2.0), PollResult.PASS) for kind in MATCH_TYPES],
        *[(kind, an_answer(body_s=2.001), PollResult.BODY_TIMEOUT) for kind in MATCH_TYPES],
        *[(kind, an_answer(body_s=None), PollResult.BODY_TIMEOUT) for kind in MATCH_TYPES],
        *[(kind, an_answer(body=b"fine"), PollResult.STRING_ABSENT) for kind in MATCH_TYPES],
        *[(kind, an_answer(body=WANTED.upper().encode()), PollResult.STRING_ABSENT) for kind in MATCH_TYPES],
        *[
            (kind, PollAttempt(connect_s=0.1, trouble=trouble), PollResult.TROUBLE)
            for kind in (*HTTP_TYPES, *MATCH_TYPES)
            for trouble in (Trouble.TLS, Trouble.RESET, Trouble.NOT_HTTP)
        ],
        (CheckType.HTTP, PollAttempt(trouble=Trouble.NAME), PollResult.TROUBLE),
        (CheckType.HTTP_STR_MATCH, an_answer(body_s=None, trouble=Trouble.RESET), PollResult.TROUBLE),
    ],
)
def test_one_attempt_is_judged_by_the_table(
    kind: CheckType, attempt: PollAttempt, outcome: PollResult
) -> None:
    """Table 1, each row and both sides of each limit."""
    assert rules.judge_poll(a_check(kind), attempt) is outcome


@pytest.mark.parametrize(
    ("offset", "found"), [(0, True), (5120 - len(WANTED), True), (5120 - len(WANTED) + 1, False)]
)
def test_the_whole_string_must_lie_in_the_first_5120_bytes(offset: int, found: bool) -> None:
    """The last place where the string still counts, and the first where it does not."""
    body = b"x" * offset + WANTED.encode() + b"y" * 100
    assert (rules.judge_poll(a_check(), an_answer(body=body)) is PollResult.PASS) is found


@pytest.mark.parametrize("threshold", [1, 2, 3, 10])
@pytest.mark.parametrize("healthy", [True, False])
def test_a_checker_changes_its_mind_after_exactly_the_threshold(healthy: bool, threshold: int) -> None:
    """Table 2, both ways: one attempt fewer than the threshold changes nothing."""
    tally = CheckerState(healthy=healthy)
    for _ in range(threshold - 1):
        tally = rules.count(tally, passed=not healthy, threshold=threshold)
        assert tally.healthy is healthy
    assert rules.count(tally, passed=not healthy, threshold=threshold) == CheckerState(healthy=not healthy)


def test_a_checker_without_data_says_healthy() -> None:
    """Table 2, first row."""
    assert CheckerState().healthy


@pytest.mark.parametrize("healthy", [True, False])
def test_an_attempt_that_agrees_starts_the_count_again(healthy: bool) -> None:
    """Two of three, then one that agrees, then two of three again: no change."""
    tally = CheckerState(healthy=healthy)
    for passed in (not healthy, not healthy, healthy, not healthy, not healthy):
        tally = rules.count(tally, passed=passed, threshold=3)
    assert tally == CheckerState(healthy=healthy, against=2)


@given(st.lists(st.booleans()), st.integers(1, 10))
def test_a_checker_changes_only_when_the_last_attempts_all_disagree(
    attempts: list[bool], threshold: int
) -> None:
    """At each change, the last `threshold` attempts were all of the new kind."""
    tally = CheckerState()
    for number, passed in enumerate(attempts, start=1):
        before, tally = tally, rules.count(tally, passed=passed, threshold=threshold)
        if tally.healthy != before.healthy:
            assert attempts[max(0, number - threshold) : number] == [tally.healthy] * threshold
        assert 0 <= tally.against < threshold


@pytest.mark.parametrize(
    ("said", "disabled", "inverted", "healthy"),
    [
        ([True] * 3 + [False] * 13, False, False, True),
        ([True] * 2 + [False] * 14, False, False, False),
        ([True] * 9 + [False] * 41, False, False, False),  # 18 % exactly
        ([True] * 3 + [False] * 13, False, True, False),
        ([True] * 2 + [False] * 14, False, True, True),
        ([], False, False, True),
        ([], False, True, False),
        ([False] * 16, True, False, True),
        ([True] * 16, True, False, True),
        ([True] * 16, True, True, False),
        ([False] * 16, True, True, False),
    ],
)
def test_the_check_follows_its_checkers_then_disabled_then_inverted(
    said: list[bool], disabled: bool, inverted: bool, healthy: bool
) -> None:
    """Table 3; 3 of 16 checkers are 18.75 %, 2 of 16 are 12.5 %."""
    assert rules.status(a_check(disabled=disabled, inverted=inverted), said) is healthy


@pytest.mark.parametrize(
    ("threshold", "children", "healthy"),
    [(0, [False, False], True), (1, [True, False], True), (2, [True, False], False), (2, [True, True], True)],
)
def test_a_calculated_check_counts_its_healthy_children(
    threshold: int, children: list[bool], healthy: bool
) -> None:
    """Table 4."""
    check = HealthCheck("sum", CheckType.CALCULATED, health_threshold=threshold)
    assert rules.calculated_status(check, children) is healthy


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fqdn": ""}, "neither FullyQualifiedDomainName nor IPAddress"),
        ({"port": 0}, "Port 0"),
        ({"request_interval_s": 20}, "RequestInterval 20"),
        ({"failure_threshold": 0}, "FailureThreshold 0"),
        ({"failure_threshold": 11}, "FailureThreshold 11"),
        ({"search_string": "x" * 256}, "SearchString"),
        ({"regions": ("us-east-1", "us-west-1")}, "fewer than 3 Regions"),
        ({"regions": ("us-east-1", "us-west-1", "eu-central-1")}, "no checkers"),
    ],
)
def test_a_check_that_route_53_refuses_is_refused(changes: dict[str, Any], sentence: str) -> None:
    """Each limit of HealthCheckConfig is named when it is broken."""
    with pytest.raises(ValueError, match=sentence):
        HealthCheck(
            **{
                "id": "hc",
                "type": CheckType.HTTPS_STR_MATCH,
                "fqdn": "a.test",
                "search_string": "s",
                **changes,
            }
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"port": 1},
        {"port": 65535},
        {"request_interval_s": 10},
        {"request_interval_s": 30},
        {"failure_threshold": 1},
        {"failure_threshold": 10},
        {"search_string": "x"},
        {"search_string": "x" * 255},
        {"fqdn": "", "ip_address": "192.0.2.1"},
        {"regions": ("us-east-1", "us-west-1", "eu-west-1")},
        {"type": CheckType.TCP, "search_string": ""},
        {"type": CheckType.HTTPS, "search_string": ""},
        {"type": CheckType.CALCULATED, "fqdn": "", "health_threshold": 256, "children": ("id",) * 255},
    ],
)
def test_a_check_at_its_limits_is_accepted(changes: dict[str, Any]) -> None:
    """The limits are within; only a check that matches a string needs one."""
    kind = changes.pop("type", CheckType.HTTPS_STR_MATCH)
    check = a_check(kind, **changes)
    assert all(getattr(check, name) == value for name, value in changes.items())


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (CheckType.HTTPS, {"port": 65536}),
        (CheckType.HTTP_STR_MATCH, {"search_string": ""}),
        (CheckType.CALCULATED, {"health_threshold": -1}),
        (CheckType.CALCULATED, {"health_threshold": 257}),
        (CheckType.CALCULATED, {"children": ("id",) * 256}),
    ],
)
def test_a_check_just_beyond_a_limit_is_refused(kind: CheckType, changes: dict[str, Any]) -> None:
    """By its identity, so that an operator finds it."""
    with pytest.raises(ValueError, match=r"check hc\b"):
        a_check(kind, **changes)


def test_a_check_has_the_defaults_of_the_api() -> None:
    """HealthCheckConfig: 30 s, three in a row, HTTPS on 443, every checker, neither inverted nor disabled."""
    check = HealthCheck("hc", CheckType.HTTPS, fqdn="api.example.test")
    assert (check.port, check.path, check.request_interval_s, check.failure_threshold) == (443, "/", 30, 3)
    assert (check.inverted, check.disabled, check.enable_sni) == (False, False, False)
    assert check.regions == rules.CHECKER_REGIONS
    assert set(rules.CHECKER_REGIONS) == {
        *("us-east-1", "us-west-1", "us-west-2", "eu-west-1", "sa-east-1"),
        *("ap-southeast-1", "ap-southeast-2", "ap-northeast-1"),
    }
    assert (check.children, check.health_threshold) == ((), 0)


def test_what_ended_an_attempt_is_said_in_words_of_their_own() -> None:
    """The checkers' list and Route 53's last failure reason show them."""
    assert [each.value for each in Trouble] == [
        *("name not resolved", "connection refused", "unreachable"),
        *("TLS failed", "connection lost", "not HTTP"),
    ]
    assert [each.value for each in PollResult] == [each.name.lower().replace("_", " ") for each in PollResult]


@pytest.mark.parametrize(
    ("kind", "tls", "matches"),
    [
        (CheckType.HTTP, False, False),
        (CheckType.HTTPS, True, False),
        (CheckType.HTTP_STR_MATCH, False, True),
        (CheckType.HTTPS_STR_MATCH, True, True),
        (CheckType.TCP, False, False),
        (CheckType.CALCULATED, False, False),
    ],
)
def test_a_type_says_whether_checkers_speak_tls_and_look_for_a_string(
    kind: CheckType, tls: bool, matches: bool
) -> None:
    """Its name in the API says both."""
    assert (kind.tls, kind.matches_string) == (tls, matches)
    assert kind == kind.name


@pytest.mark.parametrize(
    ("disabled", "inverted", "healthy"),
    [(False, False, False), (False, True, True), (True, False, True), (True, True, False)],
)
def test_a_calculated_check_may_be_disabled_and_inverted(
    disabled: bool, inverted: bool, healthy: bool
) -> None:
    """As any other: table 3."""
    check = HealthCheck("sum", CheckType.CALCULATED, health_threshold=1, disabled=disabled, inverted=inverted)
    assert rules.calculated_status(check, [False]) is healthy
