"""Whether the database has what the functions and the operators need, and what is forced in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from beacon_cli.doctor.checks.reading import unread
from beacon_cli.doctor.facts import Facts
from beacon_cli.doctor.result import Problem, fail, unknown, warn
from beacon_cli.schema.state import Item, Kind, Standing
from beacon_cli.situation.model import known

__all__ = [
    "drains_are_meant",
    "grants_are_there",
    "mappings_are_there",
    "roles_log_in",
    "rows_are_there",
    "schema_is_there",
]


def schema_is_there(facts: Facts) -> Iterator[Problem]:
    """Schema, tables and version."""
    yield from _of(facts, {Kind.SCHEMA, Kind.TABLE}, ("schema version",))


def grants_are_there(facts: Facts) -> Iterator[Problem]:
    """Roles and their privileges."""
    yield from _of(facts, {Kind.ROLE, Kind.GRANT})


def mappings_are_there(facts: Facts) -> Iterator[Problem]:
    """The IAM roles of every Region's functions may log in."""
    yield from _of(facts, {Kind.MAPPING})


def rows_are_there(facts: Facts) -> Iterator[Problem]:
    """The Regions' rows of the intents, and the guard's count."""
    yield from _of(facts, {Kind.ROWS}, but=("schema version",))
    state = known(facts.database)
    for item in state.of(Standing.ALSO_THERE) if state is not None else ():
        if item.kind is Kind.ROWS:
            yield warn(
                f"the database has a row of {item.name.removeprefix('Region ')}, not in the file",
                f"beacon database plan{facts.where}",
            )


def roles_log_in(facts: Facts) -> Iterator[Problem]:
    """The operators' role logs in in every Region and can do its work."""
    logins = known(facts.logins)
    if logins is None:
        yield from unread(facts.logins)
        return
    for one in logins:
        if one.why:
            yield fail(
                f"{one.role} cannot do its work in {one.region}: {one.why}",
                f"beacon database plan{facts.where}",
                one.region,
            )


def drains_are_meant(facts: Facts) -> Iterator[Problem]:
    """A drain in force, or one that has expired and is still in its row."""
    forced = known(facts.situation.forced)
    if forced is None:
        yield from unread(facts.situation.forced)
        return
    for row in forced.states:
        release = f"beacon release {row.region} --reason repaired{facts.where}"
        if row.forced:
            end = f"until {row.until:%Y-%m-%d %H:%M} UTC" if row.until else "without an end"
            yield warn(f"{row.actor} drains {row.region} {end}: {row.reason}", release, row.region)
        elif row.until is not None and row.until <= forced.at:
            yield warn(
                f"the drain of {row.region} by {row.actor} expired at {row.until:%Y-%m-%d %H:%M} UTC,"
                " and its row is still there",
                release,
                row.region,
            )


def _of(
    facts: Facts, kinds: set[Kind], also: Iterable[str] = (), but: Iterable[str] = ()
) -> Iterator[Problem]:
    state = known(facts.database)
    if state is None:
        yield from unread(facts.database)
        return
    for item in state.items:
        if (item.kind in kinds or item.name in also) and item.name not in but:
            yield from _problem(facts, item)


def _problem(facts: Facts, item: Item) -> Iterator[Problem]:
    detail = f" ({item.detail})" if item.detail else ""
    apply = f"beacon database apply{facts.where}"
    if item.standing is Standing.MISSING:
        yield fail(f"the database lacks {item.name}{detail}", apply, item.region)
    elif item.standing is Standing.DIFFERS:
        yield fail(f"{item.name} is not as Beacon needs it{detail}", apply, item.region)
    elif item.standing is Standing.UNKNOWN or item.region:
        if item.standing in {Standing.UNKNOWN, Standing.WAITING}:
            yield unknown(f"{item.name} is not known{detail}", region=item.region)
    elif item.standing is Standing.WAITING:
        yield warn(f"{item.name}{detail}", f"beacon database apply --operator-arn ARN{facts.where}")
