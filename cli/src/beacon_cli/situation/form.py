"""The JSON of a situation and of its explanation; docs/schemas/ describes both. Pure.

A fact is ``{"known": true, "value": …}`` or ``{"known": false, "why": "…"}``, and ``null`` where it does not
apply. Instants are RFC 3339 in UTC. No value holds a secret: no reader keeps a stack's PathToken.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from beacon.document.form import format_instant
from beacon.model import EndpointState
from beacon_cli.situation.finding import Finding
from beacon_cli.situation.model import (
    Alarm,
    Canary,
    CheckReport,
    Fact,
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
from beacon_cli.situation.sentences import Explanation

__all__ = ["SCHEMA", "explanation_json", "situation_json"]

SCHEMA = 1
T = TypeVar("T")
Json = dict[str, Any]


def situation_json(situation: Situation, explanation: Explanation) -> Json:
    """What `beacon status --json` prints."""
    return {
        "schema": SCHEMA,
        "service": situation.service,
        "at": format_instant(situation.at),
        "took_s": round(situation.took_s, 3),
        "headline": _finding(explanation.headline),
        "findings": [_finding(one) for one in explanation.findings],
        "record": {
            "name": situation.record_name,
            "authoritative": _fact(situation.authoritative, _answer),
            "cached": _fact(situation.cached, _answer),
        },
        "regions": [_region(one, situation.at) for one in situation.regions],
        "forced": _fact(situation.forced, _forced),
        "global_alarms": _fact(situation.global_alarms, _alarms),
    }


def explanation_json(situation: Situation, explanation: Explanation, region: str | None) -> Json:
    """What `beacon explain --json` prints."""
    return {
        "schema": SCHEMA,
        "service": situation.service,
        "at": format_instant(situation.at),
        "region": region,
        "headline": _finding(explanation.headline),
        "findings": [_finding(one) for one in explanation.findings],
        "changes": _fact(
            situation.forced,
            lambda forced: [_change(row) for row in forced.changes if region in {None, row.region}],
        ),
    }


def _fact(fact: Fact[T] | None, form: Callable[[T], Any]) -> Json | None:
    if fact is None:
        return None
    if isinstance(fact, Known):
        return {"known": True, "value": form(fact.value)}
    return {"known": False, "why": fact.why}


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _finding(finding: Finding) -> Json:
    return {
        "level": finding.level.name.lower(),
        "region": finding.region or None,
        "text": finding.text,
        "command": finding.command or None,
    }


def _answer(answer: RecordAnswer) -> Json:
    return {
        "target": answer.target,
        "region": answer.region or None,
        "ttl_s": answer.ttl_s,
        "server": answer.server,
    }


def _region(one: RegionSituation, at: datetime) -> Json:
    return {
        "region": one.region,
        "host": one.host,
        "healthy": one.healthy,
        "check": _fact(one.check, _check),
        "document": _fact(one.document, lambda published: _published(published, at)),
        "stack": _fact(one.stack, _stack),
        "alarms": _fact(one.alarms, _alarms),
        "canary": _fact(one.canary, _canary),
    }


def _check(report: CheckReport) -> Json:
    return {
        "id": report.check.id,
        "healthy": report.healthy,
        "disabled": report.check.disabled,
        "inverted": report.check.inverted,
        "passed": report.tally.passed,
        "fresh": report.tally.fresh,
        "reported": report.tally.reported,
        "common_failure": report.tally.common_failure or None,
    }


def _published(published: Published, at: datetime) -> Json:
    document = published.document
    return {
        "epoch": document.epoch,
        "as_of": format_instant(document.as_of),
        "age_s": round(published.age_s(at), 1),
        "stale": published.stale(at),
        "frozen": document.frozen,
        "note": document.note or None,
        "preferred": published.preferred.region,
        "endpoint": published.endpoint or None,
        "order": [state.region for state in document.endpoints],
        "endpoints": [_state(state) for state in document.endpoints],
    }


def _state(state: EndpointState) -> Json:
    return {
        "region": state.region,
        "observed": state.observed.value,
        "forced": state.forced.value if state.forced else None,
        "forced_until": _instant(state.forced_until),
        "effective": state.effective.value,
        "reason": state.reason,
        "since": format_instant(state.since),
        "observed_since": _instant(state.observed_since),
        "latency_ms": state.latency_ms,
    }


def _stack(stack: StackView) -> Json:
    return {
        "name": stack.name,
        "status": stack.status,
        "updated_at": format_instant(stack.updated_at),
        "version": stack.version or None,
    }


def _alarms(alarms: tuple[Alarm, ...]) -> list[Json]:
    return [{"name": one.name, "state": one.state, "since": _instant(one.since)} for one in alarms]


def _canary(canary: Canary) -> Json:
    return {"failed": canary.failed, "minutes": canary.minutes}


def _forced(forced: ForcedStates) -> Json:
    return {
        "at": format_instant(forced.at),
        "through": forced.through,
        "states": [_forced_state(row) for row in forced.states],
        "changes": [_change(row) for row in forced.changes],
    }


def _forced_state(row: ForcedState) -> Json:
    return {
        "region": row.region,
        "forced": row.forced or None,
        "reason": row.reason or None,
        "actor": row.actor or None,
        "until": _instant(row.until),
        "changed_at": format_instant(row.changed_at),
    }


def _change(row: ForcedChange) -> Json:
    return {
        "at": format_instant(row.at),
        "region": row.region,
        "forced": row.forced or None,
        "reason": row.reason or None,
        "actor": row.actor or None,
        "until": _instant(row.until),
    }
