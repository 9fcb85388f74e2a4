"""One source in the background: the last good answer stays, trouble shows, and no connect waits for it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from beacon.client import feed as feed_module
from beacon.client.candidates import Candidate
from beacon.client.disk_copy import DiskCopy
from beacon.client.feed import Feed, SourceStatus
from beacon.client.sources import Fetched, SourceError, StaticList
from beacon.model import Endpoint

NOW = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
EAST_1 = "a" * 26 + ".dsql.us-east-1.on.aws"
LAYER = Path(feed_module.__file__).parents[1]


def wait_until(condition: Callable[[], bool], deadline_s: float = 5.0) -> None:
    """Poll ``condition`` until it holds."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.005)


class Wall:
    """A wall clock and a lasting one that the test moves, and the wall clock's hands alone."""

    def __init__(self) -> None:
        self.now = NOW
        self.lasting_s = 500.0

    def __call__(self) -> datetime:
        return self.now

    def clock(self) -> float:
        return self.lasting_s

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.lasting_s += seconds

    def set_back(self, seconds: float) -> None:
        self.now -= timedelta(seconds=seconds)


class Told:
    """A source that gives the test's answers, takes texts that start with a letter, and stalls on command."""

    name = "told"

    def __init__(self, answer: str | Exception = "a", good_for_s: float | None = None) -> None:
        self.answer = answer
        self.good_for_s = good_for_s
        self.dated: datetime | None = None
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Semaphore(0)
        self.times = 0
        self._taken = ""

    def fetch(self) -> Fetched:
        self.times += 1
        self.asked.release()
        assert self.open.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Fetched(self.answer, self.good_for_s)

    def accept(self, text: str, now: datetime) -> None:  # noqa: ARG002 - a source's
        if not text[:1].isalpha():
            raise SourceError(f"no text: {text}")
        self._taken = text

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:  # noqa: ARG002 - a source's
        return (Candidate(Endpoint("us-east-1", self._taken)),) if self._taken else ()

    def as_of(self) -> datetime | None:
        return self.dated


def middle(low: float, high: float) -> float:
    return (low + high) / 2


@pytest.fixture
def wall() -> Wall:
    return Wall()


MakeFeed = Callable[..., Feed]


@pytest.fixture
def make(wall: Wall) -> Iterator[MakeFeed]:
    """Makes feeds without chance, which end with the test."""
    made: list[Feed] = []

    def start(source: Any, refresh_s: float = 10.0, **options: Any) -> Feed:  # noqa: ANN401 - those of Feed
        made.append(
            Feed(source, refresh_s, **{"clock": wall.clock, "now": wall, "jitter": middle, **options})
        )
        return made[-1]

    yield start
    for feed in made:
        feed.close()
    for feed in made:
        if feed._thread is not None:
            feed._thread.join(5)
            assert not feed._thread.is_alive()


def known(feed: Feed) -> list[str]:
    return [candidate.endpoint.host for candidate in feed.candidates()]


def settled(feed: Feed) -> Callable[[], bool]:
    """Whether the thread has asked and waits for the next time."""
    return lambda: feed._due_at is not None


def test_before_the_first_answer_nothing_is_known_and_that_is_said(make: MakeFeed) -> None:
    """Neither an age nor a candidate; a caller that waits gets its time and no more."""
    feed = make(Told())
    assert (known(feed), feed.answered) == ([], False)
    assert feed.status() == SourceStatus("told", None, "not asked yet")
    began = time.monotonic()
    assert not feed.wait(0.05)
    assert 0.04 < time.monotonic() - began < 0.5
    assert not feed.wait(-1.0)


def test_a_good_answer_is_known_and_ages(make: MakeFeed, wall: Wall) -> None:
    """By when it was fetched, or by when the source itself says it was true; never below zero."""
    source = Told()
    feed = make(source)
    feed.refresh()
    assert (known(feed), feed.answered) == (["a"], True)
    wall.pass_s(30)
    assert feed.status() == SourceStatus("told", 30.0, "")
    source.dated = NOW - timedelta(seconds=5)
    assert feed.status() == SourceStatus("told", 35.0, "")
    source.dated = NOW + timedelta(hours=1)
    assert feed.status() == SourceStatus("told", 30.0, "")


