"""Two publishers at once, on a store without compare-and-swap: no reader goes back, no set is empty.

The machine holds two sandboxes and lets them run step by step, in any order, through everything that can
happen between them and SSM: a call that fails, one that fails and was carried out, one that is carried out
twice, one that lands after the caller has given up; a sandbox that dies between any two steps or is replaced
by one that knows nothing; values that another writer has put there. Readers look whenever they like. Writers
that are wrong on purpose stand below, and the same machine has to catch them.
"""

import json
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.examples import examples

from beacon.document.form import DocumentError, Expected, candidates
from beacon.document.reader import Reader
from beacon.document.store import Stored, StoreError
from beacon.model import Document, Effective, Endpoint, Forced, Intent, Observation, Policy
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.decide import Subject
from beacon.publisher.observe import Observer, RecheckPolicy, Round
from beacon.publisher.round import Publisher, RoundReport

REGIONS = ("us-east-1", "us-east-2", "us-west-2")
ENDPOINTS = tuple(
    Endpoint(region, f"{'abc'[n] * 26}.dsql.{region}.on.aws") for n, region in enumerate(REGIONS)
)
HOSTS = frozenset(endpoint.host for endpoint in ENDPOINTS)
SUBJECT = Subject("orders-prod", "dsql", REGIONS[0], ENDPOINTS)
EXPECTED = Expected("orders-prod", "dsql", REGIONS[0], HOSTS)
POLICY = Policy(fall=2, rise=1, rise_apart_s=0.0, failback_hold_s=0.0, ranking="priority")
PASS = Observation(ProbeOutcome.PASS, Reason.OK, 10.0)
FAIL = Observation(ProbeOutcome.FAIL, Reason.TIMEOUT)


class RollbackError(AssertionError):
    """What stands there is older than what a reader has met."""


class EmptyError(AssertionError):
    """A reader was left without an endpoint."""


class DivergedError(AssertionError):
    """The two parameters name different hosts."""


class Crash(BaseException):
    """The sandbox is gone."""


@dataclass
class World:
    """SSM, the clock, and what is still on its way to SSM."""

    now: datetime = datetime(2026, 11, 22, tzinfo=UTC)
    document: tuple[str | None, int] = (None, 0)
    endpoint: tuple[str | None, int] = (None, 0)
    on_its_way: list[tuple[str, str]] = field(default_factory=list)

    def put(self, name: str, value: str) -> int:
        version = 1 + (self.document if name == "document" else self.endpoint)[1]
        if name == "document":
            self.document = (value, version)
        else:
            self.endpoint = (value, version)
        return version


class Sandbox:
    """Runs a writer in a thread, which stops before each call until the test says how the call ends."""

    def __init__(self, world: World, make: "MakeWriter") -> None:
        self.world = world
        self.seen: dict[str, tuple[Observation, ...]] = {}
        self.intents: dict[str, Intent] | None = {}
        self.command = ""
        self.report: object = None
        self._thread: threading.Thread | None = None
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self.done = True
        self._make = make
        self.replace()

    def replace(self) -> None:
        """Another sandbox, which knows nothing."""
        self._writer = self._make(Store(self), Eyes(self), lambda: self.world.now)

    def start(self) -> None:
        """Begin a round; it stands still before its first call."""
        self.done, self.report = False, None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        assert self._back.acquire(timeout=10)

    def resume(self, command: str) -> bool:
        """Let the call end as ``command`` says; return whether the round has ended or stands still again."""
        self.command = command
        self._turn.release()
        assert self._back.acquire(timeout=10)
        if self.done and self._thread is not None:
            self._thread.join()
        return self.done

    def pause(self) -> str:
        """Called by the writer's thread: stand still, then return the command."""
        self._back.release()
        self._turn.acquire()
        if self.command == "crash":
            raise Crash
        return self.command

    def _work(self) -> None:
        try:
            self.report = self._writer.run()
        except Crash:
            self.report = None
        finally:
            self.done = True
            self._back.release()


