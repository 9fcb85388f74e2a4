"""The statements of sql/*.sql as the command runs them, and the tables that they make.

The command works from a wheel, without a checkout, so it holds the statements itself. A test runs the files
of `sql/` with a recorder, and compares each statement with those here: neither can change alone. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "CANARY",
    "CANARY_GRANT",
    "LOGIN_GRANTS",
    "OPERATOR_GRANTS",
    "SCHEMA",
    "TABLES",
    "VERSION",
    "Grant",
    "Table",
    "create_role",
    "create_schema",
    "grant",
    "map_role",
    "name_regions",
    "record_version",
]

SCHEMA = "beacon"
#: The version of sql/schema.sql.
VERSION = 1

_TEXT, _TIME = "text", "timestamp with time zone"


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the statement that makes it, and what the catalogue then says of it."""

    name: str
    statement: str
    columns: Mapping[str, tuple[str, bool]]
    """Each column's type, as ``format_type`` names it, and whether it is NOT NULL."""
    key: tuple[str, ...]
    """The columns of the primary key."""
    checks: tuple[str, ...] = ()
    """The names of the CHECK constraints. DSQL takes them at CREATE alone."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Privileges of a role on ``object``, which is a table's name; empty stands for the schema itself."""

    object: str
    privileges: tuple[str, ...]

    @property
    def on(self) -> str:
        """The object, as a statement names it."""
        return f"{SCHEMA}.{self.object}" if self.object else f"SCHEMA {SCHEMA}"


_INTENT = Table(
    "intent",
    """CREATE TABLE IF NOT EXISTS beacon.intent (
    service    text NOT NULL,
    target     text NOT NULL,
    region     text NOT NULL,
    forced     text,
    reason     text,
    actor      text,
    until      timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, target, region),
    CONSTRAINT region_is_a_region CHECK (region ~ '^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$'),
    CONSTRAINT forced_is_drain_or_nothing CHECK (forced = 'drain'),
    CONSTRAINT a_drain_has_a_reason_and_an_actor CHECK (
        forced IS NULL OR (reason IS NOT NULL AND reason <> '' AND actor IS NOT NULL AND actor <> '')
    ),
    CONSTRAINT a_drain_ends_after_it_begins CHECK (
        until IS NULL OR (forced IS NOT NULL AND until > changed_at)
    )
)""",
    {
        "service": (_TEXT, True),
        "target": (_TEXT, True),
        "region": (_TEXT, True),
        "forced": (_TEXT, False),
        "reason": (_TEXT, False),
        "actor": (_TEXT, False),
        "until": (_TIME, False),
        "changed_at": (_TIME, True),
    },
    ("service", "target", "region"),
    (
        "a_drain_ends_after_it_begins",
        "a_drain_has_a_reason_and_an_actor",
        "forced_is_drain_or_nothing",
        "region_is_a_region",
    ),
)
_CHANGE = Table(
    "change",
    """CREATE TABLE IF NOT EXISTS beacon.change (
    id      uuid NOT NULL PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    service text NOT NULL,
    target  text NOT NULL,
    region  text NOT NULL,
    forced  text,
    reason  text,
    actor   text NOT NULL,
    until   timestamptz
)""",
    {
        "id": ("uuid", True),
        "at": (_TIME, True),
        "service": (_TEXT, True),
        "target": (_TEXT, True),
        "region": (_TEXT, True),
        "forced": (_TEXT, False),
        "reason": (_TEXT, False),
        "actor": (_TEXT, True),
        "until": (_TIME, False),
    },
    ("id",),
)
_GUARD = Table(
    "guard",
    """CREATE TABLE IF NOT EXISTS beacon.guard (
    service   text NOT NULL,
    target    text NOT NULL,
    undrained integer NOT NULL,
    PRIMARY KEY (service, target),
    CONSTRAINT one_region_at_least_stays_undrained CHECK (undrained >= 1)
)""",
    {"service": (_TEXT, True), "target": (_TEXT, True), "undrained": ("integer", True)},
    ("service", "target"),
    ("one_region_at_least_stays_undrained",),
)
_SCHEMA_VERSION = Table(
    "schema_version",
    """CREATE TABLE IF NOT EXISTS beacon.schema_version (
    version integer NOT NULL PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now()
)""",
    {"version": ("integer", True), "at": (_TIME, True)},
    ("version",),
)
#: The tables of sql/schema.sql, in its order.
TABLES = (_INTENT, _CHANGE, _GUARD, _SCHEMA_VERSION)
#: The table of sql/canary.sql.
CANARY = Table(
    "canary",
    """CREATE TABLE IF NOT EXISTS beacon.canary (
    service    text NOT NULL,
    target     text NOT NULL,
    region     text NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (service, target, region)
)""",
    {
        "service": (_TEXT, True),
        "target": (_TEXT, True),
        "region": (_TEXT, True),
        "written_at": (_TIME, True),
    },
    ("service", "target", "region"),
)

#: What sql/roles.sql grants to the functions' role.
LOGIN_GRANTS = (Grant("", ("USAGE",)), Grant("intent", ("SELECT",)))
#: What sql/roles.sql grants to the operators' role.
OPERATOR_GRANTS = (
    Grant("", ("USAGE",)),
    Grant("intent", ("SELECT", "UPDATE")),
    Grant("guard", ("SELECT", "UPDATE")),
    Grant("change", ("SELECT", "INSERT")),
    Grant("schema_version", ("SELECT",)),
)
#: What sql/canary.sql grants to the functions' role.
CANARY_GRANT = Grant("canary", ("SELECT", "INSERT", "UPDATE"))


def create_schema() -> str:
    """The schema itself."""
    return f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"


def record_version() -> str:
    """The row that says which version of the schema this is."""
    row = f"INSERT INTO beacon.schema_version (version) VALUES ({VERSION})"  # noqa: S608 - a number of this module
    return f"{row} ON CONFLICT (version) DO NOTHING"


def create_role(role: str) -> str:
    """A role that may log in. It is run where the role is missing: there is no IF NOT EXISTS for roles."""
    return f"CREATE ROLE {_name(role)} WITH LOGIN"


def grant(given: Grant, role: str) -> str:
    """``given`` to ``role``."""
    return f"GRANT {', '.join(given.privileges)} ON {given.on} TO {_name(role)}"


def map_role(role: str, arn: str) -> str:
    """Let the IAM role or user ``arn`` log in as ``role``."""
    return f"AWS IAM GRANT {_name(role)} TO {_text(arn)}"


def name_regions(service: str, target: str, regions: Sequence[str]) -> tuple[str, str]:
    """The Regions' rows, and the guard that counts them: one transaction."""
    whose = f"{_text(service)}, {_text(target)}"
    here = f"service = {_text(service)} AND target = {_text(target)}"
    return (
        f"""INSERT INTO beacon.intent (service, target, region)
SELECT {whose}, btrim(named.region)
  FROM unnest(string_to_array({_text(",".join(regions))}, ',')) AS named (region)
ON CONFLICT (service, target, region) DO NOTHING""",  # noqa: S608 - texts are quoted
        f"""INSERT INTO beacon.guard (service, target, undrained)
SELECT {whose}, count(*)
  FROM beacon.intent
 WHERE {here}
   AND (forced IS NULL OR until <= now())
ON CONFLICT (service, target) DO UPDATE SET undrained = EXCLUDED.undrained""",  # noqa: S608 - as above
    )


def _name(identifier: str) -> str:
    doubled = identifier.replace('"', '""')
    return f'"{doubled}"'


def _text(value: str) -> str:
    # The callers admit no backslash, so that a text reads the same under every setting.
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
