"""Follows Route 53's API: reads zones, record sets and health checks again and again, and keeps the last
good view.

What one poll sees is one immutable ``View``. A poll that fails changes nothing: the data plane keeps
answering from what it knew, as Route 53's does when its control plane is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import aiohttp

from beacon_lab.route53 import listings
from beacon_lab.route53.records import RecordSet, Zone
from beacon_lab.route53.rules import HealthCheck

POLL_S = 0.5
_API = "/2013-04-01"
_READ_LIMIT_S = 5.0
# The simulator finds service and Region in the credential scope and checks no signature.
_SCOPE = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=LAB/20260101/us-east-1/route53/aws4_request, "
    "SignedHeaders=host, Signature=0"
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """All that one poll saw."""

    zones: tuple[Zone, ...] = ()
    checks: Mapping[str, HealthCheck] = field(default_factory=lambda: MappingProxyType({}))


class ControlPlane:
    """Polls the Route 53 API behind ``session`` and hands each new ``View`` to its subscribers.

    ``session`` reaches the API at ``url`` (a Unix socket's session needs any host name there); the caller
    closes it. ``watch`` gets the task that polls, which never ends by itself unless it is broken.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        poll_s: float = POLL_S,
        watch: Callable[[str, asyncio.Task[None]], None] = lambda *_: None,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._poll_s = poll_s
        self._watch = watch
        self._view = View()
        self._sticky = listings.StickyFields()
        self._subscribers: list[Callable[[View], None]] = []
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._kicks: set[asyncio.Task[None]] = set()
        self._complaints: set[str] = set()

    @property
    def view(self) -> View:
        """The last good view; empty before the first poll."""
        return self._view

    def subscribe(self, callback: Callable[[View], None]) -> None:
        """Call ``callback`` with each view that differs from the one before, and now with the present one."""
        self._subscribers.append(callback)
        callback(self._view)

    async def start(self) -> None:
        """Read once, then keep reading. Raises aiohttp.ClientError when the API does not answer."""
        await self.refresh()
        self._task = asyncio.create_task(self._follow(), name="route53-control-plane")
        self._watch("the poll of the Route 53 API", self._task)

    async def stop(self) -> None:
        """Stop reading; idempotent. The last view stays."""
        ending = [task for task in (self._task, *self._kicks) if task is not None]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._task = None

    def kick(self) -> Awaitable[None]:
        """Read now, for something was written; await the result or let it happen.

        Errors are left to the polls.
        """
        task = asyncio.create_task(self._read_once(), name="route53-control-plane-kick")
        self._kicks.add(task)
        task.add_done_callback(self._kicks.discard)
        return task

    async def refresh(self) -> View:
        """Read now, else keep the last good view.

        Raises aiohttp.ClientError, TimeoutError or listings.UnreadableError.
        """
        async with self._reading:
            checks = self._keep_valid(await self._get("/healthcheck"))
            zones = [
                Zone(
                    zone_id,
                    name,
                    tuple(self._drain(listings.record_sets(await self._get(f"/hostedzone/{zone_id}/rrset")))),
                )
                for zone_id, name in listings.zones(await self._get("/hostedzone"))
            ]
            view = View(tuple(zones), MappingProxyType(checks))
        if view != self._view:
            self._view = view
            for callback in self._subscribers:
                callback(view)
        return view

    def _keep_valid(self, listing: str) -> dict[str, HealthCheck]:
        checks = {}
        for config in listings.health_checks(listing):
            try:
                checks[config.id] = listings.health_check(config.id, self._sticky.apply(config))
            except ValueError as error:
                self._complain(str(error))
                if config.id in self._view.checks:
                    checks[config.id] = self._view.checks[config.id]
        return checks

    def _drain(self, parsed: listings.Parsed) -> list[RecordSet]:
        for sentence in parsed.refused:
            self._complain(sentence)
        return parsed.records

    def _complain(self, sentence: str) -> None:
        if sentence not in self._complaints:
            self._complaints.add(sentence)
            _log.warning("ignored: %s", sentence)

    async def _get(self, path: str) -> str:
        timeout = aiohttp.ClientTimeout(total=_READ_LIMIT_S)
        async with self._session.get(f"{self._url}{_API}{path}", headers=_SCOPE, timeout=timeout) as response:
            response.raise_for_status()
            return await response.text()

    async def _read_once(self) -> None:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, listings.UnreadableError):
            await self.refresh()

    async def _follow(self) -> None:
        silent = False
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh()
            except (aiohttp.ClientError, TimeoutError, listings.UnreadableError) as error:
                if not silent:
                    _log.warning(
                        "the Route 53 API does not answer (%s): the last known records stay",
                        type(error).__name__,
                    )
                silent = True
            else:
                silent = False
