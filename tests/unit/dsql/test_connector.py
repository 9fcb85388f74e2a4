"""A login at an endpoint's addresses: each row of the connector's table, on a virtual clock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest

import beacon.dsql.connector
from beacon.aws.credentials import NoCredentialsError
from beacon.aws.sigv4 import Credentials
from beacon.dsql.connector import Connector, ProbeContext
from beacon.dsql.resolver import NameNotResolvedError, Resolver
from beacon.dsql.session import SessionError
from beacon.model import Endpoint
from beacon.outcome import Reason
from beacon.settings import Settings

HOST = "a" * 26 + ".dsql.us-east-1.on.aws"
ENDPOINT = Endpoint("us-east-1", HOST)
SETTINGS = Settings(
    app="orders", env="prod", region="us-east-1", endpoints=(ENDPOINT,), db_user="probe", ca_file="/ca.pem"
)
A, B, C, D = "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"
NEVER = float("inf")
#: After how many virtual seconds an address logs in (``None``) or fails.
Behaviour = tuple[float, SessionError | None]
DEAD: Behaviour = (NEVER, None)
GOOD: Behaviour = (0.1, None)


@dataclass
class Network:
    """What each address does, a clock that passes only while the connector waits, and who was tried when."""

    addresses: dict[str, Behaviour]
    now: float = 500.0
    tried: list[tuple[str, float]] = field(default_factory=list)
    logins: list["FakeLogin"] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)

    def wait(self, interests: Mapping[int, int], timeout_s: float) -> set[int]:
        ready_at = {each: self.logins[each].ready_at for each in interests}
        self.now = min([self.now + timeout_s, *(max(self.now, at) for at in ready_at.values())])
        return {each for each, at in ready_at.items() if at <= self.now}

    def open_logins(self) -> list[str]:
        return [login.address for login in self.logins if not login.closed]


class FakeLogin:
    """Stands for a session that is being opened."""

    network: Network
    awaits = 0

    def __init__(self, address: str, ready_at: float, error: SessionError | None) -> None:
        self.address, self.ready_at, self.error = address, ready_at, error
        self.closed = False

    @classmethod
    def start(cls, options: Mapping[str, str], _clock: object) -> "FakeLogin":
        network, address, password = cls.network, options["hostaddr"], options["password"]
        takes_s, error = network.addresses[address]
        network.tried.append((address, round(network.now - 500.0, 3)))
        network.passwords.append(password)
        if error is not None and takes_s == 0:
            raise error
        network.logins.append(cls(address, network.now + takes_s, error))
        return network.logins[-1]

    @property
    def descriptor(self) -> int:
        return self.network.logins.index(self)

    def proceed(self) -> bool:
        if self.error is not None:
            self.close()
            raise self.error
        return True

    def close(self) -> None:
        self.closed = True


class Unresolved(Resolver):
    """Knows no address."""

    def __init__(self, *, stalled: bool) -> None:
        super().__init__()
        self._stalled = stalled

    def resolve(self, host: str, timeout_s: float) -> list[str]:  # noqa: ARG002 - the resolver's signature
        raise NameNotResolvedError(stalled=self._stalled)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """A network with no address; one connection at the most may be left open."""
    network = Network({})
    monkeypatch.setattr(FakeLogin, "network", network, raising=False)
    monkeypatch.setattr(beacon.dsql.connector, "Session", FakeLogin)
    monkeypatch.setattr(beacon.dsql.connector, "_wait", network.wait)
    yield network
    assert len(network.open_logins()) <= 1


def connector_of(network: Network, endpoint: Endpoint = ENDPOINT, **changed: object) -> Connector:
    stamp = iter(range(10_000))
    arguments: dict[str, object] = {
        "resolver": Resolver(lambda _host: list(network.addresses)),
        "credentials": lambda: Credentials("AKID", "secret"),
        "clock": lambda: network.now,
        "now": lambda: datetime(2026, 11, 24, 12, 0, next(stamp) % 60, tzinfo=UTC),
    }
    return Connector(endpoint, ProbeContext(SETTINGS, **(arguments | changed)))  # type: ignore[arg-type]


def log_in(network: Network, connector: Connector, within_s: float = 1.0) -> str:
    """The address at which the connector logged in; the deadline holds."""
    deadline = network.now + within_s
    try:
        session = connector.open(deadline)
    finally:
        assert network.now <= deadline
    session.close()
    return cast("FakeLogin", cast("object", session)).address


def refused(reason: Reason, sqlstate: str | None = None, after_s: float = 0.01) -> Behaviour:
    return (after_s, SessionError(reason, sqlstate))


@pytest.mark.parametrize("alive", [0, 1, 2])
def test_one_address_that_lives_is_enough(network: Network, alive: int) -> None:
    """The two others swallow every packet: the login still succeeds inside a probe's deadline."""
    network.addresses = dict.fromkeys((A, B, C), DEAD)
    living = [A, B, C][alive]
    network.addresses[living] = GOOD
    assert log_in(network, connector_of(network)) == living


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_the_last_of_many_addresses_still_has_time_for_a_login(network: Network, count: int) -> None:
    """The shares shrink with their number, and a login from the same Region takes 0.1 s."""
    addresses = [f"192.0.2.{index}" for index in range(count)]
    network.addresses = dict.fromkeys(addresses, DEAD) | {addresses[-1]: GOOD}
    assert log_in(network, connector_of(network)) == addresses[-1]


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.RESET, Reason.TIMEOUT])
@pytest.mark.parametrize("after_s", [0.0, 0.01])
def test_an_address_that_fails_makes_room_for_the_next_at_once(
    network: Network, reason: Reason, after_s: float
) -> None:
    """No share of the time is waited for."""
    network.addresses = {A: refused(reason, after_s=after_s), B: GOOD}
    assert log_in(network, connector_of(network)) == B
    assert network.tried == [(A, 0.0), (B, after_s)]


