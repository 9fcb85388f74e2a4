"""A drill's report as JSON and back; docs/schemas/drill.schema.json describes it. Pure.

Seconds count from the break. A report that was written is enough to draw everything again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from beacon.document.form import format_instant
from beacon.predict import Span
from beacon_cli.drill.consumed import Consumed, Gap
from beacon_cli.drill.expected import Expected, Phase
from beacon_cli.drill.report import Report, outcome_of, reasons
from beacon_cli.drill.tracks import Of, Point, Track
from beacon_cli.drill.verdict import Result, Verdict

__all__ = ["SCHEMA", "report_json", "report_of"]

SCHEMA = 1
Json = dict[str, Any]


def report_json(report: Report) -> Json:
    """The report as JSON."""
    return {
        "schema": SCHEMA,
        "id": report.id,
        "service": report.service,
        "region": report.region,
        "by": report.kind,
        "actor": report.actor,
        "lab_speed": report.speed,
        "outcome": outcome_of(report).value,
        "reasons": list(reasons(report)),
        "broken_at": format_instant(report.broken_at),
        "ended_s": round(report.ended_s, 2),
        "limit_s": report.limit_s,
        "repaired_s": None if report.repaired_s is None else round(report.repaired_s, 2),
        "repair": report.repair,
        "whole": report.whole,
        "interrupted": report.interrupted,
        "transitions": [_result(one) for one in report.results],
        "not_by_this_drill": list(report.strangers),
        "consumer": None if report.consumer is None else _consumer(report.consumer),
        "no_consumer": report.no_consumer or None,
        "tracks": [_track(one) for one in report.tracks],
    }


def _result(result: Result) -> Json:
    predicted = result.expected.predicted
    return {
        "seen_in": result.expected.track,
        "phase": result.expected.phase.value,
        "first_again": result.expected.first,
        "predicted": {
            "earliest_s": round(predicted.earliest_s, 2),
            "expected_s": round(predicted.expected_s, 2),
            "latest_s": round(predicted.latest_s, 2),
        },
        "verdict": result.verdict.value,
        "measured_s": result.measured_s,
        "after_s": result.after_s,
        "cause": result.cause or None,
    }


def _consumer(one: Consumed) -> Json:
    return {
        "attempts": one.attempts,
        "failed": one.failed,
        "acknowledged": one.acknowledged,
        "found": one.found,
        "longest_gap": _gap(one.longest_gap),
        "gap_limit_s": one.gap_limit_s,
        "gaps": [_gap(gap) for gap in one.gaps],
        "regions": [{"at_s": at, "region": region} for at, region in one.regions],
        "problems": dict(one.problems),
    }


def _gap(gap: Gap) -> Json:
    return {"from_s": gap.from_s, "to_s": gap.to_s}


def _track(track: Track) -> Json:
    return {
        "name": track.name,
        "of": track.of.value,
        "region": track.region or None,
        "until_s": round(track.until_s, 2),
        "points": [
            {"at_s": round(one.at_s, 2), "after_s": round(one.after_s, 2), "value": dict(one.value)}
            for one in track.points
        ],
    }


def report_of(given: Any) -> Report:  # noqa: ANN401 - JSON of any form
    """The report that ``given`` is; raises ``ValueError``, ``KeyError`` or ``TypeError`` where it is none."""
    if not isinstance(given, Mapping) or given.get("schema") != SCHEMA:
        raise ValueError(f"it is no report of a drill of schema {SCHEMA}")
    consumer = given["consumer"]
    return Report(
        id=str(given["id"]),
        service=str(given["service"]),
        region=str(given["region"]),
        kind=str(given["by"]),
        actor=str(given["actor"]),
        speed=_number(given["lab_speed"]),
        broken_at=datetime.fromisoformat(str(given["broken_at"])),
        ended_s=float(given["ended_s"]),
        limit_s=float(given["limit_s"]),
        repaired_s=_number(given["repaired_s"]),
        repair=str(given["repair"]),
        whole=bool(given["whole"]),
        interrupted=bool(given["interrupted"]),
        results=tuple(_result_of(one) for one in given["transitions"]),
        strangers=tuple(str(one) for one in given["not_by_this_drill"]),
        consumer=None if consumer is None else _consumer_of(consumer),
        no_consumer=str(given["no_consumer"] or ""),
        tracks=tuple(_track_of(one) for one in given["tracks"]),
    )


def _number(value: Any) -> float | None:  # noqa: ANN401 - as above
    return None if value is None else float(value)


def _result_of(one: Json) -> Result:
    predicted = one["predicted"]
    span = Span(*(float(predicted[name]) for name in ("earliest_s", "expected_s", "latest_s")))
    expected = Expected(str(one["seen_in"]), Phase(one["phase"]), span, first=bool(one["first_again"]))
    measured, after = _number(one["measured_s"]), _number(one["after_s"])
    return Result(expected, Verdict(one["verdict"]), measured, after, str(one["cause"] or ""))


def _consumer_of(one: Json) -> Consumed:
    return Consumed(
        attempts=int(one["attempts"]),
        failed=int(one["failed"]),
        acknowledged=int(one["acknowledged"]),
        found=None if one["found"] is None else int(one["found"]),
        longest_gap=_gap_of(one["longest_gap"]),
        gap_limit_s=float(one["gap_limit_s"]),
        gaps=tuple(_gap_of(gap) for gap in one["gaps"]),
        regions=tuple((float(row["at_s"]), str(row["region"])) for row in one["regions"]),
        problems={str(name): int(number) for name, number in one["problems"].items()},
    )


def _gap_of(one: Json) -> Gap:
    return Gap(float(one["from_s"]), float(one["to_s"]))


def _track_of(one: Json) -> Track:
    points = tuple(
        Point(float(row["at_s"]), float(row["after_s"]), {str(k): str(v) for k, v in row["value"].items()})
        for row in one["points"]
    )
    return Track(str(one["name"]), Of(one["of"]), str(one["region"] or ""), points, float(one["until_s"]))
