"""A state of the database as JSON, as docs/schemas/database.schema.json describes it. Pure."""

from __future__ import annotations

from typing import Any

from beacon_cli.schema.state import DatabaseState, Item

__all__ = ["database_json"]


def database_json(state: DatabaseState, action: str, made: tuple[Item, ...] | None = None) -> dict[str, Any]:
    """``state`` after ``action`` (`plan` or `apply`); ``made`` is what `apply` made."""
    wanted = state.wanted
    return {
        "schema": 1,
        "service": wanted.service,
        "command": action,
        "through": state.through,
        "complete": state.complete,
        "items": [_item(item) for item in state.items],
        "made": None if made is None else [_item(item) for item in made],
        "regions": {part.region: part.waits_for for part in wanted.parts},
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "kind": item.kind.value,
        "name": item.name,
        "standing": item.standing.value,
        "detail": item.detail,
        "region": item.region or None,
        "statements": list(item.statements),
    }
