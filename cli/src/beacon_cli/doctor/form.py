"""Outcomes as JSON, as docs/schemas/doctor.schema.json describes them, and as lines of text. Pure."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import Any

from beacon.document.form import format_instant
from beacon_cli.doctor.facts import Facts
from beacon_cli.doctor.result import Level, Outcome

__all__ = ["Line", "doctor_json", "doctor_lines"]

#: A line and the style of its text.
Line = tuple[str, str]
_MARKS = {
    Level.OK: ("ok", "green"),
    Level.SKIPPED: ("--", "dim"),
    Level.UNKNOWN: ("?", "magenta"),
    Level.WARNING: ("!", "yellow"),
    Level.FAIL: ("FAIL", "bold red"),
}
_COLUMNS, _INDENT = 80, 6


def doctor_json(
    facts: Facts, outcomes: tuple[Outcome, ...], *, passed: bool, took_s: float
) -> dict[str, Any]:
    """What `beacon doctor --json` prints."""
    return {
        "schema": 1,
        "service": facts.situation.service,
        "at": format_instant(facts.situation.at),
        "took_s": round(took_s, 3),
        "passed": passed,
        "counts": {level.value: _counted(outcomes)[level] for level in Level},
        "checks": [
            {
                "name": one.name,
                "subject": one.subject,
                "level": one.level.value,
                "good": one.good,
                "problems": [
                    {
                        "level": problem.level.value,
                        "region": problem.region or None,
                        "text": problem.text,
                        "command": problem.command or None,
                    }
                    for problem in one.problems
                ],
            }
            for one in outcomes
        ],
    }


def doctor_lines(facts: Facts, outcomes: tuple[Outcome, ...]) -> list[Line]:
    """The worst first; what is ok or skipped has one line each."""
    lines: list[Line] = [(f"{facts.situation.service}  {facts.situation.at:%Y-%m-%d %H:%M:%S} UTC", "bold")]
    lines.append((_summary(outcomes), "bold"))
    for level in reversed(Level):
        for outcome in outcomes:
            if outcome.level is level:
                lines += _outcome(outcome)
    return lines


def _summary(outcomes: tuple[Outcome, ...]) -> str:
    counts = _counted(outcomes)
    words = {
        Level.FAIL: "fail",
        Level.WARNING: "warn",
        Level.UNKNOWN: "unknown",
        Level.SKIPPED: "skipped",
        Level.OK: "ok",
    }
    return f"{len(outcomes)} checks: " + ", ".join(f"{counts[level]} {word}" for level, word in words.items())


def _outcome(outcome: Outcome) -> list[Line]:
    mark, style = _MARKS[outcome.level]
    if outcome.level is Level.OK:
        return [(f"{mark:<{_INDENT}}{outcome.good}", style)]
    lines: list[Line] = []
    told = dict.fromkeys((one.level, one.text, one.command) for one in outcome.problems)
    for level, text, command in told:
        mark, style = _MARKS[level]
        wrapped = textwrap.wrap(f"{outcome.name}: {text}", _COLUMNS - _INDENT) or [""]
        lines.append((f"{mark:<{_INDENT}}{wrapped[0]}", style))
        lines += [(f"{'':<{_INDENT}}{rest}", style) for rest in wrapped[1:]]
        if command:
            lines.append((f"{'':<{_INDENT}}{command}", ""))
    return lines


def _counted(outcomes: tuple[Outcome, ...]) -> Counter[Level]:
    return Counter(outcome.level for outcome in outcomes)
