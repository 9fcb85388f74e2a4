"""What was seen of one place over time: a value, since when, and what cannot be read. Pure.

Times are seconds after the drill broke the Region; before that they are negative. A value is a mapping of
words, so that a report can be read without this program:

========  ==============================================================================================
track     its value
========  ==============================================================================================
check     ``healthy`` (yes, no or unknown), ``share`` (`16/16`), ``says`` (the failure that most name)
dns       ``region`` that the record leads to, and the ``target`` itself
ssm       each Region's row as `EFFECTIVE OBSERVED FORCED REASON`, the ``endpoint``'s Region, ``frozen``
faults    each Region's faults, in a lab
any       ``unread``: why the place could not be read
========  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from beacon_cli.situation.model import CheckReport, Fact, Known, Published, RecordAnswer

__all__ = [
    "ENDPOINT",
    "FROZEN",
    "UNREAD",
    "Of",
    "Point",
    "Row",
    "Track",
    "check_value",
    "dns_value",
    "row_in",
    "ssm_value",
]

Value = Mapping[str, str]
#: Keys of a value that are no Region's name.
UNREAD, ENDPOINT, FROZEN = "unread", "endpoint", "frozen"


class Of(Enum):
    """What a track follows."""

    CHECK = "check"
    DNS = "dns"
    SSM = "ssm"
    FAULTS = "faults"


@dataclass(frozen=True, slots=True)
class Point:
    """A value from ``at_s`` on; the last look before it that could read began at ``after_s``."""

    at_s: float
    after_s: float
    value: Value

    @property
    def readable(self) -> bool:
        """Whether the place could be read."""
        return UNREAD not in self.value


@dataclass(frozen=True, slots=True)
class Track:
    """Every change that was seen of one place; ``until_s`` is the last look at it."""

    name: str
    of: Of
    region: str
    """Whose it is; empty for DNS and for a lab's faults."""
    points: tuple[Point, ...]
    until_s: float = 0.0

    def at(self, moment_s: float) -> Point | None:
        """The last readable point at ``moment_s``."""
        return next((one for one in reversed(self.points) if one.readable and one.at_s <= moment_s), None)

    def first(self, from_s: float, to_s: float, holds: Callable[[Value], bool]) -> Point | None:
        """The first readable point after ``from_s``, and up to ``to_s``, of which ``holds`` is true."""
        for one in self.points:
            if one.readable and from_s < one.at_s <= to_s and holds(one.value):
                return one
        return None


@dataclass(frozen=True, slots=True)
class Row:
    """A Region's row of a document."""

    effective: str
    observed: str
    forced: str
    reason: str


def row_in(value: Value, region: str) -> Row | None:
    """The row of ``region`` in the value of an SSM track."""
    words = value.get(region, "").split()
    return Row(*words) if len(words) == 4 else None


def check_value(fact: Fact[CheckReport]) -> dict[str, str]:
    """The value of a check."""
    if not isinstance(fact, Known):
        return {UNREAD: fact.why}
    report = fact.value
    healthy = {True: "yes", False: "no", None: "unknown"}[report.healthy]
    share = f"{report.tally.passed}/{report.tally.fresh}"
    marks = [word for word in ("disabled", "inverted") if getattr(report.check, word)]
    return {
        "healthy": healthy,
        "share": share,
        "says": ", ".join(marks) or report.tally.common_failure.partition(". Resolved IP")[0],
    }


def dns_value(fact: Fact[RecordAnswer]) -> dict[str, str]:
    """The value of the record."""
    if not isinstance(fact, Known):
        return {UNREAD: fact.why}
    return {"region": fact.value.region, "target": fact.value.target}


def ssm_value(fact: Fact[Published]) -> dict[str, str]:
    """The value of a Region's SSM; ``endpoint`` is a Region's name where the host belongs to one."""
    if not isinstance(fact, Known):
        return {UNREAD: fact.why}
    document, endpoint = fact.value.document, fact.value.endpoint
    made = {
        state.region: " ".join(
            (
                state.effective.value,
                state.observed.value,
                state.forced.value if state.forced else "-",
                state.reason.replace(" ", "_") or "-",
            )
        )
        for state in document.endpoints
    }
    hosts = {state.host: state.region for state in document.endpoints}
    return made | {ENDPOINT: hosts.get(endpoint, endpoint), FROZEN: "yes" if document.frozen else "no"}
