"""One lab with failover records for the tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.command.conftest import LabProcess, Up


@pytest.fixture(scope="package")
def failover_lab(up_for_package: Up) -> LabProcess:
    """The lab; use `lab`, which repairs it between tests."""
    return up_for_package()


@pytest.fixture
def lab(failover_lab: LabProcess) -> Iterator[LabProcess]:
    """The lab; at the end of the test both Regions are healed."""
    yield failover_lab
    for region, row in failover_lab.regions().items():
        if row["faults"]:
            failover_lab.heal(region)
