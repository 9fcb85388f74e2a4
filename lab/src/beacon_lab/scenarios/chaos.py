"""Chaos: endpoints break and heal, Regions are drained and released, SSM goes down, all at random.

At any moment at most one endpoint is broken, so there is always one that works. Nothing else is spared: the
broken one may be the only one that is not drained. The services are processes that use Beacon's client
(:mod:`beacon_lab.scenarios.service`), each with its own sources. Their answers are compared with the table at
the end: nothing acknowledged may be lost, nothing may be there twice, nothing that failed may be
there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise

from beacon_lab.errors import LabError
from beacon_lab.faults import FaultKind
from beacon_lab.lab import Lab
from beacon_lab.processes.line_process import LineProcess
from beacon_lab.scenarios.service import ServiceOrders

__all__ = ["Account", "ChaosResult", "run_chaos"]

_ENDPOINT_FAULTS = (
    FaultKind.DSQL_FREEZE,
    FaultKind.DSQL_REFUSE,
    FaultKind.DSQL_RESET,
    FaultKind.DSQL_DENY,
    FaultKind.DSQL_HALFOPEN,
)
#: For how long something stays broken, and how much time passes between two events.
_BROKEN_S, _BETWEEN_S = (2.0, 10.0), (0.5, 3.0)
#: How long a service may take to finish what is under way.
_END_S = 30.0


@dataclass(slots=True)
class Account:
    """The answers that one service got, and what the table says of them."""

    ends: dict[str, str] = field(default_factory=dict)
    problems: Counter[str] = field(default_factory=Counter)
    acknowledged_at: list[float] = field(default_factory=list)
    #: The run, by the monotonic clock: a service that stops has a gap until its end.
    began: float | None = None
    ended: float | None = None
    slowest_ms: float = 0.0
    lost: int = 0
    twice: int = 0
    failed_but_there: int = 0
    unknown_and_there: int = 0

    def add(self, line: Mapping[str, object]) -> None:
        """Take in one line of the service."""
        self.ends[str(line["id"])] = str(line["end"])
        if line["problem"]:
            self.problems[str(line["problem"])] += 1
        if line["end"] == "acknowledged":
            self.acknowledged_at.append(float(str(line["at"])))
            self.slowest_ms = max(self.slowest_ms, float(str(line["ms"])))

    def settle(self, rows: Mapping[str, int]) -> None:
        """Compare the answers with the rows that are there, by operation."""
        for operation, end in self.ends.items():
            there = rows.get(operation, 0)
            self.lost += end == "acknowledged" and there == 0
            self.twice += there > 1
            self.failed_but_there += end == "failed" and there > 0
            self.unknown_and_there += end == "unknown" and there > 0

    def count(self, end: str) -> int:
        """How many operations ended so."""
        return sum(found == end for found in self.ends.values())

    @property
    def longest_gap_s(self) -> float:
        """The longest time without an acknowledgement, from the beginning of the run to its end."""
        marks = [mark for mark in (self.began, self.ended) if mark is not None]
        return max((later - earlier for earlier, later in pairwise(self._inside(marks))), default=0.0)

    @property
    def per_s(self) -> float:
        """Acknowledged operations a second of the run."""
        if self.began is None or self.ended is None:
            return 0.0
        return len(self._inside([])) / (self.ended - self.began)

    def _inside(self, marks: list[float]) -> list[float]:
        first, last = self.began or 0.0, self.ended or float("inf")
        return sorted([*marks, *(at for at in self.acknowledged_at if first <= at <= last)])

    def summary(self) -> dict[str, object]:
        """The figures, for a report."""
        return {
            "operations": len(self.ends),
            "acknowledged": self.count("acknowledged"),
            "failed": self.count("failed"),
            "unknown": self.count("unknown"),
            "unknown_and_there": self.unknown_and_there,
            "lost": self.lost,
            "twice": self.twice,
            "failed_but_there": self.failed_but_there,
            "longest_gap_s": round(self.longest_gap_s, 2),
            "per_s": round(self.per_s, 1),
            "slowest_ms": self.slowest_ms,
            "problems": dict(self.problems),
        }


@dataclass(frozen=True, slots=True)
class ChaosResult:
    """The account of each service, and how often each thing happened to them."""

    accounts: Mapping[str, Account]
    events: Mapping[str, int]


async def run_chaos(
    lab: Lab,
    services: Mapping[str, ServiceOrders],
    duration_s: float,
    seed: int,
    say: Callable[[str], None],
) -> ChaosResult:
    """Run ``services`` through ``duration_s`` of chaos; the accounts that are returned are settled."""
    await lab.operator.prepare_ledger()
    accounts = {name: Account() for name in services}
    async with contextlib.AsyncExitStack() as stack:
        for name, orders in services.items():
            environment = lab.consumer_environment() | {"AWS_ENDPOINT_URL": lab.cloud.front.endpoint_url}
            process = LineProcess(
                "beacon_lab.scenarios.service", asdict(orders), environment, accounts[name].add, _END_S
            )
            await stack.enter_async_context(process)
        await _until_working(accounts)
        dice = random.Random(seed)  # noqa: S311 - no secret hangs on it
        chaos = _Chaos(lab, dice, say)
        began = time.monotonic()
        await chaos.run(duration_s)
        for account in accounts.values():
            account.began, account.ended = began, time.monotonic()
    rows = await lab.operator.ledger()
    for account in accounts.values():
        account.settle(rows)
    return ChaosResult(accounts, dict(chaos.events))


async def _until_working(accounts: Mapping[str, Account], limit_s: float = 30.0) -> None:
    began = time.monotonic()
    while not all(account.acknowledged_at for account in accounts.values()):
        if time.monotonic() > began + limit_s:
            idle = [
                f"{name} ({', '.join(account.problems) or 'no report'})"
                for name, account in accounts.items()
                if not account.acknowledged_at
            ]
            raise LabError(f"no operation was acknowledged within {limit_s:.0f} s: {'; '.join(idle)}")
        await asyncio.sleep(0.05)


class _Chaos:
    """Breaks one endpoint at a time, drains and releases, takes SSM down; repairs everything at the end."""

    def __init__(self, lab: Lab, dice: random.Random, say: Callable[[str], None]) -> None:
        self._lab = lab
        self._dice = dice
        self._say = say
        self._broken: str | None = None
        self._heal_at = 0.0
        self._drained: set[str] = set()
        self.events: Counter[str] = Counter()

    async def run(self, duration_s: float) -> None:
        began = time.monotonic()
        try:
            while time.monotonic() < began + duration_s:
                await self._act()
                await asyncio.sleep(self._dice.uniform(*_BETWEEN_S))
        finally:
            if self._broken is not None:
                await self._lab.heal(self._broken)
            for region in sorted(self._drained):
                await self._lab.operator.release(region, through=region)
        # What was cut off comes to its end, and services see the world whole once more.
        await asyncio.sleep(2.0)

    async def _act(self) -> None:
        lab, dice = self._lab, self._dice
        regions = lab.settings.regions
        if self._broken is not None and time.monotonic() >= self._heal_at:
            self._note("heal", self._broken)
            await lab.heal(self._broken)
            self._broken = None
            return
        action = dice.choice(("break", "break", "break", "drain", "release", "ssm"))
        if action == "break" and self._broken is None:
            region, kind = dice.choice(regions), dice.choice(_ENDPOINT_FAULTS)
            self._note(kind, region)
            await lab.inject(region, kind)
            self._broken, self._heal_at = region, time.monotonic() + dice.uniform(*_BROKEN_S)
        elif action == "ssm" and self._broken is not None:
            # Healed with the rest of the Region.
            self._note(FaultKind.SSM_DOWN, self._broken)
            await lab.inject(self._broken, FaultKind.SSM_DOWN)
        elif action in {"drain", "release"}:
            await self._intend(action, dice.choice(regions))

    async def _intend(self, action: str, region: str) -> None:
        """Drain or release through an endpoint that works; the guard may refuse."""
        through = next(name for name in self._lab.settings.regions if name != self._broken)
        if action == "drain" and region not in self._drained:
            try:
                await self._lab.operator.drain(region, through=through)
            except LabError:
                return
            self._drained.add(region)
        elif action == "release" and region in self._drained:
            await self._lab.operator.release(region, through=through)
            self._drained.discard(region)
        else:
            return
        self._note(action, region)

    def _note(self, event: str, region: str) -> None:
        self.events[event] += 1
        self._say(f"{event} {region}")
