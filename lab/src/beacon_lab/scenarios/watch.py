"""Follow what users see of a lab: health checks, DNS answers and SSM values, each through its own interface.

DNS and SSM are read as ``dig`` and ``aws ssm`` would; a check's status is what ``beacon-lab status`` shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import dns.asyncquery
import dns.exception
import dns.message
import dns.rdatatype
from botocore.exceptions import BotoCoreError, ClientError

from beacon_lab.aws.clients import api_client
from beacon_lab.scenarios.ending import end_tasks

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

__all__ = ["Seen", "Watch", "resolve"]

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class _Key:
    """An access key, as a ready object shows it."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


class Seen:
    """One thing that is polled: its latest value and when (monotonic seconds) it was first seen."""

    def __init__(self, name: str, read: Callable[[], Awaitable[str]]) -> None:
        self.name = name
        self.value = ""
        self.since = time.monotonic()
        self._read = read

    async def follow(self) -> None:
        """Poll until cancelled; an error of the interface is a value too."""
        while True:
            value = await self._read()
            if value != self.value:
                self.value, self.since = value, time.monotonic()
            await asyncio.sleep(_POLL_S)


async def resolve(name: str, host: str, port: int) -> str:
    """The canonical name that a DNS server gives for ``name``, or a word for why it gives none."""
    query = dns.message.make_query(name, dns.rdatatype.CNAME)
    try:
        answer = await dns.asyncquery.udp(query, host, timeout=2, port=port)
    except (dns.exception.DNSException, OSError) as error:
        return type(error).__name__
    if not answer.answer:
        return "no answer"
    return str(next(iter(answer.answer[-1])).to_text(omit_final_dot=True))


class Watch:
    """Polls a lab that its ready object describes; use as an asynchronous context manager.

    ``health`` is the check status of each Region, ``healthy`` or ``unhealthy``, as ``read_health`` gives
    it. ``dns`` is the host that the record names to a client in the first Region. ``ssm`` is the host in
    the first Region's ``endpoint`` parameter. ``watch`` gets each task that polls, which ends by itself
    only if it breaks.
    """

    def __init__(
        self,
        ready: Mapping[str, Any],
        read_health: Callable[[str], str],
        watch: Callable[[str, asyncio.Task[None]], None] = lambda *_: None,
    ) -> None:
        self.regions: list[str] = list(ready["regions"])
        self._ready = ready
        first = self.regions[0]
        self._ssm: SSMClient = api_client(
            "ssm",
            first,
            ready["aws_endpoint_url"],
            _Key(**ready["credentials"]),
            connect_timeout=1,
            read_timeout=2,
            retries={"total_max_attempts": 1},
        )
        self.health = {
            region: Seen(f"health check {region}", _reader(read_health, region)) for region in self.regions
        }
        self.dns = Seen("DNS answer", self._look_up)
        self.ssm = Seen("SSM endpoint", self._parameter)
        self._tasks: list[asyncio.Task[None]] = []
        self._watch = watch

    async def __aenter__(self) -> Self:
        for seen in (*self.health.values(), self.dns, self.ssm):
            self._tasks.append(asyncio.create_task(seen.follow(), name=seen.name))
            self._watch(f"what follows the {seen.name}", self._tasks[-1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_tasks(self._tasks)
        self._ssm.close()

    def host_of(self, region: str) -> str:
        """The DSQL host of a Region."""
        return str(self._ready["regions"][region]["dsql"]["host"])

    async def _look_up(self) -> str:
        where = self._ready["dns"]["by_region"][self.regions[0]]
        return await resolve(self._ready["record_name"], where["host"], where["port"])

    async def _parameter(self) -> str:
        return await asyncio.to_thread(self._get_parameter)

    def _get_parameter(self) -> str:
        try:
            return self._ssm.get_parameter(Name=self._ready["ssm"]["endpoint"])["Parameter"]["Value"]
        except (BotoCoreError, ClientError) as error:
            return type(error).__name__


def _reader(health: Callable[[str], str], region: str) -> Callable[[], Awaitable[str]]:
    async def read() -> str:
        return health(region)

    return read
