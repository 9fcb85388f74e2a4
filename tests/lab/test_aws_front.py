"""The one AWS endpoint, used as its users do: by boto3 and by the AWS CLI, before a running simulator."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import boto3
import dns.message
import dns.query
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from beacon_lab.aws.front import AwsFront, Down
from beacon_lab.aws.lambda_api import Invoked, ThrottledError, UnknownFunctionError
from beacon_lab.aws.moto_process import MOTO_URL, MotoProcess
from beacon_lab.errors import LabError
from beacon_lab.processes.children import Processes
from beacon_lab.route53.checkers import CheckerFleet
from beacon_lab.route53.control_plane import ControlPlane
from beacon_lab.route53.dns_server import DnsServer
from beacon_lab.route53.poll import Dial

pytestmark = pytest.mark.lab

T = TypeVar("T")
EAST, WEST = "us-east-1", "us-east-2"
SECRET = "canary-secret-0123456789"
FQDN = "abc123.execute-api.us-east-1.amazonaws.com"
WANTED = "beacon:shop-prod:us-east-1:serving"
SCOPE = f"AWS4-HMAC-SHA256 Credential=A/20260101/{EAST}/ssm/aws4_request, Signature=0"
THREE_PLACES = ["us-east-1", "us-west-2", "eu-west-1"]


@dataclass(slots=True)
class Functions:
    """Functions of two Regions that answer with what they were given."""

    queued: list[tuple[str, str, bytes]] = field(default_factory=list)

    async def invoke(self, region: str, function: str, payload: bytes) -> Invoked:
        match function:
            case "echo":
                return Invoked(json.dumps({"region": region, "event": json.loads(payload)}).encode())
            case "broken":
                return Invoked(b'{"errorType": "ValueError"}', function_error=True)
            case "busy":
                raise ThrottledError
        raise UnknownFunctionError(function)

    async def enqueue(self, region: str, function: str, payload: bytes) -> None:
        if function != "echo":
            raise UnknownFunctionError(function)
        self.queued.append((region, function, payload))


@dataclass(slots=True)
class Cloud:
    """A simulator, its front and Route 53's data plane, on an event loop in a thread."""

    loop: asyncio.AbstractEventLoop
    front: AwsFront
    functions: Functions
    fleet: CheckerFleet
    dns: DnsServer
    control_plane: ControlPlane
    answer: list[bytes]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def do(self, act: Callable[[], object]) -> None:
        async def work() -> None:
            act()

        self.run(work())

    def client(self, service: Any, region: str = EAST, **config: Any) -> Any:  # noqa: ANN401  # boto3's own types
        settings = {"retries": {"total_max_attempts": 1}, "read_timeout": 20, **config}
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.front.endpoint_url,
            aws_access_key_id="AKIDTEST",
            aws_secret_access_key=SECRET,
            config=Config(**settings),
        )

    def cli(self, *words: str, region: str = EAST) -> Any:  # noqa: ANN401  # JSON
        """What the AWS CLI prints, parsed; fails with its error text."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_ENDPOINT_URL": self.front.endpoint_url,
            "AWS_ACCESS_KEY_ID": "AKIDTEST",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": region,
            "AWS_PAGER": "",
        }
        aws = Path(sys.executable).with_name("aws")
        done = subprocess.run(
            [aws, "--output", "json", *words], env=environment, capture_output=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise AssertionError(done.stderr.decode())
        return json.loads(done.stdout or b"null")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    ready: list[Cloud] = []
    stopping = asyncio.run_coroutine_threadsafe(_live(tmp_path_factory.mktemp("aws"), ready), loop)
    try:
        deadline = time.monotonic() + 60
        while not ready and not stopping.done():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if stopping.done():
            stopping.result()
        yield ready[0]
        loop.call_soon_threadsafe(_stop.set)
        stopping.result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


_stop = asyncio.Event()


async def _live(directory: Path, ready: list[Cloud]) -> None:
    answer = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(WANTED), WANTED.encode())]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer[0])
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with contextlib.AsyncExitStack() as stack:
        endpoint = await asyncio.start_server(serve, "127.0.0.1", 0)
        stack.push_async_callback(endpoint.wait_closed)
        stack.callback(endpoint.close)
        processes = await stack.enter_async_context(Processes())
        moto = MotoProcess(directory)
        await moto.start(processes)
        session = await stack.enter_async_context(moto.session())
        functions = Functions()
        control_plane = ControlPlane(session, MOTO_URL)
        port = endpoint.sockets[0].getsockname()[1]
        fleet = CheckerFleet(
            {(FQDN, 80): Dial("127.0.0.1", port, EAST)}, on_defect=lambda *_: None, speed=100
        )
        front = AwsFront(session, MOTO_URL, functions=functions, health=fleet, on_write=control_plane.kick)
        await front.start()
        stack.push_async_callback(front.stop)
        await control_plane.start()
        stack.push_async_callback(control_plane.stop)
        control_plane.subscribe(lambda view: fleet.apply(view.checks))
        stack.push_async_callback(fleet.stop)
        dns = DnsServer(zones=lambda: control_plane.view.zones, healthy=fleet.healthy, default_region=EAST)
        await dns.start()
        stack.push_async_callback(dns.stop)
        ready.append(Cloud(asyncio.get_running_loop(), front, functions, fleet, dns, control_plane, answer))
        await _stop.wait()


def eventually(true: Callable[[], object], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def health_check(cloud: Cloud) -> Iterator[str]:
    """A health check of the endpoint, created through the API and deleted after the test."""
    route53 = cloud.client("route53")
    created = route53.create_health_check(
        CallerReference=str(time.monotonic()),
        HealthCheckConfig={
            "Type": "HTTP_STR_MATCH",
            "FullyQualifiedDomainName": FQDN,
            "Port": 80,
            "ResourcePath": "/live/x/health",
            "SearchString": WANTED,
            "RequestInterval": 10,
            "FailureThreshold": 2,
            "Regions": THREE_PLACES,
        },
    )
    check_id: str = created["HealthCheck"]["Id"]
    yield check_id
    route53.delete_health_check(HealthCheckId=check_id)
    route53.close()


def test_calls_reach_the_simulator_and_keep_their_region(cloud: Cloud) -> None:
    """A parameter put in one Region is read there, by boto3 and by the CLI, and nowhere else."""
    cloud.client("ssm").put_parameter(Name="/shop/prod/dsql/endpoint", Value="a.test", Type="String")
    read = cloud.cli("ssm", "get-parameter", "--name", "/shop/prod/dsql/endpoint")
    assert read["Parameter"]["Value"] == "a.test"
    with pytest.raises(ClientError, match="ParameterNotFound"):
        cloud.client("ssm", WEST).get_parameter(Name="/shop/prod/dsql/endpoint")
    assert cloud.client("sts").get_caller_identity()["Account"]
    cloud.client("cloudwatch").put_metric_data(
        Namespace="Beacon", MetricData=[{"MetricName": "m", "Value": 1.0}]
    )


def test_a_standard_parameter_holds_4096_bytes(cloud: Cloud) -> None:
    """One byte more is a ValidationException; bytes count, not characters."""
    ssm = cloud.client("ssm", "us-west-2", retries={"total_max_attempts": 5})
    ssm.put_parameter(Name="/full", Value="x" * 4096, Type="String")
    for value in ("x" * 4097, "é" * 2049):
        with pytest.raises(ClientError, match="ValidationException"):
            ssm.put_parameter(Name="/over", Value=value, Type="String")
    ssm.put_parameter(Name="/advanced", Value="x" * 4097, Type="String", Tier="Advanced")


def test_put_parameter_is_throttled_per_region(cloud: Cloud) -> None:
    """The fourth put of a second is refused in that Region; another Region's is not, nor is reading."""
    here, there = cloud.client("ssm", "eu-west-1"), cloud.client("ssm", "eu-west-2")

    def put(number: int) -> bool:
        try:
            here.put_parameter(Name="/t", Value=str(number), Type="String", Overwrite=True)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ThrottlingException":
                raise
            return False
        return True

    started = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        accepted = sum(pool.map(put, range(12)))
    assert 3 <= accepted <= 3 + 3 * (time.monotonic() - started)
    assert accepted < 12
    there.put_parameter(Name="/t", Value="x", Type="String")
    assert here.get_parameter(Name="/t")["Parameter"]["Version"] == accepted


