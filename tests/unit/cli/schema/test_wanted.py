"""What a deployment needs in the database, from its file and its stacks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from beacon_cli.errors import WrongUseError
from beacon_cli.fleet import Fleet, Site
from beacon_cli.schema.wanted import wanted_of
from beacon_cli.situation.model import StackView

EAST_1, EAST_2 = "us-east-1", "us-east-2"
ARN = "arn:aws:iam::123456789012:role/"
FLEET = Fleet(
    "beacon", "prod", (Site(EAST_1, "beacon-prod", "a"), Site(EAST_2, "beacon-prod", "b")), "a file"
)


def stack(outputs: dict[str, str] | None = None, **parameters: str) -> StackView:
    both = {"HealthRoleArn": f"{ARN}health", "PublisherRoleArn": f"{ARN}publisher"}
    return StackView(
        name="beacon-prod",
        status="CREATE_COMPLETE",
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
        version="layer 1",
        parameters=parameters,
        outputs=both if outputs is None else outputs,
    )


def with_parameters(**given: str) -> Fleet:
    return replace(FLEET, sites=tuple(replace(site, parameters=given) for site in FLEET.sites))


def test_a_region_without_a_stack_waits_and_the_other_is_complete() -> None:
    """As in a first deployment."""
    wanted = wanted_of(FLEET, {EAST_1: stack(), EAST_2: "no stack yet"})
    first, second = wanted.parts
    assert first.arns == {"health": f"{ARN}health", "publisher": f"{ARN}publisher"}
    assert (first.waits_for, second.arns, second.waits_for) == ("", {}, "no stack yet")
    assert wanted.login_roles == ("beacon_probe",)


def test_a_stack_that_has_no_outputs_yet_is_named_with_its_status() -> None:
    """It is being made, or was rolled back."""
    wanted = wanted_of(FLEET, {EAST_1: stack({}), EAST_2: stack()})
    assert wanted.parts[0].waits_for == (
        "the stack is CREATE_COMPLETE and has no output HealthRoleArn and PublisherRoleArn"
    )


@pytest.mark.parametrize(
    ("in_file", "in_stack", "role"),
    [({}, {}, "beacon_probe"), ({}, {"DbUser": "old"}, "old"), ({"DbUser": "new"}, {"DbUser": "old"}, "new")],
)
def test_the_functions_role_is_the_files_else_the_stacks_else_the_templates(
    in_file: dict[str, str], in_stack: dict[str, str], role: str
) -> None:
    """The next deployment makes the stack as the file says."""
    view = stack(None, **in_stack)
    assert wanted_of(with_parameters(**in_file), {EAST_1: view, EAST_2: view}).login_roles == (role,)


@pytest.mark.parametrize(
    ("in_file", "in_stack"), [("on", "off"), ("off", "on"), ("on", "on"), ("off", "off")]
)
def test_the_canary_is_wanted_where_the_file_or_a_stack_has_it_on(in_file: str, in_stack: str) -> None:
    """A publisher that still writes needs its table, and one that will write needs it before."""
    fleet = with_parameters(WriteCanary=in_file)
    wanted = wanted_of(fleet, {EAST_1: stack(WriteCanary=in_stack), EAST_2: "no stack yet"})
    assert wanted.canary == ("on" in {in_file, in_stack})


def test_wrong_names_are_refused_with_every_reason_at_once() -> None:
    """None of them reaches a statement."""
    fleet = replace(with_parameters(DbUser="ad min"), operator_role="admin")
    with pytest.raises(WrongUseError) as caught:
        wanted_of(
            fleet, {EAST_1: stack({"HealthRoleArn": "x'"}), EAST_2: "no stack yet"}, ["alice", f"{ARN}a'b"]
        )
    said = caught.value.sentence
    for part in (
        "'ad min' is no name",
        "'admin' is no name",
        "'alice' is not the ARN",
        f'"{ARN}a\'b" is not',
    ):
        assert part in said
    assert "HealthRoleArn of the stack of us-east-1 is no ARN" in said


def test_operators_need_a_role_of_their_own() -> None:
    """Else the functions could drain."""
    with pytest.raises(WrongUseError, match="beacon_operator is the functions' role"):
        wanted_of(with_parameters(DbUser="beacon_operator"), {EAST_1: stack(), EAST_2: stack()})


def test_an_arn_that_is_named_twice_counts_once() -> None:
    """In the order of the arguments."""
    arns = [f"{ARN}b", f"{ARN}a", f"{ARN}b"]
    assert wanted_of(FLEET, {EAST_1: stack(), EAST_2: stack()}, arns).operator_arns == (f"{ARN}b", f"{ARN}a")
