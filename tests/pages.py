"""The code blocks of the pages, by language and heading, so that tests run what users copy."""

from __future__ import annotations

import re
import textwrap

from tests.places import ROOT

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


def page(name: str) -> str:
    """The text of a page, by its path in the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code of every block in ``language``, in order; there is one at least."""
    found = [
        textwrap.dedent(match["code"]) for match in _BLOCK.finditer(text) if match["language"] == language
    ]
    assert found, f"no block in {language}"
    return found


def section(text: str, heading: str) -> str:
    """What stands under ``heading``, up to the next one of its level or above."""
    without_code = _BLOCK.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    headings = list(_HEADING.finditer(without_code))
    start = next(match for match in headings if match[2] == heading)
    end = next(
        (match for match in headings if match.start() > start.start() and len(match[1]) <= len(start[1])),
        None,
    )
    return text[start.end() : end.start() if end else len(text)]
