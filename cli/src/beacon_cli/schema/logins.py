"""Logs in as each database role in each Region, and tries what the role has to be able to do.

Nothing is written: each UPDATE and INSERT has a condition that no row meets, and the database checks the
privilege all the same. A login as the functions' role needs an IAM identity that is mapped to it, which an
operator's seldom is: `login_rejected` then says nothing about the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from beacon.aws.credentials import NoCredentialsError
from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.database import ADMIN, database
from beacon_cli.errors import FailedError
from beacon_cli.readers.parallel import gather
from beacon_cli.schema.wanted import Wanted
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Unknown

__all__ = ["Login", "try_logins"]

_READ_INTENT = "SELECT count(*) FROM beacon.intent"
_LOGIN_TRIES = (_READ_INTENT,)
_CANARY_TRIES = (
    "SELECT count(*) FROM beacon.canary",
    "INSERT INTO beacon.canary SELECT * FROM beacon.canary WHERE false",
    "UPDATE beacon.canary SET written_at = written_at WHERE false",
)
_OPERATOR_TRIES = (
    _READ_INTENT,
    "UPDATE beacon.intent SET reason = reason WHERE false",
    "UPDATE beacon.guard SET undrained = undrained WHERE false",
    "INSERT INTO beacon.change SELECT * FROM beacon.change WHERE false",
    "SELECT max(version) FROM beacon.schema_version",
)
_ADMIN_TRIES = (_READ_INTENT, "SELECT count(*) FROM sys.iam_pg_role_mappings")


@dataclass(frozen=True, slots=True)
class Login:
    """One role in one Region."""

    region: str
    role: str
    logged_in: bool
    why: str = ""
    """Why it could not log in or do its work; empty where it could do everything."""
    reason: str = ""
    """The client's code for a login that failed, such as `login_rejected`; empty where there is none."""

    @property
    def works(self) -> bool:
        """Whether the role could log in and do everything that was tried."""
        return self.logged_in and not self.why


def try_logins(sessions: Sessions, wanted: Wanted, within_s: float = 10.0) -> tuple[Login, ...]:
    """Every role in every Region, all at once; each may fail alone."""
    import psycopg  # noqa: F401, PLC0415 - heavy: it is loaded before the clocks start

    tries: dict[str, tuple[str, ...]] = {}
    for part in wanted.parts:
        tries[part.login_role] = (*_LOGIN_TRIES, *(_CANARY_TRIES if wanted.canary else ()))
    tries |= {wanted.operator_role: _OPERATOR_TRIES, ADMIN: _ADMIN_TRIES}
    pairs = [
        (region, role)
        for region in wanted.regions
        for role in tries
        if role in {wanted.operator_role, ADMIN, _login_role(wanted, region)}
    ]
    readers: Mapping[str, Callable[[], Any]] = {
        f"{role} in {region}": partial(_try, sessions, region, role, tries[role], within_s * 0.85)
        for region, role in pairs
    }
    found = gather(readers, within_s)
    return tuple(_login(region, role, found[f"{role} in {region}"]) for region, role in pairs)


def _login_role(wanted: Wanted, region: str) -> str:
    return next(part.login_role for part in wanted.parts if part.region == region)


def _login(region: str, role: str, found: Login | Unknown) -> Login:
    return Login(region, role, logged_in=False, why=found.why) if isinstance(found, Unknown) else found


def _try(sessions: Sessions, region: str, role: str, tries: tuple[str, ...], within_s: float) -> Login:
    import psycopg  # noqa: PLC0415 - as above

    try:
        with database(
            sessions, role, only=region, timeout_s=within_s, query_timeout_s=within_s
        ) as connection:
            for statement in tries:
                try:
                    connection.execute(statement.encode())
                except psycopg.Error as error:
                    said = str(error).strip().partition("\n")[0]
                    return Login(region, role, logged_in=True, why=f"{error.sqlstate or 'lost'}: {said}")
    except FailedError as error:
        return Login(region, role, logged_in=False, why=error.sentence, reason=_reason(error.__cause__))
    except NoCredentialsError:
        return Login(region, role, logged_in=False, why="there are no AWS credentials")
    except FAILURES as error:
        return Login(region, role, logged_in=False, why=sentence_of(error, "the database"))
    return Login(region, role, logged_in=True)


def _reason(cause: BaseException | None) -> str:
    from beacon import ConnectError  # noqa: PLC0415 - as above

    attempts = cause.attempts if isinstance(cause, ConnectError) else ()
    return str(attempts[-1].reason) if attempts else ""
