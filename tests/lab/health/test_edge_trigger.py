"""The edge trigger beside real failures: bounded, only when a Region stops serving, never the verdict."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from beacon.health.trigger import EdgeTrigger
from beacon_lab.faults import FaultKind

if TYPE_CHECKING:
    from tests.lab.health.conftest import Answer, Sandbox, Station

pytestmark = pytest.mark.lab

#: What a promised time may be overrun by, what the trigger may add to it, and a busy machine's tries.
SLACK_S, TRIGGER_S, TRIES = 0.05, 0.3, 3
PASS = (200, "pass", "ok")
TIMEOUT = (503, "fail", "timeout")


class AwsEndpoint:
    """A server in the AWS endpoint's place: `answer` is what a request gets, `None` for silence."""

    def __init__(self, answer: bytes | None, *, reset: bool = False) -> None:
        self.requests: list[bytes] = []
        self._answer, self._reset = answer, reset
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._talk, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _talk(self, peer: socket.socket) -> None:
        with peer:
            peer.settimeout(5)
            received = b""
            while b'"}' not in received and (more := peer.recv(4096)):
                received += more
            self.requests.append(received)
            if self._reset:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif self._answer is None:
                self._over.wait(10)
            else:
                peer.sendall(self._answer)

    def close(self) -> None:
        self._over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def aws(answer: bytes | None, *, reset: bool = False) -> Iterator[AwsEndpoint]:
    endpoint = AwsEndpoint(answer, reset=reset)
    try:
        yield endpoint
    finally:
        endpoint.close()


ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


def with_trigger(station: Station, url: str, *, deadline_ms: int = 400) -> Sandbox:
    return station.sandbox(
        deadline_ms=deadline_ms, BEACON_PUBLISHER_FUNCTION="shop-test-publisher", AWS_ENDPOINT_URL=url
    )


def in_time(ask: Callable[[], Answer], limit_s: float) -> Answer:
    """An answer that is in time in one of the tries, each with a sandbox of its own."""
    for _ in range(TRIES):
        answer = ask()
        if answer.took_s <= limit_s + SLACK_S:
            return answer
    pytest.fail(f"the answer took {answer.took_s:.3f} s, {limit_s} s are promised")


def test_a_failing_probe_asks_for_the_publisher_once_in_ten_seconds(station: Station) -> None:
    """An asynchronous, signed invocation that says why, and nothing else."""
    with aws(ACCEPTED) as endpoint:
        sandbox = with_trigger(station, endpoint.url)
        station.inject(FaultKind.DSQL_REFUSE)
        for _ in range(5):
            assert sandbox.ask().verdict == (503, "fail", "refused")
        (request,) = endpoint.requests
    head, _, body = request.decode().partition("\r\n\r\n")
    assert head.startswith("POST /2015-03-31/functions/shop-test-publisher/invocations HTTP/1.1\r\n")
    assert "x-amz-invocation-type: Event" in head
    assert "AWS4-HMAC-SHA256 Credential=AKIDLABFUNCTION/" in head
    assert json.loads(body) == {"source": "beacon.health", "reason": "refused"}


def test_a_pass_and_a_warning_ask_for_nothing(station: Station) -> None:
    """However often; only the start of a drain does, because it takes the Region out of service."""
    with aws(ACCEPTED) as endpoint:
        sandbox = with_trigger(station, endpoint.url)
        for _ in range(10):
            assert sandbox.ask().verdict == PASS
        station.fail_statements(1, "42P01")
        assert sandbox.ask().verdict == (200, "warn", "intent_unreadable")
        station.kill_backends()
        assert sandbox.ask().verdict == PASS
        assert endpoint.requests == []
        station.drain()
        for _ in range(3):
            assert sandbox.ask().verdict == (503, "fail", "drained")
        station.release()
        assert sandbox.ask().verdict == PASS
        (request,) = endpoint.requests
        assert request.endswith(b'{"source": "beacon.health", "reason": "drained"}')


def test_a_silent_aws_endpoint_costs_at_most_its_share(station: Station) -> None:
    """Deadline and 300 ms for the answer that asks, the deadline alone for those that follow."""
    with aws(None) as endpoint:
        station.inject(FaultKind.DSQL_FREEZE)
        answer = in_time(lambda: with_trigger(station, endpoint.url).ask(), 0.4 + TRIGGER_S)
        assert answer.verdict == TIMEOUT
        assert answer.took_s > 0.4 + TRIGGER_S - 0.05
        sandbox = with_trigger(station, endpoint.url)
        assert sandbox.ask().verdict == TIMEOUT
        assert in_time(sandbox.ask, 0.4).verdict == TIMEOUT


