"""What `beacon doctor` examines: facts that are known, unknown with a reason, or absent by design. Pure.

The situation that `beacon status` reads is a part of them. No path token is in any fact: a token is kept as a
digest, its length and whether it is the example's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from beacon_cli.schema.state import DatabaseState
from beacon_cli.situation.model import Fact, Situation, StackView, Unknown, known

__all__ = [
    "Absent",
    "AlarmWiring",
    "ApiPolicy",
    "CheckConfig",
    "Cluster",
    "Drills",
    "Facts",
    "HealthCheckQuota",
    "LambdaFacts",
    "Record",
    "RegionFacts",
    "RoleLogin",
    "Schedule",
    "Store",
    "Token",
]

_PLACEHOLDER = "REPLACE_ME"


@dataclass(frozen=True, slots=True)
class Absent(Unknown):
    """A fact that cannot exist here, such as an alarm's in a lab: its check is skipped, with this reason."""


@dataclass(frozen=True, slots=True)
class Token:
    """A path token, without the token."""

    digest: str = field(repr=False)
    length: int
    is_placeholder: bool = False

    @classmethod
    def of(cls, text: str) -> Token:
        """What is kept of ``text``."""
        return cls(hashlib.sha256(text.encode()).hexdigest(), len(text), _PLACEHOLDER in text)


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """A Region's health check, as Route 53 describes it."""

    id: str
    region: str
    token: Token | None
    """The token in its path; ``None`` where the path is not that of Beacon."""
    kind: str = "HTTPS_STR_MATCH"
    disabled: bool = False
    inverted: bool = False
    sni: bool = True
    interval_s: int = 10
    threshold: int = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One record set of the deployment's name."""

    kind: str
    set_identifier: str
    target: str
    """What it leads to, without a last dot: the CNAME's value or the alias's name."""
    check_id: str = ""
    ttl_s: int | None = None
    """``None`` for an alias."""
    failover: str = ""
    region: str = ""
    weight: int | None = None
    is_alias: bool = False


@dataclass(frozen=True, slots=True)
class HealthCheckQuota:
    """How many health checks the account has and may have."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class ApiPolicy:
    """What the resource policy of a Region's API admits."""

    ranges: frozenset[str]
    """The address ranges of the checkers' statement."""
    token: Token | None
    """The token in its resource; ``None`` where there is none."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Region's DSQL cluster."""

    arn: str
    status: str
    linked: frozenset[str]
    """The ARNs of all linked clusters; it may hold the own one."""
    witness: str
    endpoint: str = ""
    protected: bool = True


@dataclass(frozen=True, slots=True)
class LambdaFacts:
    """The account's concurrency in a Region, and what is reserved for the two functions."""

    limit: int
    unreserved: int
    health_reserved: int
    """0 where none is reserved."""
    publisher_reserved: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The publisher's schedule."""

    enabled: bool
    expression: str


@dataclass(frozen=True, slots=True)
class AlarmWiring:
    """The alarms of a Region: their names and actions, and the topics that exist."""

    actions: Mapping[str, frozenset[str]]
    """The ARNs that each alarm notifies when it starts."""
    disabled: frozenset[str] = frozenset()
    """Alarms whose actions are off."""
    missing_topics: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Store:
    """A Region's Parameter Store: the clock in its answer, and the document's size."""

    skew_s: float
    """How far this machine's clock is ahead of AWS's; negative where it is behind."""
    document_bytes: int


@dataclass(frozen=True, slots=True)
class RoleLogin:
    """A database role that was tried in one Region."""

    region: str
    role: str
    why: str = ""
    """Why it could not log in or do its work; empty where it could do everything."""


@dataclass(frozen=True, slots=True)
class Drills:
    """The newest report of a drill in a folder."""

    at: datetime
    passed: bool
    path: str


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """What is known of one Region beside its part of the situation."""

    region: str
    file: Mapping[str, str]
    """The parameters of the file, without the token; empty in a lab."""
    file_token: Token | None
    template: Fact[str]
    """A digest of the deployed template, the same in every Region."""
    policy: Fact[ApiPolicy]
    cluster: Fact[Cluster]
    functions: Fact[LambdaFacts]
    schedule: Fact[Schedule]
    publisher_errors: Fact[int]
    """Failed runs of the publisher within the last 15 minutes."""
    wiring: Fact[AlarmWiring]
    store: Fact[Store]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the checks look at."""

    situation: Situation
    regions: tuple[RegionFacts, ...]
    configs: Fact[tuple[CheckConfig, ...]]
    """Every health check of the deployment: two of one Region are two."""
    records: Fact[tuple[Record, ...]]
    checker_ranges: Fact[frozenset[str]]
    quota: Fact[HealthCheckQuota]
    database: Fact[DatabaseState]
    logins: Fact[tuple[RoleLogin, ...]]
    drills: Fact[Drills]
    is_lab: bool = False

    @property
    def where(self) -> str:
        """What a suggested command repeats, with a space before it; empty where nothing is needed."""
        return f" {self.situation.where}" if self.situation.where else ""

    def stack(self, region: str) -> StackView | None:
        """The stack of ``region``, if it is known."""
        return known(self.situation.region(region).stack)

    def parameters(self, region: str) -> Mapping[str, str]:
        """The parameters of ``region``: the stack's, or the file's where the stack is not known."""
        stack = self.stack(region)
        own = next(one for one in self.regions if one.region == region)
        return stack.parameters if stack is not None else own.file
