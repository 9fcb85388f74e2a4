"""What the canary consumer met: rows acknowledged, gaps, Regions; a pure tally of its lines.

A row counts as acknowledged when its COMMIT was answered. A gap is the time between two acknowledged rows.
Clients leave an endpoint that is silent within two query limits and half a second, with any source of
endpoints; that bounds the gap for every kind of drill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["EVERY_S", "QUERY_S", "Consumed", "Gap", "Tally", "gap_limit_s"]

#: How often the consumer writes, and how long a statement may wait for its answer.
EVERY_S, QUERY_S = 0.2, 2.0
_LEAVE_S, _SLACK_S = 0.5, 1.5
#: A gap that is worth to be shown.
_SHOWN_S = 1.0


def gap_limit_s() -> float:
    """The longest time without an acknowledged row that is predicted."""
    return round(2 * QUERY_S + _LEAVE_S + EVERY_S + _SLACK_S, 2)


@dataclass(frozen=True, slots=True)
class Gap:
    """No row was acknowledged from ``from_s`` to ``to_s``."""

    from_s: float
    to_s: float

    @property
    def length_s(self) -> float:
        """How long."""
        return round(self.to_s - self.from_s, 2)


@dataclass(frozen=True, slots=True)
class Consumed:
    """The consumer's account; ``found`` is how many of the acknowledged rows were read again at the end."""

    attempts: int
    failed: int
    acknowledged: int
    found: int | None
    longest_gap: Gap
    gap_limit_s: float
    gaps: tuple[Gap, ...] = ()
    regions: tuple[tuple[float, str], ...] = ()
    """Through which Region it wrote, from when on."""
    problems: Mapping[str, int] = field(default_factory=dict)

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is against this drill."""
        said = []
        if not self.acknowledged:
            said.append("the consumer got no row acknowledged")
        if self.found is None:
            said.append("the consumer's rows could not be read again")
        elif self.found < self.acknowledged:
            said.append(f"{self.acknowledged - self.found} acknowledged rows are lost")
        if self.longest_gap.length_s > self.gap_limit_s:
            said.append(
                f"the consumer's longest gap is {self.longest_gap.length_s:.1f} s, and"
                f" {self.gap_limit_s:.1f} s are predicted"
            )
        return tuple(said)


@dataclass(slots=True)
class Tally:
    """Counts attempts; times are monotonic seconds."""

    acknowledged: set[str] = field(default_factory=set)
    _attempts: int = 0
    _failed: int = 0
    _last_good: float | None = None
    _gaps: list[tuple[float, float]] = field(default_factory=list)
    _regions: list[tuple[float, str]] = field(default_factory=list)
    _problems: Counter[str] = field(default_factory=Counter)

    @property
    def begun(self) -> bool:
        """Whether a row was acknowledged."""
        return bool(self.acknowledged)

    def add(self, attempt: Mapping[str, object]) -> None:
        """Count one attempt: ``id``, ``at`` (monotonic), ``region``, and ``problem`` (empty for none)."""
        at, problem = float(str(attempt["at"])), str(attempt["problem"])
        self._attempts += 1
        if problem:
            self._failed += 1
            self._problems[problem] += 1
            return
        self.acknowledged.add(str(attempt["id"]))
        region = str(attempt["region"])
        if not self._regions or self._regions[-1][1] != region:
            self._regions.append((at, region))
        self.end(at)
        self._last_good = at

    def end(self, at: float) -> None:
        """Count what has passed since the last acknowledged row as a gap."""
        if self._last_good is not None:
            self._gaps.append((self._last_good, at))

    def consumed(self, zero: float, found: int | None) -> Consumed:
        """The account, in seconds after ``zero``."""
        gaps = [Gap(round(one - zero, 2), round(other - zero, 2)) for one, other in self._gaps]
        return Consumed(
            attempts=self._attempts,
            failed=self._failed,
            acknowledged=len(self.acknowledged),
            found=found,
            longest_gap=max(gaps, key=lambda gap: gap.length_s, default=Gap(0.0, 0.0)),
            gap_limit_s=gap_limit_s(),
            gaps=tuple(gap for gap in gaps if gap.length_s >= _SHOWN_S),
            regions=tuple((round(at - zero, 2), region) for at, region in self._regions),
            problems=dict(self._problems),
        )
