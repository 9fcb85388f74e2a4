"""API Gateway in front of one Region's functions: a regional REST API over HTTPS, with its refusals.

A request passes these gates in this order; only one that passes all of them costs an invocation.

| gate | refusal |
| --- | --- |
| TLS 1.2 or newer with the API's name as SNI | the handshake ends |
| request line and headers within 10,240 bytes | 413 |
| Host is the API's name; the stage exists | 403 ``Forbidden`` |
| path and method are defined | 403 ``Missing Authentication Token`` |
| the resource policy allows the caller's address | 403 ``User: anonymous is not authorized …`` |
| the method's token bucket | 429 ``Too Many Requests`` |
| body within 10 MB | 413 |

Then: function error, time-out or malformed answer 502; throttled function 500; no answer in 29 s 504. That
throttling comes after the policy, so that strangers cannot use up the bucket, is this module's reading; the
guide orders WAF, policy and authorizers only. The API also answers to ``localhost``, which AWS's does not.
"""

import asyncio
import contextlib
import json
import secrets
import socket
import ssl
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from beacon_lab.apigateway.proxy_event import (
    Answer,
    ApiStage,
    MalformedAnswerError,
    Request,
    proxy_event,
    read_answer,
)
from beacon_lab.apigateway.resource_policy import PolicyDecision, ResourcePolicy, method_arn
from beacon_lab.apigateway.routes import RouteMatch, find_route
from beacon_lab.awslambda.sandbox import InvocationResult, InvocationStatus
from beacon_lab.faults import FaultKind
from beacon_lab.network import tcp
from beacon_lab.network.address_plan import public_address
from beacon_lab.network.http_server import HTTP_LOG
from beacon_lab.network.pki import Authority
from beacon_lab.network.token_bucket import TokenBucket
from beacon_lab.stack.model import ApiResource, Route

__all__ = ["Gateway", "Invoker"]

HEADER_LIMIT = 10_240
BODY_LIMIT = 10 * 1024 * 1024
INTEGRATION_LIMIT_S = 29.0
LOCAL_NAME = "localhost"


class Invoker(Protocol):
    """A function that can be invoked and waited for."""

    async def invoke(self, event: object) -> InvocationResult: ...


class _RefusedError(Exception):
    """A request that ends at a gate: what the caller gets."""

    def __init__(self, status: int, error_type: str, body: Mapping[str, object]) -> None:
        super().__init__(f"{status} {error_type}")
        self.status = status
        self.error_type = error_type
        self.body = body


@dataclass(frozen=True, slots=True)
class _DeployedApi:
    """An API as deployed: everything that a request needs of it."""

    endpoint: ApiStage
    api_arn: str
    routes: tuple[Route, ...]
    policy: ResourcePolicy
    functions: Mapping[str, Invoker]
    buckets: Mapping[tuple[str, str], TokenBucket]


class _Connection(RequestHandler):
    """aiohttp's side of one connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it repeats the request, token included
    ) -> web.StreamResponse:
        """Answer a request that cannot be read or served, in words that are always the same."""
        return super().handle_error(request, status, exc, "Bad Request" if status < 500 else None)


class _Connections(web.Server):
    """aiohttp's connections, which can be closed for good, those still in their handshake too."""

    closed = False

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self.closed:
            transport.abort()

    async def close(self) -> None:
        self.closed = True
        self.pre_shutdown()
        await self.shutdown(timeout=0.5)


