"""A database on a virtual clock, in place of libpq: what connects and queries do next, and what was done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

import beacon.dsql.connector
from beacon.aws.sigv4 import Credentials
from beacon.dsql.resolver import NameNotResolvedError
from beacon.dsql.session import Row, SessionError
from beacon.model import Endpoint
from beacon.outcome import Reason
from beacon.settings import Settings

HOST = "a" * 26 + ".dsql.us-east-1.on.aws"
ENDPOINT = Endpoint("us-east-1", HOST)
SETTINGS = Settings(
    app="orders", env="prod", region="us-east-1", endpoints=(ENDPOINT,), db_user="probe", ca_file="/ca.pem"
)
NOBODY: list[Row] = [(None, None, None, None, None)]
DRAIN: list[Row] = [("us-east-1", "drain", "game day", "ann", "60")]
NEVER = float("inf")

Rows = list[Row]
#: How long something takes, in virtual seconds, and its result.
Step = tuple[float, Rows | SessionError]


def code(sqlstate: str) -> SessionError:
    return SessionError(Reason.SERVER_ERROR, sqlstate)


@dataclass
class World:
    """A database with its own clock: what connects and queries do next, and a record of what was done."""

    connects: list[Step] = field(default_factory=list)
    queries: list[list[Step]] = field(default_factory=list)
    addresses: list[str] | NameNotResolvedError = field(default_factory=lambda: ["192.0.2.1"])
    now: float = 1000.0
    frozen_s: float = 0.0
    opened: list[Mapping[str, str]] = field(default_factory=list)
    sessions: list[FakeSession] = field(default_factory=list)
    asked: list[tuple[bytes, Sequence[str]]] = field(default_factory=list)
    credentials: Callable[[], Credentials] = lambda: Credentials("AKID", "secret")

    def pass_time(self, step: Step, deadline: float) -> Rows:
        """Let ``step`` happen, or the deadline pass first."""
        takes_s, outcome = step
        if takes_s < 0:
            # The clock jumps while nothing else happens.
            self.now -= takes_s
            raise SessionError(Reason.TIMEOUT)
        if self.now + takes_s > deadline:
            self.now = max(self.now, deadline)
            raise SessionError(Reason.TIMEOUT)
        self.now += takes_s
        if isinstance(outcome, SessionError):
            raise outcome
        return outcome

    def resolve(self, host: str, timeout_s: float) -> list[str]:
        assert (host, timeout_s >= 0) == (HOST, True)
        if isinstance(self.addresses, NameNotResolvedError):
            raise self.addresses
        return self.addresses

    def wait(self, interests: Mapping[int, int], timeout_s: float) -> set[int]:
        """Let time pass until one of the logins that are under way is ready, or the time-out is over."""
        waiting = {each: self.sessions[each - 7]._ready_at for each in interests}
        self.now = min([self.now + timeout_s, *(max(self.now, at) for at in waiting.values())])
        return {each for each, at in waiting.items() if at <= self.now}

    def take_the_place_of_libpq(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have connectors open sessions of this world."""
        monkeypatch.setattr(FakeSession, "world", self, raising=False)
        monkeypatch.setattr(beacon.dsql.connector, "Session", FakeSession)
        monkeypatch.setattr(beacon.dsql.connector, "_wait", self.wait)

    @property
    def open_sessions(self) -> int:
        return sum(not session.closed for session in self.sessions)


class FakeSession:
    """Stands for a connection to the world; each has its own list of answers."""

    world: World

    def __init__(self, steps: list[Step]) -> None:
        self.closed = False
        self.awaits = 0
        self._steps = steps
        self._ready_at = 0.0
        self._outcome: Rows | SessionError = []

    @classmethod
    def start(cls, options: Mapping[str, str], clock: Callable[[], float]) -> FakeSession:
        world = cls.world
        assert clock() == world.now
        world.opened.append(options)
        takes_s, outcome = world.connects.pop(0) if world.connects else (0.01, [])
        session = cls([])
        session._ready_at, session._outcome = world.now + takes_s, outcome
        world.sessions.append(session)
        return session

    def proceed(self) -> bool:
        if self.world.now < self._ready_at:
            return False
        if isinstance(self._outcome, SessionError):
            self.close()
            raise self._outcome
        self._steps = self.world.queries.pop(0)
        return True

    def query(self, statement: bytes, parameters: Sequence[str], deadline: float) -> Rows:
        assert not self.closed
        self.world.asked.append((statement, parameters))
        takes_s, self._outcome = self._steps.pop(0)
        self._ready_at = self.world.now + takes_s
        if takes_s < 0:
            return self.world.pass_time((takes_s, self._outcome), deadline)
        return self.answer(deadline)

    def send(self, statement: bytes, parameters: Sequence[str]) -> None:
        assert not self.closed
        self.world.asked.append((statement, parameters))
        takes_s, self._outcome = self._steps.pop(0)
        if takes_s < 0:
            raise SessionError(Reason.RESET)
        self._ready_at = self.world.now + takes_s

    @property
    def descriptor(self) -> int:
        return self.world.sessions.index(self) + 7

    def answer(self, deadline: float) -> Rows:
        assert not self.closed
        return self.world.pass_time((max(0.0, self._ready_at - self.world.now), self._outcome), deadline)

    def close(self) -> None:
        self.closed = True
