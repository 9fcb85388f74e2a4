"""Reads what `beacon deploy` goes by: each Region's stack, its health check, and the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from beacon_cli.aws_failures import FAILURES, aws_error
from beacon_cli.checkers import EVER, find_checks, standing_of
from beacon_cli.deployment.steps import RegionFacts
from beacon_cli.errors import FailedError
from beacon_cli.readers.stacks import no_stack, read_stack_view
from beacon_cli.schema.state import DatabaseState
from beacon_cli.schema.work import examine
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import StackView, Unknown
from beacon_cli.standing import Check, Standing

__all__ = ["Facts", "busy_stacks", "checks_of", "read_facts", "standing_now"]

_BUSY = "_IN_PROGRESS"
_NEW = "REVIEW_IN_PROGRESS"


@dataclass(frozen=True, slots=True)
class Facts:
    """Every Region, and the database where it could be read."""

    regions: tuple[RegionFacts, ...]
    database: DatabaseState | None
    """``None`` before the first stack: nothing is to be made then."""


def read_facts(sessions: Sessions, operator_arns: tuple[str, ...]) -> Facts:
    """Read all of it; raises :class:`~beacon_cli.errors.CommandError` for what cannot be read."""
    stacks = {region: _stack_of(sessions, region) for region in sessions.fleet.regions}
    checks = checks_of(sessions)
    database = examine(sessions, operator_arns) if any(stacks.values()) else None
    found = []
    for site in sessions.fleet.sites:
        stack, check = stacks[site.region], checks.get(site.region)
        found.append(
            RegionFacts(
                region=site.region,
                stack=stack.status if stack else "",
                record=stack.parameters.get("RoutingPolicy", "") if stack else "",
                wanted_record=site.parameters.get("RoutingPolicy", "none"),
                database_ready=database is not None and database.ready_for(site.region),
                serving=check is not None and standing_now(sessions, check).serving,
                primary=site.parameters.get("FailoverRole", "PRIMARY") != "SECONDARY",
            )
        )
    return Facts(tuple(found), database)


def busy_stacks(sessions: Sessions) -> dict[str, str]:
    """The Regions whose stack CloudFormation is changing, with its status."""
    found = {region: _stack_of(sessions, region) for region in sessions.fleet.regions}
    return {region: stack.status for region, stack in found.items() if stack and stack.status.endswith(_BUSY)}


def checks_of(sessions: Sessions) -> dict[str, Check]:
    """Each Region's health check, where it has one."""
    try:
        return find_checks(sessions.route53(), sessions.fleet.service)
    except FAILURES as error:
        raise aws_error(error, "Route 53") from error


def standing_now(sessions: Sessions, check: Check, since: datetime = EVER) -> Standing:
    """Whether the check's Region serves, by what its checkers have seen after ``since``."""
    try:
        return standing_of(sessions.route53(), check, since)
    except FAILURES as error:
        raise aws_error(error, "Route 53") from error


def _stack_of(sessions: Sessions, region: str) -> StackView | None:
    fact = read_stack_view(sessions, region)
    if isinstance(fact, Unknown):
        if fact == no_stack(region, sessions.fleet.site(region).stack_name):
            return None
        raise FailedError(fact.why)
    # A first change set that was not executed leaves an empty stack.
    return None if fact.value.status == _NEW else fact.value
