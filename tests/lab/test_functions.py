"""A function scales out, is limited, retries its events and survives the death of its sandboxes."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from beacon_lab.awslambda.function_spec import FunctionSpec, Runtime
from beacon_lab.awslambda.functions import Function
from beacon_lab.awslambda.sandbox import InvocationStatus
from beacon_lab.faults import FaultKind
from beacon_lab.processes.children import Processes
from beacon_lab.processes.process_table import identify

pytestmark = pytest.mark.lab

HANDLER = """
import os, pathlib, time

def handler(event, context):
    if "mark" in event:
        pathlib.Path(event["mark"]).open("a").write("x")
    if "until" in event:
        while not os.path.exists(event["until"]):
            time.sleep(0.01)
    if event.get("fail"):
        raise RuntimeError("asked to")
    return os.getpid()
"""


def spec_for(
    directory: Path, *, reserved: int | None = None, retries: int = 0, max_age_s: int = 60
) -> FunctionSpec:
    """A function with the handler above."""
    code = directory / "code"
    code.mkdir()
    (code / "work.py").write_text(HANDLER)
    return FunctionSpec(
        name="app-test-work",
        region="us-east-1",
        handler="work.handler",
        code_dir=code,
        layer_dirs=(),
        environment={},
        timeout_s=20,
        memory_mb=256,
        reserved_concurrency=reserved,
        async_max_age_s=max_age_s,
        async_max_retries=retries,
    )


@asynccontextmanager
async def running(
    directory: Path,
    *,
    reserved: int | None = None,
    retries: int = 0,
    max_age_s: int = 60,
    cap: int = 3,
    speed: float = 1.0,
) -> AsyncIterator[Function]:
    """A started function."""
    spec = spec_for(directory, reserved=reserved, retries=retries, max_age_s=max_age_s)
    async with Processes() as processes:
        function = Function(
            spec,
            processes=processes,
            directory=directory / "logs",
            runtime=Runtime(bytecode_dir=directory / "bytecode"),
            cap=cap,
            speed=speed,
        )
        await function.start()
        try:
            yield function
        finally:
            await function.stop()


async def until(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    """Wait for something that other tasks bring about."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)


def marks(path: Path) -> int:
    """How often a handler left its mark."""
    return len(path.read_text()) if path.exists() else 0


def test_busy_sandboxes_make_it_scale_out_and_idle_ones_are_kept(tmp_path: Path) -> None:
    """Three at once take three sandboxes, which serve what follows without a cold start."""

    async def scenario() -> None:
        async with running(tmp_path) as function:
            event = {"mark": str(tmp_path / "mark"), "until": str(tmp_path / "go")}
            calls = [asyncio.ensure_future(function.invoke(event)) for _ in range(3)]
            await until(lambda: marks(tmp_path / "mark") == 3)
            refused = await function.invoke({})
            assert refused.status is InvocationStatus.THROTTLED
            (tmp_path / "go").touch()
            outcomes = await asyncio.gather(*calls)
            assert {outcome.status for outcome in outcomes} == {InvocationStatus.OK}
            assert all(outcome.cold for outcome in outcomes)
            pids = {outcome.payload for outcome in outcomes}
            assert len(pids) == 3
            for _ in range(4):
                warm = await function.invoke({})
                assert not warm.cold
                assert warm.payload in pids
            counters = function.counters
            assert (counters.invocations, counters.cold_starts, counters.throttles) == (7, 3, 1)
            assert counters.errors == 0
            assert len(function.sandboxes) == 3

    asyncio.run(scenario())