def test_invoke_answers_queues_and_fails_as_lambda_does(cloud: Cloud) -> None:
    """RequestResponse, Event, DryRun, a function's error, throttling, an unknown name; names and ARNs."""
    east, west = cloud.client("lambda"), cloud.client("lambda", WEST)
    answer = west.invoke(FunctionName="echo", Payload=b'{"a": 1}')
    assert json.loads(answer["Payload"].read()) == {"region": WEST, "event": {"a": 1}}
    assert (answer["StatusCode"], "FunctionError" in answer) == (200, False)
    for name in (
        "arn:aws:lambda:us-east-1:123456789012:function:echo",
        "123456789012:function:echo:$LATEST",
        "echo:live",
    ):
        assert json.loads(east.invoke(FunctionName=name)["Payload"].read()) == {"region": EAST, "event": None}
    assert east.invoke(FunctionName="echo", InvocationType="Event", Payload=b"[7]")["StatusCode"] == 202
    assert cloud.functions.queued == [(EAST, "echo", b"[7]")]
    assert east.invoke(FunctionName="echo", InvocationType="DryRun")["StatusCode"] == 204
    failed = east.invoke(FunctionName="broken")
    assert (failed["FunctionError"], json.loads(failed["Payload"].read())) == (
        "Unhandled",
        {"errorType": "ValueError"},
    )
    for arguments, code in (
        ({"FunctionName": "busy"}, "TooManyRequestsException"),
        ({"FunctionName": "gone"}, "ResourceNotFoundException"),
        ({"FunctionName": "gone", "InvocationType": "Event"}, "ResourceNotFoundException"),
        ({"FunctionName": "echo", "Payload": b"{"}, "InvalidRequestContentException"),
    ):
        with pytest.raises(ClientError) as caught:
            east.invoke(**arguments)
        assert caught.value.response["Error"]["Code"] == code


