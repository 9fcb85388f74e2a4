"""The database beside what is wanted: what is there, what is missing, what differs, and each statement. Pure.

============  ===========================================================  ============================
standing      when                                                         what `apply` does
============  ===========================================================  ============================
there         it is as wanted                                              nothing
missing       it is not there, or not all of it                            runs its statements
differs       it is there in another form, which no statement can change   refuses, and changes nothing
waiting       it needs a stack, or an argument, that is not there yet      nothing; says what it needs
unknown       it could not be read                                         nothing; says why
also there    it is there, and this deployment does not need it            nothing: it is never removed
============  ===========================================================  ============================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from beacon_cli.schema import statements as sql
from beacon_cli.schema.found import Found, TableFound
from beacon_cli.schema.wanted import Wanted

__all__ = ["DatabaseState", "Item", "Kind", "Standing", "compare"]


class Standing(Enum):
    """The module's table."""

    THERE = "there"
    MISSING = "missing"
    DIFFERS = "differs"
    WAITING = "waiting"
    UNKNOWN = "unknown"
    ALSO_THERE = "also there"


class Kind(Enum):
    """What an item is."""

    SCHEMA = "schema"
    TABLE = "table"
    ROLE = "role"
    GRANT = "grant"
    MAPPING = "mapping"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that the deployment needs, or that is there beside it."""

    kind: Kind
    name: str
    standing: Standing
    detail: str = ""
    """What is missing or different, or what it waits for."""
    statements: tuple[str, ...] = ()
    """What makes it: one transaction. Empty unless it is missing."""
    region: str = ""
    """The Region that it belongs to, if it belongs to one."""


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What was wanted, through which Region it was read, and each item, in the order of the statements."""

    wanted: Wanted
    through: str
    items: tuple[Item, ...]

    def of(self, *standings: Standing) -> tuple[Item, ...]:
        """The items that stand so."""
        return tuple(item for item in self.items if item.standing in standings)

    @property
    def missing(self) -> tuple[Item, ...]:
        """What `apply` makes."""
        return self.of(Standing.MISSING)

    @property
    def differing(self) -> tuple[Item, ...]:
        """What keeps `apply` from changing anything."""
        return self.of(Standing.DIFFERS)

    @property
    def statements(self) -> tuple[str, ...]:
        """Everything that `apply` would run."""
        return tuple(statement for item in self.missing for statement in item.statements)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, different, waited for or unknown."""
        return all(item.standing in {Standing.THERE, Standing.ALSO_THERE} for item in self.items)

    def ready_for(self, region: str) -> bool:
        """Whether the functions of ``region`` have what they need: other Regions and operators may wait."""
        own = [item for item in self.items if item.region in {"", region}]
        needed = [item for item in own if not _is_of_operators(self.wanted, item)]
        return all(item.standing in {Standing.THERE, Standing.ALSO_THERE} for item in needed)


def _is_of_operators(wanted: Wanted, item: Item) -> bool:
    return item.kind is Kind.MAPPING and item.name.startswith(f"{wanted.operator_role} ")


def compare(wanted: Wanted, found: Found) -> DatabaseState:
    """``found`` beside ``wanted``."""
    items = [
        *_schema(wanted, found),
        *_roles(wanted, found),
        *_grants(wanted, found),
        *_mappings(wanted, found),
        *_rows(wanted, found),
        *_also_there(wanted, found),
    ]
    return DatabaseState(wanted, found.through, tuple(items))


def _item(kind: Kind, name: str, there: bool, *made_by: str, detail: str = "", region: str = "") -> Item:
    standing = Standing.THERE if there else Standing.MISSING
    return Item(kind, name, standing, detail, () if there else made_by, region)


def _schema(wanted: Wanted, found: Found) -> list[Item]:
    items = [_item(Kind.SCHEMA, sql.SCHEMA, found.has_schema, sql.create_schema())]
    for table in (*sql.TABLES, *([sql.CANARY] if wanted.canary else [])):
        name, there = f"{sql.SCHEMA}.{table.name}", found.tables.get(table.name)
        differs = _differences(table, there) if there is not None else ""
        if differs:
            items.append(Item(Kind.TABLE, name, Standing.DIFFERS, differs))
        else:
            items.append(_item(Kind.TABLE, name, there is not None, table.statement))
    name = "schema version"
    if found.version is not None and found.version > sql.VERSION:
        newer = f"{found.version} is newer than this command, which knows {sql.VERSION}: install its release"
        return [*items, Item(Kind.ROWS, name, Standing.DIFFERS, newer)]
    return [*items, _item(Kind.ROWS, name, found.version is not None, sql.record_version())]


def _differences(table: sql.Table, there: TableFound) -> str:
    """What differs; further columns and constraints are not Beacon's and harm nothing."""
    found = []
    for column, (kind, not_null) in table.columns.items():
        own = there.columns.get(column)
        if own is None:
            found.append(f"it has no column {column}")
        elif own[0] != kind:
            found.append(f"{column} is {own[0]} and has to be {kind}")
        elif own[1] != not_null:
            found.append(f"{column} {'may not' if own[1] else 'may'} be NULL")
    if there.key != table.key:
        found.append(f"its key is ({', '.join(there.key)}) and has to be ({', '.join(table.key)})")
    found += [f"it has no constraint {name}" for name in table.checks if name not in there.checks]
    return "; ".join(found)


