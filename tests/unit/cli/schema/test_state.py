"""The database beside what is wanted: each standing of the table, its words and its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.places import ROOT
from tests.unit.cli.schema.test_statements import ALICE, HEALTH, PUBLISHER, WANTED

from beacon_cli.schema import statements as sql
from beacon_cli.schema.form import database_json
from beacon_cli.schema.found import Found, Intents, TableFound, privileges_of
from beacon_cli.schema.state import DatabaseState, Kind, Standing, compare
from beacon_cli.schema.telling import end_line, question, state_lines

COMPLETE_WANTED = replace(WANTED, parts=WANTED.parts[:1])
TABLES = (*sql.TABLES, sql.CANARY)


def found(**changes: Any) -> Found:  # noqa: ANN401 - any member
    """A database that has everything."""
    grants = [("probe", grant) for grant in (*sql.LOGIN_GRANTS, sql.CANARY_GRANT)]
    grants += [("operators", grant) for grant in sql.OPERATOR_GRANTS]
    whole = Found(
        through="us-east-1",
        has_schema=True,
        tables={t.name: TableFound(t.columns, t.key, frozenset(t.checks)) for t in TABLES},
        privileges={(role, grant.object): frozenset(grant.privileges) for role, grant in grants},
        roles={"probe": True, "operators": True},
        mappings=frozenset({("probe", HEALTH), ("probe", PUBLISHER), ("operators", ALICE)}),
        version=1,
        intents=Intents(frozenset({"us-east-1"}), (1, 1), 1),
    )
    return replace(whole, **changes)


def table(name: str, **changes: Any) -> dict[str, TableFound]:  # noqa: ANN401 - any member
    """All tables, one of them changed."""
    tables = dict(found().tables)
    return {**tables, name: replace(tables[name], **changes)}


def only(state: DatabaseState, *standings: Standing) -> list[tuple[Kind, str, str]]:
    return [(item.kind, item.name, item.detail) for item in state.of(*standings)]


def test_a_database_that_has_everything_is_complete() -> None:
    """Nothing would be run."""
    state = compare(COMPLETE_WANTED, found())
    assert {item.standing for item in state.items} == {Standing.THERE}
    assert (state.complete, state.statements, state.differing) == (True, (), ())
    assert end_line(state) == "Complete: nothing is missing."


def without(mapping: Any, key: Any) -> Any:  # noqa: ANN401 - any mapping
    return {name: value for name, value in mapping.items() if name != key}


@pytest.mark.parametrize(
    ("changes", "kind", "name", "detail"),
    [
        ({"tables": without(found().tables, "change")}, Kind.TABLE, "beacon.change", ""),
        ({"tables": without(found().tables, "canary")}, Kind.TABLE, "beacon.canary", ""),
        ({"version": None}, Kind.ROWS, "schema version", ""),
        ({"roles": {"probe": True}}, Kind.ROLE, "operators", ""),
        (
            {"privileges": {**found().privileges, ("operators", "guard"): frozenset({"SELECT"})}},
            Kind.GRANT,
            "operators: SELECT, UPDATE on beacon.guard",
            "UPDATE missing",
        ),
        (
            {"mappings": frozenset({("probe", HEALTH), ("operators", ALICE)})},
            Kind.MAPPING,
            f"probe for {PUBLISHER}",
            "publisher of us-east-1",
        ),
        ({"intents": Intents()}, Kind.ROWS, "Regions of it's-prod", "us-east-1 missing"),
        (
            {"intents": Intents(frozenset({"us-east-1"}), (1, 1), None)},
            Kind.ROWS,
            "Regions of it's-prod",
            "the guard's row is missing",
        ),
        (
            {"intents": Intents(frozenset({"us-east-1"}), (1, 1), 2)},
            Kind.ROWS,
            "Regions of it's-prod",
            "the guard counts 2 undrained Regions, and there are 1",
        ),
    ],
)
def test_one_thing_that_is_missing_is_the_only_thing_that_is_made(
    changes: dict[str, Any], kind: Kind, name: str, detail: str
) -> None:
    """With its statements, and nothing else in another form."""
    state = compare(COMPLETE_WANTED, found(**changes))
    assert only(state, Standing.MISSING, Standing.DIFFERS) == [(kind, name, detail)]
    assert state.statements
    assert not state.complete


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tables": table("guard", checks=frozenset())}, "no constraint one_region_at_least_stays_undrained"),
        ({"tables": table("intent", columns={})}, "it has no column service; it has no column target"),
        (
            {"tables": table("guard", key=("service",))},
            "its key is (service) and has to be (service, target)",
        ),
        (
            {"tables": table("change", columns={**sql.TABLES[1].columns, "actor": ("text", False)})},
            "actor may be NULL",
        ),
        (
            {"tables": table("guard", columns={**sql.TABLES[2].columns, "undrained": ("bigint", True)})},
            "undrained is bigint and has to be integer",
        ),
        ({"version": 2}, "2 is newer than this command, which knows 1"),
        ({"roles": {"probe": False, "operators": True}}, "it may not log in"),
    ],
)
def test_another_form_is_named_and_has_no_statement(changes: dict[str, Any], says: str) -> None:
    """No statement of the command could change it."""
    state = compare(COMPLETE_WANTED, found(**changes))
    (item,) = state.differing
    assert says in item.detail
    assert (item.statements, state.statements, state.complete) == ((), (), False)


def test_a_guard_that_a_drain_has_left_is_right_until_the_next_change_counts_again() -> None:
    """A drain that has expired since then counts in neither way as wrong."""
    both = replace(COMPLETE_WANTED, parts=(WANTED.parts[0], replace(WANTED.parts[0], region="us-east-2")))
    regions = frozenset({"us-east-1", "us-east-2"})
    for guard, right in ((0, False), (1, True), (2, True), (3, False)):
        state = compare(both, found(intents=Intents(regions, (1, 2), guard)))
        assert (state.missing == ()) is right, guard


def test_what_a_later_stack_or_an_operator_brings_is_waited_for() -> None:
    """It has no statement yet, and holds up nothing of the first Region."""
    wanted = replace(WANTED, operator_arns=())
    intents = Intents(frozenset({"us-east-1", "us-east-2"}), (2, 2), 2)
    mapped = frozenset({("probe", HEALTH), ("probe", PUBLISHER)})
    state = compare(wanted, found(intents=intents, mappings=mapped))
    assert only(state, Standing.WAITING, Standing.MISSING) == [
        (Kind.MAPPING, "probe for the functions of us-east-2", "no stack yet"),
        (
            Kind.MAPPING,
            "operators for operators",
            "no IAM role may log in as it: name yours with --operator-arn",
        ),
    ]
    assert not state.complete
    assert (state.ready_for("us-east-1"), state.ready_for("us-east-2")) == (True, False)


def test_operators_that_are_mapped_are_kept_without_naming_them_again() -> None:
    """They are there; with another one named, they are also there."""
    state = compare(replace(COMPLETE_WANTED, operator_arns=()), found())
    assert state.complete
    other = "arn:aws:iam::123456789012:role/bob"
    named = compare(replace(COMPLETE_WANTED, operator_arns=(other,)), found())
    assert [item.name for item in named.missing] == [f"operators for {other}"]
    assert only(named, Standing.ALSO_THERE) == [(Kind.MAPPING, f"operators for {ALICE}", "")]


def test_mappings_that_cannot_be_read_are_not_known() -> None:
    """They are neither there nor made blindly."""
    state = compare(COMPLETE_WANTED, found(mappings="it cannot be read (42501)"))
    assert {item.name for item in state.of(Standing.UNKNOWN)} == {
        f"probe for {HEALTH}",
        f"probe for {PUBLISHER}",
        f"operators for {ALICE}",
    }
    assert (state.complete, state.missing) == (False, ())


def test_what_is_not_needed_is_shown_and_never_touched() -> None:
    """Tables, grants, mappings and Regions of other uses."""
    state = compare(
        COMPLETE_WANTED,
        found(
            tables={**found().tables, "own": TableFound({}, (), frozenset())},
            privileges={
                **found().privileges,
                ("probe", "intent"): frozenset({"SELECT", "DELETE"}),
                ("", "change"): frozenset({"SELECT"}),
            },
            mappings=frozenset({*found().mappings, ("other", ALICE)}),
            intents=Intents(frozenset({"us-east-1", "us-west-2"}), (2, 2), 2),
        ),
    )
    assert only(state, Standing.ALSO_THERE) == [
        (Kind.TABLE, "beacon.own", ""),
        (Kind.GRANT, "PUBLIC: SELECT on beacon.change", ""),
        (Kind.GRANT, "probe: DELETE on beacon.intent", ""),
        (Kind.MAPPING, f"other for {ALICE}", ""),
        (Kind.ROWS, "Region us-west-2 of it's-prod", "sql/remove-region.sql removes it"),
    ]
    assert (state.complete, state.statements) == (True, ())


STATES: list[Callable[[], DatabaseState]] = [
    lambda: compare(COMPLETE_WANTED, found()),
    lambda: compare(WANTED, Found("us-east-2")),
    lambda: compare(WANTED, found(version=2, mappings="not read")),
]


@pytest.mark.parametrize("made", STATES)
@pytest.mark.parametrize("action", ["plan", "apply"])
def test_the_json_keeps_to_its_schema(made: Callable[[], DatabaseState], action: str) -> None:
    """The schema is strict, so a new member needs its place there."""
    schema = json.loads((ROOT / "docs/schemas/database.schema.json").read_text(encoding="utf-8"))
    state = made()
    shown = database_json(state, action, state.missing if action == "apply" else None)
    jsonschema.Draft202012Validator(schema).validate(shown)
    assert not jsonschema.Draft202012Validator(schema).is_valid(shown | {"more": 1})
    assert shown["complete"] is state.complete
    assert json.loads(json.dumps(shown)) == shown


def test_the_plan_shows_each_statement_below_what_it_makes() -> None:
    """And how much is left, at the end."""
    state = compare(WANTED, Found("us-east-1"))
    text = "\n".join(state_lines(state))
    assert "+   schema beacon\n        CREATE SCHEMA IF NOT EXISTS beacon;\n" in text
    assert f"        AWS IAM GRANT \"probe\" TO '{HEALTH}';\n" in text
    assert "..  may log in as probe for the functions of us-east-2 (no stack yet)\n" in text
    assert text.endswith("Not complete: 21 missing, 1 waiting.")
    assert question(state) == "Run 22 statements as admin for it's-prod?"


@pytest.mark.parametrize(
    ("entries", "held"),
    [
        (["admin=arwdDxt/admin", "probe=r/admin"], {"probe": {"SELECT"}}),
        (['"my ""role"""=r*w/admin'], {'my "role"': {"SELECT", "UPDATE"}}),
        (["=U/admin"], {"": {"USAGE"}}),
        (["a=r/admin", "a=w/b"], {"a": {"SELECT", "UPDATE"}}),
        (["a=rm/admin"], {"a": {"SELECT"}}),
        (["", "nonsense"], {}),
    ],
)
def test_the_catalogues_lists_of_privileges_are_read(entries: list[str], held: dict[str, set[str]]) -> None:
    """The owner's are left out, and a letter of a later PostgreSQL is not guessed at."""
    assert privileges_of(entries, "admin") == held
