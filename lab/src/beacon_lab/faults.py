"""The faults that an operator of the lab can put into a Region, by the names the command line uses.

Some strike only a share of what they concern, and in one of several ways: that is a fault's extent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum, unique
from typing import Self

__all__ = ["WHOLE", "Extent", "FaultKind"]


@unique
class FaultKind(StrEnum):
    """One way in which a Region breaks; the value is what ``beacon-lab fault REGION KIND`` takes."""

    DSQL_REFUSE = "dsql-refuse"
    DSQL_FREEZE = "dsql-freeze"
    DSQL_SLOW = "dsql-slow"
    DSQL_RESET = "dsql-reset"
    DSQL_DENY = "dsql-deny"
    DSQL_HALFOPEN = "dsql-halfopen"
    DSQL_SILENT = "dsql-silent"
    DSQL_LOGIN = "dsql-login"
    DSQL_OVERLOAD = "dsql-overload"
    DSQL_FLAKY = "dsql-flaky"
    DSQL_COMMIT = "dsql-commit"
    DSQL_FAR = "dsql-far"
    GATEWAY_DOWN = "gateway-down"
    LAMBDA_ERROR = "lambda-error"
    SSM_DOWN = "ssm-down"
    REGION_DOWN = "region-down"

    @classmethod
    def named(cls, name: str) -> Self:
        """The fault that the command line calls ``name``; raise ``ValueError`` with those that there are."""
        try:
            return cls(name)
        except ValueError:
            raise ValueError(f"there is no fault {name!r}: choose one of {', '.join(cls)}") from None

    @property
    def is_dsql(self) -> bool:
        """Whether a DSQL front alone can carry the fault out."""
        return self.value.startswith("dsql-")

    @property
    def description(self) -> str:
        """What the fault does, as the command line's help says it."""
        return _DESCRIPTIONS[self]

    @property
    def ways(self) -> Mapping[str, str]:
        """The ways in which the fault strikes, the usual one first, and what each does; often none."""
        return _WAYS.get(self, {})

    @property
    def takes_share(self) -> bool:
        """Whether the fault can strike only a share of what it concerns."""
        return self in _SHARED


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a fault goes: the share that it strikes in per cent, its way, and the seed of the choice.

    An empty ``way`` is the kind's usual one. Without a ``seed`` each run strikes others.
    """

    share_pct: int = 100
    way: str = ""
    seed: int | None = None

    def of(self, kind: FaultKind) -> Self:
        """The extent with the way filled in. Raises ValueError for what ``kind`` does not have."""
        if not 1 <= self.share_pct <= 100:
            raise ValueError(f"a share is 1-100 %, not {self.share_pct}")
        if not kind.takes_share and (self.share_pct != 100 or self.seed is not None):
            raise ValueError(f"{kind} takes no share and no seed: {', '.join(sorted(_SHARED))} do")
        if self.way and self.way not in kind.ways:
            raise ValueError(f"{kind} has no way {self.way!r}: choose {', '.join(kind.ways) or 'none'}")
        return replace(self, way=self.way or next(iter(kind.ways), ""))

    def words(self, kind: FaultKind) -> str:
        """The fault as a status shows it: its kind, then what is not usual."""
        share = f" {self.share_pct} %" if self.share_pct != 100 else ""
        way = f" {self.way}" if self.way and self.way != next(iter(kind.ways), "") else ""
        return f"{kind.value}{share}{way}"


WHOLE = Extent()

_DESCRIPTIONS = {
    FaultKind.DSQL_REFUSE: "The database endpoint refuses connections; open ones are reset",
    FaultKind.DSQL_FREEZE: "The database endpoint accepts connections and is silent, on open ones too",
    FaultKind.DSQL_SLOW: "Each message from the database is late",
    FaultKind.DSQL_RESET: "Connections, open and new, are answered with RST",
    FaultKind.DSQL_DENY: "Logins are denied; open connections are terminated",
    FaultKind.DSQL_HALFOPEN: "Open connections swallow every byte until they end; new ones work",
    FaultKind.DSQL_SILENT: "Logins succeed, and no statement is answered, on open connections too",
    FaultKind.DSQL_LOGIN: "New logins fail; open connections answer, as in AWS FIS's experiment",
    FaultKind.DSQL_OVERLOAD: "New logins are over a connection limit; open connections answer",
    FaultKind.DSQL_FLAKY: "Statements fail; logins work",
    FaultKind.DSQL_COMMIT: "Commits of a write fail; reads work",
    FaultKind.DSQL_FAR: "Other Regions cannot reach the database endpoint; its own Region can",
    FaultKind.GATEWAY_DOWN: "The Region's API Gateway refuses connections",
    FaultKind.LAMBDA_ERROR: "Every invocation in the Region ends in a function error",
    FaultKind.SSM_DOWN: "Parameter Store of the Region answers with server errors",
    FaultKind.REGION_DOWN: "All of it at once",
}
_SHARED = frozenset(
    {FaultKind.DSQL_LOGIN, FaultKind.DSQL_OVERLOAD, FaultKind.DSQL_FLAKY, FaultKind.DSQL_COMMIT}
)
_WAYS: Mapping[FaultKind, Mapping[str, str]] = {
    FaultKind.DSQL_LOGIN: {
        "error": "a server error answers the login (XX000)",
        "reset": "RST answers the login",
        "denied": "the login is denied (28000)",
    },
    FaultKind.DSQL_OVERLOAD: {
        "rate": "the rate of new connections is exceeded (53400)",
        "connections": "too many connections are open (53300)",
    },
    FaultKind.DSQL_FLAKY: {
        "error": "a server error answers the statement (XX000)",
        "hang": "the statement is never answered",
    },
    FaultKind.DSQL_COMMIT: {
        "error": "a server error answers the COMMIT (XX000), and the transaction is rolled back",
        "hang": "the COMMIT is never answered, and the transaction is rolled back",
    },
    FaultKind.DSQL_FAR: {
        "silent": "connections are accepted and swallow every byte",
        "refuse": "connections are refused; open ones are reset",
    },
}
