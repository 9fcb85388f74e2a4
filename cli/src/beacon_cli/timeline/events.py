"""What happened when: operators' changes, and what the documents, the alarms and the checks say. Pure.

=====================  ====================================================================================
source                 what it tells, and from when
=====================  ====================================================================================
the database           each drain, release and expiry; all of them, from `beacon.change`
SSM of a Region        the last change of each Region's effective and observed state, as that observer saw it
CloudWatch             the last change of each alarm's state
Route 53               what the checkers find at the moment of the look: Route 53 keeps no history
=====================  ====================================================================================

A document and an alarm know their last change alone: an earlier one is in the logs and in the events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from beacon.model import EndpointState
from beacon_cli.situation.advice import alarm_advice
from beacon_cli.situation.finding import span
from beacon_cli.situation.model import ForcedChange, Situation, known

__all__ = ["Event", "timeline"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: ``region`` is empty where it concerns the deployment."""

    at: datetime
    source: str
    region: str
    text: str


def timeline(situation: Situation, changes: Sequence[ForcedChange], since: datetime) -> list[Event]:
    """Every event from ``since`` on, the oldest first; two of the same moment stay in the table's order."""
    found = [
        *(_change(row) for row in changes),
        *_documents(situation),
        *_alarms(situation),
        *_checks(situation),
    ]
    return sorted((one for one in found if one.at >= since), key=lambda one: one.at)


def _change(row: ForcedChange) -> Event:
    if row.forced:
        limit = f" for {span((row.until - row.at).total_seconds())}" if row.until else " until it is released"
        return Event(row.at, "the database", row.region, f"{row.actor} drained it{limit}: {row.reason!r}")
    if row.reason.startswith("expired: "):
        reason = row.reason.removeprefix("expired: ")
        return Event(row.at, "the database", row.region, f"the drain by {row.actor} expired: {reason!r}")
    return Event(row.at, "the database", row.region, f"{row.actor} released it: {row.reason!r}")


def _documents(situation: Situation) -> Iterator[Event]:
    for one in situation.regions:
        published = known(one.document)
        for state in published.document.endpoints if published else ():
            yield from _states(f"SSM of {one.region}", state)


def _states(source: str, state: EndpointState) -> Iterator[Event]:
    effective = f"{state.effective.value} ({state.reason})"
    observed = f"observed {state.observed.value}"
    if state.observed_since == state.since:
        yield Event(state.since, source, state.region, f"{observed}, and {effective}")
        return
    if state.observed_since is not None:
        yield Event(state.observed_since, source, state.region, observed)
    yield Event(state.since, source, state.region, effective)


def _alarms(situation: Situation) -> Iterator[Event]:
    groups = [(one.region, one.alarms) for one in situation.regions]
    for region, alarms in [*groups, ("", situation.global_alarms)]:
        source = f"CloudWatch of {region}" if region else "CloudWatch of the global stack"
        for alarm in known(alarms) or ():
            if alarm.since is None or alarm.state == "INSUFFICIENT_DATA":
                continue
            said = alarm_advice(alarm.name) if alarm.state == "ALARM" else ""
            text = f"alarm {alarm.name} is {alarm.state}{': ' + said if said else ''}"
            yield Event(alarm.since, source, region, text)


def _checks(situation: Situation) -> Iterator[Event]:
    for one in situation.regions:
        report = known(one.check)
        if report is None:
            continue
        mark = ", disabled" if report.check.disabled else ", inverted" if report.check.inverted else ""
        healthy = "healthy" if report.healthy else "unhealthy"
        text = f"its check is {healthy}{mark}: {report.tally.passed} of {report.tally.fresh} checkers pass"
        yield Event(situation.at, "Route 53", one.region, text)
