"""Starts a lab in the order of a first deployment, and takes it down.

The order: database and AWS APIs; a stack per Region without a record; schema and grants; functions and
gateways; ``/health`` passes everywhere; records on; checkers, DNS and schedules. At any end, also by SIGKILL,
the watcher of :mod:`beacon_lab.processes.children` leaves no process and no directory behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from beacon_lab import state
from beacon_lab.account import Account, prepare_uploads
from beacon_lab.aws.change_sets import ChangeSets
from beacon_lab.aws.dsql_api import ClusterView
from beacon_lab.awslambda.build import Built
from beacon_lab.awslambda.build_process import build_apart
from beacon_lab.awslambda.function_spec import Runtime
from beacon_lab.awslambda.functions_port import RegionalFunctions
from beacon_lab.cloud import Cloud, DataPlane, run_cloud, run_data_plane
from beacon_lab.control import Control
from beacon_lab.defects import Defects
from beacon_lab.dsql.bootstrap import DatabaseSetup, prepare
from beacon_lab.dsql.cluster import OPERATOR_ROLE, Cluster
from beacon_lab.dsql.operator import Operator
from beacon_lab.errors import LabError
from beacon_lab.fault_limits import FaultLimits
from beacon_lab.lab import Lab
from beacon_lab.names import ACCOUNT_ID
from beacon_lab.network.pki import Authority
from beacon_lab.network.ports import port_errors
from beacon_lab.preconditions import make_directory, project_root, require
from beacon_lab.processes.children import Processes
from beacon_lab.readiness import await_healthy, await_published
from beacon_lab.region import Region
from beacon_lab.route53.poll import Dial
from beacon_lab.settings import LabSettings
from beacon_lab.stack import Code, Deployer, Stack
from beacon_lab.template_parameters import LOGIN_ROLE, TemplateParameters

__all__ = ["Say", "running_lab"]

_T = TypeVar("_T")

#: The Region that the clusters' API names as their witness; nothing of the lab is there.
_WITNESS = "us-west-2"
#: What gets a line for each step.
Say = Callable[[str], None]


@contextlib.asynccontextmanager
async def running_lab(settings: LabSettings, say: Say, stop: asyncio.Event) -> AsyncIterator[Lab]:
    """A lab that is up inside the context, and gone after it.

    ``stop`` ends a start that is under way: that raises :class:`LabError`. A part that breaks sets ``stop``,
    too; leaving the context then raises :class:`beacon_lab.errors.LabBrokenError`, whatever it caused.
    """
    defects = Defects(stop)
    try:
        async with contextlib.AsyncExitStack() as ending:
            yield await _unless_stopped(stop, _start(settings, say, defects, ending))
    except LabError:
        defects.raise_first()
        raise
    defects.raise_first()


async def _unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, _T]) -> _T:
    """Run ``work``, and cancel it when the user asks for an end."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise LabError("interrupted while starting; what had been started has been taken down")
        return await task
    finally:
        for unfinished in (task, stopping):
            unfinished.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the Regions of a lab stand on."""

    settings: LabSettings
    directory: Path
    processes: Processes
    built: Built | None
    cluster: Cluster
    cloud: Cloud
    operator: Operator

    def deployer(self) -> Deployer:
        """Deploys template.yaml with the lab's own access key."""
        return Deployer(
            project_root() / "template.yaml",
            Code(self.built.directories if self.built else None),
            endpoint_url=self.cloud.front.endpoint_url,
            access_key_id=self.cluster.operator.access_key_id,
            secret_access_key=self.cluster.operator.secret_access_key,
        )


