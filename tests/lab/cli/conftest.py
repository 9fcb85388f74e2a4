"""One lab for the tests of the operator's command, `beacon` as a user starts it, and APIs that fail.

A fault that the lab itself does not play, such as a throttled Route 53, is played by a relay between the
command and the lab's AWS APIs: it answers for one service and passes the rest on.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest
from tests.lab.cli.warm import run
from tests.lab.command.conftest import FIRST, SECOND, LabProcess, starter, until, upper

BEACON = str(Path(sys.executable).parent / "beacon")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
THROTTLING = (
    "<?xml version='1.0'?><ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code>"
    "<Message>Rate exceeded</Message></Error><RequestId>1</RequestId></ErrorResponse>"
)
DENIED = json.dumps(
    {
        "__type": "AccessDeniedException",
        "message": "User: arn:aws:iam::123456789012:user/eve is not authorized to perform:"
        " ssm:GetParameters on resource: x",
    }
)


@dataclass(frozen=True)
class Ran:
    """What a run of `beacon` gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """Standard output as JSON."""
        return json.loads(self.out)


_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["tests.lab.cli.warm"])
#: No run of `beacon` takes longer, drills and watching apart.
_ENDS_WITHIN_S = 60.0


def beacon(*words: str) -> Ran:
    """Run `beacon WORDS` in 80 columns and 24 rows, with no AWS configuration of this machine.

    It is a process of its own, forked from one that has imported everything: two thirds of a run are imports.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BEACON_"))}
    environment = {**kept, "COLUMNS": "80", "LINES": "25", "HOME": "/nonexistent"}
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "err")
        process = _FORKED.Process(target=run, args=(words, environment, out, err))
        process.start()
        process.join(_ENDS_WITHIN_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            pytest.fail(
                f"beacon {' '.join(words)} has not ended in {_ENDS_WITHIN_S:.0f} s: {out.read_text()}"
            )
        code = process.exitcode
        process.close()
        return Ran(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


def started(*words: str, out: IO[str] | None = None, cwd: Path | None = None) -> subprocess.Popen[str]:
    """`beacon WORDS`, a process that hears Ctrl-C also where this test run, in a background, does not.

    Its lines go to ``out``, where one is given.
    """
    # A signal that is ignored stays ignored in what is started; one with a handler gets its default back.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        into = out or subprocess.PIPE
        return subprocess.Popen([BEACON, *words], stdout=into, stderr=into, cwd=cwd, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class Relay:
    """Passes calls of AWS on to ``url``; a service in ``answers`` gets that answer instead, or silence."""

    url: str
    answers: dict[str, tuple[int, str] | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        scope = request.headers.get("Authorization", "").partition("Credential=")[2].split("/")
        service = scope[3] if len(scope) > 3 else ""
        self.asked.append(service)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if service in self.answers:
            given = self.answers[service]
            if given is None:
                self.ended.wait(30)
                return
            self._send(request, given[0], given[1].encode())
            return
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        call = urllib.request.Request(  # noqa: S310 - the lab's own address
            self.url + request.path, data=body or None, headers=headers, method=request.command
        )
        try:
            with _DIRECT.open(call, timeout=20) as passed:
                self._send(request, passed.status, passed.read())
        except urllib.error.HTTPError as error:
            with error:
                self._send(request, error.code, error.read())

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@contextmanager
def relayed(ready: dict[str, Any]) -> Iterator[Relay]:
    """A relay before the lab's AWS APIs; ``ready`` then points at it."""
    relay = Relay(ready["aws_endpoint_url"])

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if self.raw_requestline and self.parse_request():
                relay.answer(self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    ready["aws_endpoint_url"] = f"http://127.0.0.1:{server.server_port}"
    try:
        yield relay
    finally:
        relay.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def silent_dns() -> Iterator[int]:
    """A port that takes DNS queries and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield int(server.getsockname()[1])


@pytest.fixture(scope="package")
def shared_lab() -> Iterator[LabProcess]:
    """The lab of this folder; use `lab`, which heals it between tests."""
    with starter() as start:
        yield upper(start)()


@pytest.fixture
def lab(shared_lab: LabProcess) -> Iterator[LabProcess]:
    """The lab on a good day."""
    shared_lab.await_settled()
    yield shared_lab
    for region, row in shared_lab.regions().items():
        if row["faults"]:
            shared_lab.heal(region)


def ready_copy(lab: LabProcess, place: Path, **changes: Any) -> str:  # noqa: ANN401 - any of its members
    """A copy of the lab's ready file with changes, as its path."""
    path = place / "ready.json"
    path.write_text(json.dumps({**lab.ready, **changes}), encoding="utf-8")
    return str(path)


__all__ = [
    "DENIED",
    "FIRST",
    "SECOND",
    "THROTTLING",
    "Ran",
    "beacon",
    "ready_copy",
    "relayed",
    "silent_dns",
    "started",
    "until",
]
