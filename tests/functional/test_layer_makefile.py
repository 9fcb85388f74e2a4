"""The layer's Makefile says what is wrong with the Python that it finds, before it downloads anything."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.places import ROOT

MAKEFILE = ROOT / "layers/beacon/src/Makefile"
SHIM = """#!/bin/sh
echo "pyenv: python3.13: command not found" >&2
exit 127
"""


def build(directory: Path) -> subprocess.CompletedProcess[str]:
    """`make build-BeaconLayer` with ``directory`` first on the PATH."""
    environment = {
        "PATH": f"{directory}{os.pathsep}{os.defpath}",
        "ARTIFACTS_DIR": str(directory / "artifacts"),
        "PIP_NO_INDEX": "1",
    }
    argv = ["make", "-f", str(MAKEFILE), "build-BeaconLayer"]
    return subprocess.run(
        argv, cwd=directory, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_shim_that_starts_no_python_is_named_with_its_repair(tmp_path: Path) -> None:
    """pyenv leaves a python3.13 on the PATH that answers 127; make would only say `Error 127`."""
    shim = tmp_path / "python3.13"
    shim.write_text(SHIM, encoding="utf-8")
    shim.chmod(0o755)
    done = build(tmp_path)
    assert done.returncode != 0
    assert f"python3.13 does not start as Python 3.13: {shim}" in done.stderr
    assert "PYENV_VERSION" in done.stderr


def test_another_version_under_the_name_is_refused(tmp_path: Path) -> None:
    """Its wheels and bytecode would not load on Lambda."""
    other = tmp_path / "python3.13"
    other.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    other.chmod(0o755)
    assert "does not start as Python 3.13" in build(tmp_path).stderr


def test_without_any_python_it_says_so(tmp_path: Path) -> None:
    """Rather than make's `not found`."""
    if any((Path(place) / "python3.13").exists() for place in os.defpath.split(os.pathsep) if place):
        pytest.skip("this machine has a python3.13 in the default PATH")
    assert "it is not on the PATH" in build(tmp_path).stderr
