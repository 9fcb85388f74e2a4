"""The whole lab: starts its parts in the order of a first deployment, and takes them down.

The order: database and AWS APIs; a stack per Region without records; schema and grants; functions and
gateways; `/health` passes everywhere; records on; checkers, DNS and schedules. At any end, also by SIGKILL,
the watcher of :mod:`beacon_lab.processes.children` leaves no process and no directory behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import psycopg

from beacon.predict import Timings
from beacon.settings import RECHECK_MS
from beacon_lab import state
from beacon_lab.apigateway.gateway import Gateway
from beacon_lab.awslambda.build import Built
from beacon_lab.awslambda.build_process import build_apart
from beacon_lab.awslambda.function_spec import Runtime
from beacon_lab.awslambda.functions import Function
from beacon_lab.cloud import Cloud
from beacon_lab.control import Control
from beacon_lab.defects import Defects
from beacon_lab.deployment import DB_USER, Values, project_root, specs
from beacon_lab.dsql.bootstrap import DatabaseSetup, prepare
from beacon_lab.dsql.cluster import ACCOUNT_ID, OPERATOR_ROLE, Cluster
from beacon_lab.dsql.operator import Operator
from beacon_lab.dsql.postgres import PostgresError
from beacon_lab.errors import LabError
from beacon_lab.faults import WHOLE, Extent, FaultKind
from beacon_lab.network.pki import Authority
from beacon_lab.network.ports import port_errors
from beacon_lab.preconditions import make_directory, require
from beacon_lab.processes.children import Processes
from beacon_lab.readiness import await_healthy, await_published
from beacon_lab.ready_file import ReadyFile
from beacon_lab.region import Region, make_schedules
from beacon_lab.route53.poll import Dial
from beacon_lab.settings import LabSettings
from beacon_lab.stack import Code, Deployer, Stack

__all__ = ["Lab"]

_T = TypeVar("_T")


class Lab:
    """Two or more Regions on this machine; use as an asynchronous context manager.

    ``say`` gets a line for each step. ``stop`` ends a start that is under way: it raises :class:`LabError`.
    A part that breaks sets ``stop``, too: leaving the context then raises :class:`LabBrokenError`.
    """

    def __init__(self, settings: LabSettings, say: Callable[[str], None], stop: asyncio.Event) -> None:
        self.settings = settings
        self.regions: dict[str, Region] = {}
        self._say = say
        self._stop = stop
        self.defects = Defects(stop)
        self._exit = contextlib.AsyncExitStack()
        self._root = project_root()
        self._cluster: Cluster | None = None
        self._cloud: Cloud | None = None
        self._values: Values | None = None
        self._control = Control(self, settings.control_port)
        self._up = False

    async def __aenter__(self) -> Self:
        try:
            await self._unless_stopped(self._start())
        except BaseException as error:
            await self._end(error)
            raise
        return self

    async def __aexit__(self, _: object, error: BaseException | None, *__: object) -> None:
        self._up = False
        await self._end(error)

    async def _end(self, error: BaseException | None) -> None:
        """Take everything down. Raises LabBrokenError for a defect of the lab, whatever it led to."""
        await self._exit.aclose()
        if error is None or isinstance(error, LabError):
            self.defects.raise_first()

    @property
    def cluster(self) -> Cluster:
        """The DSQL cluster."""
        assert self._cluster is not None  # noqa: S101 - set when the lab has started
        return self._cluster

    @property
    def cloud(self) -> Cloud:
        """The AWS APIs and Route 53."""
        assert self._cloud is not None  # noqa: S101 - as above
        return self._cloud

    @property
    def operator(self) -> Operator:
        """Whoever drains and releases Regions."""
        return Operator(self.cluster, self.settings.service, self._root / "sql")

    @property
    def timings(self) -> Timings:
        """What time depends on in this lab."""
        settings = self.settings
        return Timings(
            interval_s=settings.request_interval_s / settings.speed,
            threshold=settings.failure_threshold,
            publish_every_s=settings.publish_every_s / settings.speed,
            recheck_s=RECHECK_MS / 1000,
            deadline_s=settings.probe_deadline_ms / 1000,
            fall=settings.fall,
            rise=settings.rise,
            failback_hold_s=settings.failback_hold_s / settings.speed,
        )

    def health_of(self, region: str) -> str:
        """What Route 53 makes of a Region's health check: healthy, unhealthy or unknown."""
        check, checkers = self._region(region).stack.health_check, self.cloud.checkers
        if check is None or checkers is None:
            return "unknown"
        return "healthy" if checkers.healthy(check.id) else "unhealthy"

    def status(self) -> dict[str, object]:
        """See :class:`beacon_lab.control.Controlled`."""
        self._require_up()
        return {
            "regions": {
                name: {"health_check": self.health_of(name), "faults": region.broken}
                for name, region in self.regions.items()
            }
        }

    async def inject(self, region: str, kind: FaultKind, extent: Extent = WHOLE) -> None:
        """See :class:`beacon_lab.control.Controlled`."""
        self._require_up()
        await self._region(region).inject(kind, extent)

    async def heal(self, region: str) -> None:
        """See :class:`beacon_lab.control.Controlled`."""
        self._require_up()
        await self._region(region).heal()

    def ready(self) -> dict[str, Any]:
        """What the ready file holds: where everything of this lab is."""
        self._require_up()
        cluster, cloud, settings = self.cluster, self.cloud, self.settings
        assert cloud.dns is not None  # noqa: S101 - set when the lab has started
        dns = cloud.dns
        path = f"/{settings.app}/{settings.env}/dsql"
        return {
            "aws_endpoint_url": cloud.front.endpoint_url,
            "credentials": {
                "access_key_id": cluster.operator.access_key_id,
                "secret_access_key": cluster.operator.secret_access_key,
            },
            "ca_file": str(cluster.authority.ca_file),
            "record_name": settings.record_name,
            "dns": {
                "host": dns.address,
                "port": dns.port,
                "by_region": {
                    name: {"host": dns.address, "port": port} for name, port in dns.by_region.items()
                },
            },
            "regions": {name: self._where(region) for name, region in self.regions.items()},
            "ssm": {"endpoint": f"{path}/endpoint", "document": f"{path}/document"},
            "control_url": self._control.url,
            "speed": settings.speed,
        }

    def consumer_environment(self) -> dict[str, str]:
        """What lets the consumer sign its tokens."""
        keys = self.cluster.operator
        return {
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
        }

    def _where(self, region: Region) -> dict[str, object]:
        front, check = region.front, region.stack.health_check
        path = check.config.resource_path if check else ""
        return {
            "health_url": f"https://localhost:{region.gateway.port}{path}",
            "dsql": {
                "host": front.host,
                "address": front.address,
                "port": front.port,
                "user": OPERATOR_ROLE,
                "database": "postgres",
            },
        }

    def _require_up(self) -> None:
        if not self._up:
            raise LabError("the lab is still starting, or already going down: it takes no orders now")

    def _region(self, name: str) -> Region:
        if name not in self.regions:
            raise LabError(f"there is no Region {name!r} in this lab: it has {', '.join(self.regions)}")
        return self.regions[name]

    async def _unless_stopped(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run ``work``, and cancel it when the user asks for an end."""
        task = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise LabError("interrupted while starting; what had been started has been taken down")
            return await task
        finally:
            for unfinished in (task, stopping):
                unfinished.cancel()
            await asyncio.gather(task, stopping, return_exceptions=True)

    # The start, step by step.

    async def _start(self) -> None:
        settings, regions = self.settings, self.settings.regions
        require(settings)
        directory = make_directory()
        processes = Processes()
        processes.remove_at_exit(directory)
        if settings.ready_file is not None:
            # What tells scripts that the lab is up must not outlive it.
            processes.remove_file_at_exit(settings.ready_file.absolute())
        await processes.start()
        self._exit.push_async_callback(processes.close)
        with port_errors("--control-port", settings.control_port):
            await self._control.start()
        self._exit.push_async_callback(self._control.stop)
        if settings.state_dir is not None:
            self._exit.callback(state.claim(settings.state_dir, self._control.url).release)

        built = await self._build(directory, processes) if settings.built else None
        self._say(f"starting PostgreSQL and the AWS APIs for {' and '.join(regions)}")
        authority = Authority.create(directory / "ca")
        await self._start_cluster(directory, processes, authority)
        await self._start_cloud(directory, processes)
        self._say("deploying template.yaml to each Region, without records")
        self._values = Values.create(settings, self.cluster, self.cloud.zone_id)
        stacks = await asyncio.to_thread(self._deploy, Code(built.directories if built else None))
        self._say("preparing schema, roles and grants in the database")
        await self._prepare_database(stacks)
        self._say("starting the functions; waiting for /health to pass")
        runtime = Runtime(python=built.python) if built else Runtime(bytecode_dir=directory / "bytecode")
        for region in regions:
            await self._start_region(stacks[region], directory, processes, runtime)
        await asyncio.gather(*(self._await_healthy(region) for region in self.regions.values()))
        if settings.policy != "none":
            self._say(f"turning the {settings.policy} records on; starting checkers and DNS")
            await asyncio.to_thread(self._turn_records_on)
        await self.cloud.start_data_plane()
        for started in self.regions.values():
            started.start_schedules(self.defects)
        self._say("waiting for the publishers' first documents")
        await asyncio.gather(*(self._await_published(region) for region in regions))
        self._announce()

    async def _build(self, directory: Path, processes: Processes) -> Built:
        self._say("running sam build")
        return await build_apart(processes, self._root, self._root / ".lab", directory)

    async def _start_cluster(self, directory: Path, processes: Processes, authority: Authority) -> None:
        try:
            self._cluster = await Cluster.start(directory, self.settings.regions, processes, authority)
        except PostgresError as error:
            raise LabError(str(error)) from error
        self._exit.push_async_callback(self._cluster.stop)

    async def _start_cloud(self, directory: Path, processes: Processes) -> None:
        keys = self.cluster.operator
        self._cloud = await Cloud.start(
            directory, self.settings, processes, self.regions, keys=keys, defects=self.defects
        )
        self._exit.push_async_callback(self._cloud.stop)
        self._cloud.names.update({front.host: front.address for front in self.cluster.fronts.values()})

    def _deploy(self, code: Code) -> Mapping[str, Stack]:
        assert self._values is not None  # noqa: S101 - set before
        deployer = self._deployer(code)
        return {
            region: deployer.create(region, self.settings.service, self._values.first_deployment(region))
            for region in self.settings.regions
        }

    def _turn_records_on(self) -> None:
        assert self._values is not None  # noqa: S101 - set before
        deployer = self._deployer(Code())
        for name, region in self.regions.items():
            region.stack = deployer.update(region.stack, self._values.records_on(name))

    def _deployer(self, code: Code) -> Deployer:
        keys = self.cluster.operator
        return Deployer(
            self._root / "template.yaml",
            code,
            endpoint_url=self.cloud.front.endpoint_url,
            access_key_id=keys.access_key_id,
            secret_access_key=keys.secret_access_key,
        )

    async def _prepare_database(self, stacks: Mapping[str, Stack]) -> None:
        cluster, settings = self.cluster, self.settings
        arns = [found.role_arn for stack in stacks.values() for found in stack.functions.values()]
        setup = DatabaseSetup(
            service=settings.service,
            regions=settings.regions,
            login_role=DB_USER,
            login_arns=arns,
            operator_role=OPERATOR_ROLE,
            operator_arns=[cluster.operator.arn],
        )
        front = cluster.fronts[settings.regions[0]]
        try:
            await prepare(
                front,
                ca_file=cluster.authority.ca_file,
                admin=cluster.operator,
                folder=self._root / "sql",
                setup=setup,
            )
            await self.operator.prepare_entries()
        except psycopg.Error as error:
            raise LabError(f"the database could not be prepared: {error}") from error

    async def _start_region(
        self, stack: Stack, directory: Path, processes: Processes, runtime: Runtime
    ) -> None:
        settings, cloud = self.settings, self.cloud
        functions = {
            name: Function(
                spec,
                processes=processes,
                directory=directory / "lambda",
                runtime=runtime,
                speed=settings.speed,
            )
            for name, spec in specs(
                stack, self.cluster, cloud.front.endpoint_url, self.settings.speed
            ).items()
        }
        gateway = Gateway(
            stack.api,
            functions,
            region=stack.region,
            account_id=ACCOUNT_ID,
            authority=self.cluster.authority,
            speed=settings.speed,
        )
        region = Region(
            name=stack.region,
            front=self.cluster.fronts[stack.region],
            stack=stack,
            functions=functions,
            gateway=gateway,
            schedules=make_schedules(stack, functions, settings.speed),
            aws=cloud.front,
            faults={},
        )
        self._exit.push_async_callback(region.stop)
        await region.start()
        self.regions[stack.region] = region
        cloud.names[stack.api.host] = gateway.address
        cloud.dial[stack.api.host, 443] = Dial(gateway.address, gateway.port, stack.region)

    async def _await_healthy(self, region: Region) -> None:
        path = urlsplit(region.stack.health_url).path
        url = f"https://localhost:{region.gateway.port}{path}"
        await await_healthy(region.name, url, self.cluster.authority.ca_file)

    async def _await_published(self, region: str) -> None:
        settings = self.settings
        path = f"/{settings.app}/{settings.env}/dsql"
        names = [f"{path}/document", f"{path}/endpoint"]
        publisher = self._region(region).function_named(f"{settings.service}-publisher")
        log = publisher.log_file if publisher else None
        await await_published(region, names, self.cloud.front.endpoint_url, self.cluster.operator, log)

    def _announce(self) -> None:
        self._up = True
        if self.settings.ready_file is not None:
            ready_file = ReadyFile(self.settings.ready_file)
            self._exit.callback(ready_file.remove)
            ready_file.write(self.ready())
