"""What the database has: the facts of its catalogue, and how its lists of privileges are read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Found", "Intents", "TableFound", "privileges_of"]

_LETTERS = {
    "a": "INSERT",
    "r": "SELECT",
    "w": "UPDATE",
    "d": "DELETE",
    "D": "TRUNCATE",
    "x": "REFERENCES",
    "t": "TRIGGER",
    "U": "USAGE",
    "C": "CREATE",
}
# `role=letters/grantor`; a star behind a letter is the right to grant it. Unusual names are quoted.
_ENTRY = re.compile(r'(?P<role>"(?:[^"]|"")*"|[^=]*)=(?P<letters>[A-Za-z*]*)/.*', re.DOTALL)


@dataclass(frozen=True, slots=True)
class TableFound:
    """A table of the schema, as the catalogue describes it."""

    columns: Mapping[str, tuple[str, bool]]
    """Each column's type and whether it is NOT NULL."""
    key: tuple[str, ...]
    checks: frozenset[str]


@dataclass(frozen=True, slots=True)
class Intents:
    """The rows of one deployment."""

    regions: frozenset[str] = frozenset()
    undrained: tuple[int, int] = (0, 0)
    """How many Regions are not forced, and how many are not or no longer forced."""
    guard: int | None = None
    """What the guard's row counts; ``None`` where there is none."""


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that was looked at."""

    through: str
    """The Region whose endpoint answered."""
    has_schema: bool = False
    tables: Mapping[str, TableFound] = field(default_factory=dict)
    privileges: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """Those of each role on each table; an empty table's name stands for the schema."""
    roles: Mapping[str, bool] = field(default_factory=dict)
    """The roles that exist, and whether they may log in."""
    mappings: frozenset[tuple[str, str]] | str = frozenset()
    """Each role with the ARN that may log in as it; or the words that say why they cannot be read."""
    version: int | None = None
    """The highest row of ``beacon.schema_version``."""
    intents: Intents = Intents()


def privileges_of(entries: Iterable[str], owner: str) -> dict[str, frozenset[str]]:
    """Each role's privileges in a list of `aclitem` texts, without those of ``owner``, which has them all.

    Privileges of every role (PUBLIC) stand under the empty name.
    """
    found: dict[str, frozenset[str]] = {}
    for entry in entries:
        read = _ENTRY.fullmatch(entry)
        if read is None:
            continue
        role = read["role"]
        role = role[1:-1].replace('""', '"') if role.startswith('"') else role
        if role != owner:
            held = {_LETTERS[letter] for letter in read["letters"] if letter in _LETTERS}
            found[role] = found.get(role, frozenset()) | held
    return found
