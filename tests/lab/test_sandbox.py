"""One sandbox behaves as Lambda's: real INIT, really frozen between invocations, ended by its timeout."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from beacon_lab.awslambda.function_spec import FunctionSpec, Runtime
from beacon_lab.awslambda.log import LambdaLog
from beacon_lab.awslambda.sandbox import InvocationResult, InvocationStatus, Sandbox, SandboxError
from beacon_lab.processes.children import Processes
from beacon_lab.processes.process_table import entry

pytestmark = pytest.mark.lab

HANDLER = """
import json, os, subprocess, sys, threading, time
import from_layer

started = time.monotonic()
beats = []

def beat():
    while True:
        beats.append(time.monotonic())
        time.sleep(0.005)

threading.Thread(target=beat, daemon=True).start()

def handler(event, context):
    what = event.get("do")
    if what == "sleep":
        time.sleep(event["seconds"])
    elif what == "raise":
        raise KeyError("a broken handler")
    elif what == "exit":
        os._exit(3)
    elif what == "spawn":
        return subprocess.Popen(["sleep", "600"]).pid
    elif what == "gap":
        ordered = list(beats)
        return max(b - a for a, b in zip(ordered, ordered[1:]))
    print(json.dumps({"level": "INFO", "message": "hello", "request": context.aws_request_id}))
    print("plain text")
    return {
        "pid": os.getpid(),
        "layer": from_layer.NAME,
        "cached": from_layer.__cached__,
        "environment": dict(os.environ),
        "remaining_ms": context.get_remaining_time_in_millis(),
        "memory": context.memory_limit_in_mb,
        "name": context.function_name,
    }
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A function's files, and a sandbox that runs them."""

    sandbox: Sandbox
    log: LambdaLog
    bytecode: Path

    async def __call__(self, **event: object) -> InvocationResult:
        return await self.sandbox.invoke(json.dumps(event).encode())


@asynccontextmanager
async def running(directory: Path, *, source: str = HANDLER, timeout_s: float = 5) -> AsyncIterator[Place]:
    """A started sandbox with a layer, in a directory of the test."""
    code, layer, bytecode = directory / "code", directory / "layer", directory / "bytecode"
    code.mkdir()
    layer.mkdir()
    (code / "work.py").write_text(source)
    (layer / "from_layer.py").write_text("NAME = 'layer'\n")
    spec = FunctionSpec(
        name="app-test-health",
        region="us-east-2",
        handler="work.handler",
        code_dir=code,
        layer_dirs=(layer,),
        environment={"BEACON_APP": "app"},
        timeout_s=timeout_s,
        memory_mb=512,
        reserved_concurrency=None,
        async_max_age_s=60,
        async_max_retries=0,
    )
    async with Processes() as processes:
        sandbox = await Sandbox.start(
            spec,
            runtime=Runtime(bytecode_dir=bytecode),
            processes=processes,
            directory=directory,
            log=directory / "log",
        )
        try:
            yield Place(sandbox, LambdaLog(directory / "log"), bytecode)
        finally:
            await sandbox.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait, at most 10 s, for what the kernel does in its own time."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true within 10 s")


def states(pids: set[int]) -> set[str]:
    """The states of proc(5) that these processes are in."""
    return {row.state for pid in pids if (row := entry(pid)) is not None}


