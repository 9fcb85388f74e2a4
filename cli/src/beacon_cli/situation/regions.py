"""Why a Region is in or out, what brings it back and when, and what to do now. Pure.

The order of the sentences: the health check; what operators force; what the publishers observe; what a
return takes; alarms, stack and write canary.
"""

from __future__ import annotations

from beacon.model import EndpointState, Forced, Observed
from beacon.predict import Span, dns_after, ssm_after
from beacon_cli.situation.advice import ADVICE, alarm_advice
from beacon_cli.situation.drains import drain_advice, release_advice, release_command
from beacon_cli.situation.finding import Finding, Level, clock, joined, span
from beacon_cli.situation.model import Alarm, CheckReport, ForcedState, RegionSituation, Situation, known

__all__ = ["about", "alarm_finding", "return_of", "seen_by"]

#: Below this share of checkers a Region that is in is looked at: the alarm `checkers-disagree` has the same.
_AGREE_PERCENT = 80
_BROKEN = ("FAILED", "ROLLBACK")


def about(situation: Situation, region: str) -> list[Finding]:
    """Everything to be said of ``region``, in the module's order."""
    one = situation.region(region)
    return [
        *_check(situation, one),
        *_forced(situation, one),
        *_observed(situation, one),
        *_return(situation, one),
        *_around(one, situation),
    ]


def seen_by(situation: Situation, region: str) -> dict[str, EndpointState]:
    """The row of ``region`` in each Region's document, by the observer."""
    rows = {
        one.region: state
        for one in situation.regions
        if (published := known(one.document)) and (state := published.document.state_of(region))
    }
    own = {region: rows[region]} if region in rows else {}
    return own | rows


def _check(situation: Situation, one: RegionSituation) -> list[Finding]:
    report = known(one.check)
    if report is None:
        return []
    region, check, counted = one.region, report.check, report.tally
    share = f"{counted.passed} of {counted.fresh} checkers find it healthy"
    repair = f"aws route53 update-health-check --health-check-id {check.id}"
    if check.disabled and check.inverted:
        text = f"The health check of {region} is disabled and inverted: Route 53 counts it as unhealthy."
        return [Finding(Level.WARN, text, f"{repair} --no-disabled --no-inverted", region)]
    if check.disabled:
        text = f"The health check of {region} is disabled: Route 53 counts it as healthy in any case."
        return [Finding(Level.BAD, text, f"{repair} --no-disabled", region)]
    if check.inverted:
        return [_inverted(region, report, share, situation.where)]
    return [_share(situation, region, report, share)]


def _share(situation: Situation, region: str, report: CheckReport, share: str) -> Finding:
    counted, failure = report.tally, _short(report.tally.common_failure)
    if not counted.known:
        text = f"{region}: only {counted.fresh} of {counted.reported} checkers have reported lately."
        return Finding(Level.WARN, text, "", region)
    if not report.healthy:
        return Finding(Level.WARN, f"{region} is out of DNS: {share}; most say: {failure}.", "", region)
    if counted.passed * 100 >= _AGREE_PERCENT * counted.fresh:
        return Finding(Level.DETAIL, f"{region} is in DNS: {share}.", "", region)
    text = f"{region} is in DNS, and only {share}; most of the others say: {failure}."
    advice, command = drain_advice(situation, region, "checkers disagree")
    return Finding(Level.WARN, f"{text} {advice}", command, region)


def _short(status: str) -> str:
    """A checker's words without the outcome and the address, which the sentence does not need."""
    return status.removeprefix("Failure: ").partition(". Resolved IP")[0]


