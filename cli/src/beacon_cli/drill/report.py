"""The report of a drill: everything that was seen, what it comes to, and why. Pure.

A drill passes when every expected transition passes (:mod:`beacon_cli.drill.verdict`), nothing else has
changed, the consumer lost nothing, everything is repaired, and no signal ended it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from beacon.predict import Span
from beacon_cli.drill.consumed import Consumed
from beacon_cli.drill.expected import Phase
from beacon_cli.drill.tracks import Track
from beacon_cli.drill.verdict import Result, Verdict

__all__ = ["Outcome", "Report", "outcome_of", "reasons", "said_of", "seconds", "seen_in", "table"]


class Outcome(Enum):
    """How a drill ended."""

    PASSED = "passed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Report:
    """One drill. Seconds count from ``broken_at``; ``ended_s`` is the last look."""

    id: str
    service: str
    region: str
    kind: str
    actor: str
    speed: float | None
    """The factor of a lab; ``None`` on AWS."""
    broken_at: datetime
    ended_s: float
    limit_s: float
    repaired_s: float | None
    """When the order to repair was answered; ``None`` where it never was."""
    repair: str
    """What the repair came to."""
    whole: bool
    """Whether it is known that nothing of this drill is still in force."""
    interrupted: bool
    results: tuple[Result, ...]
    strangers: tuple[str, ...]
    consumer: Consumed | None
    no_consumer: str
    """Why there was no consumer; empty where there was one."""
    tracks: tuple[Track, ...]


def reasons(report: Report) -> tuple[str, ...]:
    """Each reason against a pass, in words; none where it passed."""
    found = ["it was interrupted"] if report.interrupted else []
    if not report.whole:
        found.append(f"it is not repaired: {report.repair}")
    found += report.strangers
    awaited = [one for one in report.results if not (report.interrupted and one.verdict is Verdict.NOT_SEEN)]
    found += [said_of(one) for one in awaited if not one.verdict.passes]
    if report.consumer is not None:
        found += report.consumer.complaints
    return tuple(found)


def outcome_of(report: Report) -> Outcome:
    """What the report comes to."""
    if report.interrupted:
        return Outcome.INTERRUPTED
    return Outcome.FAILED if reasons(report) else Outcome.PASSED


def seconds(value: float | None) -> str:
    """`5.5 s`, or `-`."""
    return "-" if value is None else f"{value:.1f} s"


def seen_in(predicted: Span) -> str:
    """`4.0 to 12.5 s`."""
    return f"{predicted.earliest_s:.1f} to {predicted.latest_s:.1f} s"


def said_of(result: Result) -> str:
    """One transition in words, its measurement beside its prediction."""
    what = f"{result.expected.track}: {'out' if result.expected.phase is Phase.OUT else 'back'}"
    predicted = f"predicted {seen_in(result.expected.predicted)}"
    cause = f" ({result.cause})" if result.cause else ""
    if result.verdict is Verdict.NOT_SEEN:
        return f"{what} was not seen ({predicted}){cause}"
    if result.verdict is Verdict.UNREAD:
        return f"{what} could not be read{cause}"
    if result.verdict is Verdict.OTHER_CAUSE:
        return f"{what}, not by this drill{cause}"
    words = {
        Verdict.AS_PREDICTED: "",
        Verdict.SOONER: ", sooner than predicted",
        Verdict.TOO_SOON: ", too soon to be this drill's doing",
        Verdict.LATE: ", later than predicted",
    }
    why = f"; {result.cause}" if result.cause else ""
    return f"{what} after {seconds(result.measured_s)}{words[result.verdict]} ({predicted}{why})"


def table(results: Sequence[Result]) -> list[str]:
    """The results as lines of text for a terminal."""
    head = f"{'seen in':<24}{'':<6}{'measured':>9}  {'predicted':<16}verdict"
    rows = [
        f"{one.expected.track:<24}{one.expected.phase.value:<6}{seconds(one.measured_s):>9}"
        f"  {seen_in(one.expected.predicted):<16}{one.verdict.value.replace('_', ' ')}"
        for one in results
    ]
    return [head, *rows]
