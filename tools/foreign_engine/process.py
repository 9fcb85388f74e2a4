"""Starts and ends the engine: one process, on one loopback port, with its own directory."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Engine", "EngineError", "engine_python", "start"]

ROOT = Path(__file__).parents[2]
_HOST = "127.0.0.1"
_UP_S = 60.0
_END_S = 20.0
_PATIENCE_S = 0.05


class EngineError(Exception):
    """The engine is not installed or did not start; the sentence says why."""


def engine_python() -> Path:
    """The interpreter of the engine's environment. Raises EngineError."""
    python = ROOT / ".cache" / "ministack" / "bin" / "python"
    if not python.exists():
        raise EngineError("the foreign engine is not installed here: run `make foreign`")
    return python


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine."""

    process: subprocess.Popen[bytes]
    port: int
    directory: Path
    """Its temporary files, its log, and the records of what is only stubbed."""

    @property
    def url(self) -> str:
        """The AWS_ENDPOINT_URL for every client."""
        return f"http://{_HOST}:{self.port}"

    @property
    def stubs(self) -> Path:
        """One JSON file for each stubbed resource that is in a stack."""
        return self.directory / "stubs"

    def log(self) -> str:
        """The text that it has written so far."""
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End it and wait for that."""
        self.process.terminate()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_END_S)


def start(directory: Path) -> Engine:
    """Start an engine whose files are in ``directory``, and wait until it answers. Raises EngineError."""
    python = engine_python()
    stubs = directory / "stubs"
    stubs.mkdir(parents=True)
    port = _free_port()
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(directory),
        "HOME": str(directory),
        "BIND_HOST": _HOST,  # all addresses otherwise
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # a listener on all addresses
        "SFTP_ENABLED": "0",
        "LAMBDA_STRICT": "1",  # runs no function without Docker, instead of running it as this user
        "DOCKER_HOST": f"unix://{directory}/no-docker",
        "BEACON_FOREIGN_STUBS": str(stubs),
    }
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "tools.foreign_engine"], cwd=directory, env=environment, stdout=log, stderr=log
        )
    engine = Engine(process, port, directory)
    try:
        _wait(engine)
    except BaseException:
        engine.stop()
        raise
    return engine


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _wait(engine: Engine) -> None:
    until = time.monotonic() + _UP_S
    while time.monotonic() < until:
        if engine.process.poll() is not None:
            raise EngineError(f"the foreign engine ended at once: {engine.log()[-600:]}")
        connection = http.client.HTTPConnection(_HOST, engine.port, timeout=2)
        try:
            connection.request("GET", "/_ministack/ready")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(_PATIENCE_S)
    raise EngineError(f"the foreign engine did not answer within {_UP_S:.0f} s: {engine.log()[-600:]}")
