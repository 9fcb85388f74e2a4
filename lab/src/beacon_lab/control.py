"""The control server of a running lab, and the client that `fault`, `heal` and `status` use.

=======  =========  ======================================  =============================================
method   path       body                                    answer
=======  =========  ======================================  =============================================
GET      /ready                                             what the ready file holds
GET      /status                                            each Region's faults and health check
POST     /fault     ``{"region": …, "kind": …}`` and, for   the status afterwards
                    some, ``share``, ``way``, ``seed``
POST     /heal      ``{"region": …}``                       the status afterwards
=======  =========  ======================================  =============================================

It listens on loopback only and takes JSON only, so that no web page can give it orders.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web

from beacon_lab.errors import LabError
from beacon_lab.faults import Extent, FaultKind
from beacon_lab.network.http_log import HTTP_LOG

__all__ = ["Control", "Controlled", "call"]


class Controlled(Protocol):
    """What the server gives orders to: the lab."""

    def ready(self) -> dict[str, object]:
        """What the ready file holds."""

    def status(self) -> dict[str, object]:
        """Each Region's faults and health check."""

    async def inject(self, region: str, kind: FaultKind, extent: Extent) -> None:
        """Break a Region; raise :class:`LabError` for one that is not there."""

    async def heal(self, region: str) -> None:
        """Mend whatever was broken in a Region; raise :class:`LabError` for one that is not there."""


class Control:
    """The server; ``port`` 0 takes any free one."""

    def __init__(self, lab: Controlled, port: int = 0, address: str = "127.0.0.1") -> None:
        self._lab = lab
        self._wanted = port
        self._address = address
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen; raise ``OSError`` when the port is taken."""
        application = web.Application()
        application.router.add_get("/ready", self._answer(self._ready))
        application.router.add_get("/status", self._answer(self._status))
        application.router.add_post("/fault", self._answer(self._fault))
        application.router.add_post("/heal", self._answer(self._heal))
        self._runner = web.AppRunner(application, logger=HTTP_LOG, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, self._wanted)
        await site.start()
        self.url = f"http://{self._address}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening; calling it again does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _answer(
        self, act: Callable[[web.Request], Awaitable[dict[str, object]]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                return web.json_response(await act(request))
            except LabError as error:
                return web.json_response({"error": str(error)}, status=400)

        return handle

    async def _ready(self, _request: web.Request) -> dict[str, object]:
        return self._lab.ready()

    async def _status(self, _request: web.Request) -> dict[str, object]:
        return self._lab.status()

    async def _fault(self, request: web.Request) -> dict[str, object]:
        order = await _order(request)
        try:
            kind = FaultKind(order.get("kind", ""))
        except ValueError:
            kinds = ", ".join(FaultKind)
            raise LabError(f"there is no fault {order.get('kind')!r}: choose one of {kinds}") from None
        await self._lab.inject(order.get("region", ""), kind, _extent(order, kind))
        return self._lab.status()

    async def _heal(self, request: web.Request) -> dict[str, object]:
        await self._lab.heal((await _order(request)).get("region", ""))
        return self._lab.status()


async def _order(request: web.Request) -> dict[str, str]:
    if request.content_type != "application/json":
        raise LabError("an order is a JSON object, sent as application/json")
    try:
        order = json.loads(await request.text())
    except ValueError:
        raise LabError("the order is not JSON") from None
    if not isinstance(order, dict):
        raise LabError("an order is a JSON object")
    return {str(name): str(value) for name, value in order.items()}


def _extent(order: Mapping[str, str], kind: FaultKind) -> Extent:
    try:
        seed = int(order["seed"]) if "seed" in order else None
        return Extent(int(order.get("share", "100")), order.get("way", ""), seed).of(kind)
    except ValueError as error:
        raise LabError(str(error)) from None


def call(url: str, path: str, order: dict[str, str] | None = None) -> dict[str, object]:
    """Ask a lab's control server; ``order`` makes it a POST. Raise :class:`LabError` with what it says."""
    request = urllib.request.Request(  # noqa: S310 - the URL is the lab's own note
        url + path,
        data=None if order is None else json.dumps(order).encode(),
        headers={"Content-Type": "application/json"},
    )
    # No proxy, whatever the environment says: the lab is on this machine.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=30) as answer:
            found: dict[str, object] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode("utf-8", "replace")
        try:
            reason = str(json.loads(text)["error"])
        except (ValueError, KeyError, TypeError):
            reason = f"the lab answered {error.code}"
        raise LabError(reason) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LabError(f"the lab at {url} does not answer ({error}): is it still up?") from None
