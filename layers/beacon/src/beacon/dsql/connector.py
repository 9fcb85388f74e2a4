"""Log in at an endpoint: every address of it, the one that worked last first, each with a fresh token.

==============================================  =========================================================
what happens                                    what the connector does
==============================================  =========================================================
it begins                                       starts at the address that logged in last, else the first
an address is refused, reset or times out       starts at the next one at once
an address is silent for its share of the time  also starts at the next one; the silent one may still win
one logs in                                     it wins; the others are closed
the server says no, or its certificate is not   fails with that reason: each address leads to the same
good                                            service
no address is left, or the deadline is reached  fails: ``timeout`` if one was still silent, else the
                                                reason of the last one
==============================================  =========================================================

The shares are equal and leave one for the last address, at most ``_MOST_STAGGER_S`` each: with two dead
addresses of three, the third one still has its login inside a probe's deadline.
"""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from beacon.aws.credentials import NoCredentialsError, find_credentials
from beacon.aws.sigv4 import Credentials
from beacon.dsql.libpq import VERSION
from beacon.dsql.login import signed_options, system_ca_file
from beacon.dsql.resolver import NameNotResolvedError, Resolver
from beacon.dsql.session import Session, SessionError
from beacon.model import Endpoint
from beacon.outcome import Reason
from beacon.settings import Settings
from beacon.suspend_clock import suspend_aware

__all__ = ["Connector", "ProbeContext"]

#: The longest that one address has to itself. A login takes 0.12 s from the same Region.
_MOST_STAGGER_S = 0.25
#: After these the next address is tried; every other failure is the service's own word.
_ANOTHER_ADDRESS = frozenset({Reason.REFUSED, Reason.TIMEOUT, Reason.RESET})


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """What probes take from outside, so that tests can put their own in place.

    ``clock`` is monotonic and times what happens within one probe. ``lasting`` also counts the time in which
    the sandbox was frozen, and times what is kept from one probe to the next. Both are in seconds.
    """

    settings: Settings
    resolver: Resolver
    credentials: Callable[[], Credentials] = find_credentials
    clock: Callable[[], float] = time.monotonic
    lasting: Callable[[], float] = suspend_aware
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    jitter: Callable[[float, float], float] = random.uniform


class Connector:
    """Opens sessions at one endpoint. Not to be shared between threads."""

    def __init__(self, endpoint: Endpoint, context: ProbeContext) -> None:
        self._endpoint = endpoint
        self._context = context
        self._ca_file = context.settings.ca_file or system_ca_file()
        #: The address at which the last login succeeded.
        self._proven: str | None = None

    def open(self, deadline: float) -> Session:
        """Log in before ``deadline`` on the context's monotonic clock, by the module's table.

        Raises :class:`SessionError`, whatever the failure: also without credentials or an address. No socket
        is left behind then.
        """
        try:
            # Before the name is looked up: without credentials nothing is contacted.
            credentials = self._context.credentials()
            waiting = list(self._addresses(deadline))
        except NoCredentialsError:
            raise SessionError(Reason.NO_CREDENTIALS) from None
        except NameNotResolvedError as error:
            raise SessionError(Reason.TIMEOUT if error.stalled else Reason.NAME) from None
        if not waiting:
            raise SessionError(Reason.NAME)
        return self._race(waiting, credentials, deadline)

    def _race(self, waiting: list[str], credentials: Credentials, deadline: float) -> Session:
        clock = self._context.clock
        stagger_s = min(_MOST_STAGGER_S, max(0.0, deadline - clock()) / (len(waiting) + 1))
        logins: dict[Session, str] = {}
        failure, start_at = SessionError(Reason.TIMEOUT), clock()
        try:
            while logins or waiting:
                now = clock()
                if now >= deadline:
                    raise SessionError(Reason.TIMEOUT)
                if waiting and (now >= start_at or not logins):
                    address = waiting.pop(0)
                    start_at = now + stagger_s
                    failed = self._start(address, credentials, logins)
                else:
                    until = min(deadline, start_at) if waiting else deadline
                    ready = _wait({login.descriptor: login.awaits for login in logins}, until - now)
                    winner, failed = _advance(logins, ready)
                    if winner is not None:
                        self._proven = logins.pop(winner)
                        return winner
                if failed is not None:
                    failure, start_at = failed, now
            raise failure
        finally:
            for login in logins:
                login.close()

    def _start(
        self, address: str, credentials: Credentials, logins: dict[Session, str]
    ) -> SessionError | None:
        """Begin a login at ``address``; return why that is impossible, if another address may do better."""
        context, settings = self._context, self._context.settings
        options = signed_options(
            self._endpoint,
            address,
            user=settings.db_user,
            database=settings.database,
            ca_file=self._ca_file,
            credentials=credentials,
            now=context.now(),
            libpq_version=VERSION,
        )
        try:
            login = Session.start(options, context.clock)
        except SessionError as error:
            return _worth_another(error)
        logins[login] = address
        return None

    def _addresses(self, deadline: float) -> Sequence[str]:
        endpoint = self._endpoint
        if endpoint.dial is not None:
            return [endpoint.dial[0]]
        found = self._context.resolver.resolve(endpoint.host, max(0.0, deadline - self._context.clock()))
        # Stable: the others stay in the resolver's order.
        return sorted(found, key=lambda address: address != self._proven)


def _advance(logins: dict[Session, str], ready: set[int]) -> tuple[Session | None, SessionError | None]:
    """Continue each login that is ready; return the first that is complete, and how the last one failed."""
    failed = None
    for login in [each for each in logins if each.descriptor in ready]:
        try:
            if login.proceed():
                return login, None
        except SessionError as error:
            del logins[login]
            failed = _worth_another(error)
    return None, failed


def _worth_another(error: SessionError) -> SessionError:
    """The same error if another address may do better; raises it otherwise."""
    if error.reason not in _ANOTHER_ADDRESS:
        raise error
    return error


def _wait(interests: Mapping[int, int], timeout_s: float) -> set[int]:
    """The descriptors that are ready for their poll events, after ``timeout_s`` seconds at the most."""
    poller = select.poll()
    for descriptor, events in interests.items():
        poller.register(descriptor, events)
    # Rounded up: a wait of less than a millisecond must not spin.
    return {descriptor for descriptor, _ in poller.poll(max(0, int(timeout_s * 1000) + 1))}
