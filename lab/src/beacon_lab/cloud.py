"""The lab's side of AWS that no stack owns: the APIs behind one URL, and Route 53's data plane."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beacon_lab.aws.clients import AccessKey, api_client
from beacon_lab.aws.front import AwsFront
from beacon_lab.aws.moto_process import MOTO_URL, MotoProcess
from beacon_lab.defects import Defects
from beacon_lab.errors import LabError
from beacon_lab.network.ports import port_errors
from beacon_lab.processes.children import Processes
from beacon_lab.route53.checkers import CheckerFleet
from beacon_lab.route53.control_plane import ControlPlane
from beacon_lab.route53.dns_server import AddressInUseError, DnsServer
from beacon_lab.route53.poll import Dial
from beacon_lab.settings import LabSettings

__all__ = ["Cloud", "DataPlane", "run_cloud", "run_data_plane"]


@dataclass(frozen=True, slots=True)
class Cloud:
    """The AWS APIs, and the hosted zone that an account has before any stack."""

    front: AwsFront
    control_plane: ControlPlane
    zone_id: str
    #: The access key of the lab's operator.
    key: AccessKey

    def client(self, service: str, region: str, **config: Any) -> Any:  # noqa: ANN401 - as `api_client` has them
        """The operator's client of a service; see :func:`beacon_lab.aws.clients.api_client`."""
        return api_client(service, region, self.front.endpoint_url, self.key, **config)


@dataclass(frozen=True, slots=True)
class DataPlane:
    """Route 53's health checkers, and the DNS server that answers by them."""

    checkers: CheckerFleet
    dns: DnsServer


@contextlib.asynccontextmanager
async def run_cloud(
    directory: Path, settings: LabSettings, processes: Processes, *, key: AccessKey, defects: Defects
) -> AsyncIterator[Cloud]:
    """Run the APIs, and create the hosted zone. ``directory`` gets the simulator's socket and log."""
    async with contextlib.AsyncExitStack() as ending:
        moto = MotoProcess(directory)
        ending.push_async_callback(moto.stop)
        await moto.start(processes)
        session = await ending.enter_async_context(moto.session())
        front = AwsFront(session, MOTO_URL, port=settings.aws_port)
        ending.push_async_callback(front.stop)
        with port_errors("--aws-port", settings.aws_port):
            await front.start()
        control_plane = ControlPlane(session, MOTO_URL, watch=defects.watch)
        ending.push_async_callback(control_plane.stop)
        front.on_write = control_plane.kick
        zone_id = await asyncio.to_thread(_create_zone, settings.zone, front.endpoint_url, key)
        yield Cloud(front, control_plane, zone_id, key)


@contextlib.asynccontextmanager
async def run_data_plane(
    cloud: Cloud,
    settings: LabSettings,
    *,
    names: Mapping[str, str],
    dials: Mapping[tuple[str, int], Dial],
    defects: Defects,
) -> AsyncIterator[DataPlane]:
    """Run checkers and DNS, after the stacks have created what they work on.

    ``names`` are what the DNS server knows beside its zones. ``dials`` is where checkers dial
    a host and port.
    """
    async with contextlib.AsyncExitStack() as ending:
        await cloud.control_plane.start()
        checkers = CheckerFleet(dials, on_defect=defects.report, speed=settings.speed)
        ending.push_async_callback(checkers.stop)
        cloud.front.health = checkers
        cloud.control_plane.subscribe(lambda view: checkers.apply(view.checks))
        dns = DnsServer(
            zones=lambda: cloud.control_plane.view.zones,
            healthy=checkers.healthy,
            default_region=settings.regions[0],
            port=settings.dns_port,
            by_region=dict.fromkeys(settings.regions, 0),
            static=names,
        )
        ending.push_async_callback(dns.stop)
        try:
            await dns.start()
        except AddressInUseError as error:
            raise LabError(f"{error}: choose another with --dns-port, or 0 for any free one") from error
        yield DataPlane(checkers, dns)


def _create_zone(zone: str, endpoint_url: str, key: AccessKey) -> str:
    client = api_client("route53", "us-east-1", endpoint_url, key, retries={"total_max_attempts": 2})
    with contextlib.closing(client):
        answer = client.create_hosted_zone(Name=f"{zone}.", CallerReference="lab")
    return str(answer["HostedZone"]["Id"].removeprefix("/hostedzone/"))
