"""Makes what AWS provides around a function: Python 3.13 with the runtime interface client and boto3.

Both come at the versions of uv.lock, with its hashes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from beacon_lab.awslambda.python313 import BuildUnavailableError

__all__ = ["locked_requirements", "make_runtime"]

_PROVIDED = ("awslambdaric", "boto3")
_INSTALL_S = 600.0
_PIP_OPTIONS = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary", ":all:")


def make_runtime(python: Path, lock: Path, directory: Path) -> Path:
    """The interpreter of a virtual environment in ``directory``, made again when its inputs change.

    The inputs are the lock file and ``python``.

    pip takes its package index from its own configuration. Raises BuildUnavailableError.
    """
    requirements = locked_requirements(lock, _PROVIDED)
    stamp, wanted = directory / "made-from", hashlib.sha256(f"{python}\n{requirements}".encode()).hexdigest()
    interpreter = directory / "bin" / "python3.13"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and interpreter.exists():
        return interpreter
    shutil.rmtree(directory, ignore_errors=True)
    _run([python, "-m", "venv", directory])
    listed = directory / "requirements.txt"
    listed.write_text(requirements, encoding="utf-8")
    _run([interpreter, "-m", "pip", "install", *_PIP_OPTIONS, "--require-hashes", "--requirement", listed])
    stamp.write_text(wanted, encoding="utf-8")
    return interpreter


def locked_requirements(lock: Path, names: Iterable[str]) -> str:
    """What pip needs to install ``names`` and all that they need, pinned and hashed as in a uv.lock."""
    packages: dict[str, Mapping[str, Any]] = {
        package["name"]: package for package in tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    }
    wanted, found = list(names), set[str]()
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            wanted.extend(dependency["name"] for dependency in packages[name].get("dependencies", ()))
    return "".join(_requirement(packages[name]) for name in sorted(found))


def _requirement(package: Mapping[str, Any]) -> str:
    hashes = "".join(f" --hash={wheel['hash']}" for wheel in package.get("wheels", ()))
    return f"{package['name']}=={package['version']}{hashes}\n"


def _run(argv: list[str | Path]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=_INSTALL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildUnavailableError(f"the runtime for built code could not be made: {error}") from error
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise BuildUnavailableError(f"the runtime for built code could not be made: {reason[0]}")
