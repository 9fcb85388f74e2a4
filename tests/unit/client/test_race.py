"""The race for a login: each row of its table, on a clock of its own; and libpq itself where it matters."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from psycopg import OperationalError, pq

from beacon.aws.credentials import CredentialChain, NoCredentialsError
from beacon.aws.sigv4 import Credentials
from beacon.client.candidates import Candidate
from beacon.client.connect_error import Attempt, ConnectError
from beacon.client.connect_options import Login
from beacon.client.dialer import Dialer
from beacon.client.endpoints import Endpoints
from beacon.client.local_view import MOST_STAGGER_S, LocalView
from beacon.client.pool_care import PoolCare, PoolPolicy, Treatment
from beacon.client.race import LAST_RESORT_S, Race, Won
from beacon.client.sources import DnsRecord, StaticList
from beacon.dsql.resolver import Flight, Resolver
from beacon.model import Endpoint

REGIONS = {"a": "us-east-1", "b": "us-east-2", "c": "us-west-2", "d": "eu-west-1"}
HOSTS = {name: f"{name * 26}.dsql.{region}.on.aws" for name, region in REGIONS.items()}
CANARY = "canary-7f3a"
NEVER = float("inf")
REFUSED = f'connection to server at "{HOSTS["a"]}", port 5432 failed: Connection refused {CANARY}'
#: A login that takes no noticeable time; the stagger of an unknown endpoint is MOST_STAGGER_S.
QUICK_S = 0.02


@dataclass
class Play:
    """What happens at one address: a login or, with ``message``, a failure, so long after the start."""

    after_s: float = QUICK_S
    message: str = ""
    #: libpq refuses it at once, before there is a descriptor.
    bad: bool = False
    #: After how long it answers the statement that follows its login.
    answers_s: float = QUICK_S
    #: Whether the statement waits for room in the socket before it is sent.
    full: bool = False
    #: How the connection is lost instead of an answer.
    lost: str = ""


@dataclass
class Stage:
    """A clock, what happens at which address, what names resolve to; and what the race did."""

    plays: dict[str, Play] = field(default_factory=dict)
    #: Name to the addresses, and after how long they are found.
    names: dict[str, tuple[float, list[str]]] = field(default_factory=dict)
    known: dict[str, tuple[float, list[str]]] = field(default_factory=dict)
    now: float = 1000.0
    #: What the lasting clock is ahead: it counts the time in which the process was frozen.
    frozen_s: float = 5e6
    started: list[tuple[float, str]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.now
        self.local = LocalView(lambda low, _high: low)
        self.looked_up: list[str] = []
        self.endpoints = Endpoints(
            StaticList(HOSTS.values()),
            local=self.local,
            resolver=Names(self),
            clock=lambda: self.now + self.frozen_s,
            monotonic=lambda: self.now,
            now=lambda: datetime(2026, 11, 22, tzinfo=UTC),
            credentials=lambda: Credentials("a", "b"),
        )

    def race(self, *candidates: Candidate, timeout_s: float = 5.0, start: Any = None) -> Race[Any]:  # noqa: ANN401
        return Race(candidates, self.endpoints.surroundings, start or self._start, timeout_s)

    def _start(self, _endpoint: Endpoint, address: str) -> Line:
        self.started.append((round(self.now - self.began, 6), address))
        return Line(address)

    def run(self, race: Race[Any], until_s: float = NEVER) -> Won[Any] | None:
        """Drive ``race`` as its caller does, and jump from one event to the next; ``None``: not over yet."""
        for _ in range(5000):
            ready = {line.socket: events for line in self.lines if (events := line.ready(race.interests()))}
            won = race.advance(ready)
            if won is not None:
                return won
            if any(line.ready(race.interests()) for line in self.lines):
                continue
            following = min(
                [self.now + race.pause_s(), *(line.due for line in self.lines if line.is_awaited)]
            )
            if following - self.began > until_s:
                self.now = self.began + until_s
                return None
            self.now = following
        raise AssertionError("the race spins")

    def passed_over(self) -> set[str]:
        """The endpoints that are passed over after the race."""
        return {
            name
            for name, host in HOSTS.items()
            if self.local.passed_over_since(host, self.lasting) is not None
        }

    @property
    def lasting(self) -> float:
        return self.now + self.frozen_s

    def open_lines(self) -> list[str]:
        return [line.address for line in self.lines if not line.finished]


class Line:
    """Stands for psycopg's PGconn: writes at once, then reads what its play says at its time."""

    stage: ClassVar[Stage]
    _descriptors: ClassVar[Any] = count(1000)

    def __init__(self, address: str) -> None:
        self.address = address
        self.play = self.stage.plays.get(address, Play())
        self.due = self.stage.now + self.play.after_s
        self.status = pq.ConnStatus.BAD if self.play.bad else pq.ConnStatus.STARTED
        self.nonblocking = 0
        self.finished = self.written = self.asked = self.sent = False
        self._descriptor = next(self._descriptors)
        self.stage.lines.append(self)

    @property
    def socket(self) -> int:
        assert not self.finished, "a closed connection has no descriptor to ask for"
        assert not self.play.bad, "libpq has no descriptor for it"
        return int(self._descriptor)

    @property
    def is_awaited(self) -> bool:
        return not self.finished and self.written and self.due > self.stage.now

    def ready(self, interests: dict[int, int]) -> int:
        """The poll events that have come for it, of those that are waited for."""
        if self.finished or self.play.bad:
            return 0
        come = select.POLLOUT
        if self.written:
            come = select.POLLIN if self.due <= self.stage.now else 0
        if self.asked and not self.sent:
            come = select.POLLOUT
        return come & interests.get(self.socket, 0)

    def connect_poll(self) -> pq.PollingStatus:
        assert not self.finished
        if not self.written:
            self.written = True
            return pq.PollingStatus.READING
        if self.due > self.stage.now:
            return pq.PollingStatus.READING
        if self.play.message:
            return pq.PollingStatus.FAILED
        self.status = pq.ConnStatus.OK
        return pq.PollingStatus.OK

    def send_query(self, statement: bytes) -> None:
        assert statement == b"SELECT 1"
        assert self.nonblocking == 1, "sending could block the race"
        self.asked = True
        self.due = self.stage.now + self.play.answers_s
        self.results = [object(), None]

    def flush(self) -> int:
        self.sent, self.play.full = not self.play.full, False
        return int(not self.sent)

    def consume_input(self) -> None:
        assert self.asked
        if self.play.lost and self.due <= self.stage.now:
            self.status = pq.ConnStatus.BAD
            raise OperationalError(self.play.lost)

    def is_busy(self) -> bool:
        return self.due > self.stage.now

    def get_result(self) -> object | None:
        return self.results.pop(0)

    def get_error_message(self) -> str:
        assert not self.finished
        return self.play.lost if self.asked else self.play.message

    def finish(self) -> None:
        assert not self.finished, "closed twice"
        self.finished = True