@pytest.mark.parametrize("dated", [True, False])
def test_a_wall_clock_that_is_set_back_makes_no_answer_younger(
    make: MakeFeed, wall: Wall, dated: bool
) -> None:
    """An alarm on the age of a dead publisher's document stays on; the next good answer begins at zero."""
    source = Told()
    source.dated = NOW if dated else None
    feed = make(source)
    feed.refresh()
    wall.pass_s(600)
    wall.set_back(86_400)
    assert feed.status().age_s == 600.0
    feed.refresh()
    assert feed.status().age_s == 0.0


def test_a_wall_clock_that_is_set_back_keeps_no_document_valid_for_longer(make: MakeFeed, wall: Wall) -> None:
    """An endpoint that a dead publisher held out is a candidate again after the same time."""
    asked_at: list[datetime] = []

    class Dated(Told):
        def candidates(self, now: datetime) -> tuple[Candidate, ...]:
            asked_at.append(now)
            return super().candidates(now)

    feed = make(Dated())
    feed.refresh()
    wall.pass_s(200)
    wall.set_back(7200)
    wall.pass_s(101)
    assert known(feed) == ["a"]
    assert asked_at[-1] == NOW + timedelta(seconds=301)


def test_a_wall_clock_that_is_set_forward_and_back_again_is_forgotten_with_the_next_answer(
    make: MakeFeed, wall: Wall
) -> None:
    """What was accepted meanwhile is read by the time that was thought to be; nothing stays of it."""
    source = Told()
    feed = make(source)
    wall.set_back(-3600)
    feed.refresh()
    wall.set_back(3600)
    assert feed._present() == NOW + timedelta(hours=1)
    feed.refresh()
    assert feed._present() == NOW
    assert known(feed) == ["a"]


@pytest.mark.parametrize(
    ("failure", "problem"),
    [
        (SourceError("throttled"), "throttled"),
        ("", "no text: "),
        ("1", "no text: 1"),
        (KeyError("canary"), "KeyError"),
        (OSError("canary"), "OSError"),
        (RecursionError("canary"), "RecursionError"),
    ],
    ids=["cannot be asked", "empty", "unusable", "a defect", "the system", "recursion"],
)
def test_the_last_good_answer_stays_through_any_failure(
    make: MakeFeed, wall: Wall, failure: str | Exception, problem: str
) -> None:
    """Its age grows and the trouble is shown, an unexpected one by its type alone, until it is over."""
    source = Told()
    feed = make(source)
    feed.refresh()
    source.answer = failure
    for _ in range(10):
        wall.pass_s(60)
        feed.refresh()
    assert known(feed) == ["a"]
    assert feed.status() == SourceStatus("told", 600.0, problem)
    source.answer = "b"
    feed.refresh()
    assert known(feed) == ["b"]
    assert feed.status() == SourceStatus("told", 0.0, "")


def test_a_first_answer_that_is_bad_ends_the_waiting_too(make: MakeFeed) -> None:
    """The source has been asked to an end: who waits longer for it would wait for nothing."""
    feed = make(Told(SourceError("denied")))
    feed.refresh()
    assert (feed.answered, feed.wait(5), known(feed)) == (True, True, [])
    assert feed.status() == SourceStatus("told", None, "denied")


def test_the_owner_of_a_list_hears_of_every_answer(make: MakeFeed) -> None:
    """Good or bad, and with the answer known already."""
    heard: list[list[str]] = []
    source = Told()
    feed: Feed = make(source, changed=lambda: heard.append(known(feed)))
    feed.refresh()
    source.answer = SourceError("down")
    feed.refresh()
    assert heard == [["a"], ["a"]]


# ---- when it is asked next


def test_the_interval_is_jittered_by_a_quarter(make: MakeFeed) -> None:
    """The processes of a fleet do not ask together."""
    asked: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        asked.append((low, high))
        return 0.8

    assert make(Told(), 10.0, jitter=jitter).refresh() == 8.0
    assert asked == [(0.75, 1.25)]


