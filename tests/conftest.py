"""The option `--quick`: fewer examples, and no test that needs many."""

from __future__ import annotations

import pytest
from tests import examples


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="try a fifth of the examples, and leave out the tests that are marked long (make check)",
    )


def pytest_configure(config: pytest.Config) -> None:
    examples.use(quick=config.getoption("--quick"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--quick"):
        return
    left_out = [item for item in items if item.get_closest_marker(examples.LONG)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
