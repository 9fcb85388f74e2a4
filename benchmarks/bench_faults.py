"""The largest time in which `/health` answers under each fault, fifty times each, without the edge trigger.

It runs the handler's own code, with the deadline as deployed, against a front of the lab. The goal is the
deadline plus 50 ms. If the handler recognizes a fault at once, the figure shows how soon.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from one_region import trusted
from results import Result

from beacon.aws.sigv4 import Credentials
from beacon.dsql.probe import DsqlProbe, Probe, ProbeContext
from beacon.dsql.resolver import Resolver
from beacon.health.check import HealthCheck
from beacon.settings import Settings
from beacon_lab.dsql.bootstrap import DatabaseSetup, prepare
from beacon_lab.dsql.cluster import Cluster
from beacon_lab.dsql.principals import DbAction, Principal
from beacon_lab.faults import FaultKind
from beacon_lab.network.pki import Authority
from beacon_lab.processes.children import Processes

REGION = "us-east-1"
DB_USER = "beacon_probe"
T = TypeVar("T")
DEADLINE_S, GOAL_OVER_S = 1.0, 0.05
GET = {"httpMethod": "GET", "path": "/token/health", "requestContext": {"stage": "live"}}
SQL = Path(__file__).parents[1] / "sql"


def run(say: Callable[[str], None]) -> list[Result]:
    """A figure for each fault, and how far the worst of all answers was beyond the deadline."""
    repetitions = int(os.environ.get("REPETITIONS", "50"))
    results = []
    worst_s = 0.0
    with _rig() as rig:
        for fault in FAULTS:
            times = [_measure(rig, fault) for _ in range(repetitions)]
            worst_s = max(worst_s, *times)
            result = Result(
                f"health.fault_{fault.name}_max_ms",
                round(max(times) * 1000, 1),
                "ms",
                repetitions,
                (DEADLINE_S + GOAL_OVER_S) * 1000,
                {"least": round(min(times) * 1000, 1), "verdict": fault.verdict},
            )
            say(f"{fault.name}: at most {result.value:g} ms, {fault.verdict}")
            results.append(result)
    over = Result(
        "health.fault_max_over_deadline_s",
        round(worst_s - DEADLINE_S, 4),
        "s",
        repetitions * len(FAULTS),
        GOAL_OVER_S,
        {"deadline_s": DEADLINE_S, "faults": len(FAULTS)},
    )
    return [*results, over]


class Rig:
    """A front of PostgreSQL in its own thread, and sandboxes that probe it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, cluster: Cluster, signer: Principal) -> None:
        self._loop = loop
        self._cluster = cluster
        self._signer = signer
        # As many authorities as in Lambda: every connection parses them all.
        self._ca_file, _ = trusted(cluster.authority.ca_file)
        self._owner = cluster.postgres._connect()  # noqa: SLF001 - the owner can kill backends and take locks
        self._over = threading.Event()
        self.front = cluster.fronts[REGION]

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the front's loop."""
        return _wait(self._loop, work)

    def call(self, act: Callable[[], object]) -> None:
        """Run a function in the front's thread."""

        async def work() -> None:
            act()

        self.wait(work())

    def sql(self, statement: str) -> None:
        """Run a statement as PostgreSQL's owner."""
        self._owner.execute(statement.encode())

    def close(self) -> None:
        """Close the owner's connection, and end look-ups that stall."""
        self._over.set()
        self._owner.close()

    def mend(self) -> None:
        """Undo the effects of a fault."""
        self.sql("ROLLBACK")
        self.sql("UPDATE beacon.intent SET forced = NULL, until = NULL")
        self.wait(self.front.heal())

    def present(self, *names: str) -> None:
        """Show a certificate for other names."""
        other = self._cluster.authority.issue("other", dns=names)
        self.call(lambda: self.front.present(other))

    def sandbox(self, lookup: Callable[[str], list[str]] | None = None) -> HealthCheck:
        """A new sandbox of the health function."""
        front = self.front
        environment = {
            "BEACON_APP": "shop",
            "BEACON_ENV": "bench",
            "AWS_REGION": REGION,
            "BEACON_ENDPOINTS": f"{REGION}={front.host}:{front.port}",
            "BEACON_DB_USER": DB_USER,
            "BEACON_CA_FILE": self._ca_file,
            "BEACON_PROBE_DEADLINE_MS": str(int(DEADLINE_S * 1000)),
        }
        if lookup is None:
            environment["BEACON_DIAL"] = f"{front.host}={front.address}:{front.port}"
        signer = self._signer
        credentials = Credentials(signer.access_key_id, signer.secret_access_key, signer.session_token)

        def make_probe(settings: Settings) -> Probe:
            resolver = Resolver() if lookup is None else Resolver(lookup)
            context = ProbeContext(settings, resolver, lambda: credentials)
            return DsqlProbe(settings.own_endpoint, context, settings.region)

        return HealthCheck(environment, make_probe=make_probe)

    def warm(self) -> HealthCheck:
        """A sandbox whose connection is open."""
        check = self.sandbox()
        if _ask(check)[1] != "200 ok":
            raise RuntimeError("the healthy front does not pass")
        return check

    def stalled(self, _host: str) -> list[str]:
        """A name service that takes six seconds."""
        self._over.wait(6.0)
        raise OSError("no answer")


