"""The audit of drains and releases, read back to a moment."""

from __future__ import annotations

from collections.abc import Sequence

from beacon.aws.credentials import NoCredentialsError
from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.database import database
from beacon_cli.errors import FailedError
from beacon_cli.readers.forced import NAME, change_of, why_unread
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Fact, ForcedChange, Known, Unknown

__all__ = ["MOST", "read_changes"]

#: So many changes are read at the most, the newest ones.
MOST = 500
_CHANGES = f"""
    SELECT at, region, forced, reason, actor, until FROM beacon.change
     WHERE service = %s AND target = %s AND at >= now() - CAST(%s AS numeric) * INTERVAL '1 second'
     ORDER BY at DESC LIMIT {MOST}
"""  # noqa: S608 - a number of this module


def read_changes(sessions: Sessions, back_s: float, within_s: float) -> Fact[Sequence[ForcedChange]]:
    """The changes of the last ``back_s`` seconds by the database's clock, the newest first."""
    import psycopg  # noqa: PLC0415 - heavy, and only for a look

    fleet, user = sessions.fleet, sessions.fleet.operator_role
    try:
        with database(sessions, user, timeout_s=within_s, query_timeout_s=within_s) as connection:
            rows = connection.execute(_CHANGES, (fleet.service, fleet.target, back_s)).fetchall()
    except FailedError as error:
        return Unknown(error.sentence)
    except FAILURES as error:
        # Tokens are signed with credentials that a login may have to renew.
        return Unknown(sentence_of(error, NAME))
    except NoCredentialsError:
        return Unknown(f"{NAME} was not asked: there are no AWS credentials")
    except psycopg.Error as error:
        return Unknown(why_unread(error, user))
    return Known([change_of(row) for row in rows])
