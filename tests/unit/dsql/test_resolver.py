"""Name resolution: a stall holds no deadline, lingers at most once, and the last good answer serves."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from beacon.dsql import resolver as resolver_module
from beacon.dsql.resolver import NameNotResolvedError, Resolver

LAYER = Path(resolver_module.__file__).parents[1]


def lingering() -> int:
    """How many look-ups are under way in this process."""
    return sum(thread.name == "beacon-resolve" for thread in threading.enumerate())


def wait_until(condition: Callable[[], bool], deadline_s: float = 5.0) -> None:
    """Poll ``condition`` until it holds."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.005)


class Names:
    """A name service that gives the test's answers, and stalls while the test says so."""

    def __init__(self, addresses: list[str] | Exception) -> None:
        self.answer = addresses
        self.open = threading.Event()
        self.open.set()
        self.asked = 0

    def __call__(self, _host: str) -> list[str]:
        self.asked += 1
        assert self.open.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@contextmanager
def stalled(names: Names) -> Iterator[None]:
    """``names`` answers nothing inside, and nothing lingers afterwards."""
    names.open.clear()
    try:
        yield
    finally:
        names.open.set()
        wait_until(lambda: lingering() == 0)


def test_addresses_come_best_first() -> None:
    """The name service's order is kept, and nothing lingers."""
    assert Resolver(Names(["192.0.2.2", "192.0.2.1"])).resolve("a", 1.0) == ["192.0.2.2", "192.0.2.1"]
    wait_until(lambda: lingering() == 0)


@pytest.mark.parametrize("answer", [[], socket.gaierror(-2, "canary"), UnicodeError("canary")])
def test_a_name_without_address_is_reported_at_once(answer: list[str] | Exception) -> None:
    """It is no stall, and the error holds nothing of what the name service said."""
    resolver = Resolver(Names(answer))
    for _ in range(2):
        with pytest.raises(NameNotResolvedError) as caught:
            resolver.resolve("a", 5.0)
        assert not caught.value.stalled
        assert "canary" not in repr(caught.value)


def test_a_stalled_look_up_holds_no_deadline() -> None:
    """The caller is back after its own time and told that the name service stalled."""
    names = Names(["192.0.2.1"])
    with stalled(names):
        started = time.monotonic()
        with pytest.raises(NameNotResolvedError) as caught:
            Resolver(names).resolve("a", 0.1)
        assert time.monotonic() - started < 0.1 + 0.1
        assert caught.value.stalled


def test_at_most_one_look_up_lingers_for_a_name() -> None:
    """A caller during a look-up waits for that one; another name gets its own."""
    names = Names(["192.0.2.1"])
    resolver = Resolver(names)
    with stalled(names):
        for _ in range(20):
            with pytest.raises(NameNotResolvedError):
                resolver.resolve("a", 0.002)
        assert (names.asked, lingering()) == (1, 1)
        with pytest.raises(NameNotResolvedError):
            resolver.resolve("b", 0.002)
        assert (names.asked, lingering()) == (2, 2)


def test_callers_from_several_threads_share_a_look_up() -> None:
    """Single flight: all of them get what the one look-up found."""
    names = Names(["192.0.2.1"])
    resolver = Resolver(names)
    found: list[list[str]] = []
    with stalled(names):
        callers = [
            threading.Thread(target=lambda: found.append(resolver.resolve("a", 5.0))) for _ in range(8)
        ]
        for caller in callers:
            caller.start()
        wait_until(lambda: names.asked == 1)
        names.open.set()
        for caller in callers:
            caller.join(5)
    assert found == [["192.0.2.1"]] * 8


def test_an_answer_that_comes_late_serves_the_next_caller() -> None:
    """A stall costs one probe at most, not every probe until it ends."""
    names = Names(["192.0.2.1"])
    resolver = Resolver(names)
    with stalled(names), pytest.raises(NameNotResolvedError):
        resolver.resolve("a", 0.01)
    with stalled(names):
        assert resolver.resolve("a", 0.03) == ["192.0.2.1"]


def test_the_last_good_answer_serves_while_the_name_service_fails() -> None:
    """Known addresses outlive an error and a stall; a stall takes a third of the time only."""
    names = Names(["192.0.2.1"])
    resolver = Resolver(names)
    resolver.resolve("a", 1.0)
    names.answer = socket.gaierror(-3, "try again")
    assert resolver.resolve("a", 1.0) == ["192.0.2.1"]
    names.answer = []
    assert resolver.resolve("a", 1.0) == ["192.0.2.1"]
    with stalled(names):
        started = time.monotonic()
        assert resolver.resolve("a", 0.3) == ["192.0.2.1"]
        assert 0.09 < time.monotonic() - started < 0.2


def test_a_new_answer_replaces_the_last_good_one() -> None:
    """Addresses are looked up at each connect."""
    names = Names(["192.0.2.1"])
    resolver = Resolver(names)
    assert resolver.resolve("a", 1.0) == ["192.0.2.1"]
    names.answer = ["192.0.2.9"]
    assert resolver.resolve("a", 1.0) == ["192.0.2.9"]


def test_no_call_waits_for_a_thread_that_could_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox out of threads says so each time, and recovers with them."""
    resolver = Resolver(Names(["192.0.2.1"]))

    def cannot(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", cannot)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                resolver.resolve("a", 0.01)
    assert resolver.resolve("a", 1.0) == ["192.0.2.1"]


def test_a_look_up_joined_without_waiting_ends_by_itself() -> None:
    """A caller that must not block looks at it; it is the same one for all callers meanwhile."""
    names = Names(["192.0.2.1"])
    resolver = Resolver(names)
    with stalled(names):
        flight = resolver.start("a")
        assert resolver.start("a") is flight
        assert not flight.done.is_set()
        assert resolver.known("a") == []
    assert flight.done.is_set()
    assert flight.addresses == resolver.known("a") == ["192.0.2.1"]
    assert names.asked == 1


def test_known_addresses_are_as_old_as_they_are() -> None:
    """By the clock that was passed; without a limit they are known for good."""
    now = [1000.0]
    resolver = Resolver(Names(["192.0.2.1"]), clock=lambda: now[0])
    assert resolver.known("a") == []
    resolver.resolve("a", 5.0)
    now[0] += 30
    assert resolver.known("a", 30) == ["192.0.2.1"]
    assert resolver.known("a", 29.9) == []
    assert resolver.known("a") == ["192.0.2.1"]


def test_a_look_up_that_a_fork_left_behind_begins_again() -> None:
    """The child has it listed, and no thread to end it: it looks the name up itself."""
    script = """
import os, sys, threading
from beacon.dsql.resolver import Resolver
parent, asked = os.getpid(), threading.Event()

def lookup(host):
    asked.set()
    if os.getpid() == parent:
        threading.Event().wait(20)
    return ["192.0.2.1"]

resolver = Resolver(lookup)
flight = resolver.start("a")
assert asked.wait(10)
child = os.fork()
if child == 0:
    status = 1
    try:
        status = 0 if resolver.resolve("a", 5.0) == ["192.0.2.1"] else 2
    finally:
        os._exit(status)
_, status = os.waitpid(child, 0)
assert not flight.done.is_set() and resolver.start("a") is flight
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


def test_the_system_resolves_localhost() -> None:
    """The default look-up is the system's, without duplicates."""
    found = Resolver().resolve("localhost", 5.0)
    assert "127.0.0.1" in found
    assert len(found) == len(set(found))