def test_a_silent_address_may_still_win(network: Network) -> None:
    """The next one starts beside it, and not in its place."""
    network.addresses = {A: (0.4, None), B: DEAD}
    assert log_in(network, connector_of(network)) == A
    assert network.tried == [(A, 0.0), (B, 0.25)]
    assert network.open_logins() == []


def test_the_address_that_worked_last_is_the_first(network: Network) -> None:
    """A dead address costs its share once, and not at every login."""
    network.addresses = {A: DEAD, B: DEAD, C: GOOD}
    connector = connector_of(network)
    log_in(network, connector)
    network.tried.clear()
    began = network.now
    assert log_in(network, connector) == C
    assert [address for address, _ in network.tried] == [C]
    assert network.now - began == pytest.approx(0.1)


@pytest.mark.parametrize(
    "reason",
    [Reason.LOGIN_REJECTED, Reason.TOO_MANY_CONNECTIONS, Reason.CERTIFICATE, Reason.TLS, Reason.INTERNAL],
)
def test_what_the_service_says_itself_ends_it(network: Network, reason: Reason) -> None:
    """Another address leads to the same service; its word and its code are the reason."""
    network.addresses = {A: refused(reason, "53400"), B: GOOD}
    with pytest.raises(SessionError) as caught:
        log_in(network, connector_of(network))
    assert (caught.value.reason, caught.value.sqlstate) == (reason, "53400")
    assert [address for address, _ in network.tried] == [A]
    assert network.open_logins() == []


def test_a_refusal_while_an_earlier_address_is_silent_closes_that_one_too(network: Network) -> None:
    """No socket is left."""
    network.addresses = {A: DEAD, B: refused(Reason.LOGIN_REJECTED)}
    with pytest.raises(SessionError, match="login_rejected"):
        log_in(network, connector_of(network))
    assert network.open_logins() == []


def test_where_each_address_fails_the_last_reason_counts(network: Network) -> None:
    """All of them are tried."""
    network.addresses = {A: refused(Reason.RESET), B: refused(Reason.REFUSED)}
    with pytest.raises(SessionError, match=r"^refused"):
        log_in(network, connector_of(network))
    assert [address for address, _ in network.tried] == [A, B]


def test_where_one_is_silent_to_the_end_it_is_a_time_out(network: Network) -> None:
    """A refusal elsewhere does not speak for it."""
    network.addresses = {A: DEAD, B: refused(Reason.REFUSED), D: DEAD}
    with pytest.raises(SessionError, match=r"^timeout"):
        log_in(network, connector_of(network))
    assert network.now == pytest.approx(501.0)


def test_each_login_has_a_fresh_token(network: Network) -> None:
    """Also the second of one race."""
    network.addresses = {A: refused(Reason.RESET), B: GOOD}
    log_in(network, connector_of(network))
    first, second = network.passwords
    assert first != second
    assert all(password.startswith(f"{HOST}/?Action=DbConnect&") for password in network.passwords)


def test_without_credentials_nothing_is_contacted(network: Network) -> None:
    """Not even a name server."""

    def none() -> Credentials:
        raise NoCredentialsError("none")

    with pytest.raises(SessionError, match=r"^no_credentials"):
        log_in(network, connector_of(network, credentials=none))
    assert network.tried == []


def test_a_name_without_address_is_a_failure_of_the_name(network: Network) -> None:
    """Whether the look-up fails or finds nothing."""
    with pytest.raises(SessionError, match=r"^name"):
        log_in(network, connector_of(network))
    with pytest.raises(SessionError, match=r"^name"):
        log_in(network, connector_of(network, resolver=Unresolved(stalled=False)))


def test_a_look_up_that_stalls_is_a_time_out(network: Network) -> None:
    """It used the whole deadline up."""
    with pytest.raises(SessionError, match=r"^timeout"):
        log_in(network, connector_of(network, resolver=Unresolved(stalled=True)))


def test_an_address_to_dial_replaces_the_look_up(network: Network) -> None:
    """With its port."""
    network.addresses = {A: DEAD, B: GOOD}
    assert log_in(network, connector_of(network, Endpoint("us-east-1", HOST, dial=(B, 6000)))) == B
