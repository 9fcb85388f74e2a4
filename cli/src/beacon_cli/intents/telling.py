"""What an operator reads of a drain or a release: before it, while it spreads, and at its end."""

from __future__ import annotations

from datetime import datetime

from beacon.predict import Span
from beacon_cli.intents.movement import DNS, Place
from beacon_cli.intents.plan import Plan
from beacon_cli.intents.rules import Action, Request
from beacon_cli.intents.writer import Written
from beacon_cli.situation.finding import clock, joined, span
from beacon_cli.situation.model import Fact, Known, known

__all__ = ["end_lines", "holds", "move_line", "plan_lines", "question", "start_lines"]


def question(request: Request) -> str:
    """What is confirmed."""
    return f"{request.action.value.capitalize()} {request.region}{_lasting(request)}?"


def _lasting(request: Request) -> str:
    if request.action is Action.RELEASE:
        return ""
    return " until it is released" if request.lasts_s is None else f" for {span(request.lasts_s)}"


def plan_lines(plan: Plan) -> list[str]:
    """The consequences, what is predicted, and what could not be read."""
    request, situation = plan.request, plan.situation
    what = (
        f"{request.action.value} {request.region}{_lasting(request)}, as {request.actor}: {request.reason!r}"
    )
    lines = [f"{situation.service}: {what}", *(f"-  {one}" for one in plan.consequences.sentences)]
    answer = known(situation.authoritative)
    for place in plan.places:
        if place.predicted is None:
            lines.append(f"-  {place.name} follows; no parameters are known to predict when.")
            continue
        ttl = f", then resolvers within the TTL of {answer.ttl_s} s" if answer and place.name == DNS else ""
        lines.append(f"-  {place.name} follows in {_between(place.predicted)}{ttl}.")
    if not any(place.name == DNS for place in plan.places):
        lines.append(f"-  DNS is not waited for: {request.region} is observed down.")
    return lines + [f"?  Not known: {why}." for why in situation.unknown()]


def _between(predicted: Span) -> str:
    return f"{span(predicted.earliest_s)} to {span(predicted.latest_s)}"


def holds(request: Request, written: Written, now: datetime) -> str:
    """What the database says since the commit."""
    if request.action is Action.RELEASE:
        return f"{request.region} is released since {clock(written.at, now)}"
    ends = "until it is released" if written.until is None else f"until {clock(written.until, now)}"
    return f"{request.region} is drained {ends}"


def start_lines(request: Request, written: Written, started: dict[str, Fact[None]]) -> list[str]:
    """That it is committed, and which publishers were not started."""
    lines = [f"{holds(request, written, written.at)}; written through {written.through}."]
    for region, fact in started.items():
        if not isinstance(fact, Known):
            lines.append(f"!  {fact.why}: SSM of {region} follows at its next tick.")
    return lines


def move_line(place: Place) -> str:
    """That a place has followed and how that compares, or that it cannot be read."""
    if place.after_s is None:
        return f"?  {place.name} cannot be followed: {place.why}."
    predicted = f" (predicted: {_between(place.predicted)})" if place.predicted else ""
    return f"-  {place.name} has followed after {place.after_s:.1f} s{predicted}."


def end_lines(request: Request, written: Written, places: tuple[Place, ...], now: datetime) -> list[str]:
    """What holds at the end, what has followed, what has not, and how the change is undone or seen."""
    done = [one.name for one in places if one.after_s is not None]
    late = [one.name for one in places if one.after_s is None and not one.why]
    blind = [one.name for one in places if one.after_s is None and one.why]
    parts = [holds(request, written, now)]
    if done:
        parts.append(f"{joined(done)} {_have(done)} followed")
    if late:
        parts.append(f"{joined(late)} {_have(late)} not followed yet")
    if blind:
        parts.append(f"{joined(blind)} could not be read")
    return [f"{'; '.join(parts)}."]


def _have(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"
