"""The gateway lets checkers and operators through to a real function, and stops all others before it."""

import asyncio
import json
import logging
import shutil
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from beacon_lab.apigateway.gateway import Gateway
from beacon_lab.awslambda.function_spec import FunctionSpec, Runtime
from beacon_lab.awslambda.functions import Function
from beacon_lab.faults import FaultKind
from beacon_lab.network.address_plan import checker_source
from beacon_lab.network.pki import Authority
from beacon_lab.processes.children import Processes
from beacon_lab.stack.model import ApiResource, Route

pytestmark = pytest.mark.lab

HOST = "abc123.execute-api.us-east-1.amazonaws.com"
CHECKER = checker_source("us-east-1", 3)
STRANGER = "127.66.0.1"
USER_AGENT = "Amazon-Route53-Health-Check-Service (ref 5f1e; report http://amzn.to/1vsZADi)"

HANDLER = """
import json, os, time

def handler(event, context):
    do = (event["queryStringParameters"] or {}).get("do", "echo")
    if do == "raise":
        raise ValueError("broken")
    if do == "garbage":
        return {"status": 200}
    if do == "sleep":
        time.sleep(30)
    if event["httpMethod"] == "PUT":
        return {"statusCode": 405, "headers": {"Allow": "GET, HEAD"}, "body": None}
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/health+json", "Cache-Control": "no-store"},
        "body": json.dumps(event),
    }
"""

API = ApiResource(
    id="abc123",
    stage="live",
    host=HOST,
    routes=(
        Route("GET", "/{token}/health", "Health"),
        Route("HEAD", "/{token}/health", "Health"),
        Route("PUT", "/{token}/health", "Health"),
    ),
    resource_policy={
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "execute-api:Invoke",
                "Resource": ["execute-api:/live/*/secret/health"],
                "Condition": {
                    "IpAddress": {"aws:SourceIp": ["107.23.255.0/26", "54.243.31.192/26", "198.51.100.0/24"]}
                },
            }
        ],
    },
    throttle_rate_per_s=50.0,
    throttle_burst=100,
)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 (an arbitrary document)
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Front:
    """A started gateway, the function behind it, and what clients need."""

    gateway: Gateway
    function: Function
    authority: Authority

    async def ask(
        self,
        path: str = "/live/secret/health",
        *,
        source: str = "127.0.0.1",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        sni: str | None = HOST,
        body: bytes = b"",
    ) -> Response:
        """One request on a connection of its own, as checkers make it."""
        context = ssl.create_default_context(cafile=str(self.authority.ca_file))
        context.check_hostname = sni is not None
        reader, writer = await asyncio.open_connection(
            self.gateway.address,
            self.gateway.port,
            ssl=context,
            server_hostname=sni or "",
            local_addr=(source, 0),
        )
        try:
            lines = {"Host": HOST, "User-Agent": USER_AGENT, "Connection": "close", **(headers or {})}
            if body:
                lines["Content-Length"] = str(len(body))
            head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
            writer.write(head.encode("latin-1") + b"\r\n" + body)
            await writer.drain()
            answer = await asyncio.wait_for(reader.read(), 40)
        finally:
            writer.close()
            await writer.wait_closed()
        top, _, rest = answer.partition(b"\r\n\r\n")
        status, *fields = top.decode("latin-1").split("\r\n")
        pairs = (field.split(": ", 1) for field in fields)
        return Response(int(status.split()[1]), {k.lower(): v for k, v in pairs}, rest)


