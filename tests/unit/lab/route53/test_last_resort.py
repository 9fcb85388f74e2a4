"""Whom DNS answers when one Region is broken and the other drained: today, and with a second check.

docs/adr/0013-no-last-resort.md decides about it. The rules are the lab's, after the Route 53 Developer Guide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from itertools import product
from random import Random

import pytest

from beacon.health.verdict import IntentMemory, judge, render
from beacon.model import Forced, Intent, Observation, ProbeReport
from beacon.names import search_string
from beacon.outcome import ProbeOutcome, Reason
from beacon_lab.route53 import rules
from beacon_lab.route53.records import Failover, RecordSet, choose

REGIONS = PRIMARY, SECONDARY = "us-east-1", "us-east-2"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Is(Enum):
    """A Region's condition, as a report of its probe."""

    SERVING = ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 5.0), {})
    DRAINED = ProbeReport(
        Observation(ProbeOutcome.PASS, Reason.OK, 5.0), {one: Intent(one, Forced.DRAIN) for one in REGIONS}
    )
    BROKEN = ProbeReport(Observation(ProbeOutcome.FAIL, Reason.TIMEOUT))


Fleet = Mapping[str, Is]
Answer = Callable[[Fleet], str]


def serves(region: str, condition: Is) -> bool:
    """What Route 53 says of the Region once each of its checkers has had the real answer three times."""
    check = rules.HealthCheck(
        region,
        rules.CheckType.HTTPS_STR_MATCH,
        fqdn="api.example.com",
        search_string=search_string("orders-prod", region),
    )
    verdict = judge(condition.value, region, IntentMemory(), 0.0)
    answer = render(verdict, service="orders-prod", region=region, target="dsql", now=NOW)
    attempt = rules.PollAttempt(
        connect_s=0.1, status_s=0.1, status=answer.status_code, body_s=0.0, body=answer.body.encode()
    )
    passed = rules.judge_poll(check, attempt) is rules.PollResult.PASS
    tally = rules.CheckerState()
    for _ in range(check.failure_threshold):
        tally = rules.count(tally, passed=passed, threshold=check.failure_threshold)
    return rules.status(check, [tally.healthy] * 6)


def is_alive(condition: Is) -> bool:
    """What a second check would say that asks whether the database answers, drained or not."""
    return condition is not Is.BROKEN


def record(name: str, check: str, *, role: str = "", weight: int | None = None) -> RecordSet:
    return RecordSet(
        name,
        "CNAME",
        10,
        (f"{name}.test",),
        f"{name} {check}",
        check,
        failover=Failover(role) if role else None,
        weight=weight,
    )


def pick(records: list[RecordSet], health: Mapping[str, bool]) -> str:
    chosen = choose(records, healthy=health.__getitem__, client_region=PRIMARY, chance=Random(1))  # noqa: S311  # repeatable
    return chosen.name


def pair(health: Mapping[str, bool]) -> str:
    return pick(
        [record(PRIMARY, PRIMARY, role="PRIMARY"), record(SECONDARY, SECONDARY, role="SECONDARY")], health
    )


def today(fleet: Fleet) -> str:
    """One name, a failover record for each Region, each with its check: as template.yaml makes them."""
    return pair({region: serves(region, condition) for region, condition in fleet.items()})


def tree(fleet: Fleet) -> str:
    """A failover pair of aliases in front of two pairs: who serves, and who is alive.

    An alias with EvaluateTargetHealth is healthy while a record behind it is.
    """
    serving = {region: serves(region, condition) for region, condition in fleet.items()}
    alive = {region: is_alive(condition) for region, condition in fleet.items()}
    top = pick(
        [record("serving", "serving", role="PRIMARY"), record("alive", "alive", role="SECONDARY")],
        {"serving": any(serving.values()), "alive": any(alive.values())},
    )
    return pair(serving if top == "serving" else alive)


def zero_weights(fleet: Fleet) -> str:
    """Under the weighted policy no tree is needed: weight 0 answers only while every other is unhealthy."""
    health = {f"{region} serves": serves(region, condition) for region, condition in fleet.items()}
    health |= {f"{region} alive": is_alive(condition) for region, condition in fleet.items()}
    records = [record(region, f"{region} serves", weight=100) for region in REGIONS]
    return pick([*records, *(record(region, f"{region} alive", weight=0) for region in REGIONS)], health)


FLEETS = [dict(zip(REGIONS, conditions, strict=True)) for conditions in product(Is, repeat=2)]


def wrong(answer: Answer) -> list[tuple[str, ...]]:
    """The fleets in which the answer is a worse Region than there is; if all are broken, none is better."""
    rank = list(Is)
    return [
        tuple(condition.name for condition in fleet.values())
        for fleet in FLEETS
        if rank.index(fleet[answer(fleet)]) > min(rank.index(condition) for condition in fleet.values())
    ]


def test_today_dns_answers_a_broken_primary_although_the_secondary_is_merely_drained() -> None:
    """Every check is unhealthy, so all count as healthy; it is the one fleet of nine that goes wrong."""
    assert today({PRIMARY: Is.BROKEN, SECONDARY: Is.DRAINED}) == PRIMARY
    assert wrong(today) == [("BROKEN", "DRAINED")]


@pytest.mark.parametrize("answer", [tree, zero_weights])
def test_a_second_check_would_make_the_drained_region_the_last_resort(answer: Answer) -> None:
    """In every fleet it answers the best Region there is, and needs nothing but Route 53's data plane."""
    assert answer({PRIMARY: Is.BROKEN, SECONDARY: Is.DRAINED}) == SECONDARY
    assert wrong(answer) == []
