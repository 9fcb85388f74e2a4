"""Following Route 53's API over HTTP: what is read, what is refused, and that the last good view stays."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from beacon_lab.route53.control_plane import ControlPlane, View
from beacon_lab.route53.listings import UnreadableError
from beacon_lab.route53.records import Failover
from beacon_lab.route53.rules import CHECKER_REGIONS, CheckType

NS = 'xmlns="https://route53.amazonaws.com/doc/2013-04-01/"'
REGIONS = "<Regions><Region>us-east-1</Region><Region>us-west-2</Region><Region>eu-west-1</Region></Regions>"
ZONES = (
    f"<R {NS}><HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>Example.test.</Name>"
    "<Config><PrivateZone>false</PrivateZone></Config></HostedZone><HostedZone><Id>/hostedzone/Z2</Id>"
    "<Name>hidden.test.</Name><Config><PrivateZone>true</PrivateZone></Config></HostedZone></HostedZones></R>"
)


def a_check(fields: str = REGIONS, threshold: int = 3) -> str:
    return (
        f"<R {NS}><HealthChecks><HealthCheck><Id>hc</Id><HealthCheckConfig><Type>HTTPS</Type>"
        f"<FullyQualifiedDomainName>a.test</FullyQualifiedDomainName><FailureThreshold>{threshold}</FailureThreshold>"
        f"<RequestInterval>10</RequestInterval>{fields}</HealthCheckConfig></HealthCheck></HealthChecks></R>"
    )


def records(*sets: str) -> str:
    return f"<R {NS}><ResourceRecordSets>{''.join(sets)}</ResourceRecordSets></R>"


def a_record(name: str, kind: str, value: str, more: str = "", ttl: int = 30) -> str:
    return (
        f"<ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type><TTL>{ttl}</TTL>{more}<ResourceRecords>"
        f"<ResourceRecord><Value>{value}</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>"
    )


@dataclass(slots=True)
class Api:
    """A server that lists what a test puts there."""

    checks: str = field(default_factory=a_check)
    records: str = field(default_factory=lambda: records(a_record("a.example.test.", "A", "192.0.2.1")))
    status: int = 200
    reads: int = 0

    async def list(self, request: web.Request) -> web.Response:
        self.reads += 1
        texts = {"/2013-04-01/healthcheck": self.checks, "/2013-04-01/hostedzone": ZONES}
        return web.Response(status=self.status, text=texts.get(request.path, self.records))


@asynccontextmanager
async def following(api: Api) -> AsyncIterator[ControlPlane]:
    application = web.Application()
    application.router.add_get("/{path:.*}", api.list)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        plane = ControlPlane(session, f"http://127.0.0.1:{runner.addresses[0][1]}", poll_s=0.02)
        try:
            yield plane
        finally:
            await plane.stop()
            await runner.cleanup()


async def next_reads(api: Api, count: int = 6) -> None:
    wanted, deadline = api.reads + count, time.monotonic() + 10
    while api.reads < wanted:
        assert time.monotonic() < deadline, "no client reads"
        await asyncio.sleep(0.01)


def test_zones_records_and_checks_are_read() -> None:
    """Public zones only, names in lower case, every routing field; subscribers hear of each view once."""

    async def scenario() -> None:
        policy = (
            "<SetIdentifier>p</SetIdentifier><Failover>PRIMARY</Failover><HealthCheckId>hc</HealthCheckId>"
        )
        weighted = "<SetIdentifier>w</SetIdentifier><Weight>0</Weight>"
        api = Api(
            records=records(
                a_record("App.example.test", "CNAME", "x.on.aws", policy),
                a_record("w.example.test.", "A", "192.0.2.1", weighted),
                a_record("\\052.example.test.", "A", "192.0.2.2"),
            )
        )
        heard: list[View] = []
        async with following(api) as plane:
            plane.subscribe(heard.append)
            await plane.start()
            await next_reads(api)
        (zone,) = plane.view.zones
        primary, by_weight, wildcard = zone.records
        assert (zone.id, zone.name) == ("Z1", "example.test.")
        assert (primary.name, primary.failover, primary.health_check_id) == (
            "app.example.test.",
            Failover.PRIMARY,
            "hc",
        )
        assert (by_weight.weight, by_weight.set_identifier, by_weight.ttl_s) == (0, "w", 30)
        assert wildcard.name == "*.example.test."
        check = plane.view.checks["hc"]
        assert (check.type, check.port, check.regions) == (
            CheckType.HTTPS,
            443,
            ("us-east-1", "us-west-2", "eu-west-1"),
        )
        assert heard == [View(), plane.view]

    asyncio.run(scenario())


@pytest.mark.parametrize("broken", [{"status": 500}, {"checks": "<not xml"}, {"records": ""}])
def test_the_last_good_view_stays_while_the_api_is_down(broken: dict[str, str | int]) -> None:
    """Errors and nonsense change nothing; when the API is back, so are its changes."""

    async def scenario() -> None:
        api = Api()
        async with following(api) as plane:
            await plane.start()
            good = plane.view
            before = {name: getattr(api, name) for name in broken}
            for name, value in broken.items():
                setattr(api, name, value)
            with pytest.raises((aiohttp.ClientError, UnreadableError)):
                await plane.refresh()
            await next_reads(api)
            assert plane.view is good
            await plane.kick()
            assert plane.view is good
            for name, value in before.items():
                setattr(api, name, value)
            api.records = records(a_record("b.example.test.", "A", "192.0.2.2"))
            await plane.kick()
            assert plane.view.zones[0].records[0].name == "b.example.test."

    asyncio.run(scenario())


def test_an_update_that_does_not_name_the_regions_keeps_them() -> None:
    """On AWS what an update does not name stays; a check that never named any has all eight."""

    async def scenario() -> None:
        api = Api()
        async with following(api) as plane:
            await plane.refresh()
            api.checks = a_check("<Disabled>true</Disabled>")
            assert (await plane.refresh()).checks["hc"].regions == ("us-east-1", "us-west-2", "eu-west-1")
            assert plane.view.checks["hc"].disabled
        api = Api(checks=a_check(""))
        async with following(api) as plane:
            assert (await plane.refresh()).checks["hc"].regions == CHECKER_REGIONS

    asyncio.run(scenario())


def test_a_check_that_turns_invalid_keeps_its_last_valid_form(caplog: pytest.LogCaptureFixture) -> None:
    """And says so once, however often it is read."""

    async def scenario() -> None:
        api = Api()
        async with following(api) as plane:
            await plane.refresh()
            api.checks = a_check(threshold=11)
            for _ in range(3):
                assert (await plane.refresh()).checks["hc"].failure_threshold == 3

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert [record.getMessage() for record in caplog.records] == [
        "ignored: health check hc: FailureThreshold 11 is outside 1-10"
    ]


def test_records_that_cannot_be_served_are_named_and_the_others_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An alias, two policies at once, a weight out of bounds."""

    async def scenario() -> None:
        alias = "<Name>alias.example.test.</Name><Type>A</Type><AliasTarget/>"
        both = "<SetIdentifier>x</SetIdentifier><Weight>1</Weight><Region>us-east-1</Region>"
        api = Api(
            records=records(
                f"<ResourceRecordSet>{alias}</ResourceRecordSet>",
                a_record("both.example.test.", "A", "192.0.2.1", both),
                a_record("twice.example.test.", "A", "192.0.2.1"),
                a_record("twice.example.test.", "A", "192.0.2.2"),
            )
        )
        async with following(api) as plane:
            (zone,) = (await plane.refresh()).zones
        assert [record.values for record in zone.records] == [("192.0.2.2",)]

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    told = " ".join(record.getMessage() for record in caplog.records)
    assert "AliasTarget" in told
    assert "more than one routing policy" in told
