"""Probe an endpoint: one real SELECT under one deadline, over a reused connection where there is one.

=============================================  ==========================================================
what happens on the way                        what the probe does
=============================================  ==========================================================
the open connection fails, whatever the way    one fresh connection inside the same deadline
the open connection is silent                  after a third of the deadline a fresh one is opened besides;
                                               the silent one still counts if it answers before the end,
                                               because a slow database is not a dead one
optimistic-concurrency conflict                the statement is run once more
``beacon.intent`` missing or not readable      pass with a warning: the database answered
no credentials for a fresh connection          unknown: our own fault
this process stood still past the deadline     look once more: that time-out is not the endpoint's
=============================================  ==========================================================

A connection is retired before DSQL ends it at 60 minutes, with jitter, and each connect signs a new token.
Kinds of target are kept in :data:`PROBES`; the first is ``dsql``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from beacon.credentials import NoCredentialsError, find_credentials
from beacon.intent import ALL_REGIONS, ONE_REGION, MalformedIntentError, parse_intents
from beacon.model import Endpoint, Observation, Outcome, ProbeReport
from beacon.outcome import CONFLICT, INTENT_UNREADABLE, UNREADABLE, Reason, outcome_of
from beacon.resolver import NameNotResolvedError, Resolver
from beacon.session import Row, Session, SessionError
from beacon.settings import Settings
from beacon.token import Credentials, sign_token
from beacon.trust import system_ca_file

__all__ = ["PROBES", "REUSED_SHARE", "AskingProbe", "DsqlProbe", "Probe", "ProbeContext"]

#: DSQL ends a connection at 60 minutes; ours live 40 to 55.
_AGE_S = (2400.0, 3300.0)
#: The share of the deadline that a reused connection has to itself before a fresh one is opened.
REUSED_SHARE = 1 / 3
#: What is kept of the deadline for a last look at a silent connection, and how long a look in between takes.
_LAST_LOOK_S, _GLANCE_S = 0.01, 0.001
#: No wait here ends so late after its deadline, however busy the machine is: the sandbox was stopped, or its
#: clock jumped. Less would take a slow scheduler for that, and look twice at an endpoint that is silent.
_OVERSLEPT_S = 0.25


class Probe(Protocol):
    """Looks at one endpoint, again and again. Not to be shared between threads."""

    def run(self, deadline: float) -> ProbeReport:
        """Probe once; return before ``deadline`` on the context's monotonic clock, whatever the fault."""

    def close(self) -> None:
        """Let go of whatever is open."""


@runtime_checkable
class AskingProbe(Probe, Protocol):
    """A probe whose open connection can be asked, and its answer taken, by who waits for several at once.

    :meth:`ask` first; while :attr:`asked`, :meth:`hear` whenever the descriptor is readable; and
    :meth:`Probe.run` goes on from wherever that has led to, with the deadline of the moment of asking.
    """

    @property
    def asked(self) -> bool:
        """Whether an answer is awaited."""

    def ask(self) -> int | None:
        """Send the question; the descriptor to wait for, or ``None`` where there is nothing to wait for."""

    def hear(self) -> ProbeReport | None:
        """What has come, if it settles the matter. Never blocks for more than a moment."""


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """What probes take from outside, so that tests can put their own in place."""

    settings: Settings
    resolver: Resolver
    credentials: Callable[[], Credentials] = find_credentials
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    jitter: Callable[[float, float], float] = random.uniform


@dataclass(frozen=True, slots=True)
class _Late:
    """A session whose answer is overdue, and when it was asked."""

    session: Session
    started: float