async def _start(settings: LabSettings, say: Say, defects: Defects, ending: contextlib.AsyncExitStack) -> Lab:
    """Start the lab, and leave in ``ending`` what takes it down."""
    require(settings)
    directory = make_directory()
    processes = await _start_processes(settings, directory, ending)
    control = await _start_control(settings, ending)
    built = await _build(settings, say, directory, processes)
    say(f"starting PostgreSQL and the AWS APIs for {' and '.join(settings.regions)}")
    authority = Authority.create(directory / "ca")
    cluster = await Cluster.start(directory, settings.regions, processes, authority)
    ending.push_async_callback(cluster.stop)
    cloud = await ending.enter_async_context(
        run_cloud(directory, settings, processes, key=cluster.operator, defects=defects)
    )
    cloud.front.clusters = _clusters(cluster)
    operator = Operator(cluster, settings.service, project_root() / "sql")
    ground = _Ground(settings, directory, processes, built, cluster, cloud, operator)
    if settings.empty:
        return await _start_empty(ground, control, defects, ending)
    say("deploying template.yaml to each Region, without records")
    parameters = TemplateParameters(settings, cluster, cloud.zone_id)
    stacks = await asyncio.to_thread(_deploy, ground, parameters)
    say("preparing schema, roles and grants in the database")
    await _prepare_database(ground, stacks)
    say("starting the functions; waiting for /health to pass")
    regions = {name: await _start_region(ground, stack, ending) for name, stack in stacks.items()}
    cloud.front.functions = RegionalFunctions(
        {name: region.functions.values() for name, region in regions.items()}
    )
    await asyncio.gather(
        *(await_healthy(name, found.health_url, authority.ca_file) for name, found in regions.items())
    )
    if settings.policy != "none":
        say(f"turning the {settings.policy} records on; starting checkers and DNS")
        await asyncio.to_thread(_turn_records_on, ground, parameters, regions)
    data_plane = await _start_data_plane(ground, regions, defects, ending)
    for region in regions.values():
        region.start_schedules(defects)
    say("waiting for the publishers' first documents")
    await asyncio.gather(*(_await_published(ground, region) for region in regions.values()))
    lab = Lab(
        settings, cluster, cloud, data_plane, regions, operator, control.url, defects, FaultLimits(defects)
    )
    _announce(lab, control, ending)
    return lab


async def _start_empty(
    ground: _Ground, control: Control, defects: Defects, ending: contextlib.AsyncExitStack
) -> Lab:
    """An account in which nothing is deployed; change sets deploy Regions into the lab that is returned."""
    await asyncio.to_thread(prepare_uploads, ground.cloud, ground.settings.regions)
    names: dict[tuple[str, int], Dial] = {}
    data_plane = await _start_data_plane(ground, {}, defects, ending, dials=names)
    regions: dict[str, Region] = {}
    account = Account(
        deployer=ground.deployer(),
        template=project_root() / "template.yaml",
        service=ground.settings.service,
        regions=regions,
        start=lambda stack: _start_region(ground, stack, ending),
        front=ground.cloud.front,
        dns=data_plane.dns,
        dials=names,
        defects=defects,
    )
    ending.push_async_callback(account.stop)
    ground.cloud.front.change_sets = ChangeSets(ground.settings.service, ACCOUNT_ID, account, account.run)
    settings = ground.settings
    lab = Lab(
        settings,
        ground.cluster,
        ground.cloud,
        data_plane,
        regions,
        ground.operator,
        control.url,
        defects,
        FaultLimits(defects),
    )
    _announce(lab, control, ending)
    return lab


def _clusters(cluster: Cluster) -> dict[str, ClusterView]:
    linked = tuple(cluster.arn_of(region) for region in cluster.fronts)
    return {
        region: ClusterView(region, cluster.arn_of(region), front.host, linked, _WITNESS)
        for region, front in cluster.fronts.items()
    }


async def _start_processes(
    settings: LabSettings, directory: Path, ending: contextlib.AsyncExitStack
) -> Processes:
    processes = Processes()
    processes.remove_at_exit(directory)
    if settings.ready_file is not None:
        # What tells scripts that the lab is up must not outlive it.
        processes.remove_file_at_exit(settings.ready_file.absolute())
    return await ending.enter_async_context(processes)


