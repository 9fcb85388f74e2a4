"""What one document changes about the one before, in words that a person understands. Pure.

A change is a step of an endpoint's observed, forced or effective state, or of its host; it carries the whole
state before and after. A streak, a latency, a rank, an epoch or another expiry of a drain is none.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from beacon.model import Change, Document, Effective, EndpointState
from beacon.outcome import Reason

__all__ = ["SAME_EXPIRY_S", "changes_between"]

#: By how much two readings of one expiry may differ: the database's clock gives the time that is left, and
#: the publisher adds it to its own clock after the network's delay and a few rechecks.
SAME_EXPIRY_S = 2.0


def changes_between(previous: Document | None, document: Document) -> tuple[Change, ...]:
    """Every endpoint's change, in the order of ``document``."""
    changes = []
    for after in document.endpoints:
        before = previous.state_of(after.region) if previous else None
        if before is None or _visible(before) != _visible(after):
            changes.append(Change(after.region, before, after, _explain(before, after, document)))
    return tuple(changes)


def _visible(state: EndpointState) -> tuple[object, ...]:
    return (state.host, state.observed, state.forced, state.effective)


def _explain(before: EndpointState | None, after: EndpointState, document: Document) -> str:
    if before is None:
        return f"first seen: observed {after.observed.value}"
    parts = []
    if before.host != after.host:
        parts.append("has a new host name")
    if before.observed is not after.observed:
        why = "" if after.reason == Reason.DEFERRED else f" ({after.reason})"
        parts.append(f"observed {before.observed.value} -> {after.observed.value}{why}")
    if before.forced is not after.forced:
        parts.append("drained by an operator" if after.forced else _release(before, document.as_of))
    if after.reason == Reason.DEFERRED:
        parts.append("waits its turn to leave")
    if before.effective is not after.effective:
        parts.append(_moved(after, told_why=bool(parts)))
    if document.note:
        parts.append(f"frozen: {document.note}")
    return ", ".join(parts)


def _release(before: EndpointState, now: datetime) -> str:
    ends = before.forced_until
    if ends is not None and ends <= now + timedelta(seconds=SAME_EXPIRY_S):
        return "drain expired"
    return "released by an operator"


def _moved(after: EndpointState, *, told_why: bool) -> str:
    if after.effective is Effective.IN:
        return "back in"
    return "taken out" if told_why else f"taken out ({after.reason})"
