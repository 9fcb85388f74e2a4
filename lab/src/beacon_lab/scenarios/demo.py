"""The demo: two Regions through failover, recovery, drain and release, while a consumer keeps writing.

Every transition has to be seen from outside (health check, DNS answer, SSM value); each is timed against what
the settings predict. At the end every row whose COMMIT was answered has to be found again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from beacon.predict import Span, dns_after, ssm_after
from beacon_lab.errors import LabError
from beacon_lab.faults import FaultKind
from beacon_lab.lab import Lab
from beacon_lab.scenarios.consumer_process import ConsumerProcess
from beacon_lab.scenarios.timings import timings_of
from beacon_lab.scenarios.watch import Seen, Watch
from beacon_lab.settings import LabSettings
from beacon_lab.start import running_lab

__all__ = ["Transition", "run_demo"]

#: How long the consumer writes undisturbed before, between and after the steps.
_CALM_S = 3.0


@dataclass(frozen=True, slots=True)
class Transition:
    """One thing that had to change: after how long it did (``None``: it was not seen), and the prediction."""

    step: str
    what: str
    measured_s: float | None
    predicted: Span

    @property
    def mark(self) -> str:
        """A word on the measurement beside the prediction."""
        if self.measured_s is None:
            return "NOT SEEN"
        if self.measured_s > self.predicted.latest_s:
            return "later than predicted"
        return "ahead of prediction" if self.measured_s < self.predicted.earliest_s else "as predicted"


@dataclass(slots=True)
class Walk:
    """The steps, one after the other; ``stop`` ends the walk early."""

    lab: Lab
    watch: Watch
    say: Callable[[str], None]
    stop: asyncio.Event
    transitions: list[Transition] = field(default_factory=list)

    async def settle(self, limit_s: float) -> None:
        """Wait until both Regions are healthy and everything points at the first; raise :class:`LabError`."""
        first = self.watch.regions[0]
        wanted = [(self.watch.health[region], "healthy") for region in self.watch.regions]
        wanted += [(self.watch.dns, self.watch.host_of(first)), (self.watch.ssm, self.watch.host_of(first))]
        for seen, value in wanted:
            if await self._until(seen, value, time.monotonic(), limit_s) is None:
                raise LabError(f"{seen.name} is {seen.value!r} and not {value!r} within {limit_s:.0f} s")

    async def step(self, name: str, *, health: str, points_at: str, predicted: tuple[Span, Span]) -> None:
        """Measure how long the check of the first Region, the DNS answer and the SSM value take to turn."""
        began = time.monotonic()
        host = self.watch.host_of(points_at)
        first = self.watch.health[self.watch.regions[0]]
        in_dns, in_ssm = predicted
        turns = (
            ("health check", first, health, in_dns),
            ("DNS answer", self.watch.dns, host, in_dns),
            ("SSM endpoint", self.watch.ssm, host, in_ssm),
        )
        results = await asyncio.gather(
            *(self._until(seen, value, began, 2 * span.latest_s + 10) for _, seen, value, span in turns)
        )
        for (what, _, value, span), measured_s in zip(turns, results, strict=True):
            transition = Transition(name, what, measured_s, span)
            self.transitions.append(transition)
            shown = "-" if measured_s is None else f"{measured_s:5.1f} s"
            self.say(f"    {what:<13} -> {value:<46} {shown:>8}   predicted {span} s, {transition.mark}")

    async def calm(self) -> None:
        """Let the consumer write for a while."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), _CALM_S)
        self.check_stop()

    def check_stop(self) -> None:
        """Raise :class:`LabError` when the user has asked for an end."""
        if self.stop.is_set():
            raise LabError("interrupted; the lab has been taken down")

    async def _until(self, seen: Seen, value: str, began: float, limit_s: float) -> float | None:
        while time.monotonic() < began + limit_s:
            self.check_stop()
            if seen.value == value:
                # What pointed there all along has turned at once.
                return max(0.0, seen.since - began)
            await asyncio.sleep(0.05)
        return None