async def _start_control(settings: LabSettings, ending: contextlib.AsyncExitStack) -> Control:
    """Start the control server, which takes no orders yet, and leave the note that leads to it."""
    control = Control(settings.control_port)
    with port_errors("--control-port", settings.control_port):
        await control.start()
    ending.push_async_callback(control.stop)
    if settings.state_dir is not None:
        ending.callback(state.claim(settings.state_dir, control.url, control.key).release)
    return control


async def _build(settings: LabSettings, say: Say, directory: Path, processes: Processes) -> Built | None:
    if not settings.built:
        return None
    say("running sam build")
    root = project_root()
    return await build_apart(processes, root, root / ".lab", directory)


def _deploy(ground: _Ground, parameters: TemplateParameters) -> dict[str, Stack]:
    deployer, service = ground.deployer(), ground.settings.service
    return {
        region: deployer.create(region, service, parameters.without_record(region))
        for region in ground.settings.regions
    }


def _turn_records_on(ground: _Ground, parameters: TemplateParameters, regions: Mapping[str, Region]) -> None:
    deployer = ground.deployer()
    for name, region in regions.items():
        region.stack = deployer.update(region.stack, parameters.record(name))


async def _prepare_database(ground: _Ground, stacks: Mapping[str, Stack]) -> None:
    cluster, settings = ground.cluster, ground.settings
    setup = DatabaseSetup(
        service=settings.service,
        regions=settings.regions,
        login_role=LOGIN_ROLE,
        login_arns=[found.role_arn for stack in stacks.values() for found in stack.functions.values()],
        operator_role=OPERATOR_ROLE,
        operator_arns=[cluster.operator.arn],
    )
    front, ca_file = cluster.fronts[settings.regions[0]], cluster.authority.ca_file
    try:
        await prepare(
            front, ca_file=ca_file, admin=cluster.operator, folder=project_root() / "sql", setup=setup
        )
        await ground.operator.prepare_entries()
    except psycopg.Error as error:
        raise LabError(f"the database could not be prepared: {error}") from error


async def _start_region(ground: _Ground, stack: Stack, ending: contextlib.AsyncExitStack) -> Region:
    built, directory = ground.built, ground.directory
    region = Region.of(
        stack,
        ground.cluster,
        ground.cloud.front,
        processes=ground.processes,
        directory=directory / "lambda",
        runtime=Runtime(python=built.python) if built else Runtime(bytecode_dir=directory / "bytecode"),
        speed=ground.settings.speed,
    )
    ending.push_async_callback(region.stop)
    await region.start()
    return region


async def _start_data_plane(
    ground: _Ground,
    regions: Mapping[str, Region],
    defects: Defects,
    ending: contextlib.AsyncExitStack,
    dials: dict[tuple[str, int], Dial] | None = None,
) -> DataPlane:
    names = {front.host: front.address for front in ground.cluster.fronts.values()}
    names |= {region.stack.api.host: region.gateway.address for region in regions.values()}
    dials = {} if dials is None else dials
    dials |= {(region.stack.api.host, 443): region.gateway_dial for region in regions.values()}
    return await ending.enter_async_context(
        run_data_plane(ground.cloud, ground.settings, names=names, dials=dials, defects=defects)
    )


async def _await_published(ground: _Ground, region: Region) -> None:
    settings = ground.settings
    publisher = region.function_named(f"{settings.service}-publisher")
    names = [settings.document_parameter, settings.endpoint_parameter]
    await await_published(ground.cloud, region.name, names, publisher.log_file if publisher else None)


def _announce(lab: Lab, control: Control, ending: contextlib.AsyncExitStack) -> None:
    """Take orders, then write the ready file. Both end before anything else of the lab does."""
    ready_file = state.ReadyFile(lab.settings.ready_file) if lab.settings.ready_file is not None else None
    if ready_file is not None:
        ending.callback(ready_file.remove)
    control.open_to(lab)
    ending.callback(control.shut)
    if ready_file is not None:
        ready_file.write(lab.ready())
