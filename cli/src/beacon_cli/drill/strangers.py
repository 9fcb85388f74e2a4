"""Finds what changed during a drill that the drill did not do: another operator, another fault. Pure.

=============  ==========================================================================================
track          it is not by this drill when
=============  ==========================================================================================
check          another Region's is unhealthy, or any is inverted or disabled
DNS            the record leads elsewhere although it did not lead to the drill's Region
SSM            the document is frozen; another Region's row changes; the Region is drained in a drill by
               a fault, observed down in a drill by a drain, or down for a reason that is not the drill's;
               after the repair of a fault, any reason may be the repair's own, such as `reset`
faults         the lab has another fault
=============  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from beacon_cli.drill.kinds import Kind
from beacon_cli.drill.tracks import FROZEN, Of, Row, Track, row_in
from beacon_cli.drill.verdict import Times

__all__ = ["strangers"]

_SWITCHED = {"inverted", "disabled", "disabled, inverted"}
Value = Mapping[str, str]


def strangers(
    tracks: Iterable[Track], region: str, kind: Kind, times: Times, *, until_s: float, dns_moves: bool
) -> tuple[str, ...]:
    """One sentence for each such change from when the break was ordered to ``until_s``.

    ``dns_moves``: whether the record led to ``region``, so that it has to move.
    """
    found: dict[str, str] = {}
    repaired_s = until_s if times.repaired_since_s is None else times.repaired_since_s
    before_repair = _Look(region, kind, dns_moves=dns_moves, repaired=False)
    afterwards = _Look(region, kind, dns_moves=dns_moves, repaired=True)
    for track in tracks:
        before = track.at(times.broken_since_s)
        for point in track.points:
            if point.readable and times.broken_since_s < point.at_s <= until_s:
                look = before_repair if point.at_s <= repaired_s else afterwards
                for said in look.at(track, before.value if before else {}, point.value):
                    found.setdefault(said, f"not by this drill: {said} after {point.at_s:.1f} s")
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class _Look:
    region: str
    kind: Kind
    dns_moves: bool
    repaired: bool

    def at(self, track: Track, before: Value, value: Value) -> list[str]:
        by: dict[Of, Callable[[Track, Value, Value], list[str]]] = {
            Of.CHECK: self._check,
            Of.DNS: self._dns,
            Of.SSM: self._ssm,
            Of.FAULTS: self._faults,
        }
        return by[track.of](track, before, value)

    def _check(self, track: Track, _before: Value, value: Value) -> list[str]:
        says = value.get("says", "")
        if says in _SWITCHED:
            return [f"the health check of {track.region} is {says}"]
        if track.region != self.region and value.get("healthy") == "no":
            return [f"the checkers of {track.region} find it unhealthy ({says})"]
        return []

    def _dns(self, _track: Track, before: Value, value: Value) -> list[str]:
        if self.dns_moves or value.get("target") == before.get("target"):
            return []
        return [f"DNS leads to {value.get('region') or value.get('target')}"]

    def _faults(self, _track: Track, _before: Value, value: Value) -> list[str]:
        own = {"", self.kind.fault}
        return [
            f"the lab has {given} in {name}"
            for name, given in value.items()
            if given not in (own if name == self.region else {""})
        ]

    def _ssm(self, track: Track, before: Value, value: Value) -> list[str]:
        said = [f"{track.name} keeps its last order (frozen)"] if value.get(FROZEN) == "yes" else []
        for name in value:
            row, old = row_in(value, name), row_in(before, name)
            if row is not None and old is not None:
                what = self._own(row) if name == self.region else _other(row, old)
                said += [f"{track.name} has {name} {what}"] if what else []
        return said

    def _own(self, row: Row) -> str:
        if row.forced != "-" and not self.kind.drains:
            return f"forced: {row.forced}"
        other = not self.repaired and row.reason not in self.kind.reasons | {"ok"}
        strange = self.kind.drains or not self.kind.moves_ssm or other
        return f"observed down ({row.reason})" if row.observed == "down" and strange else ""


def _other(row: Row, old: Row) -> str:
    """What has changed of another Region; a new reason or latency alone is no change."""
    if (row.effective, row.observed, row.forced) == (old.effective, old.observed, old.forced):
        return ""
    forced = f", forced: {row.forced}" if row.forced != "-" else ""
    return f"{row.effective} (observed {row.observed}: {row.reason}{forced})"
