"""Whether what readers get is fresh: documents, the canary, clocks, alarms and drills. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from beacon_cli.doctor.checks.reading import unread
from beacon_cli.doctor.facts import Facts
from beacon_cli.doctor.result import Problem, fail, skipped, unknown, warn
from beacon_cli.situation.model import known

__all__ = [
    "alarms_are_quiet",
    "alarms_are_there",
    "alarms_are_wired",
    "canary_commits",
    "clock_is_right",
    "documents_are_fresh",
    "documents_fit",
    "documents_name_the_regions",
    "drilled_lately",
    "whole_alarms_are_quiet",
]

#: The alarms that template.yaml makes in each Region, behind the deployment's name.
ALARMS = (
    "document-too-old",
    "publisher-fails",
    "health-fails",
    "health-throttled",
    "probes-fail",
    "intent-unreadable",
    "logins-in-trouble",
    "drained-too-long",
)
#: SSM refuses a standard parameter above 4,096 bytes.
_LARGEST_BYTES, _ROOM_PERCENT = 4096, 80
#: SigV4 is refused beyond 5 min; a document that seems this old is taken for stale much earlier.
_SKEW_WARN_S, _SKEW_FAIL_S = 5.0, 60.0
_DRILL_DAYS = 90


def documents_are_fresh(facts: Facts) -> Iterator[Problem]:
    """Each Region's document is within two ticks, and in no way past its validity."""
    now = facts.situation.at
    for one in facts.situation.regions:
        document = known(one.document)
        if document is None:
            yield from unread(one.document, one.region)
            continue
        age_s = document.age_s(now)
        every_s = int(facts.parameters(one.region).get("PublishEverySeconds", "60"))
        show = (
            f"aws logs tail /aws/lambda/{facts.situation.service}-publisher --region {one.region} --since 1h"
        )
        if document.stale(now):
            yield fail(
                f"the document of {one.region} is {age_s:.0f} s old: readers ignore its order",
                show,
                one.region,
            )
        elif age_s > 2 * every_s + 60:
            yield warn(
                f"the document of {one.region} is {age_s:.0f} s old, and is written every {every_s} s",
                show,
                one.region,
            )
        if document.document.frozen:
            yield warn(
                f"the publisher of {one.region} finds every Region unhealthy and keeps the last order",
                f"beacon explain{facts.where}",
                one.region,
            )


def documents_name_the_regions(facts: Facts) -> Iterator[Problem]:
    """Each document has the endpoints of the configuration, and the other parameter its first."""
    hosts = {one.region: one.host for one in facts.situation.regions}
    for one in facts.situation.regions:
        published = known(one.document)
        if published is None:
            yield from unread(one.document, one.region)
            continue
        shown = {state.region: state.host for state in published.document.endpoints}
        deploy = f"beacon deploy {one.region} --go"
        strangers = sorted(host for name, host in shown.items() if hosts.get(name) != host)
        lacks = sorted(name for name in hosts if name not in shown)
        if strangers:
            yield fail(
                f"the document of {one.region} has {', '.join(strangers)}, which the file does not name",
                deploy,
                one.region,
            )
        if lacks:
            yield fail(f"the document of {one.region} does not name {', '.join(lacks)}", deploy, one.region)
        if published.endpoint not in shown.values():
            yield fail(
                f"the endpoint parameter of {one.region} is {published.endpoint or 'not there'},"
                " which its document does not name",
                f"aws lambda invoke --region {one.region} --function-name"
                f" {facts.situation.service}-publisher --invocation-type Event answer.json",
                one.region,
            )


def documents_fit(facts: Facts) -> Iterator[Problem]:
    """A document leaves room below SSM's limit for one parameter."""
    for one in facts.regions:
        store = known(one.store)
        if store is None:
            yield from unread(one.store, one.region)
        elif store.document_bytes * 100 > _ROOM_PERCENT * _LARGEST_BYTES:
            stack = facts.stack(one.region)
            name = stack.outputs.get("DocumentParameter", "NAME") if stack else "NAME"
            yield warn(
                f"the document of {one.region} has {store.document_bytes} of {_LARGEST_BYTES} bytes",
                f"aws ssm get-parameter --region {one.region} --name {name}",
                one.region,
            )


def clock_is_right(facts: Facts) -> Iterator[Problem]:
    """This machine's clock, beside the Date of AWS's answers: ages and predictions go by it."""
    skews = []
    for one in facts.regions:
        store = known(one.store)
        if store is None:
            yield from unread(one.store, one.region)
        else:
            skews.append(store.skew_s)
    if not skews:
        return
    worst = min(skews, key=abs)  # a slow answer adds to it, so the smallest is the nearest to the truth
    text = f"this machine's clock is {abs(worst):.0f} s {'ahead of' if worst > 0 else 'behind'} that of AWS"
    if abs(worst) > _SKEW_FAIL_S:
        yield fail(text, "timedatectl status")
    elif abs(worst) > _SKEW_WARN_S:
        yield warn(text, "timedatectl status")


