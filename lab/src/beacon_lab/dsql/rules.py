"""What Aurora DSQL refuses that PostgreSQL would accept. Pure: SQL text in, statements and refusals out.

| statement | answer, each with SQLSTATE 0A000 |
| --- | --- |
| ``BEGIN ISOLATION LEVEL`` other than repeatable read | Unsupported isolation level: ... |
| ``SET TRANSACTION``, ``SET SESSION CHARACTERISTICS`` | setting ... parameter "TRANSACTION" not supported |
| ``SET`` of a timeout or a transaction's property | setting configuration parameter "..." not supported |
| ``SAVEPOINT``, ``RELEASE``, ``ROLLBACK TO`` | unsupported transaction statement: ... |
| ``TRUNCATE``, ``VACUUM``, ``LISTEN``, ``DO`` and others | unsupported statement: ... |
| ``CREATE`` of a temporary table, trigger, type, index without ASYNC ... | a sentence that names it |
| a second DDL statement in a transaction | multiple ddl statements not supported in a transaction |
| DDL and DML in one transaction | ddl and dml are not supported in the same transaction |

The codes and texts are those of a DSQL cluster. ``SELECT set_config(...)`` counts as SET.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, unique
from functools import lru_cache

__all__ = ["IamChange", "Refusal", "Statement", "StatementKind", "Transaction", "check_setting", "read_sql"]

NOT_SUPPORTED = "0A000"


@unique
class StatementKind(Enum):
    """What a statement does to the transaction it stands in."""

    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    DDL = "ddl"
    DML = "dml"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that the server answers with."""

    sqlstate: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class IamChange:
    """``AWS IAM GRANT role TO 'arn'``, or ``AWS IAM REVOKE role FROM 'arn'``."""

    grant: bool
    role: str
    arn: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a query: its kind, and why DSQL refuses it wherever it stands, if it does."""

    kind: StatementKind
    refusal: Refusal | None = None
    iam: IamChange | None = None


class Transaction:
    """What one transaction has done so far, and whether a further statement may join it."""

    __slots__ = ("_ddl", "_dml", "open")

    def __init__(self) -> None:
        #: Whether BEGIN was seen and not yet its end.
        self.open = False
        self._ddl = False
        self._dml = False

    @property
    def wrote(self) -> bool:
        """Whether there is anything that could conflict at COMMIT."""
        return self._ddl or self._dml

    def admit(self, statement: Statement) -> Refusal | None:
        """Take the statement into account; returns why it must not run, if so."""
        match statement.kind:
            case StatementKind.BEGIN:
                self.open = True
            case StatementKind.COMMIT | StatementKind.ROLLBACK:
                self.reset()
            case StatementKind.DDL:
                if self._ddl:
                    return Refusal(NOT_SUPPORTED, "multiple ddl statements not supported in a transaction")
                if self._dml:
                    return _MIXED
                self._ddl = True
            case StatementKind.DML:
                if self._ddl:
                    return _MIXED
                self._dml = True
            case StatementKind.OTHER:
                pass
        return None

    def reset(self) -> None:
        """The transaction is over."""
        self.open = self._ddl = self._dml = False


_MIXED = Refusal(NOT_SUPPORTED, "ddl and dml are not supported in the same transaction")

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*)
    | (?P<comment>/\*)
    | (?P<text>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*")
    | \$(?P<tag>[^\W\d]\w*|)\$(?P<dollar>.*?)\$(?P=tag)\$
    | (?P<word>[^\W\d][\w$]*)
    | (?P<end>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


@lru_cache(maxsize=1024)
def read_sql(sql: str) -> tuple[Statement, ...]:
    """The statements of a query string, in order; empty ones are left out."""
    return tuple(_classify(words) for words in _split(sql))


def _split(sql: str) -> list[list[str]]:
    """Statements as lists of tokens: words in upper case, names and texts as they were written."""
    statements: list[list[str]] = [[]]
    position = 0
    while found := _TOKEN.match(sql, position):
        position = found.end()
        match found.lastgroup:
            case "comment":
                position = _after_comment(sql, position)
            case "end":
                statements.append([])
            case "word":
                statements[-1].append(found[0].upper())
            case "text" | "name" | "other" | "dollar" | "tag":
                statements[-1].append(found[0])
    return [words for words in statements if words]


def _after_comment(sql: str, position: int) -> int:
    """Comments nest in PostgreSQL."""
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(sql, position)):
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return len(sql) if depth else position


def _classify(words: list[str]) -> Statement:
    reader = _READERS.get(words[0])
    return Statement(StatementKind.OTHER) if reader is None else reader(words)


def _begin(words: list[str]) -> Statement:
    text = " ".join(words)
    level = re.search(r"\bISOLATION LEVEL (REPEATABLE READ|READ (?:UN)?COMMITTED|SERIALIZABLE)\b", text)
    if level and level[1] != "REPEATABLE READ":
        return Statement(
            StatementKind.BEGIN, Refusal(NOT_SUPPORTED, f"Unsupported isolation level: {level[1]}")
        )
    return Statement(StatementKind.BEGIN)


def _rollback(words: list[str]) -> Statement:
    if "TO" in words:
        return Statement(
            StatementKind.OTHER, Refusal(NOT_SUPPORTED, "unsupported transaction statement: ROLLBACK TO")
        )
    return Statement(StatementKind.ROLLBACK)


def _savepoint(words: list[str]) -> Statement:
    return Statement(
        StatementKind.OTHER, Refusal(NOT_SUPPORTED, f"unsupported transaction statement: {words[0]}")
    )


def _set(words: list[str]) -> Statement:
    rest = words[1:]
    if rest[:2] == ["SESSION", "CHARACTERISTICS"] or rest[:1] == ["TRANSACTION"]:
        return Statement(StatementKind.OTHER, _unsettable("TRANSACTION"))
    if rest[:1] in (["SESSION"], ["LOCAL"]):
        rest = rest[1:]
    return Statement(StatementKind.OTHER, check_setting(_identifier(rest[0])) if rest else None)


def check_setting(name: str) -> Refusal | None:
    """Why a configuration parameter cannot be set, or None if it can."""
    plain = name.lower()
    if plain.endswith("_timeout") or "transaction_" in plain:
        return _unsettable(plain)
    return None


def _unsettable(name: str) -> Refusal:
    return Refusal(NOT_SUPPORTED, f'setting configuration parameter "{name}" not supported')


def _select(words: list[str]) -> Statement:
    for at, word in enumerate(words[:-2]):
        if word == "SET_CONFIG" and words[at + 1] == "(" and words[at + 2].startswith("'"):
            refusal = check_setting(words[at + 2].strip("'"))
            if refusal:
                return Statement(StatementKind.OTHER, refusal)
    # A common table expression may write.
    writes = words[0] == "WITH" and not {"INSERT", "UPDATE", "DELETE"}.isdisjoint(words)
    return Statement(StatementKind.DML if writes else StatementKind.OTHER)


def _create(words: list[str]) -> Statement:
    kinds = [word for word in words[1:5] if word not in ("OR", "REPLACE", "UNIQUE", "GLOBAL", "LOCAL")]
    match kinds:
        case ["TEMP" | "TEMPORARY", *_]:
            text = "TEMPORARY or TEMP table not supported for CREATE TABLE"
        case ["UNLOGGED", *_]:
            text = "UNLOGGED table not supported for CREATE TABLE"
        case ["TRIGGER" | "TYPE" as kind, *_]:
            text = f"CREATE {kind} not supported"
        case ["EXTENSION" | "DATABASE" | "TABLESPACE" as kind, *_]:
            text = f"unsupported statement: {_CREATED[kind]}"
        case ["INDEX", *rest] if "ASYNC" not in rest:
            text = "unsupported mode. please use CREATE INDEX ASYNC."
        case _:
            return Statement(StatementKind.DDL)
    return Statement(StatementKind.DDL, Refusal(NOT_SUPPORTED, text))


_CREATED = {"EXTENSION": "CreateExtension", "DATABASE": "Createdb", "TABLESPACE": "CreateTableSpace"}


def _unsupported(words: list[str]) -> Statement:
    return Statement(
        StatementKind.OTHER, Refusal(NOT_SUPPORTED, f"unsupported statement: {words[0].capitalize()}")
    )


_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(?:role|user)/[\w+=,.@/-]+")


def _aws(words: list[str]) -> Statement:
    match words:
        case ["AWS", "IAM", "GRANT", role, "TO", arn]:
            grant = True
        case ["AWS", "IAM", "REVOKE", role, "FROM", arn]:
            grant = False
        case _:
            return Statement(StatementKind.DDL, Refusal("42601", 'syntax error at or near "AWS"'))
    if not (arn.startswith("'") and _ARN.fullmatch(arn[1:-1])):
        return Statement(StatementKind.DDL, Refusal("22023", "IAM role must look like an IAM ARN"))
    return Statement(StatementKind.DDL, iam=IamChange(grant, _identifier(role), arn[1:-1]))


def _identifier(token: str) -> str:
    """An identifier as the catalogue spells it."""
    if token.startswith('"'):
        return token[1:-1].replace('""', '"')
    return token.lower()


def _of(kind: StatementKind) -> Callable[[list[str]], Statement]:
    return lambda _words: Statement(kind)


_READERS: dict[str, Callable[[list[str]], Statement]] = {
    "BEGIN": _begin,
    "START": _begin,
    "COMMIT": _of(StatementKind.COMMIT),
    "END": _of(StatementKind.COMMIT),
    "ROLLBACK": _rollback,
    "ABORT": _rollback,
    "SAVEPOINT": _savepoint,
    "RELEASE": _savepoint,
    "SET": _set,
    "SELECT": _select,
    "WITH": _select,
    "AWS": _aws,
    "CREATE": _create,
    **dict.fromkeys(("ALTER", "DROP", "GRANT", "REVOKE", "COMMENT"), _of(StatementKind.DDL)),
    **dict.fromkeys(("INSERT", "UPDATE", "DELETE"), _of(StatementKind.DML)),
    **dict.fromkeys(
        ("TRUNCATE", "VACUUM", "LISTEN", "NOTIFY", "UNLISTEN", "DO", "MERGE", "LOCK"), _unsupported
    ),
}