class Gateway:
    """Serves one REST API. ``functions`` is by logical id, as the API's routes name them."""

    def __init__(
        self,
        api: ApiResource,
        functions: Mapping[str, Invoker],
        *,
        region: str,
        account_id: str,
        authority: Authority,
        address: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
    ) -> None:
        """Port 0 takes a free one. ``speed`` raises the throttling rate with the callers' pace.

        Raises PolicyError when the API's policy cannot be evaluated.
        """
        self.region = region
        self.address = address
        self.port = port
        self._account_id = account_id
        self._authority = authority
        self._speed = speed
        self._deployment = self._deployed(api, functions)
        self._context: ssl.SSLContext | None = None
        self._listener: asyncio.Server | None = None
        self._server: _Connections | None = None
        self._reserved: socket.socket | None = None

    @property
    def host(self) -> str:
        """The API's execute-api name."""
        return self._deployment.endpoint.host

    @property
    def url(self) -> str:
        """The stage's address for clients on this machine that trust the lab's authority."""
        return f"https://{LOCAL_NAME}:{self.port}/{self._deployment.endpoint.stage}"

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        if self._context is None:
            self._context = await asyncio.to_thread(self._make_context)
        await self._listen()

    async def stop(self) -> None:
        """Close the port and every connection. Safe to call again."""
        await self._close()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    async def inject(self, kind: FaultKind) -> None:
        """GATEWAY_DOWN: open connections end and new ones are refused; the port stays the gateway's."""
        if kind is not FaultKind.GATEWAY_DOWN:
            raise ValueError(f"a gateway cannot carry out {kind}")
        if self._listener is not None:
            await self._close()
            # Bound but not listening: the kernel refuses connections, and no other process gets the port.
            self._reserved = self._bind()

    async def heal(self) -> None:
        """Listen again on the same port."""
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
            await self._listen()

    def _deployed(self, api: ApiResource, functions: Mapping[str, Invoker]) -> _DeployedApi:
        api_arn = f"arn:aws:execute-api:{self.region}:{self._account_id}:{api.id}"
        missing = sorted({route.function for route in api.routes} - set(functions))
        if missing:
            raise ValueError(
                f"routes of API {api.id} name functions that are not there: {', '.join(missing)}"
            )
        return _DeployedApi(
            endpoint=ApiStage(api.id, self._account_id, api.stage, api.host),
            api_arn=api_arn,
            routes=api.routes,
            policy=ResourcePolicy.read(api.resource_policy, api_arn=api_arn),
            functions=dict(functions),
            buckets={
                (route.method, route.path): TokenBucket(
                    rate_per_s=api.throttle_rate_per_s * self._speed, burst=api.throttle_burst
                )
                for route in api.routes
            },
        )

    def _make_context(self) -> ssl.SSLContext:
        names = (self.host, LOCAL_NAME)
        certificate = self._authority.issue(f"gateway-{self.region}", dns=names)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate.cert_file, certificate.key_file)

        def check_name(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
            known = name is not None and name.lower() in names
            return None if known else int(ssl.AlertDescription.ALERT_DESCRIPTION_HANDSHAKE_FAILURE)

        context.sni_callback = check_name
        return context

    def _bind(self) -> socket.socket:
        found = tcp.reserve(self.address, self.port)
        found.setblocking(False)
        return found

    async def _listen(self) -> None:
        bound = self._bind()
        self.port = int(bound.getsockname()[1])
        # Larger than the limit checked in `_serve`, so that an oversized header is refused there.
        self._server = _Connections(
            self._serve, max_line_size=65_536, max_field_size=65_536, logger=HTTP_LOG, access_log=None
        )
        self._listener = await asyncio.get_running_loop().create_server(
            self._server, sock=bound, ssl=self._context, backlog=1024, ssl_shutdown_timeout=1.0
        )

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        server, self._server = self._server, None
        if listener is not None:
            listener.close()
        if server is not None:
            await server.close()
        if listener is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(listener.wait_closed(), 2.0)

    async def _serve(self, http: web.BaseRequest) -> web.StreamResponse:
        request_id, gateway_id = str(uuid.uuid4()), secrets.token_urlsafe(11)[:15] + "="
        try:
            answer = await self._pass_gates(http, request_id, gateway_id)
        except _RefusedError as refusal:
            answer = Answer(
                refusal.status,
                (("Content-Type", "application/json"), ("x-amzn-ErrorType", refusal.error_type)),
                json.dumps(refusal.body).encode(),
            )
        response = web.Response(status=answer.status, body=answer.body)
        response.headers.popall("Content-Type", None)
        for name, value in answer.headers:
            response.headers.add(name, value)
        response.headers["x-amzn-RequestId"] = request_id
        response.headers["x-amz-apigw-id"] = gateway_id
        return response

    async def _pass_gates(self, http: web.BaseRequest, request_id: str, gateway_id: str) -> Answer:
        deployment = self._deployment
        path, _, query = http.raw_path.partition("?")
        size = len(http.method) + len(http.raw_path) + sum(len(a) + len(b) for a, b in http.raw_headers)
        if size > HEADER_LIMIT:
            raise _refusal(
                413, "RequestTooLargeException", f"HTTP header is larger than {HEADER_LIMIT} bytes."
            )
        found = self._route(deployment, http, path)
        # The peer of the connection, never what a header claims; None for one that has gone.
        if http.remote is None:
            raise _refusal(400, "BadRequestException", "Bad Request")
        source = public_address(http.remote)
        self._authorize(deployment, http.method, found, source)
        if not deployment.buckets[found.route.method, found.route.path].take(time.monotonic()):
            raise _refusal(429, "TooManyRequestsException", "Too Many Requests")
        request = Request(
            method=http.method,
            path=path,
            query=query,
            headers=tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in http.raw_headers
            ),
            body=await _body(http),
            source=source,
            protocol=f"HTTP/{http.version.major}.{http.version.minor}",
            received_at=datetime.now(UTC),
            request_id=request_id,
            gateway_id=gateway_id,
            trace_id=f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}",
        )
        event = proxy_event(request, endpoint=deployment.endpoint, match=found.match)
        return await _integrate(deployment.functions[found.route.function], event)

    @staticmethod
    def _route(deployment: _DeployedApi, http: web.BaseRequest, path: str) -> RouteMatch:
        endpoint = deployment.endpoint
        name = (http.host or "").rpartition(":")[0] or http.host or ""
        prefix = f"/{endpoint.stage}"
        if name.lower() not in (endpoint.host, LOCAL_NAME) or not f"{path}/".startswith(f"{prefix}/"):
            raise _refusal(403, "ForbiddenException", "Forbidden")
        found = find_route(deployment.routes, method=http.method, path=path.removeprefix(prefix))
        if found is None:
            raise _refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        return found

    @staticmethod
    def _authorize(deployment: _DeployedApi, method: str, found: RouteMatch, source: str) -> None:
        stage, path = deployment.endpoint.stage, found.match.path
        arn = method_arn(deployment.api_arn, stage=stage, method=method, path=path)
        verdict = deployment.policy.evaluate(source=source, arn=arn)
        if verdict is PolicyDecision.ALLOWED:
            return
        account = deployment.endpoint.account_id
        shown = arn.replace(account, "*" * 8 + account[-4:])
        text = f"User: anonymous is not authorized to perform: execute-api:Invoke on resource: {shown}"
        if verdict is PolicyDecision.EXPLICITLY_DENIED:
            text += " with an explicit deny"
        # This one message begins with a capital M.
        raise _RefusedError(403, "AccessDeniedException", {"Message": text})


async def _body(http: web.BaseRequest) -> bytes:
    received = bytearray()
    async for chunk in http.content.iter_any():
        received += chunk
        if len(received) > BODY_LIMIT:
            raise _refusal(413, "RequestTooLargeException", "Request Too Long")
    return bytes(received)


async def _integrate(function: Invoker, event: Mapping[str, object]) -> Answer:
    try:
        async with asyncio.timeout(INTEGRATION_LIMIT_S):
            result = await function.invoke(event)
    except TimeoutError:
        raise _refusal(504, "InternalServerErrorException", "Endpoint request timed out") from None
    if result.status is InvocationStatus.THROTTLED:
        raise _refusal(500, "InternalServerErrorException", "Internal server error")
    if result.status is not InvocationStatus.OK:
        raise _refusal(502, "InternalServerErrorException", "Internal server error")
    try:
        return read_answer(result.payload)
    except MalformedAnswerError:
        raise _refusal(502, "InternalServerErrorException", "Internal server error") from None


def _refusal(status: int, error_type: str, text: str) -> _RefusedError:
    return _RefusedError(status, error_type, {"message": text})
