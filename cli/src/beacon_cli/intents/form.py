"""The JSON of a drain and of a release; docs/schemas/ describes both."""

from __future__ import annotations

from typing import Any

from beacon.document.form import format_instant
from beacon.predict import Span
from beacon_cli.intents.movement import Place
from beacon_cli.intents.plan import Plan
from beacon_cli.intents.writer import Written
from beacon_cli.situation.model import Fact, Known

__all__ = ["SCHEMA", "change_json"]

SCHEMA = 1
Json = dict[str, Any]


def change_json(
    plan: Plan,
    written: Written | None = None,
    started: dict[str, Fact[None]] | None = None,
    places: tuple[Place, ...] = (),
    *,
    outcome: str = "planned",
) -> Json:
    """What `beacon drain --json` and `beacon release --json` print.

    ``outcome`` is ``planned`` or ``refused`` without a change, and ``followed``, ``not_followed`` or
    ``interrupted`` after it.
    """
    request = plan.request
    return {
        "schema": SCHEMA,
        "service": plan.situation.service,
        "command": request.action.value,
        "region": request.region,
        "reason": request.reason,
        "actor": request.actor,
        "lasts_s": request.lasts_s,
        "outcome": outcome,
        "refusal": plan.against.sentence if plan.against else None,
        "remaining": [
            {"region": one.region, "standing": one.standing.value, "why": one.why}
            for one in plan.consequences.remaining
        ],
        "sentences": list(plan.consequences.sentences),
        "unknown": plan.situation.unknown(),
        "written": None if written is None else _written(written),
        "publishers": [_started(region, fact) for region, fact in (started or {}).items()],
        "places": [_place(one) for one in places or plan.places],
    }


def _written(written: Written) -> Json:
    until = None if written.until is None else format_instant(written.until)
    return {"at": format_instant(written.at), "until": until, "through": written.through}


def _started(region: str, fact: Fact[None]) -> Json:
    started = isinstance(fact, Known)
    return {"region": region, "started": started, "why": None if isinstance(fact, Known) else fact.why}


def _place(place: Place) -> Json:
    return {
        "name": place.name,
        "region": place.region or None,
        "followed": place.after_s is not None,
        "after_s": None if place.after_s is None else round(place.after_s, 1),
        "predicted": _span(place.predicted),
        "why": place.why or None,
    }


def _span(predicted: Span | None) -> Json | None:
    if predicted is None:
        return None
    return {
        "earliest_s": round(predicted.earliest_s, 1),
        "expected_s": round(predicted.expected_s, 1),
        "latest_s": round(predicted.latest_s, 1),
    }