@asynccontextmanager
async def serving(
    directory: Path, *, api: ApiResource = API, reserved: int | None = None
) -> AsyncIterator[Front]:
    """A gateway over one real function with a timeout of 5 s: a cold start can take 2 s."""
    code = directory / "code"
    code.mkdir()
    (code / "work.py").write_text(HANDLER)
    spec = FunctionSpec(
        name="app-test-health",
        region="us-east-1",
        handler="work.handler",
        code_dir=code,
        layer_dirs=(),
        environment={},
        timeout_s=5,
        memory_mb=256,
        reserved_concurrency=reserved,
        async_max_age_s=60,
        async_max_retries=0,
    )
    authority = Authority.create(directory / "pki")
    async with Processes() as processes:
        runtime = Runtime(bytecode_dir=directory / "bytecode")
        function = Function(spec, processes=processes, directory=directory / "logs", runtime=runtime)
        gateway = Gateway(
            api, {"Health": function}, region="us-east-1", account_id="123456789012", authority=authority
        )
        await function.start()
        await gateway.start()
        try:
            yield Front(gateway, function, authority)
        finally:
            await gateway.stop()
            await function.stop()


def test_a_checker_reaches_the_function(tmp_path: Path) -> None:
    """Its request becomes a proxy event with its public address, and the function's answer comes back."""

    async def scenario() -> None:
        async with serving(tmp_path) as front:
            answer = await front.ask("/live/secret/health?a=1", source=CHECKER)
            assert answer.status == 200
            assert answer.headers["content-type"] == "application/health+json"
            assert answer.headers["cache-control"] == "no-store"
            event = answer.json
            context = event["requestContext"]
            assert context["identity"]["sourceIp"].startswith(("107.23.255.", "54.243.31."))
            assert context["identity"]["userAgent"] == USER_AGENT
            assert context["requestId"] == answer.headers["x-amzn-requestid"]
            assert context["extendedRequestId"] == answer.headers["x-amz-apigw-id"]
            assert event["headers"]["Host"] == HOST
            assert event["queryStringParameters"] == {"a": "1"}
            assert event["pathParameters"] == {"token": "secret"}
            head = await front.ask(source=CHECKER, method="HEAD")
            assert (head.status, head.body) == (200, b"")
            assert int(head.headers["content-length"]) > 0

    asyncio.run(scenario())


def test_a_stranger_costs_no_invocation(tmp_path: Path) -> None:
    """Forged X-Forwarded-For and checker User-Agent do not help; neither does a wrong path or method."""

    async def scenario() -> None:
        async with serving(tmp_path) as front:
            forged = {
                "X-Forwarded-For": "107.23.255.5",
                "X-Real-IP": "107.23.255.5",
                "Forwarded": "for=107.23.255.5",
            }
            refused = await front.ask(source=STRANGER, headers=forged)
            assert refused.status == 403
            assert refused.headers["x-amzn-errortype"] == "AccessDeniedException"
            assert refused.json == {
                "Message": "User: anonymous is not authorized to perform: execute-api:Invoke on resource: "
                "arn:aws:execute-api:us-east-1:********9012:abc123/live/GET/secret/health"
            }
            guessed = await front.ask("/live/guess/health", source=CHECKER)
            assert (guessed.status, "not authorized" in guessed.json["Message"]) == (403, True)
            for path, method in (
                ("/live/secret", "GET"),
                ("/live/secret/health/", "GET"),
                ("/live/secret/../secret/health", "GET"),
                ("/live/secret/health", "POST"),
                ("/live/secret/health", "OPTIONS"),
                ("/live", "GET"),
            ):
                undefined = await front.ask(path, source=CHECKER, method=method)
                assert undefined.status == 403
                assert undefined.json == {"message": "Missing Authentication Token"}
            for path, headers in (
                ("/test/secret/health", {}),
                ("/", {}),
                ("/live/secret/health", {"Host": "169.254.169.254"}),
            ):
                forbidden = await front.ask(path, source=CHECKER, headers=headers)
                assert (forbidden.status, forbidden.json) == (403, {"message": "Forbidden"})
            assert front.function.counters.invocations == 0
            assert (await front.ask(source=CHECKER)).status == 200
            assert front.function.counters.invocations == 1

    asyncio.run(scenario())


