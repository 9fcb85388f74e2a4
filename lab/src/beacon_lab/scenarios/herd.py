"""A herd: many processes with full pools lose a Region at once and reconnect to the survivor.

The survivor must stay in DNS and in every Region's document all the while, however many of the herd's logins
its connection limit refuses: overload is not "down". What is watched is read where clients would read it: the
checkers, the DNS server and Parameter Store.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import dns.asyncquery
import dns.message
import dns.rdatatype

from beacon_lab.dsql.cluster import OPERATOR_ROLE
from beacon_lab.dsql.connect_limit import BURST, RATE_PER_S
from beacon_lab.errors import LabError
from beacon_lab.faults import FaultKind
from beacon_lab.lab import Lab
from beacon_lab.processes.line_process import LineProcess
from beacon_lab.scenarios.herd_process import HerdOrders

__all__ = ["Herd", "HerdWatch", "run_herd"]

#: How long the herd may take to fill its pools: starting fifty interpreters on two cores takes a while.
_FILL_S = 240.0
_END_S = 30.0
#: For how long the herd's usual work is counted before the fault.
_CALM_S = 5.0
_LOOK_S = 0.25
#: Open files of the lab for one connection (client, distance there and back, PostgreSQL), and for the rest.
_FILES_EACH, _OTHER_FILES = 4, 1000
_READ_EVERY_S = 1.0
#: What counts as full before the fault and as moved after it: a pool gives a connection that fails for ten
#: seconds up until it is needed.
_FULL_SHARE, _MOVED_SHARE = 0.95, 0.9


@dataclass(frozen=True, slots=True)
class Herd:
    """How large the herd is, and how long the survivor is watched after the fault at the least."""

    processes: int
    pool_size: int
    per_s: float
    watch_s: float
    #: By when its connections must be at the survivor.
    move_within_s: float
    #: The survivor's limit on connections.
    rate_per_s: float = RATE_PER_S
    burst: int = BURST
    fault: FaultKind = FaultKind.DSQL_REFUSE

    @property
    def connections(self) -> int:
        """How many connections the herd holds."""
        return self.processes * self.pool_size


@dataclass(slots=True)
class HerdWatch:
    """What was seen from the fault on; the survivor has left nothing as long as all lists are empty."""

    looks: int = 0
    reads: int = 0
    #: Seconds after the fault, and what was seen then.
    unhealthy: list[float] = field(default_factory=list)
    not_in_dns: list[tuple[float, str]] = field(default_factory=list)
    not_in_document: list[tuple[float, str]] = field(default_factory=list)
    #: The checkers' failed polls of the survivor, by what they met.
    failed_polls: Counter[str] = field(default_factory=Counter)
    #: When DNS named the survivor, and when nine tenths of the herd's connections led there.
    dns_after_s: float | None = None
    moved_after_s: float | None = None
    #: The herd's connections to the survivor at the end, and its logins there.
    connections: int = 0
    admitted: int = 0
    refused: int = 0
    most_logins_per_s: int = 0
    #: Reads of the whole herd a second before the fault, and in each second from it on.
    usual_per_s: float = 0.0
    served: Counter[int] = field(default_factory=Counter)
    failed: Counter[int] = field(default_factory=Counter)

    @property
    def goodput_back_s(self) -> int:
        """The first second from which on at least 80 % of the usual reads are served in every two seconds.

        In two, because a report that comes a moment late counts for the second after. The last two whole
        seconds of the watch are left out: their reports may come after its end.
        """
        seconds = range(max(self.served, default=0) - 1)
        bad = [
            second
            for second in seconds
            if self.served[second] + self.served[second + 1] < 2 * 0.8 * self.usual_per_s
        ]
        return max(bad) + 1 if bad else 0


async def run_herd(lab: Lab, herd: Herd, say: Callable[[str], None]) -> HerdWatch:
    """Fill the herd's pools at the first Region, break that, and watch the second. Raises LabError."""
    _require_descriptors(herd)
    gone, survivor = lab.settings.regions[:2]
    fronts = lab.cluster.fronts
    watch = HerdWatch()
    watcher = _Watcher(lab, survivor, watch)
    there, here = fronts[gone].connect_limit, fronts[survivor].connect_limit
    before = there.open
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(watcher.reading())
        orders, environment = asdict(_orders(lab, herd)), lab.consumer_environment()
        members = [
            LineProcess("beacon_lab.scenarios.herd_process", orders, environment, watcher.count, _END_S)
            for _ in range(herd.processes)
        ]
        for member in members:
            await stack.enter_async_context(member)
        began = time.monotonic()
        while there.open - before < _FULL_SHARE * herd.connections:
            if time.monotonic() > began + _FILL_S:
                raise LabError(f"the herd has only {there.open - before} connections")
            await asyncio.sleep(_LOOK_S)
        watcher.calm = 0
        say(f"{there.open - before} connections to {gone} after {time.monotonic() - began:.0f} s")
        await asyncio.sleep(_CALM_S)
        watch.usual_per_s = watcher.calm / _CALM_S
        probes = here.open
        here.refit(rate_per_s=herd.rate_per_s, burst=herd.burst)
        watcher.begin()
        await lab.inject(gone, herd.fault)
        while not watcher.is_over(herd):
            await watcher.look()
            watch.connections = here.open - probes
            if watch.moved_after_s is None and watch.connections >= _MOVED_SHARE * herd.connections:
                watch.moved_after_s = watcher.passed_s
                say(f"{watch.connections} of them at {survivor} after {watch.moved_after_s:.1f} s")
        # The members end now: what they report while they close their pools is not goodput that was lost.
        watcher.end()
        # All at once: each takes a moment to close its pool.
        await asyncio.gather(*(member.finish() for member in members))
        watch.admitted, watch.refused, watch.most_logins_per_s = here.admitted, here.refused, here.most_per_s
    return watch