class Names(Resolver):
    """A resolver on the stage's clock, without threads."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def known(self, host: str, within_s: float = NEVER) -> list[str]:
        found_at, addresses = self._stage.known.get(host, (-NEVER, []))
        return addresses if self._stage.now - found_at <= within_s else []

    def start(self, host: str) -> Flight:
        self._stage.looked_up.append(host)
        return cast("Flight", StageFlight(self._stage, *self._stage.names[host]))


class StageFlight:
    """A look-up under way that ends at its time."""

    def __init__(self, stage: Stage, after_s: float, addresses: list[str]) -> None:
        self._stage = stage
        self._ends = stage.now + after_s
        self.addresses = addresses
        self.done = self

    def is_set(self) -> bool:
        return self._stage.now >= self._ends


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Every endpoint logs in quickly unless the test says otherwise; each address is dialled by its name."""
    made = Stage()
    monkeypatch.setattr(Line, "stage", made, raising=False)
    return made


def at(name: str, *, last_resort: bool = False) -> Candidate:
    """The candidate ``name`` at the one address that has its name."""
    return Candidate(Endpoint(REGIONS[name], HOSTS[name], 5432, (name, 7000)), last_resort)


def named(name: str, *, last_resort: bool = False) -> Candidate:
    """The candidate ``name``, whose addresses are looked up."""
    return Candidate(Endpoint(REGIONS[name], HOSTS[name], 5433), last_resort)


def silent() -> Play:
    return Play(NEVER)


def refusing(after_s: float = QUICK_S) -> Play:
    return Play(after_s, REFUSED)


def fails(stage: Stage, race: Race[Any]) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        stage.run(race)
    return caught.value


# ---- it begins, and one logs in


def test_it_begins_with_the_first_candidate_alone(stage: Stage) -> None:
    """Which wins; no other endpoint is asked."""
    won = stage.run(stage.race(at("a"), at("b")))
    assert won is not None
    assert won.candidate == at("a")
    assert won.took_s == pytest.approx(QUICK_S)
    assert stage.started == [(0.0, "a")]
    assert stage.passed_over() == set()


def test_who_logs_in_is_handed_over_open_and_as_psycopg_wants_it(stage: Stage) -> None:
    """Abandoning the race afterwards does not close it."""
    race = stage.race(at("a"))
    won = stage.run(race)
    race.abandon()
    assert won is not None
    assert won.pgconn is cast("Any", stage.lines[0])
    assert won.pgconn.nonblocking == 1
    assert stage.open_lines() == ["a"]


def test_how_long_the_login_took_is_remembered_from_its_own_start(stage: Stage) -> None:
    """Not from that of the race: the next stagger is made of it."""
    stage.plays |= {"a": refusing(0.2), "b": Play(0.03)}
    won = stage.run(stage.race(at("a"), at("b")))
    assert won is not None
    assert won.took_s == pytest.approx(0.23)
    assert stage.local.stagger_s(at("b")) == pytest.approx(0.09)


# ---- the candidate started last has failed


@pytest.mark.parametrize("play", [refusing(), refusing(0.0), Play(0.0, REFUSED, bad=True)])
def test_when_a_candidate_fails_the_next_one_starts_at_once(stage: Stage, play: Play) -> None:
    """Whether libpq knows it before the first packet or after a round trip."""
    stage.plays |= {"a": play, "b": play}
    won = stage.run(stage.race(at("a"), at("b"), at("c"), at("d")))
    assert won is not None
    assert won.candidate == at("c")
    after_s = 0.0 if play.bad else play.after_s
    assert stage.started == [(0.0, "a"), (pytest.approx(after_s), "b"), (pytest.approx(2 * after_s), "c")]
    assert stage.passed_over() == {"a", "b"}
    assert stage.open_lines() == ["c"]


def test_another_address_of_the_endpoint_comes_before_the_next_endpoint(stage: Stage) -> None:
    """One address that fails is no failure of the endpoint; every one of them is tried."""
    stage.known[HOSTS["a"]] = (stage.now, ["a1", "a2", "a3", "a4"])
    stage.plays |= {"a1": refusing(), "a2": refusing(), "a3": refusing()}
    won = stage.run(stage.race(named("a"), at("b")))
    assert won is not None
    assert won.candidate == named("a")
    assert [address for _, address in stage.started] == ["a1", "a2", "a3", "a4"]
    assert stage.passed_over() == set()
    stage.plays["a4"] = refusing()
    stage.started.clear()
    won = stage.run(stage.race(named("a"), at("b")))
    assert won is not None
    assert won.candidate == at("b")
    assert [address for _, address in stage.started] == ["a1", "a2", "a3", "a4", "b"]
    assert stage.passed_over() == {"a"}


