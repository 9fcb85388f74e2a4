"""A sandbox that is frozen and thawed, its backends killed and its clock set forward, never fails falsely."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.places import ROOT

from beacon.outcome import ProbeOutcome
from beacon_lab.faults import FaultKind

if TYPE_CHECKING:
    import psycopg
    from tests.lab.health.conftest import Station

    from beacon.dsql.probe import Probe

pytestmark = pytest.mark.lab

CYCLES = 10_000
#: Long enough for an answer under every fault, on a machine that does something else meanwhile.
ANSWER_S = 20.0
KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'beacon'"


class SandboxProcess:
    """A process that runs the handler, and is stopped whenever it has nothing to do."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._answers, write = os.pipe()
        script = Path(__file__).with_name("sandbox_process.py")
        self._child = subprocess.Popen(
            [sys.executable, str(script), str(write)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(write,),
            bufsize=0,
        )
        os.close(write)

    def ask(self, jump_s: float = 0.0, at: int = 0) -> None:
        """Start an answer in which the monotonic clock jumps at its reading number `at`."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{jump_s} {at}\n".encode())

    def answer(self) -> str:
        """Wait for the answer: HTTP status and reason."""
        assert select.select([self._answers], [], [], ANSWER_S)[0], "no answer"
        return os.read(self._answers, 100).decode().strip()

    def stop(self) -> None:
        self._child.send_signal(signal.SIGSTOP)
        # Until it has stopped, as a freeze is complete before anything else happens.
        os.waitid(os.P_PID, self._child.pid, os.WSTOPPED)

    def thaw(self) -> None:
        self._child.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        assert self._child.stdin is not None
        self._child.stdin.close()
        os.close(self._answers)


@contextmanager
def process(station: Station, deadline_ms: int = 1000) -> Iterator[SandboxProcess]:
    """A sandbox of its own that is configured as in its Region."""
    keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    made = SandboxProcess(
        station.environment
        | keys
        | {
            "BEACON_PROBE_DEADLINE_MS": str(deadline_ms),
            "AWS_LAMBDA_FUNCTION_NAME": "shop-test-health",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "functions/health"), *sys.path]),
            "PATH": os.environ["PATH"],
        }
    )
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def owner(station: Station) -> Iterator[psycopg.Connection]:
    """PostgreSQL's owner, who can kill backends."""
    with station.dsql.postgres._connect() as connection:
        yield connection


def test_freezes_between_answers_never_make_a_false_503(station: Station, owner: psycopg.Connection) -> None:
    """Stopped after each answer; backends killed and clocks ahead at random meanwhile: 200 throughout."""
    chance = random.Random(20261122)  # noqa: S311 - what happens when is no secret
    seen: Counter[str] = Counter()
    done: Counter[str] = Counter()
    with process(station) as sandbox:
        for _ in range(CYCLES):
            jump_s, at = 0.0, 0
            if chance.random() < 0.1:
                owner.execute(KILL)
                done["killed"] += 1
            if chance.random() < 0.1:
                # A jump that ends within a quarter of a second of the deadline cannot be distinguished from
                # slowness.
                jump_s = 2.0 + chance.expovariate(1 / 1200)
                at = chance.randrange(12)
                done["jumped"] += 1
            sandbox.thaw()
            sandbox.ask(jump_s, at)
            seen[sandbox.answer()] += 1
            sandbox.stop()
            done["stopped"] += 1
        assert seen == {"200 ok": CYCLES}
        assert done["stopped"] == CYCLES
        assert min(done["killed"], done["jumped"]) > CYCLES / 20
        # And it would have seen a true one.
        station.inject(FaultKind.DSQL_REFUSE)
        sandbox.thaw()
        sandbox.ask()
        assert sandbox.answer() == "503 refused"


def test_a_stop_in_the_middle_of_an_answer_makes_no_false_503(
    station: Station, owner: psycopg.Connection
) -> None:
    """Stopped somewhere in a probe for longer than its deadline, its backend killed half of the times."""
    chance = random.Random(1122)  # noqa: S311 - as above
    deadline_s = 0.2
    with process(station, 200) as sandbox:
        sandbox.ask()
        assert sandbox.answer() == "200 ok"
        for number in range(12):
            if number % 4 == 3:
                owner.execute(KILL)
            sandbox.ask()
            time.sleep(chance.uniform(0, 0.004))
            sandbox.stop()
            if number % 2:
                owner.execute(KILL)
            time.sleep(deadline_s + 0.4)
            sandbox.thaw()
            assert sandbox.answer() == "200 ok"


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_ten_thousand_expired_probes_leave_nothing_behind(
    station: Station, owner: psycopg.Connection
) -> None:
    """Cut off while connecting and while asking, eight at a time: no descriptor and no thread stays."""
    probes = [station.sandbox().check._probe for _ in range(8)]

    def expire(probe: Probe | None, times: int, deadline_s: float) -> Counter[tuple[ProbeOutcome, str]]:
        assert probe is not None
        seen: Counter[tuple[ProbeOutcome, str]] = Counter()
        for _ in range(times):
            observation = probe.run(time.monotonic() + deadline_s).observation
            seen[observation.outcome, observation.reason] += 1
        return seen

    seen: Counter[tuple[ProbeOutcome, str]] = Counter()
    threads, before = threading.active_count(), descriptors()
    with ThreadPoolExecutor(len(probes)) as pool:
        for _ in range(49):
            station.inject(FaultKind.DSQL_FREEZE)
            for some in pool.map(lambda probe: expire(probe, 25, 0.01), probes):
                seen += some
            station.mend()
        owner.execute("BEGIN")
        owner.execute("LOCK TABLE beacon.intent IN ACCESS EXCLUSIVE MODE")
        for some in pool.map(lambda probe: expire(probe, 25, 0.2), probes):
            seen += some
        owner.execute("ROLLBACK")
    assert seen == {(ProbeOutcome.FAIL, "timeout"): 10_000}
    assert threading.active_count() == threads
    # The front is in this process too, and has to notice that its clients are gone.
    give_up = time.monotonic() + 10
    while descriptors() > before:
        assert time.monotonic() < give_up, f"{descriptors()} descriptors, {before} before"
        time.sleep(0.05)
    for probe in probes:
        assert probe is not None
        assert probe.run(time.monotonic() + 2).observation.outcome is ProbeOutcome.PASS