class Store:
    """SSM as one sandbox sees it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def read(self) -> Stored:
        if self._sandbox.pause() != "ok":
            raise StoreError("read", "ThrottlingException")
        world = self._sandbox.world
        return Stored(*world.document, *world.endpoint)

    def write_document(self, text: str) -> int:
        return self._write("document", text)

    def write_endpoint(self, host: str) -> int:
        return self._write("endpoint", host)

    def _write(self, name: str, value: str) -> int:
        command, world = self._sandbox.pause(), self._sandbox.world
        if command == "late":
            world.on_its_way.append((name, value))
        elif command != "lost":
            version = world.put(name, value)
            if command == "twice":
                version = world.put(name, value)
            if command != "unheard":
                return version
        raise StoreError(name, "ThrottlingException")


class Eyes(Observer):
    """Sees what the machine shows."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__({}, RecheckPolicy(1.0, 1.0, POLICY.fall))
        self._sandbox = sandbox

    def run(self, known_down: Collection[str] = ()) -> Round:  # noqa: ARG002 - an observer's signature
        return Round(self._sandbox.seen, self._sandbox.intents)


class Writer(Protocol):
    """Whatever makes rounds."""

    def run(self) -> object: ...


MakeWriter = Callable[[Store, Eyes, Callable[[], datetime]], Writer]


