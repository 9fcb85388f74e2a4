"""The operators' intents: the statements that read them and the strict reading of what comes back.

One statement proves connect, TLS, IAM, compute and storage, and returns the forced states. It always yields
at least one row (of NULLs when no operator forces anything), so an empty answer never reads as "no drain".
Expiry is judged by the database's clock. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from beacon.model import Forced, Intent

__all__ = ["ALL_REGIONS", "ONE_REGION", "MalformedIntentError", "parse_intents"]

_SELECT = (
    # Two extracts, because the subtraction of an `infinity` is an error, and one row must not fail the probe.
    "SELECT i.region, i.forced, i.reason, i.actor, extract(epoch FROM i.until) - extract(epoch FROM now())"
    " FROM (SELECT 1) AS alive LEFT JOIN beacon.intent AS i"
    " ON i.service = $1 AND i.target = $2{region} AND i.forced IS NOT NULL"
    " AND (i.until IS NULL OR i.until > now())"
)
#: Parameters: service, target.
ALL_REGIONS = _SELECT.format(region="").encode()
#: Parameters: service, target, Region. A point read of the primary key.
ONE_REGION = _SELECT.format(region=" AND i.region = $3").encode()


class MalformedIntentError(Exception):
    """Rows that cannot be an answer to the statements above, or an intent that makes no sense."""


def parse_intents(rows: Sequence[Sequence[str | None]]) -> Mapping[str, Intent]:
    """Return the valid intent of each Region; refuse the whole answer when any row makes no sense."""
    if not rows:
        raise MalformedIntentError("the statement returned no row")
    intents: dict[str, Intent] = {}
    for row in rows:
        if len(row) != 5:
            raise MalformedIntentError("a row has the wrong number of columns")
        region, forced, reason, actor, remaining = row
        if region is None and forced is None:
            continue
        if region is None or region in intents:
            raise MalformedIntentError("a Region is missing or named twice")
        try:
            intents[region] = Intent(
                region=region,
                forced=Forced(forced),
                reason=reason or "",
                actor=actor or "",
                remaining_s=_remaining(remaining),
            )
        except ValueError:
            raise MalformedIntentError(f"the intent of {region} is not one that is known") from None
    return intents


def _remaining(text: str | None) -> float | None:
    """Seconds until the intent expires; ``None``, as for ``infinity``, is until released."""
    if text is None:
        return None
    remaining_s = float(text)
    if not remaining_s > 0:
        raise ValueError("the statement returns intents that are valid")
    return None if remaining_s == float("inf") else remaining_s
