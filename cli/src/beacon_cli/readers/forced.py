"""What operators force, read from the database through any Region that answers."""

from __future__ import annotations

from typing import Any

from beacon.aws.credentials import NoCredentialsError
from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.database import database
from beacon_cli.errors import FailedError
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Fact, ForcedChange, ForcedState, ForcedStates, Known, Unknown

__all__ = ["NAME", "STATES", "change_of", "read_forced", "state_of", "why_unread"]

NAME = "the database"
#: The intents of a service and a target; the database's own clock says what has expired.
STATES = """
    SELECT now(), region, forced, reason, actor, until, changed_at, coalesce(until <= now(), false)
      FROM beacon.intent WHERE service = %s AND target = %s ORDER BY region
"""
_CHANGES = """
    SELECT at, region, forced, reason, actor, until
      FROM beacon.change WHERE service = %s AND target = %s ORDER BY at DESC LIMIT 20
"""
_NO_SCHEMA = {"42P01", "3F000"}


def read_forced(sessions: Sessions, within_s: float) -> Fact[ForcedStates]:
    """The intents and their last changes, as the operators' role."""
    import psycopg  # noqa: PLC0415 - heavy, and only for a look

    fleet, user = sessions.fleet, sessions.fleet.operator_role
    whose = (fleet.service, fleet.target)
    try:
        with database(sessions, user, timeout_s=within_s, query_timeout_s=within_s) as connection:
            states = connection.execute(STATES, whose).fetchall()
            changes = connection.execute(_CHANGES, whose).fetchall()
            through = connection.endpoint.region
    except FailedError as error:
        return Unknown(error.sentence)
    except FAILURES as error:
        # Tokens are signed with credentials that a login may have to renew.
        return Unknown(sentence_of(error, NAME))
    except NoCredentialsError:
        return Unknown(f"{NAME} was not asked: there are no AWS credentials")
    except psycopg.Error as error:
        return Unknown(why_unread(error, user))
    if not states:
        return Unknown(f"{NAME} has no Region of {fleet.service}: sql/regions.sql has not been run")
    return Known(
        ForcedStates(
            at=states[0][0],
            through=through,
            states=tuple(state_of(row) for row in states),
            changes=tuple(change_of(row) for row in changes),
        )
    )


def state_of(row: tuple[Any, ...]) -> ForcedState:
    """A row of :data:`STATES`."""
    _, region, forced, reason, actor, until, changed_at, expired = row
    return ForcedState(region, "" if expired else forced or "", reason or "", actor or "", until, changed_at)


def change_of(row: tuple[Any, ...]) -> ForcedChange:
    """A row of the audit: at, region, forced, reason, actor, until."""
    at, region, forced, reason, actor, until = row
    return ForcedChange(at, region, forced or "", reason or "", actor or "", until)


def why_unread(error: Exception, user: str) -> str:
    """One sentence on why ``user`` could not read the database."""
    state = getattr(error, "sqlstate", None)
    if state in _NO_SCHEMA:
        return f"{NAME} has no schema beacon: sql/schema.sql has not been run"
    if state == "42501":
        return f"{NAME} does not let {user} read the intents: sql/roles.sql grants it"
    return f"{NAME} cannot be read: {state or type(error).__name__}"