def _roles(wanted: Wanted, found: Found) -> list[Item]:
    items = []
    for role in (*wanted.login_roles, wanted.operator_role):
        if found.roles.get(role) is False:
            items.append(Item(Kind.ROLE, role, Standing.DIFFERS, "it may not log in"))
        else:
            items.append(_item(Kind.ROLE, role, role in found.roles, sql.create_role(role)))
    return items


def _wanted_grants(wanted: Wanted) -> list[tuple[str, sql.Grant]]:
    of_login = (*sql.LOGIN_GRANTS, *([sql.CANARY_GRANT] if wanted.canary else []))
    pairs = [(role, grant) for role in wanted.login_roles for grant in of_login]
    return [*pairs, *((wanted.operator_role, grant) for grant in sql.OPERATOR_GRANTS)]


def _grants(wanted: Wanted, found: Found) -> list[Item]:
    items = []
    for role, grant in _wanted_grants(wanted):
        held = found.privileges.get((role, grant.object), frozenset())
        lacks = [privilege for privilege in grant.privileges if privilege not in held]
        detail = f"{', '.join(lacks)} missing" if lacks and held else ""
        name = f"{role}: {', '.join(grant.privileges)} on {grant.on}"
        items.append(_item(Kind.GRANT, name, not lacks, sql.grant(grant, role), detail=detail))
    return items


def _mappings(wanted: Wanted, found: Found) -> list[Item]:
    items = []
    for part in wanted.parts:
        for function, arn in part.arns.items():
            detail = f"{function} of {part.region}"
            items.append(_mapping(found, part.login_role, arn, detail, part.region))
        if part.waits_for:
            name = f"{part.login_role} for the functions of {part.region}"
            items.append(Item(Kind.MAPPING, name, Standing.WAITING, part.waits_for, region=part.region))
    operators = [_mapping(found, wanted.operator_role, arn, "operators") for arn in wanted.operator_arns]
    if not operators and not isinstance(found.mappings, str):
        kept = sorted(arn for role, arn in found.mappings if role == wanted.operator_role)
        operators = [_mapping(found, wanted.operator_role, arn, "operators") for arn in kept]
    if not operators:
        name = f"{wanted.operator_role} for operators"
        if isinstance(found.mappings, str):
            operators = [Item(Kind.MAPPING, name, Standing.UNKNOWN, found.mappings)]
        else:
            needs = "no IAM role may log in as it: name yours with --operator-arn"
            operators = [Item(Kind.MAPPING, name, Standing.WAITING, needs)]
    return items + operators


def _mapping(found: Found, role: str, arn: str, detail: str, region: str = "") -> Item:
    name = f"{role} for {arn}"
    if isinstance(found.mappings, str):
        return Item(Kind.MAPPING, name, Standing.UNKNOWN, found.mappings, region=region)
    there = (role, arn) in found.mappings
    return _item(Kind.MAPPING, name, there, sql.map_role(role, arn), detail=detail, region=region)


def _rows(wanted: Wanted, found: Found) -> list[Item]:
    rows = found.intents
    lacks = [region for region in wanted.regions if region not in rows.regions]
    least, most = rows.undrained
    detail = ""
    if lacks:
        detail = f"{', '.join(lacks)} missing"
    elif rows.guard is None:
        detail = "the guard's row is missing"
    elif not least <= rows.guard <= most:
        detail = f"the guard counts {rows.guard} undrained Regions, and there are {most}"
    made_by = sql.name_regions(wanted.service, wanted.target, wanted.regions)
    name = f"Regions of {wanted.service}"
    return [_item(Kind.ROWS, name, not detail, *made_by, detail=detail or ", ".join(wanted.regions))]


def _also_there(wanted: Wanted, found: Found) -> list[Item]:
    """What is there beside what is wanted: of other deployments, of an operator, or left behind."""
    tables = {table.name for table in (*sql.TABLES, *([sql.CANARY] if wanted.canary else []))}
    also = [(Kind.TABLE, f"{sql.SCHEMA}.{name}", "") for name in sorted(set(found.tables) - tables)]
    needed: dict[tuple[str, str], set[str]] = {}
    for role, grant in _wanted_grants(wanted):
        needed.setdefault((role, grant.object), set()).update(grant.privileges)
    for (role, table), held in sorted(found.privileges.items()):
        if more := sorted(held - needed.get((role, table), set())):
            on = sql.Grant(table, ()).on
            also.append((Kind.GRANT, f"{role or 'PUBLIC'}: {', '.join(more)} on {on}", ""))
    if not isinstance(found.mappings, str):
        ours = {(part.login_role, arn) for part in wanted.parts for arn in part.arns.values()}
        ours |= {(wanted.operator_role, arn) for arn in wanted.operator_arns}
        kept = not wanted.operator_arns
        for role, arn in sorted(found.mappings - ours):
            if not (kept and role == wanted.operator_role):
                also.append((Kind.MAPPING, f"{role} for {arn}", ""))
    also += [
        (Kind.ROWS, f"Region {region} of {wanted.service}", "sql/remove-region.sql removes it")
        for region in sorted(found.intents.regions - set(wanted.regions))
    ]
    return [Item(kind, name, Standing.ALSO_THERE, detail) for kind, name, detail in also]
