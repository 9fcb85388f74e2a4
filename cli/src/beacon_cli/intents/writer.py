"""Writes a drain or a release: intent, guard and audit in one transaction, by the rules of sql/drain.sql.

The row of the audit has an id that the command makes, and each attempt looks for it first. So a COMMIT whose
answer was lost is found again by the next attempt, and no change is ever written twice.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from beacon.aws.credentials import NoCredentialsError
from beacon_cli.aws_failures import FAILURES, aws_error
from beacon_cli.database import database
from beacon_cli.errors import CommandError, FailedError, WrongUseError
from beacon_cli.intents.rules import Action, Request, objection
from beacon_cli.readers.forced import STATES, state_of
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import ForcedState

if TYPE_CHECKING:
    import psycopg

    from beacon import Connection

__all__ = ["Writer", "Written"]

#: A login may take this long, and so may each statement: a frozen Region costs no more than that.
LOGIN_S, STATEMENT_S = 5.0, 3.0
ATTEMPTS = 5
_CONFLICTS = {"40001", "OC000", "OC001"}
_NO_SCHEMA = {"42P01", "3F000"}

_FOUND = "SELECT at, until FROM beacon.change WHERE id = CAST(%(id)s AS uuid)"
# Drains that have expired are recorded now, with the time at which they ended: DSQL has no scheduler.
_EXPIRED = """
    INSERT INTO beacon.change (id, at, service, target, region, forced, reason, actor, until)
    SELECT gen_random_uuid(), until, service, target, region, NULL, 'expired: ' || reason, actor, until
      FROM beacon.intent WHERE service = %(service)s AND target = %(target)s AND until <= now()
"""
_CLEAR_EXPIRED = """
    UPDATE beacon.intent
       SET forced = NULL, reason = 'expired: ' || reason, changed_at = now(), until = NULL
     WHERE service = %(service)s AND target = %(target)s AND until <= now()
"""
_RECORD = """
    INSERT INTO beacon.change (id, at, service, target, region, forced, reason, actor, until)
    VALUES (CAST(%(id)s AS uuid), now(), %(service)s, %(target)s, %(region)s, CAST(%(forced)s AS text),
            %(reason)s, %(actor)s, now() + CAST(%(minutes)s AS numeric) * INTERVAL '1 minute')
"""
_SET = """
    UPDATE beacon.intent
       SET forced = CAST(%(forced)s AS text), reason = %(reason)s, actor = %(actor)s, changed_at = now(),
           until = now() + CAST(%(minutes)s AS numeric) * INTERVAL '1 minute'
     WHERE service = %(service)s AND target = %(target)s AND region = %(region)s
"""
# Every change updates this row: of two operators at the same moment one meets a conflict, and reads again.
_GUARD = """
    UPDATE beacon.guard
       SET undrained = (SELECT count(*) FROM beacon.intent
                         WHERE service = %(service)s AND target = %(target)s
                           AND (forced IS NULL OR until <= now()))
     WHERE service = %(service)s AND target = %(target)s
"""


@dataclass(frozen=True, slots=True)
class Written:
    """A change that is committed: when by the database's clock, until when, and through which Region."""

    at: datetime
    until: datetime | None
    through: str


