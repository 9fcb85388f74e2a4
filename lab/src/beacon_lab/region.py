"""One Region of the lab: its DSQL front, functions, gateway and schedules, and what is broken in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from beacon_lab.apigateway.gateway import Gateway
from beacon_lab.aws.front import AwsFront, Down
from beacon_lab.awslambda.function_spec import FunctionSpec, Runtime
from beacon_lab.awslambda.functions import Function
from beacon_lab.awslambda.schedule import Schedule
from beacon_lab.defects import Defects
from beacon_lab.dsql.cluster import Cluster
from beacon_lab.dsql.front import DsqlFront
from beacon_lab.dsql.principals import DbAction
from beacon_lab.faults import WHOLE, Extent, FaultKind
from beacon_lab.names import ACCOUNT_ID
from beacon_lab.processes.children import Processes
from beacon_lab.route53.poll import Dial
from beacon_lab.stack import FunctionResource, Stack

__all__ = ["Region"]

#: What a Region that has gone looks like from outside: nothing answers, and nothing runs.
_REGION_DOWN = (FaultKind.DSQL_FREEZE, FaultKind.GATEWAY_DOWN, FaultKind.LAMBDA_ERROR, FaultKind.SSM_DOWN)


@dataclass(slots=True)
class Region:
    """The live parts of one Region; make one with :meth:`of`."""

    name: str
    front: DsqlFront
    #: What is deployed now.
    stack: Stack
    #: By logical id in template.yaml.
    functions: Mapping[str, Function]
    gateway: Gateway
    schedules: Sequence[Schedule]
    aws: AwsFront
    #: The faults in force.
    faults: dict[FaultKind, Extent] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        stack: Stack,
        cluster: Cluster,
        aws: AwsFront,
        *,
        processes: Processes,
        directory: Path,
        runtime: Runtime,
        speed: float,
    ) -> Region:
        """The Region of a deployed ``stack``; nothing runs before :meth:`start`.

        ``directory`` receives the functions' logs. ``speed`` shortens the intervals of schedules and queues.
        """
        specs = {key: _spec(stack, found, cluster, aws, speed) for key, found in stack.functions.items()}
        functions = {
            key: Function(spec, processes=processes, directory=directory, runtime=runtime, speed=speed)
            for key, spec in specs.items()
        }
        gateway = Gateway(
            stack.api,
            functions,
            region=stack.region,
            account_id=ACCOUNT_ID,
            authority=cluster.authority,
            speed=speed,
        )
        schedules = [
            Schedule(
                resource.name,
                every_s=resource.every_s,
                enqueue=functions[resource.function].enqueue,
                make_event=_event_maker(resource.input),
                speed=speed,
            )
            for resource in stack.schedules
        ]
        front = cluster.fronts[stack.region]
        return cls(stack.region, front, stack, functions, gateway, schedules, aws)

    @property
    def health_url(self) -> str:
        """The address of ``/health`` for a client on this machine, path token included."""
        return f"https://localhost:{self.gateway.port}{self.stack.health_check.config.resource_path}"

    @property
    def gateway_dial(self) -> Dial:
        """Where checkers dial the Region's API."""
        return Dial(self.gateway.address, self.gateway.port, self.name)

    async def start(self) -> None:
        """Start the functions and the gateway; schedules start with :meth:`start_schedules`."""
        await asyncio.gather(*(function.start() for function in self.functions.values()))
        await self.gateway.start()

    def start_schedules(self, defects: Defects) -> None:
        """Let the schedules tick."""
        for schedule in self.schedules:
            defects.watch(f"the schedule {schedule.name} of {self.name}", schedule.start())

    async def stop(self) -> None:
        """Stop everything of the Region but its front; a second call does nothing."""
        for schedule in self.schedules:
            await schedule.stop()
        await self.gateway.stop()
        await asyncio.gather(*(function.stop() for function in self.functions.values()))

    def function_named(self, name: str) -> Function | None:
        """The function of that name, if the Region has it."""
        return next((function for function in self.functions.values() if function.spec.name == name), None)

    async def inject(self, kind: FaultKind, extent: Extent = WHOLE) -> None:
        """Break the Region in one more way; another fault of the DSQL endpoint replaces the one before.

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

    async def end(self, kind: FaultKind) -> None:
        """End one fault and leave the others; none of that kind: do nothing."""
        if kind not in self.faults:
            return
        others = {other: extent for other, extent in self.faults.items() if other is not kind}
        await self.heal()
        for other, extent in others.items():
            await self.inject(other, extent)

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
        """Repair everything."""
        await self.front.heal()
        await self.gateway.heal()
        for function in self.functions.values():
            await function.heal()
        self.aws.set_up("ssm", self.name)
        for schedule in self.schedules:
            schedule.resume()
        self.faults.clear()


def _spec(
    stack: Stack, found: FunctionResource, cluster: Cluster, aws: AwsFront, speed: float
) -> FunctionSpec:
    """How to run a stack's function here: a session of its own role, the lab's addresses and its speed."""
    # Never DbConnectAdmin: the template's roles do not hold it.
    session = cluster.add_principal(found.role_arn, frozenset({DbAction.CONNECT}), session=True)
    dials = cluster.dials_from(stack.region)
    environment = {
        **found.environment,
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token or "",
        "BEACON_SPEED_PCT": str(round(100 * max(1.0, speed))),
        "BEACON_DIAL": ",".join(f"{host}={address}:{port}" for host, (address, port) in dials.items()),
        "BEACON_CA_FILE": str(cluster.authority.ca_file),
    }
    return FunctionSpec(
        name=found.name,
        region=stack.region,
        handler=found.handler,
        code_dir=found.code_dir,
        layer_dirs=found.layer_dirs,
        environment=environment,
        timeout_s=found.timeout_s,
        memory_mb=found.memory_mb,
        reserved_concurrency=found.reserved_concurrency,
        async_max_age_s=found.async_max_age_s,
        async_max_retries=found.async_max_retries,
    )


def _event_maker(text: str) -> Callable[[], object]:
    """Make what the schedule's input says, with the scheduler's keyword in it replaced."""

    def make_event() -> object:
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event: object = json.loads(text.replace("<aws.scheduler.scheduled-time>", at))
        return event

    return make_event
