"""A thousand strangers at the gateway while checkers poll: none costs an invocation, no checker is harmed."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from beacon_lab.awslambda.functions import Function
from beacon_lab.awslambda.sandbox import InvocationResult
from beacon_lab.network.address_plan import checker_source
from beacon_lab.region import Region
from beacon_lab.settings import LabSettings
from beacon_lab.start import running_lab

pytestmark = pytest.mark.lab

STRANGERS, REQUESTS_EACH = 20, 50
#: The lab's start, a round of every checker, the flood and another round.
WITHIN_S = 180.0
CHECKER = checker_source("eu-west-1", 7)
LIES = {
    "User-Agent": "Amazon-Route53-Health-Check-Service (ref 5f1e; report http://amzn.to/1vsZADi)",
    "X-Forwarded-For": "15.177.0.1",
    "X-Real-IP": "15.177.0.1",
    "Forwarded": "for=15.177.0.1",
    "CF-Connecting-IP": "198.51.100.10",
    "X-Amzn-Source-Ip": "15.177.0.1",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a stranger tries; `source` is the loopback address it comes from, `None` one of its own."""

    method: str
    path: str
    headers: dict[str, str]
    source: str | None = None


def attempts(path: str) -> list[Attempt]:
    """Each way of getting at a health endpoint whose path is `path`, without a right to it."""
    stage, token, _ = path.strip("/").split("/")
    guess = f"/{stage}/{token[:-1]}{'a' if token[-1] != 'a' else 'b'}/health"
    return [
        Attempt("GET", path, {}),
        Attempt("GET", path, LIES),
        Attempt("HEAD", path, LIES),
        Attempt("GET", f"{path}?url=http://169.254.169.254/&host=example.com", LIES),
        Attempt("GET", path, {"Host": "169.254.169.254"}),
        Attempt("GET", path, {"X-Filler": "x" * 20_000}),
        Attempt("POST", path, LIES),
        Attempt("OPTIONS", path, {}),
        Attempt("GET", guess, LIES),
        Attempt("GET", "/", {}),
        Attempt("GET", f"/{stage}", {}),
        Attempt("GET", f"/{stage}/../{path}", LIES),
        Attempt("GET", f"/{stage}/%2e%2e/{token}/health", {}),
        # Any AWS customer can aim Route 53's checkers at any address, so their ranges alone open nothing.
        Attempt("GET", guess, {}, CHECKER),
        Attempt("GET", f"/{stage}/health", {}, CHECKER),
        Attempt("POST", path, {}, CHECKER),
    ]


class Watch:
    """Every event that reaches a function of the lab, and what it came to."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.events: list[dict[str, Any]] = []
        self.kinds: Counter[str] = Counter()
        invoke = Function.invoke

        async def watched(function: Function, event: Any) -> InvocationResult:  # noqa: ANN401 - whatever comes
            if "httpMethod" in event:
                self.events.append(event)
            outcome = await invoke(function, event)
            self.kinds[outcome.status.value] += 1
            return outcome

        patch.setattr(Function, "invoke", watched)


async def stranger(number: int, region: Region, path: str, context: ssl.SSLContext) -> Counter[int]:
    """One stranger's requests, on few connections; the statuses it gets."""
    seen: Counter[int] = Counter()
    tries = attempts(path)
    own = f"127.66.{number}.1"
    sessions: dict[str, aiohttp.ClientSession] = {}
    try:
        for turn in range(REQUESTS_EACH):
            attempt = tries[(turn + number) % len(tries)]
            source = attempt.source or own
            if source not in sessions:
                connector = aiohttp.TCPConnector(ssl=context, local_addr=(source, 0), limit=1)
                sessions[source] = aiohttp.ClientSession(connector=connector)
            url = f"https://localhost:{region.gateway.port}{attempt.path}"
            headers = {"Host": region.gateway.host} | attempt.headers
            async with sessions[source].request(attempt.method, url, headers=headers) as response:
                await response.read()
                seen[response.status] += 1
    finally:
        for session in sessions.values():
            await session.close()
    return seen


def test_a_thousand_strangers_cost_nothing_while_checkers_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong source, wrong path, forged headers: refused each; every checker passes throughout."""

    async def scenario() -> None:
        watch = Watch(monkeypatch)
        async with running_lab(LabSettings(speed=5.0), lambda _line: None, asyncio.Event()) as lab:
            region = lab.regions["us-east-1"]
            check, checkers = region.stack.health_check, lab.data_plane.checkers
            health = region.function_named("orders-lab-health")
            assert health is not None
            path = urlsplit(region.stack.health_url).path

            async def a_round() -> None:
                """Until each checker has polled again."""
                since = datetime.now(UTC)
                while sum(seen.checked_at > since for seen in checkers.observations(check.id)) < 16:  # noqa: ASYNC110 - bounded below
                    await asyncio.sleep(0.05)

            await a_round()
            began, before = datetime.now(UTC), health.counters
            watch.events.clear()
            context = ssl.create_default_context(cafile=str(lab.cluster.authority.ca_file))
            flood = asyncio.gather(*(stranger(number, region, path, context) for number in range(STRANGERS)))
            statuses = sum(await flood, Counter[int]())
            during = len(watch.events)
            await a_round()

            assert statuses.total() == STRANGERS * REQUESTS_EACH == 1000
            assert set(statuses) == {403, 413}
            # What reached the function came from checkers, and there were some meanwhile.
            sources = {event["requestContext"]["identity"]["sourceIp"] for event in watch.events}
            assert not any(source.startswith("203.0.113.") for source in sources)
            assert {event["path"] for event in watch.events} == {path.removeprefix("/live")}
            assert all("X-Real-IP" not in event["headers"] for event in watch.events)
            assert during > 0
            own = [event for event in watch.events if event["requestContext"]["apiId"] == region.stack.api.id]
            after = health.counters
            # A call that the function's concurrency refuses is a throttle, not an invocation.
            # One call may be under way at either end.
            calls = after.invocations + after.throttles - before.invocations - before.throttles
            assert abs(calls - len(own)) <= 2
            assert (after.throttles, after.errors) == (before.throttles, before.errors)
            # No checker of either Region has seen a failure since.
            for other in lab.regions.values():
                found = checkers.observations(other.stack.health_check.id)
                assert len(found) == 16
                assert all(observation.passed for observation in found)
                failures = checkers.last_failures(other.stack.health_check.id)
                assert [failure for failure in failures if failure.checked_at >= began] == []
            # The bucket was not emptied for those who may.
            session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))
            async with session, session.get(f"https://localhost:{region.gateway.port}{path}") as response:
                assert response.status == 200

    asyncio.run(asyncio.wait_for(scenario(), WITHIN_S))