def test_no_race_passes_an_endpoint_over_while_another_of_its_addresses_is_tried(stage: Stage) -> None:
    """Not even another race that begins meanwhile."""
    stage.known[HOSTS["a"]] = (stage.now, ["a1", "a2"])
    stage.plays |= {"a1": refusing(), "a2": refusing(0.1)}
    race = stage.race(named("a"))
    assert stage.run(race, until_s=0.1) is None
    assert stage.open_lines() == ["a2"]
    assert stage.passed_over() == set()
    fails(stage, race)
    assert stage.passed_over() == {"a"}


# ---- it is silent for its stagger


def test_when_a_candidate_is_silent_the_next_one_also_starts(stage: Stage) -> None:
    """After the stagger; who wins has the silent one closed and passed over."""
    stage.plays["a"] = silent()
    won = stage.run(stage.race(at("a"), at("b")))
    assert won is not None
    assert won.candidate == at("b")
    assert stage.started == [(0.0, "a"), (MOST_STAGGER_S, "b")]
    assert stage.open_lines() == ["b"]
    assert stage.passed_over() == {"a"}


def test_the_stagger_is_that_of_the_candidate_that_was_started_last(stage: Stage) -> None:
    """An endpoint that usually logs in quickly has little time."""
    stage.local.connected(HOSTS["a"], 0.02, stage.lasting)
    stage.local.connected(HOSTS["b"], 0.04, stage.lasting)
    stage.plays |= {"a": silent(), "b": silent(), "c": silent()}
    won = stage.run(stage.race(at("a"), at("b"), at("c"), at("d")))
    assert won is not None
    assert stage.started == [
        (0.0, "a"),
        (pytest.approx(0.06), "b"),
        (pytest.approx(0.18), "c"),
        (pytest.approx(0.18 + MOST_STAGGER_S), "d"),
    ]


def test_a_silent_candidate_may_still_win(stage: Stage) -> None:
    """An endpoint that started later had less time, and is not passed over for that."""
    stage.plays |= {"a": Play(0.4), "b": Play(0.3)}
    won = stage.run(stage.race(at("a"), at("b")))
    assert won is not None
    assert won.candidate == at("a")
    assert stage.open_lines() == ["a"]
    assert stage.passed_over() == set()


def test_another_address_also_starts_when_there_is_no_other_endpoint(stage: Stage) -> None:
    """The first one is silent, and its endpoint is not passed over when the second one wins."""
    stage.known[HOSTS["a"]] = (stage.now, ["a1", "a2"])
    stage.plays["a1"] = silent()
    won = stage.run(stage.race(named("a")))
    assert won is not None
    assert stage.started == [(0.0, "a1"), (MOST_STAGGER_S, "a2")]
    assert stage.passed_over() == set()
    assert stage.open_lines() == ["a2"]


# ---- one that was started earlier has failed


def test_a_late_failure_shortens_no_stagger(stage: Stage) -> None:
    """The leg that started last keeps its time: no endpoint is passed over for another one's failure."""
    stage.plays |= {"a": refusing(MOST_STAGGER_S + 0.01), "b": Play(0.1)}
    won = stage.run(stage.race(at("a"), at("b"), at("c")))
    assert won is not None
    assert won.candidate == at("b")
    assert stage.started == [(0.0, "a"), (MOST_STAGGER_S, "b")]
    assert stage.passed_over() == {"a"}


def test_a_late_failure_starts_another_address_of_its_endpoint_at_once(stage: Stage) -> None:
    """It is the better endpoint still."""
    stage.known[HOSTS["a"]] = (stage.now, ["a1", "a2"])
    stage.plays |= {"a1": refusing(0.3), "b": Play(0.2)}
    won = stage.run(stage.race(named("a"), at("b"), at("c")))
    assert won is not None
    assert won.candidate == named("a")
    assert stage.started == [(0.0, "a1"), (MOST_STAGGER_S, "b"), (pytest.approx(0.3), "a2")]


# ---- only last resorts are left


def test_a_last_resort_starts_when_all_others_have_failed(stage: Stage) -> None:
    """At once: there is no other endpoint to wait for."""
    stage.plays |= {"a": refusing(), "b": refusing()}
    won = stage.run(stage.race(at("a"), at("b"), at("c", last_resort=True)))
    assert won is not None
    assert stage.started == [(0.0, "a"), (pytest.approx(0.02), "b"), (pytest.approx(0.04), "c")]


def test_a_last_resort_waits_while_the_others_are_silent(stage: Stage) -> None:
    """A drained Region is not where a slow packet sends a client; two of them are staggered."""
    stage.plays |= {"a": silent(), "b": silent(), "c": silent()}
    resorts = (at("c", last_resort=True), at("d", last_resort=True))
    won = stage.run(stage.race(at("a"), at("b"), *resorts))
    assert won is not None
    assert stage.started == [
        (0.0, "a"),
        (MOST_STAGGER_S, "b"),
        (LAST_RESORT_S, "c"),
        (LAST_RESORT_S + MOST_STAGGER_S, "d"),
    ]
    assert stage.passed_over() == {"a", "b", "c"}


def test_a_last_resort_waits_though_one_of_the_others_has_failed(stage: Stage) -> None:
    """Another one is on its way, and may be slow."""
    stage.plays |= {"a": refusing(), "b": Play(0.5)}
    won = stage.run(stage.race(at("a"), at("b"), at("c", last_resort=True)))
    assert won is not None
    assert won.candidate == at("b")
    assert [address for _, address in stage.started] == ["a", "b"]


def test_a_last_resort_waits_no_longer_than_the_usual_where_every_other_one_has_failed_before(
    stage: Stage,
) -> None:
    """This process has met that already, and nothing new is to be learnt."""
    stage.local.failed(HOSTS["a"], stage.lasting)
    stage.plays["a"] = silent()
    won = stage.run(stage.race(at("a"), at("b", last_resort=True)))
    assert won is not None
    assert stage.started == [(0.0, "a"), (MOST_STAGGER_S, "b")]