def _require_descriptors(herd: Herd) -> None:
    """Raise this process's limit of open files to what the herd needs; LabError if the system forbids it."""
    needed = _FILES_EACH * herd.connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LabError(
            f"a herd of {herd.connections} connections needs {needed} open files: see `ulimit -Hn`"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _orders(lab: Lab, herd: Herd) -> HerdOrders:
    return HerdOrders(
        hosts=[front.host for front in lab.cluster.fronts.values()],
        dial=lab.cluster.dials_from(lab.settings.regions[0]),
        user=OPERATOR_ROLE,
        ca_file=str(lab.cluster.authority.ca_file),
        size=herd.pool_size,
        per_s=herd.per_s,
    )


class _Watcher:
    """Looks at the survivor as clients would, and counts what the herd reports."""

    def __init__(self, lab: Lab, survivor: str, watch: HerdWatch) -> None:
        self._lab = lab
        self._region = survivor
        self._host = lab.cluster.fronts[survivor].host
        self._watch = watch
        self._began = math.inf
        self._ended = False
        #: How many reads the herd was served since this was set to 0, before the fault.
        self.calm = 0
        self._read_at = 0.0
        self._clients: dict[str, Any] = {}
        self._polls: set[tuple[str, object]] = set()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Have a client for each Region's Parameter Store."""
        with contextlib.ExitStack() as stack:
            for region in self._lab.regions:
                client = self._lab.cloud.client("ssm", region)
                self._clients[region] = stack.enter_context(contextlib.closing(client))
            yield

    @property
    def passed_s(self) -> float:
        """Seconds since the fault; below 0 before it."""
        return time.monotonic() - self._began

    def begin(self) -> None:
        """The fault comes now; what the checkers met before does not count."""
        self._began = time.monotonic()
        self._note_failed_polls()
        self._watch.failed_polls.clear()

    def end(self) -> None:
        """Count no further report."""
        self._ended = True

    def count(self, line: dict[str, object]) -> None:
        """Take in a second of one member of the herd."""
        if self._ended:
            return
        if time.monotonic() < self._began:
            self.calm += int(str(line["served"]))
        else:
            second = int(self.passed_s)
            self._watch.served[second] += int(str(line["served"]))
            self._watch.failed[second] += int(str(line["failed"]))

    def is_over(self, herd: Herd) -> bool:
        """Whether the herd has moved and enough was seen, or its time is up."""
        moved_s = self._watch.moved_after_s
        return self.passed_s > (herd.move_within_s if moved_s is None else max(herd.watch_s, moved_s + 2.0))

    async def look(self) -> None:
        """Look at the checkers and at DNS, and now and then at the documents."""
        watch = self._watch
        watch.looks += 1
        if self._lab.health_of(self._region) != "healthy":
            watch.unhealthy.append(round(self.passed_s, 2))
        self._note_failed_polls()
        answer = await self._answer_of_dns()
        if answer == self._host:
            if watch.dns_after_s is None:
                watch.dns_after_s = self.passed_s
        elif watch.dns_after_s is not None:
            watch.not_in_dns.append((round(self.passed_s, 2), answer))
        if self.passed_s - self._read_at >= _READ_EVERY_S:
            self._read_at = self.passed_s
            for region in self._clients:
                await self._read(region)
        await asyncio.sleep(_LOOK_S)

    def _note_failed_polls(self) -> None:
        check = self._lab.regions[self._region].stack.health_check
        for failure in self._lab.data_plane.checkers.last_failures(check.id):
            poll = (failure.checker_address, failure.checked_at)
            if poll not in self._polls:
                self._polls.add(poll)
                self._watch.failed_polls[failure.status] += 1

    async def _answer_of_dns(self) -> str:
        server = self._lab.data_plane.dns
        query = dns.message.make_query(self._lab.settings.record_name, dns.rdatatype.CNAME)
        answer = await dns.asyncquery.udp(query, server.address, port=server.port, timeout=5)
        return str(answer.answer[0][0].to_text(omit_final_dot=True))

    async def _read(self, region: str) -> None:
        name = self._lab.settings.document_parameter
        found = await asyncio.to_thread(self._clients[region].get_parameter, Name=name)
        document = json.loads(found["Parameter"]["Value"])
        row = next(row for row in document["endpoints"] if row["host"] == self._host)
        self._watch.reads += 1
        if (row["observed"], row["effective"]) != ("up", "in"):
            what = f"{region}: {row['observed']}, {row['effective']}"
            self._watch.not_in_document.append((round(self.passed_s, 2), what))
