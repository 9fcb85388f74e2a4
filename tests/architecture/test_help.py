"""What help() shows of the library is nobody's secret."""

from __future__ import annotations

import inspect
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


@pytest.mark.parametrize("module", MODULES)
def test_no_signature_shows_the_environment(module: str) -> None:
    """A default value is shown, with whatever it holds."""
    script = f"import importlib, pydoc; print(pydoc.render_doc(importlib.import_module('beacon.{module}')))"
    shown = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(LIBRARY.parent), "AWS_SECRET_ACCESS_KEY": SECRET},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
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