def test_other_addresses_are_tried_before_a_last_resort(stage: Stage) -> None:
    """Of an endpoint that is no last resort."""
    stage.known[HOSTS["a"]] = (stage.now, ["a1", "a2"])
    stage.plays |= {"a1": silent(), "a2": silent()}
    won = stage.run(stage.race(named("a"), at("b", last_resort=True)))
    assert won is not None
    assert stage.started == [(0.0, "a1"), (MOST_STAGGER_S, "a2"), (LAST_RESORT_S, "b")]


def test_where_there_are_last_resorts_alone_the_first_one_starts_at_once(stage: Stage) -> None:
    """And the next one after the usual stagger."""
    stage.plays["a"] = silent()
    won = stage.run(stage.race(at("a", last_resort=True), at("b", last_resort=True)))
    assert won is not None
    assert stage.started == [(0.0, "a"), (MOST_STAGGER_S, "b")]


# ---- none is left, or the deadline is reached


def test_when_none_is_left_the_error_says_what_was_tried(stage: Stage) -> None:
    """Regions, reason codes and times, in the order of their ends."""
    denied = f'connection to server at "{HOSTS["b"]}", port 1 failed: FATAL:  access denied {CANARY}'
    stage.plays |= {"a": refusing(0.5), "b": Play(0.1, denied)}
    error = fails(stage, stage.race(at("a"), at("b")))
    assert [replace(attempt, took_s=round(attempt.took_s, 6)) for attempt in error.attempts] == [
        Attempt("us-east-2", HOSTS["b"], "login_rejected", 0.1),
        Attempt("us-east-1", HOSTS["a"], "refused", 0.5),
    ]
    assert str(error) == (
        "no endpoint can be connected to; us-east-2 login_rejected after 0.10 s; "
        "us-east-1 refused after 0.50 s; "
        "is the role mapped with AWS IAM GRANT, and may this IAM role dsql:DbConnect on the cluster?"
    )
    assert (stage.open_lines(), stage.passed_over()) == ([], {"a", "b"})


def test_only_a_rejected_login_has_the_error_ask_about_the_role(stage: Stage) -> None:
    """A refused connection says nothing about it."""
    stage.plays["a"] = refusing()
    assert str(fails(stage, stage.race(at("a")))) == (
        "no endpoint can be connected to; us-east-1 refused after 0.02 s"
    )


def test_at_its_deadline_every_silent_leg_has_failed(stage: Stage) -> None:
    """Last resorts too; everything is closed."""
    stage.plays |= {name: silent() for name in "abc"}
    error = fails(stage, stage.race(at("a"), at("b"), at("c", last_resort=True), timeout_s=1.0))
    assert stage.now - stage.began == pytest.approx(1.0)
    assert str(error).startswith("no endpoint answered within 1.0 s; us-east-1 timeout after 1.00 s; ")
    assert [attempt.reason for attempt in error.attempts] == ["timeout"] * 3
    assert (stage.open_lines(), stage.passed_over()) == ([], {"a", "b", "c"})


def test_at_its_deadline_an_endpoint_with_addresses_left_has_failed_too(stage: Stage) -> None:
    """There is no time for the others."""
    stage.known[HOSTS["a"]] = (stage.now, ["a1", "a2", "a3"])
    stage.plays |= {name: silent() for name in ("a1", "a2", "a3")}
    fails(stage, stage.race(named("a"), timeout_s=0.1))
    assert (stage.started, stage.passed_over()) == ([(0.0, "a1")], {"a"})


def test_who_logs_in_at_the_deadline_wins(stage: Stage) -> None:
    """What is there is not thrown away."""
    stage.plays["a"] = Play(1.0)
    won = stage.run(stage.race(at("a"), timeout_s=1.0))
    assert won is not None
    assert won.took_s == pytest.approx(1.0)


def test_nothing_of_what_a_server_or_libpq_wrote_is_in_the_error(stage: Stage) -> None:
    """Whatever it holds: hosts, users and tokens end up in messages."""
    messages = [
        REFUSED,
        f"FATAL:  password authentication failed for user {CANARY}",
        f"server certificate for {CANARY} does not match host name",
        CANARY,
    ]
    stage.plays |= {name: Play(0.0, message) for name, message in zip(HOSTS, messages, strict=True)}
    error = fails(stage, stage.race(*(at(name) for name in HOSTS)))
    assert [attempt.reason for attempt in error.attempts] == [
        "refused",
        "login_rejected",
        "certificate",
        "server_error",
    ]
    for text in (str(error), repr(error), repr(error.attempts), repr(error.__context__)):
        assert CANARY not in text
    assert not any(host in str(error) for host in HOSTS.values())


# ---- who is passed over


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("could not create socket: Too many open files", "internal"),
        ("out of memory", "internal"),
        ('root certificate file "/x" does not exist', "configuration"),
    ],
)
def test_a_fault_of_ours_says_nothing_about_the_endpoint(stage: Stage, message: str, reason: str) -> None:
    """The error says so; no endpoint is passed over for it."""
    stage.plays |= {"a": Play(0.0, message, bad=True), "b": Play(0.0, message)}
    error = fails(stage, stage.race(at("a"), at("b")))
    assert [attempt.reason for attempt in error.attempts] == [reason, reason]
    assert stage.passed_over() == set()


def test_what_signing_raises_comes_out_and_no_endpoint_is_passed_over(stage: Stage) -> None:
    """There is nothing to sign with; what was on its way is closed by abandoning."""

    def start(endpoint: Endpoint, address: str) -> Line:
        if endpoint == at("b").endpoint:
            raise NoCredentialsError("none")
        return Line(address)

    stage.plays["a"] = silent()
    race = stage.race(at("a"), at("b"), start=start)
    with pytest.raises(NoCredentialsError):
        stage.run(race)
    assert stage.open_lines() == ["a"]
    race.abandon()
    assert (stage.open_lines(), race.interests(), stage.passed_over()) == ([], {}, set())


