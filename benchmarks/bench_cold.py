"""Cold start to first answer: INIT, TLS verified in full, token, login, SELECT, in Lambda's emulator.

It compares Beacon's function as `sam build` makes it (with bytecode in the layer) with two others. The floor
is a bare handler with psycopg, its bytecode shipped and its token signed beforehand. The usual stacks are as
`sam build` makes them (without bytecode, because it writes none). All run under Python 3.13, with the
machine's own bundle of certificate authorities, in turns within one run; the first turn warms the file cache
and does not count. If the kernel allows it, a sandbox has priority over all other processes. The figures do
not include API Gateway, or what Lambda does before INIT (finding a host, fetching the code).

Then it measures the same with the share of a processor that a memory size brings. The limit is what Route 53
leaves: 2 s after connecting, less the TLS handshake of a distant checker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cold_variants import USUAL, Variant, variants
from cpu_share import ShareUnavailableError, cpu_share, first_in_line, share_of_memory
from one_region import OneRegion, one_region
from results import Result

from beacon_lab.awslambda.build import Built, build
from beacon_lab.awslambda.function_spec import Runtime
from beacon_lab.awslambda.python313 import BuildUnavailableError
from beacon_lab.awslambda.sandbox import InvocationStatus, Sandbox
from beacon_lab.processes.children import Processes

_ROOT = Path(__file__).parents[1]
_EVENT = (_ROOT / "events" / "checker-get.json").read_bytes()
_MEMORIES_MB = (512, 1024, 1769)
#: Route 53 waits 2 s after connecting; a distant checker's TLS handshake takes up to 0.9 s of them.
_BUDGET_MS = 2000 - 900
_BYTECODE = (
    "beacon and floor: shipped, unchecked hash; usual stacks: none, as built; runtime and boto3: pip's"
)

Say = Callable[[str], None]


def run(say: Say) -> list[Result]:
    """The figures, or none if the functions' runtime is missing."""
    try:
        built = build(_ROOT, _ROOT / ".lab")
        compared = variants(built, _ROOT / "uv.lock")
    except BuildUnavailableError as error:
        say(f"skipped: {error}")
        return []
    with one_region() as region:
        return asyncio.run(_run(say, built, compared, region))


async def _run(say: Say, built: Built, compared: Sequence[Variant], region: OneRegion) -> list[Result]:
    repetitions = int(os.environ.get("REPETITIONS", "20"))
    directory = Path(tempfile.mkdtemp(prefix="beacon-bench-"))
    async with Processes() as processes:
        processes.remove_at_exit(directory)
        bench = _Bench(Runtime(built.python), processes, directory, region)
        with first_in_line(say) as group:
            taken = await bench.in_turns(compared, repetitions, say, group)
        results = _ratios(taken)
        few = [variant for variant in compared if variant.name in {"beacon", "floor", "usual"}]
        for memory_mb in _MEMORIES_MB:
            try:
                with cpu_share(share_of_memory(memory_mb)) as group:
                    limited = await bench.in_turns(few, max(3, repetitions // 2), say, group)
            except ShareUnavailableError as error:
                say(f"no figures by memory: {error}")
                break
            more = {f"{name}_ms": round(statistics.median(limited[name])) for name in ("floor", "usual")}
            results.append(
                Result.median(
                    f"health.cold_{memory_mb}mb_ms",
                    limited["beacon"],
                    "ms",
                    goal=_BUDGET_MS,
                    vcpu=round(share_of_memory(memory_mb), 3),
                    **more,
                )
            )
    return results


def _ratios(taken: dict[str, list[float]]) -> list[Result]:
    own = statistics.median(taken["beacon"])
    medians = {f"{name}_ms": round(statistics.median(times), 1) for name, times in taken.items()}
    count = len(taken["beacon"])

    def ratio(name: str, against: str, goal: float | None) -> Result:
        value = round(own / statistics.median(taken[against]), 3)
        return Result(name, value, "x", count, goal, {"against_ms": medians[f"{against}_ms"]})

    return [
        Result.median("health.cold_ms", taken["beacon"], "ms", python="3.13", bytecode=_BYTECODE, **medians),
        ratio("health.cold_ratio_floor", "floor", 1.4),
        ratio("health.cold_ratio_usual", USUAL[0], 0.25),
        ratio("health.cold_ratio_connector", USUAL[1], None),
        ratio("health.cold_ratio_usual_runtime_boto3", USUAL[2], None),
    ]


class _Bench:
    """Starts functions cold, one after the other."""

    def __init__(self, runtime: Runtime, processes: Processes, directory: Path, region: OneRegion) -> None:
        self._runtime = runtime
        self._processes = processes
        self._directory = directory
        self._region = region

    async def in_turns(
        self, compared: Sequence[Variant], repetitions: int, say: Say, group: Path | None = None
    ) -> dict[str, list[float]]:
        """Milliseconds of each variant, by name."""
        taken: dict[str, list[float]] = {variant.name: [] for variant in compared}
        for turn in range(repetitions + 1):
            for variant in compared:
                elapsed_ms = await self._once(variant, group)
                if turn:
                    taken[variant.name].append(elapsed_ms)
        for name, times in taken.items():
            say(f"{name}: {statistics.median(times):.0f} ms ({min(times):.0f}-{max(times):.0f})")
        return taken

    async def _once(self, variant: Variant, group: Path | None) -> float:
        log = self._directory / f"{variant.handler}.log"
        sandbox = await Sandbox.start(
            variant.spec(self._region),
            runtime=self._runtime,
            processes=self._processes,
            directory=self._directory,
            log=log,
        )
        try:
            if group is not None:
                (group / "cgroup.procs").write_text(str(sandbox.pid))
            with _explained(variant, log):
                # The emulator starts the runtime inside the first invocation, so this is INIT and the answer.
                outcome = await sandbox.invoke(_EVENT)
                assert outcome.status is InvocationStatus.OK, outcome.payload
                assert json.loads(outcome.payload)["statusCode"] == 200, outcome.payload
        finally:
            await sandbox.stop()
        return outcome.duration_s * 1000


@contextlib.contextmanager
def _explained(variant: Variant, log: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"{variant.name}: {log.read_text('utf-8', 'replace')[-2000:]}")
        raise
