"""What `beacon database` says of a state. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from beacon_cli.schema.state import DatabaseState, Item, Kind, Standing

__all__ = ["end_line", "item_line", "made_line", "question", "state_lines"]

_MARKS = {
    Standing.THERE: "ok",
    Standing.MISSING: "+",
    Standing.DIFFERS: "!!",
    Standing.WAITING: "..",
    Standing.UNKNOWN: "?",
    Standing.ALSO_THERE: "also there",
}
_HEADS = {
    Kind.SCHEMA: "schema",
    Kind.TABLE: "table",
    Kind.ROLE: "role",
    Kind.GRANT: "grant",
    Kind.MAPPING: "may log in as",
    Kind.ROWS: "rows",
}


def state_lines(state: DatabaseState, *, with_statements: bool = True) -> list[str]:
    """Each item with how it stands, and below what is missing each statement that would be run."""
    wanted = state.wanted
    lines = [f"{wanted.service}: the database through {state.through}, as admin"]
    for item in state.items:
        lines.append(item_line(item))
        if with_statements:
            lines += [f"        {line}" for one in item.statements for line in f"{one};".splitlines()]
    return [*lines, end_line(state)]


def item_line(item: Item) -> str:
    """One item."""
    detail = f" ({item.detail})" if item.detail else ""
    return f"{_MARKS[item.standing]:<3} {_HEADS[item.kind]} {item.name}{detail}"


def made_line(item: Item) -> str:
    """An item that has just been made."""
    return f"{'made':<5} {_HEADS[item.kind]} {item.name}"


def end_line(state: DatabaseState) -> str:
    """The sentence at the end."""
    if state.complete:
        return "Complete: nothing is missing."
    said = [_count(state.of(standing), words) for standing, words in _WORDS.items()]
    return "Not complete: " + ", ".join(filter(None, said)) + "."


_WORDS = {
    Standing.MISSING: "missing",
    Standing.DIFFERS: "in another form",
    Standing.WAITING: "waiting",
    Standing.UNKNOWN: "not known",
}


def _count(items: Iterable[Item], words: str) -> str:
    number = len(tuple(items))
    return f"{number} {words}" if number else ""


def question(state: DatabaseState) -> str:
    """What `apply` asks."""
    number = len(state.statements)
    return f"Run {number} statement{'s' if number != 1 else ''} as admin for {state.wanted.service}?"
