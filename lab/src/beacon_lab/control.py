"""The control server of a running lab, and the client that ``fault``, ``heal``, ``status`` and ``token`` use.

=======  =========  ======================================  =============================================
method   path       body                                    answer
=======  =========  ======================================  =============================================
GET      /ready                                             what the ready file holds
GET      /status                                            each Region's faults and health check
POST     /fault     ``{"region": …, "kind": …}`` and, for   the status afterwards
                    some, ``share``, ``way``, ``seed``;
                    ``for``, the seconds after which the
                    lab ends that fault by itself
POST     /heal      ``{"region": …}``, and ``kind`` to end  the status afterwards
                    that fault alone
=======  =========  ======================================  =============================================

The server listens on loopback only and takes JSON only, so that no web page can give it orders. Every user of
this machine can reach loopback, and ``/ready`` holds the lab's secrets. So ``/ready`` also wants the header
``Authorization: Bearer KEY``; the key is in the lab's note, which only its owner can read.
"""

from __future__ import annotations

import hmac
import http.client
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Protocol

from aiohttp import web

from beacon_lab.errors import LabError
from beacon_lab.faults import Extent, FaultKind
from beacon_lab.network import http_server

__all__ = ["Control", "Controlled", "call"]

_LEAST_LIMIT_S, _MOST_LIMIT_S = 1.0, 86400.0


class Controlled(Protocol):
    """What the server passes orders to: a lab that is up."""

    def ready(self) -> dict[str, object]:
        """What the ready file holds."""

    def status(self) -> dict[str, object]:
        """Each Region's faults and health check."""

    async def inject(
        self, region: str, kind: FaultKind, extent: Extent, *, limit_s: float | None = None
    ) -> None:
        """Break a Region, for ``limit_s`` at the most; raise :class:`LabError` for one that is not there."""

    async def heal(self, region: str, kind: FaultKind | None = None) -> None:
        """Repair all of a Region, or ``kind`` alone; raise :class:`LabError` for one that is not there."""


class Control:
    """The server; ``port`` 0 takes any free one. It rejects every order while no lab takes them."""

    def __init__(self, port: int = 0, address: str = "127.0.0.1") -> None:
        #: What ``/ready`` wants as its bearer token.
        self.key = secrets.token_urlsafe(32)
        #: The server's address, once it listens.
        self.url = ""
        self._wanted = port
        self._address = address
        self._lab: Controlled | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; raise ``OSError`` when the port is taken."""
        application = web.Application()
        application.router.add_get("/ready", self._answer(self._ready))
        application.router.add_get("/status", self._answer(self._status))
        application.router.add_post("/fault", self._answer(self._fault))
        application.router.add_post("/heal", self._answer(self._heal))
        self._runner = await http_server.listen(application, self._address, self._wanted)
        self.url = f"http://{self._address}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening; a second call does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def open_to(self, lab: Controlled) -> None:
        """Pass orders to ``lab`` from now on."""
        self._lab = lab

    def shut(self) -> None:
        """Reject orders from now on."""
        self._lab = None

    def _answer(
        self, act: Callable[[Controlled, web.Request], Awaitable[dict[str, object]]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if self._lab is None:
                return _refusal("the lab is still starting, or already going down: it takes no orders now")
            try:
                return web.json_response(await act(self._lab, request))
            except _ForbiddenError as error:
                return _refusal(str(error), HTTPStatus.FORBIDDEN)
            except LabError as error:
                return _refusal(str(error))

        return handle

    async def _ready(self, lab: Controlled, request: web.Request) -> dict[str, object]:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, f"Bearer {self.key}".encode()):
            raise _ForbiddenError(
                "/ready needs the header 'Authorization: Bearer KEY', with the key from lab.json in the lab's"
                " state directory, which only the lab's owner can read"
            )
        return lab.ready()

    async def _status(self, lab: Controlled, _request: web.Request) -> dict[str, object]:
        return lab.status()

    async def _fault(self, lab: Controlled, request: web.Request) -> dict[str, object]:
        order = await _order(request)
        try:
            kind = FaultKind.named(order.get("kind", ""))
            extent = _extent(order, kind)
            limit_s = _limit_s(order)
        except ValueError as error:
            raise LabError(str(error)) from None
        await lab.inject(order.get("region", ""), kind, extent, limit_s=limit_s)
        return lab.status()

    async def _heal(self, lab: Controlled, request: web.Request) -> dict[str, object]:
        order = await _order(request)
        try:
            kind = FaultKind.named(order["kind"]) if "kind" in order else None
        except ValueError as error:
            raise LabError(str(error)) from None
        await lab.heal(order.get("region", ""), kind)
        return lab.status()


class _ForbiddenError(Exception):
    """The caller has not shown the lab's key."""


def _refusal(sentence: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


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
    seed = int(order["seed"]) if "seed" in order else None
    return Extent(int(order.get("share", "100")), order.get("way", ""), seed).of(kind)


def _limit_s(order: Mapping[str, str]) -> float | None:
    if "for" not in order:
        return None
    text = order["for"]
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not _LEAST_LIMIT_S <= found <= _MOST_LIMIT_S:
        raise ValueError(f"for is {_LEAST_LIMIT_S:g} to {_MOST_LIMIT_S:g} seconds, not {text!r}")
    return found


def call(url: str, path: str, order: dict[str, str] | None = None, *, key: str = "") -> dict[str, object]:
    """Ask a lab's control server; ``order`` makes it a POST. Raises :class:`LabError` with what it says.

    ``key`` is the lab's, from its note; only ``/ready`` needs it.
    """
    request = urllib.request.Request(  # noqa: S310 - the URL is the lab's own note
        url + path,
        data=None if order is None else json.dumps(order).encode(),
        headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
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
