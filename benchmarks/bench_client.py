"""What the client costs while nothing is broken, and how soon it is connected elsewhere after a fault.

- healthy: `connect()` in turns with a bare psycopg connect that has its token ready, to the same front with
  the same options; and picking an endpoint from the known ones.
- broken: the near front is silent, refuses, resets, or its name is not resolved (at once, or never). Every
  run begins with a client that has met no fault yet, so that each has the full cost.
- control planes down: two clients with credentials of STS and the document of SSM, in turns. The APIs of one
  became silent after it had read both. Its credentials have the age at which the client checks them again.
"""

from __future__ import annotations

import gc
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from aws_apis import aws_apis
from results import Result
from two_regions import FAR, NEAR, TwoRegions, two_regions

from beacon import Endpoints, SsmDocument, StaticList, connect
from beacon.aws.credentials import CredentialChain
from beacon.document.form import serialize
from beacon.dsql.resolver import Resolver
from beacon.model import Document, Effective, EndpointState, Observed
from beacon_lab.faults import FaultKind

_PICKS = 20_000
_ELSEWHERE_S = 0.5
#: An age at which the client checks credentials again in the background.
_LATER_S = 120.0
_BROKEN = {
    "client.frozen_max_s": FaultKind.DSQL_FREEZE,
    "client.refused_max_s": FaultKind.DSQL_REFUSE,
    "client.reset_max_s": FaultKind.DSQL_RESET,
}

Say = Callable[[str], None]


