"""The JSON of the reading commands keeps to docs/schemas/, whatever is known."""

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.places import ROOT
from tests.unit.cli.situations import (
    FAR,
    NEAR,
    NOW,
    ago,
    answer,
    check,
    down,
    forced,
    frozen_region,
    published,
    situation,
    state,
)

from beacon_cli.app import COMMANDS
from beacon_cli.situation.form import explanation_json, situation_json
from beacon_cli.situation.model import Canary, ForcedChange, Known, RecordAnswer, Situation, Unknown
from beacon_cli.situation.sentences import explain

SCHEMAS = ROOT / "docs/schemas"
GONE = Unknown("it does not answer")
NOTHING = {"check": GONE, "document": GONE, "stack": GONE, "alarms": GONE, "canary": GONE}
SITUATIONS = {
    "good": situation(),
    "frozen": frozen_region(),
    "nothing is known": situation(
        NOTHING, NOTHING, authoritative=GONE, cached=GONE, forced=GONE, global_alarms=GONE
    ),
    "few reports": situation({"check": check(NEAR, passed=1, fresh=1)}),
    "no record": situation(authoritative=None, cached=None, record_name=""),
    "drained": situation(
        forced=forced(NEAR, until=NOW, changes=(ForcedChange(ago(1), FAR, "", "done", "bob", None),)),
        near={"canary": Known(Canary(1, 15))},
        far={"document": published(FAR, state(NEAR), down(FAR), frozen=True, note="all_failed")},
    ),
    "elsewhere": situation(authoritative=Known(RecordAnswer("x.example", "", 0, "")), cached=answer(FAR)),
}


def schema(name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        schema(name), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


@pytest.mark.parametrize("given", SITUATIONS.values(), ids=SITUATIONS)
def test_status_keeps_to_its_schema(given: Situation) -> None:
    """And survives JSON."""
    made = json.loads(json.dumps(situation_json(given, explain(given))))
    validator("status").validate(made)
    assert made["service"] == "shop-test"
    assert [row["region"] for row in made["regions"]] == [NEAR, FAR]


@pytest.mark.parametrize("given", SITUATIONS.values(), ids=SITUATIONS)
@pytest.mark.parametrize("region", [None, NEAR])
def test_explain_keeps_to_its_schema(given: Situation, region: str | None) -> None:
    """With one Region or all."""
    made = json.loads(json.dumps(explanation_json(given, explain(given, region), region)))
    validator("explain").validate(made)
    assert made["region"] == region


def test_explain_shows_the_changes_of_its_region_alone() -> None:
    """Those of others are left out."""
    given = SITUATIONS["drained"]
    assert explanation_json(given, explain(given, NEAR), NEAR)["changes"] == {"known": True, "value": []}
    assert len(explanation_json(given, explain(given, FAR), FAR)["changes"]["value"]) == 1


def test_the_schemas_are_strict_and_themselves_valid() -> None:
    """No member is allowed that is not described; so a new one needs its place in the schema."""
    for path in SCHEMAS.glob("*.json"):
        read = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(read)
        assert read["additionalProperties"] is False, path.name
    made = situation_json(situation(), explain(situation()))
    assert not validator("status").is_valid(made | {"more": 1})
    broken = json.loads(json.dumps(made))
    broken["regions"][0]["check"] = {"known": True, "why": "both"}
    assert not validator("status").is_valid(broken)


def test_every_schema_of_a_command_is_one_of_a_command() -> None:
    """`beacon NAME --json` is described by NAME.schema.json."""
    named = {path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.schema.json")}
    assert {"status", "explain"} <= named <= set(COMMANDS)
