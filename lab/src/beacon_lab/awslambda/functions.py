"""A Lambda function: a pool of sandboxes that scales out, a concurrency limit and a queue of events."""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

from beacon_lab.awslambda.event_queue import Delivery, EventQueue
from beacon_lab.awslambda.function_spec import FunctionSpec, Runtime
from beacon_lab.awslambda.log import LambdaLog
from beacon_lab.awslambda.sandbox import InvocationResult, InvocationStatus, Sandbox, SandboxError
from beacon_lab.faults import FaultKind
from beacon_lab.processes.children import Processes, ProcessesError

__all__ = ["Counters", "Function"]

DEFAULT_CAP = 10
THROTTLED = InvocationResult(
    InvocationStatus.THROTTLED,
    json.dumps({"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "Type": "User"}).encode(),
)


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals since the function was made.

    ``invocations`` counts the attempts that got a sandbox, ``errors`` those of them that ended in a function
    error or a time-out, ``throttles`` the attempts that got none. ``events_dropped`` counts asynchronous
    events that were given up.
    """

    invocations: int
    cold_starts: int
    errors: int
    throttles: int
    events_dropped: int
    events_waiting: int


class Function:
    """Runs one function's code in at most min(reserved concurrency, ``cap``) sandboxes.

    Sandboxes are made when all others are busy and are then kept; each is frozen between invocations.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        *,
        processes: Processes,
        directory: Path,
        runtime: Runtime | None = None,
        cap: int = DEFAULT_CAP,
        speed: float = 1.0,
    ) -> None:
        """``directory`` receives the log, ``{name}-{region}.log``; ``speed`` shortens the queue's waits."""
        self.spec = spec
        self.log_file = directory / f"{spec.name}-{spec.region}.log"
        self._processes = processes
        self._directory = directory
        self._runtime = Runtime() if runtime is None else runtime
        reserved = spec.reserved_concurrency
        self._limit = cap if reserved is None else min(reserved, cap)
        self._idle: list[Sandbox] = []
        self._busy: set[Sandbox] = set()
        self._active = 0
        self._running: set[asyncio.Task[InvocationResult]] = set()
        self._broken = False
        self._open = False
        self._invocations = self._cold_starts = self._errors = self._throttles = 0
        self._queue = EventQueue(
            self._deliver,
            max_age_s=spec.async_max_age_s,
            max_retries=spec.async_max_retries,
            speed=speed,
        )

    async def start(self) -> None:
        """Accept invocations. No sandbox is made before the first."""
        await asyncio.to_thread(self._directory.mkdir, parents=True, exist_ok=True)
        self._open = True

    async def stop(self) -> None:
        """Forget the queue, end what runs and all sandboxes. Safe to call again."""
        self._open = False
        await self._queue.close()
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._kill_sandboxes()

    @property
    def invocations(self) -> int:
        """The attempts that got a sandbox, since the function was made."""
        return self._invocations

    @property
    def counters(self) -> Counters:
        """The totals now."""
        ended = self._queue.ended
        return Counters(
            invocations=self._invocations,
            cold_starts=self._cold_starts,
            errors=self._errors,
            throttles=self._throttles,
            events_dropped=ended.total() - ended[Delivery.DONE],
            events_waiting=len(self._queue),
        )

    @property
    def sandboxes(self) -> tuple[Sandbox, ...]:
        """The sandboxes that exist, idle ones first."""
        return (*self._idle, *self._busy)

    def log(self) -> LambdaLog:
        """A reader of the function's log, from the beginning; each reader keeps its own place."""
        return LambdaLog(self.log_file)

    async def inject(self, kind: FaultKind) -> None:
        """LAMBDA_ERROR: sandboxes are killed, and invocations end in an error without reaching the code."""
        if kind is not FaultKind.LAMBDA_ERROR:
            raise ValueError(f"a function cannot carry out {kind}")
        self._broken = True
        await self._kill_sandboxes()

    async def heal(self) -> None:
        """Invocations work again, the next ones with a cold start."""
        self._broken = False

    def enqueue(self, event: object) -> None:
        """Invoke asynchronously: the event is tried until it is done, too old or out of retries."""
        if not self._open:
            raise RuntimeError(f"{self.spec.name} was not started, or was stopped")
        self._queue.put(event)

    async def invoke(self, event: object) -> InvocationResult:
        """Invoke and wait. A caller that is cancelled does not cancel the invocation, as in Lambda."""
        if not self._open:
            raise RuntimeError(f"{self.spec.name} was not started, or was stopped")
        if self._active >= self._limit:
            self._throttles += 1
            return THROTTLED
        run = self._count(json.dumps(event).encode())
        self._active += 1
        task = asyncio.get_running_loop().create_task(run, name=f"invocation of {self.spec.name}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[InvocationResult]) -> None:
        self._active -= 1
        self._running.discard(task)

    async def _count(self, event: bytes) -> InvocationResult:
        self._invocations += 1
        result = await self._run(event)
        self._cold_starts += result.cold
        self._errors += result.status is not InvocationStatus.OK
        return result

    async def _run(self, event: bytes) -> InvocationResult:
        started = time.monotonic()
        sandbox: Sandbox | None = None
        try:
            if not self._broken:
                sandbox = await self._take()
            if self._broken or sandbox is None:
                return crashed("Runtime exited with error: signal: killed")
            result = await sandbox.invoke(event)
        except (SandboxError, ProcessesError) as error:
            return crashed(str(error), duration_s=time.monotonic() - started)
        else:
            self._busy.discard(sandbox)
            if sandbox.alive and not self._broken:
                self._idle.append(sandbox)
                sandbox = None
            # A cold start's caller waited for the emulator too.
            return InvocationResult(result.status, result.payload, result.cold, time.monotonic() - started)
        finally:
            if sandbox is not None:
                self._busy.discard(sandbox)
                await sandbox.stop()

    async def _take(self) -> Sandbox:
        """The idle sandbox that worked last, or a new one. Dead ones are cleared away."""
        while self._idle:
            sandbox = self._idle.pop()
            self._busy.add(sandbox)
            if sandbox.alive:
                return sandbox
            await sandbox.stop()
            self._busy.discard(sandbox)
        sandbox = await Sandbox.start(
            self.spec,
            runtime=self._runtime,
            processes=self._processes,
            directory=self._directory,
            log=self.log_file,
        )
        self._busy.add(sandbox)
        return sandbox

    async def _kill_sandboxes(self) -> None:
        doomed = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*(sandbox.stop() for sandbox in doomed))

    async def _deliver(self, event: object) -> InvocationStatus:
        return (await self.invoke(event)).status


def crashed(reason: str, *, duration_s: float = 0.0) -> InvocationResult:
    """The function error of a runtime that died."""
    body = {"errorType": "Runtime.ExitError", "errorMessage": f"Error: {reason}"}
    return InvocationResult(InvocationStatus.FUNCTION_ERROR, json.dumps(body).encode(), duration_s=duration_s)