def run(say: Say) -> list[Result]:
    """All figures."""
    times = max(10, int(os.environ.get("REPETITIONS", "200")))
    with two_regions() as regions:
        results = [_healthy(regions, times, say), _pick(regions)]
        for name, kind in _BROKEN.items():
            regions.inject(NEAR, kind)
            results.append(_elsewhere(name, regions, max(100, times // 2), say))
            regions.inject(NEAR, None)
        results.append(_noname(regions, max(100, times // 2), say))
        results.append(_control_planes_down(regions, times, say))
    return results


def _healthy(regions: TwoRegions, times: int, say: Say) -> Result:
    bare_ms, ours_ms = [], []
    gc.disable()  # its pauses would be counted for the next call
    try:
        with regions.endpoints() as endpoints:
            for _ in range(times):
                token = regions.token(NEAR)
                bare_ms.append(_timed(lambda token=token: _bare(regions, token)))  # type: ignore[misc]
                ours_ms.append(_timed(lambda: connect(endpoints, **regions.login)))
    finally:
        gc.enable()
    bare, ours = statistics.median(bare_ms), statistics.median(ours_ms)
    say(f"a bare connect {bare:.2f} ms, ours {ours:.2f} ms")
    more: dict[str, object] = {
        "bare_ms": round(bare, 3),
        "ours_ms": round(ours, 3),
        "ratio": round(ours / bare, 3),
    }
    return Result("client.connect_extra_ms", round(ours - bare, 3), "ms", times, 1.0, more)


def _bare(regions: TwoRegions, token: str) -> psycopg.Connection:
    return psycopg.connect(
        host=regions.hosts[NEAR],
        hostaddr=regions.address,
        port=regions.ports[NEAR],
        user=str(regions.login["user"]),
        password=token,
        dbname="postgres",
        sslmode="verify-full",
        sslrootcert=regions.ca_file,
        sslnegotiation="direct",
        sslcertmode="disable",
        gssencmode="disable",
    )


def _timed(act: Callable[[], psycopg.Connection]) -> float:
    started = time.perf_counter()
    connection = act()
    taken_ms = (time.perf_counter() - started) * 1000
    connection.close()
    return taken_ms


def _pick(regions: TwoRegions) -> Result:
    with regions.endpoints() as endpoints:
        endpoints.candidates(1.0)
        rounds = []
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(_PICKS // 5):
                endpoints.candidates()
            rounds.append((time.perf_counter() - started) / (_PICKS // 5) * 1e6)
        # One endpoint is passed over, so that the order has to be made again each time.
        endpoints.surroundings.local.failed(regions.hosts[NEAR], time.monotonic())
        started = time.perf_counter()
        for _ in range(1000):
            endpoints.candidates()
        sorted_us = (time.perf_counter() - started) * 1000
    return Result(
        "client.pick_us",
        round(statistics.median(rounds), 2),
        "us",
        _PICKS,
        20.0,
        {"with_one_passed_over_us": round(sorted_us, 2)},
    )


def _elsewhere(
    name: str, regions: TwoRegions, times: int, say: Say, make: Callable[[], Endpoints] | None = None
) -> Result:
    """The largest time to a connection to the far Region, each by a client that has met no fault yet."""
    taken_s = []
    for _ in range(times):
        with (make or regions.endpoints)() as endpoints:
            endpoints.candidates(1.0)
            started = time.perf_counter()
            with connect(endpoints, **regions.login) as connection:
                taken_s.append(time.perf_counter() - started)
                assert connection.endpoint.region == FAR
                assert connection.execute("SELECT 1").fetchone() == (1,)
    say(f"{name}: {statistics.median(taken_s):.3f} s, at most {max(taken_s):.3f} s")
    more: dict[str, object] = {"median_s": round(statistics.median(taken_s), 4)}
    return Result(name, round(max(taken_s), 4), "s", times, _ELSEWHERE_S, more)


def _noname(regions: TwoRegions, times: int, say: Say) -> Result:
    """The near name does not resolve: in half of the runs it fails at once, in the others never answers."""
    listed = [f"{regions.hosts[region]}:{regions.ports[region]}" for region in (NEAR, FAR)]
    runs = iter(range(2 * times))

    def make() -> Endpoints:
        stalls = next(runs) % 2

        def lookup(host: str) -> list[str]:
            if host != regions.hosts[NEAR]:
                return [regions.address]
            if stalls:
                time.sleep(2.0)
            raise socket.gaierror

        return Endpoints(StaticList(listed), credentials=regions.credentials, resolver=Resolver(lookup))

    return _elsewhere("client.noname_max_s", regions, times, say, make)


def _control_planes_down(regions: TwoRegions, times: int, say: Say) -> Result:
    document = _document(regions)
    up_ms, down_ms = [], []
    with (
        aws_apis(document, regions.keys) as up,
        aws_apis(document, regions.keys) as down,
        tempfile.TemporaryDirectory() as directory,
    ):
        identity = Path(directory) / "identity"
        identity.write_text("a web identity", encoding="utf-8")
        clients = []
        for apis in (up, down):
            os.environ.update(
                AWS_ENDPOINT_URL=apis.url,
                AWS_ROLE_ARN="arn:aws:iam::123456789012:role/service",
                AWS_WEB_IDENTITY_TOKEN_FILE=str(identity),
                AWS_REGION=NEAR,
                AWS_DEFAULT_REGION=NEAR,
            )
            late_s = [0.0]
            chain = CredentialChain(clock=lambda late_s=late_s: time.monotonic() + late_s[0])  # type: ignore[misc]
            endpoints = Endpoints(
                SsmDocument("bench", "lab"), dial=regions.dial, credentials=chain, refresh_s=1.0
            )
            connect(endpoints, **regions.login).close()
            late_s[0] = _LATER_S
            clients.append(endpoints)
        down.silent.set()
        # Until the silent APIs have been called: the client must be waiting for them.
        asked = down.calls["ssm"]
        connect(clients[1], **regions.login).close()
        while down.calls["ssm"] == asked or down.calls["sts"] < 2:
            time.sleep(0.05)
        gc.disable()
        try:
            for _ in range(times):
                up_ms.append(_timed(lambda: connect(clients[0], **regions.login)))
                down_ms.append(_timed(lambda: connect(clients[1], **regions.login)))
        finally:
            gc.enable()
        for endpoints in clients:
            endpoints.close()
    healthy, without = statistics.median(up_ms), statistics.median(down_ms)
    say(f"control planes up {healthy:.2f} ms, down {without:.2f} ms; calls while down: {down.calls}")
    more: dict[str, object] = {"up_ms": round(healthy, 3), "down_ms": round(without, 3)}
    return Result("client.control_planes_down_ratio", round(without / healthy, 3), "x", times, 1.05, more)


def _document(regions: TwoRegions) -> str:
    now = datetime.now(UTC)
    states = tuple(
        EndpointState(
            region=region,
            host=regions.hosts[region],
            port=5432,
            observed=Observed.UP,
            forced=None,
            effective=Effective.IN,
            reason="ok",
            since=now,
        )
        for region in (NEAR, FAR)
    )
    epoch = int(now.timestamp() * 1000)
    return serialize(Document("bench-lab", "dsql", NEAR, epoch, now, now + timedelta(hours=1), states))
