"""The JSON of a drain and a release keeps to docs/schemas/."""

import dataclasses
import json
from datetime import timedelta

import pytest
from tests.unit.cli.situations import FAR, NEAR, NOW, forced, situation
from tests.unit.cli.test_form import validator

from beacon_cli.errors import RefusedError
from beacon_cli.intents.consequences import weigh
from beacon_cli.intents.form import change_json
from beacon_cli.intents.movement import places_of
from beacon_cli.intents.plan import Plan
from beacon_cli.intents.rules import Action, Request
from beacon_cli.intents.writer import Written
from beacon_cli.situation.model import Fact, Known, Unknown

DRAIN = Request(Action.DRAIN, NEAR, "maintenance", "bob", 1800)
RELEASE = Request(Action.RELEASE, NEAR, "repaired", "bob")
GONE = Unknown("Lambda does not answer")
STARTED: dict[str, Fact[None]] = {NEAR: GONE, FAR: Known(None)}


def plan(request: Request) -> Plan:
    given = situation(forced=forced(NEAR) if request is RELEASE else forced(), cached=GONE)
    return Plan(request, given, weigh(given, request), None, places_of(given, request), {}, None)


def written(request: Request) -> Written:
    return Written(NOW, NOW + timedelta(minutes=30) if request is DRAIN else None, FAR)


@pytest.mark.parametrize("request_", [DRAIN, RELEASE, dataclasses.replace(DRAIN, lasts_s=None)])
def test_every_outcome_keeps_to_its_schema(request_: Request) -> None:
    """Planned, refused, and carried out with a place that cannot be read."""
    given = plan(request_)
    dns, near, far = given.places
    seen = (dataclasses.replace(dns, after_s=12.34), dataclasses.replace(near, why="denied"), far)
    done = {one: change_json(given, written(request_), STARTED, seen, outcome=one) for one in ("followed",)}
    refused = dataclasses.replace(given, against=RefusedError("the last Region"))
    for made in (change_json(given), change_json(refused, outcome="refused"), *done.values()):
        validator(request_.action.value).validate(json.loads(json.dumps(made)))
    places = done["followed"]["places"]
    assert [(one["name"], one["followed"], one["after_s"]) for one in places] == [
        ("DNS", True, 12.3),
        (f"SSM of {NEAR}", False, None),
        (f"SSM of {FAR}", False, None),
    ]
    assert done["followed"]["publishers"][0] == {"region": NEAR, "started": False, "why": GONE.why}


def test_a_schema_takes_no_other_member_and_no_other_command() -> None:
    """So that each new one is described."""
    made = change_json(plan(DRAIN))
    assert not validator("drain").is_valid(made | {"more": 1})
    assert not validator("release").is_valid(made)
