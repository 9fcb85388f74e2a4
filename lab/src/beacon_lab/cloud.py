"""The lab's side of AWS that no stack owns: the APIs behind one URL, and Route 53's data plane."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import boto3
from botocore.config import Config

from beacon_lab.aws.front import AwsFront
from beacon_lab.aws.moto_process import MOTO_URL, MotoError, MotoProcess
from beacon_lab.awslambda.functions_port import RegionalFunctions
from beacon_lab.defects import Defects
from beacon_lab.dsql.principals import Principal
from beacon_lab.errors import LabError
from beacon_lab.network.address_plan import public_address
from beacon_lab.network.ports import port_errors
from beacon_lab.processes.children import Processes
from beacon_lab.region import Region
from beacon_lab.route53.checkers import CheckerFleet
from beacon_lab.route53.control_plane import ControlPlane
from beacon_lab.route53.dns_server import AddressInUseError, DnsServer
from beacon_lab.route53.poll import Dial
from beacon_lab.settings import LabSettings

__all__ = ["Cloud"]


@dataclass(slots=True)
class Cloud:
    """The AWS APIs, the checkers and the DNS server of a lab; make one with :meth:`start`."""

    settings: LabSettings
    regions: Mapping[str, Region]
    defects: Defects
    moto: MotoProcess
    session: aiohttp.ClientSession
    front: AwsFront
    control_plane: ControlPlane
    overlay: dict[str, Mapping[str, object]]
    #: Names that the DNS server knows besides its zones, and where the checkers dial what they are told.
    names: dict[str, str]
    dial: dict[tuple[str, int], Dial]
    checkers: CheckerFleet | None = None
    dns: DnsServer | None = None
    zone_id: str = ""
    _keys: Principal = field(default_factory=lambda: Principal("", "", None, ""))

    @classmethod
    async def start(
        cls,
        directory: Path,
        settings: LabSettings,
        processes: Processes,
        regions: Mapping[str, Region],
        *,
        keys: Principal,
        defects: Defects,
    ) -> Cloud:
        """Start the APIs and create the hosted zone; ``regions`` may be filled later."""
        moto = MotoProcess(directory)
        try:
            await moto.start(processes)
        except MotoError as error:
            raise LabError(str(error)) from error
        session = moto.session()
        front = AwsFront(session, MOTO_URL, port=settings.aws_port, functions=RegionalFunctions(regions))
        overlay: dict[str, Mapping[str, object]] = {}
        cloud = cls(
            settings=settings,
            regions=regions,
            defects=defects,
            moto=moto,
            session=session,
            front=front,
            control_plane=ControlPlane(session, MOTO_URL, overlay=overlay, watch=defects.watch),
            overlay=overlay,
            names={},
            dial={},
            _keys=keys,
        )
        try:
            with port_errors("--aws-port", settings.aws_port):
                await front.start()
            front.on_write = cloud.control_plane.kick
            cloud.zone_id = await asyncio.to_thread(cloud._create_zone)
        except BaseException:
            await cloud.stop()
            raise
        return cloud

    async def start_data_plane(self) -> None:
        """Start the checkers and the DNS server; the stacks have created what they work on."""
        settings = self.settings
        await self.control_plane.start()
        checkers = CheckerFleet(
            self.dial,
            on_defect=self.defects.report,
            speed=settings.speed,
            public_address=public_address,
        )
        self.checkers = self.front.health = checkers
        self.control_plane.subscribe(lambda view: checkers.apply(view.checks))
        self.dns = DnsServer(
            zones=lambda: self.control_plane.view.zones,
            healthy=checkers.healthy,
            default_region=settings.regions[0],
            port=settings.dns_port,
            by_region=dict.fromkeys(settings.regions, 0),
            static=self.names,
        )
        try:
            await self.dns.start()
        except AddressInUseError as error:
            raise LabError(f"{error}: choose another with --dns-port, or 0 for any free one") from error

    async def stop(self) -> None:
        """Stop everything; calling it again is harmless."""
        if self.dns is not None:
            await self.dns.stop()
        if self.checkers is not None:
            await self.checkers.stop()
        await self.control_plane.stop()
        await self.front.stop()
        await self.session.close()
        await self.moto.stop()

    def _create_zone(self) -> str:
        keys = self._keys
        client = boto3.client(
            "route53",
            region_name="us-east-1",
            endpoint_url=self.front.endpoint_url,
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key,
            config=Config(retries={"total_max_attempts": 2}, proxies={}),  # it is on this machine
        )
        with contextlib.closing(client):
            answer = client.create_hosted_zone(Name=f"{self.settings.zone}.", CallerReference="lab")
        return answer["HostedZone"]["Id"].removeprefix("/hostedzone/")
