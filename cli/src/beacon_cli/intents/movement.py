"""Whether DNS and each Region's SSM have followed a change of intent, and when they should. Pure.

=====  ==============================================  =================================================
place  it has followed a drain when                    it has followed a release when
=====  ==============================================  =================================================
DNS    the Region's check is unhealthy, and the        the check is healthy, and the record of a primary
       record does not lead to the Region              Region leads to it again
SSM    the document forces the drain, and document     the document forces nothing there
       and endpoint name another Region first
=====  ==============================================  =================================================

Of the two facts of DNS, one is enough where the other cannot be read. A Region that is observed down stays
out of DNS after its release, so then DNS is not waited for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from beacon.model import Forced, Observed
from beacon.predict import Span, Timings, dns_after, ssm_after
from beacon_cli.intents.rules import Action, Request
from beacon_cli.situation.model import CheckReport, Fact, Known, Published, RecordAnswer, Situation, known
from beacon_cli.situation.regions import seen_by

__all__ = ["DNS", "Place", "Sight", "at_next_tick", "has_followed", "places_of", "ssm_name"]

DNS = "DNS"
#: A started publisher needs its start, a round of probes, and two writes.
_START_S = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """DNS, or the SSM of one Region: what is known of its move."""

    name: str
    region: str = ""
    """Whose SSM it is; empty for DNS."""
    predicted: Span | None = None
    after_s: float | None = None
    """When it was seen to have followed, in seconds after the change; ``None`` while it has not."""
    why: str = ""
    """Why it cannot be read now; empty where it can."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at everything that follows."""

    record: Fact[RecordAnswer] | None
    check: Fact[CheckReport] | None
    published: Mapping[str, Fact[Published]]


def ssm_name(region: str) -> str:
    """A place's name."""
    return f"SSM of {region}"


def places_of(situation: Situation, request: Request) -> tuple[Place, ...]:
    """What should follow ``request``, and when by the prediction; DNS is left out where it stays as it is."""
    timings, found = situation.timings, []
    if _dns_turns(situation, request):
        failing = request.action is Action.DRAIN
        span = dns_after(timings, failing=failing, answer_s=0.1) if timings else None
        found.append(Place(DNS, predicted=span))
    span = _started(timings) if timings else None
    found += [Place(ssm_name(one.region), one.region, span) for one in situation.regions]
    return tuple(found)


def _dns_turns(situation: Situation, request: Request) -> bool:
    if request.action is Action.DRAIN:
        return True
    # The Region's own document comes first: its health check probes from the same place.
    own = next(iter(seen_by(situation, request.region).values()), None)
    return own is None or own.observed is not Observed.DOWN


def _started(timings: Timings) -> Span:
    """A publisher that is started makes its round at once, or after the one that is under way."""
    latest_s = _START_S + 2 * timings.deadline_s + timings.slack_s
    tick = ssm_after(timings)
    return Span(0.0, min(_START_S, tick.expected_s), min(latest_s, tick.latest_s))


def at_next_tick(
    places: tuple[Place, ...], regions: Collection[str], timings: Timings | None
) -> tuple[Place, ...]:
    """``places`` where the publishers of ``regions`` were not started: their SSM follows at the next tick."""
    tick = ssm_after(timings) if timings else None
    return tuple(replace(one, predicted=tick) if one.region in regions else one for one in places)


def has_followed(place: Place, request: Request, sight: Sight, *, primary: bool) -> tuple[bool, str]:
    """Whether ``place`` shows the change, by the module's table; and why it cannot be read, or nothing.

    ``primary``: whether the record leads to the Region whenever the Region is healthy.
    """
    if place.region:
        fact = sight.published[place.region]
        if not isinstance(fact, Known):
            return False, fact.why
        return _ssm_followed(fact.value, request), ""
    return _dns_followed(request, sight, primary=primary)


def _ssm_followed(published: Published, request: Request) -> bool:
    state = published.document.state_of(request.region)
    if state is None:
        return True
    if request.action is Action.RELEASE:
        return state.forced is None
    preferred = published.preferred
    # A document that is frozen keeps its order: no other Region can take over.
    away = preferred.region != request.region or published.document.frozen
    named = published.endpoint in {"", preferred.host}
    return state.forced is Forced.DRAIN and away and named


def _dns_followed(request: Request, sight: Sight, *, primary: bool) -> tuple[bool, str]:
    report, answer = known(sight.check), known(sight.record)
    healthy = None if report is None else report.healthy
    if healthy is None and answer is None:
        facts = [
            fact for fact in (sight.record, sight.check) if fact is not None and not isinstance(fact, Known)
        ]
        return False, "; ".join(fact.why for fact in facts) or "there is neither a record nor a health check"
    led = answer.region if answer else ""
    if request.action is Action.DRAIN:
        return not healthy and led != request.region, ""
    back = not primary or not led or led == request.region
    if healthy is None:
        return led == request.region, "" if primary else "whether the check is healthy is not known"
    return healthy and back, ""
