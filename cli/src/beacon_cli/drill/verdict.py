"""Compares what was seen with what was predicted. Pure.

A transition lies between the last look that did not show it and the first that did.

==================  ======================================================================  ==========
verdict             when                                                                    passes
==================  ======================================================================  ==========
``as_predicted``    that time and the prediction overlap, and the cause is the drill's own  yes
``sooner``          back before the prediction's begin, after the drill's own repair        yes
``too_soon``        out before the drill's own cause can have had effect                    no
``late``            after the prediction's end                                              no
``other_cause``     out by another cause, or back before the drill's own repair             no
``not_seen``        never                                                                   no
``unread``          the place could not be read                                             no
==================  ======================================================================  ==========

DNS names no cause of its own: its cause is right where the checkers of the Region had turned before, by the
right one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from beacon_cli.drill.expected import Expected, Phase, checkers_of
from beacon_cli.drill.kinds import Kind
from beacon_cli.drill.tracks import ENDPOINT, Of, Point, Track, row_in

__all__ = ["Result", "Times", "Verdict", "compare"]

#: Looks are half a second apart, of a check a second or more: two tracks show one moment so far apart.
_APART_S = 2.5


class Verdict(Enum):
    """The module's table."""

    AS_PREDICTED = "as_predicted"
    SOONER = "sooner"
    TOO_SOON = "too_soon"
    LATE = "late"
    OTHER_CAUSE = "other_cause"
    NOT_SEEN = "not_seen"
    UNREAD = "unread"

    @property
    def passes(self) -> bool:
        """The table's last column."""
        return self in {Verdict.AS_PREDICTED, Verdict.SOONER}


@dataclass(frozen=True, slots=True)
class Times:
    """When the drill acted, in seconds after the break was answered.

    An order may have had effect before its answer came, so each has a time at which it was given as well.
    """

    broken_since_s: float = 0.0
    repaired_since_s: float | None = None
    repaired_s: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One transition: between ``after_s`` and ``measured_s`` after its begin, and the cause that was seen."""

    expected: Expected
    verdict: Verdict
    measured_s: float | None = None
    after_s: float | None = None
    cause: str = ""


def compare(
    expected: Iterable[Expected], tracks: Iterable[Track], region: str, kind: Kind, times: Times
) -> tuple[Result, ...]:
    """The result of each transition."""
    by_name = {track.name: track for track in tracks}
    found: dict[tuple[str, Phase], Result] = {}
    for one in expected:
        track = by_name.get(one.track)
        if track is None:
            found[one.track, one.phase] = Result(one, Verdict.UNREAD)
            continue
        out = found.get((one.track, Phase.OUT))
        if one.phase is Phase.BACK and (out is None or out.measured_s is None):
            found[one.track, one.phase] = Result(one, Verdict.NOT_SEEN, cause="it was not seen out")
            continue
        result = _of_one(one, track, region, kind, times)
        if track.of is Of.DNS and one.phase is Phase.OUT:
            result = _by_check(result, found.get((checkers_of(region), Phase.OUT)))
        found[one.track, one.phase] = result
    return tuple(found.values())


def _of_one(one: Expected, track: Track, region: str, kind: Kind, times: Times) -> Result:
    since, zero, end = times.broken_since_s, 0.0, times.repaired_since_s
    if one.phase is Phase.BACK:
        if times.repaired_s is None or times.repaired_since_s is None:
            return Result(one, Verdict.NOT_SEEN)
        since, zero, end = times.repaired_since_s, times.repaired_s, None
    end = track.until_s if end is None else end

    def moved(value: Mapping[str, str]) -> bool:
        return (
            is_out(track.of, value, region)
            if one.phase is Phase.OUT
            else is_back(track.of, value, one, region)
        )

    before = track.at(since)
    if before is not None and moved(before.value):
        said = "it was out before the drill" if one.phase is Phase.OUT else "it was back before the repair"
        return Result(one, Verdict.OTHER_CAUSE, cause=said)
    point = track.first(since, end, moved)
    if point is None:
        unread = [found for found in track.points if not found.readable and found.at_s > since]
        if unread and unread[-1] is track.points[-1]:
            return Result(one, Verdict.UNREAD, cause=unread[-1].value.get("unread", ""))
        return Result(one, Verdict.NOT_SEEN)
    measured, after = (round(max(0.0, at_s - zero), 2) for at_s in (point.at_s, point.after_s))
    cause, right = _cause(track.of, point, region, kind, one.phase)
    verdict = _timed(one, measured, after) if right else Verdict.OTHER_CAUSE
    return Result(one, verdict, measured, after, cause)


def _timed(one: Expected, measured: float, after: float) -> Verdict:
    if after > one.predicted.latest_s:
        return Verdict.LATE
    if measured < one.predicted.earliest_s:
        return Verdict.TOO_SOON if one.phase is Phase.OUT else Verdict.SOONER
    return Verdict.AS_PREDICTED


def is_out(of: Of, value: Mapping[str, str], region: str) -> bool:
    """Whether ``value`` shows that ``region`` is out there."""
    if of is Of.CHECK:
        return value.get("healthy") == "no"
    if of is Of.DNS:
        return value.get("region") != region
    row = row_in(value, region)
    return row is not None and row.effective == "out" and value.get(ENDPOINT) != region


def is_back(of: Of, value: Mapping[str, str], one: Expected, region: str) -> bool:
    """Whether ``value`` shows that ``region`` is back there."""
    if of is Of.CHECK:
        return value.get("healthy") == "yes"
    if of is Of.DNS:
        return value.get("region") == region
    row = row_in(value, region)
    return row is not None and row.effective == "in" and (not one.first or value.get(ENDPOINT) == region)


def _cause(of: Of, point: Point, region: str, kind: Kind, phase: Phase) -> tuple[str, bool]:
    """What was seen as the cause, and whether it is the drill's own."""
    if phase is Phase.BACK or of is Of.DNS:
        return "", True
    if of is Of.CHECK:
        says = point.value.get("says", "")
        return says, says.startswith(kind.says)
    row = row_in(point.value, region)
    if row is None:
        return "", False
    forced = f"forced: {row.forced}, " if row.forced != "-" else ""
    said = f"{forced}observed {row.observed}: {row.reason}"
    if kind.drains:
        return said, row.forced == "drain" and row.observed == "up" and row.reason in kind.reasons
    return said, row.forced == "-" and row.observed == "down" and row.reason in kind.reasons


def _by_check(dns: Result, check: Result | None) -> Result:
    if dns.measured_s is None or dns.after_s is None or not dns.verdict.passes:
        return dns
    at = check.after_s if check is not None else None
    right = check is not None and check.verdict is not Verdict.OTHER_CAUSE
    if right and at is not None and at <= dns.measured_s + _APART_S:
        return Result(dns.expected, dns.verdict, dns.measured_s, dns.after_s, "its check turned")
    said = "its check had not turned by the drill's own cause"
    return Result(dns.expected, Verdict.OTHER_CAUSE, dns.measured_s, dns.after_s, said)