def canary_commits(facts: Facts) -> Iterator[Problem]:
    """Where the write canary is on, its commits pass."""
    states = [one.canary for one in facts.situation.regions]
    if all(one is None for one in states):
        yield skipped("the write canary is off (WriteCanary=off)")
    for one in facts.situation.regions:
        canary = known(one.canary)
        if one.canary is not None and canary is None:
            yield from unread(one.canary, one.region)
        elif canary is not None and canary.failed:
            yield fail(
                f"{canary.failed} commits of the write canary of {one.region} failed"
                f" within {canary.minutes} minutes",
                f"beacon explain {one.region}{facts.where}",
                one.region,
            )


def alarms_are_there(facts: Facts) -> Iterator[Problem]:
    """Every alarm of the template exists in every Region."""
    for one in facts.regions:
        wiring = known(one.wiring)
        if wiring is None:
            yield from unread(one.wiring, one.region)
            continue
        if facts.parameters(one.region).get("Alarms") == "false":
            yield warn(
                f"{one.region} has no alarms (Alarms=false)",
                f"beacon deploy {one.region} --go",
                one.region,
            )
            continue
        lacks = [name for name in ALARMS if f"{facts.situation.service}-{name}" not in wiring.actions]
        if lacks:
            yield fail(
                f"{one.region} lacks the alarm{'s' if len(lacks) > 1 else ''} {', '.join(lacks)}",
                f"beacon deploy {one.region} --go",
                one.region,
            )


def alarms_are_wired(facts: Facts) -> Iterator[Problem]:
    """Each alarm notifies a topic, and the topic exists."""
    for one in facts.regions:
        wiring = known(one.wiring)
        if wiring is None:
            yield from unread(one.wiring, one.region)
            continue
        deploy = f"beacon deploy {one.region} --go"
        mute = sorted(name for name, actions in wiring.actions.items() if not actions)
        if mute and facts.parameters(one.region).get("AlarmTopicArn"):
            yield fail(f"{', '.join(mute)} of {one.region} notifies no topic", deploy, one.region)
        elif mute:
            yield warn(f"the alarms of {one.region} notify no topic: set AlarmTopicArn", deploy, one.region)
        for topic in sorted(wiring.missing_topics):
            yield fail(
                f"alarms of {one.region} notify {topic}, which does not exist",
                f"aws sns list-topics --region {one.region}",
                one.region,
            )
        if wiring.disabled:
            yield fail(
                f"the actions of {', '.join(sorted(wiring.disabled))} of {one.region} are off",
                f"aws cloudwatch enable-alarm-actions --region {one.region} --alarm-names"
                f" {' '.join(sorted(wiring.disabled))}",
                one.region,
            )


def alarms_are_quiet(facts: Facts) -> Iterator[Problem]:
    """No alarm is in ALARM, and none is without data long after it was made."""
    for one in facts.situation.regions:
        alarms = known(one.alarms)
        if alarms is None:
            yield from unread(one.alarms, one.region)
            continue
        own = next(row for row in facts.regions if row.region == one.region)
        if not alarms and known(own.wiring) is None:
            yield from unread(own.wiring, one.region)
        for alarm in alarms:
            show = f"aws cloudwatch describe-alarms --region {one.region} --alarm-names {alarm.name}"
            waited = alarm.since is not None and facts.situation.at - alarm.since > timedelta(minutes=10)
            if alarm.state == "ALARM":
                yield warn(f"{alarm.name} of {one.region} is in ALARM", show, one.region)
            elif alarm.state == "INSUFFICIENT_DATA" and waited:
                yield warn(f"{alarm.name} of {one.region} has no data: it may never start", show, one.region)


def whole_alarms_are_quiet(facts: Facts) -> Iterator[Problem]:
    """The alarms of global.yaml: there, and none is in ALARM."""
    fact = facts.situation.global_alarms
    if fact is None:
        yield (
            skipped("not in the lab: a lab makes no alarms")
            if facts.is_lab
            else warn("no stack of global.yaml watches that a Region serves at all", "beacon deploy --all")
        )
        return
    alarms = known(fact)
    if alarms is None:
        yield from unread(fact)
        return
    for alarm in alarms:
        if alarm.state == "ALARM":
            yield warn(
                f"{alarm.name} is in ALARM",
                f"aws cloudwatch describe-alarms --region us-east-1 --alarm-names {alarm.name}",
            )
    if not alarms:
        yield fail("the stack of global.yaml has no alarm no-region-serves", "beacon deploy --all --go")


def drilled_lately(facts: Facts) -> Iterator[Problem]:
    """The newest drill passed, within 90 days."""
    drill = known(facts.drills)
    again = f"beacon drill {facts.regions[-1].region} --by drain{facts.where}"
    if drill is None:
        for one in unread(facts.drills):
            yield unknown(one.text, again) if one.level.value == "unknown" else one
        return
    days = (facts.situation.at - drill.at).days
    if not drill.passed:
        yield warn(f"the last drill ({drill.path}) did not pass", f"beacon drill --replay {drill.path}")
    elif days > _DRILL_DAYS:
        yield warn(f"the last drill was {days} days ago ({drill.path})", again)