def test_a_method_that_the_function_refuses_is_405(tmp_path: Path) -> None:
    """A defined method reaches the function, whose status and headers come back."""

    async def scenario() -> None:
        async with serving(tmp_path) as front:
            answer = await front.ask(method="PUT", body=b"anything")
            assert (answer.status, answer.headers["allow"], answer.body) == (405, "GET, HEAD", b"")

    asyncio.run(scenario())


def test_requests_that_are_too_large_cost_no_invocation(tmp_path: Path) -> None:
    """Request line and headers may hold 10,240 bytes together."""

    async def scenario() -> None:
        async with serving(tmp_path) as front:
            for path, headers in (
                ("/live/secret/health", {"X-Large": "x" * 10_240}),
                ("/live/secret/health", {f"X-{number}": "x" * 1000 for number in range(11)}),
                ("/live/secret/health?" + "q" * 10_240, {}),
            ):
                assert (await front.ask(path, headers=headers)).status == 413
            assert front.function.counters.invocations == 0
            assert (await front.ask(headers={"X-Large": "x" * 9_800})).status == 200

    asyncio.run(scenario())


def test_failures_of_the_function_are_those_of_aws(tmp_path: Path) -> None:
    """Error, malformed answer and time-out are 502, a function at its limit is 500."""

    async def scenario() -> None:
        async with serving(tmp_path, reserved=1) as front:
            for do in ("raise", "garbage", "sleep"):
                answer = await front.ask(f"/live/secret/health?do={do}")
                assert (answer.status, answer.json) == (502, {"message": "Internal server error"})
            slow = asyncio.ensure_future(front.ask("/live/secret/health?do=sleep"))
            await asyncio.sleep(0.3)
            throttled = await front.ask()
            assert (throttled.status, throttled.json) == (500, {"message": "Internal server error"})
            assert front.function.counters.throttles == 1
            assert (await slow).status == 502
            assert (await front.ask()).status == 200

    asyncio.run(scenario())


def test_the_stage_throttles_each_method(tmp_path: Path) -> None:
    """Beyond the burst a request is 429 without invocation; another method has a bucket of its own, and a
    stranger takes nothing from it."""

    async def scenario() -> None:
        api = replace(API, throttle_rate_per_s=0.001, throttle_burst=2)
        async with serving(tmp_path, api=api) as front:
            for _ in range(5):
                assert (await front.ask(source=STRANGER)).status == 403
            assert [(await front.ask()).status for _ in range(3)] == [200, 200, 429]
            assert (await front.ask()).json == {"message": "Too Many Requests"}
            assert front.function.counters.invocations == 2
            assert (await front.ask(method="HEAD")).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("name", [None, "elsewhere.example"])
def test_a_handshake_without_the_apis_name_fails(tmp_path: Path, name: str | None) -> None:
    """No SNI, or another name's, ends in the handshake."""

    async def scenario() -> None:
        async with serving(tmp_path) as front:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await front.ask(sni=name)
            assert front.function.counters.invocations == 0
            assert (await front.ask(sni="localhost")).status == 200

    asyncio.run(scenario())


def test_tls_below_1_2_is_refused(tmp_path: Path) -> None:
    """An old client cannot agree on a protocol."""

    async def scenario() -> None:
        async with serving(tmp_path) as front:
            context = ssl.create_default_context(cafile=str(front.authority.ca_file))
            # The old protocol's constant is deprecated, which is the point.
            with warnings.catch_warnings(action="ignore"):
                context.minimum_version = ssl.TLSVersion.TLSv1_1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(
                    front.gateway.address, front.gateway.port, ssl=context, server_hostname=HOST
                )

    asyncio.run(scenario())


