"""A service that reads and writes at a steady rate through Beacon's client: endpoints, pool, transactions.

It runs as a process of its own (``python -m beacon_lab.scenarios.service``), with threads or asyncio, reads
its orders as one JSON object and reports one JSON line for each operation. An operation inserts a row that
holds its id into a table in which it could stand twice, after it has read; how it ended is one of

| end | what the client learned | rows that may be there |
| --- | --- | --- |
| acknowledged | committed | one |
| unknown | the COMMIT was not answered | none or one |
| failed | an error before any COMMIT | none |

At the end of its input it finishes what is under way and stops.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from beacon import (
    AsyncPool,
    CommitOutcomeUnknownError,
    DnsRecord,
    Endpoints,
    Pool,
    PoolPolicy,
    SsmDocument,
    StaticList,
    transact,
    transact_async,
)
from beacon.client.sources import Source

__all__ = ["QUERY_TIMEOUT_S", "ServiceOrders", "main"]

#: What a statement may take: a service that must not stand still for two seconds cannot wait for one.
QUERY_TIMEOUT_S = 0.6
_CHECK_TIMEOUT_S = 0.25
_READ = "SELECT count(*) FROM (SELECT 1 FROM lab.ledger LIMIT 10) AS few"
_WRITE = "INSERT INTO lab.ledger (operation, host) VALUES (%s, %s)"


@dataclass(frozen=True, slots=True)
class ServiceOrders:
    """What the service is to do: ``sources`` in order, each with a ``kind`` and its parameters."""

    style: str
    sources: Sequence[Mapping[str, Any]]
    dial: Mapping[str, tuple[str, int]]
    user: str
    ca_file: str
    per_s: float
    workers: int

    @classmethod
    def parse(cls, line: str) -> ServiceOrders:
        """Read the JSON object that the lab writes."""
        value = json.loads(line)
        return cls(**{**value, "dial": {host: (where[0], where[1]) for host, where in value["dial"].items()}})

    def endpoints(self) -> Endpoints:
        """Where the service looks."""
        return Endpoints(*map(_source, self.sources), dial=self.dial, refresh_s=2.0)

    @property
    def pool(self) -> dict[str, Any]:
        """The arguments of its pool."""
        return {
            "user": self.user,
            "ca_file": self.ca_file,
            "min_size": self.workers,
            "query_timeout_s": QUERY_TIMEOUT_S,
            "policy": PoolPolicy(check_timeout_s=_CHECK_TIMEOUT_S),
        }

    def moments(self, worker: int) -> Iterator[float]:
        """When one worker begins its operations, by the monotonic clock; what is missed is left out."""
        every_s = self.workers / self.per_s
        due = time.monotonic() + every_s * worker / self.workers
        while True:
            yield due
            due = max(due + every_s, time.monotonic())


def _source(spec: Mapping[str, Any]) -> Source:
    match spec:
        case {"kind": "ssm", "app": app, "env": env, "target": target, "region": region}:
            return SsmDocument(app, env, target=target, region=region)
        case {"kind": "dns", "record": record, "nameserver": nameserver, "port": port}:
            return DnsRecord(record, nameservers=[nameserver], port=port)
        case {"kind": "list", "hosts": hosts}:
            return StaticList(hosts)
    raise ValueError(f"no source of this kind: {spec}")


class _Report:
    """Writes one line for each operation; used by all workers."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def __call__(self, operation: str, began: float, error: Exception | None) -> None:
        end = "acknowledged" if error is None else "failed"
        if isinstance(error, CommitOutcomeUnknownError):
            end = "unknown"
        now = time.monotonic()
        line = {
            "id": operation,
            "end": end,
            "at": now,
            "ms": round((now - began) * 1000, 1),
            "problem": "" if error is None else type(error).__name__,
        }
        with self._lock:
            print(json.dumps(line), file=self._out, flush=True)


def _run_threads(orders: ServiceOrders, orders_in: TextIO, report: _Report) -> None:
    stop = threading.Event()

    def worker(number: int, pool: Pool) -> None:
        for due in orders.moments(number):
            if stop.wait(max(0.0, due - time.monotonic())):
                return
            operation, began = str(uuid.uuid4()), time.monotonic()

            def work(connection: Any, operation: str = operation) -> None:  # noqa: ANN401 - a Connection
                connection.execute(_READ).fetchone()
                connection.execute(_WRITE, (operation, connection.endpoint.host))

            try:
                transact(pool.connection, work)
            except Exception as error:  # noqa: BLE001 - any error is reported, and the other workers continue
                report(operation, began, error)
            else:
                report(operation, began, None)

    with orders.endpoints() as endpoints, Pool(endpoints, **orders.pool) as pool:
        pool.wait()
        threads = [
            threading.Thread(target=worker, args=(number, pool), name=f"worker-{number}")
            for number in range(orders.workers)
        ]
        for thread in threads:
            thread.start()
        orders_in.read()
        stop.set()
        for thread in threads:
            thread.join()


async def _run_asyncio(orders: ServiceOrders, orders_in: TextIO, report: _Report) -> None:
    stop = asyncio.Event()

    async def worker(number: int, pool: AsyncPool) -> None:
        for due in orders.moments(number):
            try:
                await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
            except TimeoutError:
                pass
            else:
                return
            operation, began = str(uuid.uuid4()), time.monotonic()

            async def work(connection: Any, operation: str = operation) -> None:  # noqa: ANN401 - as above
                await (await connection.execute(_READ)).fetchone()
                await connection.execute(_WRITE, (operation, connection.endpoint.host))

            try:
                await transact_async(pool.connection, work)
            except Exception as error:  # noqa: BLE001 - any error is reported, and the other workers continue
                report(operation, began, error)
            else:
                report(operation, began, None)

    with orders.endpoints() as endpoints:
        async with AsyncPool(endpoints, **orders.pool) as pool:
            await pool.wait()
            workers = [asyncio.create_task(worker(number, pool)) for number in range(orders.workers)]
            await asyncio.to_thread(orders_in.read)
            stop.set()
            await asyncio.gather(*workers)


def main(orders_in: TextIO = sys.stdin, out: TextIO = sys.stdout) -> None:
    """Run until the standard input ends."""
    # It says so of every connection that is replaced.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    orders = ServiceOrders.parse(orders_in.readline())
    if orders.style == "asyncio":
        asyncio.run(_run_asyncio(orders, orders_in, _Report(out)))
    else:
        _run_threads(orders, orders_in, _Report(out))


if __name__ == "__main__":
    main()