def test_abandoning_closes_everything_and_judges_no_endpoint(stage: Stage) -> None:
    """A task was cancelled; calling it again does nothing."""
    stage.plays |= {"a": silent(), "b": silent()}
    race = stage.race(at("a"), at("b"), at("c"))
    assert stage.run(race, until_s=0.3) is None
    assert stage.open_lines() == ["a", "b"]
    race.abandon()
    race.abandon()
    assert (stage.open_lines(), race.interests(), stage.passed_over()) == ([], {}, set())


# ---- a login that has to prove itself


def test_a_login_is_asked_nothing_where_all_was_well_before(stage: Stage) -> None:
    """It costs a round trip."""
    assert stage.run(stage.race(at("a"))) is not None
    assert not stage.lines[0].asked


@pytest.mark.parametrize("before", ["silent", "failed"])
def test_a_login_whose_endpoint_was_silent_or_failed_before_wins_when_it_has_answered(
    stage: Stage, before: str
) -> None:
    """That ends the suspicion, or the passing over; the connection is handed over ready for use."""
    if before == "silent":
        stage.local.silent(HOSTS["a"], 0.0, stage.lasting)
    else:
        stage.local.failed(HOSTS["a"], stage.lasting)
    won = stage.run(stage.race(at("a"), at("b")))
    assert won is not None
    assert won.candidate == at("a")
    assert won.took_s == pytest.approx(2 * QUICK_S)
    assert stage.lines[0].asked
    assert (stage.open_lines(), stage.passed_over()) == (["a"], set())
    assert not stage.local.must_answer(HOSTS["a"])
    assert stage.local.stagger_s(at("a")) == pytest.approx(3 * QUICK_S)  # of the login alone


def test_an_endpoint_that_logs_in_and_then_is_silent_again_loses_and_is_passed_over(stage: Stage) -> None:
    """It had its stagger for the login and half of it for the answer; the next race begins elsewhere."""
    first = stage.lasting
    stage.local.silent(HOSTS["a"], 0.0, first)
    stage.plays["a"] = Play(answers_s=NEVER)
    won = stage.run(stage.race(at("a"), at("b")))
    assert won is not None
    assert won.candidate == at("b")
    assert stage.started == [(0.0, "a"), (MOST_STAGGER_S, "b")]
    assert (stage.open_lines(), stage.passed_over()) == (["b"], {"a"})
    assert stage.local.silent_at(HOSTS["a"]) == first, "a lost race is no silent connection"


def test_a_login_that_was_asked_is_waited_for_to_read_alone_and_won_with_its_answer_read(
    stage: Stage,
) -> None:
    """A wait for a descriptor that is always writable would spin; a result left over spoils the next one."""
    stage.local.failed(HOSTS["a"], stage.lasting)
    stage.plays["a"] = Play(answers_s=0.1)
    race = stage.race(at("a"))
    assert stage.run(race, until_s=0.05) is None
    (line,) = stage.lines
    assert race.interests() == {line.socket: select.POLLIN | select.POLLHUP | select.POLLERR}
    assert stage.run(race) is not None
    assert line.results == []


def test_a_statement_that_finds_no_room_in_the_socket_is_sent_when_there_is_some(stage: Stage) -> None:
    """The race waits to write as well, until all of it is sent."""
    stage.local.failed(HOSTS["a"], stage.lasting)
    stage.plays["a"] = Play(full=True)
    assert stage.run(stage.race(at("a"), timeout_s=1.0)) is not None
    assert stage.lines[0].sent


def test_a_login_whose_connection_is_lost_before_it_has_answered_has_failed(stage: Stage) -> None:
    """The next candidate starts at once, and the error says how the connection ended."""
    stage.local.failed(HOSTS["a"], stage.lasting)
    stage.plays["a"] = Play(lost="server closed the connection unexpectedly")
    won = stage.run(stage.race(at("a"), at("b")))
    assert won is not None
    assert won.candidate == at("b")
    assert stage.started == [(0.0, "a"), (pytest.approx(2 * QUICK_S), "b")]
    assert stage.open_lines() == ["b"]
    error = fails(stage, stage.race(at("a")))
    assert [attempt.reason for attempt in error.attempts] == ["reset"]


def test_an_endpoint_that_still_answers_nothing_after_its_time_is_passed_over_for_twice_as_long(
    stage: Stage,
) -> None:
    """A login ends nothing."""
    stage.local.failed(HOSTS["a"], stage.lasting)
    stage.now += 4.0
    assert stage.passed_over() == set()
    stage.plays["a"] = Play(answers_s=NEVER)
    assert stage.run(stage.race(at("a"), at("b"))) is not None
    stage.now += 7.9
    assert stage.passed_over() == {"a"}
    stage.now += 0.1
    assert stage.passed_over() == set()


def test_a_login_that_does_not_answer_ends_with_the_deadline(stage: Stage) -> None:
    """Where there is no other endpoint."""
    stage.local.silent(HOSTS["a"], 0.0, stage.lasting)
    stage.plays["a"] = Play(answers_s=NEVER)
    error = fails(stage, stage.race(at("a"), timeout_s=1.0))
    assert [attempt.reason for attempt in error.attempts] == ["timeout"]
    assert (stage.open_lines(), stage.passed_over()) == ([], {"a"})
    assert stage.local.silent_at(HOSTS["a"]) == stage.lasting