def test_a_gateway_that_is_down_refuses_connections_until_it_is_healed(tmp_path: Path) -> None:
    """Open connections end, new ones are refused at the same port, and it comes back there."""

    async def scenario() -> None:
        async with serving(tmp_path) as front:
            port = front.gateway.port
            context = ssl.create_default_context(cafile=str(front.authority.ca_file))
            reader, writer = await asyncio.open_connection(
                front.gateway.address, port, ssl=context, server_hostname=HOST
            )
            await front.gateway.inject(FaultKind.GATEWAY_DOWN)
            await front.gateway.inject(FaultKind.GATEWAY_DOWN)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await front.ask()
            with pytest.raises(OSError, match="in use"), socket.socket() as thief:
                thief.bind((front.gateway.address, port))
            await front.gateway.heal()
            await front.gateway.heal()
            assert front.gateway.port == port
            assert (await front.ask()).status == 200
            with pytest.raises(ValueError, match="dsql-freeze"):
                await front.gateway.inject(FaultKind.DSQL_FREEZE)

    asyncio.run(scenario())


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_works_with_the_labs_authority(tmp_path: Path) -> None:
    """`curl --cacert` verifies the certificate for localhost, and for the API's name with --connect-to."""

    async def curl(*arguments: str) -> tuple[int, bytes]:
        process = await asyncio.create_subprocess_exec(
            "curl", "--silent", "--fail", "--noproxy", "*", *arguments, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        return process.returncode or 0, output

    async def scenario() -> None:
        async with serving(tmp_path) as front:
            trust = ("--cacert", str(front.authority.ca_file))
            status, output = await curl(*trust, f"{front.gateway.url}/secret/health")
            assert status == 0
            assert json.loads(output)["requestContext"]["identity"]["sourceIp"] == "198.51.100.10"
            here = f"{HOST}:443:{front.gateway.address}:{front.gateway.port}"
            status, output = await curl(*trust, "--connect-to", here, f"https://{HOST}/live/secret/health")
            assert (status, json.loads(output)["httpMethod"]) == (0, "GET")
            untrusted, _ = await curl(f"{front.gateway.url}/secret/health")
            assert untrusted == 60

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "head",
    [
        b"GET /live/CANARY/health HTTP/9.9.9",
        b"G(T /live/CANARY/health HTTP/1.1",
        b"GET /live/CANARY/health and more HTTP/1.1",
        b"GET /live/CANARY/health HTTP/1.1\r\nHost: a\r\nContent-Length: CANARY",
        b"GET /live/CANARY/health HTTP/1.1\r\nBad Header CANARY",
        b"\x16\x03 /live/CANARY/health",
        b"GET http://[CANARY/live/CANARY/health HTTP/1.1",
    ],
)
def test_no_word_of_a_malformed_request_is_repeated(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, head: bytes
) -> None:
    """It is answered with 400 or 403; its path, which holds the token, is in no log and in no answer."""

    async def scenario() -> bytes:
        async with serving(tmp_path) as front:
            context = ssl.create_default_context(cafile=str(front.authority.ca_file))
            reader, writer = await asyncio.open_connection(
                front.gateway.address, front.gateway.port, ssl=context, server_hostname=HOST
            )
            writer.write(head + b"\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 20)
            writer.close()
            await writer.wait_closed()
            return answer

    with caplog.at_level(logging.DEBUG):
        answer = asyncio.run(scenario())
    assert answer[:13] in {b"HTTP/1.1 400 ", b"HTTP/1.0 400 ", b"HTTP/1.1 403 "}
    written = capfd.readouterr()
    for place in (answer.decode("latin-1"), caplog.text, written.out, written.err):
        assert "CANARY" not in place


def test_an_error_of_the_gateway_is_logged_without_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line with the class and the place; the exception's text may hold the path."""

    def broken(*_: object, **named: object) -> None:
        raise ValueError(f"no route for {named}")

    monkeypatch.setattr("beacon_lab.apigateway.gateway.find_route", broken)

    async def scenario() -> Response:
        async with serving(tmp_path) as front:
            return await front.ask("/live/CANARY/health")

    answer = asyncio.run(scenario())
    assert answer.status == 500
    assert b"CANARY" not in answer.body
    (message,) = [record.getMessage() for record in caplog.records]
    assert "an answer failed: ValueError at " in message
    assert "CANARY" not in caplog.text