class Overlap(RuleBasedStateMachine):
    """Two sandboxes, two readers, one store."""

    make: MakeWriter
    looks_for: tuple[type[AssertionError], ...] = (RollbackError, EmptyError, DivergedError)

    @initialize(rough=st.booleans())
    def begin(self, rough: bool) -> None:
        """Nothing is published yet; in half of the stories nothing goes wrong but the writers' overlap."""
        self.rough = rough
        self.world = World()
        self.sandboxes = [Sandbox(self.world, type(self).make) for _ in range(2)]
        self.readers = [Reader(EXPECTED), Reader(EXPECTED)]
        self.highest_met = 0
        # Whether anything has gone wrong since all was quiet and good.
        self.disturbed = False

    def teardown(self) -> None:
        """No thread is left behind."""
        for sandbox in getattr(self, "sandboxes", ()):
            if not sandbox.done:
                sandbox.resume("crash")

    # ---- what writers do

    @rule(
        who=st.integers(0, 1),
        failing=st.sets(st.sampled_from(REGIONS)),
        unknown=st.sets(st.sampled_from(REGIONS), max_size=1),
        drained=st.none() | st.sets(st.sampled_from(REGIONS), max_size=2),
    )
    def start(self, who: int, failing: set[str], unknown: set[str], drained: set[str] | None) -> None:
        """A round begins, if none is under way there."""
        sandbox = self.sandboxes[who]
        if sandbox.done:
            self.tick()
            sandbox.seen = {
                region: () if region in unknown else (FAIL, FAIL) if region in failing else (PASS,)
                for region in REGIONS
            }
            sandbox.intents = None if drained is None else {r: Intent(r, Forced.DRAIN) for r in drained}
            sandbox.start()

    @rule(
        failing=st.tuples(*[st.sets(st.sampled_from(REGIONS))] * 2),
        turns=st.lists(st.sampled_from([0, 0, 1, 1, 2]), min_size=2, max_size=20),
    )
    def overlap(self, failing: tuple[set[str], set[str]], turns: list[int]) -> None:
        """Two rounds at once, with other observations, and a reader that looks in between."""
        for who in (0, 1):
            self.start(who, failing[who], set(), set())
        for who in turns:
            if who == 2:
                self.read(0)
            else:
                self.step(who, "ok")

    @rule(who=st.integers(0, 1), steps=st.integers(1, 8))
    def go_on(self, who: int, steps: int) -> None:
        """Some calls go well."""
        for _ in range(steps):
            self.step(who, "ok")

    @precondition(lambda self: self.rough)
    @rule(who=st.integers(0, 1), command=st.sampled_from(["lost", "unheard", "twice", "late", "crash"]))
    def disturb(self, who: int, command: str) -> None:
        """A call goes wrong, or the sandbox dies before it."""
        if not self.sandboxes[who].done:
            self.disturbed = True
            self.step(who, command)
            if command == "crash":
                self.sandboxes[who].replace()

    @rule(who=st.integers(0, 1))
    def replace(self, who: int) -> None:
        """Lambda takes another sandbox for the next round."""
        if self.sandboxes[who].done:
            self.sandboxes[who].replace()

    @precondition(lambda self: self.world.on_its_way)
    @rule()
    def land(self) -> None:
        """A write whose writer has given up lands."""
        self.disturbed = True
        self.world.put(*self.world.on_its_way.pop(0))

    @precondition(lambda self: self.rough)
    @rule(
        value=st.sampled_from(["", "{}", "null", "\ufeff", "x" * 5000, "localhost", '{"schema":1}']),
        both=st.booleans(),
    )
    def vandalize(self, value: str, both: bool) -> None:
        """Another writer puts something there."""
        self.disturbed = True
        self.world.put("document", value)
        if both:
            self.world.put("endpoint", value)

    # ---- what readers do

    @rule(who=st.integers(0, 1))
    def read(self, who: int) -> None:
        """A reader looks; what it takes is never older than what it had, and leaves it an endpoint."""
        reader, text = self.readers[who], self.world.document[0]
        before = reader.last
        if text is None:
            return
        try:
            found = reader.accept(text, self.world.now)
        except DocumentError:
            assert reader.last is before
            if before is not None:
                assert candidates(before, self.world.now)
        else:
            assert before is None or found.epoch > before.epoch or found == before
            self.highest_met = max(self.highest_met, found.epoch)
        self.check_not_empty()

    @rule()
    def settle(self) -> None:
        """Without disturbance, running writers finish, and one more round repairs everything."""
        for who in (0, 1):
            self.finish(who)
        self.start(0, set(), set(), set())
        self.finish(0)
        self.disturbed = False
        self.check_settled()
        for reader in self.readers:
            # Old readers and new ones take it.
            assert (
                reader.accept(str(self.world.document[0]), self.world.now).preferred.host
                == self.world.endpoint[0]
            )

    # ---- the machine's own

    def tick(self) -> None:
        self.world.now += timedelta(milliseconds=1)

    def finish(self, who: int) -> None:
        for _ in range(100):
            if self.sandboxes[who].done:
                return
            self.step(who, "ok")
        raise AssertionError("a round ends")

    def step(self, who: int, command: str) -> None:
        sandbox = self.sandboxes[who]
        if sandbox.done:
            return
        self.tick()
        if not sandbox.resume(command):
            return
        report = sandbox.report
        assert report is not None or command == "crash", "a round ends with a report, whatever SSM does"
        if isinstance(report, RoundReport):
            self.check_report(report)
        if not self.disturbed and all(one.done for one in self.sandboxes):
            self.check_settled()

    def check_report(self, report: RoundReport) -> None:
        ejected = [c for c in report.changes if c.before and c.before.effective is Effective.IN]
        assert sum(c.after.effective is Effective.OUT for c in ejected) <= 1, "at most one leaves a round"
        # Repairs end, and where they ended early another writer has the last word or the next round repairs
        # it.
        self.disturbed = self.disturbed or report.repairs >= 3

    def check_settled(self) -> None:
        """No writer is running, and nothing has gone wrong: this is the promise."""
        self.check_not_empty()
        raw = json.loads(str(self.world.document[0]))
        if raw["epoch"] < self.highest_met and RollbackError in self.looks_for:
            raise RollbackError(f"{raw['epoch']} stands there, and {self.highest_met} was met")
        preferred = next((row["host"] for row in raw["endpoints"] if row["effective"] == "in"), "")
        if preferred != self.world.endpoint[0] and DivergedError in self.looks_for:
            raise DivergedError(f"the document says {preferred}, the endpoint {self.world.endpoint[0]}")

    def check_not_empty(self) -> None:
        text = self.world.document[0]
        if EmptyError not in self.looks_for or text is None or not text.startswith('{"schema":1,'):
            return
        if not any(row["effective"] == "in" for row in json.loads(text)["endpoints"]):
            raise EmptyError("no endpoint is in")


