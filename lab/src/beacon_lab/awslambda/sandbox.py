"""One Lambda sandbox: the Runtime Interface Emulator with awslambdaric, frozen between invocations."""

import asyncio
import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import time
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path

import aiohttp
import samcli.local.rapid

from beacon_lab.awslambda.function_spec import ARCHITECTURE, FunctionSpec, Runtime
from beacon_lab.processes.children import Child, Processes
from beacon_lab.processes.process_table import ProcessIdentity, children, entry, identify

__all__ = ["InvocationResult", "InvocationStatus", "Sandbox", "SandboxError", "emulator"]

INIT_LIMIT_S = 10.0
START_LIMIT_S = 10.0
ATTEMPTS = 5
INVOKE_PATH = "/2015-03-31/functions/function/invocations"
# What awslambdaric reports when the handler raised, or could not be imported.
ERROR_MEMBERS = frozenset({"errorMessage", "errorType", "requestId", "stackTrace"})


@unique
class InvocationStatus(StrEnum):
    """How an invocation ended."""

    OK = "ok"
    FUNCTION_ERROR = "function_error"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """The end of one invocation.

    ``payload`` is the function's JSON, or the error object. ``cold`` says that the invocation began with the
    function's INIT; ``duration_s`` is what the caller waited, INIT included.
    """

    status: InvocationStatus
    payload: bytes
    cold: bool = False
    duration_s: float = 0.0


class SandboxError(Exception):
    """The sandbox cannot be started, or died: its processes are gone or do not answer."""


def emulator(directory: Path) -> Path:
    """The emulator's binary for this machine: the one in the aws-sam-cli wheel, or an executable copy.

    Raises SandboxError when the wheel holds none for this machine.
    """
    shipped = Path(next(iter(samcli.local.rapid.__path__))) / f"aws-lambda-rie-{ARCHITECTURE}"
    if not shipped.is_file():
        raise SandboxError(f"the aws-sam-cli wheel holds no Lambda emulator for {platform.machine()}")
    if os.access(shipped, os.X_OK):
        return shipped
    copy = directory / shipped.name
    if not copy.exists():
        new = copy.with_suffix(".new")
        shutil.copyfile(shipped, new)
        new.chmod(0o755)
        new.rename(copy)
    return copy