@pytest.mark.parametrize(("login_s", "is_blamed"), [(0.055, True), (0.065, False), (0.08, False)])
def test_a_login_that_was_asked_a_moment_ago_has_only_lost_the_race(
    stage: Stage, login_s: float, is_blamed: bool
) -> None:
    """One dropped connection and one slow login take no pool away from an endpoint that works.

    The stagger is 0.06 s and the next one wins at 0.09 s: what counts is whether 0.03 s were left to answer.
    """
    stage.local.connected(HOSTS["a"], QUICK_S, stage.lasting - 10)
    opened_at, dropped_at = stage.lasting - 100, stage.lasting - 1
    stage.local.silent(HOSTS["a"], opened_at, dropped_at)
    stage.plays |= {"a": Play(login_s, answers_s=NEVER), "b": Play(0.03)}
    won = stage.run(stage.race(at("a"), at("b")))
    assert won is not None
    assert won.candidate == at("b")
    assert won.took_s == pytest.approx(0.09)
    assert stage.passed_over() == ({"a"} if is_blamed else set())
    assert stage.local.silent_at(HOSTS["a"]) == dropped_at
    assert stage.local.must_answer(HOSTS["a"]), "nothing has answered there yet"
    care = PoolCare(stage.endpoints, PoolPolicy(), 20, lambda _low, high: high)
    verdict = care.treatment(HOSTS["a"], opened_at=opened_at, used_at=stage.lasting)
    assert verdict is (Treatment.REPLACE if is_blamed else Treatment.USE)


def test_a_login_that_was_asked_just_before_the_deadline_is_no_silent_connection(stage: Stage) -> None:
    """The endpoint has failed, since it gave no result in all its time."""
    dropped_at = stage.lasting - 1
    stage.local.silent(HOSTS["a"], 0.0, dropped_at)
    stage.plays["a"] = Play(0.98, answers_s=NEVER)
    fails(stage, stage.race(at("a"), timeout_s=1.0))
    assert (stage.open_lines(), stage.passed_over()) == ([], {"a"})
    assert stage.local.silent_at(HOSTS["a"]) == dropped_at


# ---- too many connections


def overloaded(after_s: float = QUICK_S) -> Play:
    return Play(
        after_s, f'connection to server at "{HOSTS["a"]}", port 1 failed: FATAL:  too many connections'
    )


def test_an_overloaded_endpoint_is_not_passed_over_and_the_next_one_starts_at_once(stage: Stage) -> None:
    """It works; so does the other one."""
    stage.plays["a"] = overloaded()
    won = stage.run(stage.race(at("a"), at("b")))
    assert won is not None
    assert won.candidate == at("b")
    assert stage.started == [(0.0, "a"), (pytest.approx(QUICK_S), "b")]
    assert stage.passed_over() == set()


def test_an_overloaded_endpoint_is_tried_again_at_growing_distances_while_there_is_time(
    stage: Stage,
) -> None:
    """The last error says what it said each time."""
    stage.plays["a"] = overloaded()
    error = fails(stage, stage.race(at("a"), timeout_s=5.0))
    assert [started for started, _ in stage.started] == [
        0.0,
        pytest.approx(0.52),
        pytest.approx(1.54),
        pytest.approx(3.56),
    ]
    assert [attempt.reason for attempt in error.attempts] == ["too_many_connections"] * 4
    assert stage.now - stage.began == pytest.approx(5.0)
    assert (stage.open_lines(), stage.passed_over()) == ([], set())


def test_an_endpoint_whose_overload_is_over_wins(stage: Stage) -> None:
    """A survivor that a whole fleet comes to."""
    stage.plays["a"] = overloaded()
    race = stage.race(at("a"))
    assert stage.run(race, until_s=0.3) is None
    stage.plays["a"] = Play()
    won = stage.run(race)
    assert won is not None
    assert won.took_s == pytest.approx(0.54)


def test_no_last_resort_starts_for_an_overload(stage: Stage) -> None:
    """A drained Region is not where a crowd sends a client; nor does one that has failed before delay it."""
    stage.local.failed(HOSTS["c"], stage.lasting)
    stage.plays |= {"a": overloaded(), "c": refusing()}
    race = stage.race(at("a"), at("c"), at("b", last_resort=True))
    assert stage.run(race, until_s=3.0) is None
    assert {address for _, address in stage.started} == {"a", "c"}
    stage.plays["a"] = Play()
    won = stage.run(race)
    assert won is not None
    assert won.candidate == at("a")


def test_the_other_addresses_of_an_overloaded_endpoint_are_left_alone(stage: Stage) -> None:
    """They lead to the same cluster."""
    stage.known[HOSTS["a"]] = (stage.now, ["a1", "a2", "a3"])
    stage.plays["a1"] = overloaded()
    assert stage.run(stage.race(named("a")), until_s=0.5) is None
    assert stage.started == [(0.0, "a1")]
    assert stage.run(stage.race(named("a")), until_s=4.0) is None
    assert {address for _, address in stage.started} == {"a1"}


def test_the_other_addresses_of_another_endpoint_are_tried_after_an_overload(stage: Stage) -> None:
    """It is another cluster's, as far as a client knows."""
    stage.known |= {HOSTS["a"]: (stage.now, ["a1"]), HOSTS["b"]: (stage.now, ["b1", "b2"])}
    stage.plays |= {"a1": overloaded(0.3), "b1": silent()}
    won = stage.run(stage.race(named("a"), named("b")))
    assert won is not None
    assert won.candidate == named("b")
    assert stage.open_lines() == ["b2"]


def test_each_of_several_overloaded_endpoints_is_tried_again(stage: Stage) -> None:
    """The one whose overload ends first wins, whichever it is."""
    stage.plays |= {"a": overloaded(), "b": overloaded()}
    race = stage.race(at("a"), at("b"))
    assert stage.run(race, until_s=0.1) is None
    stage.plays["b"] = Play()
    won = stage.run(race)
    assert won is not None
    assert won.candidate == at("b")


def test_a_race_waits_for_its_turn_at_an_endpoint_that_refused_another_one(stage: Stage) -> None:
    """All connects of a process take turns; one that gets none says why."""
    stage.local.overloaded(HOSTS["a"], 0.0, stage.lasting)
    error = fails(stage, stage.race(at("a"), timeout_s=0.25))
    assert stage.started == []
    assert [(attempt.region, attempt.reason) for attempt in error.attempts] == [
        ("us-east-1", "too_many_connections")
    ]
    assert [attempt.took_s for attempt in error.attempts] == [0.0]
    won = stage.run(stage.race(at("a")))
    assert won is not None
    assert won.took_s == pytest.approx(0.25 + QUICK_S)


