"""What one document changes about the one before, in words that a person understands. Pure.

A change is a step of an endpoint's observed, forced or effective state, or of its host; it carries the whole
state before and after. A streak, a latency, a rank or an epoch is none.
"""

from __future__ import annotations

from beacon.model import Change, Document, Effective, EndpointState

__all__ = ["DEFERRED", "changes_between"]

#: The reason code of an endpoint that should leave and waits its turn.
DEFERRED = "deferred"


def changes_between(previous: Document | None, document: Document) -> tuple[Change, ...]:
    """Every endpoint's change, in the order of ``document``."""
    changes = []
    for after in document.endpoints:
        before = previous.state_of(after.region) if previous else None
        if before is None or _visible(before) != _visible(after):
            changes.append(Change(after.region, before, after, _explain(before, after, document.note)))
    return tuple(changes)


def _visible(state: EndpointState) -> tuple[object, ...]:
    return (state.host, state.observed, state.forced, state.effective)


def _explain(before: EndpointState | None, after: EndpointState, note: str) -> str:
    if before is None:
        return f"first seen: observed {after.observed.value}"
    parts = []
    if before.host != after.host:
        parts.append("has a new host name")
    if before.observed is not after.observed:
        why = "" if after.reason == DEFERRED else f" ({after.reason})"
        parts.append(f"observed {before.observed.value} -> {after.observed.value}{why}")
    if before.forced is not after.forced:
        parts.append("drained by an operator" if after.forced else "released by an operator")
    if after.reason == DEFERRED:
        parts.append("waits its turn to leave")
    if before.effective is not after.effective:
        parts.append(_moved(after, told_why=bool(parts)))
    if note:
        parts.append(f"frozen: {note}")
    return ", ".join(parts)


def _moved(after: EndpointState, *, told_why: bool) -> str:
    if after.effective is Effective.IN:
        return "back in"
    return "taken out" if told_why else f"taken out ({after.reason})"
