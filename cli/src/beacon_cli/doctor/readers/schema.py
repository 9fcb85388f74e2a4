"""The database beside what it needs, and its roles by really logging in through every Region."""

from __future__ import annotations

from beacon.aws.credentials import NoCredentialsError
from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.database import ADMIN, database
from beacon_cli.doctor.facts import RoleLogin
from beacon_cli.errors import CommandError
from beacon_cli.readers.forced import NAME, why_unread
from beacon_cli.schema.logins import try_logins
from beacon_cli.schema.reader import read_database
from beacon_cli.schema.state import DatabaseState, compare
from beacon_cli.schema.work import read_wanted
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Fact, Known, Unknown

__all__ = ["read_logins", "read_schema"]


def read_schema(sessions: Sessions, within_s: float) -> Fact[DatabaseState]:
    """The database, read as admin, which alone may see everything, or else as the operators' role."""
    import psycopg  # noqa: PLC0415 - heavy, and only for a look

    found: Unknown = Unknown(f"{NAME} was not asked")
    try:
        wanted = read_wanted(sessions)
        for user in (ADMIN, sessions.fleet.operator_role):
            try:
                with database(
                    sessions, user, timeout_s=within_s * 0.4, query_timeout_s=within_s * 0.4
                ) as connection:
                    return Known(compare(wanted, read_database(connection, wanted)))
            except CommandError as error:
                found = Unknown(error.sentence)
            except psycopg.Error as error:
                found = Unknown(why_unread(error, user))
    except CommandError as error:
        return Unknown(error.sentence)
    except NoCredentialsError:
        return Unknown(f"{NAME} was not asked: there are no AWS credentials")
    except FAILURES as error:
        return Unknown(sentence_of(error, NAME))
    return found


def read_logins(sessions: Sessions, within_s: float) -> Fact[tuple[RoleLogin, ...]]:
    """The operators' role in every Region, and every other role that these credentials may log in as.

    A login as another role that is denied says nothing: it needs an IAM identity that operators seldom have.
    """
    try:
        tried = try_logins(sessions, read_wanted(sessions), within_s)
    except CommandError as error:
        return Unknown(error.sentence)
    judged = [one for one in tried if one.logged_in or one.role == sessions.fleet.operator_role]
    return Known(tuple(RoleLogin(one.region, one.role, one.why) for one in judged))
