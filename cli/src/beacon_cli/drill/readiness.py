"""Whether a drill may begin: what has to be good, and is not. Pure.

=========================================================  ==================================================
what is looked at                                          a drill is refused
=========================================================  ==================================================
each Region's health check                                 unhealthy, disabled, inverted, or not known
each Region's document                                     not known, past its end, frozen, or another Region
                                                           in it that is not up and in
operators' intents                                         not known, or a drain is in force
each Region's alarms                                       one rings, or they are not known
the record                                                 it leads to no Region, or cannot be asked
the settings                                               not known: there is nothing to compare with
a lab's faults                                             one is in force
the number of Regions                                      one: no other would serve
`--by fis`                                                 the stack has no experiment
=========================================================  ==================================================

What is not known counts as not good here: the drill would not know what it breaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from beacon.model import Effective, Observed
from beacon_cli.drill.kinds import FIS, Kind
from beacon_cli.intents.rules import drain_of
from beacon_cli.situation.finding import joined, span
from beacon_cli.situation.model import Alarm, Known, RegionSituation, Situation, known

__all__ = ["EXPERIMENT", "objections"]

#: The output of a Region's stack that names its FIS experiment template.
EXPERIMENT = "ExperimentTemplateId"


def objections(
    situation: Situation, region: str, kind: Kind, faults: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, ...]:
    """Every reason against a drill of ``region``, by the module's table; empty where it may begin."""
    found = []
    if len(situation.regions) < 2:
        found.append(f"{region} is the only Region: no other one would serve")
    for one in situation.regions:
        found += [*_check(one), *_document(situation, one), *_alarms(one)]
    found += [*_forced(situation), *_record(situation)]
    if situation.timings is None:
        found.append("the stacks' parameters are not known, so nothing can be predicted")
    alarms = known(situation.global_alarms) or ()
    found += [f"the alarm {alarm.name} rings" for alarm in alarms if alarm.state == "ALARM"]
    for name, kinds in (faults or {}).items():
        if kinds:
            found.append(f"the lab has broken {name} already: {joined(kinds)}")
    if kind.how == FIS:
        found += _experiment(situation.region(region))
    return tuple(dict.fromkeys(found))


def _check(one: RegionSituation) -> Iterator[str]:
    if not isinstance(one.check, Known):
        yield f"whether {one.region} serves is not known: {one.check.why}"
        return
    report = one.check.value
    if report.check.disabled or report.check.inverted:
        yield f"the health check of {one.region} is {'disabled' if report.check.disabled else 'inverted'}"
    elif not report.tally.known:
        yield f"only {report.tally.fresh} of {report.tally.reported} checkers of {one.region} report"
    elif not report.healthy:
        yield f"{one.region} does not serve: {report.tally.passed} of {report.tally.fresh} checkers pass"


def _document(situation: Situation, one: RegionSituation) -> Iterator[str]:
    if not isinstance(one.document, Known):
        yield one.document.why
        return
    published = one.document.value
    if published.stale(situation.at):
        age = span(published.age_s(situation.at))
        yield f"the document of {one.region} is {age} old: its publisher writes none"
        return
    if published.document.frozen:
        yield f"the publisher of {one.region} keeps its last order (frozen)"
    for state in published.document.endpoints:
        if state.observed is not Observed.UP:
            yield f"{one.region} observes {state.region} {state.observed.value} ({state.reason})"
        elif state.effective is not Effective.IN:
            yield f"{one.region} has {state.region} out ({state.reason})"


def _alarms(one: RegionSituation) -> Iterator[str]:
    if not isinstance(one.alarms, Known):
        yield f"the alarms of {one.region} are not known: {one.alarms.why}"
        return
    yield from (f"the alarm {alarm.name} rings" for alarm in one.alarms.value if _rings(alarm))


def _rings(alarm: Alarm) -> bool:
    return alarm.state == "ALARM"


def _forced(situation: Situation) -> Iterator[str]:
    if not isinstance(situation.forced, Known):
        yield f"the operators' intents are not known: {situation.forced.why}"
        return
    forced = situation.forced.value
    yield from (drain_of(row, forced.at) for row in forced.states if row.forced)


def _record(situation: Situation) -> Iterator[str]:
    if situation.authoritative is None:
        return
    if not isinstance(situation.authoritative, Known):
        yield situation.authoritative.why
        return
    answer = situation.authoritative.value
    if not answer.region:
        yield f"{situation.record_name} leads to {answer.target}, which is no Region of {situation.service}"


def _experiment(one: RegionSituation) -> Iterator[str]:
    stack = known(one.stack)
    if stack is None or EXPERIMENT not in stack.outputs:
        yield f"the stack of {one.region} has no {EXPERIMENT}: deploy it with FaultExperiment=true"
