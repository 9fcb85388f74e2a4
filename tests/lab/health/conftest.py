"""The health function's own path before a real front: sandboxes that are asked as the gateway asks them."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from beacon.aws.credentials import find_credentials
from beacon.dsql.probe import DsqlProbe, Probe, ProbeContext
from beacon.dsql.resolver import Resolver
from beacon.health.check import HealthCheck
from beacon.health.trigger import EdgeTrigger
from beacon.names import search_string
from beacon.settings import Settings
from beacon.suspend_clock import suspend_aware
from beacon_lab.dsql.rules import Refusal
from beacon_lab.faults import WHOLE, Extent, FaultKind

if TYPE_CHECKING:
    from tests.lab.conftest import DsqlCluster

REGION = "us-east-1"
GET = {"httpMethod": "GET", "path": "/token/health", "requestContext": {"stage": "live"}}
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
#: What the environment of a developer may hold and a Lambda sandbox does not.
FOREIGN = ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA", "PGSSLSNI")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of `/health` and how long it took."""

    status: int
    health: str
    reason: str
    took_s: float
    result: dict[str, object]

    @property
    def verdict(self) -> tuple[int, str, str]:
        """HTTP status, the body's status, the reason code."""
        return (self.status, self.health, self.reason)


class Sandbox:
    """One sandbox of the health function."""

    def __init__(self, check: HealthCheck, deadline_s: float) -> None:
        self.check = check
        self.deadline_s = deadline_s

    def ask(self) -> Answer:
        """One request of a checker; the search string is there exactly when the Region serves."""
        started = time.monotonic()
        result = self.check.answer(GET)
        took_s = time.monotonic() - started
        status, body = result["statusCode"], result["body"]
        assert isinstance(status, int)
        assert isinstance(body, str)
        assert (search_string("shop-test", REGION) in body[:200]) == (status == 200)
        assert ("serving" in body) == (status == 200)
        document: dict[str, Any] = json.loads(body)
        (check,) = document["checks"]["dsql:select"]
        return Answer(status, document["status"], check["output"], took_s, result)

    def close(self) -> None:
        probe = self.check._probe
        if probe is not None:
            probe.close()


class Station:
    """Makes sandboxes before the cluster's first front, and breaks what they look at."""

    def __init__(self, dsql: DsqlCluster, patch: pytest.MonkeyPatch) -> None:
        self.dsql = dsql
        self.patch = patch
        self._sandboxes: list[Sandbox] = []
        self._undo: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """What the function is configured with, as its template does it."""
        front = self.dsql.front
        return {
            "BEACON_APP": "shop",
            "BEACON_ENV": "test",
            "AWS_REGION": REGION,
            "BEACON_ENDPOINTS": f"{REGION}={front.host}:{front.port}",
            "BEACON_DIAL": f"{front.host}={front.address}:{front.port}",
            "BEACON_DB_USER": self.dsql.login_role,
            "BEACON_CA_FILE": str(self.dsql.authority.ca_file),
        }

    def sandbox(
        self,
        *,
        deadline_ms: int = 400,
        lookup: Callable[[str], list[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        lasting: Callable[[], float] = suspend_aware,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[float, float], float] = random.uniform,
        trigger: EdgeTrigger | None = None,
        **changed: str,
    ) -> Sandbox:
        """A new sandbox. With `lookup` names are resolved by it; without, the address is given."""
        environment = self.environment | {"BEACON_PROBE_DEADLINE_MS": str(deadline_ms)} | changed
        if lookup is not None:
            del environment["BEACON_DIAL"]

        def make_probe(settings: Settings) -> Probe:
            context = ProbeContext(
                settings,
                Resolver() if lookup is None else Resolver(lookup),
                find_credentials,
                clock=clock,
                lasting=lasting,
                now=now,
                jitter=jitter,
            )
            return DsqlProbe(settings.own_endpoint, context, settings.region)

        check = HealthCheck(environment, clock=clock, lasting=lasting, make_probe=make_probe, trigger=trigger)
        made = Sandbox(check, deadline_ms / 1000)
        self._sandboxes.append(made)
        return made

    def warm(self, **options: Any) -> Sandbox:  # noqa: ANN401 - those of `sandbox`
        """A sandbox whose connection is open."""
        sandbox = self.sandbox(**options)
        assert sandbox.ask().verdict == (200, "pass", "ok")
        return sandbox

    def inject(self, kind: FaultKind, extent: Extent = WHOLE, /, **options: float) -> None:
        self.dsql.loop.run(self.dsql.front.inject(kind, extent, **options))  # type: ignore[arg-type]

    def heal(self) -> None:
        self.dsql.loop.run(self.dsql.front.heal())

    def call(self, act: Callable[[], object]) -> None:
        """Do something in the front's thread."""
        self.dsql.loop.call(act)

    def fail_statements(self, times: int, sqlstate: str, message: str = "canary") -> None:
        """Let the next statements fail with an error of the server's."""
        self.dsql.front.disturbance.failure = Refusal(sqlstate, message)
        self.dsql.front.disturbance.failing_statements = times

    def sql(self, *statements: str, undo: str | None = None) -> None:
        """Run statements behind the fronts, as PostgreSQL's owner; `undo` is run at the end of the test."""
        self.dsql.loop.run(self.dsql.postgres.run(*statements))
        if undo is not None:
            self._undo.insert(0, undo)

    def kill_backends(self) -> None:
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'beacon'")

    def drain(self, until: str = "NULL", *, reason: str = "game day", actor: str = "ann") -> None:
        """Drain the Region, without the guard; `until` is SQL."""
        self.sql(
            f"UPDATE beacon.intent SET forced = 'drain', reason = '{reason}', actor = '{actor}',"  # noqa: S608
            f" changed_at = now() - interval '2 days', until = {until} WHERE region = '{REGION}'"
        )

    def release(self) -> None:
        self.sql(f"UPDATE beacon.intent SET forced = NULL, until = NULL WHERE region = '{REGION}'")  # noqa: S608

    def mend(self) -> None:
        """Everything as it was, but for the sandboxes."""
        self.dsql.loop.run(self.dsql.front.heal())
        while self._undo:
            self.sql(self._undo.pop(0))
        self.release()

    def close(self) -> None:
        self.patch.undo()
        while self._sandboxes:
            self._sandboxes.pop().close()
        self.mend()


@pytest.fixture
def station(dsql: DsqlCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    """The first Region, healthy, with the function's credentials in the environment."""
    keys = (dsql.function.access_key_id, dsql.function.secret_access_key, dsql.function.session_token)
    for name, value in zip(KEYS, keys, strict=True):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    made = Station(dsql, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def answers_to_names(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], list[str]]], None]:
    """Puts a function in the system resolver's place."""

    def put(lookup: Callable[[str], list[str]]) -> None:
        def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, 0)) for found in lookup(host)]

        monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)

    return put
