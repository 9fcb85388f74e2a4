"""The functions whose cold starts are compared: Beacon's, the floor, and the usual stacks, as built.

The usual stacks are installed by `sam build` into a directory under .cache, at the versions of uv.lock where
it has them; none of it is a dependency of the project.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from one_region import OneRegion

from beacon_lab.awslambda.build import Built
from beacon_lab.awslambda.function_spec import FunctionSpec
from beacon_lab.awslambda.python313 import BuildUnavailableError

__all__ = ["USUAL", "Variant", "variants"]

_HERE = Path(__file__).parent / "cold"
_CACHE = Path(__file__).parents[1] / ".cache" / "bench"
_CONNECTOR = "aurora-dsql-python-connector[psycopg]==0.2.7"
_USUAL = ("aws-lambda-powertools", "aws-xray-sdk", "boto3", "psycopg", "psycopg-binary")
#: Packages that Lambda's runtime has, so that a function need not pack them.
_PROVIDED = ("boto3", "botocore", "s3transfer", "dateutil", "urllib3")
_BUILD_S = 600.0

USUAL = ("usual", "connector", "usual, boto3 from the runtime")


@dataclass(frozen=True, slots=True)
class Variant:
    """A function to start cold; ``environment`` gives the variables that it needs to reach a front."""

    name: str
    handler: str
    code: Path
    layers: tuple[Path, ...]
    environment: Callable[[OneRegion], Mapping[str, str]]

    def spec(self, region: OneRegion) -> FunctionSpec:
        """The function for a front."""
        return FunctionSpec(
            name="bench",
            region=region.region,
            handler=self.handler,
            code_dir=self.code,
            layer_dirs=self.layers,
            environment=self.environment(region),
            timeout_s=60,
            memory_mb=1024,
            reserved_concurrency=None,
            async_max_age_s=60,
            async_max_retries=0,
        )


def variants(built: Built, lock: Path) -> list[Variant]:
    """Every function in the comparison, Beacon's own first. Raises BuildUnavailableError."""
    usual = _sam_build(built, lock)
    layer = built.directories["BeaconLayer"]
    return [
        Variant(
            "beacon",
            "health_handler.handler",
            built.directories["HealthFunction"],
            (layer,),
            OneRegion.environment,
        ),
        # psycopg as the layer has it, with bytecode.
        Variant("floor", "floor_handler.handler", _HERE / "floor", (layer,), _floor_environment),
        Variant("usual", "usual_handler.handler", usual / "Usual", (), _environment),
        Variant("connector", "connector_handler.handler", usual / "Connector", (), _environment),
        Variant(USUAL[2], "usual_handler.handler", usual / "UsualProvided", (), _environment),
    ]


def _environment(region: OneRegion) -> dict[str, str]:
    connect = {
        "host": region.host,
        "hostaddr": region.address,
        "port": region.port,
        "user": region.db_user,
        "dbname": "postgres",
        "sslmode": "verify-full",
        "sslrootcert": region.ca_file,
        "sslnegotiation": "direct",
        "connect_timeout": 10,
    }
    own = region.environment()
    keys = {name: own[name] for name in own if name.startswith("AWS_")}
    # Lambda runs a tracing daemon; without one, the library would only write a log line about it.
    return {"BENCH_CONNECT": json.dumps(connect), "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000", **keys}


def _floor_environment(region: OneRegion) -> dict[str, str]:
    return {**_environment(region), "BENCH_TOKEN": region.token()}


def _sam_build(built: Built, lock: Path) -> Path:
    locked = {
        package["name"]: package.get("version")
        for package in tomllib.loads(lock.read_text("utf-8"))["package"]
    }
    pins = [f"{name}=={locked[name]}" for name in _USUAL]
    requirements = {"usual": pins, "connector": [*pins, _CONNECTOR]}
    output, stamp = _CACHE / "build", _CACHE / "built-from"
    wanted = _digest(requirements, built.python)
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return output
    shutil.rmtree(_CACHE, ignore_errors=True)
    source = _CACHE / "source"
    shutil.copytree(_HERE, source, ignore=shutil.ignore_patterns("__pycache__"))
    for name, lines in requirements.items():
        (source / name / "requirements.txt").write_text("\n".join(lines) + "\n", "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "PATH": f"{built.python.parent}:{os.environ.get('PATH', os.defpath)}",
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(_CACHE / "sam"),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    argv = [sys.executable, "-m", "samcli", "build", "--build-dir", str(output)]
    done = subprocess.run(
        argv, cwd=source, env=environment, capture_output=True, text=True, timeout=_BUILD_S, check=False
    )
    if done.returncode != 0:
        raise BuildUnavailableError(f"`sam build` of the usual stacks failed: {done.stderr.strip()[-300:]}")
    provided = shutil.copytree(output / "Usual", output / "UsualProvided")
    for name in _PROVIDED:
        shutil.rmtree(provided / name)
    stamp.write_text(wanted, "utf-8")
    return output


def _digest(requirements: Mapping[str, list[str]], python: Path) -> str:
    digest = hashlib.sha256(f"{requirements}{python}{platform.machine()}".encode())
    for path in sorted(path for path in _HERE.rglob("*") if path.suffix in {".py", ".yaml"}):
        digest.update(path.read_bytes())
    return digest.hexdigest()
