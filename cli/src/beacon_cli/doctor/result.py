"""What a check finds: problems with a level, a sentence and the command that helps; and the result. Pure.

==========  ====================================================  =================
level       when                                                  exit code
==========  ====================================================  =================
ok          the check found what it has to be                     0
skipped     it cannot apply here, such as in a lab                0
unknown     what it needs could not be read: it is not passed     0
warning     it works, and is not as it should be                  0; 1 with --strict
fail        clients are, or soon can be, worse off                1
==========  ====================================================  =================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beacon_cli.doctor.facts import Facts

__all__ = ["Check", "Level", "Outcome", "Problem", "fail", "skipped", "unknown", "warn"]


class Level(Enum):
    """The module's table, from the best to the worst."""

    OK = "ok"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"
    WARNING = "warning"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Problem:
    """One sentence of a check, and the command that repairs it or shows more; ``region`` is empty for all."""

    level: Level
    text: str
    command: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table: its name, what is good, and the function that yields what is not."""

    name: str
    subject: str
    good: str
    find: Callable[[Facts], Iterable[Problem]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found; without a problem it is ok."""

    name: str
    subject: str
    good: str
    problems: tuple[Problem, ...]

    @property
    def level(self) -> Level:
        """That of the worst problem."""
        order = list(Level)
        return max((one.level for one in self.problems), key=order.index, default=Level.OK)


def fail(text: str, command: str = "", region: str = "") -> Problem:
    """Clients are, or soon can be, worse off."""
    return Problem(Level.FAIL, text, command, region)


def warn(text: str, command: str = "", region: str = "") -> Problem:
    """It works, and is not as it should be."""
    return Problem(Level.WARNING, text, command, region)


def unknown(text: str, command: str = "", region: str = "") -> Problem:
    """It could not be read."""
    return Problem(Level.UNKNOWN, text, command, region)


def skipped(text: str, region: str = "") -> Problem:
    """It cannot apply here."""
    return Problem(Level.SKIPPED, text, region=region)
