"""Whether a Region is serving, as Route 53's checkers see it. Pure: no I/O and no clock of its own.

=================================================================  ===========  =====================
what Route 53 knows of the Region                                  serving      why
=================================================================  ===========  =====================
a check that is disabled (Route 53 counts it as healthy)           no           no checker looks
a check that is inverted (an operator takes the Region out)        no           drained in Route 53
half of the observations or more are too old to count              no           nothing is known
18 % or fewer of the fresh observations are successes              no           what the failures say
more than 18 % are                                                 yes          how many
=================================================================  ===========  =====================

A deployment can wait, so here an unknown state counts as a no; in routing it never does. The share is the
one that Route 53 itself uses (Route 53 Developer Guide, "How Amazon Route 53 determines whether a health
check is healthy").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from beacon.predict import HEALTHY_SHARE_PERCENT

__all__ = [
    "STALE_S",
    "Check",
    "Observation",
    "Standing",
    "Tally",
    "judge",
    "region_of",
    "tally",
]

#: A checker reports every 10 or 30 s; an older report than this is from a checker that has stopped.
STALE_S = 120.0

_SEARCH = re.compile(r"beacon:(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]+):serving")


@dataclass(frozen=True, slots=True)
class Check:
    """A Region's health check."""

    id: str
    region: str
    disabled: bool = False
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """What one checker reported last: Route 53's words, and when (UTC)."""

    status: str
    checked_at: datetime

    @property
    def success(self) -> bool:
        """Whether the checker found the endpoint healthy."""
        return self.status.startswith("Success")


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a Region serves, and a sentence that says why."""

    serving: bool
    why: str


def region_of(search_string: str, service: str) -> str | None:
    """The Region whose check of ``service`` searches for ``search_string``; ``None`` for another's check."""
    match = _SEARCH.fullmatch(search_string)
    return match["region"] if match and match["service"] == service else None


@dataclass(frozen=True, slots=True)
class Tally:
    """What a check's checkers say: how many reports there are, how many of them are fresh, and of those that
    pass; and the failure that most of the others name."""

    reported: int
    fresh: int
    passed: int
    common_failure: str = ""

    @property
    def known(self) -> bool:
        """Whether more than half of the reports are fresh."""
        return self.fresh * 2 > self.reported

    @property
    def healthy(self) -> bool:
        """Whether Route 53 finds the endpoint healthy: the share is above :data:`HEALTHY_SHARE_PERCENT`."""
        return self.passed * 100 > HEALTHY_SHARE_PERCENT * self.fresh


def tally(observations: Sequence[Observation], *, now: datetime, since: datetime) -> Tally:
    """Count ``observations``; those from before ``since`` and those older than :data:`STALE_S` are stale."""
    fresh = [
        seen
        for seen in observations
        if seen.checked_at > since and (now - seen.checked_at).total_seconds() < STALE_S
    ]
    failures = Counter(seen.status for seen in fresh if not seen.success).most_common(1)
    return Tally(
        reported=len(observations),
        fresh=len(fresh),
        passed=sum(seen.success for seen in fresh),
        common_failure=failures[0][0] if failures else "",
    )


def judge(check: Check, observations: Sequence[Observation], *, now: datetime, since: datetime) -> Standing:
    """The Region's standing by the module's table, from observations made after ``since``.

    An observation is too old if it was made before ``since``, or more than :data:`STALE_S` ago.
    """
    if check.disabled:
        return Standing(serving=False, why="its health check is disabled: no checker looks")
    if check.inverted:
        return Standing(serving=False, why="its health check is inverted: an operator takes the Region out")
    seen = tally(observations, now=now, since=since)
    if not seen.known:
        why = f"only {seen.fresh} of {seen.reported} checkers have reported lately"
        return Standing(serving=False, why=why)
    share = f"{seen.passed} of {seen.fresh} checkers find it healthy"
    if seen.healthy:
        return Standing(serving=True, why=share)
    return Standing(serving=False, why=f"{share}; most say: {seen.common_failure}")
