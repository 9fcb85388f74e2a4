"""What a proxy is to do: where it listens, whom it serves, and which limits it keeps."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from beacon.client.arguments import number, require_none
from beacon_cli.proxy.client_check import password_problem

__all__ = ["DATABASE", "Settings", "parse_address"]

#: The one database that a DSQL cluster has.
DATABASE = "postgres"
#: The longest path of a Unix socket on every system.
_MOST_PATH = 100


@dataclass(frozen=True, slots=True)
class Settings:
    """Raises ``ValueError`` with every reason at once.

    :param listen: ``address:port`` of a loopback address, or the path of a Unix socket.
    :param health: ``address:port`` of the health and metrics server; empty: there is none.
    :param roles: the database roles that clients may log in as; empty: any that the credentials may.
    :param password: what a client has to know; empty: nothing.
    :param peer_ids: the user ids whose processes may connect, for a Unix socket; empty: any that reach it.
    :param most_clients: how many clients are served at the same time.
    :param connects_per_s: how many connections to servers start in any one second, at most.
    :param connect_timeout_s: how long a client waits for its server, in seconds.
    :param query_timeout_s: how long a server may be silent while it owes an answer; ``None``: no limit.
    :param move_limit_s: how long a client that is busy may stay at an endpoint that it has to leave.
    :param stop_limit_s: how long busy clients have when the proxy stops.
    :param max_age_s: the age at which a connection is replaced; DSQL ends one at 60 minutes.
    """

    listen: str = "127.0.0.1:5432"
    health: str = "127.0.0.1:9187"
    roles: tuple[str, ...] = ()
    password: str = ""
    peer_ids: frozenset[int] = frozenset()
    most_clients: int = 500
    connects_per_s: int = 25
    connect_timeout_s: float = 5.0
    query_timeout_s: float | None = 30.0
    move_limit_s: float = 60.0
    stop_limit_s: float = 25.0
    max_age_s: float = 3000.0

    def __post_init__(self) -> None:
        problems = _address_problems("--listen", self.listen, loopback=True)
        if self.health:
            problems += _address_problems("--health", self.health, loopback=False)
        if self.health == self.listen and not self.health.endswith(":0"):
            problems.append("--listen and --health need a port each")
        if self.password and (problem := password_problem(self.password)):
            problems.append(problem)
        if self.peer_ids and not self.is_unix:
            problems.append("--peer needs a Unix socket: --listen /run/beacon/.s.PGSQL.5432")
        problems += number("--max-clients", self.most_clients, 1, 10_000, whole=True)
        problems += number("--connects-per-s", self.connects_per_s, 1, 100, whole=True)
        problems += number("--connect-timeout", self.connect_timeout_s, 0.1, 300)
        problems += number("--query-timeout", self.query_timeout_s, 0.01, 3600, or_none=True)
        problems += number("--move-limit", self.move_limit_s, 0, 3600)
        problems += number("--stop-limit", self.stop_limit_s, 0, 3600)
        problems += number("--max-age", self.max_age_s, 60, 3300)
        require_none(problems)

    @property
    def is_unix(self) -> bool:
        """Whether clients come by a Unix socket."""
        return "/" in self.listen


def parse_address(given: str) -> tuple[str, int]:
    """Address and port of ``address:port``, with an IPv6 address in brackets. Raises ``ValueError``."""
    address, colon, port = given.rpartition(":")
    if not colon or not port.isdecimal() or not int(port) < 65536:
        raise ValueError(f"{given!r} is no address:port, such as 127.0.0.1:5432")
    if address == "localhost":
        return "127.0.0.1", int(port)
    return str(ipaddress.ip_address(address.strip("[]"))), int(port)


def _address_problems(option: str, given: str, *, loopback: bool) -> list[str]:
    if loopback and "/" in given:
        return [f"{option}: the path is longer than {_MOST_PATH}"] if len(given.encode()) > _MOST_PATH else []
    try:
        address, _ = parse_address(given)
    except ValueError:
        return [f"{option} must be address:port, such as 127.0.0.1:5432, not {given!r}"]
    if loopback and not ipaddress.ip_address(address).is_loopback:
        # There is no TLS on this side, and a client that reaches it is logged in.
        return [f"{option} must be a loopback address or the path of a Unix socket, not {address}"]
    return []