@pytest.mark.parametrize(
    ("good_for_s", "pause_s"), [(None, 10.0), (5.0, 5.0), (3600.0, 10.0), (0.0, 1.0), (0.2, 1.0)]
)
def test_a_source_may_shorten_its_interval_and_not_below_a_second(
    make: MakeFeed, good_for_s: float | None, pause_s: float
) -> None:
    """A TTL is kept to; one of zero is no leave to ask without a pause, a long one no reason to wait."""
    assert make(Told("a", good_for_s), 10.0).refresh() == pause_s


def test_a_source_that_fails_is_asked_less_often_while_something_is_known(make: MakeFeed) -> None:
    """Twice the interval each time, up to a minute; a good answer brings the interval back."""
    source = Told()
    feed = make(source, 5.0)
    feed.refresh()
    source.answer = SourceError("throttled")
    assert [feed.refresh() for _ in range(6)] == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0]
    source.answer = "a"
    assert feed.refresh() == 5.0
    source.answer = SourceError("throttled")
    assert feed.refresh() == 10.0


def test_a_source_that_fails_is_asked_again_soon_while_nothing_is_known(make: MakeFeed) -> None:
    """No client can connect: after a second, then less often, up to the interval."""
    feed = make(Told(SourceError("denied")), 10.0)
    assert [feed.refresh() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_thousand_failures_are_no_number_too_large(make: MakeFeed) -> None:
    """The doubling has an end."""
    feed = make(Told(SourceError("denied")), 3600.0)
    assert {feed.refresh() for _ in range(1100)} == {1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0}


def test_a_list_is_known_without_being_asked_and_its_thread_ends(make: MakeFeed) -> None:
    """There is nothing to learn, and no thread for it after the first look."""
    feed = make(StaticList([EAST_1]))
    assert (known(feed), feed.answered) == ([EAST_1], True)
    assert feed.status() == SourceStatus("list", None, "")
    feed.poke()
    first = feed._thread
    assert first is not None
    first.join(5)
    assert not first.is_alive()
    feed.poke()
    assert feed._thread is first


# ---- the thread


def test_the_first_poke_has_the_source_asked_in_the_background(make: MakeFeed) -> None:
    """It returns at once, though the source takes its time."""
    source = Told()
    source.open.clear()
    feed = make(source)
    began = time.monotonic()
    feed.poke()
    assert time.monotonic() - began < 0.5
    assert source.asked.acquire(timeout=5)
    assert not feed.answered
    source.open.set()
    assert feed.wait(5)
    assert known(feed) == ["a"]


def test_pokes_from_many_threads_start_one(make: MakeFeed) -> None:
    """A source is used by one thread at a time."""
    source = Told()
    source.open.clear()
    feed = make(source)
    pokers = [threading.Thread(target=feed.poke) for _ in range(16)]
    for poker in pokers:
        poker.start()
    for poker in pokers:
        poker.join(5)
    assert source.asked.acquire(timeout=5)
    source.open.set()
    wait_until(settled(feed))
    assert source.times == 1


def test_after_its_interval_the_source_is_asked_again_by_itself(make: MakeFeed) -> None:
    """No caller has to poke for it."""
    source = Told()
    feed = make(source, 1.0, jitter=lambda _low, _high: 0.05)
    feed.poke()
    for _ in range(3):
        assert source.asked.acquire(timeout=5)


def test_a_poke_after_a_frozen_time_has_the_source_asked_now(make: MakeFeed, wall: Wall) -> None:
    """A sandbox was frozen and its monotonic clock with it: the wall clock says that it is time."""
    source = Told()
    feed = make(source, 3600.0)
    feed.poke()
    assert source.asked.acquire(timeout=5)
    wait_until(settled(feed))
    source.answer = "b"
    wall.pass_s(3599)
    feed.poke()
    assert not source.asked.acquire(timeout=0.1)
    wall.pass_s(1)
    feed.poke()
    assert source.asked.acquire(timeout=5)
    wait_until(lambda: known(feed) == ["b"])


def test_a_poke_while_the_source_is_asked_does_not_have_it_asked_again_at_once(
    make: MakeFeed, wall: Wall
) -> None:
    """A busy service pokes all the time: the pause after an answer, or after a failure, holds."""
    source = Told()
    feed = make(source, 3600.0)
    feed.poke()
    assert source.asked.acquire(timeout=5)
    wait_until(settled(feed))
    source.open.clear()
    wall.pass_s(3600)
    feed.poke()
    assert source.asked.acquire(timeout=5)
    feed.poke()
    source.open.set()
    wait_until(settled(feed))
    assert not source.asked.acquire(timeout=0.1)


def test_a_wall_clock_that_is_set_back_stops_nothing(make: MakeFeed, wall: Wall) -> None:
    """The thread waits by the monotonic clock."""
    source = Told()
    feed = make(source, 1.0, jitter=lambda _low, _high: 0.05)
    feed.poke()
    assert source.asked.acquire(timeout=5)
    wall.set_back(86_400)
    assert source.asked.acquire(timeout=5)
    assert source.asked.acquire(timeout=5)


def test_a_poke_has_the_source_asked_in_time_though_the_wall_clock_was_set_back(
    make: MakeFeed, wall: Wall
) -> None:
    """In a sandbox whose thread stands still between invocations, the poke is all there is."""
    source = Told()
    feed = make(source, 3600.0)
    feed.poke()
    assert source.asked.acquire(timeout=5)
    wait_until(settled(feed))
    wall.set_back(86_400)
    wall.pass_s(3600)
    feed.poke()
    assert source.asked.acquire(timeout=5)


def test_close_ends_the_thread_at_once_and_what_is_known_stays(make: MakeFeed) -> None:
    """Whatever the interval; nothing starts it again."""
    source = Told()
    feed = make(source, 3600.0)
    feed.poke()
    wait_until(settled(feed))
    thread = feed._thread
    assert thread is not None
    feed.close()
    thread.join(5)
    assert not thread.is_alive()
    feed.poke()
    assert feed._thread is thread
    assert (known(feed), source.times) == (["a"], 1)


def test_close_during_a_fetch_ends_the_thread_with_it(make: MakeFeed) -> None:
    """It is not waited for, and not followed by another."""
    source = Told()
    source.open.clear()
    feed = make(source)
    feed.poke()
    assert source.asked.acquire(timeout=5)
    feed.close()
    source.open.set()
    assert feed._thread is not None
    feed._thread.join(5)
    assert not feed._thread.is_alive()
    assert source.times == 1


def test_a_feed_that_was_closed_before_it_began_asks_no_source(make: MakeFeed) -> None:
    """Also when it is poked afterwards."""
    source = Told()
    feed = make(source)
    feed.close()
    feed.poke()
    assert (feed._thread, source.times) == (None, 0)


def test_where_no_thread_can_start_what_is_known_serves(
    make: MakeFeed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process out of threads, or at its end, shows so in the status alone, and recovers."""
    copy = DiskCopy(tmp_path / "copy")
    copy.write("told", "b")
    source = Told()
    feed = make(source, copy=copy)

    def cannot(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", cannot)
        for _ in range(2):
            feed.poke()
    assert known(feed) == ["b"]
    assert feed.status().problem == "no thread can be started to ask it"
    feed.poke()
    assert source.asked.acquire(timeout=5)
    wait_until(lambda: feed.status().problem == "")


def test_after_a_fork_the_child_asks_by_itself() -> None:
    """The parent's thread is not there: the first poke starts another, and what is known serves meanwhile."""
    script = """
import os, sys, threading, time
from datetime import UTC, datetime
from beacon.client.candidates import Candidate
from beacon.client.feed import Feed
from beacon.model import Endpoint
from beacon.client.sources import Fetched

class Pid:
    name, taken = "pid", ""
    def fetch(self): return Fetched(str(os.getpid()))
    def accept(self, text, now): self.taken = text
    def candidates(self, now): return (Candidate(Endpoint("us-east-1", self.taken)),) if self.taken else ()
    def as_of(self): return None

def known(): return [each.endpoint.host for each in feed.candidates()]

feed = Feed(Pid(), 3600.0)
feed.poke()
assert feed.wait(10) and known() == [str(os.getpid())]
parent = os.getpid()
child = os.fork()
if child == 0:
    status = 1
    try:
        assert known() == [str(parent)] and feed.answered
        feed.poke()
        end = time.monotonic() + 10
        while known() != [str(os.getpid())] and time.monotonic() < end:
            time.sleep(0.005)
        status = 0 if known() == [str(os.getpid())] else 2
    finally:
        os._exit(status)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(LAYER)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 0, run.stderr


# ---- the copy on disk


def test_a_copy_on_disk_is_known_before_any_source_is_asked(make: MakeFeed, tmp_path: Path) -> None:
    """A process that starts while the source is down knows where to connect."""
    copy = DiskCopy(tmp_path / "copy")
    copy.write("told", "b")
    source = Told(SourceError("down"))
    feed = make(source, copy=DiskCopy(tmp_path / "copy"))
    assert (known(feed), source.times) == (["b"], 0)
    assert feed.status() == SourceStatus("told", None, "known from the copy on disk; not asked yet")
    # Something is known: no hurry.
    assert feed.refresh() == 20.0
    assert (known(feed), feed.status().problem) == (["b"], "down")


def test_a_copy_that_is_dated_tells_its_age(make: MakeFeed, tmp_path: Path, wall: Wall) -> None:
    """The document's own time, not that of the process."""
    copy = DiskCopy(tmp_path / "copy")
    copy.write("told", "b")
    source = Told()
    source.dated = NOW - timedelta(hours=1)
    assert make(source, copy=copy).status().age_s == 3600.0


@pytest.mark.parametrize(("age_s", "answered"), [(30, True), (600, False), (None, False), (-600, False)])
def test_only_a_young_copy_stands_for_an_answer(
    make: MakeFeed, tmp_path: Path, wall: Wall, age_s: float | None, answered: bool
) -> None:
    """Last week's is known, and next week's; but the first caller gives the source a moment to say better."""
    copy = DiskCopy(tmp_path / "copy")
    copy.write("told", "b")
    source = Told()
    source.dated = None if age_s is None else NOW - timedelta(seconds=age_s)
    assert make(source, copy=copy).answered is answered


@pytest.mark.parametrize("text", ["", "1", "\ud800"])
def test_a_copy_that_is_malformed_is_ignored_and_replaced(make: MakeFeed, tmp_path: Path, text: str) -> None:
    """By the same rules as a fresh answer; the source is asked as if there were none."""
    copy = DiskCopy(tmp_path / "copy")
    copy.write("told", text)
    feed = make(Told(), copy=DiskCopy(tmp_path / "copy"))
    assert (known(feed), feed.answered) == ([], False)
    assert feed.status().problem.startswith("the copy on disk is ignored: no text")
    feed.refresh()
    assert (known(feed), feed.status().problem) == (["a"], "")
    assert DiskCopy(tmp_path / "copy").read("told") == "a"


@pytest.mark.parametrize("bad", ["1", SourceError("down"), KeyError("x")])
def test_only_a_good_answer_is_kept(make: MakeFeed, tmp_path: Path, bad: str | Exception) -> None:
    """What is on disk was accepted once."""
    copy = DiskCopy(tmp_path / "copy")
    source = Told("b")
    feed = make(source, copy=copy)
    feed.refresh()
    source.answer = bad
    feed.refresh()
    assert DiskCopy(tmp_path / "copy").read("told") == "b"


def test_what_goes_wrong_with_a_source_is_a_warning_once(
    make: MakeFeed, caplog: pytest.LogCaptureFixture
) -> None:
    """A client with another source behind it still connects, and would never learn of the fault."""
    feed = make(Told(SourceError("there is no such parameter")))
    for _ in range(3):
        feed.refresh()
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("beacon", "WARNING", "told: there is no such parameter")
    ]
