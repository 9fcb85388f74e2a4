"""Examines a deployment's database, and carries out what is missing. Prints nothing.

:func:`examine` reads and changes nothing. :func:`carry_out` runs each missing item's statements as one
transaction, which DSQL wants for DDL. A conflict (40001, OC000, OC001), a lost connection or an object that
another session has just made ends in a new look: so it continues where it stopped, as a second run does.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from beacon.aws.credentials import NoCredentialsError
from beacon_cli.aws_failures import FAILURES, aws_error
from beacon_cli.database import ADMIN, database
from beacon_cli.errors import FailedError, RefusedError, WrongUseError
from beacon_cli.readers.parallel import gather
from beacon_cli.readers.stacks import name_of, no_stack, read_stack_view
from beacon_cli.schema.reader import read_database
from beacon_cli.schema.state import DatabaseState, Item, compare
from beacon_cli.schema.wanted import Wanted, wanted_of
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Known, StackView, Unknown

if TYPE_CHECKING:
    import psycopg

    from beacon import Connection

__all__ = ["NO_STACK", "Applied", "carry_out", "compare_database", "examine", "read_wanted"]

#: A login may take this long, and so may each statement: an idle cluster wakes, and DDL takes its time.
LOGIN_S, STATEMENT_S = 10.0, 30.0
#: Attempts in a row that leave as much missing as before, until it gives up.
ATTEMPTS = 6
#: What a Region without a stack waits for.
NO_STACK = "no stack yet"
_STACKS_S = 30.0
_CONFLICTS = {"40001", "OC000", "OC001"}
#: Another session, or an attempt whose answer was lost, has made it: schema, table, object, row.
_MADE_ALREADY = {"42P06", "42P07", "42710", "23505"}


@dataclass(frozen=True, slots=True)
class Applied:
    """What :func:`carry_out` did: the items that it made, and the state afterwards."""

    made: tuple[Item, ...]
    state: DatabaseState
    again: int = 0
    """How often a conflict or a lost connection made it look again."""


def read_wanted(sessions: Sessions, operator_arns: Sequence[str] = ()) -> Wanted:
    """What the deployment needs, with the ARNs of the stacks that exist.

    Raises :class:`WrongUseError` for a name or an ARN that is none. A stack that cannot be read is no error:
    what depends on it waits, and says why.
    """
    fleet = sessions.fleet
    readers: dict[str, Callable[[], Any]] = {
        name_of(region): lambda region=region: read_stack_view(sessions, region)  # type: ignore[misc]
        for region in fleet.regions
    }
    facts = gather(readers, _STACKS_S)
    stacks: dict[str, StackView | str] = {}
    for site in fleet.sites:
        fact: Known[StackView] | Unknown = facts[name_of(site.region)]
        if isinstance(fact, Known):
            stacks[site.region] = fact.value
        else:
            absent = fact == no_stack(site.region, site.stack_name)
            stacks[site.region] = NO_STACK if absent else fact.why
    return wanted_of(fleet, stacks, operator_arns)


def examine(sessions: Sessions, operator_arns: Sequence[str] = (), *, user: str = ADMIN) -> DatabaseState:
    """The database beside what the deployment needs, read as ``user`` through any Region that answers.

    Only admin is sure to see everything: what another role may not read is unknown. Raises
    :class:`~beacon_cli.errors.CommandError`.
    """
    return compare_database(sessions, read_wanted(sessions, operator_arns), user=user)


def compare_database(sessions: Sessions, wanted: Wanted, *, user: str = ADMIN) -> DatabaseState:
    """:func:`examine` for a deployment whose needs have been read already."""
    return _read(sessions, wanted, user, time.sleep)


def carry_out(
    sessions: Sessions,
    state: DatabaseState,
    told: Callable[[Item], None] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Applied:
    """Make what ``state`` shows as missing; ``told`` hears of each item that is made.

    It can be run any number of times, and continues what an earlier run began. Raises :class:`RefusedError`
    where something differs, before it changes anything, and :class:`FailedError` with what was not made.
    """
    return _Work(sessions, state.wanted, told, pause).run(state)


def _read(
    sessions: Sessions, wanted: Wanted, user: str, pause: Callable[[float], None], avoid: str = ""
) -> DatabaseState:
    """A look; one that another session's DDL, or a lost connection, spoils is taken again."""
    import psycopg  # noqa: PLC0415 - heavy, and only for a look

    tried = 0
    while True:
        with _opened(sessions, user, avoid) as connection:
            try:
                return compare(wanted, read_database(connection, wanted))
            except psycopg.OperationalError as error:
                tried += 1
                if tried == ATTEMPTS or not (error.sqlstate is None or error.sqlstate in _CONFLICTS):
                    raise
                if error.sqlstate is None:
                    avoid = connection.endpoint.region
        _wait(pause, tried)