def test_the_cli_invokes(cloud: Cloud, tmp_path: Path) -> None:
    """`aws lambda invoke` writes the payload to its file."""
    out = tmp_path / "out.json"
    printed = cloud.cli("lambda", "invoke", "--function-name", "echo", "--payload", '{"b": 2}', str(out))
    assert printed["StatusCode"] == 200
    assert json.loads(out.read_text()) == {"region": EAST, "event": {"b": 2}}


def test_health_check_status_is_live(cloud: Cloud, health_check: str) -> None:
    """The CLI reads each checker's report, then the failure that the endpoint begins to answer with."""
    eventually(lambda: len(cloud.fleet.observations(health_check)) == 6)
    seen = cloud.cli("route53", "get-health-check-status", "--health-check-id", health_check)[
        "HealthCheckObservations"
    ]
    assert {report["Region"] for report in seen} == set(THREE_PLACES)
    assert {report["StatusReport"]["Status"] for report in seen} == {
        "Success: HTTP Status Code 200, OK. Resolved IP: 127.0.0.1"
    }
    assert all(report["StatusReport"]["CheckedTime"].startswith("20") for report in seen)
    good = cloud.answer[0]
    cloud.answer[0] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    eventually(lambda: not cloud.fleet.healthy(health_check))
    cloud.answer[0] = good
    eventually(lambda: cloud.fleet.healthy(health_check))
    reasons = cloud.cli("route53", "get-health-check-last-failure-reason", "--health-check-id", health_check)
    assert {report["StatusReport"]["Status"] for report in reasons["HealthCheckObservations"]} == {
        "Failure: HTTP Status Code 503, Service Unavailable. Resolved IP: 127.0.0.1"
    }


