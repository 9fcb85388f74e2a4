"""The words to replace, the exceptions to that, and where a text uses them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tools.plain_words.passages import Passage

__all__ = ["Exempt", "Rules", "Use", "Word", "judge", "read_rules", "uses"]


@dataclass(frozen=True, slots=True)
class Word:
    """A pattern of words that prose here does not use, and what to write instead."""

    pattern: str
    instead: str

    def __post_init__(self) -> None:
        if not self.instead:
            raise ValueError(f"{self.pattern}: say what to write instead")

    def expression(self) -> re.Pattern[str]:
        """The pattern as whole words, in which a space is any white space."""
        spaced = self.pattern.replace(" ", r"\s+")
        return re.compile(rf"(?<!\w)(?:{spaced})(?!\w)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """A phrase in a file, and what to write instead."""

    file: str
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.phrase!r}: write {self.instead}"


@dataclass(frozen=True, slots=True)
class Exempt:
    """An exception: the files (`*` is any rest), the phrase that may stay there, and why."""

    files: str
    phrase: str
    reason: str

    def __post_init__(self) -> None:
        if len(self.reason.split()) < 5:
            raise ValueError(f"the exception for {self.phrase!r} in {self.files} needs a reason")

    def covers(self, use: Use) -> bool:
        """Whether this exception is about that use."""
        return fnmatchcase(use.file, self.files) and self.phrase in ("*", use.phrase.lower())


@dataclass(frozen=True, slots=True)
class Rules:
    """The words, the exceptions, and the folders that are not checked yet."""

    words: tuple[Word, ...]
    exempt: tuple[Exempt, ...]
    pending: tuple[str, ...]


def read_rules(path: Path) -> Rules:
    """The rules of a TOML file. Raises ValueError for an exception without a reason."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return Rules(
        tuple(Word(entry["pattern"], entry["instead"]) for entry in content["word"]),
        tuple(
            Exempt(entry["files"], entry["phrase"], entry["reason"]) for entry in content.get("exception", [])
        ),
        tuple(content.get("pending", [])),
    )


def uses(file: str, passages: Iterable[Passage], words: Sequence[Word]) -> list[Use]:
    """Each use of one of the words in the passages of a file."""
    found: list[Use] = []
    expressions = [(word.expression(), word.instead) for word in words]
    for passage in passages:
        for expression, instead in expressions:
            for match in expression.finditer(passage.text):
                line = passage.line + passage.text[: match.start()].count("\n")
                found.append(Use(file, line, " ".join(match[0].split()), instead))
    return found


def judge(found: Iterable[Use], exempt: Sequence[Exempt]) -> list[str]:
    """What is wrong: each use that no exception covers, and each exception that no use needs any more."""
    every = sorted(set(found))
    wrong = [str(use) for use in every if not any(entry.covers(use) for entry in exempt)]
    wrong.extend(
        f"words.toml: the exception for {entry.phrase!r} in {entry.files} is not needed any more"
        for entry in exempt
        if not any(entry.covers(use) for use in every)
    )
    return wrong