@pytest.mark.parametrize(("reserved", "allowed"), [(0, 0), (1, 1), (2, 2), (9, 3)])
def test_reserved_concurrency_and_the_labs_cap_throttle(tmp_path: Path, reserved: int, allowed: int) -> None:
    """The smaller of both limits how many run at once, from the very first ones on."""

    async def scenario() -> None:
        async with running(tmp_path, reserved=reserved) as function:
            event = {"until": str(tmp_path / "go")}
            calls = [asyncio.ensure_future(function.invoke(event)) for _ in range(5)]
            await until(lambda: function.counters.throttles == 5 - allowed)
            (tmp_path / "go").touch()
            kinds = [outcome.status for outcome in await asyncio.gather(*calls)]
            assert kinds.count(InvocationStatus.OK) == allowed
            assert kinds.count(InvocationStatus.THROTTLED) == 5 - allowed

    asyncio.run(scenario())


def test_a_throttled_event_waits_in_the_queue_and_is_delivered(tmp_path: Path) -> None:
    """With one sandbox in use the event goes back to the queue, and runs once the sandbox is free."""

    async def scenario() -> None:
        async with running(tmp_path, reserved=1, speed=20) as function:
            blocker = asyncio.ensure_future(
                function.invoke({"mark": str(tmp_path / "busy"), "until": str(tmp_path / "go")})
            )
            await until(lambda: marks(tmp_path / "busy") == 1)
            function.enqueue({"mark": str(tmp_path / "mark")})
            await until(lambda: function.counters.throttles >= 2)
            assert function.counters.events_waiting == 1
            assert marks(tmp_path / "mark") == 0
            (tmp_path / "go").touch()
            await blocker
            await until(lambda: function.counters.events_waiting == 0)
            assert marks(tmp_path / "mark") == 1
            assert function.counters.events_dropped == 0

    asyncio.run(scenario())


def test_an_event_that_is_never_admitted_ages_out(tmp_path: Path) -> None:
    """With no concurrency at all an event is dropped when its maximum age is over."""

    async def scenario() -> None:
        async with running(tmp_path, reserved=0, speed=60) as function:
            started = time.monotonic()
            function.enqueue({})
            await until(lambda: function.counters.events_dropped == 1)
            assert time.monotonic() - started >= 1.0  # 60 s at sixty times the speed
            assert function.counters.throttles >= 4
            assert function.counters.invocations == 0

    asyncio.run(scenario())


def test_a_failing_event_is_retried_as_often_as_configured(tmp_path: Path) -> None:
    """One retry means two attempts; then the event is dropped."""

    async def scenario() -> None:
        async with running(tmp_path, retries=1, max_age_s=21_600, speed=300) as function:
            function.enqueue({"mark": str(tmp_path / "mark"), "fail": True})
            await until(lambda: function.counters.events_dropped == 1)
            assert marks(tmp_path / "mark") == 2
            assert function.counters.errors == 2

    asyncio.run(scenario())


