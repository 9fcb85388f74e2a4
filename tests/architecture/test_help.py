"""What help() shows of the library holds no secret."""

from __future__ import annotations

import inspect
import json
import pydoc
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import beacon

LIBRARY = Path(beacon.__file__).parent
SECRET = "canary-of-help"


MODULES = sorted(
    ".".join(path.relative_to(LIBRARY).with_suffix("").parts) for path in LIBRARY.rglob("[a-z]*.py")
)


SCRIPT = """
import importlib, json, pydoc, sys
modules = {name: importlib.import_module(f"beacon.{name}") for name in sys.argv[1:]}
print(json.dumps({name: pydoc.render_doc(module) for name, module in modules.items()}))
"""


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """What help() prints of each module, in a process whose environment holds a secret."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *MODULES],
        env={"PYTHONPATH": str(LIBRARY.parent), "AWS_SECRET_ACCESS_KEY": SECRET},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_no_signature_shows_the_environment(pages: dict[str, str], module: str) -> None:
    """A default value is shown, with whatever it holds."""
    shown = pages[module]
    assert f"beacon.{module}" in shown
    assert SECRET not in shown


def test_the_check_above_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature with the environment in it shows it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    os = import_module("os")

    def leaking(environment: object = os.environ) -> object:
        return environment

    assert SECRET in str(inspect.signature(leaking))
    assert SECRET in pydoc.render_doc(leaking)
