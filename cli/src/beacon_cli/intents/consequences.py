"""What a drain or a release would leave, and whether it is refused. Pure.

A Region that would remain, by what is known of it:

=======================  ==========================  ========  ===========================================
its health check         the documents, where fresh  it is     because
=======================  ==========================  ========  ===========================================
any                      any; a drain is in force    drained   it does not remain
unhealthy, or inverted   any                         down      DNS sends no client there
healthy                  down in every one           down      clients would meet its failure
healthy                  up in one, or not known     up
disabled or unknown      up in one, down in none     up
disabled or unknown      down in one                 down
disabled or unknown      not known                   unknown   it may be down as well
=======================  ==========================  ========  ===========================================

A drain is refused where no other Region is up. `--even-though-unhealthy` carries it out all the same, but
never where no other Region is undrained: then readers would have no Region at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from beacon.model import EndpointState, Observed
from beacon_cli.intents.rules import Action, Request, drain_of
from beacon_cli.situation.finding import clock, joined, span
from beacon_cli.situation.model import CheckReport, ForcedStates, RegionSituation, Situation, known
from beacon_cli.situation.regions import seen_by

__all__ = ["OVERRIDE", "Consequences", "Remaining", "Standing", "weigh"]

#: The option that drains although no other Region is seen up.
OVERRIDE = "--even-though-unhealthy"


class Standing(Enum):
    """The third column of the module's table."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"
    DRAINED = "drained"


@dataclass(frozen=True, slots=True)
class Remaining:
    """Another Region, and why it counts as what it does."""

    region: str
    standing: Standing
    why: str


@dataclass(frozen=True, slots=True)
class Consequences:
    """What an operator should know before the change; ``refusal`` is empty where nothing is against it."""

    remaining: tuple[Remaining, ...]
    sentences: tuple[str, ...]
    refusal: str = ""


def weigh(situation: Situation, request: Request) -> Consequences:
    """What ``request`` would leave, by the module's table.

    Raises ``KeyError`` for a Region that is not there; ``situation`` has to know the forced states.
    """
    forced = known(situation.forced)
    if forced is None:
        raise ValueError("the forced states are not known")
    others = [one for one in situation.regions if one.region != request.region]
    remaining = tuple(_judge(situation, one, forced) for one in others)
    leaves = request.action is Action.DRAIN
    said = [f"{row.region} {_stands(row)}." for row in remaining] if leaves else []
    said += _own(situation, request, forced)
    refusal = _refusal(request, remaining) if leaves else ""
    return Consequences(remaining, tuple(said), refusal)


def _judge(situation: Situation, one: RegionSituation, forced: ForcedStates) -> Remaining:
    row = forced.of(one.region)
    if row is not None and row.forced:
        return Remaining(one.region, Standing.DRAINED, drain_of(row, forced.at))
    report = known(one.check)
    seen = _fresh(situation, one.region)
    up = [name for name, state in seen.items() if state.observed is Observed.UP]
    down = [name for name, state in seen.items() if state.observed is Observed.DOWN]
    shown = [f"the document of {joined(names)} observes it {what}" for names, what in _both(up, down)]
    if report is not None and report.healthy is False:
        checked = f"{report.tally.passed} of {report.tally.fresh} checkers find it healthy"
        inverted = ", and its health check is inverted" if report.check.inverted else ""
        return Remaining(one.region, Standing.DOWN, f"{checked}{inverted}")
    if report is not None and not report.check.disabled and report.tally.known:
        checked = f"{report.tally.passed} of {report.tally.fresh} checkers find it healthy"
        standing = Standing.DOWN if down and not up else Standing.UP
        return Remaining(one.region, standing, "; ".join([checked, *shown]))
    checked = _unchecked(report)
    standing = Standing.DOWN if down else Standing.UP if up else Standing.UNKNOWN
    missing = [] if shown else ["no fresh document tells"]
    return Remaining(one.region, standing, "; ".join([checked, *shown, *missing]))


def _unchecked(report: CheckReport | None) -> str:
    if report is None:
        return "what its checkers say is not known"
    if report.check.disabled:
        return "its health check is disabled"
    return f"only {report.tally.fresh} of {report.tally.reported} checkers have reported lately"


def _both(up: list[str], down: list[str]) -> list[tuple[list[str], str]]:
    return [(names, what) for names, what in ((up, "up"), (down, "down")) if names]


def _fresh(situation: Situation, region: str) -> dict[str, EndpointState]:
    """The row of ``region`` in each document that readers still go by."""
    found = {}
    for observer, state in seen_by(situation, region).items():
        published = known(situation.region(observer).document)
        if published is not None and not published.stale(situation.at):
            found[observer] = state
    return found


def _stands(row: Remaining) -> str:
    if row.standing is Standing.DRAINED:
        return f"does not remain: {row.why}"
    said = {Standing.UP: "remains and is up", Standing.DOWN: "is down"}.get(row.standing, "may be up or down")
    return f"{said}: {row.why}"


def _own(situation: Situation, request: Request, forced: ForcedStates) -> list[str]:
    """What is to be said of the Region itself."""
    region, row = request.region, forced.of(request.region)
    own = next(iter(_fresh(situation, region).values()), None)
    drained = row is not None and bool(row.forced)
    if request.action is Action.DRAIN:
        said = (
            [f"{drain_of(row, forced.at)}. This replaces its reason and its end."] if row and drained else []
        )
        healthy = situation.region(region).healthy
        if healthy is False and not drained:
            said.append(f"{region} is out of DNS already: the drain keeps it out when it recovers.")
        return said
    if row is None or not drained:
        return []
    said = [f"{drain_of(row, forced.at)}."]
    if own is not None and own.observed is Observed.DOWN:
        since = own.observed_since or own.since
        said.append(
            f"{region} is observed down since {clock(since, situation.at)}"
            f" ({span((situation.at - since).total_seconds())}): it stays out until it is repaired."
        )
    return said


def _refusal(request: Request, remaining: tuple[Remaining, ...]) -> str:
    left = [row for row in remaining if row.standing is not Standing.DRAINED]
    if any(row.standing is Standing.UP for row in left):
        return ""
    if not left:
        return ""  # the transaction's own rule, which no option lifts, says so with the operators' names
    said = "; ".join(f"{row.region} {_stands(row)}" for row in left)
    return f"no other Region than {request.region} is seen up. {said}"
