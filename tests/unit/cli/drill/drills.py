"""Tracks and reports for the tests of a drill: the near Region goes out and comes back, as it should."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from tests.unit.cli.situations import FAR, NEAR, situation

from beacon_cli.drill.consumed import Consumed, Gap
from beacon_cli.drill.expected import DNS, Expected, checkers_of, expectations, ssm_of
from beacon_cli.drill.form import report_json, report_of
from beacon_cli.drill.kinds import KINDS
from beacon_cli.drill.report import Report
from beacon_cli.drill.strangers import strangers
from beacon_cli.drill.tracks import ENDPOINT, FROZEN, Of, Point, Track
from beacon_cli.drill.verdict import Times, compare

DRAIN, FREEZE = KINDS["drain"], KINDS["lab:dsql-freeze"]
#: With the settings of `situations`: freeze to DNS 20 to 37 s, to SSM 4 to 68 s, back after 57 s.
REPAIRED_S = 80.0
TIMES = Times(0.0, REPAIRED_S, REPAIRED_S)
SAID = "Failure: HTTP Status Code 503, Service Unavailable"
PARAMETERS: dict[str, dict[str, str]] = {}
UP = "in up - ok"
DOWN = {DRAIN.name: "out up drain drained", FREEZE.name: "out down - timeout"}


def track(name: str, of: Of, region: str, *points: tuple[float, dict[str, str]]) -> Track:
    """Looks half a second apart."""
    made = tuple(Point(at_s, at_s - 0.5, value) for at_s, value in points)
    return Track(name, of, region, made, until_s=200.0)


def check(region: str, *points: tuple[float, str], says: str = SAID) -> Track:
    shown = [
        (at_s, {"healthy": word, "share": "6/6", "says": says if word == "no" else ""})
        for at_s, word in points
    ]
    return track(checkers_of(region), Of.CHECK, region, *shown)


def led(*points: tuple[float, str]) -> Track:
    return track(DNS, Of.DNS, "", *((at_s, {"region": name, "target": name}) for at_s, name in points))


def ssm(observer: str, *points: tuple[float, str, str], **more: str) -> Track:
    """Points of the near Region's row and of the endpoint; ``more`` changes the far one's row, or frozen."""
    base = {FAR: UP, FROZEN: "no"} | more
    shown = [(at_s, {NEAR: row, ENDPOINT: first} | base) for at_s, row, first in points]
    return track(ssm_of(observer), Of.SSM, observer, *shown)


def tracks(kind: str = FREEZE.name, **changes: Track) -> list[Track]:
    """A drill as it should be; ``changes`` replace a track by its key: near, far, dns, ssm_near, ssm_far."""
    moved = ((-5.0, UP, NEAR), (30.0, DOWN[kind], FAR), (REPAIRED_S + 70, UP, NEAR))
    if kind == DRAIN.name:
        moved = ((-5.0, UP, NEAR), (1.5, DOWN[kind], FAR), (REPAIRED_S + 1.5, UP, NEAR))
    good = {
        "near": check(NEAR, (-5.0, "yes"), (9.0, "no"), (REPAIRED_S + 6, "yes")),
        "far": check(FAR, (-5.0, "yes")),
        "dns": led((-5.0, NEAR), (29.0, FAR), (REPAIRED_S + 25, NEAR)),
        "ssm_near": ssm(NEAR, *moved),
        "ssm_far": ssm(FAR, *moved),
    }
    return list((good | changes).values())


def expected(kind: str = FREEZE.name, **changes: Any) -> tuple[Expected, ...]:  # noqa: ANN401 - as situation's
    return expectations(situation(**changes), NEAR, KINDS[kind], PARAMETERS, 1.0)


def report(given: Sequence[Track] | None = None, kind: str = FREEZE.name, **changes: Any) -> Report:  # noqa: ANN401
    seen = tracks(kind) if given is None else list(given)
    good = Report(
        id="drill-20261125T030000Z-abc123",
        service="shop-test",
        region=NEAR,
        kind=kind,
        actor="alice",
        speed=None,
        broken_at=datetime(2026, 11, 25, 3, 0, 0, tzinfo=UTC),
        ended_s=160.0,
        limit_s=120.0,
        repaired_s=REPAIRED_S,
        repair="it has ended",
        whole=True,
        interrupted=False,
        results=compare(expected(kind), seen, NEAR, KINDS[kind], TIMES),
        strangers=strangers(seen, NEAR, KINDS[kind], TIMES, until_s=200.0, dns_moves=True),
        consumer=consumed(),
        no_consumer="",
        tracks=tuple(seen),
    )
    return replace(good, **changes)


def consumed(**changes: Any) -> Consumed:  # noqa: ANN401 - any field's
    good = Consumed(
        attempts=700,
        failed=1,
        acknowledged=699,
        found=699,
        longest_gap=Gap(0.5, 3.0),
        gap_limit_s=6.2,
        gaps=(Gap(0.5, 3.0),),
        regions=((-5.0, NEAR), (3.0, FAR), (155.0, NEAR)),
        problems={"QueryTimeoutError": 1},
    )
    return replace(good, **changes)


MADE = {
    "passed": report(),
    "drain": report(kind=DRAIN.name),
    "failed": report(
        tracks(ssm_far=ssm(FAR, (-5.0, "in up - ok", NEAR))), strangers=("not by this drill: x",)
    ),
    "interrupted": report(interrupted=True, repaired_s=None, whole=False, repair="no answer"),
    "no consumer": report(consumer=None, no_consumer="there is no table"),
    "rows unknown": report(consumer=consumed(found=None), speed=10.0),
}
#: As a file holds them: their figures are rounded.
REPORTS = {name: report_of(report_json(one)) for name, one in MADE.items()}
EVIL = "</title><script>alert('x\"&')</script>\x00\x1b]0;"


def tree(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own text


def evil() -> Report:
    """A report in which every text is an attack."""
    found = REPORTS["passed"]
    result = replace(found.results[0], cause=EVIL, expected=replace(found.results[0].expected, track=EVIL))
    point = replace(found.tracks[0].points[0], value={"healthy": "yes", "says": EVIL, EVIL: EVIL})
    seen = replace(found.tracks[0], name=EVIL, points=(point,))
    return replace(
        found,
        service=EVIL,
        region=EVIL,
        actor=EVIL,
        repair=EVIL,
        strangers=(EVIL,),
        results=(result,),
        tracks=(seen, *found.tracks),
        consumer=consumed(problems={EVIL: 1}, regions=((0.0, EVIL),)),
    )
