"""Runs ``sam build`` on template.yaml for this machine, and gives directories and interpreter to run it with.

Nothing is built again while its inputs are the same: the template, the functions, the layer, the interpreter.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from beacon_lab.awslambda.function_spec import ARCHITECTURE
from beacon_lab.awslambda.python313 import BuildUnavailableError, find_python313
from beacon_lab.awslambda.runtime import make_runtime

__all__ = ["Built", "build"]

_LAYER = "BeaconLayer"
_FUNCTIONS = ("HealthFunction", "PublisherFunction")
_INPUTS = ("template.yaml", "functions", "layers/beacon/src")
_BUILD_S = 600.0


@dataclass(frozen=True, slots=True)
class Built:
    """What ``sam build`` made. ``python`` is a Python 3.13 with what AWS provides: awslambdaric and boto3."""

    python: Path
    #: By logical id in template.yaml: a function's /var/task, the layer's /opt/python.
    directories: Mapping[str, Path]
    #: The built template, whose code addresses are those directories' parents.
    template: Path


def build(root: Path, directory: Path) -> Built:
    """Build the template in ``root`` into ``directory``, a cache that later calls use again.

    Blocks for up to some minutes; a second caller waits for the first. Raises BuildUnavailableError with one
    sentence when Python 3.13 or make is missing or the build fails.
    """
    python = find_python313(os.environ)
    if shutil.which("make") is None:
        raise BuildUnavailableError("built code needs make, which runs the layer's build: install it")
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory / "lock"):
        runtime = make_runtime(python, root / "uv.lock", directory / "runtime")
        output, stamp = directory / "build", directory / "built-from"
        wanted = _digest(root, python)
        if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted or not output.is_dir():
            stamp.unlink(missing_ok=True)
            _sam_build(root, output, directory / "sam", runtime)
            stamp.write_text(wanted, encoding="utf-8")
    directories = {name: output / name for name in _FUNCTIONS}
    directories[_LAYER] = output / _LAYER / "python"
    return Built(runtime, directories, output / "template.yaml")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # the kernel gives it back, however this process ends
        yield


def _digest(root: Path, python: Path) -> str:
    digest = hashlib.sha256(str(python).encode())
    for name in _INPUTS:
        start = root / name
        files = [start] if start.is_file() else sorted(path for path in start.rglob("*") if path.is_file())
        for path in files:
            if "__pycache__" not in path.parts:
                digest.update(f"\0{path.relative_to(root)}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _sam_build(root: Path, output: Path, home: Path, runtime: Path) -> None:
    home.mkdir(exist_ok=True)
    # As if it had just looked for a newer version of itself: a build asks the package index alone.
    state = {"telemetryEnabled": False, "lastVersionCheck": time.time()}
    (home / "metadata.json").write_text(json.dumps(state), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "PATH": f"{runtime.parent}:{os.environ.get('PATH', os.defpath)}",  # the builder looks here
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(home),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    if ARCHITECTURE is None:
        raise BuildUnavailableError(
            f"Lambda has no functions for this machine's processor, {platform.machine()}"
        )
    argv = [
        sys.executable,
        "-m",
        "samcli",
        "build",
        "--template-file",
        "template.yaml",
        "--build-dir",
        str(output),
    ]
    argv += ["--cache-dir", str(home / "cache"), "--parameter-overrides", f"Architecture={ARCHITECTURE}"]
    try:
        done = subprocess.run(
            argv, cwd=root, env=environment, capture_output=True, text=True, timeout=_BUILD_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildUnavailableError(f"`sam build` did not finish: {error}") from error
    if done.returncode != 0:
        reason = next(
            (line for line in reversed(done.stderr.splitlines()) if "rror" in line), done.stderr[-300:]
        )
        raise BuildUnavailableError(f"`sam build` failed: {reason.strip()}")
