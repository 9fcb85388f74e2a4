"""One Region of the lab, alive: DSQL front, functions, gateway and schedules, and what is broken in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from beacon_lab.apigateway.gateway import Gateway
from beacon_lab.aws.front import AwsFront, Down
from beacon_lab.awslambda.functions import Function
from beacon_lab.awslambda.schedule import Schedule
from beacon_lab.defects import Defects
from beacon_lab.dsql.front import DsqlFront
from beacon_lab.faults import WHOLE, Extent, FaultKind
from beacon_lab.stack import Stack

__all__ = ["Region"]

#: What a whole Region that is gone looks like from outside: nobody answers, and nothing runs.
_REGION_DOWN = (FaultKind.DSQL_FREEZE, FaultKind.GATEWAY_DOWN, FaultKind.LAMBDA_ERROR, FaultKind.SSM_DOWN)


@dataclass(slots=True)
class Region:
    """The live parts of one Region; ``functions`` is by logical id, ``stack`` what is deployed now."""

    name: str
    front: DsqlFront
    stack: Stack
    functions: Mapping[str, Function]
    gateway: Gateway
    schedules: Sequence[Schedule]
    aws: AwsFront
    faults: MutableMapping[FaultKind, Extent]

    async def start(self) -> None:
        """Start the functions and the gateway; schedules start with :meth:`start_schedules`."""
        await asyncio.gather(*(function.start() for function in self.functions.values()))
        await self.gateway.start()

    def start_schedules(self, defects: Defects) -> None:
        """Let the schedules tick."""
        for schedule in self.schedules:
            defects.watch(f"the schedule {schedule.name} of {self.name}", schedule.start())

    async def stop(self) -> None:
        """Stop everything of the Region but its front; calling it again is harmless."""
        for schedule in self.schedules:
            await schedule.stop()
        await self.gateway.stop()
        await asyncio.gather(*(function.stop() for function in self.functions.values()))

    def function_named(self, name: str) -> Function | None:
        """The function of that name, if the Region has it."""
        return next((function for function in self.functions.values() if function.spec.name == name), None)

    async def inject(self, kind: FaultKind, extent: Extent = WHOLE) -> None:
        """Break the Region in one more way; a further fault of the DSQL endpoint replaces the one before.

        Raise ``ValueError`` for an extent that the fault does not have.
        """
        extent = extent.of(kind)
        if kind is FaultKind.REGION_DOWN:
            for part in _REGION_DOWN:
                await self._inject(part, WHOLE)
            for schedule in self.schedules:
                schedule.pause()
        else:
            await self._inject(kind, extent)
        if kind.is_dsql:
            for replaced in [fault for fault in self.faults if fault.is_dsql]:
                del self.faults[replaced]
        self.faults[kind] = extent

    @property
    def broken(self) -> list[str]:
        """The faults in force, as a status shows them."""
        return sorted(extent.words(kind) for kind, extent in self.faults.items())

    async def _inject(self, kind: FaultKind, extent: Extent) -> None:
        match kind:
            case FaultKind.GATEWAY_DOWN:
                await self.gateway.inject(kind)
            case FaultKind.LAMBDA_ERROR:
                for function in self.functions.values():
                    await function.inject(kind)
            case FaultKind.SSM_DOWN:
                self.aws.set_down("ssm", self.name, Down.FAIL)
            case _:
                await self.front.inject(kind, extent)

    async def heal(self) -> None:
        """Mend everything."""
        await self.front.heal()
        await self.gateway.heal()
        for function in self.functions.values():
            await function.heal()
        self.aws.set_up("ssm", self.name)
        for schedule in self.schedules:
            schedule.resume()
        self.faults.clear()


def make_schedules(stack: Stack, functions: Mapping[str, Function], speed: float) -> list[Schedule]:
    """The schedules of a stack, each sending its own input to its function."""
    return [
        Schedule(
            resource.name,
            every_s=resource.every_s,
            enqueue=functions[resource.function].enqueue,
            make_event=_sender(resource.input),
            speed=speed,
        )
        for resource in stack.schedules
    ]


def _sender(text: str) -> Callable[[], object]:
    """Sends what the schedule's input says, with the scheduler's keyword in it replaced."""

    def make_event() -> object:
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event: object = json.loads(text.replace("<aws.scheduler.scheduled-time>", at))
        return event

    return make_event
