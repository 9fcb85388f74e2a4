"""What a DSQL front changes in the conversation between one client and PostgreSQL. No I/O.

Messages go through unchanged but for these:

- A statement that DSQL refuses is replaced by one that PostgreSQL is sure to refuse, and that names a marker.
  The error that comes back with that marker is replaced by DSQL's. So PostgreSQL itself keeps order, aborts
  the transaction and skips to the next Sync, in the simple and in the extended protocol.
- COMMIT after a write, when a conflict was ordered: the transaction is rolled back and the client gets
  40001. A write outside of a transaction block is refused with the same error.
- A statement, or the COMMIT of a write, that a gray fault strikes fails in the same two ways, or
``HungError`` is raised: it is never answered.
- ``AWS IAM GRANT`` and ``REVOKE``: PostgreSQL is asked whether the role exists and changes its row in
  ``sys.iam_pg_role_mappings``; then the registry changes.
- PostgreSQL's own serialization failures get DSQL's text (PostgreSQL reports them at the statement).

An exchange is what ends in one ReadyForQuery; the login counts as the first.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from beacon_lab.dsql import pgwire
from beacon_lab.dsql.chance import HANG, Chance
from beacon_lab.dsql.rules import IamChange, Refusal, Statement, StatementKind, Transaction, read_sql

__all__ = ["COMMIT_FAILED", "CONFLICT", "STATEMENT_FAILED", "Disturbance", "HungError", "Relay"]

CONFLICT = Refusal("40001", "change conflicts with another transaction (OC000)")
STATEMENT_FAILED = Refusal("XX000", "internal error: the statement could not be processed")
COMMIT_FAILED = Refusal("XX000", "internal error: the transaction could not be committed")
_NOT_ADMIN = Refusal("42501", "permission denied: only admin may use AWS IAM GRANT and AWS IAM REVOKE")
# These end the transaction block, as only a failed COMMIT does.
_AT_COMMIT = (CONFLICT, COMMIT_FAILED)
_BLOCK = (StatementKind.BEGIN, StatementKind.COMMIT, StatementKind.ROLLBACK)
_MARKER = "beacon_refused_"
_MARKED = re.compile(rb"beacon_refused_\d+")
_SERIALIZATION_FAILURE = b"\0C40001\0"


class HungError(Exception):
    """The statement at hand is never answered."""


@dataclass(slots=True)
class Disturbance:
    """What the next statements of a front's clients will meet; any client may send them."""

    #: How many of the coming commits of a write fail with 40001.
    conflict_next_commits: int = 0
    #: How many of the coming statements fail with ``failure``: reads too, BEGIN and COMMIT not.
    failing_statements: int = 0
    failure: Refusal = CONFLICT
    #: What a share of all statements meets; BEGIN and COMMIT are spared here too.
    statements: Chance | None = None
    #: What a share of the commits of a write meets.
    commits: Chance | None = None

    def clear(self) -> None:
        """Nothing fails any more."""
        self.conflict_next_commits = self.failing_statements = 0
        self.statements = self.commits = None

    def take_commit(self) -> Refusal | None:
        """The error for the commit at hand, if it is one that fails."""
        if self.conflict_next_commits > 0:
            self.conflict_next_commits -= 1
            return CONFLICT
        return self.commits.strike() if self.commits is not None else None

    def take_failure(self) -> Refusal | None:
        """The error for the statement at hand, if it is one that fails."""
        if self.failing_statements > 0:
            self.failing_statements -= 1
            return self.failure
        return self.statements.strike() if self.statements is not None else None


@dataclass(slots=True)
class _Plan:
    """What to change in the answers of one exchange."""

    drop_ready: bool = False
    drop_tag: bytes | None = None
    iam: list[IamChange] = field(default_factory=list)