@dataclass(slots=True)
class Writer:
    """One change of intent; ``seen`` is the Region's row that the operator was shown.

    Call it once. :meth:`find` says afterwards whether it was committed, for a call that was interrupted.
    """

    sessions: Sessions
    request: Request
    seen: ForcedState | None
    _id: uuid.UUID = field(default_factory=uuid.uuid4)
    _begun: bool = False
    _failed_in: str = ""
    """The Region through which the last attempt was lost."""

    def __call__(self) -> Written:
        """Commit the change; a conflict or a lost connection is tried again.

        Raises :class:`~beacon_cli.errors.RefusedError` by the table of :mod:`beacon_cli.intents.rules` and
        :class:`FailedError`; both say what holds.
        """
        import psycopg  # noqa: PLC0415 - heavy, and only to write

        from beacon import CommitOutcomeUnknownError, RetryPolicy, transact  # noqa: PLC0415 - as above

        try:
            # Applied twice is as good as once: an attempt that finds its own id writes nothing.
            return transact(self._open, self._work, idempotent=True, retry=RetryPolicy(attempts=ATTEMPTS))
        except CommitOutcomeUnknownError as error:
            text = "the connection was lost at COMMIT: it is not known whether the change was made"
            raise FailedError(text, "beacon status") from error
        except psycopg.Error as error:
            raise self._failed(error) from error
        except NoCredentialsError as error:
            raise WrongUseError("there are no AWS credentials", "aws configure sso") from error
        except FAILURES as error:
            # Each login signs a token, with credentials that may have ended meanwhile.
            raise aws_error(error, "the database") from error

    def find(self) -> Written | None:
        """The change, if it was committed.

        Raises :class:`FailedError` where the database does not say.
        """
        if not self._begun:
            return None
        import psycopg  # noqa: PLC0415 - as above

        try:
            with self._open() as connection:
                row = connection.execute(_FOUND, self._values()).fetchone()
                return None if row is None else Written(row[0], row[1], connection.endpoint.region)
        except (*FAILURES, NoCredentialsError, psycopg.Error) as error:
            raise FailedError("the database does not say whether the change was made") from error

    @contextlib.contextmanager
    def _open(self) -> Iterator[Connection[Any]]:
        """A connection, best not through the Region of the change, nor through one that has just failed."""
        import psycopg  # noqa: PLC0415 - as above

        with database(
            self.sessions,
            self.sessions.fleet.operator_role,
            avoid={self._failed_in or self.request.region},
            timeout_s=LOGIN_S,
            query_timeout_s=STATEMENT_S,
            autocommit=False,
        ) as connection:
            try:
                yield connection
            except psycopg.OperationalError as error:
                if error.sqlstate not in _CONFLICTS:
                    self._failed_in = connection.endpoint.region
                raise

    def _work(self, connection: Connection[Any]) -> Written:
        self._begun = True
        values, through = self._values(), connection.endpoint.region
        found = connection.execute(_FOUND, values).fetchone()
        if found is not None:
            return Written(found[0], found[1], through)
        rows = connection.execute(STATES, (values["service"], values["target"])).fetchall()
        states = [state_of(row) for row in rows]
        self._require_allowed(states, rows)
        now: datetime = rows[0][0]
        connection.execute(_EXPIRED, values)
        connection.execute(_CLEAR_EXPIRED, values)
        own = next(state for state in states if state.region == self.request.region)
        if self.request.action is Action.DRAIN or own.forced:
            connection.execute(_RECORD, values)
            connection.execute(_SET, values)
        connection.execute(_GUARD, values)
        written = connection.execute(
            "SELECT until FROM beacon.intent"
            " WHERE service = %(service)s AND target = %(target)s AND region = %(region)s",
            values,
        ).fetchone()
        return Written(now, written[0] if written else None, through)

    def _require_allowed(self, states: Sequence[ForcedState], rows: Sequence[Any]) -> None:
        service = self.sessions.fleet.service
        now = rows[0][0] if rows else datetime.now(UTC)
        objected: CommandError | None = objection(self.request, states, self.seen, service=service, now=now)
        if objected is not None:
            raise objected

    def _values(self) -> dict[str, Any]:
        fleet, request = self.sessions.fleet, self.request
        return {
            "id": str(self._id),
            "service": fleet.service,
            "target": fleet.target,
            "region": request.region,
            "forced": "drain" if request.action is Action.DRAIN else None,
            "reason": request.reason,
            "actor": request.actor,
            "minutes": None if request.lasts_s is None else request.lasts_s / 60,
        }

    def _failed(self, error: psycopg.Error) -> FailedError:
        state, user = error.sqlstate, self.sessions.fleet.operator_role
        if state in _CONFLICTS:
            text = f"{ATTEMPTS} attempts met a conflict with other changes. Nothing has changed"
            return FailedError(text, "beacon status")
        if state in _NO_SCHEMA:
            return FailedError("the database has no schema beacon: sql/schema.sql has not been run")
        if state == "42501":
            return FailedError(f"the database does not let {user} change intents: sql/roles.sql grants it")
        said = state or type(error).__name__
        return FailedError(f"the database did not take the change ({said}). Nothing has changed")