async def run_demo(
    settings: LabSettings, say: Callable[[str], None], stop: asyncio.Event, report: Path | None
) -> int:
    """Run the demo; return 0 only if every transition was seen and no acknowledged row is missing."""
    if settings.policy not in {"failover", "latency"}:
        raise LabError(
            f"the demo follows one answer, which the {settings.policy} policy does not give:"
            " choose failover or latency"
        )
    began = time.monotonic()
    async with running_lab(settings, say, stop) as lab:
        say(f"both Regions are up after {time.monotonic() - began:.1f} s")
        async with (
            Watch(lab.ready(), lab.health_of, lab.defects.watch) as watch,
            ConsumerProcess(lab) as consumer,
        ):
            walk = Walk(lab, watch, say, stop)
            await _walk(walk, lab, say)
            await walk.calm()
            tally = await consumer.tallied()
        found = await lab.operator.entries()
    _print_table(walk.transitions, say)
    say("")
    say(
        f"consumer: {tally.attempts} attempts, {tally.failed} failed, longest gap without a commit"
        f" {tally.longest_gap_s:.1f} s"
    )
    say(
        f"rows: {len(tally.acknowledged)} acknowledged, {len(tally.acknowledged & found)} of them found again"
    )
    missing = len(tally.acknowledged - found)
    unseen = sum(transition.measured_s is None for transition in walk.transitions)
    good = not missing and not unseen and bool(tally.acknowledged)
    if report is not None:
        _write(report, walk.transitions, tally.summary(), found=len(tally.acknowledged & found))
    say(f"took {time.monotonic() - began:.0f} s; " + ("all seen, nothing lost" if good else "FAILED"))
    return 0 if good else 1


async def _walk(walk: Walk, lab: Lab, say: Callable[[str], None]) -> None:
    first, second = walk.watch.regions[:2]
    timings, operator = timings_of(lab.settings), lab.operator
    say("")
    say("1  healthy: both Regions serve, and everything points at the first")
    await walk.settle(60)
    await walk.calm()
    say(f"2  the DSQL endpoint of {first} freezes: it accepts connections and is silent")
    await lab.inject(first, FaultKind.DSQL_FREEZE)
    failing = (
        dns_after(timings, failing=True, answer_s=timings.deadline_s),
        ssm_after(timings, confirming=True, edge=True),
    )
    await walk.step("freeze", health="unhealthy", points_at=second, predicted=failing)
    await walk.calm()
    say("3  it thaws")
    await lab.heal(first)
    recovering = dns_after(timings, failing=False, answer_s=0), ssm_after(timings, recovering=True)
    await walk.step("heal", health="healthy", points_at=first, predicted=recovering)
    await walk.calm()
    say(f"4  an operator drains {first} with one SQL transaction, committed through {second}")
    await operator.drain(first, through=second)
    turning = dns_after(timings, failing=True, answer_s=0), ssm_after(timings, edge=True)
    await walk.step("drain", health="unhealthy", points_at=second, predicted=turning)
    await walk.calm()
    say("5  and releases it")
    await operator.release(first, through=second)
    returning = dns_after(timings, failing=False, answer_s=0), ssm_after(timings)
    await walk.step("release", health="healthy", points_at=first, predicted=returning)


def _print_table(transitions: list[Transition], say: Callable[[str], None]) -> None:
    say("")
    say(f"{'step':<10}{'seen in':<16}{'measured':>10}{'predicted':>14}")
    for row in transitions:
        measured = "not seen" if row.measured_s is None else f"{row.measured_s:.1f} s"
        say(f"{row.step:<10}{row.what:<16}{measured:>10}{f'{row.predicted} s':>14}  {row.mark}")


def _write(path: Path, transitions: list[Transition], consumer: dict[str, object], *, found: int) -> None:
    rows = [asdict(row) | {"mark": row.mark} for row in transitions]
    report = {"transitions": rows, "consumer": consumer, "found_again": found}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
