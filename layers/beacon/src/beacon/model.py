"""What the domain talks about: endpoints, observations, intents, states, documents, changes, the policy.

Pure: frozen values that validate themselves; no I/O and no clock. All instants are timezone-aware UTC,
all durations carry their unit in the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from beacon.outcome import ProbeOutcome, Reason

__all__ = [
    "MAX_LATENCY_MS",
    "Change",
    "Document",
    "Effective",
    "Endpoint",
    "EndpointState",
    "Forced",
    "Intent",
    "Observation",
    "Observed",
    "Policy",
    "ProbeReport",
]


#: The most that a document says of a latency; a probe that was stopped half-way measures hours.
MAX_LATENCY_MS = 60_000.0


class Observed(Enum):
    """An endpoint's state after hysteresis; ``UNKNOWN`` until the first usable observation."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class Forced(Enum):
    """What an operator demands of a Region, whatever is observed."""

    DRAIN = "drain"


class Effective(Enum):
    """What routing uses: ``IN`` is a candidate, ``OUT`` is not."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A target's address in one Region.

    ``dial`` is an optional ``(address, port)`` to connect to instead of resolving ``host``; TLS, SNI and the
    token still use ``host`` (compare ``curl --connect-to``).
    """

    region: str
    host: str
    port: int = 5432
    dial: tuple[str, int] | None = None

    @property
    def dial_port(self) -> int:
        """The port to connect to: that of ``dial``, if there is one."""
        return self.port if self.dial is None else self.dial[1]


@dataclass(frozen=True, slots=True)
class Intent:
    """An operator's forced state for one Region as the database holds it, expiry already judged there.

    ``remaining_s`` is what was left of it when it was read, by the database's clock; ``None`` is until
    released.
    """

    region: str
    forced: Forced
    reason: str = ""
    actor: str = ""
    remaining_s: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a probe saw: an outcome, a reason code and, for a pass, its latency and perhaps a warning."""

    outcome: ProbeOutcome
    reason: Reason
    latency_ms: float | None = None
    warning: Reason | None = None
    sqlstate: str | None = None
    reconnected: bool = False

    def __post_init__(self) -> None:
        if self.latency_ms is not None and self.latency_ms < 0:
            raise ValueError("latency_ms must not be negative")


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """An observation and the intents that the same statement returned.

    ``intents`` maps a Region to its valid intent; ``None`` means that they could not be read, which is not
    the same as an empty mapping (read, and no operator forces anything).
    """

    observation: Observation
    intents: Mapping[str, Intent] | None = None


@dataclass(frozen=True, slots=True)
class EndpointState:
    """One endpoint's row in a document.

    ``reason`` is a code: a :class:`~beacon.outcome.Reason`, or one that a later version has written.
    ``streak`` counts the latest consecutive observations that contradict ``observed``; ``since`` is when the
    effective state last changed, ``observed_since`` when the observed state did (``None``: there was never
    any data); ``latency_ms`` is smoothed; ``forced_until`` is when the forced state ends by itself (``None``:
    not before it is released).
    """

    region: str
    host: str
    port: int
    observed: Observed
    forced: Forced | None
    effective: Effective
    reason: str
    since: datetime
    latency_ms: float | None = None
    streak: int = 0
    observed_since: datetime | None = None
    forced_until: datetime | None = None

    def __post_init__(self) -> None:
        if self.forced_until is None:
            return
        if self.forced is None:
            raise ValueError("forced_until belongs to a forced state")
        if self.forced_until.utcoffset() != timedelta(0):
            raise ValueError("forced_until must be an instant in UTC")

    @property
    def wants_out(self) -> bool:
        """Whether the endpoint should be out: an operator drains its Region, or it is observed down."""
        return self.forced is Forced.DRAIN or self.observed is Observed.DOWN


@dataclass(frozen=True, slots=True)
class Document:
    """What one Region's publisher says of one target: every endpoint, best first.

    ``counted_at`` is the last round whose passes counted towards a return (:mod:`beacon.publisher.decide`).
    """

    service: str
    target: str
    observer: str
    epoch: int
    as_of: datetime
    valid_until: datetime
    endpoints: tuple[EndpointState, ...]
    frozen: bool = False
    note: str = ""
    counted_at: datetime | None = None
    schema: int = field(default=1)

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError("a document names at least one endpoint")
        regions = [state.region for state in self.endpoints]
        if len(set(regions)) != len(regions):
            raise ValueError("a document names each Region once")
        if all(state.effective is Effective.OUT for state in self.endpoints):
            raise ValueError("a document leaves at least one endpoint in")
        for name, instant in (("as_of", self.as_of), ("valid_until", self.valid_until)):
            if instant.utcoffset() != timedelta(0):
                raise ValueError(f"{name} must be an instant in UTC")

    @property
    def preferred(self) -> EndpointState:
        """The first endpoint that is in."""
        return next(state for state in self.endpoints if state.effective is Effective.IN)

    def state_of(self, region: str) -> EndpointState | None:
        """The row of ``region``, or ``None`` when the document does not name it."""
        return next((state for state in self.endpoints if state.region == region), None)


@dataclass(frozen=True, slots=True)
class Change:
    """One endpoint's step from ``before`` to ``after`` with a reason that a person understands."""

    region: str
    before: EndpointState | None
    after: EndpointState
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How the decision judges: counts of consecutive observations, and how endpoints are ranked.

    ``rise_apart_s`` is the least time between passes that count towards ``rise``: below the shortest
    schedule, so that each of its rounds counts, and far above the rounds of a burst of events.
    ``failback_hold_s`` is how long a recovered endpoint is in before it may be preferred again; between one
    and two ticks of the usual schedule, so that it is always two, whatever a tick is late.
    """

    fall: int = 5
    rise: int = 2
    rise_apart_s: float = 5.0
    failback_hold_s: float = 90.0
    ranking: str = "latency"
    rank_margin: float = 0.30
    smoothing: float = 0.3

    def __post_init__(self) -> None:
        problems = []
        if not 1 <= self.fall <= 20:
            problems.append(f"fall must be 1-20, not {self.fall}")
        if not 1 <= self.rise <= 20:
            problems.append(f"rise must be 1-20, not {self.rise}")
        if not 0 <= self.rise_apart_s <= 10:
            problems.append(f"rise_apart_s must be 0-10, not {self.rise_apart_s}")
        if not 0 <= self.failback_hold_s <= 3600:
            problems.append(f"failback_hold_s must be 0-3600, not {self.failback_hold_s}")
        if self.ranking not in {"latency", "priority"}:
            problems.append(f"ranking must be latency or priority, not {self.ranking!r}")
        if not 0 <= self.rank_margin <= 0.9:
            problems.append(f"rank margin must be 0-0.9, not {self.rank_margin}")
        if not 0 < self.smoothing <= 1:
            problems.append(f"smoothing must be above 0 and at most 1, not {self.smoothing}")
        if problems:
            raise ValueError("; ".join(problems))
