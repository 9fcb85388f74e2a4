"""The options of `make check` and `make test`: how much to try, what to run, how long it may take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests import examples, phases
from tests.budget import Budgets, Failures
from tests.places import ROOT


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="try a fifth of the examples, and leave out the tests that are marked long (make check)",
    )
    parser.addoption(
        "--phase", choices=list(phases.PHASES), help="run the tests of one phase alone: see tests/phases.py"
    )
    parser.addoption(
        "--budgets",
        action="store_true",
        help="fail when the tests of a folder take much longer than tests/budgets.toml says",
    )
    parser.addoption("--failures-to", type=Path, help="a file for the names of the tests that failed")


def pytest_configure(config: pytest.Config) -> None:
    examples.use(quick=config.getoption("--quick"))
    if hasattr(config, "workerinput"):
        return
    if config.getoption("--budgets"):
        config.pluginmanager.register(Budgets())
    if config.getoption("--failures-to") is not None:
        config.pluginmanager.register(Failures(config.getoption("--failures-to")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    phase = config.getoption("--phase")
    if config.getoption("--quick"):
        _keep(config, items, lambda item: item.get_closest_marker(examples.LONG) is None)
    if phase is not None:
        _keep(config, items, lambda item: phases.phase_of(_file(item)) == phase)
    if phase == "together" and config.pluginmanager.hasplugin("xdist"):
        order = {path: number for number, path in enumerate(phases.LONGEST)}
        items.sort(key=lambda item: order.get(phases.group_of(_file(item)), len(order)))
        for item in items:
            item.add_marker(pytest.mark.xdist_group(phases.group_of(_file(item))))


def _keep(config: pytest.Config, items: list[pytest.Item], wanted: Callable[[pytest.Item], bool]) -> None:
    left_out = [item for item in items if not wanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if wanted(item)]


def _file(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT).as_posix()
