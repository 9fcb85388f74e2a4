"""The situation: one deployment at one moment, each fact known or unknown with its reason. Pure.

Readers fill it in, and each may fail alone (:mod:`beacon_cli.readers`). What it means in words is in
:mod:`beacon_cli.situation.sentences`. All instants are timezone-aware UTC.

=======================  ================================================================================
fact                     where it is read
=======================  ================================================================================
a Region's ``check``     Route 53's checkers: the share that finds the Region healthy, and why not
a Region's ``document``  the document in that Region's own SSM, with its age
a Region's ``stack``     CloudFormation: status, parameters, outputs, version of the layer
a Region's ``alarms``    CloudWatch: the alarms of the deployment in that Region
a Region's ``canary``    CloudWatch: commits of the write canary that failed lately
``authoritative``        the record, as the zone's own name server answers
``cached``               the record, as this machine's resolver answers
``forced``               the database: the intents and their last changes
=======================  ================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from beacon.model import Document, EndpointState
from beacon.predict import Timings
from beacon_cli.standing import Check, Tally

__all__ = [
    "Alarm",
    "Canary",
    "CheckReport",
    "Fact",
    "ForcedChange",
    "ForcedState",
    "ForcedStates",
    "Known",
    "Published",
    "RecordAnswer",
    "RegionSituation",
    "Situation",
    "StackView",
    "Unknown",
    "known",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """A fact that was read."""

    value: T


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be read, and one sentence that says why."""

    why: str


Fact = Known[T] | Unknown


def known(fact: Fact[T] | None) -> T | None:
    """The value of a fact; ``None`` where it is unknown or does not apply."""
    return fact.value if isinstance(fact, Known) else None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """A Region's health check and what its checkers say."""

    check: Check
    tally: Tally

    @property
    def healthy(self) -> bool | None:
        """What Route 53 makes of it; ``None`` where half of the reports or more are too old to count.

        A disabled check counts as healthy, and so does one without data; an inverted one is turned around.
        """
        if self.check.disabled or self.tally.reported == 0:
            return not self.check.inverted
        if not self.tally.known:
            return None
        return self.tally.healthy != self.check.inverted


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    """Where the record leads: ``region`` is empty for a name or an address that belongs to none."""

    target: str
    region: str
    ttl_s: int
    server: str
    addresses: frozenset[str] = frozenset()
    """All addresses of an alias, whose answers rotate; empty for a name."""

    def leads_elsewhere(self, other: RecordAnswer) -> bool:
        """Whether ``other`` is known to lead to another place: by Regions, or by addresses without any.

        An alias of a known Region and one of an unknown Region cannot be compared.
        """
        if self.region and other.region:
            return self.region != other.region
        if self.is_address and other.is_address:
            neither = not self.region and not other.region
            mine, others = self.addresses or {self.target}, other.addresses or {other.target}
            return neither and not mine & others
        return self.target != other.target

    @property
    def is_address(self) -> bool:
        """Whether the record is an alias, which answers with an address in place of a name."""
        return self.target.replace(".", "").isdigit()


@dataclass(frozen=True, slots=True)
class Published:
    """What a Region's SSM holds: the document, and the preferred host beside it."""

    document: Document
    endpoint: str

    @property
    def preferred(self) -> EndpointState:
        """Where readers of the document connect first."""
        return self.document.preferred

    def age_s(self, now: datetime) -> float:
        """How old the document is, never negative."""
        return max(0.0, (now - self.document.as_of).total_seconds())

    def stale(self, now: datetime) -> bool:
        """Whether readers take every endpoint as a candidate again."""
        return now > self.document.valid_until


@dataclass(frozen=True, slots=True)
class StackView:
    """A Region's stack as CloudFormation describes it; no secret is in it."""

    name: str
    status: str
    updated_at: datetime
    version: str
    """The version of the layer, or what the tag ``version`` says."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm and since when it is in its state: OK, ALARM or INSUFFICIENT_DATA."""

    name: str
    state: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Canary:
    """The write canary of a Region: commits that failed within the last ``minutes``."""

    failed: int
    minutes: int


@dataclass(frozen=True, slots=True)
class ForcedState:
    """A Region's row of the intents; ``forced`` is empty where nothing is forced or the drain has expired."""

    region: str
    forced: str
    reason: str
    actor: str
    until: datetime | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class ForcedChange:
    """One row of the audit: what an operator did to a Region."""

    at: datetime
    region: str
    forced: str
    reason: str
    actor: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ForcedStates:
    """What operators force, by the database; ``through`` is the Region that answered, ``at`` its clock."""

    at: datetime
    through: str
    states: tuple[ForcedState, ...]
    changes: tuple[ForcedChange, ...] = ()

    def of(self, region: str) -> ForcedState | None:
        """The row of ``region``; ``None`` where it has none."""
        return next((row for row in self.states if row.region == region), None)


@dataclass(frozen=True, slots=True)
class RegionSituation:
    """One Region."""

    region: str
    host: str
    check: Fact[CheckReport]
    document: Fact[Published]
    stack: Fact[StackView]
    alarms: Fact[tuple[Alarm, ...]]
    canary: Fact[Canary] | None
    """``None`` where the canary is off."""

    @property
    def healthy(self) -> bool | None:
        """Whether Route 53 finds it healthy; ``None`` where that is not known."""
        report = known(self.check)
        return None if report is None else report.healthy


@dataclass(frozen=True, slots=True)
class Situation:
    """One deployment at one moment."""

    service: str
    at: datetime
    regions: tuple[RegionSituation, ...]
    record_name: str
    authoritative: Fact[RecordAnswer] | None
    """``None`` without a record."""
    cached: Fact[RecordAnswer] | None
    """``None`` without a record, and in a lab, which has no resolver."""
    forced: Fact[ForcedStates]
    global_alarms: Fact[tuple[Alarm, ...]] | None = None
    """Alarms of global.yaml; ``None`` where no stack of it is configured."""
    timings: Timings | None = None
    """What predictions go by; ``None`` where no stack's parameters are known."""
    took_s: float = 0.0
    """How long reading it took."""
    where: str = ""
    """What a suggested command repeats so that it finds this deployment, such as ``--lab ready.json``."""

    def region(self, name: str) -> RegionSituation:
        """The Region called ``name``; raises ``KeyError`` for one that is not there."""
        for one in self.regions:
            if one.region == name:
                return one
        raise KeyError(name)

    def unknown(self) -> list[str]:
        """One sentence for each fact that could not be read, none twice."""
        facts: list[object] = [self.authoritative, self.cached, self.forced, self.global_alarms]
        for one in self.regions:
            facts += [one.check, one.document, one.stack, one.alarms, one.canary]
        return list(dict.fromkeys(fact.why for fact in facts if isinstance(fact, Unknown)))