def test_the_status_of_an_unknown_check_is_no_such_health_check(cloud: Cloud) -> None:
    """Both calls raise the modelled exception."""
    route53 = cloud.client("route53")
    for call in (route53.get_health_check_status, route53.get_health_check_last_failure_reason):
        with pytest.raises(route53.exceptions.NoSuchHealthCheck):
            call(HealthCheckId="00000000-0000-0000-0000-000000000000")


def test_updates_of_a_health_check_take_effect(cloud: Cloud, health_check: str) -> None:
    """Inverted and disabled by the CLI; the Regions stay, although the update did not name them."""
    eventually(lambda: len(cloud.fleet.observations(health_check)) == 6)
    update = ("route53", "update-health-check", "--health-check-id", health_check)
    cloud.cli(*update, "--inverted")
    eventually(lambda: not cloud.fleet.healthy(health_check), within_s=5)
    cloud.cli(*update, "--no-inverted", "--disabled")
    eventually(
        lambda: cloud.fleet.healthy(health_check) and not cloud.fleet.observations(health_check), within_s=5
    )
    cloud.cli(*update, "--no-disabled")
    eventually(lambda: len(cloud.fleet.observations(health_check)) == 6)
    assert {report.region for report in cloud.fleet.observations(health_check)} == set(THREE_PLACES)


def test_records_created_by_the_cli_answer_in_dns(cloud: Cloud, health_check: str) -> None:
    """Failover records with TTL and health check: the answer moves with the endpoint's health."""
    zone = cloud.cli("route53", "create-hosted-zone", "--name", "cli.test", "--caller-reference", "1")[
        "HostedZone"
    ]["Id"]
    changes = [
        {
            "Action": "UPSERT",
            "ResourceRecordSet": {
                "Name": "app.cli.test",
                "Type": "CNAME",
                "TTL": 20,
                "SetIdentifier": role,
                "Failover": role,
                "ResourceRecords": [{"Value": f"{role.lower()}.on.aws"}],
                **({"HealthCheckId": health_check} if role == "PRIMARY" else {}),
            },
        }
        for role in ("PRIMARY", "SECONDARY")
    ]
    batch = json.dumps({"Changes": changes})
    cloud.cli("route53", "change-resource-record-sets", "--hosted-zone-id", zone, "--change-batch", batch)

    def answer() -> str:
        query = dns.message.make_query("app.cli.test", "CNAME")
        response = dns.query.udp(query, "127.0.0.1", port=cloud.dns.port, timeout=5)
        return response.answer[0].to_text() if response.answer else ""

    eventually(lambda: answer() == "app.cli.test. 20 IN CNAME primary.on.aws.")
    good = cloud.answer[0]
    cloud.answer[0] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"
    eventually(lambda: answer() == "app.cli.test. 20 IN CNAME secondary.on.aws.")
    cloud.answer[0] = good
    eventually(lambda: answer() == "app.cli.test. 20 IN CNAME primary.on.aws.")
    soa = dns.query.udp(
        dns.message.make_query("cli.test", "SOA"), "127.0.0.1", port=cloud.dns.port, timeout=5
    )
    assert len(soa.answer) == 1


@pytest.mark.parametrize("service", ["ssm", "sts", "route53"])
def test_a_service_that_is_down_fails_at_once(cloud: Cloud, service: str) -> None:
    """HTTP 503 in the service's own encoding, until it is up again."""
    calls: dict[str, Callable[[], Any]] = {
        "ssm": cloud.client("ssm").describe_parameters,
        "sts": cloud.client("sts").get_caller_identity,
        "route53": cloud.client("route53").list_health_checks,
    }
    cloud.do(lambda: cloud.front.set_down(service, None, Down.FAIL))
    try:
        with pytest.raises(ClientError) as caught:
            calls[service]()
        assert caught.value.response["Error"]["Code"] == "InternalServerError"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        for other in calls.keys() - {service}:
            calls[other]()
    finally:
        cloud.do(lambda: cloud.front.set_up(service, None))
    calls[service]()


