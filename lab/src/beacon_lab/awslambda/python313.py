"""Finds the Python 3.13 that ``sam build`` and built code need, wherever this machine keeps one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from beacon_lab.errors import LabError

__all__ = ["BuildUnavailableError", "find_python313"]

_ASK = (
    "import sys, ensurepip, venv; sys.version_info[:2] == (3, 13) "
    "and sys.version_info.releaselevel == 'final' and print(sys.executable)"
)
_ANSWER_S = 20.0
_UV = ".local/share/uv/python"


class BuildUnavailableError(LabError):
    """Built code cannot be had on this machine; the sentence says what is missing."""


def find_python313(environment: Mapping[str, str]) -> Path:
    """The first candidate that really runs as a final Python 3.13 with venv.

    Candidates: BEACON_PYTHON313 and then no other, ``python3.13`` on PATH (a version manager's shim that
    answers nothing is passed over), pyenv's versions, uv's. Raises BuildUnavailableError.
    """
    if named := environment.get("BEACON_PYTHON313"):
        if found := _answer(Path(named)):
            return found
        raise BuildUnavailableError(f"BEACON_PYTHON313 is {named}, which is no final Python 3.13 with venv")
    for candidate in _candidates(environment):
        if found := _answer(candidate):
            return found
    raise BuildUnavailableError(
        "built code needs Python 3.13, the functions' runtime, and none was found on PATH, under pyenv or "
        "under uv: install one or set BEACON_PYTHON313 to its path"
    )


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    for directory in environment.get("PATH", "").split(":"):
        if directory:
            yield Path(directory) / "python3.13"
    home = Path(environment["HOME"]) if environment.get("HOME") else None
    pyenv = environment.get("PYENV_ROOT") or (home and home / ".pyenv")
    uv = environment.get("UV_PYTHON_INSTALL_DIR") or (home and home / _UV)
    for root, pattern in ((pyenv, "versions/3.13*"), (uv, "cpython-3.13*")):
        if root:
            for version in sorted(Path(root).glob(pattern), reverse=True):
                yield version / "bin" / "python3.13"


def _answer(candidate: Path) -> Path | None:
    if not candidate.is_file():
        return None
    try:
        asked = subprocess.run(
            [candidate, "-I", "-c", _ASK], capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    path = asked.stdout.strip()
    return Path(path) if asked.returncode == 0 and path else None
