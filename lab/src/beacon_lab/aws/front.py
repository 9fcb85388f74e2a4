"""One AWS_ENDPOINT_URL for the whole lab: an HTTP front on loopback, before the process that simulates the
AWS APIs.

It answers itself what the simulator does not do: the live status of health checks, Lambda's Invoke,
Parameter Store's limits, the DSQL clusters, and change sets of the stack that the lab deploys. It can take a
service down, in one Region or all. Everything else passes through unchanged. Headers and bodies are never
logged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from beacon_lab.aws.call import Call, Protocol, read_call
from beacon_lab.aws.change_sets import ChangeSets
from beacon_lab.aws.dsql_api import ClusterView, answer_dsql
from beacon_lab.aws.errors import ApiError, Encoded, encode_error
from beacon_lab.aws.lambda_api import FunctionPort, NoFunctions, invoke, invoked_function
from beacon_lab.aws.route53_status import HealthReports, answer_status, asked_status
from beacon_lab.aws.ssm_limits import DEFAULT_PUTS_PER_S, PutRate, check_value
from beacon_lab.network import http_server

_LARGEST_REQUEST = 64 * 1024 * 1024
_FORWARD_LIMIT_S = 120.0
_GONE_CHECK_S = 1.0
_PER_HOP = (
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
)
_NO_TOKEN = ApiError(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
_NO_API = ApiError(404, "UnknownOperationException", "There is no such API")
_DOWN = ApiError(503, "InternalServerError", "The service is not available")
_SIMULATOR_GONE = ApiError(502, "ServiceUnavailable", "The lab's AWS simulator does not answer")


class Down(StrEnum):
    """How a service is down."""

    #: It answers every call with HTTP 503 at once.
    FAIL = "fail"
    #: It accepts every call and never answers.
    SILENT = "silent"


class AwsFront:
    """The front; ``session`` reaches the simulator at ``url``, and the caller closes it.

    ``functions`` and ``health`` may be set after the start; until then no function exists and health checks
    are reported by the simulator. ``on_write`` is awaited after each call that may have changed Route 53,
    before its answer leaves: a read after a write sees it.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        functions: FunctionPort | None = None,
        health: HealthReports | None = None,
        on_write: Callable[[], Awaitable[None]] | None = None,
        puts_per_s: float = DEFAULT_PUTS_PER_S,
    ) -> None:
        self.address = address
        self.port = port
        self.functions = functions
        self.health = health
        self.on_write = on_write
        #: By Region; until they are set the simulator answers for DSQL, and for change sets.
        self.clusters: Mapping[str, ClusterView] | None = None
        self.change_sets: ChangeSets | None = None
        self._session = session
        self._url = url.rstrip("/")
        self._puts = PutRate(puts_per_s)
        self._down: dict[tuple[str | None, str | None], tuple[Down, asyncio.Event]] = {}
        self._runner: web.AppRunner | None = None

    @property
    def endpoint_url(self) -> str:
        """The value for AWS_ENDPOINT_URL; known once started."""
        return f"http://{self.address}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError when the address is in use."""
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = await http_server.listen(application, self.address, self.port)
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and drop what still waits; idempotent."""
        for key in tuple(self._down):
            self.set_up(*key)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def set_down(self, service: str | None, region: str | None, mode: Down) -> None:
        """Take a service down in a Region; None is every service, or every Region.

        ``service`` is the name that requests are signed for: ssm, sts, route53, events.
        """
        self.set_up(service, region)
        self._down[service, region] = (mode, asyncio.Event())

    def set_up(self, service: str | None, region: str | None) -> None:
        """Undo ``set_down`` with the same arguments; calls that hang are dropped. No error when it was up."""
        _, ended = self._down.pop((service, region), (None, None))
        if ended is not None:
            ended.set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = read_call(request.method, request.raw_path, request.headers)
        if call is None:
            return _response(encode_error(_NO_TOKEN, Protocol.XML))
        if (down := self._down_for(call)) is not None:
            mode, ended = down
            if mode is Down.FAIL:
                return _response(encode_error(_DOWN, call.protocol))
            return await _never(request, ended)
        try:
            return await self._answer(request, call)
        except ApiError as error:
            return _response(encode_error(error, call.protocol))

    def _down_for(self, call: Call) -> tuple[Down, asyncio.Event] | None:
        for key in ((call.service, call.region), (call.service, None), (None, call.region), (None, None)):
            if key in self._down:
                return self._down[key]
        return None

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        body = await request.read()
        if call.path.startswith("/moto-api"):
            raise _NO_API
        if call.service == "lambda" and (function := invoked_function(call.method, call.path)) is not None:
            kind = request.headers.get("X-Amz-Invocation-Type", "")
            return _response(await invoke(self.functions or NoFunctions(), call.region, function, kind, body))
        if call.service == "route53" and self.health is not None:
            asked = asked_status(call.method, call.path)
            if asked is not None:
                return _response(answer_status(self.health, *asked))
        if call.service == "dsql" and self.clusters is not None:
            return _response(answer_dsql(self.clusters, call))
        if call.service == "cloudformation" and self.change_sets is not None:
            answered = self.change_sets.answer(call.region, body)
            if answered is not None:
                return _response(answered)
        if call.service == "ssm" and call.operation == "PutParameter":
            self._puts.take(call.region, time.monotonic())
            check_value(body)
        response = await self._forward(request, body)
        if self.on_write is not None and _writes_records(call):
            await self.on_write()
        return response

    async def _forward(self, request: web.Request, body: bytes) -> web.StreamResponse:
        try:
            async with self._session.request(
                request.method,
                URL(self._url + request.raw_path, encoded=True),
                headers=_end_to_end(request.headers),
                data=body,
                allow_redirects=False,
                skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),
                timeout=aiohttp.ClientTimeout(total=_FORWARD_LIMIT_S),
            ) as upstream:
                answer = await upstream.read()
                return web.Response(
                    status=upstream.status, headers=_end_to_end(upstream.headers), body=answer
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _SIMULATOR_GONE from error


def _writes_records(call: Call) -> bool:
    return call.service in ("route53", "cloudformation") and call.method != "GET"


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _PER_HOP)


async def _never(request: web.Request, ended: asyncio.Event) -> web.StreamResponse:
    """Keep the caller waiting until the fault ends or the caller leaves; then drop the connection."""
    while request.transport is not None and not request.transport.is_closing() and not ended.is_set():
        try:
            async with asyncio.timeout(_GONE_CHECK_S):
                await ended.wait()
        except TimeoutError:
            continue
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


def _response(encoded: Encoded) -> web.Response:
    return web.Response(status=encoded.status, headers=encoded.headers, body=encoded.body)
