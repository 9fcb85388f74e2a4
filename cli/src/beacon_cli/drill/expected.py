"""What a drill has to see, where and when, by the deployment's own settings. Pure.

=====================  ==========================================  ==========================================
place                  out                                         back
=====================  ==========================================  ==========================================
checkers of REGION     their last reports fail: with the first     their last reports pass again
                       failing answer, no later than DNS
DNS                    the record leads elsewhere; only where it   it leads to REGION again
                       led to REGION
SSM of each Region     the row of REGION is out, and the endpoint  the row is in; where Ranking=priority had
                       is another Region's                         REGION first, it is first again
=====================  ==========================================  ==========================================

Where a fault lets only new logins fail, each probe sees it with its next login (:data:`LOGIN_EVERY_S`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from beacon.predict import Span, Timings, dns_after, ssm_after
from beacon_cli.drill.kinds import Kind
from beacon_cli.intents.movement import places_of
from beacon_cli.intents.rules import Action, Request
from beacon_cli.situation.model import Situation, known

__all__ = [
    "DNS",
    "LOGIN_EVERY_S",
    "Expected",
    "Phase",
    "checkers_of",
    "expectations",
    "least_limit_s",
    "ssm_of",
]

#: A probe in use tries a new login so long after the last one, at the most (:mod:`beacon.dsql.login_watch`).
LOGIN_EVERY_S = 45.0
#: What a health check's answer takes where nothing holds it up.
_ANSWER_S = 0.1
#: Beyond the last prediction, the break stays for a moment in which the consumer writes.
_MARGIN_S = 8.0
DNS = "DNS"


class Phase(Enum):
    """Which way a place moves."""

    OUT = "out"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class Expected:
    """One transition; ``track`` is where it is seen."""

    track: str
    phase: Phase
    predicted: Span
    first: bool = False
    """For SSM's way back: whether the Region has to be first again, and not only in."""


def checkers_of(region: str) -> str:
    """The name of the track of a Region's check."""
    return f"checkers of {region}"


def ssm_of(region: str) -> str:
    """The name of the track of a Region's SSM."""
    return f"SSM of {region}"


def expectations(
    situation: Situation, region: str, kind: Kind, parameters: Mapping[str, Mapping[str, str]], speed: float
) -> tuple[Expected, ...]:
    """Every transition that a drill of ``region`` has to show; ``situation`` is the good day before it.

    ``speed`` is the factor by which a lab shortens intervals. Raises ``ValueError`` where no settings are
    known to predict by.
    """
    timings = situation.timings
    if timings is None:
        raise ValueError("no settings are known to predict by")
    login_s = LOGIN_EVERY_S / speed if kind.logins_only else 0.0
    found = []
    for phase in Phase:
        turn = _turn(timings, kind, phase, login_s)
        # A report shows each checker's last answer, and the check turns with the last of so many in a row.
        reported = _turn(replace(timings, threshold=1), kind, phase, login_s)
        found.append(Expected(checkers_of(region), phase, replace(reported, latest_s=turn.latest_s)))
        answer = known(situation.authoritative)
        if answer is not None and answer.region == region:
            found.append(Expected(DNS, phase, turn))
        if kind.moves_ssm:
            spans = _ssm(situation, region, kind, phase, login_s)
            found += [_of_ssm(situation, region, phase, parameters, one) for one in spans.items()]
    return tuple(found)


def _turn(timings: Timings, kind: Kind, phase: Phase, login_s: float) -> Span:
    if phase is Phase.BACK:
        return dns_after(timings, failing=False, answer_s=_ANSWER_S)
    quick = dns_after(timings, failing=True, answer_s=0.0)
    slow = dns_after(timings, failing=True, answer_s=_ANSWER_S if kind.at_once else timings.deadline_s)
    return Span(quick.earliest_s, slow.expected_s + login_s / 2, slow.latest_s + login_s)


def _ssm(
    situation: Situation, region: str, kind: Kind, phase: Phase, login_s: float
) -> dict[str, Span | None]:
    """When each Region's SSM moves; ``None`` where that depends on what was first in it."""
    timings = situation.timings
    if kind.drains:
        action = Action.DRAIN if phase is Phase.OUT else Action.RELEASE
        places = places_of(situation, Request(action, region, "drill", "drill", None))
        return {one.region: one.predicted for one in places if one.region}
    if phase is Phase.BACK or timings is None:
        return {one.region: None for one in situation.regions}
    return {
        one.region: _confirmed(timings, kind, login_s, edge=one.region == region) for one in situation.regions
    }


def _of_ssm(
    situation: Situation,
    region: str,
    phase: Phase,
    parameters: Mapping[str, Mapping[str, str]],
    observed: tuple[str, Span | None],
) -> Expected:
    observer, span = observed
    published, timings = known(situation.region(observer).document), situation.timings
    assert timings is not None  # noqa: S101 - its caller has looked
    ranking = parameters.get(observer, {}).get("Ranking", "latency")
    first = published is not None and published.preferred.region == region and ranking == "priority"
    # A Region that is in again is first only after the hold.
    held = timings if first else replace(timings, failback_hold_s=0.0)
    return Expected(ssm_of(observer), phase, span or ssm_after(held, recovering=True), first=first)


def _confirmed(timings: Timings, kind: Kind, login_s: float, *, edge: bool) -> Span:
    slow = ssm_after(timings, confirming=True, edge=edge)
    if not kind.at_once:
        return slow
    quick = ssm_after(replace(timings, deadline_s=0.0), confirming=True, edge=edge)
    # A publisher comes by with each tick, and its next login is due by then, or with a later one.
    later_s = max(0.0, login_s - timings.publish_every_s)
    return Span(quick.earliest_s, quick.expected_s + later_s / 2, slow.latest_s + later_s)


def least_limit_s(expected: tuple[Expected, ...]) -> int:
    """How long the break has to last at least, in whole seconds, so that everything can be seen to move."""
    return math.ceil(max(one.predicted.latest_s for one in expected if one.phase is Phase.OUT) + _MARGIN_S)
