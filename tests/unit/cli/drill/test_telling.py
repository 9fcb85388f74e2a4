"""What an operator reads before a drill: the plan, the net under it, or every reason against it."""

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.places import ROOT
from tests.unit.cli.drill.drills import PARAMETERS
from tests.unit.cli.situations import FAR, NEAR, check, situation

from beacon_cli.drill.expected import expectations
from beacon_cli.drill.kinds import KINDS
from beacon_cli.drill.plan import Plan
from beacon_cli.drill.readiness import objections
from beacon_cli.drill.telling import plan_json, plan_lines, refusal
from beacon_cli.situation.model import Situation

SCHEMA: Any = json.loads((ROOT / "docs/schemas/drill.schema.json").read_text(encoding="utf-8"))


def plan(by: str, given: Situation | None = None, no_consumer: str = "") -> Plan:
    seen, kind = given or situation(), KINDS[by]
    made = expectations(situation(), NEAR, kind, PARAMETERS, 1.0)
    against = objections(seen, NEAR, kind)
    return Plan(NEAR, kind, seen, made, against, 90.0, "", no_consumer, {}, {})


@pytest.mark.parametrize(
    ("by", "net"),
    [
        ("drain", "the drain ends by itself"),
        ("lab:dsql-freeze", "the lab ends the fault by itself"),
    ],
)
def test_a_plan_says_what_is_predicted_and_what_holds_if_the_command_is_killed(by: str, net: str) -> None:
    """And that a consumer writes, or why it does not."""
    lines = plan_lines(plan(by), "alice")
    assert lines[0] == f"shop-test: drill of {NEAR} by {by}, as alice"
    assert lines[1].endswith(f"{FAR} serves meanwhile.")
    assert f"checkers of {NEAR} in 0.0 to " in lines[2]
    assert f"SSM of {FAR} in " in lines[3]
    assert "its longest gap is up to 6.2 s" in lines[4]
    assert lines[5] == f"-  If this command is killed, {net}, at the latest 90 s after the break."
    without = plan_lines(plan(by, no_consumer="there is no table"), "alice")
    assert without[4] == "?  No rows are written meanwhile: there is no table."


def test_a_refusal_has_every_reason_and_its_sentence_the_first() -> None:
    """Nothing is predicted then."""
    broken = situation(near={"check": check(NEAR, passed=0)}, far={"check": check(FAR, passed=0)})
    made = plan("drain", broken)
    assert [line[:3] for line in plan_lines(made, "alice")[1:]] == ["!  ", "!  "]
    assert refusal(made) == (
        f"not ready for a drill of {NEAR}: {NEAR} does not serve: 0 of 6 checkers pass and 1 more."
        " Nothing has changed"
    )


@pytest.mark.parametrize("given", [None, situation(far={"check": check(FAR, passed=0)})])
def test_a_plan_is_json_by_its_schema(given: Situation | None) -> None:
    """Planned, or refused with its reasons."""
    made = plan_json(plan("drain", given))
    jsonschema.Draft202012Validator(SCHEMA["$defs"]["plan"]).validate(made)
    assert made["outcome"] == ("planned" if given is None else "refused")
    assert bool(made["objections"]) == (given is not None)
