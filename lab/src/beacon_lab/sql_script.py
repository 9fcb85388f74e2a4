"""Reads the project's SQL files as psql does, as far as they need it, so that there is one source of SQL.

Understood: statements that end in `;`, comments, quotes, and the variables `:'name'` (a text) and `:"name"`
(an identifier). Lines that start with a backslash are psql's own and are left out.
"""

import re
from collections.abc import Mapping

__all__ = ["statements"]

_TOKEN = re.compile(
    r"""
      (?P<skip>--[^\n]*|^\\[^\n]*)
    | (?P<keep>'(?:[^']|'')*'|"(?:[^"]|"")*"|::)
    | :'(?P<text>\w+)'
    | :"(?P<name>\w+)"
    | (?P<end>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


def statements(script: str, variables: Mapping[str, str]) -> list[str]:
    """The script's statements with the variables in place. Raises KeyError for a variable without a value."""
    found, current = [], ""
    for token in _TOKEN.finditer(script):
        match token.lastgroup:
            case "end":
                found.append(current.strip())
                current = ""
            case "text":
                current += _quoted(variables[token["text"]], "'")
            case "name":
                current += _quoted(variables[token["name"]], '"')
            case "keep" | "other":
                current += token[0]
            case _:
                pass
    return [statement for statement in (*found, current.strip()) if statement]


def _quoted(value: str, quote: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL byte cannot stand in SQL")
    doubled = value.replace(quote, quote * 2)
    if quote == "'" and "\\" in value:
        return " E'" + doubled.replace("\\", "\\\\") + "'"
    return f"{quote}{doubled}{quote}"