def test_a_name_service_that_stalls_costs_no_more(
    station: Station, answers_to_names: Callable[[Callable[[str], list[str]]], None]
) -> None:
    """Neither the database's name nor the AWS endpoint's is resolved: the same bound."""
    over = threading.Event()

    def stalled(_host: str) -> list[str]:
        over.wait(6.0)
        raise OSError("no answer")

    answers_to_names(stalled)

    def ask() -> Answer:
        return station.sandbox(
            BEACON_DIAL="",
            BEACON_PUBLISHER_FUNCTION="shop-test-publisher",
            AWS_ENDPOINT_URL="http://lambda.example",
        ).ask()

    assert in_time(ask, 0.4 + TRIGGER_S).verdict == TIMEOUT
    over.set()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 99\r\n\r\n",
        b"\x00garbage" * 500,
    ],
    ids=["silent", "closed", "error", "throttled", "garbage"],
)
@pytest.mark.parametrize("reset", [False, True], ids=["", "reset"])
def test_whatever_aws_says_the_verdict_is_the_databases(
    station: Station, capfd: pytest.CaptureFixture[str], *, answer: bytes | None, reset: bool
) -> None:
    """503 with its reason while it fails, 200 when it passes, and nothing in the log about the request."""
    with aws(answer, reset=reset) as endpoint:
        sandbox = with_trigger(station, endpoint.url)
        station.inject(FaultKind.DSQL_REFUSE)
        assert sandbox.ask().verdict == (503, "fail", "refused")
        station.mend()
        assert sandbox.ask().verdict == PASS
    captured = capfd.readouterr()
    assert captured.err == ""
    assert "Traceback" not in captured.out


def test_without_credentials_nothing_is_sent(station: Station) -> None:
    """It could not be signed; the verdict stands."""
    with aws(ACCEPTED) as endpoint:
        sandbox = with_trigger(station, endpoint.url)
        assert sandbox.ask().verdict == PASS
        station.drain()
        station.patch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shop-test-health")
        station.patch.delenv("AWS_SECRET_ACCESS_KEY")
        assert sandbox.ask().verdict == (503, "fail", "drained")
        assert endpoint.requests == []


def test_a_trigger_that_breaks_changes_nothing(station: Station) -> None:
    """Not even the answer that fired it."""

    def broken(_event: bytes) -> None:
        raise SystemError("broken")

    station.inject(FaultKind.DSQL_REFUSE)
    sandbox = station.sandbox(trigger=EdgeTrigger(broken))
    assert sandbox.ask().verdict == (503, "fail", "refused")
    started = time.monotonic()
    assert sandbox.ask().verdict == (503, "fail", "refused")
    assert time.monotonic() - started < TRIGGER_S + SLACK_S


def test_the_log_has_a_line_for_each_change_and_each_failure(
    station: Station, capsys: pytest.CaptureFixture[str]
) -> None:
    """Structured, one line each; none for a success that follows a success."""
    sandbox = station.sandbox()

    def told() -> list[tuple[object, ...]]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [
            (line["level"], line["was"], line["reason"], line["serving"], line["sqlstate"])
            for line in lines
            if line.get("message") == "health"
        ]

    for _ in range(3):
        sandbox.ask()
    assert told() == [("INFO", None, "ok", True, None)]
    station.dsql.front.answer_logins_with("53300", "no")
    station.kill_backends()
    for _ in range(2):
        sandbox.ask()
    assert told() == [
        ("WARNING", "ok", "too_many_connections", False, "53300"),
        ("WARNING", "too_many_connections", "too_many_connections", False, "53300"),
    ]
    station.mend()
    station.drain()
    for _ in range(2):
        sandbox.ask()
    assert [line[:3] for line in told()] == [
        ("WARNING", "too_many_connections", "drained"),
        ("WARNING", "drained", "drained"),
    ]
    station.mend()
    for _ in range(2):
        sandbox.ask()
    assert told() == [("INFO", "drained", "ok", True, None)]