def _wait(pause: Callable[[float], None], tried: int) -> None:
    """Jitter, so that two commands at once do not meet again."""
    pause(random.uniform(0.5, 1.0) * 0.1 * 2**tried)  # noqa: S311 - no secret


@dataclass(slots=True)
class _Work:
    sessions: Sessions
    wanted: Wanted
    told: Callable[[Item], None] | None
    pause: Callable[[float], None]
    _made: list[Item] = field(default_factory=list)
    _again: int = 0
    _failed_in: str = ""

    def run(self, state: DatabaseState) -> Applied:
        idle = 0
        while state.missing:
            _require_same_form(state)
            why = self._attempt(state)
            if why is not None:
                self._again += 1
                if idle == ATTEMPTS - 1:
                    raise self._failed(why, state)
                _wait(self.pause, idle)
            left = len(state.missing)
            state = _read(self.sessions, self.wanted, ADMIN, self.pause, avoid=self._failed_in)
            # A statement whose answer was lost counts by what the look finds.
            idle = 0 if len(state.missing) < left else idle + 1
            lost = [item.name for item in state.missing if item.name in {one.name for one in self._made}]
            if lost:
                text = f"the database took the statement for {lost[0]}, and a new look does not find it"
                raise FailedError(text, "beacon database plan")
        _require_same_form(state)
        return Applied(tuple(self._made), state, self._again)

    def _attempt(self, state: DatabaseState) -> psycopg.Error | None:
        """Make what is missing; returns the error after which a new look is worth it."""
        import psycopg  # noqa: PLC0415 - heavy, and only to write

        with _opened(self.sessions, ADMIN, avoid=self._failed_in) as connection:
            for item in state.missing:
                try:
                    _make(connection, item)
                except psycopg.Error as error:
                    if error.sqlstate in _CONFLICTS | _MADE_ALREADY:
                        return error
                    if isinstance(error, psycopg.OperationalError):
                        self._failed_in = connection.endpoint.region
                        return error
                    raise self._failed(error, state) from error
                self._made.append(item)
                if self.told is not None:
                    self.told(item)
        return None

    def _failed(self, error: psycopg.Error, state: DatabaseState) -> FailedError:
        left = next((item.name for item in state.missing if item not in self._made), "the database")
        said = f"{error.sqlstate or type(error).__name__}: {_first_line(error)}"
        made = f"{len(self._made)} made before it stay" if self._made else "nothing was made before it"
        return FailedError(f"{left} was not made ({said}); {made}", "beacon database plan")


def _make(connection: Connection[Any], item: Item) -> None:
    if len(item.statements) == 1:
        connection.execute(item.statements[0].encode())
        return
    with connection.transaction():
        for statement in item.statements:
            connection.execute(statement.encode())


def _require_same_form(state: DatabaseState) -> None:
    if state.differing:
        reasons = "; ".join(f"{item.name}: {item.detail}" for item in state.differing)
        raise RefusedError(
            f"the database has another form than this command makes, and it can change none of it: {reasons}."
            " No further statement was run",
            "beacon database plan",
        )


@contextlib.contextmanager
def _opened(sessions: Sessions, user: str, avoid: str = "") -> Iterator[Connection[Any]]:
    """A connection as ``user``; errors of reading with it are the command's own afterwards."""
    import psycopg  # noqa: PLC0415 - as above

    try:
        with database(
            sessions, user, avoid={avoid} - {""}, timeout_s=LOGIN_S, query_timeout_s=STATEMENT_S
        ) as connection:
            yield connection
    except psycopg.Error as error:
        said = f"{error.sqlstate or type(error).__name__}: {_first_line(error)}"
        raise FailedError(f"the database cannot be read as {user} ({said})") from error
    except NoCredentialsError as error:
        raise WrongUseError("there are no AWS credentials", "aws configure sso") from error
    except FAILURES as error:
        # Each login signs a token, with credentials that may have ended meanwhile.
        raise aws_error(error, "the database") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
