"""The demo's consumer as a child process: its orders, and the tally of what it says."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

from beacon_lab.dsql.cluster import OPERATOR_ROLE
from beacon_lab.lab import Lab
from beacon_lab.processes.line_process import LineProcess
from beacon_lab.scenarios.consumer import ATTEMPT_S, ConsumerOrders

__all__ = ["ConsumerProcess", "ConsumerTally"]


@dataclass(slots=True)
class ConsumerTally:
    """What a consumer met: ``acknowledged`` holds the ids of the rows whose commit was answered."""

    attempts: int = 0
    failed: int = 0
    longest_gap_s: float = 0.0
    acknowledged: set[str] = field(default_factory=set)
    problems: dict[str, int] = field(default_factory=dict)
    _last_good: float | None = None

    def add(self, attempt: dict[str, object], now: float) -> None:
        """Count one line of the consumer, read at monotonic ``now``."""
        self.attempts += 1
        if self._last_good is None:
            self._last_good = now  # before its first line no commit was awaited
        if attempt["acknowledged"]:
            self.acknowledged.add(str(attempt["id"]))
            self.end(now)
            self._last_good = now
        else:
            self.failed += 1
            problem = str(attempt["problem"])
            self.problems[problem] = self.problems.get(problem, 0) + 1

    def end(self, now: float) -> None:
        """Count the time since the last commit as a gap, also when no other commit ended it."""
        if self._last_good is not None:
            self.longest_gap_s = max(self.longest_gap_s, now - self._last_good)

    def summary(self) -> dict[str, object]:
        """The figures, for a report."""
        return {
            "attempts": self.attempts,
            "failed": self.failed,
            "acknowledged": len(self.acknowledged),
            "longest_gap_s": round(self.longest_gap_s, 2),
            "problems": self.problems,
        }


class ConsumerProcess(LineProcess):
    """Runs :mod:`beacon_lab.scenarios.consumer` against a lab; use as an asynchronous context manager."""

    def __init__(self, lab: Lab, every_s: float = 0.2) -> None:
        self.tally = ConsumerTally()
        super().__init__(
            "beacon_lab.scenarios.consumer",
            asdict(_orders(lab, every_s)),
            lab.consumer_environment(),
            lambda line: self.tally.add(line, time.monotonic()),
            ATTEMPT_S + 3,
        )

    async def tallied(self) -> ConsumerTally:
        """Let the running attempt end, stop the process, return the tally; a second call is harmless."""
        await self.finish()
        self.tally.end(time.monotonic())
        return self.tally


def _orders(lab: Lab, every_s: float) -> ConsumerOrders:
    """What a consumer of this lab has to know."""
    fronts, dns = lab.cluster.fronts, lab.data_plane.dns
    return ConsumerOrders(
        name=lab.settings.record_name,
        dns_host=dns.address,
        dns_port=dns.by_region[lab.settings.regions[0]],
        user=OPERATOR_ROLE,
        ca_file=str(lab.cluster.authority.ca_file),
        ports={front.host: front.port for front in fronts.values()},
        regions={front.host: region for region, front in fronts.items()},
        every_s=every_s,
    )