# ---- a process that stood still


def test_a_process_that_was_frozen_in_a_race_blames_no_endpoint_for_its_silence(stage: Stage) -> None:
    """A sandbox's monotonic clock stood still with it: the lasting clock alone shows it."""
    stage.plays["a"] = silent()
    race = stage.race(at("a"), at("b"))
    assert stage.run(race, until_s=0.1) is None
    stage.frozen_s += 600
    won = stage.run(race)
    assert won is not None
    assert won.candidate == at("b")
    assert stage.passed_over() == set()


def test_a_connection_that_was_given_up_by_a_server_meanwhile_is_no_fault_of_its_endpoint(
    stage: Stage,
) -> None:
    """One that is refused is, whenever it is seen; and so is one that started afterwards."""
    gone = "server closed the connection unexpectedly"
    stage.plays |= {"a": Play(0.2, gone), "b": Play(QUICK_S, gone), "c": refusing()}
    race = stage.race(at("a"), at("b"), at("c"), at("d"))
    assert stage.run(race, until_s=0.1) is None
    stage.frozen_s += 600
    assert stage.run(race) is not None
    assert stage.passed_over() == {"b", "c"}


@pytest.mark.parametrize(("late_s", "blamed"), [(0.2, {"a"}), (0.3, set())])
def test_a_process_that_was_held_up_for_longer_than_a_quarter_of_a_second_blames_no_endpoint(
    stage: Stage, late_s: float, blamed: set[str]
) -> None:
    """A shorter delay is usual on a busy machine."""
    stage.plays["a"] = silent()
    race = stage.race(at("a"), at("b"))
    assert stage.run(race, until_s=0.1) is None
    race.pause_s()
    stage.now += race.pause_s() + late_s
    assert stage.run(race) is not None
    assert stage.passed_over() == blamed


def test_a_frozen_time_is_not_a_races_own(stage: Stage) -> None:
    """Its deadline counts time in use: what is left of it is enough to connect."""
    stage.plays["a"] = Play(0.5)
    race = stage.race(at("a"), timeout_s=1.0)
    assert stage.run(race, until_s=0.1) is None
    stage.frozen_s += 600
    assert stage.run(race) is not None


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_wall_clock_that_jumps_in_a_race_changes_nothing_but_whom_it_blames(
    stage: Stage, jump_s: float
) -> None:
    """The lasting clock jumps forward with it and never back."""
    stage.plays |= {"a": silent(), "b": silent()}
    race = stage.race(at("a"), at("b"), at("c"), timeout_s=1.0)
    assert stage.run(race, until_s=0.3) is None
    stage.frozen_s += max(jump_s, 0.0)
    won = stage.run(race)
    assert won is not None
    assert [started for started, _ in stage.started] == [0.0, MOST_STAGGER_S, 2 * MOST_STAGGER_S]
    assert stage.passed_over() == ({"a", "b"} if jump_s < 0 else set())


def test_other_addresses_are_started_in_the_order_of_their_endpoints(stage: Stage) -> None:
    """The second address of the best endpoint comes before that of the next one."""
    stage.known |= {HOSTS[name]: (stage.now, [f"{name}1", f"{name}2"]) for name in ("a", "b")}
    stage.plays |= {address: silent() for address in ("a1", "a2", "b1")}
    assert stage.run(stage.race(named("a"), named("b"))) is not None
    assert [address for _, address in stage.started] == ["a1", "b1", "a2", "b2"]


# ---- names


def test_a_fresh_address_is_used_without_a_look_up(stage: Stage) -> None:
    """It was found half a minute ago at the most."""
    stage.known[HOSTS["a"]] = (stage.now - 30, ["a1"])
    assert stage.run(stage.race(named("a"))) is not None
    assert (stage.started, stage.looked_up) == ([(0.0, "a1")], [])


@pytest.mark.parametrize(
    ("found_after_s", "address", "started_s"),
    [(0.03, "new", 0.03), (0.05, "new", 0.05), (0.2, "old", 0.05), (NEVER, "old", 0.05)],
)
def test_an_older_address_is_used_if_a_new_look_up_takes_longer(
    stage: Stage, found_after_s: float, address: str, started_s: float
) -> None:
    """A look-up that is quick is waited for; one that stalls costs a twentieth of a second."""
    stage.known[HOSTS["a"]] = (stage.now - 31, ["old"])
    stage.names[HOSTS["a"]] = (found_after_s, ["new"])
    assert stage.run(stage.race(named("a"), at("b"))) is not None
    assert [each for _, each in stage.started] == [address]
    assert stage.started[0][0] == pytest.approx(started_s, abs=0.006)
    assert stage.looked_up == [HOSTS["a"]]


def test_a_look_up_that_fails_has_the_last_good_addresses_used(stage: Stage) -> None:
    """However old they are."""
    stage.known[HOSTS["a"]] = (stage.now - 86_400, ["old"])
    stage.names[HOSTS["a"]] = (0.01, [])
    assert stage.run(stage.race(named("a"))) is not None
    assert [address for _, address in stage.started] == ["old"]


def test_a_name_without_addresses_has_failed(stage: Stage) -> None:
    """The next candidate starts at once, and the error has the reason."""
    stage.names |= {HOSTS["a"]: (0.01, []), HOSTS["b"]: (0.01, [])}
    error = fails(stage, stage.race(named("a"), named("b")))
    assert [(attempt.region, attempt.reason) for attempt in error.attempts] == [
        ("us-east-1", "name"),
        ("us-east-2", "name"),
    ]
    assert stage.now - stage.began < 0.05
    assert stage.passed_over() == {"a", "b"}


