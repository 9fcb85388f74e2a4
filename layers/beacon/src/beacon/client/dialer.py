"""Connect to the best endpoint: run a race with the caller's own waiting, blocking or asyncio.

Each leg of a race signs a token of its own, made out to its endpoint. Nothing else happens on the way: no
Route 53, no SSM, no STS, no look-up of a name that is known, once candidates and credentials are.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from psycopg import pq

from beacon.aws.credentials import CredentialChain, NoCredentialsError
from beacon.client.endpoints import Endpoints
from beacon.client.race import ConnectError, Race, Won
from beacon.dsql.conninfo import conninfo
from beacon.dsql.login import signed_options, system_ca_file
from beacon.model import Endpoint

__all__ = ["Dialer", "Login"]

_LIBPQ: Final = pq.version()
_NAP_S = 0.01
#: What a race gets at the least, however long the sources took.
_LEAST_S = 0.5
#: What is decided here and cannot be passed; the rest of libpq's options can.
_OURS = frozenset(
    {"host", "hostaddr", "port", "user", "password", "dbname", "passfile", "service", "servicefile"}
    | {"sslmode", "sslrootcert", "sslnegotiation", "sslsni", "sslcert", "sslkey", "sslcertmode", "requiressl"}
    | {"gssencmode", "connect_timeout", "client_encoding", "target_session_attrs", "load_balance_hosts"}
)
#: What libpq knows. The rest it would refuse at each connect, which would look like a broken endpoint.
_KNOWN = frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())


@dataclass(frozen=True, slots=True)
class Login:
    """As whom to log in, and how long that may take in all.

    ``user`` is a database role; ``admin`` signs for ``DbConnectAdmin``. ``options`` are further ones of
    libpq, such as ``application_name``. ``ca_file`` replaces the system's certificate authorities.
    ``query_timeout_s`` is how long a statement may wait for its answer (``None``: for ever). Raises
    ``ValueError`` with every reason at once.
    """

    user: str
    dbname: str = "postgres"
    timeout_s: float = 5.0
    ca_file: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    query_timeout_s: float | None = None

    def __post_init__(self) -> None:
        problems = [f"{name} is decided by beacon" for name in sorted(_OURS & set(self.options))]
        problems += [f"{name!r} is no option" for name in self.options if name not in _KNOWN]
        given: dict[str, object] = {"user": self.user, "dbname": self.dbname, "ca_file": self.ca_file or ""}
        for name, value in (given | dict(self.options)).items():
            if not isinstance(value, str):
                problems.append(f"{name} must be text, not {type(value).__name__}")
            elif "\0" in value:  # it would end the string that libpq gets
                problems.append(f"{name} holds a NUL")
        if self.ca_file and self.ca_file != "system" and not Path(self.ca_file).exists():
            problems.append(f"ca_file names no file: {self.ca_file}")
        if not self.user:
            problems.append("name a user, a role that is mapped with AWS IAM GRANT")
        if not 0.1 <= self.timeout_s <= 300:
            problems.append(f"timeout_s must be 0.1-300, not {self.timeout_s}")
        if self.query_timeout_s is not None and not 0.01 <= self.query_timeout_s <= 3600:
            problems.append(f"query_timeout_s must be 0.01-3600 or None, not {self.query_timeout_s}")
        if problems:
            raise ValueError("; ".join(problems))


class Dialer:
    """Makes connections of one kind; safe to use from several threads and tasks."""

    def __init__(self, endpoints: Endpoints, login: Login) -> None:
        self.endpoints = endpoints
        self.login = login
        self._ca_file = login.ca_file or system_ca_file()

    def dial(self) -> Won:
        """Connect, blocking; raises :class:`~beacon.client.race.ConnectError`."""
        endpoints = self.endpoints
        began = endpoints.monotonic()
        endpoints.candidates(self.login.timeout_s)
        if (chain := self._blank_chain()) is not None:
            chain.prepare().wait(max(0.0, self._left_s(began)))
            self._require(chain)
        with self._race(began) as race:
            ready: Mapping[int, int] = {}
            while (won := race.advance(ready)) is None:
                ready = _wait(race)
        return won

    async def dial_async(self) -> Won:
        """Connect in the running event loop; raises :class:`~beacon.client.race.ConnectError`."""
        endpoints = self.endpoints
        began = endpoints.monotonic()
        while endpoints.should_wait(began, self.login.timeout_s):  # noqa: ASYNC110 - threads set it
            await asyncio.sleep(_NAP_S)
        if (chain := self._blank_chain()) is not None:
            answered = chain.prepare()
            while not answered.is_set() and self._left_s(began) > 0:  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(_NAP_S)
            self._require(chain)
        elif isinstance(endpoints.credentials, CredentialChain) and not endpoints.credentials.ready:
            # Old ones are waited for to be renewed, for a moment that is not the event loop's.
            with contextlib.suppress(NoCredentialsError):
                await asyncio.to_thread(endpoints.credentials)
        with self._race(began) as race:
            ready: Mapping[int, int] = {}
            while (won := race.advance(ready)) is None:
                ready = await _wait_async(race)
        return won

    def _blank_chain(self) -> CredentialChain | None:
        """The chain that has to be asked for its first credentials: that is no leg's time, and may hang."""
        chain = self.endpoints.credentials
        return chain if isinstance(chain, CredentialChain) and chain.blank else None

    def _require(self, chain: CredentialChain) -> None:
        if chain.blank:
            why = chain.failure or f"no credentials came within {self.login.timeout_s:g} s"
            raise ConnectError(f"nothing was tried: {why}")

    def _left_s(self, began: float) -> float:
        return began + self.login.timeout_s - self.endpoints.monotonic()

    @contextlib.contextmanager
    def _race(self, began: float) -> Iterator[Race]:
        endpoints = self.endpoints
        candidates = endpoints.candidates()
        if not candidates:
            problems = [f"{source.name}: {source.problem}" for source in endpoints.status()]
            raise ConnectError("no endpoint is known", problems=problems)
        least_s = min(_LEAST_S, self.login.timeout_s)
        race = Race(candidates, endpoints, self._conninfo, max(self._left_s(began), least_s))
        try:
            yield race
        except NoCredentialsError as error:
            raise ConnectError(f"nothing was tried: {error}") from None
        finally:
            race.abandon()

    def _conninfo(self, endpoint: Endpoint, address: str) -> bytes:
        login, endpoints = self.login, self.endpoints
        options = signed_options(
            endpoint,
            address,
            user=login.user,
            database=login.dbname,
            ca_file=self._ca_file,
            credentials=endpoints.credentials(),
            now=endpoints.now(),
            libpq_version=_LIBPQ,
        )
        # Named, so that no environment variable changes whom this connects to.
        options |= {"sslsni": "1", "target_session_attrs": "any", "load_balance_hosts": "disable"}
        return conninfo(options | dict(login.options))


def _wait(race: Race) -> dict[int, int]:
    poller = select.poll()
    for descriptor, events in race.interests().items():
        poller.register(descriptor, events)
    # Rounded up: a wait of less than a millisecond must not spin.
    return dict(poller.poll(int(race.pause_s() * 1000) + 1))


async def _wait_async(race: Race) -> dict[int, int]:
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