class DsqlProbe:
    """Probes an Aurora DSQL endpoint with a SELECT that reads the operators' intents.

    ``only_region`` reads that Region's intent alone, which is a point read.
    """

    def __init__(self, endpoint: Endpoint, context: ProbeContext, only_region: str | None = None) -> None:
        settings = context.settings
        self._endpoint = endpoint
        self._context = context
        self._statement = ALL_REGIONS if only_region is None else ONE_REGION
        self._parameters = [settings.service, settings.target]
        if only_region is not None:
            self._parameters.append(only_region)
        self._ca_file = settings.ca_file or system_ca_file()
        self._session: Session | None = None
        self._retire_at = 0.0
        #: When the open connection was asked, while its answer has not been taken.
        self._asked_at: float | None = None
        #: Whether a connection broke while it was being asked, so that the next one is a reconnect.
        self._broke = False

    def run(self, deadline: float) -> ProbeReport:
        """See :class:`Probe`."""
        context = self._context
        try:
            report = self._look(deadline)
            timed_out = report.observation.reason == Reason.TIMEOUT.value
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
        session = self._usable_session()
        if session is None:
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
            rows = session.answer(self._context.clock() + _GLANCE_S)
            report = self._passed(asked_at, rows, reconnected=False)
        except SessionError as error:
            if error.sqlstate is None and error.reason is Reason.TIMEOUT:
                return None
            if error.sqlstate in UNREADABLE:
                report = self._passed(asked_at, None, reconnected=False)
            elif error.sqlstate in CONFLICT:
                self._asked_at = None
                return None
            else:
                self._drop()
                return None
        self._asked_at = None
        return report

    def _drop(self) -> None:
        """Let go of a connection that failed while it was open, which is no verdict."""
        self.close()
        self._broke = True

    def close(self) -> None:
        """See :class:`Probe`."""
        self._asked_at = None
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _look(self, deadline: float) -> ProbeReport:
        broke, self._broke = self._broke, False
        session = self._session if self.asked else self._usable_session()
        if session is None:
            return self._ask_fresh(deadline, reconnected=broke)
        return self._ask_reused(session, deadline)

    def _ask_reused(self, session: Session, deadline: float) -> ProbeReport:
        started = self._context.clock() if self._asked_at is None else self._asked_at
        try:
            return self._ask(session, started + (deadline - started) * REUSED_SHARE)
        except SessionError as error:
            if error.reason is not Reason.TIMEOUT:
                self.close()
                return self._ask_fresh(deadline, reconnected=True)
        self._session = None
        late = _Late(session, started)
        try:
            report = self._ask_fresh(deadline - _LAST_LOOK_S, reconnected=True, late=late)
            if report.observation.outcome is Outcome.PASS:
                return report
            return self._answer_of(late, deadline) or report
        finally:
            if self._session is not session:
                session.close()

    def _ask_fresh(self, deadline: float, *, reconnected: bool, late: _Late | None = None) -> ProbeReport:
        try:
            session = self._connect(deadline)
            # Before more time goes into the fresh one: the silent one may have answered meanwhile.
            if late is not None and (report := self._answer_of(late, self._context.clock() + _GLANCE_S)):
                session.close()
                return report
            return self._ask(session, deadline, reconnected=reconnected)
        except SessionError as error:
            self.close()
            return _report(error.reason, sqlstate=error.sqlstate, reconnected=reconnected)
        except NameNotResolvedError as error:
            return _report(Reason.TIMEOUT if error.stalled else Reason.NAME, reconnected=reconnected)
        except NoCredentialsError:
            return _report(Reason.NO_CREDENTIALS, reconnected=reconnected)

    def _answer_of(self, late: _Late, deadline: float) -> ProbeReport | None:
        """What a silent session says after all before ``deadline``; it is the probe's session again then."""
        try:
            report = self._passed(late.started, late.session.answer(deadline), reconnected=False)
        except SessionError as error:
            if error.sqlstate in CONFLICT:
                report = _report(Reason.CONFLICT, warning=INTENT_UNREADABLE)
            elif error.sqlstate in UNREADABLE:
                report = self._passed(late.started, None, reconnected=False)
            else:
                return None
        self._session = late.session
        return report

    def _usable_session(self) -> Session | None:
        if self._session is not None and self._context.clock() >= self._retire_at:
            self.close()
        return self._session

    def _connect(self, deadline: float) -> Session:
        context, endpoint, settings = self._context, self._endpoint, self._context.settings
        # Signed before the name is looked up: without credentials nothing is contacted.
        token = sign_token(endpoint.host, endpoint.region, context.credentials(), context.now())
        addresses, port = self._addresses(deadline)
        for last, address in _with_last(addresses):
            now = context.clock()
            try:
                session = Session.open(
                    host=endpoint.host,
                    port=port,
                    address=address,
                    user=settings.db_user,
                    password=token,
                    database=settings.database,
                    ca_file=self._ca_file,
                    # One dead address of several must not use up the time of the others.
                    deadline=deadline if last else now + (deadline - now) / 2,
                    clock=context.clock,
                )
            except SessionError as error:
                if last or error.reason not in {Reason.REFUSED, Reason.TIMEOUT, Reason.RESET}:
                    raise
                continue
            self._session = session
            self._retire_at = session.opened_at + context.jitter(*_AGE_S)
            return session
        raise NameNotResolvedError(stalled=False)

    def _addresses(self, deadline: float) -> tuple[Sequence[str], int]:
        endpoint = self._endpoint
        if endpoint.dial is not None:
            return [endpoint.dial[0]], endpoint.dial[1]
        found = self._context.resolver.resolve(endpoint.host, max(0.0, deadline - self._context.clock()))
        return found[:2], endpoint.port

    def _ask(self, session: Session, deadline: float, *, reconnected: bool = False) -> ProbeReport:
        for last_try in (False, True):
            asked_at, self._asked_at = self._asked_at, None
            started = self._context.clock() if asked_at is None else asked_at
            try:
                if asked_at is None:
                    rows = session.query(self._statement, self._parameters, deadline)
                else:
                    rows = session.answer(deadline)
            except SessionError as error:
                if error.sqlstate in CONFLICT:
                    if not last_try:
                        continue
                    return _report(Reason.CONFLICT, warning=INTENT_UNREADABLE, reconnected=reconnected)
                if error.sqlstate in UNREADABLE:
                    return self._passed(started, None, reconnected=reconnected)
                raise
            return self._passed(started, rows, reconnected=reconnected)
        raise AssertionError("the loop returns or raises")

    def _passed(self, started: float, rows: Sequence[Row] | None, *, reconnected: bool) -> ProbeReport:
        latency_ms = (self._context.clock() - started) * 1000
        intents = None
        if rows is not None:
            if not rows:
                raise SessionError(Reason.BAD_ANSWER)
            try:
                intents = parse_intents(rows)
            except MalformedIntentError:
                intents = None
        warning = INTENT_UNREADABLE if intents is None else None
        observation = Observation(
            Outcome.PASS, Reason.OK.value, latency_ms, warning=warning, reconnected=reconnected
        )
        return ProbeReport(observation, intents)


def _with_last(addresses: Sequence[str]) -> list[tuple[bool, str]]:
    return [(index == len(addresses) - 1, address) for index, address in enumerate(addresses)]


def _report(
    reason: Reason, *, sqlstate: str | None = None, warning: str | None = None, reconnected: bool = False
) -> ProbeReport:
    outcome = outcome_of(reason)
    if outcome is Outcome.UNKNOWN:
        warning = reason.value
    return ProbeReport(
        Observation(outcome, reason.value, warning=warning, sqlstate=sqlstate, reconnected=reconnected)
    )


#: The kinds of target that can be probed: name -> maker of a probe for an endpoint.
PROBES: Mapping[str, Callable[[Endpoint, ProbeContext, str | None], Probe]] = {"dsql": DsqlProbe}
