"""Probe an endpoint: one real SELECT under one deadline, over a reused connection where there is one.

=============================================  ==========================================================
what happens on the way                        what the probe does
=============================================  ==========================================================
the open connection fails in any way           one fresh connection inside the same deadline
the open connection is silent                  a second connection after a third of the deadline; the silent
                                               one still counts if it answers before the end, because a slow
                                               database is not a dead one
the last login is 30 to 45 s ago               the open connection answers first, then a login replaces it
a login fails, or the first statement after    one more login inside the same deadline, unless the server
it while the open connection answers           has too many connections or the time is used up
optimistic-concurrency conflict                the statement runs a second time
``beacon.intent`` missing or not readable      pass with a warning: the database answered
no credentials for a fresh connection          unknown: our own fault
this process stood still past the deadline     one more try: that timeout is not the endpoint's
=============================================  ==========================================================

What a new login's failure is worth while the open connection answers: :mod:`beacon.dsql.login_watch`. The
open connection stays open until its successor has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, runtime_checkable

from beacon.dsql.connector import Connector, ProbeContext
from beacon.dsql.intent import ALL_REGIONS, ONE_REGION, MalformedIntentError, parse_intents
from beacon.dsql.login_watch import PATIENCE_S, LoginWatch
from beacon.dsql.session import Row, Session, SessionError
from beacon.model import Endpoint, Intent, Observation, ProbeReport
from beacon.outcome import (
    CONFLICT,
    UNREADABLE,
    ProbeOutcome,
    Reason,
    outcome_of,
)

__all__ = ["REUSED_SHARE", "AskingProbe", "DsqlProbe", "Probe", "ProbeContext"]

#: The share of the deadline that a reused connection has to itself before a fresh one is opened, and the one
#: that is left of it while logins are silent: the login then has nearly the whole deadline.
REUSED_SHARE: Final = 1 / 3
_HURRIED_SHARE: Final = 0.05
#: What is kept of the deadline for a last look at a silent connection, and how long a look in between takes.
_LAST_LOOK_S, _GLANCE_S = 0.01, 0.001
#: No wait here ends so late after its deadline, however busy the machine is: the sandbox was stopped, or its
#: clock jumped. Less would take a slow scheduler for that, and look twice at an endpoint that is silent.
_OVERSLEPT_S: Final = 0.25
#: A login that ended so is not tried a second time in the same probe: there is no time, it would add load, or
#: the name has just been looked up.
_NO_SECOND_LOGIN: Final = frozenset({Reason.TIMEOUT, Reason.TOO_MANY_CONNECTIONS, Reason.NAME})


class Probe(Protocol):
    """Looks at one endpoint, again and again. Not to be shared between threads."""

    def run(self, deadline: float) -> ProbeReport:
        """Probe once; return before ``deadline`` on the context's monotonic clock, whatever the fault."""

    def close(self) -> None:
        """Close every open connection."""


@runtime_checkable
class AskingProbe(Probe, Protocol):
    """A probe for a caller that sends the SELECTs of several probes, and then waits for all their answers.

    Call :meth:`ask` first. While :attr:`asked`, call :meth:`hear` whenever the descriptor is readable.
    :meth:`Probe.run` continues from that state, with the deadline of :meth:`ask`.
    """

    @property
    def asked(self) -> bool:
        """Whether an answer is awaited."""

    def ask(self) -> int | None:
        """Send the question; the descriptor to wait for, or ``None`` where there is nothing to wait for."""

    def hear(self) -> ProbeReport | None:
        """What has come, if it settles the matter. Never blocks for more than a moment."""


