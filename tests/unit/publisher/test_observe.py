"""A round of observations: all endpoints at once, fails rechecked at their pace, defects contained."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from beacon.model import Forced, Intent, Observation, ProbeReport
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.observe import Observer, RecheckPolicy

A, B = "us-east-1", "us-east-2"
PACE = RecheckPolicy(deadline_s=0.5, recheck_s=1.0, fall=3)
DRAIN = {A: Intent(A, Forced.DRAIN)}


def passed(intents: dict[str, Intent] | None = None) -> ProbeReport:
    return ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 1.0), {} if intents is None else intents)


FAILED = ProbeReport(Observation(ProbeOutcome.FAIL, Reason.TIMEOUT))
UNKNOWN = ProbeReport(Observation(ProbeOutcome.UNKNOWN, Reason.NO_CREDENTIALS, warning=Reason.NO_CREDENTIALS))
UNREADABLE = ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 1.0, warning=Reason.INTENT_UNREADABLE))


class Clock:
    """Virtual time that sleeps and probes move on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class FakeProbe:
    """Gives its reports one after the other, the last one repeatedly; each takes ``takes_s``."""

    def __init__(self, clock: Clock, *reports: ProbeReport | Exception, takes_s: float = 0.0) -> None:
        self._clock, self._reports, self._takes_s = clock, list(reports), takes_s
        self.deadlines: list[float] = []

    def run(self, deadline: float) -> ProbeReport:
        self.deadlines.append(deadline)
        self._clock.now += self._takes_s
        report = self._reports.pop(0) if len(self._reports) > 1 else self._reports[0]
        if isinstance(report, Exception):
            raise report
        return report

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def clock() -> Clock:
    """Time that passes only when told to."""
    return Clock()


def outcomes(observed: tuple[Observation, ...]) -> list[ProbeOutcome]:
    return [observation.outcome for observation in observed]


def observer(clock: Clock, **probes: FakeProbe) -> Observer:
    names = {"a": A, "b": B}
    return Observer(
        {names[name]: probe for name, probe in probes.items()}, PACE, clock=clock, sleep=clock.sleep
    )


def test_a_pass_is_probed_once(clock: Clock) -> None:
    """Under the deadline of the pace, without a pause."""
    probe = FakeProbe(clock, passed())
    found = observer(clock, a=probe).run()
    assert outcomes(found.observations[A]) == [ProbeOutcome.PASS]
    assert probe.deadlines == [100.5]
    assert clock.slept == []


def test_a_fail_is_rechecked_until_it_is_confirmed(clock: Clock) -> None:
    """Fall times in all, a recheck interval apart from start to start."""
    probe = FakeProbe(clock, FAILED, takes_s=0.4)
    found = observer(clock, a=probe).run()
    assert outcomes(found.observations[A]) == [ProbeOutcome.FAIL] * 3
    assert probe.deadlines == [pytest.approx(value) for value in (100.5, 101.5, 102.5)]
    assert clock.slept == [pytest.approx(0.6)] * 2


@pytest.mark.parametrize("end", [passed(), UNKNOWN])
def test_a_recheck_that_does_not_fail_ends_it(clock: Clock, end: ProbeReport) -> None:
    """What came before is kept, oldest first."""
    found = observer(clock, a=FakeProbe(clock, FAILED, end)).run()
    assert outcomes(found.observations[A]) == [ProbeOutcome.FAIL, end.observation.outcome]


def test_an_endpoint_known_to_be_down_needs_no_confirmation(clock: Clock) -> None:
    """It is probed once, so a long outage does not make every round long."""
    found = observer(clock, a=FakeProbe(clock, FAILED), b=FakeProbe(clock, passed())).run({A})
    assert outcomes(found.observations[A]) == [ProbeOutcome.FAIL]
    assert clock.slept == []


def test_a_recheck_has_no_longer_than_the_interval() -> None:
    """The first probe has the whole deadline; so a silent endpoint is confirmed in 1 + 2 x 0.75 s."""
    clock = Clock()
    pace = RecheckPolicy(deadline_s=1.0, recheck_s=0.75, fall=3)

    class Silent(FakeProbe):
        def run(self, deadline: float) -> ProbeReport:
            self._takes_s = deadline - clock()
            return super().run(deadline)

    probe = Silent(clock, FAILED)
    Observer({A: probe}, pace, clock=clock, sleep=clock.sleep).run()
    assert probe.deadlines == [101.0, 101.75, 102.5]
    assert clock() == 100.0 + pace.confirm_s == 102.5


