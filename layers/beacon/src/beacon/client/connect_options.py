"""The parameters of a login, and what is wrong with them: every reason at once, before anything is tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from psycopg import pq

from beacon.client.arguments import closest, flag, number, require_none

__all__ = ["TIMEOUT_BOUNDS_S", "Login", "connection_problems", "is_libpq_option"]

#: The shortest and the longest time that one connect may take in all.
TIMEOUT_BOUNDS_S: Final = (0.1, 300)
#: What Beacon decides, with what to write in its place; a caller may pass libpq's other options.
_DECIDED: Final = {
    **dict.fromkeys(("host", "hostaddr", "port"), "name the endpoint in Endpoints(StaticList([...]))"),
    **dict.fromkeys(("user", "dbname"), "use the parameter of that name"),
    **dict.fromkeys(("password", "passfile"), "a token is signed for each connection"),
    **dict.fromkeys(("service", "servicefile"), "use Endpoints and the parameters user and dbname"),
    **dict.fromkeys(("sslmode", "sslnegotiation", "sslsni"), "TLS is always verified in full"),
    **dict.fromkeys(("sslcert", "sslkey", "sslcertmode"), "DSQL takes no certificate of a client"),
    **dict.fromkeys(("requiressl", "gssencmode"), "TLS is always verified in full"),
    "sslrootcert": "use ca_file",
    "connect_timeout": "use timeout_s of connect, or connect_timeout_s of a pool, in seconds",
    "client_encoding": "it is UTF-8",
    "target_session_attrs": "every endpoint reads and writes",
    "load_balance_hosts": "the best endpoint is tried first",
}
#: Names that libpq does not have, and what was meant by them.
_INSTEAD: Final = {
    "timeout": "use timeout_s, in seconds",
    "query_timeout": "use query_timeout_s, in seconds",
    "statement_timeout": "use query_timeout_s, in seconds",
    "connect_timeout_s": "use timeout_s, in seconds",
    "username": "use user",
    "role": "use user",
    "database": "use dbname",
    "db": "use dbname",
    "token": "a token is signed for each connection",
    "region": "name the endpoint in Endpoints(StaticList([...]))",
    "min_size": "that is a parameter of Pool and AsyncPool",
    "max_size": "that is a parameter of Pool and AsyncPool",
    "policy": "that is a parameter of Pool and AsyncPool",
}
#: The parameters of connect and connect_async, which a name may have been meant for.
_PARAMETERS: Final = frozenset(
    {
        "autocommit",
        "ca_file",
        "dbname",
        "prepare_threshold",
        "query_timeout_s",
        "row_factory",
        "timeout_s",
        "user",
    }
)
#: What libpq knows. The rest it would refuse at each connect, which would look like a broken endpoint.
_KNOWN = frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())


def is_libpq_option(name: str) -> bool:
    """Whether a caller may pass ``name`` to libpq."""
    return name in _KNOWN and name not in _DECIDED


@dataclass(frozen=True, slots=True)
class Login:
    """As which role to log in, with which options, and how long that and an answer may take.

    Raises ``ValueError`` with every reason at once.

    :param user: the database role; ``admin`` signs for ``DbConnectAdmin``.
    :param dbname: the database; default ``"postgres"``.
    :param timeout_s: how long one connect may take in all, in seconds; default 5.0.
    :param ca_file: a file of certificate authorities in place of the system's; default ``None``.
    :param options: further options of libpq, such as ``application_name``, as text; default none.
    :param query_timeout_s: how long each statement may wait for its answer, in seconds; default 30.0;
        ``None``: no limit.
    """

    user: str
    dbname: str = "postgres"
    timeout_s: float = 5.0
    ca_file: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    query_timeout_s: float | None = 30.0

    def __post_init__(self) -> None:
        problems = [_option_problem(name) for name in self.options if not is_libpq_option(name)]
        given: dict[str, object] = {"user": self.user, "dbname": self.dbname, "ca_file": self.ca_file or ""}
        given |= {name: value for name, value in self.options.items() if is_libpq_option(name)}
        for name, value in given.items():
            if isinstance(value, Mapping):
                # `options` of a pool, given to connect, is libpq's option of that name.
                problems.append(f"{name} must be text, not a dict: pass each of its members by its name")
            elif not isinstance(value, str):
                problems.append(f"{name} must be text, not {type(value).__name__}")
            elif "\0" in value:  # it would end the string that libpq gets
                problems.append(f"{name} holds a NUL")
        if (
            isinstance(self.ca_file, str)
            and self.ca_file not in {"", "system"}
            and not Path(self.ca_file).exists()
        ):
            problems.append(f"ca_file names no file: {self.ca_file}")
        if self.user == "":
            problems.append("name a user, a role that is mapped with AWS IAM GRANT")
        problems += number("timeout_s", self.timeout_s, *TIMEOUT_BOUNDS_S)
        problems += number("query_timeout_s", self.query_timeout_s, 0.01, 3600, or_none=True)
        require_none(problems)


def connection_problems(autocommit: object, row_factory: object, prepare_threshold: object) -> list[str]:
    """What is wrong with the parameters that go to psycopg as they are."""
    problems = flag("autocommit", autocommit)
    if row_factory is not None and (
        any(row_factory is each for each in (dict, tuple, list)) or not callable(row_factory)
    ):
        problems.append("row_factory must be one of psycopg.rows, such as dict_row, or None for tuples")
    problems += number("prepare_threshold", prepare_threshold, 0, 1_000_000, whole=True, or_none=True)
    return problems


def _option_problem(name: str) -> str:
    if name in _DECIDED:
        return f"{name} is decided by beacon: {_DECIDED[name]}"
    if name in _INSTEAD:
        return f"{name!r} is no option: {_INSTEAD[name]}"
    return f"{name!r} is no option{closest(name, _KNOWN - _DECIDED.keys() | _PARAMETERS)}"