@dataclass(frozen=True, slots=True)
class _Late:
    """A session whose answer is overdue, and when it was asked."""

    session: Session
    started: float


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a fresh connection gave no answer, and whether it was logged in."""

    reason: Reason
    sqlstate: str | None = None
    logged_in: bool = False


class DsqlProbe:
    """Probes an Aurora DSQL endpoint with a SELECT that reads the operators' intents.

    ``only_region`` reads that Region's intent alone, which is a point read, and is for the health function:
    its probes are one request apart, so it is patient with a login that is silent.
    """

    def __init__(self, endpoint: Endpoint, context: ProbeContext, only_region: str | None = None) -> None:
        settings = context.settings
        self._context = context
        self._connector = Connector(endpoint, context)
        self._statement = ALL_REGIONS if only_region is None else ONE_REGION
        self._parameters = [settings.service, settings.target]
        if only_region is not None:
            self._parameters.append(only_region)
        self._logins = LoginWatch(
            context.jitter, patience_s=0.0 if only_region is None else PATIENCE_S, speed=settings.speed
        )
        self._session: Session | None = None
        #: When the open connection was asked, while its answer has not been taken. Never outlives a round.
        self._asked_at: float | None = None
        #: Whether a connection broke while it was being asked, so that the next one is a reconnect.
        self._broke = False

    def run(self, deadline: float) -> ProbeReport:
        """See :class:`Probe`."""
        context = self._context
        try:
            report = self._look(deadline)
            observation = report.observation
            timed_out = observation.reason is Reason.TIMEOUT or observation.warning is Reason.SLOW_LOGIN
            if timed_out and context.clock() > deadline + _OVERSLEPT_S:
                report = self._look(context.clock() + context.settings.probe_deadline_s)
        except BaseException:
            # Whatever broke off half-way must not be read by the next probe.
            self.close()
            raise
        return report

    @property
    def asked(self) -> bool:
        """See :class:`AskingProbe`."""
        return self._asked_at is not None

    def ask(self) -> int | None:
        """See :class:`AskingProbe`."""
        if self.asked:
            # A round broke off before it took the answer, which would be taken for today's.
            self.close()
        session = self._session
        if session is None or self._logins.is_due(self._context.lasting()):
            return None
        try:
            session.send(self._statement, self._parameters)
        except SessionError:
            self._drop()
            return None
        self._asked_at = self._context.clock()
        return session.descriptor

    def hear(self) -> ProbeReport | None:
        """See :class:`AskingProbe`."""
        session, asked_at = self._session, self._asked_at
        if session is None or asked_at is None:
            return None
        try:
            report = self._judged(partial(session.answer, self._context.clock() + _GLANCE_S), asked_at)
        except SessionError as error:
            if error.sqlstate is not None or error.reason is not Reason.TIMEOUT:
                self._drop()
            return None
        self._asked_at = None
        return report

    def close(self) -> None:
        """See :class:`Probe`."""
        self._asked_at = None
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _drop(self) -> None:
        """Let go of a connection that failed while it was open, which is no verdict."""
        self.close()
        self._broke = True

    # ---- one look at the endpoint

    def _look(self, deadline: float) -> ProbeReport:
        broke, self._broke = self._broke, False
        session = self._session
        if session is None:
            return self._ask_fresh(deadline, reconnected=broke)
        started = self._context.clock() if self._asked_at is None else self._asked_at
        share = _HURRIED_SHARE if self._logins.silent else REUSED_SHARE
        try:
            report = self._ask(session, started + (deadline - started) * share)
        except SessionError as error:
            if error.reason is not Reason.TIMEOUT:
                self.close()
                return self._ask_fresh(deadline, reconnected=True)
            return self._ask_besides(_Late(session, started), deadline)
        if not self._logins.is_due(self._context.lasting()):
            return report
        found = self._replace(deadline, reconnected=False)
        # The latency of a session that was open already is what rankings compare.
        return self._weigh(report, found) if isinstance(found, _Failure) else report

    def _ask_fresh(self, deadline: float, *, reconnected: bool) -> ProbeReport:
        """Ask over a new connection while no other one is open."""
        found = self._connect_and_ask(deadline, reconnected=reconnected)
        if isinstance(found, _Failure):
            return _report(found.reason, sqlstate=found.sqlstate, reconnected=reconnected)
        return found

    def _ask_besides(self, late: _Late, deadline: float) -> ProbeReport:
        """Ask over a new connection while the open one is silent; whichever answers in time counts."""
        # Its answer is still to come; nothing else may be sent over it until then.
        self._session, self._asked_at = None, None
        try:
            found = self._replace(deadline - _LAST_LOOK_S, reconnected=True)
            if not isinstance(found, _Failure):
                return found
            report = self._answer_of(late, deadline)
            if report is None:
                return _report(found.reason, sqlstate=found.sqlstate, reconnected=True)
            self._session = late.session
            return self._weigh(report, found)
        finally:
            if self._session is not late.session:
                late.session.close()

    def _replace(self, deadline: float, *, reconnected: bool) -> ProbeReport | _Failure:
        """Ask over a new connection beside the open one; the second failure of its statement counts."""
        found = self._connect_and_ask(deadline, reconnected=reconnected)
        if isinstance(found, _Failure) and found.logged_in and found.reason is not Reason.TIMEOUT:
            found = self._connect_and_ask(deadline, reconnected=reconnected)
        return found

    def _connect_and_ask(self, deadline: float, *, reconnected: bool) -> ProbeReport | _Failure:
        """Log in, twice if need be, and ask; what answered takes the place of the open connection."""
        try:
            session = self._log_in(deadline)
        except SessionError as error:
            return _Failure(error.reason, error.sqlstate)
        try:
            report = self._ask(session, deadline, reconnected=reconnected)
        except SessionError as error:
            session.close()
            return _Failure(error.reason, error.sqlstate, logged_in=True)
        except BaseException:
            session.close()
            raise
        self._replace_by(session)
        return report

    def _log_in(self, deadline: float) -> Session:
        try:
            return self._connector.open(deadline)
        except SessionError as error:
            if error.reason in _NO_SECOND_LOGIN or outcome_of(error.reason) is ProbeOutcome.UNKNOWN:
                raise
            first = error
        try:
            return self._connector.open(deadline)
        except SessionError as error:
            # A second login for which there was no time left says less than the first one's refusal.
            raise first if error.reason is Reason.TIMEOUT else error from None

    def _replace_by(self, session: Session) -> None:
        """Keep ``session`` from now on, and close the one that was open."""
        self.close()
        self._session = session
        self._logins.succeeded(self._context.lasting())

    def _weigh(self, report: ProbeReport, failure: _Failure) -> ProbeReport:
        return self._logins.weigh(report, failure.reason, failure.sqlstate, self._context.lasting())

    # ---- one statement

    def _ask(self, session: Session, deadline: float, *, reconnected: bool = False) -> ProbeReport:
        """The answer to the statement, which is run once more after a conflict; raises ``SessionError``."""
        for _ in range(2):
            asked_at, self._asked_at = self._asked_at, None
            if asked_at is None:
                take = partial(session.query, self._statement, self._parameters, deadline)
            else:
                take = partial(session.answer, deadline)
            started = self._context.clock() if asked_at is None else asked_at
            report = self._judged(take, started, reconnected=reconnected)
            if report is not None:
                return report
        return _conflict(reconnected=reconnected)

    def _answer_of(self, late: _Late, deadline: float) -> ProbeReport | None:
        """What a silent session says after all before ``deadline``; ``None`` when that proves nothing."""
        try:
            report = self._judged(partial(late.session.answer, deadline), late.started)
        except SessionError:
            return None
        return report or _conflict()

    def _judged(
        self, take: Callable[[], Sequence[Row]], started: float, *, reconnected: bool = False
    ) -> ProbeReport | None:
        """The report on the rows that ``take`` returns; ``None`` for a conflict, which is worth one retry.

        Raises :class:`SessionError` for every answer that is a failure.
        """
        rows: Sequence[Row] | None = None
        try:
            rows = take()
        except SessionError as error:
            if error.sqlstate in CONFLICT:
                return None
            if error.sqlstate not in UNREADABLE:
                raise
        intents = None if rows is None else _intents_of(rows)
        observation = Observation(
            ProbeOutcome.PASS,
            Reason.OK,
            (self._context.clock() - started) * 1000,
            warning=Reason.INTENT_UNREADABLE if intents is None else None,
            reconnected=reconnected,
        )
        return ProbeReport(observation, intents)


def _intents_of(rows: Sequence[Row]) -> Mapping[str, Intent] | None:
    """What the rows say, or ``None`` where they make no sense; raises ``SessionError`` without any row."""
    if not rows:
        raise SessionError(Reason.BAD_ANSWER)
    try:
        return parse_intents(rows)
    except MalformedIntentError:
        return None


def _conflict(*, reconnected: bool = False) -> ProbeReport:
    """The report on a conflict that is not worth another try: the database is alive."""
    return _report(Reason.CONFLICT, warning=Reason.INTENT_UNREADABLE, reconnected=reconnected)


def _report(
    reason: Reason, *, sqlstate: str | None = None, warning: Reason | None = None, reconnected: bool = False
) -> ProbeReport:
    outcome = outcome_of(reason)
    if outcome is ProbeOutcome.UNKNOWN:
        warning = reason
    return ProbeReport(
        Observation(outcome, reason, warning=warning, sqlstate=sqlstate, reconnected=reconnected)
    )
