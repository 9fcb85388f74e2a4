"""The JSON of a timeline; docs/schemas/history.schema.json describes it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from beacon.document.form import format_instant
from beacon_cli.timeline.events import Event

__all__ = ["SCHEMA", "timeline_json"]

SCHEMA = 1


def timeline_json(
    service: str, at: datetime, since: datetime, events: Sequence[Event], unknown: Sequence[str]
) -> dict[str, Any]:
    """What `beacon history --json` prints; ``unknown`` says what could not be read and why."""
    return {
        "schema": SCHEMA,
        "service": service,
        "at": format_instant(at),
        "since": format_instant(since),
        "events": [
            {
                "at": format_instant(one.at),
                "source": one.source,
                "region": one.region or None,
                "text": one.text,
            }
            for one in events
        ],
        "unknown": list(unknown),
    }