@contextlib.contextmanager
def _rig() -> Iterator[Rig]:
    with _loop() as loop, tempfile.TemporaryDirectory(prefix="beacon-", dir="/tmp") as made:
        directory, processes = Path(made), Processes()
        directory.chmod(0o755)  # PostgreSQL may run as another user
        stops = [processes.close]
        try:
            _wait(loop, processes.start())
            cluster = _wait(loop, _start(directory, processes))
            stops.insert(0, cluster.stop)
            rig = Rig(loop, cluster, _wait(loop, _prepare(cluster)))
            try:
                yield rig
            finally:
                rig.close()
        finally:
            for stop in stops:
                _wait(loop, stop())


@contextlib.contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="front")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _wait(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, loop).result(60)


async def _start(directory: Path, processes: Processes) -> Cluster:
    return await Cluster.start(directory, [REGION], processes, Authority.create(directory / "ca"))


async def _prepare(cluster: Cluster) -> Principal:
    signer = cluster.add_principal("bench-health", frozenset({DbAction.CONNECT}), session=True)
    await prepare(
        cluster.fronts[REGION],
        ca_file=cluster.authority.ca_file,
        admin=cluster.operator,
        folder=SQL,
        setup=DatabaseSetup(
            service="shop-bench",
            regions=[REGION],
            login_role=DB_USER,
            login_arns=[signer.arn],
            operator_role="bench_operator",
            operator_arns=[cluster.operator.arn],
        ),
    )
    return signer


@dataclass(frozen=True, slots=True)
class Fault:
    """How a fault is made, and the verdict that it must lead to (a wrong answer would be no figure)."""

    name: str
    arrange: Callable[[Rig], HealthCheck]
    verdict: str


def _new(breaks: Callable[[Rig], object]) -> Callable[[Rig], HealthCheck]:
    def arrange(rig: Rig) -> HealthCheck:
        breaks(rig)
        return rig.sandbox()

    return arrange


def _open(breaks: Callable[[Rig], object]) -> Callable[[Rig], HealthCheck]:
    def arrange(rig: Rig) -> HealthCheck:
        check = rig.warm()
        breaks(rig)
        return check

    return arrange


def _inject(kind: FaultKind, **options: Any) -> Callable[[Rig], object]:  # noqa: ANN401 - those of `inject`
    return lambda rig: rig.wait(rig.front.inject(kind, **options))


def _lock(rig: Rig) -> None:
    rig.sql("BEGIN")
    rig.sql("LOCK TABLE beacon.intent IN ACCESS EXCLUSIVE MODE")


def _kill(rig: Rig) -> None:
    rig.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'beacon'")


def _drain(rig: Rig) -> None:
    rig.sql("UPDATE beacon.intent SET forced = 'drain', reason = 'bench', actor = 'bench'")


def _wrong_name(rig: Rig) -> None:
    rig.present("other.example")


def _refuse_logins(rig: Rig) -> None:
    rig.front.answer_logins_with("53300", "Unable to accept connection, too many open connections.")


_DRIP = _inject(FaultKind.DSQL_SLOW, delay_ms=20, drip_bytes=1)
FAULTS = (
    Fault("freeze_new", _new(_inject(FaultKind.DSQL_FREEZE)), "503 timeout"),
    Fault("freeze_open", _open(_inject(FaultKind.DSQL_FREEZE)), "503 timeout"),
    Fault("drip_new", _new(_DRIP), "503 timeout"),
    Fault("drip_open", _open(_DRIP), "503 timeout"),
    Fault("lock_wait", _open(_lock), "503 timeout"),
    Fault("name_stall", lambda rig: rig.sandbox(rig.stalled), "503 timeout"),
    Fault("half_open", _open(_inject(FaultKind.DSQL_HALFOPEN)), "200 ok"),
    Fault("backend_killed", _open(_kill), "200 ok"),
    Fault("refuse", _open(_inject(FaultKind.DSQL_REFUSE)), "503 refused"),
    Fault("reset", _open(_inject(FaultKind.DSQL_RESET)), "503 reset"),
    Fault("deny", _open(_inject(FaultKind.DSQL_DENY)), "503 login_rejected"),
    Fault("too_many", _new(_refuse_logins), "503 too_many_connections"),
    Fault("certificate", _new(_wrong_name), "503 certificate"),
    Fault("drain", _open(_drain), "503 drained"),
)


def _ask(check: HealthCheck) -> tuple[float, str]:
    started = time.monotonic()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123 - it is timed
        result = check.answer(GET)
    took_s = time.monotonic() - started
    (row,) = json.loads(str(result["body"]))["checks"]["dsql:select"]
    return took_s, f"{result['statusCode']} {row['output']}"


def _measure(rig: Rig, fault: Fault) -> float:
    check = fault.arrange(rig)
    try:
        took_s, verdict = _ask(check)
    finally:
        rig.mend()
        if check._probe is not None:  # noqa: SLF001
            check._probe.close()  # noqa: SLF001
    if verdict != fault.verdict:
        raise RuntimeError(f"{fault.name}: {verdict} instead of {fault.verdict}")
    return took_s
