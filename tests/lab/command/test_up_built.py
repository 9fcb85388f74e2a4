"""`beacon-lab up --built` serves what `sam build` made of the template."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.places import ROOT

from beacon_lab.awslambda.python313 import BuildUnavailableError, find_python313
from beacon_lab.processes.process_table import ProcessIdentity

if TYPE_CHECKING:
    from tests.lab.command.conftest import Up

pytestmark = pytest.mark.lab

FIRST = "us-east-1"
#: What `sam build` and the environment for its code may take on an empty cache.
BUILD_WITHIN_S = 400.0
BUILT = ROOT / ".lab" / "build"


@pytest.fixture(autouse=True)
def _python313() -> None:
    try:
        find_python313(os.environ)
    except BuildUnavailableError as error:
        pytest.skip(str(error))


def test_up_serves_what_sam_build_made(up: Up) -> None:
    """Each handler runs on Python 3.13 from the built function and the built layer, whose bytecode is loaded
    without a look at its source."""
    lab = up("--built", within_s=BUILD_WITHIN_S)
    assert (lab.health(FIRST).status, lab.health(FIRST).output) == (200, "ok")
    found = sandboxes(lab.family())
    assert {environment["LAMBDA_TASK_ROOT"] for _, environment in found} == {
        str(BUILT / name) for name in ("HealthFunction", "PublisherFunction")
    }
    layer = BUILT / "BeaconLayer" / "python"
    for interpreter, environment in found:
        assert interpreter == "python3.13"
        assert environment["PYTHONPATH"].split(":") == [environment["LAMBDA_TASK_ROOT"], str(layer)]
        assert "PYTHONPYCACHEPREFIX" not in environment
    sources = list((layer / "beacon").rglob("*.py"))
    assert sources
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        # PEP 552: bit 0 says that a hash of the source is in it, bit 1 that it is to be compared.
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 1


def sandboxes(family: list[ProcessIdentity]) -> list[tuple[str, dict[str, str]]]:
    """Interpreter and environment of each process that runs a handler."""
    found = []
    for identity in family:
        process = Path("/proc") / str(identity.pid)
        interpreter = (process / "exe").readlink().name
        if b"awslambdaric" in (process / "cmdline").read_bytes() and interpreter.startswith("python"):
            pairs = (process / "environ").read_text().rstrip("\0").split("\0")
            found.append((interpreter, dict(pair.split("=", 1) for pair in pairs)))
    return found
