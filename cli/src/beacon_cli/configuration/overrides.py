"""Parameter overrides as `sam deploy` reads them, and a refusal of what it would lose or read differently.

========================  =====================================================================
in the list               what `sam deploy` makes of it (samcli.cli.types, version 1.148)
========================  =====================================================================
``Name=value``            the value; it ends at a space or at a quotation mark
``Name='a value'``        the value without its quotation marks, single or double
``Name=''``               the empty value
``Name=a, b``             ``a,`` alone; the rest is lost without a word
``Name=``                 refused; behind another override in one string, lost without a word
``'Name=value'``          a parameter called ``'Name``
``ParameterKey=…``        the same, in a form that this module refuses, so that there is one form
========================  =====================================================================

A string holds the same, separated by spaces. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["OverridesError", "read_overrides"]

# Shells and SAM read quotation marks and backslashes inside a value differently: none is accepted there.
_PAIR = re.compile(r"""([A-Za-z0-9]+)=('[^'\\]*'|"[^"\\]*"|[^\s'"\\]+)(?=\s|$)\s*""")


class OverridesError(Exception):
    """An override that `sam deploy` would refuse, lose or read differently; the text names the repair."""


def read_overrides(value: object) -> dict[str, str]:
    """The parameters in ``value``, a string or a list of strings; raise :class:`OverridesError`."""
    if isinstance(value, str):
        return dict(_pairs(value))
    if not isinstance(value, list):
        raise OverridesError(f"parameter_overrides must be a string or a list, not {value!r}")
    found: dict[str, str] = {}
    for entry in value:
        if not isinstance(entry, str):
            raise OverridesError(f"an entry of parameter_overrides must be a string, not {entry!r}")
        found.update(_pairs(entry))
    return found


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    at, text, behind = 0, text.strip(), ""
    if not text:
        raise OverridesError("an empty entry in parameter_overrides: `sam deploy` refuses it")
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            raise OverridesError(_why(text[at:], behind))
        name, value = match.groups()
        if name == "ParameterKey":
            raise OverridesError(
                "write parameter overrides as NAME=VALUE, not as ParameterKey=…,ParameterValue=…"
            )
        yield name, value[1:-1] if value[0] in "'\"" else value
        at = match.end()
        # Where the list of a parameter was cut at a space, the next text is no pair.
        behind = name if value.endswith(",") or text[at:].startswith(",") else ""


def _why(rest: str, behind: str) -> str:
    if behind:
        return (
            f"{behind}: there is a space {'before' if rest.startswith(',') else 'after'} a comma;"
            " `sam deploy` ends the value there. Write it without spaces"
        )
    name = re.match(r"([A-Za-z0-9]+)=(?=\s|$)", rest)
    if name:
        return f"{name[1]} has no value: `sam deploy` loses it. Write {name[1]}='' for the empty value"
    # The rest of the text may hold the path token: name the parameter and show no value.
    shown = re.match(r"['\"]?([A-Za-z0-9]+)['\"]?\s*=", rest)
    where = f"{shown[1]}: " if shown else ""
    return f"{where}`sam deploy` reads this override differently. Write NAME=VALUE or NAME='A VALUE'"
