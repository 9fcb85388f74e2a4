"""How a command ends: its exit code, and the one sentence and the one command that an operator gets.

====  ==========  =============================================================
code  name        when
====  ==========  =============================================================
0     done        the command did what it says
1     failed      AWS, the database or the network kept it from being done
2     wrong use   an argument, a file or a profile is not what it has to be
3     refused     it would leave clients worse off; nothing has changed
====  ==========  =============================================================

Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum

__all__ = ["CommandError", "ExitCode", "FailedError", "RefusedError", "WrongUseError", "not_among"]


class ExitCode(IntEnum):
    """The module's table."""

    DONE = 0
    FAILED = 1
    WRONG_USE = 2
    REFUSED = 3


class CommandError(Exception):
    """A command ends early: a sentence that says why, and the command that helps, if there is one.

    Raise one of the three below. Both texts go to standard error; neither may hold a secret.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, sentence: str, command: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.command = command

    def lines(self) -> list[str]:
        """What standard error shows."""
        return [f"beacon: {self.sentence}", *([f"  try: {self.command}"] if self.command else [])]


class FailedError(CommandError):
    """AWS, the database or the network kept the command from being done."""


class WrongUseError(CommandError):
    """An argument, a file or a profile is not what it has to be."""

    exit_code = ExitCode.WRONG_USE


class RefusedError(CommandError):
    """It would leave clients worse off; nothing has changed."""

    exit_code = ExitCode.REFUSED


def not_among(what: str, given: str, known: Iterable[str], of: str) -> WrongUseError:
    """The error for a ``given`` name that is none of ``known``: it lists them and names the nearest.

    ``what`` is the kind of thing (`Region`), ``of`` where it was looked for (`beacon-prod`).
    """
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    listed = ", ".join(names) if names else "none"
    return WrongUseError(f"there is no {what} {given!r} in {of}: it has {listed}.{hint}")
