"""Random nights of one endpoint on a virtual clock: a probe keeps its promises in whatever order things come.

Each sequence is a list of moments. Before each of them some time passes, in use or frozen, and the database
may change how it takes logins and how it answers; then one probe runs. The promises that are held against
each report are those of the outcome table and of :mod:`beacon.dsql.login_watch`, told by what the database
did and not by what the probe remembers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.fake_database import DRAIN, ENDPOINT, HOST, NEVER, NOBODY, SETTINGS, FakeSession, Step, World

from beacon.dsql.probe import DsqlProbe, ProbeContext
from beacon.dsql.resolver import Resolver
from beacon.dsql.session import SessionError
from beacon.model import ProbeReport
from beacon.outcome import ProbeOutcome, Reason

_DEADLINE_S: Final = 1.0
#: A login is tried this long after the last one at the latest, and never sooner after an overload.
_LATEST_S, _SOONEST_S = 45.0, 30.0
_PATIENCE_S: Final = 15.0
#: What a probe may take beyond its deadline: the glance at a silent connection.
_TOLERANCE_S: Final = 0.002
#: Logins of one probe at the most: two for the new connection, two more where its first statement failed.
_MOST_LOGINS: Final = 4

#: How logins end: accepted, refused in one of the ways that are a verdict, too many of them, or not at all.
_LOGINS: Final[dict[str, SessionError | None]] = {
    "taken": None,
    "refused": SessionError(Reason.REFUSED),
    "rejected": SessionError(Reason.LOGIN_REJECTED, "28000"),
    "reset": SessionError(Reason.RESET),
    "overloaded": SessionError(Reason.TOO_MANY_CONNECTIONS, "53300"),
    "silent": None,
}
_VERDICTS: Final = frozenset({"refused", "rejected", "reset"})


@dataclass(frozen=True)
class Moment:
    """What is true of the database while one probe runs, and how long ago the last one was."""

    used_s: float = 1.0
    frozen_s: float = 0.0
    login: str = "taken"
    login_s: float = 0.02
    answer: str = "rows"
    answer_s: float = 0.005
    drained: bool = False
    #: Whether the server has ended the open session meanwhile.
    ended: bool = False

    @property
    def answers(self) -> bool:
        """Whether an open session answers well inside the deadline."""
        return self.answer == "rows" and not self.ended and self.answer_s <= 0.9 * _DEADLINE_S

    @property
    def tells_of_logins(self) -> bool:
        """Whether a new connection gets an answer, well inside the deadline, that is no failure."""
        taken = self.login == "taken" and self.answer == "rows" and self.answer_s <= 0.25
        return taken or self.login == "overloaded"

    @property
    def statement(self) -> Step:
        """The result of each statement."""
        outcomes: dict[str, Step] = {
            "rows": (self.answer_s, DRAIN if self.drained else NOBODY),
            "silence": (NEVER, NOBODY),
            "error": (self.answer_s, SessionError(Reason.SERVER_ERROR, "XX000")),
            "conflict": (self.answer_s, SessionError(Reason.SERVER_ERROR, "40001")),
        }
        return outcomes[self.answer]

    @property
    def connect(self) -> Step:
        """The result of each login."""
        return (NEVER if self.login == "silent" else self.login_s, _LOGINS[self.login] or [])


@dataclass
class Night:
    """One endpoint, one sandbox's probe of it, and when the database began to do what it does."""

    probe: DsqlProbe
    world: World
    patient: bool
    last_login_at: float = float("-inf")
    last_overload_at: float = float("-inf")
    #: Since when logins end as they do now, and when a probe first met silent ones that it had to see.
    login: str = ""
    since: float = 0.0
    silence_seen_at: float | None = None
    #: Since when new connections have come to nothing, other than by an overload.
    unanswered_since: float | None = None
    told: list[str] = field(default_factory=list)

    @property
    def now(self) -> float:
        """The lasting clock."""
        return self.world.now + self.world.frozen_s

    def live(self, moment: Moment) -> None:
        """Let the time pass, make one probe and hold its report against every promise."""
        world = self.world
        world.now += moment.used_s
        world.frozen_s += moment.frozen_s
        if _kind(moment.login) != _kind(self.login):
            self.since, self.silence_seen_at = self.now, None
        self.login = moment.login
        held = self._set_the_stage(moment)
        logins, began = len(world.opened), self.now
        deadline = world.now + _DEADLINE_S
        report = self._look(deadline)
        logins = len(world.opened) - logins
        self.told.append(f"{began - 1000:.2f} {moment} -> {report.observation}, {logins} logins")
        assert world.now <= deadline + _TOLERANCE_S, "the deadline is held"
        assert world.open_sessions <= 1, "at most one session is left open"
        assert logins <= _MOST_LOGINS
        if logins:
            self.last_login_at = self.now
            if self.unanswered_since is None and not moment.tells_of_logins:
                self.unanswered_since = began
        assert self.now - self.last_login_at <= _LATEST_S + _DEADLINE_S, "a login is tried every minute"
        self._judge(moment, report, began, held=held)
        self._judge_overload(moment, report, began, held=held, logins=logins)
        if logins and moment.tells_of_logins:
            self.unanswered_since = None

    def _set_the_stage(self, moment: Moment) -> bool:
        """Have the database do what ``moment`` says; return whether a session is open and answers."""
        world = self.world
        statements: list[Step] = [moment.statement] * 8
        world.connects = [moment.connect] * 8
        world.queries = [list(statements) for _ in range(8)]
        held = [session for session in world.sessions if not session.closed]
        for session in held:
            end: list[Step] = [(0.001, SessionError(Reason.RESET))]
            session._steps = (end if moment.ended else []) + list(statements)
        return bool(held) and moment.answers

    def _look(self, deadline: float) -> ProbeReport:
        if not self.patient and self.probe.ask() is not None:
            # As the publisher does it: all are asked first, and a moment later it listens.
            self.world.now += 0.01
            report = self.probe.hear()
            if report is not None:
                return report
        return self.probe.run(deadline)

    def _judge(self, moment: Moment, report: ProbeReport, began: float, *, held: bool) -> None:
        outcome = report.observation.outcome
        if moment.login == "taken" and moment.answer == "rows" and moment.answer_s <= 0.3:
            assert outcome is ProbeOutcome.PASS, "what is well passes at once, whatever was before"
        if moment.login in _VERDICTS and began - self.since >= _LATEST_S:
            assert outcome is ProbeOutcome.FAIL, "refused logins are seen within 45 s and one request"
        if moment.login == "silent" and began - self.since >= _LATEST_S:
            if self.silence_seen_at is None:
                self.silence_seen_at = began
            elif began - self.silence_seen_at >= _PATIENCE_S + _DEADLINE_S:
                assert outcome is ProbeOutcome.FAIL, "silent logins are seen after the patience"
        unanswered_s = 0.0 if self.unanswered_since is None else began - self.unanswered_since
        if self.patient and held and moment.login == "silent" and unanswered_s < _PATIENCE_S - _DEADLINE_S:
            assert outcome is ProbeOutcome.PASS, (
                "logins that are silent for less than the patience are no failure"
            )
        if held and moment.drained:
            assert report.intents is not None, (
                "a drain that was read is reported, with any result of the login"
            )

    def _judge_overload(
        self, moment: Moment, report: ProbeReport, began: float, *, held: bool, logins: int
    ) -> None:
        if moment.login != "overloaded":
            if logins:
                # A login that met something else has ended what was known of the overload.
                self.last_overload_at = float("-inf")
            return
        if held:
            assert report.observation.outcome is ProbeOutcome.PASS, (
                "overload beside an answering session passes"
            )
            if moment.answer_s <= 0.25 and began - self.last_overload_at < _SOONEST_S:
                assert logins == 0, "an overloaded endpoint is left alone"
        if logins:
            self.last_overload_at = began
        if not self.world.open_sessions:
            # Without a session there is no other way to ask.
            self.last_overload_at = float("-inf")