def _inverted(region: str, report: CheckReport, share: str, where: str) -> Finding:
    command = f"beacon break-glass restore {region} {where}".rstrip()
    if report.healthy is None:
        text = (
            f"The health check of {region} is inverted, and only {report.tally.fresh} of"
            f" {report.tally.reported} checkers have reported lately:"
            f" whether {region} is in DNS is not known."
        )
        return Finding(Level.WARN, text, command, region)
    if report.tally.reported == 0:
        text = f"The health check of {region} is inverted and has no data: Route 53 counts it as unhealthy."
        return Finding(Level.WARN, text, command, region)
    if report.healthy:
        text = (
            f"The health check of {region} is inverted while {region} fails ({share}): Route 53 counts it as"
            " healthy and can send clients there."
        )
        return Finding(Level.BAD, text, command, region)
    text = (
        f"{region} is out of DNS by break glass: its health check is inverted ({share}). SSM stays as it is."
    )
    return Finding(Level.WARN, text, command, region)


def _forced(situation: Situation, one: RegionSituation) -> list[Finding]:
    region, rows = one.region, seen_by(situation, one.region)
    drained_in = [observer for observer, state in rows.items() if state.forced is Forced.DRAIN]
    forced = known(situation.forced)
    if forced is None:
        if not drained_in:
            return []
        until = next((rows[name].forced_until for name in drained_in if rows[name].forced_until), None)
        ends = f" until {clock(until, situation.at)}" if until else " until it is released"
        text = f"{region} is drained{ends}, by the document of {joined(drained_in)}; by whom is not known."
        advice, command = release_advice(situation, region)
        return [Finding(Level.WARN, f"{text} {advice}", command, region)]
    row = forced.of(region)
    if row is None or not row.forced:
        if not drained_in:
            return []
        text = (
            f"The drain of {region} has ended; the document of {joined(drained_in)} follows at its next tick."
        )
        return [Finding(Level.INFO, text, "", region)]
    found = [_drained(situation, one, row)]
    behind = [name for name, state in rows.items() if state.forced is None]
    if behind:
        text = f"The document of {joined(behind)} does not show the drain yet: its next tick does."
        found.append(Finding(Level.INFO, text, "", region))
    return found


def _drained(situation: Situation, one: RegionSituation, row: ForcedState) -> Finding:
    if row.until is None:
        ends = "until it is released"
    else:
        left = span((row.until - situation.at).total_seconds())
        ends = f"until {clock(row.until, situation.at)} ({left} left)"
    since = clock(row.changed_at, situation.at)
    text = f"{row.actor} has drained {row.region} since {since}, {ends}: {row.reason!r}."
    others = [other for other in situation.regions if other.region != one.region]
    rows = seen_by(situation, one.region)
    passes = any(state.observed is Observed.UP for state in rows.values())
    if others and passes and all(other.healthy is False for other in others):
        text += " It works, and no other Region does: release it."
        return Finding(Level.BAD, text, release_command(situation, row.region), row.region)
    advice, command = release_advice(situation, row.region)
    return Finding(Level.WARN, f"{text} {advice}", command, row.region)


def _observed(situation: Situation, one: RegionSituation) -> list[Finding]:
    rows = seen_by(situation, one.region)
    down = {name: state for name, state in rows.items() if state.observed is Observed.DOWN}
    if not down:
        return []
    state = next(iter(down.values()))
    since = state.observed_since or state.since
    reason = state.reason if state.reason in ADVICE else ""
    text = (
        f"The publisher of {joined(down)} observes {one.region} down since {clock(since, situation.at)}"
        f" ({span((situation.at - since).total_seconds())}){': ' + reason if reason else ''}."
    )
    if up := [name for name, other in rows.items() if other.observed is Observed.UP]:
        text += f" That of {joined(up)} observes it up: the path between Regions may be broken."
    found = [Finding(Level.WARN, text, "", one.region)]
    if reason:
        log = (
            f"aws logs tail /aws/lambda/{situation.service}-health --region {one.region} --since 30m"
            """ --filter-pattern '{ $.message = "health" }'"""
        )
        found.append(Finding(Level.INFO, ADVICE[reason], log, one.region))
    return found


