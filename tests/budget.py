"""What a run leaves for tests/phases.py: the time of each folder against its budget, and the failed tests."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from tests.places import ROOT

__all__ = ["OVERRUN", "Budgets", "Failures", "Overrun", "folder_of", "overruns", "read"]

_FILE = "tests/budgets.toml"
#: The exit status of a run in which a folder took too long; pytest itself has 0 to 5.
OVERRUN = 8


@dataclass(frozen=True)
class Overrun:
    """A folder whose tests took longer than they may."""

    folder: str
    took_s: float
    most_s: float

    def __str__(self) -> str:
        return (
            f"{self.folder} took {self.took_s:.0f} s, and may take {self.most_s:.0f} s:"
            f" {_FILE} says what to do about it"
        )


def read() -> tuple[dict[str, float], float]:
    """The budget of each folder in seconds, and how many times as long it may take."""
    found = tomllib.loads((ROOT / _FILE).read_text(encoding="utf-8"))
    return {name: float(seconds) for name, seconds in found["folders"].items()}, float(found["limit"])


def folder_of(nodeid: str, budgets: Mapping[str, float]) -> str:
    """The closest folder above a test that has a budget; empty where none has."""
    parents = [str(parent) for parent in PurePosixPath(nodeid.partition("::")[0]).parents]
    return next((parent for parent in parents if parent in budgets), "")


def overruns(took: Mapping[str, float], budgets: Mapping[str, float], limit: float) -> list[Overrun]:
    """The folders that took more than ``limit`` times their budget."""
    return [
        Overrun(folder, seconds, budgets[folder] * limit)
        for folder, seconds in sorted(took.items())
        if folder in budgets and seconds > budgets[folder] * limit
    ]


@dataclass(eq=False)  # pytest keeps its plugins in sets
class Budgets:
    """The plugin: adds up what every report says, and fails a run in which a folder took too long."""

    took: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._budgets, self._limit = read()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.took[folder_of(report.nodeid, self._budgets)] += report.duration  # type: ignore[assignment]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and self._overruns:
            session.exitstatus = OVERRUN

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:  # noqa: ANN401 - pytest keeps its type
        terminalreporter.section("time by folder")
        for folder, seconds in sorted(self.took.items()):
            terminalreporter.line(f"{seconds:6.0f} s of {self._budgets.get(folder, 0):4.0f}  {folder}")
        for overrun in self._overruns:
            terminalreporter.line(f"TOO LONG: {overrun}", red=True)

    @property
    def _overruns(self) -> list[Overrun]:
        return overruns(self.took, self._budgets, self._limit)


@dataclass(eq=False)
class Failures:
    """The plugin: writes the name of each test that failed, or was not begun, to ``path``, a line each."""

    path: Path
    names: dict[str, None] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.names[report.nodeid] = None

    def pytest_sessionfinish(self) -> None:
        self.path.write_text("".join(f"{name}\n" for name in self.names), encoding="utf-8")
