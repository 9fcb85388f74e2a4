"""The prose in a file: comments, docstrings and strings of code, and the whole of any other text."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Passage", "passages"]

_SPAN = re.compile(r"(`+)[^`\n]+?\1(?!`)|https?://[^\s)]+")
_FENCE = re.compile(r"^\s*(?:\d+\.\s+)?(?:```|~~~)")
_MARKER = re.compile(r"^\s*(?:#:?|--|//|\*|>|<!--)+ ?")
_CODE_MARKER = re.compile(r"(?:^|\s)(?:#:?|--|//) (.*)$")
_STRING_PARTS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


@dataclass(frozen=True, slots=True)
class Passage:
    """Prose that belongs together. The first line of `text` is the file's line `line`."""

    line: int
    text: str


def passages(name: str, text: str) -> list[Passage]:
    """The prose of the file `name`. Code spans and addresses are blanked: they quote, and are no prose."""
    if name.endswith(".py"):
        found = list(_of_python(text))
    elif name.endswith(".md"):
        found = list(_of_markdown(text))
    else:
        found = [Passage(1, "\n".join(_MARKER.sub("", line) for line in text.split("\n")))]
    return [Passage(each.line, _SPAN.sub(lambda span: "`" * len(span[0]), each.text)) for each in found]


def _of_markdown(text: str) -> Iterator[Passage]:
    """All of it but the code inside fences, of which the comments count."""
    lines: list[str] = []
    fenced = False
    for line in text.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
            lines.append("")
        elif fenced:
            comment = _CODE_MARKER.search(line)
            lines.append(comment[1] if comment else "")
        else:
            lines.append(line)
    yield Passage(1, "\n".join(lines))


def _of_python(text: str) -> Iterator[Passage]:
    """Comments (those of neighbouring lines as one), strings, and the names of tests as sentences."""
    comments: list[str] = []
    first = 0
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            if comments and line != first + len(comments):
                yield Passage(first, "\n".join(comments))
                comments = []
            if not comments:
                first = line
            comments.append(_MARKER.sub("", token.string))
        elif token.type in _STRING_PARTS:
            yield Passage(line, re.sub(r'^[rbfuRBFU]*("""|\'\'\'|"|\')|("""|\'\'\'|"|\')$', "", token.string))
        elif token.type == tokenize.NAME and before == "def" and token.string.startswith("test_"):
            yield Passage(line, token.string.replace("_", " "))
        before = token.string
    if comments:
        yield Passage(first, "\n".join(comments))
