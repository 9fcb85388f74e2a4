"""Situations for tests: a deployment of two Regions on a good day, and what a test changes about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from beacon.model import Document, Effective, EndpointState, Forced, Observed
from beacon.predict import Timings
from beacon_cli.situation.model import (
    Alarm,
    CheckReport,
    ForcedChange,
    ForcedState,
    ForcedStates,
    Known,
    Published,
    RecordAnswer,
    RegionSituation,
    Situation,
    StackView,
)
from beacon_cli.standing import Check, Tally

NEAR, FAR = "us-east-1", "us-east-2"
NOW = datetime(2026, 11, 25, 3, 0, 0, tzinfo=UTC)
HOSTS = {region: f"{letter * 26}.dsql.{region}.on.aws" for region, letter in ((NEAR, "a"), (FAR, "b"))}
TIMINGS = Timings(10, 3, 60, 0.75, 1.0, 5, 2, 90, checkers=6)
FAILURE = "Failure: HTTP Status Code 503, Service Unavailable. Resolved IP: 192.0.2.1"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def state(region: str, **changes: Any) -> EndpointState:  # noqa: ANN401 - any field's
    up: dict[str, Any] = {
        "region": region,
        "host": HOSTS[region],
        "port": 5432,
        "observed": Observed.UP,
        "forced": None,
        "effective": Effective.IN,
        "reason": "ok",
        "since": ago(86400),
    }
    return EndpointState(**up | changes)


def down(region: str) -> EndpointState:
    return state(
        region,
        observed=Observed.DOWN,
        effective=Effective.OUT,
        reason="timeout",
        since=ago(180),
        observed_since=ago(180),
    )


def drained(region: str, **changes: Any) -> EndpointState:  # noqa: ANN401 - as above
    return state(region, forced=Forced.DRAIN, effective=Effective.OUT, reason="drained", **changes)


def published(observer: str, *states: EndpointState, **changes: Any) -> Known[Published]:  # noqa: ANN401
    given: dict[str, Any] = {
        "service": "shop-test",
        "target": "dsql",
        "observer": observer,
        "epoch": 1234,
        "as_of": ago(31),
        "valid_until": NOW + timedelta(seconds=269),
        "endpoints": states or (state(NEAR), state(FAR)),
    }
    document = Document(**given | changes)
    return Known(Published(document, document.preferred.host))


def check(
    region: str, passed: int = 6, fresh: int = 6, *, disabled: bool = False, inverted: bool = False
) -> Known[CheckReport]:
    counted = Tally(reported=6, fresh=fresh, passed=passed, common_failure=FAILURE if passed < fresh else "")
    return Known(CheckReport(Check(f"id-{region}", region, disabled=disabled, inverted=inverted), counted))


def answer(region: str, ttl_s: int = 10) -> Known[RecordAnswer]:
    return Known(RecordAnswer(HOSTS[region], region, ttl_s, "192.0.2.53"))


def forced(
    region: str = "", *, until: datetime | None = None, changes: tuple[ForcedChange, ...] = ()
) -> Known[ForcedStates]:
    """Intents of both Regions; the one of ``region`` is a drain."""
    rows = tuple(
        ForcedState(name, "drain", "writes fail", "alice", until, ago(240))
        if name == region
        else ForcedState(name, "", "", "", None, ago(86400))
        for name in (NEAR, FAR)
    )
    return Known(ForcedStates(NOW, FAR, rows, changes))


def region(name: str, **changes: Any) -> RegionSituation:  # noqa: ANN401 - as above
    good: dict[str, Any] = {
        "region": name,
        "host": HOSTS[name],
        "check": check(name),
        "document": published(name),
        "stack": Known(StackView("shop-test", "UPDATE_COMPLETE", ago(86400), "layer 7")),
        "alarms": Known((Alarm("shop-test-probes-fail", "OK", ago(86400)),)),
        "canary": None,
    }
    return RegionSituation(**good | changes)


def situation(
    near: dict[str, Any] | None = None,
    far: dict[str, Any] | None = None,
    **changes: Any,  # noqa: ANN401 - as above
) -> Situation:
    """A good day, with changes to the near Region, to the far one, and to the whole."""
    good = Situation(
        service="shop-test",
        at=NOW,
        regions=(region(NEAR, **near or {}), region(FAR, **far or {})),
        record_name="db.shop.test",
        authoritative=answer(NEAR),
        cached=answer(NEAR, 4),
        forced=forced(),
        timings=TIMINGS,
    )
    return replace(good, **changes)


def frozen_region() -> Situation:
    """The near Region's database is frozen, and everything has moved to the far one."""
    rows = (state(FAR), down(NEAR))
    return situation(
        near={"check": check(NEAR, passed=0), "document": published(NEAR, *rows)},
        far={"document": published(FAR, *rows)},
        authoritative=answer(FAR),
        cached=answer(FAR),
    )
