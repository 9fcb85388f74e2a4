"""What the transaction of a drain or a release refuses, judged from the intents that it has read. Pure.

The rules are those of sql/drain.sql and sql/release.sql, and the second row in addition: the command shows
the operator the present state first, so it notices when that is no longer the one that was confirmed.

=====================================================================  ============  =======================
what the intents say                                                   drain         release
=====================================================================  ============  =======================
the deployment has no rows, or none of the Region                      failed        failed
an operator has drained the Region after this one looked               refused       refused
no other Region is undrained                                           refused       -
the Region has no drain                                                -             refused
the Region's drain has expired                                         is written    only its end is written
anything else                                                          is written    is written
=====================================================================  ============  =======================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from beacon_cli.errors import CommandError, FailedError, RefusedError
from beacon_cli.situation.finding import clock, span
from beacon_cli.situation.model import ForcedState

__all__ = ["Action", "Request", "drain_of", "objection"]


class Action(Enum):
    """What an operator wants."""

    DRAIN = "drain"
    RELEASE = "release"

    @property
    def done(self) -> str:
        """As a sentence says it afterwards."""
        return "drained" if self is Action.DRAIN else "released"


@dataclass(frozen=True, slots=True)
class Request:
    """One change of intent: what, where, why and by whom."""

    action: Action
    region: str
    reason: str
    actor: str
    lasts_s: float | None = None
    """How long a drain lasts; ``None`` is until it is released."""


def drain_of(row: ForcedState, now: datetime) -> str:
    """`alice drained us-east-1 12 s ago (03:00:12 UTC), until 03:30:12 UTC: 'writes fail'`."""
    ends = "until it is released" if row.until is None else f"until {clock(row.until, now)}"
    since = f"{span((now - row.changed_at).total_seconds())} ago ({clock(row.changed_at, now)})"
    return f"{row.actor} drained {row.region} {since}, {ends}: {row.reason!r}"


def objection(
    request: Request, rows: Sequence[ForcedState], seen: ForcedState | None, *, service: str, now: datetime
) -> CommandError | None:
    """Why the transaction must not be committed, by the module's table; ``None`` where it may be.

    ``rows`` are the intents of ``service`` as the transaction reads them at ``now``, the database's clock;
    ``seen`` is the Region's row that the operator was shown.
    """
    own = next((row for row in rows if row.region == request.region), None)
    if own is None:
        return _missing(request, rows, service)
    if own.forced and (seen is None or (seen.actor, seen.changed_at) != (own.actor, own.changed_at)):
        text = f"{drain_of(own, now)}. That is newer than what you were shown. Nothing has changed"
        return RefusedError(text, f"beacon explain {request.region}")
    others = [row for row in rows if row.region != request.region]
    if request.action is Action.DRAIN:
        return None if any(not row.forced for row in others) else _last(request, others, service, now)
    if own.forced or own.until is not None:
        return None
    text = f"{request.region} is not drained, so there is nothing to release{_released(own, now)}"
    return RefusedError(f"{text}. Nothing has changed", "beacon status")


def _missing(request: Request, rows: Sequence[ForcedState], service: str) -> FailedError:
    if not rows:
        text = f"the database has no Region of {service}: sql/regions.sql has not been run"
    else:
        known = ", ".join(row.region for row in rows)
        text = f"the database has no Region {request.region} of {service}: it has {known}"
    return FailedError(f"{text}. Nothing has changed")


def _last(request: Request, others: Sequence[ForcedState], service: str, now: datetime) -> RefusedError:
    said = "; ".join(drain_of(row, now) for row in others)
    text = f"{request.region} is the last Region of {service} that is not drained, so it stays"
    command = f"beacon release {others[0].region} --reason TEXT" if others else None
    return RefusedError(f"{text}{': ' + said if said else ''}. Nothing has changed", command)


def _released(own: ForcedState, now: datetime) -> str:
    if not own.actor:
        return ""
    when = f"{span((now - own.changed_at).total_seconds())} ago ({clock(own.changed_at, now)})"
    if own.reason.startswith("expired: "):
        return f": its drain by {own.actor} has expired"
    return f": {own.actor} released it {when}: {own.reason!r}"