def test_one_region_down_leaves_the_others(cloud: Cloud) -> None:
    """Every service of a Region fails, CBOR and XML alike; the other Region answers."""
    cloud.do(lambda: cloud.front.set_down(None, WEST, Down.FAIL))
    try:
        for service, call in (
            ("ssm", "describe_parameters"),
            ("cloudwatch", "list_metrics"),
            ("lambda", "list_functions"),
        ):
            with pytest.raises(ClientError) as caught:
                getattr(cloud.client(service, WEST), call)()
            assert caught.value.response["Error"]["Code"] == "InternalServerError"
            getattr(cloud.client(service), call)()
    finally:
        cloud.do(lambda: cloud.front.set_up(None, WEST))


def test_the_route_53_api_down_changes_no_answer(cloud: Cloud, health_check: str) -> None:
    """The data plane continues with what it knows."""
    eventually(lambda: len(cloud.fleet.observations(health_check)) == 6)
    cloud.do(lambda: cloud.front.set_down("route53", None, Down.SILENT))
    try:
        view = cloud.run(cloud.control_plane.refresh())
        assert health_check in view.checks
    finally:
        cloud.do(lambda: cloud.front.set_up("route53", None))


def test_a_silent_service_never_answers_and_drops_the_call_when_it_is_up_again(cloud: Cloud) -> None:
    """The client's own timeout ends the wait; a call that still waits is dropped at the end of the fault."""
    cloud.do(lambda: cloud.front.set_down("ssm", EAST, Down.SILENT))
    try:
        started = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            cloud.client("ssm", read_timeout=0.5).describe_parameters()
        assert time.monotonic() - started >= 0.5
        cloud.client("ssm", WEST).describe_parameters()

        async def wait_then_heal() -> None:
            scope = {"Authorization": SCOPE}
            async with aiohttp.ClientSession() as session:
                call = asyncio.create_task(session.post(cloud.front.endpoint_url, headers=scope))
                await asyncio.sleep(0.2)
                assert not call.done()
                cloud.front.set_up("ssm", EAST)
                with pytest.raises(aiohttp.ClientError):
                    await asyncio.wait_for(call, 5)

        cloud.run(wait_then_heal())
    finally:
        cloud.do(lambda: cloud.front.set_up("ssm", EAST))
    cloud.client("ssm").describe_parameters()


def test_unsigned_calls_and_the_simulators_own_pages_are_refused(cloud: Cloud) -> None:
    """No caller resets the simulator through the front."""

    async def statuses() -> list[int]:
        scope = {"Authorization": SCOPE}
        found = []
        async with aiohttp.ClientSession() as session:
            for path, headers in (("/", {}), ("/moto-api/reset", {}), ("/moto-api/reset", scope)):
                async with session.post(cloud.front.endpoint_url + path, headers=headers) as response:
                    found.append(response.status)
        return found

    assert cloud.run(statuses()) == [403, 403, 404]


def test_no_secret_is_logged(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key nor a secure parameter's value, even at the finest level."""
    with caplog.at_level(0):
        cloud.client("ssm", "eu-west-3").put_parameter(Name="/s", Value="canary-value", Type="SecureString")
    ours = [
        record.getMessage() for record in caplog.records if record.name.startswith(("beacon_lab", "aiohttp"))
    ]
    assert not [line for line in ours if SECRET in line or "canary-value" in line]


def test_a_simulator_that_cannot_start_is_one_sentence(tmp_path: Path) -> None:
    """A directory whose path is too long for a Unix socket."""

    async def scenario() -> None:
        long = tmp_path / ("x" * 100)
        long.mkdir()
        async with Processes() as processes:
            with pytest.raises(LabError, match="too long for a socket"):
                await MotoProcess(long).start(processes)

    asyncio.run(scenario())