class Sandbox:
    """Serves one invocation at a time; its runtime is stopped (SIGSTOP) whenever none is running.

    INIT happens inside the first invocation, as the emulator does it. Lambda counts INIT apart from the
    function's timeout, the emulator counts it in.
    """

    def __init__(self, spec: FunctionSpec, child: Child, url: str) -> None:
        """Made by ``start``."""
        self._spec = spec
        self._child = child
        self._url = url
        self._frozen: list[ProcessIdentity] = []
        self._initialised = False
        self._spent = False
        self._stopped = False
        # One connection that stays open: the emulator is on this machine and serves one request at a time.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=INIT_LIMIT_S + spec.timeout_s + 5.0),
            connector=aiohttp.TCPConnector(limit=1),
        )

    @classmethod
    async def start(
        cls, spec: FunctionSpec, *, runtime: Runtime, processes: Processes, directory: Path, log: Path
    ) -> "Sandbox":
        """Start the emulator; the function's code is not loaded yet.

        ``log`` receives what the function prints and the emulator's START, END and REPORT lines.
        Raises SandboxError when no emulator comes up, after trying other ports.
        """
        binary = await asyncio.to_thread(emulator, directory)
        for _ in range(ATTEMPTS):
            front, api = free_ports(2)
            argv = [str(binary), "--log-level", "error"]
            argv += ["--runtime-interface-emulator-address", f"127.0.0.1:{front}"]
            argv += ["--runtime-api-address", f"127.0.0.1:{api}"]
            argv += [str(runtime.python), "-m", "awslambdaric", spec.handler]
            child = await processes.spawn(
                f"lambda {spec.name}",
                argv,
                env=function_environment(spec, runtime),
                cwd=spec.code_dir,
                log=log,
            )
            try:
                listens = await _listens(child, front)
            except asyncio.CancelledError:
                await child.kill()
                raise
            if listens:
                return cls(spec, child, f"http://127.0.0.1:{front}{INVOKE_PATH}")
            await child.kill()
        raise SandboxError(f"{spec.name}: the Lambda emulator does not start; see {log}")

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it can take another invocation.

        It cannot after a time-out or a crash of the runtime, when the emulator has ended or another process
        stopped it, and when a frozen process did not survive.
        """
        row = entry(self._child.pid)
        return (
            not self._spent
            and self._child.returncode is None
            and row is not None
            and row.state not in "TtZ"
            and all(found.alive() for found in self._frozen)
        )

    @property
    def frozen(self) -> tuple[ProcessIdentity, ...]:
        """The stopped processes of the runtime, none while an invocation runs or before the first."""
        return tuple(self._frozen)

    async def invoke(self, event: bytes) -> InvocationResult:
        """Thaw, run the handler on a JSON event, freeze.

        Raises SandboxError when the sandbox is not ``alive``, died meanwhile or does not answer.
        """
        if self._stopped or self._spent:
            raise SandboxError(f"{self._spec.name}: the sandbox cannot take another invocation")
        started = time.monotonic()
        cold = not self._initialised
        self._thaw()
        try:
            async with self._session.post(self._url, data=event) as response:
                status, payload = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            self._spent = True
            raise SandboxError(f"{self._spec.name}: the sandbox died ({type(error).__name__})") from error
        ended, payload = self._read_result(status, payload)
        # The emulator restarts a runtime that timed out or crashed, but sometimes loses an invocation then.
        self._spent = ended is InvocationStatus.TIMEOUT or status != 200
        self._initialised = True
        if not self._spent:
            self._freeze()
        return InvocationResult(ended, payload, cold=cold, duration_s=time.monotonic() - started)

    async def stop(self) -> None:
        """End the sandbox and all its processes at once. Safe to call again."""
        self._stopped = True
        self._frozen.clear()
        await self._child.kill()
        await self._session.close()

    def _read_result(self, status: int, payload: bytes) -> tuple[InvocationStatus, bytes]:
        """Read the emulator's answer: a function error has no header, a time-out is plain text."""
        if status != 200:
            return InvocationStatus.FUNCTION_ERROR, payload
        if payload.startswith(b"Task timed out after "):
            text = payload.decode("ascii", errors="replace")
            return InvocationStatus.TIMEOUT, json.dumps(
                {"errorMessage": text, "errorType": "Sandbox.Timedout"}
            ).encode()
        if payload.startswith(b'{"error'):
            with contextlib.suppress(ValueError):
                found = json.loads(payload)
                if "errorType" in found and ERROR_MEMBERS.issuperset(found):
                    return InvocationStatus.FUNCTION_ERROR, payload
        return InvocationStatus.OK, payload

    def _freeze(self) -> None:
        pending = children(self._child.pid)
        while pending:
            found = identify(pending.pop())
            # A process that is stopped starts no more children: look for them after stopping it.
            if found is not None and found.send(signal.SIGSTOP):
                self._frozen.append(found)
                pending.extend(children(found.pid))

    def _thaw(self) -> None:
        frozen, self._frozen = self._frozen, []
        for found in reversed(frozen):
            found.send(signal.SIGCONT)


def function_environment(spec: FunctionSpec, runtime: Runtime) -> dict[str, str]:
    """The environment that Lambda gives a function, with the function's own on top."""
    path = [str(spec.code_dir), *(str(layer) for layer in spec.layer_dirs)]
    if runtime.bytecode_dir is None:
        bytecode = {"PYTHONDONTWRITEBYTECODE": "1"}
    else:
        bytecode = {"PYTHONPYCACHEPREFIX": str(runtime.bytecode_dir)}
    return {
        "PATH": os.defpath,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": f"{spec.timeout_s:g}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "LAMBDA_TASK_ROOT": str(spec.code_dir),
        "PYTHONPATH": os.pathsep.join(path),
        **bytecode,
        **spec.environment,
    }


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now; another process may take one first, so be ready to try again."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


async def _listens(child: Child, port: int) -> bool:
    """Wait for the emulator's port; False when the emulator ends (a port was taken) or is too slow."""
    deadline = time.monotonic() + START_LIMIT_S
    while child.returncode is None and time.monotonic() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            await asyncio.sleep(0.005)
            continue
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return child.returncode is None
    return False