def test_a_probe_that_overran_is_rechecked_at_once(clock: Clock) -> None:
    """A pause is never negative."""
    observer(clock, a=FakeProbe(clock, FAILED, takes_s=3.0)).run()
    assert clock.slept == [0.0, 0.0]


def test_a_probe_that_breaks_down_is_unknown_and_harms_no_other(clock: Clock) -> None:
    """A defect takes neither the round nor the endpoint down."""
    found = observer(clock, a=FakeProbe(clock, RuntimeError("canary")), b=FakeProbe(clock, passed())).run()
    assert outcomes(found.observations[A]) == [ProbeOutcome.UNKNOWN]
    assert outcomes(found.observations[B]) == [ProbeOutcome.PASS]
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([passed(DRAIN)], [FAILED], DRAIN),
        ([FAILED], [passed(DRAIN)], DRAIN),
        ([UNREADABLE], [passed(DRAIN)], DRAIN),
        ([FAILED, passed(DRAIN)], [UNKNOWN], DRAIN),
        ([passed()], [passed()], {}),
        ([UNREADABLE], [FAILED], None),
        ([UNKNOWN], [FAILED], None),
    ],
)
def test_intents_are_read_through_whichever_endpoint_answers(
    clock: Clock, a: list[ProbeReport], b: list[ProbeReport], expected: dict[str, Intent] | None
) -> None:
    """One database stands behind all of them; None only if none could read them."""
    found = observer(clock, a=FakeProbe(clock, *a), b=FakeProbe(clock, *b)).run()
    assert found.intents == expected


def test_all_endpoints_are_probed_at_the_same_time() -> None:
    """Each waits for the others here: one after the other, they would never meet."""
    together = threading.Barrier(2, timeout=5)

    class Meeting(FakeProbe):
        def run(self, deadline: float) -> ProbeReport:
            together.wait()
            return super().run(deadline)

    make: Callable[[], FakeProbe] = lambda: Meeting(Clock(), passed())  # noqa: E731
    found = Observer({A: make(), B: make()}, PACE).run()
    assert {region: outcomes(seen) for region, seen in found.observations.items()} == {
        A: [ProbeOutcome.PASS],
        B: [ProbeOutcome.PASS],
    }


def test_threads_are_kept_from_round_to_round() -> None:
    """Starting them costs more than a probe; three endpoints need two in addition to the caller's."""
    seen: list[set[int]] = []

    class Noting(FakeProbe):
        def run(self, deadline: float) -> ProbeReport:
            together.wait()
            seen[-1].add(threading.get_ident())
            return super().run(deadline)

    together = threading.Barrier(3, timeout=5)
    observer = Observer({name: Noting(Clock(), passed()) for name in ("a", "b", "c")}, PACE)
    for _ in range(3):
        seen.append(set())
        observer.run()
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 3
    assert threading.get_ident() in seen[0]


def test_a_round_that_breaks_off_leaves_no_probe_in_use() -> None:
    """The next round may use them all; what cannot be contained is raised, but only when they have ended."""
    clock = Clock()
    ended = threading.Event()

    class Slow(FakeProbe):
        def run(self, deadline: float) -> ProbeReport:
            broken.wait(5)
            ended.set()
            return super().run(deadline)

    class Breaking(FakeProbe):
        def run(self, deadline: float) -> ProbeReport:
            broken.set()
            raise KeyboardInterrupt(deadline)

    broken = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        Observer({A: Slow(clock, passed()), B: Breaking(clock, passed())}, PACE).run()
    assert ended.is_set()


# ---- open connections, asked together


class Open(FakeProbe):
    """A probe with an open connection: it answers when the test says so; ``run`` says the rest."""

    def __init__(self, *reports: ProbeReport | Exception) -> None:
        super().__init__(Clock(), *(reports or (FAILED,)))
        self.ours, self.theirs = socket.socketpair()
        self.asked = False
        self.heard: ProbeReport | Exception | None = passed()
        self.threads: list[str] = []

    def ask(self) -> int | None:
        self.asked = True
        return self.ours.fileno()

    def hear(self) -> ProbeReport | None:
        self.threads.append(threading.current_thread().name)
        self.ours.recv(100)
        if isinstance(self.heard, Exception):
            raise self.heard
        self.asked = False
        return self.heard

    def run(self, deadline: float) -> ProbeReport:
        self.threads.append(threading.current_thread().name)
        self.asked = False
        return super().run(deadline)

    def close(self) -> None:
        self.asked = False

    def answer(self) -> None:
        self.theirs.send(b"x")


