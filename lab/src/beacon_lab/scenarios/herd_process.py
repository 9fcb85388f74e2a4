"""One member of a herd: a process with a pool that is always full, and a little work to show that it serves.

It runs as ``python -m beacon_lab.scenarios.herd_process``, and reads its orders as one JSON object. Each
second it reports in one JSON line what was served and what failed. It stops at the end of its input.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

import psycopg

from beacon import Endpoints, Pool, StaticList

__all__ = ["HerdOrders", "main"]

#: What a statement may take; a request waits no longer than that for a connection either.
_QUERY_TIMEOUT_S = 2.0
_REPORT_S = 1.0


@dataclass(frozen=True, slots=True)
class HerdOrders:
    """``hosts`` in the order of preference, the pool's ``size``, and how many reads a second it serves."""

    hosts: Sequence[str]
    dial: Mapping[str, tuple[str, int]]
    user: str
    ca_file: str
    size: int
    per_s: float

    @classmethod
    def parse(cls, line: str) -> HerdOrders:
        """Read the JSON object that the lab writes."""
        value = json.loads(line)
        return cls(**{**value, "dial": {host: (where[0], where[1]) for host, where in value["dial"].items()}})


class _Counts:
    """What was served and what failed since the last report."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._served = self._failed = 0
        self._due = time.monotonic() + _REPORT_S

    def add(self, *, served: bool) -> None:
        self._served += served
        self._failed += not served

    def report(self) -> None:
        """Write a line when it is time for one."""
        if time.monotonic() >= self._due:
            line = {"served": self._served, "failed": self._failed}
            print(json.dumps(line), file=self._out, flush=True)
            self._served = self._failed = 0
            self._due += _REPORT_S


def main(orders_in: TextIO = sys.stdin, out: TextIO = sys.stdout) -> None:
    """Run until the standard input ends."""
    # It says so of every connection that is replaced.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    orders = HerdOrders.parse(orders_in.readline())
    over = threading.Event()

    def await_the_end() -> None:
        orders_in.read()
        over.set()

    threading.Thread(target=await_the_end, name="end", daemon=True).start()
    counts = _Counts(out)
    with (
        Endpoints(StaticList(orders.hosts), dial=orders.dial) as endpoints,
        Pool(
            endpoints,
            user=orders.user,
            ca_file=orders.ca_file,
            min_size=orders.size,
            timeout_s=_QUERY_TIMEOUT_S,
            query_timeout_s=_QUERY_TIMEOUT_S,
        ) as pool,
    ):
        due = time.monotonic()
        while not over.wait(max(0.0, due - time.monotonic())):
            # What was missed is left out.
            due = max(due + 1.0 / orders.per_s, time.monotonic())
            try:
                with pool.connection() as connection:
                    connection.execute("SELECT 1").fetchone()
            except psycopg.Error:
                counts.add(served=False)
            else:
                counts.add(served=True)
            counts.report()


if __name__ == "__main__":
    main()