def test_a_look_up_that_stalls_is_silence(stage: Stage) -> None:
    """The next candidate starts after the stagger; one look-up is under way, however often one looks."""
    stage.names[HOSTS["a"]] = (NEVER, [])
    won = stage.run(stage.race(named("a"), at("b")))
    assert won is not None
    assert won.candidate == at("b")
    assert [address for _, address in stage.started] == ["b"]
    assert stage.started[0][0] == pytest.approx(MOST_STAGGER_S)
    assert stage.looked_up == [HOSTS["a"]]
    assert stage.passed_over() == {"a"}


def test_a_look_up_that_ends_late_may_still_win(stage: Stage) -> None:
    """The others are silent."""
    stage.names[HOSTS["a"]] = (0.6, ["a1"])
    stage.plays["b"] = silent()
    won = stage.run(stage.race(named("a"), at("b")))
    assert won is not None
    assert won.candidate == named("a")
    assert stage.passed_over() == set()


def test_a_look_up_that_never_ends_ends_with_the_deadline(stage: Stage) -> None:
    """There is nothing to close."""
    stage.names[HOSTS["a"]] = (NEVER, [])
    error = fails(stage, stage.race(named("a"), timeout_s=0.5))
    assert [attempt.reason for attempt in error.attempts] == ["timeout"]
    assert stage.lines == []


# ---- with libpq itself


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def real(*ports: int, credentials: Callable[[], Credentials] | None = None) -> Endpoints:
    """Endpoints that are dialled at these ports of this machine, in order."""
    chosen = list(HOSTS.values())[: len(ports)]
    return Endpoints(
        StaticList(chosen),
        dial={host: ("127.0.0.1", port) for host, port in zip(chosen, ports, strict=True)},
        credentials=credentials or (lambda: Credentials(CANARY, CANARY, CANARY)),
    )


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("dial", [Dialer.dial, lambda dialer: asyncio.run(dialer.dial_async())])
def test_a_real_race_without_a_winner_leaves_nothing_open_and_tells_no_secret(
    dial: Callable[[Dialer], Won[Any]],
) -> None:
    """One endpoint refuses and one accepts and is silent, as a frozen database does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoints = real(unused_port(), int(server.getsockname()[1]))
        dialer = Dialer(endpoints, Login(CANARY, timeout_s=0.6))
        before = descriptors()
        with pytest.raises(ConnectError, match=r"no endpoint answered within 0\.\d s") as caught:
            dial(dialer)
        assert descriptors() == before
    assert [(attempt.region, attempt.reason) for attempt in caught.value.attempts] == [
        ("us-east-1", "refused"),
        ("us-east-2", "timeout"),
    ]
    assert CANARY not in f"{caught.value!r} {caught.value} {caught.value.__context__!r}"
    assert "127.0.0.1" not in str(caught.value)
    now = endpoints.surroundings.clock()
    assert all(endpoints.surroundings.local.passed_over_since(HOSTS[name], now) is not None for name in "ab")


@pytest.mark.parametrize("dial", [Dialer.dial, lambda dialer: asyncio.run(dialer.dial_async())])
def test_without_credentials_nothing_is_tried_and_nothing_passed_over(
    dial: Callable[[Dialer], Won[Any]],
) -> None:
    """In a Lambda sandbox without keys, blocking or not: one kind of error, and no verdict."""
    endpoints = real(unused_port(), credentials=CredentialChain({"AWS_LAMBDA_FUNCTION_NAME": "orders"}))
    with pytest.raises(ConnectError, match="nothing was tried: the execution role's credentials") as caught:
        dial(Dialer(endpoints, Login("orders")))
    assert caught.value.attempts == ()
    assert endpoints.surroundings.local.passed_over_since(HOSTS["a"], endpoints.surroundings.clock()) is None


def test_an_event_loop_never_asks_for_credentials_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore may take seconds to find that there are none: a thread asks, and once."""
    askers: list[threading.Thread] = []

    def asked() -> object:
        askers.append(threading.current_thread())
        raise NoCredentialsError("none")

    monkeypatch.setattr("beacon.aws.credentials._new_session", asked)
    dialer = Dialer(real(unused_port(), credentials=CredentialChain({})), Login("orders"))
    with pytest.raises(ConnectError, match="nothing was tried: none"):
        asyncio.run(dialer.dial_async())
    assert len(askers) == 1
    assert askers[0] is not threading.main_thread()


@pytest.mark.parametrize("dial", [Dialer.dial, lambda dialer: asyncio.run(dialer.dial_async())])
def test_where_no_endpoint_is_known_the_error_says_what_the_sources_said(
    dial: Callable[[Dialer], Won[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is their trouble, and no attempt; a connect waits until they have been asked, no longer."""
    monkeypatch.setattr("beacon.client.sources._DNS_S", 0.1)
    record = DnsRecord("db.example.org", nameservers=["127.0.0.1"], port=unused_port())
    with Endpoints(record, credentials=lambda: Credentials("a", "b")) as endpoints:
        with pytest.raises(ConnectError) as caught:
            dial(Dialer(endpoints, Login("orders", timeout_s=30)))
        said = endpoints.status()[0].problem
    assert "leads to no DSQL endpoint" in said
    assert str(caught.value) == f"no endpoint is known; dns:db.example.org: {said}"
    assert (caught.value.attempts, caught.value.problems) == ((), (f"dns:db.example.org: {said}",))


def test_a_login_that_fails_by_its_caller_s_own_fault_passes_over_no_endpoint(stage: Stage) -> None:
    """A proxy's client with a wrong role must not move the others."""
    stage.plays |= {"a": Play(0.0, REFUSED), "b": Play(0.0, REFUSED)}
    candidates = (at("a"), at("b"))
    fails(
        stage,
        Race(candidates, stage.endpoints.surroundings, stage._start, 5.0, lambda line: line.address == "a"),
    )
    assert stage.passed_over() == {"b"}
