"""Where a test stands: beside none but its like, in a phase, and within a budget."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests import phases
from tests.budget import OVERRUN, Budgets, folder_of, overruns, read
from tests.places import ROOT

UNIT = ROOT / "tests/unit"
FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py"))
#: Folder of tests/unit -> the folder whose modules are tested there.
SOURCES = {
    "": "layers/beacon/src/beacon",
    "cli": "cli/src/beacon_cli",
    "lab": "lab/src/beacon_lab",
    "scripts": "scripts",
    "tools": "tools",
    "benchmarks": "benchmarks",
    "functions": "functions",
}
#: What is about several modules at once, and so named for what it is about.
STORIES = {
    "benchmarks/test_simulation.py",
    "client/test_clocks.py",
    "cli/test_command_line.py",
    "client/test_herd.py",
    "client/test_wrong_use.py",
    "functions/test_handlers.py",
    "lab/route53/test_last_resort.py",
    "test_frozen_time.py",
}
#: What starts PostgreSQL, a lab or a server of AWS's APIs.
PROCESSES = ("beacon_lab.lab", "beacon_lab.dsql.postgres ", "beacon_lab.aws.moto", "moto.server", "tests.lab")


def name_of(path: Path) -> str:
    return path.relative_to(UNIT).as_posix()


def source_of(test: Path) -> Path:
    """The folder whose modules a unit test may be about."""
    first, *rest = test.relative_to(UNIT).parent.parts or ("",)
    return (
        ROOT / SOURCES[first] / Path(*rest) if first in SOURCES else ROOT / SOURCES[""] / Path(first, *rest)
    )


@pytest.mark.parametrize("test", sorted(UNIT.rglob("test_*.py")), ids=name_of)
def test_a_unit_test_stands_where_its_module_does(test: Path) -> None:
    """tests/unit/client/test_race.py tests beacon/client/race.py; a folder's tests may stand beside it."""
    source, name = source_of(test), test.stem.removeprefix("test_")
    assert source.is_dir()
    if name_of(test) not in STORIES:
        assert [*source.rglob(f"{name}.py"), *source.rglob(name)], f"no module {name} below {source}"


@pytest.mark.parametrize("test", sorted(UNIT.rglob("*.py")), ids=name_of)
def test_a_unit_test_starts_no_lab_and_no_server_of_its_own(test: Path) -> None:
    """`make check` runs them after each edit; such tests stand in tests/functional or tests/lab."""
    text = test.read_text(encoding="utf-8")
    assert not [name for name in PROCESSES if f"import {name}" in text or f"from {name}" in text]


def test_every_story_and_every_file_with_a_place_of_its_own_is_there() -> None:
    """A file that was renamed would silently lose its phase."""
    assert {(UNIT / story).exists() for story in STORIES} == {True}
    assert {*phases.ALONE, *phases.LONGEST} <= {*FILES, *phases.ONE_LAB}
    assert {folder for folder in phases.ONE_LAB if any(path.startswith(folder) for path in FILES)} == {
        *phases.ONE_LAB
    }


def test_every_folder_of_tests_belongs_to_one_phase_and_has_a_budget() -> None:
    """The folders that a phase looks in are those of its files."""
    budgets, limit = read()
    assert limit >= 2, "a busy machine is no reason to fail"
    for path in FILES:
        assert folder_of(f"{path}::test", budgets), path
        phase = phases.phase_of(path)
        assert any(f"{path}/".startswith(f"{folder}/") for folder in phases._folders(phase)), (path, phase)
    assert set(budgets) == {folder_of(f"{path}::test", budgets) for path in FILES}, "a budget without tests"


@pytest.mark.parametrize(
    ("took_s", "said"),
    [
        (30.0, []),
        (30.1, ["tests/a took 30 s, and may take 30 s: tests/budgets.toml says what to do about it"]),
    ],
)
def test_a_folder_may_take_three_times_its_budget(took_s: float, said: list[str]) -> None:
    """And not more."""
    assert [str(found) for found in overruns({"tests/a": took_s, "": 999.0}, {"tests/a": 10.0}, 3.0)] == said


def test_a_test_counts_for_the_closest_folder_that_has_a_budget() -> None:
    """Not for those above it."""
    budgets = {"tests/lab": 1.0, "tests/lab/client": 1.0}
    assert folder_of("tests/lab/client/test_a.py::test_b[a/b::c]", budgets) == "tests/lab/client"
    assert folder_of("tests/lab/health/test_a.py::test_b", budgets) == "tests/lab"
    assert folder_of("tests/other/test_a.py::test_b", budgets) == ""


@pytest.mark.parametrize(("share", "status"), [(0.9, 0), (1.1, OVERRUN)])
def test_a_run_that_took_too_long_fails(share: float, status: int) -> None:
    """The plugin turns a good run into a failed one."""
    budgets, limit = read()
    plugin, session = Budgets(), SimpleNamespace(exitstatus=0)
    report: Any = SimpleNamespace(
        nodeid="tests/docs/test_a.py::test_b", duration=budgets["tests/docs"] * limit * share
    )
    plugin.pytest_runtest_logreport(report)
    plugin.pytest_sessionfinish(session)  # type: ignore[arg-type]
    assert session.exitstatus == status