class Relay:
    """Changes messages on their way; one for each connection, from the login's end on."""

    def __init__(self, user: str, disturbance: Disturbance, grant: Callable[[IamChange], None]) -> None:
        self._is_admin = user == "admin"
        self._disturbance = disturbance
        self._grant = grant
        self._transaction = Transaction()
        self._status = b"I"
        self._begun = 1
        self._ended = 0
        self._plans: dict[int, _Plan] = {}
        self._errors: dict[bytes, Refusal] = {}
        # A prepared statement may run, and fail, in any later exchange.
        self._lasting: dict[bytes, Refusal] = {}
        self._markers = 0
        self._skip_to_sync = False
        self._prepared: dict[bytes, tuple[Statement, ...]] = {}
        self._portals: dict[bytes, tuple[Statement, ...]] = {}

    @property
    def logged_in(self) -> bool:
        """Whether PostgreSQL has ended the login, the first exchange."""
        return self._ended > 0

    def from_client(self, packet: bytes) -> bytes:
        """What goes to PostgreSQL instead of ``packet``. Raises pgwire.WireError and HungError."""
        kind = packet[:1]
        if self._skip_to_sync:
            self._skip_to_sync = kind != b"S"
            return b""
        match kind:
            case b"Q":
                return self._query(packet)
            case b"P":
                return self._parse(packet)
            case b"B":
                portal, after = pgwire.text_at(packet, pgwire.HEADER)
                name, _ = pgwire.text_at(packet, after)
                self._portals[portal] = self._prepared.get(name, ())
            case b"E":
                return self._execute(packet)
            case b"S" | b"F":
                self._begun += 1
            case _:
                pass
        return packet

    def from_server(self, packet: bytes) -> bytes:
        """What goes to the client instead of ``packet``."""
        kind = packet[:1]
        if kind == b"Z":
            return self._ready(packet)
        if kind == b"E":
            return self._error(packet)
        if kind == b"C" and self._plans:
            return self._complete(packet)
        return packet

    # From the client.

    def _query(self, packet: bytes) -> bytes:
        sql, _ = pgwire.text_at(packet, pgwire.HEADER)
        statements = read_sql(sql.decode(errors="replace"))
        self._begun += 1
        if self._status == b"E":
            return packet  # PostgreSQL answers 25P02, or ends the block
        in_block = self._in_block()
        refusal = self._judge(statements)
        if refusal in _AT_COMMIT and in_block:
            self._plan(self._begun).drop_tag = b"ROLLBACK"
            return pgwire.query(f"ROLLBACK; SELECT NULL::{self._marker(refusal)}")
        if refusal is not None:
            return pgwire.query(self._marker(refusal))
        changes = [statement.iam for statement in statements if statement.iam]
        if changes:
            self._plan(self._begun).iam += changes
            return pgwire.query(self._role_check(changes[0]))
        return packet

    def _parse(self, packet: bytes) -> bytes:
        name, after = pgwire.text_at(packet, pgwire.HEADER)
        sql, after = pgwire.text_at(packet, after)
        statements = read_sql(sql.decode(errors="replace"))
        self._prepared[name] = statements
        refusal = next((s.refusal for s in statements if s.refusal), None)
        if refusal is not None and self._status != b"E":
            return pgwire.parse(name, self._marker(refusal), packet[after:])
        if statements and statements[0].iam:
            return pgwire.parse(name, self._role_check(statements[0].iam), packet[after:])
        return packet

    def _execute(self, packet: bytes) -> bytes:
        portal, _ = pgwire.text_at(packet, pgwire.HEADER)
        statements = self._portals.get(portal, ())
        if self._status == b"E":
            return packet
        in_block = self._in_block()
        refusal = self._judge(statements)
        if refusal in _AT_COMMIT and in_block:
            # The exchange is closed here, unseen; the next one rolls back and fails.
            self._plan(self._begun + 1).drop_ready = True
            self._plan(self._begun + 2).drop_tag = b"ROLLBACK"
            self._begun += 2
            self._skip_to_sync = True
            sql = f"ROLLBACK; SELECT NULL::{self._marker(refusal)}"
            return pgwire.message(b"S") + pgwire.query(sql)
        if refusal is not None:
            return pgwire.execute(self._marker(refusal))
        changes = [statement.iam for statement in statements if statement.iam]
        if changes:
            self._plan(self._begun + 1).iam += changes
        return packet

    def _in_block(self) -> bool:
        return self._transaction.open or self._status == b"T"

    def _judge(self, statements: tuple[Statement, ...]) -> Refusal | None:
        """Why these statements fail, if they do."""
        for statement in statements:
            refusal = statement.refusal
            if refusal is None and statement.kind not in _BLOCK:
                refusal = self._disturbance.take_failure()
            if refusal is None and statement.iam and not self._is_admin:
                refusal = _NOT_ADMIN
            if refusal is None:
                refusal = self._judge_transaction(statement)
            if refusal is HANG:
                raise HungError
            if refusal is not None:
                return refusal
        return None

    def _judge_transaction(self, statement: Statement) -> Refusal | None:
        wrote = self._transaction.wrote
        commits = statement.kind is StatementKind.COMMIT and wrote
        refusal = self._transaction.admit(statement)
        if refusal is None and not self._in_block() and statement.kind is StatementKind.DML:
            commits = True  # outside of a block every write commits by itself
        if refusal is None and commits:
            refusal = self._disturbance.take_commit()
            if refusal is not None:
                self._transaction.reset()
        return refusal

    def _marker(self, refusal: Refusal, *, lasting: bool = False) -> str:
        self._markers += 1
        marker = f"{_MARKER}{self._markers}"
        (self._lasting if lasting else self._errors)[marker.encode()] = refusal
        return marker

    def _role_check(self, change: IamChange) -> str:
        """SQL that keeps the view of mappings if the role exists, and fails as DSQL does if not."""
        missing = self._marker(Refusal("42704", f'role "{change.role}" does not exist'), lasting=True)
        # The text must not end the quoted block; no role of the lab has a dollar in its name.
        role = "" if "$" in change.role else change.role.replace("'", "''")
        arn = change.arn  # of a pattern without a quotation mark or a dollar
        return (
            "DO $beacon$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles"
            f" WHERE rolname = '{role}') THEN RAISE '{missing}'; END IF;"
            f" {_grant_row(role, arn) if change.grant else _revoke_row(role, arn)}; END $beacon$"
        )

    def _plan(self, exchange: int) -> _Plan:
        return self._plans.setdefault(exchange, _Plan())

    # From the server.

    def _ready(self, packet: bytes) -> bytes:
        self._ended += 1
        self._status = packet[5:6]
        if self._ended == self._begun:
            self._errors.clear()
            if self._status == b"I":
                self._transaction.reset()
        plan = self._plans.pop(self._ended, None)
        return b"" if plan and plan.drop_ready else packet

    def _error(self, packet: bytes) -> bytes:
        found = _MARKED.search(packet)
        refusal = None
        if found is not None:
            refusal = self._errors.pop(found[0], None) or self._lasting.get(found[0])
        if refusal is not None:
            return pgwire.error_response(refusal.sqlstate, refusal.message, hint=refusal.hint)
        if _SERIALIZATION_FAILURE in packet:
            return pgwire.error_response(CONFLICT.sqlstate, CONFLICT.message)
        return packet

    def _complete(self, packet: bytes) -> bytes:
        plan = self._plans.get(self._ended + 1)
        if plan is None:
            return packet
        tag = packet[pgwire.HEADER : -1]
        if plan.drop_tag == tag:
            return b""
        if plan.iam and tag == b"DO":
            change = plan.iam.pop(0)
            self._grant(change)
            return pgwire.command_complete("GRANT" if change.grant else "REVOKE")
        return packet


def _grant_row(role: str, arn: str) -> str:
    """SQL that adds a row to DSQL's view of mappings; the lab's admin is the only grantor."""
    return f"""
        INSERT INTO sys.iam_pg_role_mappings
            (arn, pg_role_oid, pg_role_name, grantor_pg_role_oid, grantor_pg_role_name)
        SELECT '{arn}', r.oid, r.rolname, g.oid, g.rolname
          FROM pg_catalog.pg_roles r, pg_catalog.pg_roles g
         WHERE r.rolname = '{role}' AND g.rolname = 'admin'
            ON CONFLICT (pg_role_name, arn) DO NOTHING
    """  # noqa: S608 - quoted by the caller


def _revoke_row(role: str, arn: str) -> str:
    """SQL that removes the row again."""
    here = f"pg_role_name = '{role}' AND arn = '{arn}'"
    return f"DELETE FROM sys.iam_pg_role_mappings WHERE {here}"  # noqa: S608 - as above
