"""The edge trigger: one request in ten seconds, never longer than its caller may wait, never an error."""

from __future__ import annotations

import threading
import time

from beacon.health.trigger import EVERY_S, EdgeTrigger
from beacon.outcome import Reason


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_failure_sends_and_the_next_ten_seconds_do_not() -> None:
    """Sixteen checkers that meet the same outage must not start sixteen publishers."""
    sent: list[bytes] = []
    clock = _Clock()
    trigger = EdgeTrigger(sent.append, clock)
    assert trigger.fire(Reason.TIMEOUT, 1.0)
    clock.now += EVERY_S - 0.001
    assert not trigger.fire(Reason.TIMEOUT, 1.0)
    clock.now += 0.001
    assert trigger.fire(Reason.REFUSED, 1.0)
    assert sent == [
        b'{"source": "beacon.health", "reason": "timeout"}',
        b'{"source": "beacon.health", "reason": "refused"}',
    ]


def test_a_request_that_stalls_holds_its_caller_no_longer_than_allowed() -> None:
    """The wait is the promise; the stalled request is left to its thread, and no second one is started."""
    release = threading.Event()
    clock = _Clock()

    def stall(_event: bytes) -> None:
        release.wait(5)

    trigger = EdgeTrigger(stall, clock)
    started = time.monotonic()
    assert trigger.fire(Reason.TIMEOUT, 0.2)
    assert time.monotonic() - started < 0.3
    clock.now += EVERY_S
    threads = threading.active_count()
    assert not trigger.fire(Reason.TIMEOUT, 0.2)
    assert threading.active_count() == threads
    release.set()


def test_a_request_that_fails_is_ignored() -> None:
    """No credentials, no route, no permission: the schedule comes by anyway."""

    def broken(_event: bytes) -> None:
        raise OSError("no route to host")

    assert EdgeTrigger(broken).fire(Reason.TIMEOUT, 1.0)


def test_without_a_server_the_real_sender_fails_quietly() -> None:
    """The whole path, without a listener: it does not delay the answer of the health check."""
    trigger = EdgeTrigger.of_function(
        "orders-prod-publisher", "us-east-1", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    )
    started = time.monotonic()
    assert trigger.fire(Reason.TIMEOUT, 0.3)
    assert time.monotonic() - started < 0.4
