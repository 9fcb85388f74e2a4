"""The demo's consumer as a child process: its orders, and the tally of what it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Self

from beacon_lab.consumer import ATTEMPT_S
from beacon_lab.lab import Lab

__all__ = ["ConsumerProcess", "Tally"]


@dataclass(slots=True)
class Tally:
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
            self._last_good = now  # before its first line nobody waited for a commit
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


class ConsumerProcess:
    """Runs :mod:`beacon_lab.consumer` against a lab; use as an asynchronous context manager."""

    def __init__(self, lab: Lab, every_s: float = 0.2) -> None:
        self.tally = Tally()
        self._orders = lab.consumer_orders(every_s)
        self._environment = lab.consumer_environment()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        # Its end does not depend on the lab's watcher: it stops when its standard input closes.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "beacon_lab.consumer",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath, **self._environment},
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.write(json.dumps(asdict(self._orders)).encode() + b"\n")
        await self._process.stdin.drain()
        self._reader = asyncio.create_task(self._read(self._process))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.finish()

    async def finish(self) -> Tally:
        """Let the running attempt end, stop the process, return the tally; a second call is harmless."""
        process, self._process = self._process, None
        if process is None:
            return self.tally
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), ATTEMPT_S + 3)
        if process.returncode is None:
            process.kill()
            await process.wait()
        if self._reader is not None:
            await self._reader
        self.tally.end(time.monotonic())
        return self.tally

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        async for line in process.stdout:
            self.tally.add(json.loads(line), time.monotonic())
