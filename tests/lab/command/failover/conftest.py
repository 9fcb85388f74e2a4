"""One lab with failover records for the tests of this directory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.lab.command.conftest import starter, upper

if TYPE_CHECKING:
    from tests.lab.command.conftest import LabProcess

HERE = Path(__file__).parent


@dataclass
class _SharedLab:
    """Starts for the first test that asks, and ends with the directory's last test.

    A fixture of pytest's package scope lasts to the end of the run here, because the directory is no Python
    package. An idle lab polls and publishes, so it costs the tests after it a third of a core.
    """

    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    lab: LabProcess | None = None

    def get(self) -> LabProcess:
        if self.lab is None:
            self.lab = upper(self.stack.enter_context(starter()))()
        return self.lab

    def end(self) -> None:
        self.lab = None
        self.stack.close()


_SHARED = _SharedLab()


@pytest.hookimpl(trylast=True)  # after the fixtures of the test that ends
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """End the lab when the next test is not in this directory."""
    if nextitem is None or HERE not in nextitem.path.parents:
        _SHARED.end()


@pytest.fixture
def lab() -> Iterator[LabProcess]:
    """The lab; at the end of the test both Regions are healed."""
    shared = _SHARED.get()
    yield shared
    for region, row in shared.regions().items():
        if row["faults"]:
            shared.heal(region)