def real(store: Store, eyes: Eyes, now: Callable[[], datetime]) -> Publisher:
    """The publisher under test."""
    return Publisher(eyes, store, SUBJECT, POLICY, now=now)


def run_machine(
    maker: MakeWriter,
    most: int,
    looks_for: tuple[type[AssertionError], ...] = Overlap.looks_for,
    phases: Sequence[Phase] = (Phase.generate,),
) -> None:
    class Machine(Overlap):
        make = staticmethod(maker)

    Machine.looks_for = looks_for
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=most,
            phases=phases,
            report_multiple_bugs=False,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_overlapping_publishers_keep_every_promise() -> None:
    """No rollback, nothing empty, both parameters the same in the end, and readers take every document."""
    run_machine(real, examples(250), phases=(Phase.generate, Phase.shrink))


# ---- wrong on purpose


class Naive:
    """What one writes first: a plan from the last answers, written when its turn comes; nothing is read."""

    def __init__(self, store: Store, eyes: Eyes, now: Callable[[], datetime]) -> None:
        self._store, self._eyes, self._now = store, eyes, now

    def run(self) -> object:
        seen = self._eyes.run().observations
        now = self._now()
        healthy = [
            e.host for e in ENDPOINTS if seen[e.region] and seen[e.region][-1].outcome is ProbeOutcome.PASS
        ]
        stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        rows = [self._row(endpoint, endpoint.host in healthy, stamp) for endpoint in ENDPOINTS]
        document = {
            "schema": 1,
            "service": "orders-prod",
            "target": "dsql",
            "observer": REGIONS[0],
            "epoch": int(now.timestamp() * 1000),
            "as_of": stamp,
            "valid_until": (now + timedelta(seconds=300))
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "frozen": False,
            "note": "",
            "counted_at": None,
            "endpoints": sorted(rows, key=lambda row: row["effective"] == "out"),
        }
        try:
            self._store.write_document(json.dumps(document, separators=(",", ":")))
            self._store.write_endpoint(healthy[0] if healthy else "")
        except StoreError:
            return "failed"
        return "written"

    @staticmethod
    def _row(endpoint: Endpoint, healthy: bool, stamp: str) -> dict[str, object]:
        return {
            "region": endpoint.region,
            "host": endpoint.host,
            "port": endpoint.port,
            "observed": "up" if healthy else "down",
            "forced": None,
            "forced_until": None,
            "effective": "in" if healthy else "out",
            "reason": "ok" if healthy else "timeout",
            "since": stamp,
            "latency_ms": None,
            "streak": 0,
            "observed_since": stamp,
        }


def unverified(store: Store, eyes: Eyes, now: Callable[[], datetime]) -> Publisher:
    """Looks at the versions, and not at what stands there in the end."""

    class Unverified(Publisher):
        def _stands(self, _document: Document) -> tuple[bool, tuple[str, ...]]:
            return True, ()

    return Unverified(eyes, store, SUBJECT, POLICY, now=now)


@pytest.mark.parametrize(
    ("maker", "fault"),
    [
        (Naive, RollbackError),
        (Naive, EmptyError),
        (Naive, DivergedError),
        (unverified, DivergedError),
    ],
    ids=["naive rolls back", "naive empties", "naive diverges", "unverified diverges"],
)
def test_the_machine_catches_a_wrong_writer(maker: MakeWriter, fault: type[AssertionError]) -> None:
    """By the very promise that it breaks: a check that cannot fail shows nothing."""
    with pytest.raises(fault):
        run_machine(maker, 2000, (fault,))
