"""Runs the project's SQL files as psql does, as far as they need it, so that there is one source of SQL.

Understood: statements that end in ``;`` or in ``\\gset``, comments, quotes, the variables ``:'name'`` (a
text) and ``:"name"`` (an identifier), and these commands, each on a line of its own:

| command | effect |
| --- | --- |
| ``\\set NAME WORD``, ``\\unset NAME`` | a variable; ON_ERROR_STOP off keeps an error in ERROR and SQLSTATE |
| ``\\if``, ``\\elif``, ``\\else``, ``\\endif`` | of ``:name``, ``:{?name}`` (is it set), or a boolean |
| ``\\ir FILE`` | runs a file beside this one |
| ``\\warn WORD``, ``\\echo WORD`` | a sentence; warnings are the text of the error that ends a script |
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Execute", "ScriptRefusedError", "StatementError", "run"]

_TOKEN = re.compile(
    r"""
      (?P<skip>--[^\n]*)
    | ^\\(?P<command>\w+)(?P<rest>[^\n]*)
    | (?P<gset>\\gset)
    | (?P<keep>'(?:[^']|'')*'|"(?:[^"]|"")*"|::)
    | :'(?P<text>\w+)'
    | :"(?P<name>\w+)"
    | (?P<end>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_WORD = re.compile(r"'((?:[^']|'')*)'|(\S+)")
_TRUE, _FALSE = {"t", "true", "on", "1"}, {"f", "false", "off", "0"}


class StatementError(Exception):
    """A statement failed; the database's own error is the cause."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class ScriptRefusedError(Exception):
    """The script said why it does not do what was asked, and ended; the words are its own."""


#: Runs a statement; returns the first row by column name, or ``None`` where there is none.
Execute = Callable[[str], Mapping[str, object] | None]


@dataclass
class _Branch:
    """One ``\\if`` that is open: whether lines count now, and whether one of its branches has been taken."""

    outside: bool
    active: bool
    taken: bool


@dataclass
class _Run:
    execute: Execute
    variables: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    cause: StatementError | None = None

    def file(self, path: Path) -> None:
        branches: list[_Branch] = []
        sql: list[tuple[str, str]] = []
        for kind, value, rest in _tokens(path.read_text(encoding="utf-8")):
            active = not branches or branches[-1].active
            if kind in {"end", "gset"}:
                if active:
                    self._statement(sql, keep=kind == "gset")
                sql = []
            elif kind != "command":
                sql.append((kind, value))
            elif value in {"if", "elif", "else", "endif"}:
                self._turn(branches, value, rest)
            elif active:
                self._command(path, value, rest)
        if branches:
            raise ValueError(f"{path.name}: an \\if has no \\endif")
        self._statement(sql, keep=False)

    def _statement(self, sql: list[tuple[str, str]], *, keep: bool) -> None:
        text = "".join(self._put(kind, value) for kind, value in sql).strip()
        if not text:
            return
        try:
            row = self.execute(text)
        except StatementError as error:
            if self.variables.get("ON_ERROR_STOP") in _TRUE:
                if self.warnings:
                    raise ScriptRefusedError(" ".join(self.warnings)) from self.cause
                raise
            self.cause = error
            self.variables |= {"ERROR": "true", "SQLSTATE": error.sqlstate}
            return
        self.variables |= {"ERROR": "false", "SQLSTATE": "00000"}
        if keep:
            self.variables |= {name: _shown(value) for name, value in (row or {}).items()}

    def _put(self, kind: str, value: str) -> str:
        if kind == "text":
            return _quoted(self.variables[value], "'")
        return _quoted(self.variables[value], '"') if kind == "name" else value

    def _turn(self, branches: list[_Branch], command: str, condition: str) -> None:
        if command == "if":
            outside = not branches or branches[-1].active
            active = outside and self._is_true(condition)
            branches.append(_Branch(outside, active, taken=active))
            return
        branch = branches[-1]
        if command == "endif":
            branches.pop()
            return
        may = branch.outside and not branch.taken
        branch.active = may and (command == "else" or self._is_true(condition))
        branch.taken = branch.taken or branch.active

    def _is_true(self, condition: str) -> bool:
        if found := re.fullmatch(r":\{\?(\w+)\}", condition):
            return found[1] in self.variables
        value = self._words(condition)
        if value in _TRUE | _FALSE:
            return value in _TRUE
        raise ValueError(f"{condition} is {value!r} and not a boolean")

    def _words(self, text: str) -> str:
        words = (
            found[1].replace("''", "'") if found[1] is not None else found[2]
            for found in _WORD.finditer(text)
        )
        return " ".join(self.variables[word[1:]] if word.startswith(":") else word for word in words)

    def _command(self, path: Path, command: str, rest: str) -> None:
        match command:
            case "set":
                name, _, value = rest.partition(" ")
                self.variables[name] = self._words(value)
            case "unset":
                self.variables.pop(rest, None)
            case "warn":
                self.warnings.append(self._words(rest))
            case "ir":
                self.file(path.parent / self._words(rest))
            case "echo":
                pass
            case _:
                raise ValueError(f"{path.name}: \\{command} is not understood")


def run(script: Path, variables: Mapping[str, str], execute: Execute) -> None:
    """Run the file. Raises ``ScriptRefusedError``, ``StatementError``, and KeyError for an unset variable."""
    _Run(execute, dict(variables)).file(script)


def _tokens(script: str) -> Iterator[tuple[str, str, str]]:
    """Kind, value and, of a command, what follows it."""
    for token in _TOKEN.finditer(script):
        kind = token.lastgroup or ""
        if token["command"] is not None:
            yield "command", token["command"], token["rest"].strip()
        elif kind != "skip":
            yield kind, token[kind], ""


def _shown(value: object) -> str:
    """As psql puts a column into a variable."""
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)


def _quoted(value: str, quote: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL byte cannot stand in SQL")
    doubled = value.replace(quote, quote * 2)
    if quote == "'" and "\\" in value:
        return " E'" + doubled.replace("\\", "\\\\") + "'"
    return f"{quote}{doubled}{quote}"
