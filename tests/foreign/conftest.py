"""A foreign engine for each test, and a project directory to deploy from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.foreign.clients import Project
from tests.foreign.seen import Cloud
from tools.foreign_engine.process import EngineError, engine_python, start


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """An empty account in an engine of its own, which prints its log when the test fails."""
    try:
        engine_python()
    except EngineError as error:
        pytest.skip(str(error))
    engine = start(tmp_path / "engine")
    try:
        yield Cloud(engine.url, engine.stubs)
    finally:
        engine.stop()
        print(engine.log()[-4000:])


@pytest.fixture
def project(tmp_path: Path, cloud: Cloud) -> Project:
    """What an operator's directory holds before the first deployment."""
    directory = tmp_path / "project"
    directory.mkdir()
    return Project(directory, cloud)