def test_the_handler_sees_what_lambda_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment, context and layer are Lambda's; nothing of the lab's own environment gets in."""
    monkeypatch.setenv("AWS_PROFILE", "the-operator")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/the/operators/bundle.pem")

    async def scenario() -> None:
        async with running(tmp_path) as place:
            outcome = await place()
            assert outcome.status is InvocationStatus.OK
            assert outcome.cold
            seen = json.loads(outcome.payload)
            assert (seen["layer"], seen["name"], seen["memory"]) == ("layer", "app-test-health", "512")
            assert 0 < seen["remaining_ms"] <= 5000
            environment = seen["environment"]
            assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "us-east-2"
            assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "app-test-health"
            assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
            assert environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] == "5"
            assert environment["LAMBDA_TASK_ROOT"] == str(tmp_path / "code")
            assert environment["BEACON_APP"] == "app"
            assert "AWS_PROFILE" not in environment
            assert environment.get("AWS_CA_BUNDLE") is None
            assert seen["cached"].startswith(str(place.bytecode))
            assert os.access(seen["cached"], os.R_OK)
            again = await place()
            assert not again.cold
            assert json.loads(again.payload)["pid"] == seen["pid"]

    asyncio.run(scenario())


def test_nothing_runs_between_invocations(tmp_path: Path) -> None:
    """The runtime and its children are in state T until the next invocation, and then run on."""

    async def scenario() -> None:
        async with running(tmp_path) as place:
            child = int((await place(do="spawn")).payload)
            stopped: set[int] = {found.pid for found in place.sandbox.frozen}
            assert child in stopped
            assert len(stopped) == 2
            await until(lambda: states(stopped) == {"T"})
            await asyncio.sleep(0.5)
            # The handler's own thread beats every 5 ms, except while the sandbox was frozen.
            assert float((await place(do="gap")).payload) > 0.4
            assert {found.pid for found in place.sandbox.frozen} == stopped

    asyncio.run(scenario())


def test_the_emulator_ends_a_slow_handler(tmp_path: Path) -> None:
    """A time-out is reported as such, and the sandbox takes no more invocations."""

    async def scenario() -> None:
        async with running(tmp_path, timeout_s=1) as place:
            await place()
            late = await place(do="sleep", seconds=30)
            assert late.status is InvocationStatus.TIMEOUT
            assert "timed out after 1.00 seconds" in json.loads(late.payload)["errorMessage"]
            assert late.duration_s < 5
            assert not place.sandbox.alive
            with pytest.raises(SandboxError):
                await place()

    asyncio.run(scenario())


def test_errors_of_the_function_are_function_errors(tmp_path: Path) -> None:
    """A raised exception and an exit are function errors; only the first keeps the sandbox."""

    async def scenario() -> None:
        async with running(tmp_path) as place:
            raised = await place(do="raise")
            assert raised.status is InvocationStatus.FUNCTION_ERROR
            assert json.loads(raised.payload)["errorType"] == "KeyError"
            assert not (await place()).cold
            left = await place(do="exit")
            assert left.status is InvocationStatus.FUNCTION_ERROR
            assert json.loads(left.payload)["errorType"] == "Runtime.ExitError"
            assert not place.sandbox.alive

    asyncio.run(scenario())


def test_a_handler_that_cannot_be_imported_is_a_function_error(tmp_path: Path) -> None:
    """INIT's failure is reported with its reason."""

    async def scenario() -> None:
        async with running(tmp_path, source="import no_such_module_anywhere\n") as place:
            outcome = await place()
            assert outcome.status is InvocationStatus.FUNCTION_ERROR
            assert b"no_such_module_anywhere" in outcome.payload

    asyncio.run(scenario())


def test_a_killed_emulator_is_noticed(tmp_path: Path) -> None:
    """The invocation that runs when the emulator dies ends with SandboxError, and so does each later one."""

    async def scenario() -> None:
        async with running(tmp_path, timeout_s=60) as place:
            await place()
            assert place.sandbox.alive
            slow = asyncio.ensure_future(place(do="sleep", seconds=30))
            await asyncio.sleep(0.2)
            os.kill(place.sandbox.pid, signal.SIGKILL)
            with pytest.raises(SandboxError):
                await slow
            with pytest.raises(SandboxError):
                await place()
            assert not place.sandbox.alive

    asyncio.run(scenario())


def test_a_runtime_killed_or_an_emulator_stopped_while_idle_is_noticed(tmp_path: Path) -> None:
    """`alive` is False when the frozen runtime is gone, and when a stranger stopped the emulator."""

    async def scenario() -> None:
        async with running(tmp_path) as place:
            await place()
            os.kill(place.sandbox.pid, signal.SIGSTOP)
            await until(lambda: not place.sandbox.alive)
            os.kill(place.sandbox.pid, signal.SIGCONT)
            await until(lambda: place.sandbox.alive)
            place.sandbox.frozen[0].send(signal.SIGKILL)
            await until(lambda: not place.sandbox.alive)

    asyncio.run(scenario())


def test_new_log_lines_are_read_once(tmp_path: Path) -> None:
    """The reader gives each line once, and the structured records among them."""

    async def scenario() -> None:
        async with running(tmp_path) as place:
            await place()
            lines = place.log.new_lines()
            assert "plain text" in lines
            assert any(line.startswith("REPORT RequestId: ") for line in lines)
            assert place.log.new_lines() == []
            await place()
            assert [record["message"] for record in place.log.new_records()] == ["hello"]

    asyncio.run(scenario())


def test_a_line_half_written_waits(tmp_path: Path) -> None:
    """Only complete lines are given; a file that is not there yet has none."""
    log = LambdaLog(tmp_path / "log")
    assert log.new_lines() == []
    log.path.write_bytes(b'{"a": 1}\n{"b"')
    assert log.new_records() == [{"a": 1}]
    log.path.write_bytes(b'{"a": 1}\n{"b": 2}\n{not json}\n["list"]\n')
    assert log.new_records() == [{"b": 2}]