def return_of(situation: Situation, *, drained: bool) -> tuple[Span, Span] | None:
    """How long DNS and SSM take to have a Region back, from its repair or its release; without the TTL."""
    timings = situation.timings
    if timings is None:
        return None
    dns = dns_after(timings, failing=False, answer_s=0.1)
    return dns, ssm_after(timings) if drained else ssm_after(timings, recovering=True)


def _return(situation: Situation, one: RegionSituation) -> list[Finding]:
    rows = seen_by(situation, one.region)
    drained = any(state.forced is Forced.DRAIN for state in rows.values())
    down = any(state.observed is Observed.DOWN for state in rows.values())
    if one.healthy is not False and not drained and not down:
        return []
    if by_hand := _return_by_hand(one):
        return [Finding(Level.INFO, by_hand, "", one.region)]
    spans = return_of(situation, drained=drained and not down)
    after = "the repair and the release" if drained and down else "the release" if drained else "the repair"
    if spans is None:
        return [Finding(Level.INFO, f"{one.region} comes back by itself after {after}.", "", one.region)]
    dns, ssm = spans
    answer = known(situation.authoritative)
    ttl = f" and the TTL of {answer.ttl_s} s" if answer else ""
    parts = []
    if one.healthy is False:
        parts.append(f"is back in DNS in {span(dns.earliest_s)} to {span(dns.latest_s)}{ttl}")
    if drained or down:
        parts.append(f"may come first in SSM in {span(ssm.earliest_s)} to {span(ssm.latest_s)}")
    text = f"After {after}, {one.region} {', and '.join(parts)}."
    return [Finding(Level.INFO, text, "", one.region)]


def _return_by_hand(one: RegionSituation) -> str:
    """What brings the Region back where its check does not follow the checkers; empty where it does."""
    report = known(one.check)
    if report is None:
        return ""
    if report.check.disabled and report.check.inverted:
        return f"{one.region} is back in DNS after its health check is enabled and no longer inverted."
    if report.check.disabled:
        return f"DNS keeps {one.region} in until its health check is enabled: a repair changes nothing there."
    if report.check.inverted and report.healthy:
        return f"A repair takes {one.region} out of DNS until its health check is no longer inverted."
    if report.check.inverted:
        return f"{one.region} is back in DNS after its health check is no longer inverted, if it works then."
    return ""


def _around(one: RegionSituation, situation: Situation) -> list[Finding]:
    """Alarms that are on, a stack in trouble, a write canary that fails."""
    found = [
        alarm_finding(alarm, one.region, situation)
        for alarm in known(one.alarms) or ()
        if alarm.state == "ALARM"
    ]
    stack = known(one.stack)
    if stack is not None and any(word in stack.status for word in _BROKEN):
        text = f"The stack of {one.region} is {stack.status}."
        command = f"aws cloudformation describe-stack-events --region {one.region} --stack-name {stack.name}"
        found.append(Finding(Level.WARN, text, command, one.region))
    canary = known(one.canary)
    if canary is not None and canary.failed:
        text = (
            f"{canary.failed} commits of the write canary failed in {one.region} within {canary.minutes} min."
            " Nothing is taken out by itself."
        )
        advice, command = drain_advice(situation, one.region, "writes fail")
        if command:
            text += " Drain it if your application writes."
        found.append(Finding(Level.WARN, f"{text} {advice}", command, one.region))
    return found


def alarm_finding(alarm: Alarm, region: str, situation: Situation, level: Level = Level.WARN) -> Finding:
    """An alarm that is on, of ``region`` or, where that is empty, of the deployment."""
    said = alarm_advice(alarm.name)
    since = f" since {clock(alarm.since, situation.at)}" if alarm.since else ""
    text, command = f"Alarm {alarm.name}{since}{': ' + said if said else ''}.", ""
    if alarm.name.endswith("-probes-fail") and situation.region(region).healthy is not False:
        advice, command = drain_advice(situation, region, "probes fail")
        text += f" {'Drain it if clients fail. ' if command else ''}{advice}"
    return Finding(level, text, command, region)
