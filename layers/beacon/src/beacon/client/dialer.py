"""Connect to the best endpoint: run a race that waits as its caller does, in a thread or in asyncio.

Each leg of a race signs its own token for its endpoint. Once candidates and credentials are known, a connect
calls no Route 53, no SSM and no STS, and looks up no name that is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import select
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Final, Generic

from psycopg import pq

from beacon.aws.credentials import CredentialChain, NoCredentialsError
from beacon.aws.sigv4 import Credentials
from beacon.client.arguments import require_none
from beacon.client.connect_error import ConnectError
from beacon.client.connect_options import Login
from beacon.client.endpoints import Endpoints, endpoints_problems
from beacon.client.leg import C
from beacon.client.race import Race, Won
from beacon.dsql.conninfo import conninfo
from beacon.dsql.login import signed_options, system_ca_file
from beacon.model import Endpoint

__all__ = ["Dialer", "Dialing"]

_LIBPQ: Final = pq.version()
_NAP_S = 0.01
#: The least time of a race, however long the sources took, in seconds.
_LEAST_S = 0.5


class Dialing(ABC, Generic[C]):
    """Runs the races for logins of one kind; safe to use from several threads and tasks."""

    def __init__(self, endpoints: Endpoints, timeout_s: float) -> None:
        require_none(endpoints_problems("connect", endpoints))
        self.surroundings = endpoints.surroundings
        self._endpoints = endpoints
        self._timeout_s = timeout_s

    @abstractmethod
    def start_login(self, endpoint: Endpoint, address: str, credentials: Credentials) -> C:
        """Begin a login at ``address`` with a token that ``credentials`` sign; never blocks."""

    def is_own_fault(self, _login: C) -> bool:
        """Whether a login failed because of what this caller wanted: the endpoint is not to blame."""
        return False

    def dial(self) -> Won[C]:
        """Connect, blocking; raises :class:`~beacon.client.connect_error.ConnectError`."""
        began = self.surroundings.monotonic()
        self._endpoints.wait(self._timeout_s)
        if (chain := self._blank_chain()) is not None:
            chain.prepare().wait(max(0.0, self._left_s(began)))
            self._require(chain)
        with self._race(began) as race:
            ready: Mapping[int, int] = {}
            while (won := race.advance(ready)) is None:
                ready = _wait(race)
        return won

    async def dial_async(self) -> Won[C]:
        """Connect in the running event loop, and raise the same."""
        began = self.surroundings.monotonic()
        while self._endpoints.should_wait(began, self._timeout_s):  # noqa: ASYNC110 - threads set it
            await asyncio.sleep(_NAP_S)
        if (chain := self._blank_chain()) is not None:
            answered = chain.prepare()
            while not answered.is_set() and self._left_s(began) > 0:  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(_NAP_S)
            self._require(chain)
        renewed = None
        if (
            isinstance(credentials := self.surroundings.credentials, CredentialChain)
            and not credentials.ready
        ):
            # Old ones may wait a moment for their renewal: in a thread, not in the event loop.
            renewed = await asyncio.to_thread(_found, credentials)
        with self._race(began, renewed) as race:
            ready: Mapping[int, int] = {}
            while (won := race.advance(ready)) is None:
                ready = await _wait_async(race)
        return won

    def _blank_chain(self) -> CredentialChain | None:
        """The chain, if it has no credentials yet: the first may take long, and no leg waits for them."""
        chain = self.surroundings.credentials
        return chain if isinstance(chain, CredentialChain) and chain.blank else None

    def _require(self, chain: CredentialChain) -> None:
        if chain.blank:
            why = chain.failure or f"no credentials came within {self._timeout_s:g} s"
            raise ConnectError(f"nothing was tried: {why}")

    def _left_s(self, began: float) -> float:
        return began + self._timeout_s - self.surroundings.monotonic()

    @contextlib.contextmanager
    def _race(self, began: float, renewed: Credentials | None = None) -> Iterator[Race[C]]:
        """A race for this login; ``renewed`` sign each leg, unless each one has to get credentials."""
        candidates = self._endpoints.candidates()
        if not candidates:
            problems = [f"{source.name}: {source.problem}" for source in self._endpoints.status()]
            raise ConnectError("no endpoint is known", problems=problems)
        least_s = min(_LEAST_S, self._timeout_s)
        signed = functools.partial(self._start, renewed)
        race = Race(
            candidates, self.surroundings, signed, max(self._left_s(began), least_s), self.is_own_fault
        )
        try:
            yield race
        except NoCredentialsError as error:
            raise ConnectError(f"nothing was tried: {error}") from None
        finally:
            race.abandon()

    def _start(self, renewed: Credentials | None, endpoint: Endpoint, address: str) -> C:
        return self.start_login(endpoint, address, renewed or self.surroundings.credentials())


class Dialer(Dialing["pq.abc.PGconn"]):
    """Makes psycopg's connections of one kind."""

    def __init__(self, endpoints: Endpoints, login: Login) -> None:
        super().__init__(endpoints, login.timeout_s)
        self.login = login
        self._ca_file = login.ca_file or system_ca_file()

    def start_login(self, endpoint: Endpoint, address: str, credentials: Credentials) -> pq.abc.PGconn:
        """See :class:`Dialing`."""
        login = self.login
        options = signed_options(
            endpoint,
            address,
            user=login.user,
            database=login.dbname,
            ca_file=self._ca_file,
            credentials=credentials,
            now=self.surroundings.now(),
            libpq_version=_LIBPQ,
        )
        # Named, so that no environment variable changes the server that this connects to.
        options |= {"sslsni": "1", "target_session_attrs": "any", "load_balance_hosts": "disable"}
        return pq.PGconn.connect_start(conninfo(options | dict(login.options)))


def _found(chain: CredentialChain) -> Credentials | None:
    """What ``chain`` gives; ``None`` when it has none, which the race finds out too."""
    try:
        return chain()
    except NoCredentialsError:
        return None


def _wait(race: Race[C]) -> dict[int, int]:
    poller = select.poll()
    for descriptor, events in race.interests().items():
        poller.register(descriptor, events)
    # Rounded up: a wait of less than a millisecond must not spin.
    return dict(poller.poll(int(race.pause_s() * 1000) + 1))


async def _wait_async(race: Race[C]) -> dict[int, int]:
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()
    ready: dict[int, int] = {}

    def wake(descriptor: int | None, events: int = 0) -> None:
        if descriptor is not None:
            ready[descriptor] = ready.get(descriptor, 0) | events
        if not woken.done():
            woken.set_result(None)

    interests = race.interests()
    timer = loop.call_later(race.pause_s(), wake, None)
    try:
        for descriptor, events in interests.items():
            if events & select.POLLIN:
                loop.add_reader(descriptor, wake, descriptor, select.POLLIN)
            if events & select.POLLOUT:
                loop.add_writer(descriptor, wake, descriptor, select.POLLOUT)
        await woken
    finally:
        timer.cancel()
        for descriptor in interests:
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)
    return ready