def _kind(login: str) -> str:
    return "verdict" if login in _VERDICTS else login


#: Mostly calm, so that what was met a while ago is not washed away by the next thing.
_MOMENTS = st.builds(
    Moment,
    used_s=st.sampled_from([1.0, 1.0, 4.0, 10.0, 16.0, 31.0]),
    frozen_s=st.sampled_from([0.0, 0.0, 0.0, 50.0, 50.0, 2500.0]),
    login=st.sampled_from(["taken", "silent", "silent", "overloaded", "overloaded", *sorted(_VERDICTS)]),
    login_s=st.sampled_from([0.02, 0.02, 0.12]),
    answer=st.sampled_from(["rows"] * 9 + ["silence", "error", "conflict"]),
    answer_s=st.sampled_from([0.005, 0.005, 0.005, 0.08, 0.25, 0.5, 0.85]),
    drained=st.booleans(),
    ended=st.sampled_from([False] * 9 + [True]),
)
#: Each moment is repeated, because what is promised is promised of what lasts.
_NIGHTS = st.lists(st.tuples(_MOMENTS, st.integers(1, 6)), min_size=1, max_size=12)


@settings(
    max_examples=examples(500),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# A login that was silent once, an overload, and another slow login long after: no silence that lasts.
@example(
    night=[
        (Moment(frozen_s=50.0, login="silent"), 1),
        (Moment(login="overloaded", answer_s=0.08), 6),
        (Moment(used_s=44.0, login="silent"), 1),
    ],
    patient=True,
    share=0.5,
)
# An overload that lasts longer than a session is kept.
@example(night=[(Moment(used_s=44.0, login="overloaded"), 90)], patient=True, share=0.0)
# A refused login between two overloads: the next probe asks again at once.
@example(
    night=[
        (Moment(login="overloaded", answer_s=0.5), 1),
        (Moment(login="refused", answer_s=0.5), 1),
        (Moment(login="overloaded"), 1),
    ],
    patient=False,
    share=0.0,
)
# The session that is open reads a drain, and the login beside it fails.
@example(night=[(Moment(frozen_s=50.0, login="refused", drained=True), 2)], patient=True, share=0.5)
@given(night=_NIGHTS, patient=st.booleans(), share=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_probe_keeps_its_promises_in_every_sequence(
    *, night: list[tuple[Moment, int]], patient: bool, share: float
) -> None:
    """The deadline, one session, the minute, the verdicts of logins, overload, healing and the drain."""
    with pytest.MonkeyPatch.context() as patch:
        _live_through(night, _night_of(patch, patient=patient, share=share))


def _night_of(patch: pytest.MonkeyPatch, *, patient: bool, share: float) -> Night:
    world = World()
    world.take_the_place_of_libpq(patch)
    resolver = Resolver()
    patch.setattr(resolver, "resolve", world.resolve)
    context = ProbeContext(
        SETTINGS,
        resolver,
        credentials=world.credentials,
        clock=lambda: world.now,
        lasting=lambda: world.now + world.frozen_s,
        now=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        jitter=lambda low, high: low + share * (high - low),
    )
    probe = DsqlProbe(ENDPOINT, context, "us-east-1" if patient else None)
    assert (ENDPOINT.host, FakeSession.world) == (HOST, world)
    return Night(probe, world, patient)


def _live_through(moments: list[tuple[Moment, int]], night: Night) -> None:
    night.live(Moment())
    try:
        for moment, times in moments:
            for _ in range(times):
                night.live(moment)
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *night.told])) from error
    night.probe.close()
    assert night.world.open_sessions == 0
