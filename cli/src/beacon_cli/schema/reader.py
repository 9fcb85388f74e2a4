"""Reads what the database has, from the catalogue tables that Aurora DSQL documents as its own.

`pg_namespace`, `pg_class`, `pg_attribute`, `pg_constraint` and `pg_roles` are PostgreSQL's, and DSQL's guide
lists them. `sys.iam_pg_role_mappings` is DSQL's alone. Privileges come from the catalogue's own lists
(`relacl`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from beacon_cli.schema.found import Found, Intents, TableFound, privileges_of
from beacon_cli.schema.statements import SCHEMA
from beacon_cli.schema.wanted import Wanted

if TYPE_CHECKING:
    from beacon import Connection

__all__ = ["read_database"]

_NAMESPACE = """
    SELECT r.rolname, array_to_string(n.nspacl, chr(10))
      FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
     WHERE n.nspname = %s
"""
_TABLES = """
    SELECT c.relname, r.rolname, array_to_string(c.relacl, chr(10))
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
     WHERE n.nspname = %s AND c.relkind = 'r'
"""
_COLUMNS = """
    SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
     WHERE n.nspname = %s AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""
_CONSTRAINTS = """
    SELECT c.relname, k.conname, CAST(k.contype AS text), k.conkey
      FROM pg_catalog.pg_constraint k
      JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %s AND k.contype IN ('p', 'c')
"""
_ROLES = "SELECT rolname, rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = ANY(%s)"
_MAPPINGS = "SELECT pg_role_name, arn FROM sys.iam_pg_role_mappings"
_VERSION = "SELECT max(version) FROM beacon.schema_version"
_INTENTS = """
    SELECT region, forced IS NULL, forced IS NULL OR until <= now()
      FROM beacon.intent WHERE service = %s AND target = %s
"""
_GUARD = "SELECT undrained FROM beacon.guard WHERE service = %s AND target = %s"
#: The columns that these need: a table of another form is not asked, and is shown as one.
_OF_INTENT = ("service", "target", "region", "forced", "until")
_OF_GUARD = ("service", "target", "undrained")
#: No such table, no such schema, no permission.
_UNREADABLE = {"42P01", "3F000", "42501"}


def read_database(connection: Connection[Any], wanted: Wanted) -> Found:
    """Everything that :mod:`~beacon_cli.schema.state` compares. Raises psycopg's errors."""
    namespace = connection.execute(_NAMESPACE, (SCHEMA,)).fetchone()
    tables, privileges = _tables(connection)
    if namespace is not None:
        privileges |= _held("", namespace[0], namespace[1])
    roles = [*wanted.login_roles, wanted.operator_role]
    return Found(
        through=connection.endpoint.region,
        has_schema=namespace is not None,
        tables=tables,
        privileges=privileges,
        roles=dict(connection.execute(_ROLES, (roles,)).fetchall()),
        mappings=_mappings(connection),
        version=_version(connection) if _has(tables, "schema_version", "version") else None,
        intents=_intents(connection, wanted, tables),
    )


def _tables(
    connection: Connection[Any],
) -> tuple[dict[str, TableFound], dict[tuple[str, str], frozenset[str]]]:
    numbers: dict[tuple[str, int], str] = {}
    columns: dict[str, dict[str, tuple[str, bool]]] = {}
    for table, number, name, kind, not_null in connection.execute(_COLUMNS, (SCHEMA,)).fetchall():
        numbers[table, number] = name
        columns.setdefault(table, {})[name] = (kind, not_null)
    keys: dict[str, tuple[str, ...]] = {}
    checks: dict[str, set[str]] = {}
    for table, name, kind, members in connection.execute(_CONSTRAINTS, (SCHEMA,)).fetchall():
        if kind == "p":
            keys[table] = tuple(numbers.get((table, number), "?") for number in members)
        else:
            checks.setdefault(table, set()).add(name)
    tables: dict[str, TableFound] = {}
    privileges: dict[tuple[str, str], frozenset[str]] = {}
    for table, owner, held in connection.execute(_TABLES, (SCHEMA,)).fetchall():
        tables[table] = TableFound(
            columns.get(table, {}), keys.get(table, ()), frozenset(checks.get(table, ()))
        )
        privileges |= _held(table, owner, held)
    return tables, privileges


def _held(table: str, owner: str | None, entries: str | None) -> dict[tuple[str, str], frozenset[str]]:
    listed = privileges_of((entries or "").split("\n"), owner or "")
    return {(role, table): held for role, held in listed.items()}


def _mappings(connection: Connection[Any]) -> frozenset[tuple[str, str]] | str:
    import psycopg  # noqa: PLC0415 - heavy, and only for a look

    try:
        rows = connection.execute(_MAPPINGS).fetchall()
    except psycopg.Error as error:
        if error.sqlstate not in _UNREADABLE:
            raise
        return f"sys.iam_pg_role_mappings cannot be read ({error.sqlstate})"
    return frozenset((str(role), str(arn).strip()) for role, arn in rows)


def _has(tables: Mapping[str, TableFound], name: str, *columns: str) -> bool:
    return name in tables and all(column in tables[name].columns for column in columns)


def _version(connection: Connection[Any]) -> int | None:
    row = connection.execute(_VERSION).fetchone()
    return None if row is None else row[0]


def _intents(connection: Connection[Any], wanted: Wanted, tables: Mapping[str, TableFound]) -> Intents:
    whose = (wanted.service, wanted.target)
    rows = connection.execute(_INTENTS, whose).fetchall() if _has(tables, "intent", *_OF_INTENT) else []
    guard = connection.execute(_GUARD, whose).fetchone() if _has(tables, "guard", *_OF_GUARD) else None
    return Intents(
        regions=frozenset(region for region, _, _ in rows),
        undrained=(sum(bool(row[1]) for row in rows), sum(bool(row[2]) for row in rows)),
        guard=None if guard is None else guard[0],
    )