@pytest.fixture
def make_open() -> Iterator[Callable[..., Open]]:
    """Makes probes with an open connection, and closes those."""
    made: list[Open] = []

    def make(*reports: ProbeReport | Exception) -> Open:
        made.append(Open(*reports))
        return made[-1]

    yield make
    for probe in made:
        probe.ours.close()
        probe.theirs.close()


#: So short that tests can wait for its end.
SHORT = RecheckPolicy(deadline_s=0.3, recheck_s=0.01, fall=2)
HERE = threading.main_thread().name


def reasons_of(observer: Observer) -> dict[str, list[str]]:
    return {region: [one.reason for one in seen] for region, seen in observer.run().observations.items()}


def test_open_connections_are_asked_together_in_one_thread(make_open: Callable[..., Open]) -> None:
    """While all answer, no other thread takes part."""
    probes = {region: make_open() for region in (A, B)}
    for probe in probes.values():
        probe.answer()
    assert reasons_of(Observer(probes, SHORT)) == {A: ["ok"], B: ["ok"]}
    assert [probe.threads for probe in probes.values()] == [[HERE], [HERE]]


def test_an_endpoint_that_is_silent_for_its_share_continues_by_itself(make_open: Callable[..., Open]) -> None:
    """And delays no other: the other one's answer is taken at once."""
    probes = {A: make_open(FAILED), B: make_open()}
    probes[B].answer()
    began = time.monotonic()
    assert reasons_of(Observer(probes, SHORT)) == {A: ["timeout", "timeout"], B: ["ok"]}
    assert time.monotonic() - began >= SHORT.deadline_s / 3
    assert probes[A].deadlines[0] == pytest.approx(began + SHORT.deadline_s, abs=0.05)


def test_an_endpoint_that_never_ends_its_answer_continues_by_itself_too(
    make_open: Callable[..., Open],
) -> None:
    """A flood is no answer: it must not hold the round."""
    flooding = make_open(FAILED)
    take = flooding.hear

    def hear() -> ProbeReport | None:
        take()
        flooding.asked = True
        flooding.answer()
        return None

    flooding.hear = hear  # type: ignore[method-assign]
    flooding.answer()
    began = time.monotonic()
    assert reasons_of(Observer({A: flooding}, SHORT)) == {A: ["timeout", "timeout"]}
    assert time.monotonic() - began < 2.0


def test_an_endpoint_that_loses_its_connection_continues_by_itself_at_once(
    make_open: Callable[..., Open],
) -> None:
    """Not only when the time of the others is over."""
    probes = {A: make_open(passed()), B: make_open()}
    probes[A].heard = None
    probes[A].answer()
    threading.Timer(0.05, probes[B].answer).start()
    assert reasons_of(Observer(probes, RecheckPolicy(30.0, 0.01, 2))) == {A: ["ok"], B: ["ok"]}
    assert probes[A].threads[0] == HERE
    assert probes[A].threads[1].startswith("beacon-probe")


def test_an_endpoint_without_an_open_connection_continues_by_itself_meanwhile(
    clock: Clock, make_open: Callable[..., Open]
) -> None:
    """A connect need not wait for another endpoint's answer."""
    waiting = make_open()

    class Fresh(FakeProbe):
        def run(self, deadline: float) -> ProbeReport:
            waiting.answer()
            return super().run(deadline)

    assert reasons_of(Observer({A: Fresh(clock, passed()), B: waiting}, RecheckPolicy(30.0, 0.01, 2))) == {
        A: ["ok"],
        B: ["ok"],
    }


@pytest.mark.parametrize("step", ["ask", "hear"])
def test_a_defect_while_asking_takes_no_other_endpoint_down(
    make_open: Callable[..., Open], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Its probe continues by itself, and says what the result is."""
    probes = {A: make_open(RuntimeError("defect")), B: make_open()}

    def broken() -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr(probes[A], step, broken)
    for probe in probes.values():
        probe.answer()
    assert reasons_of(Observer(probes, SHORT)) == {A: ["internal"], B: ["ok"]}
