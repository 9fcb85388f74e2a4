"""The operators' last changes as lines of text. Pure."""

from __future__ import annotations

from beacon_cli.situation.finding import clock, span
from beacon_cli.situation.model import Situation, known

__all__ = ["last_changes"]


def last_changes(situation: Situation, region: str | None = None, most: int = 5) -> list[str]:
    """What operators did last, the newest first; of one Region alone if ``region`` is given."""
    forced = known(situation.forced)
    rows = [row for row in forced.changes if region in {None, row.region}] if forced else []
    lines = []
    for row in rows[:most]:
        what = "drained" if row.forced else "released"
        limit = f" for {span((row.until - row.at).total_seconds())}" if row.forced and row.until else ""
        lines.append(f"{clock(row.at, situation.at)}  {row.actor} {what} {row.region}{limit}: {row.reason}")
    return lines