def test_a_sandbox_killed_at_work_costs_one_error(tmp_path: Path) -> None:
    """kill -9 of the emulator ends the running invocation in an error; the next one works."""

    async def scenario() -> None:
        async with running(tmp_path) as function:
            event = {"mark": str(tmp_path / "mark"), "until": str(tmp_path / "never")}
            call = asyncio.ensure_future(function.invoke(event))
            await until(lambda: marks(tmp_path / "mark") == 1)
            os.kill(function.sandboxes[0].pid, signal.SIGKILL)
            assert (await call).status is InvocationStatus.FUNCTION_ERROR
            after = await function.invoke({})
            assert (after.status, after.cold) == (InvocationStatus.OK, True)
            assert function.counters.errors == 1
            assert len(function.sandboxes) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_idle_sandbox_that_dies_or_hangs_is_replaced_without_an_error(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The next invocation finds out and takes a new sandbox; the old one's processes are gone."""

    async def scenario() -> None:
        async with running(tmp_path) as function:
            await function.invoke({})
            (old,) = function.sandboxes
            gone = [*old.frozen, identify(old.pid)]
            os.kill(old.pid, number)
            await until(lambda: not old.alive)
            after = await function.invoke({})
            assert (after.status, after.cold) == (InvocationStatus.OK, True)
            assert function.sandboxes != (old,)
            assert not any(found.alive() for found in gone if found is not None)

    asyncio.run(scenario())


def test_lambda_error_ends_invocations_without_reaching_the_code(tmp_path: Path) -> None:
    """The fault kills what runs, fails what comes, and is over after heal()."""

    async def scenario() -> None:
        async with running(tmp_path) as function:
            event = {"mark": str(tmp_path / "mark"), "until": str(tmp_path / "never")}
            call = asyncio.ensure_future(function.invoke(event))
            await until(lambda: marks(tmp_path / "mark") == 1)
            await function.inject(FaultKind.LAMBDA_ERROR)
            assert (await call).status is InvocationStatus.FUNCTION_ERROR
            for _ in range(3):
                assert (
                    await function.invoke({"mark": str(tmp_path / "mark")})
                ).status is InvocationStatus.FUNCTION_ERROR
            assert marks(tmp_path / "mark") == 1
            assert function.sandboxes == ()
            await function.heal()
            assert (await function.invoke({})).status is InvocationStatus.OK
            assert function.counters.errors == 4
            with pytest.raises(ValueError, match="ssm-down"):
                await function.inject(FaultKind.SSM_DOWN)

    asyncio.run(scenario())


def test_lambda_error_during_a_cold_start_reaches_no_code(tmp_path: Path) -> None:
    """A sandbox that is just being made when the fault comes does not slip through."""

    async def scenario() -> None:
        async with running(tmp_path) as function:
            call = asyncio.ensure_future(function.invoke({"mark": str(tmp_path / "mark")}))
            await asyncio.sleep(0)
            await function.inject(FaultKind.LAMBDA_ERROR)
            assert (await call).status is InvocationStatus.FUNCTION_ERROR
            assert marks(tmp_path / "mark") == 0

    asyncio.run(scenario())


def test_a_caller_that_goes_away_does_not_end_the_invocation(tmp_path: Path) -> None:
    """As with a gateway that times out: the function finishes, and its sandbox is used again."""

    async def scenario() -> None:
        async with running(tmp_path) as function:
            event = {"mark": str(tmp_path / "mark"), "until": str(tmp_path / "go")}
            call = asyncio.ensure_future(function.invoke(event))
            await until(lambda: marks(tmp_path / "mark") == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            (tmp_path / "go").touch()
            await until(lambda: function.sandboxes != () and len(function.sandboxes[0].frozen) > 0)
            assert not (await function.invoke({})).cold

    asyncio.run(scenario())


def test_stop_leaves_no_process(tmp_path: Path) -> None:
    """Running invocations end, sandboxes are gone, and nothing is accepted any more."""

    async def scenario() -> None:
        async with running(tmp_path) as function:
            await function.invoke({})
            event = {"mark": str(tmp_path / "mark"), "until": str(tmp_path / "never")}
            calls = [asyncio.ensure_future(function.invoke(event)) for _ in range(2)]
            await until(lambda: marks(tmp_path / "mark") == 2)
            pids = [identify(sandbox.pid) for sandbox in function.sandboxes]
            assert len(pids) == 2
            await function.stop()
            await function.stop()
            await asyncio.gather(*calls, return_exceptions=True)
            assert not any(found.alive() for found in pids if found is not None)
            with pytest.raises(RuntimeError, match="app-test-work"):
                await function.invoke({})
            with pytest.raises(RuntimeError, match="app-test-work"):
                function.enqueue({})

    asyncio.run(scenario())


def test_a_wrong_specification_names_everything_that_is_wrong(tmp_path: Path) -> None:
    """Lambda's limits are checked all at once."""
    with pytest.raises(ValueError, match=r"name.*handler.*901 s.*64 MB.*negative.*59 s.*3 "):
        FunctionSpec(
            name="",
            region="us-east-1",
            handler="handler",
            code_dir=tmp_path,
            layer_dirs=(),
            environment={},
            timeout_s=901,
            memory_mb=64,
            reserved_concurrency=-1,
            async_max_age_s=59,
            async_max_retries=3,
        )
