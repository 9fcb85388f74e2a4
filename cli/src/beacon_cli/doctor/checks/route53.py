"""Whether Route 53's checks and records are those of the deployment, and belong together. Pure."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from beacon_cli.doctor.checks.reading import unread
from beacon_cli.doctor.facts import CheckConfig, Facts, Record
from beacon_cli.doctor.result import Problem, fail, skipped, unknown, warn
from beacon_cli.situation.model import known

__all__ = [
    "check_is_that_of_the_stack",
    "checkers_report",
    "checks_are_on",
    "dns_answers",
    "quota_has_room",
    "ranges_are_current",
    "records_are_paired",
    "records_lead_right",
    "ttl_is_that_of_the_stack",
]

_ROOM_PERCENT = 80
_NO_RECORD = "no record is on (RoutingPolicy=none)"


def checks_are_on(facts: Facts) -> Iterator[Problem]:
    """No check is inverted or disabled."""
    configs = known(facts.configs)
    if configs is None:
        yield from unread(facts.configs)
        return
    for one in configs:
        repair = f"aws route53 update-health-check --health-check-id {one.id}"
        if one.inverted:
            yield fail(
                f"the check of {one.region} is inverted: it takes the Region out while it passes",
                f"beacon break-glass restore {one.region}",
                one.region,
            )
        if one.disabled:
            yield fail(
                f"the check of {one.region} is disabled: Route 53 counts the Region as healthy",
                f"{repair} --no-disabled",
                one.region,
            )


def check_is_that_of_the_stack(facts: Facts) -> Iterator[Problem]:
    """One check a Region, the one of its stack, with SNI and a string to search for."""
    configs = known(facts.configs)
    if configs is None:
        yield from unread(facts.configs)
        return
    for region in (one.region for one in facts.regions):
        own = [one for one in configs if one.region == region]
        deploy = f"beacon deploy {region} --go"
        if not own:
            yield fail(f"{region} has no health check", deploy, region)
            continue
        if len(own) > 1:
            yield warn(
                f"{region} has {len(own)} health checks: one is left from an earlier deployment",
                "aws route53 list-health-checks --query 'HealthChecks[].[Id,HealthCheckConfig.SearchString]'",
                region,
            )
        stack = facts.stack(region)
        yield from unread(facts.situation.region(region).stack, region)
        wanted = stack.outputs.get("HealthCheckId", "") if stack else ""
        if wanted and wanted not in {one.id for one in own}:
            yield fail(f"the check of {region} is not that of its stack ({wanted})", deploy, region)
        yield from _form(facts, own[0], deploy)


def _form(facts: Facts, one: CheckConfig, deploy: str) -> Iterator[Problem]:
    if one.kind != "HTTPS_STR_MATCH" or not one.sni:
        yield fail(f"the check of {one.region} is not HTTPS with a string and SNI", deploy, one.region)
    given = facts.parameters(one.region)
    for name, value in (("RequestInterval", one.interval_s), ("FailureThreshold", one.threshold)):
        if name in given and given[name] != str(value):
            yield fail(
                f"the check of {one.region} has {name} {value}, and the stack {given[name]}",
                deploy,
                one.region,
            )


def checkers_report(facts: Facts) -> Iterator[Problem]:
    """Checkers get through TLS, policy and path: 80 % of them pass, as the alarm has it.

    A Region that an operator drains fails on purpose, and the check of drains says so.
    """
    forced = known(facts.situation.forced)
    drained = {row.region for row in forced.states if row.forced} if forced is not None else set()
    for one in facts.situation.regions:
        if one.region in drained:
            continue
        report = known(one.check)
        if report is None:
            yield from unread(one.check, one.region)
            continue
        tally = report.tally
        if tally.reported == 0 or not tally.known:
            yield unknown(f"too few checkers of {one.region} have reported lately", region=one.region)
        elif tally.passed * 100 < _ROOM_PERCENT * tally.fresh:
            why = f"; most say: {tally.common_failure}" if tally.common_failure else ""
            yield fail(
                f"{tally.passed} of {tally.fresh} checkers find {one.region} healthy{why}",
                f"beacon explain {one.region}{facts.where}",
                one.region,
            )


def records_are_paired(facts: Facts) -> Iterator[Problem]:
    """Each Region has one record with its own check, its set identifier and its place in the policy."""
    found = yield from _records(facts)
    if found is None:
        return
    configs = known(facts.configs)
    service = facts.situation.service
    for one in facts.regions:
        region = one.region
        name, given = f"{service}-{region}", facts.parameters(region)
        own = [record for record in found if record.set_identifier == name]
        deploy = f"beacon deploy {region} --go"
        if given.get("RoutingPolicy", "none") == "none":
            continue
        if not own:
            yield fail(f"{region} has no record with the set identifier {name}", deploy, region)
            continue
        checks = {config.id for config in configs or () if config.region == region}
        if not own[0].check_id:
            yield fail(f"the record of {region} has no check: it counts as healthy always", deploy, region)
        elif configs is not None and own[0].check_id not in checks:
            others = {config.id: config.region for config in configs}
            whose = others.get(own[0].check_id, "no Region")
            yield fail(f"the record of {region} follows the check of {whose}", deploy, region)
        yield from _policy(own[0], region, dict(given), deploy)
    known_names = {f"{service}-{one.region}" for one in facts.regions}
    for record in found:
        if record.set_identifier not in known_names:
            yield warn(
                f"{facts.situation.record_name} has a record {record.set_identifier or 'without identifier'}"
                " that no Region of the deployment owns",
                "aws route53 list-resource-record-sets --hosted-zone-id "
                + (facts.parameters(facts.regions[0].region).get("HostedZoneId") or "ZONE"),
            )


def _policy(record: Record, region: str, given: dict[str, str], deploy: str) -> Iterator[Problem]:
    policy = given.get("RoutingPolicy")
    if policy == "failover" and record.failover != given.get("FailoverRole", ""):
        yield fail(
            f"the record of {region} is {record.failover or 'no failover record'},"
            f" and the stack says {given.get('FailoverRole') or 'none'}",
            deploy,
            region,
        )
    if policy == "latency" and record.region != region:
        yield fail(f"the latency record of {region} is for {record.region or 'no Region'}", deploy, region)
    if policy == "weighted" and str(record.weight) != given.get("Weight", "100"):
        yield fail(
            f"the record of {region} has the weight {record.weight}, and the stack {given.get('Weight')}",
            deploy,
            region,
        )


def records_lead_right(facts: Facts) -> Iterator[Problem]:
    """Each record leads to its own Region's target, as a CNAME or an alias."""
    found = yield from _records(facts)
    if found is None:
        return
    for one in facts.regions:
        given, name = facts.parameters(one.region), f"{facts.situation.service}-{one.region}"
        wanted = (given.get("RecordTarget") or facts.situation.region(one.region).host).rstrip(".")
        for record in found:
            if record.set_identifier != name:
                continue
            deploy = f"beacon deploy {one.region} --go"
            if record.target != wanted:
                yield fail(
                    f"the record of {one.region} leads to {record.target}, not to {wanted}",
                    deploy,
                    one.region,
                )
            if record.is_alias != bool(given.get("RecordTargetZoneId")):
                is_now, has_to = ("an alias", "a CNAME") if record.is_alias else ("a CNAME", "an alias")
                yield fail(f"the record of {one.region} is {is_now}, not {has_to}", deploy, one.region)


def ttl_is_that_of_the_stack(facts: Facts) -> Iterator[Problem]:
    """At most 60 s, and that of the stack; an alias has its target's."""
    found = yield from _records(facts)
    if found is None:
        return
    for one in facts.regions:
        name, given = f"{facts.situation.service}-{one.region}", facts.parameters(one.region)
        for record in found:
            if record.set_identifier != name or record.ttl_s is None:
                continue
            deploy = f"beacon deploy {one.region} --go"
            if record.ttl_s > 60:
                yield fail(
                    f"the record of {one.region} has a TTL of {record.ttl_s} s:"
                    " clients stay that long in a broken Region",
                    deploy,
                    one.region,
                )
            elif "RecordTtl" in given and given["RecordTtl"] != str(record.ttl_s):
                yield warn(
                    f"the record of {one.region} has a TTL of {record.ttl_s} s,"
                    f" and the stack {given['RecordTtl']} s",
                    deploy,
                    one.region,
                )


def dns_answers(facts: Facts) -> Iterator[Problem]:
    """The zone's own name server answers with a target of the deployment."""
    fact = facts.situation.authoritative
    if fact is None:
        yield skipped(_NO_RECORD)
        return
    answer = known(fact)
    if answer is None:
        yield from unread(fact)
    elif not answer.region and not answer.is_address:
        yield fail(
            f"DNS sends clients to {answer.target}, which is of no Region of the deployment",
            f"beacon status{facts.where}",
        )


def ranges_are_current(facts: Facts) -> Iterator[Problem]:
    """The API admits every range that AWS lists for its checkers."""
    listed = known(facts.checker_ranges)
    if listed is None:
        yield from unread(facts.checker_ranges)
        return
    for one in facts.regions:
        policy = known(one.policy)
        if policy is None:
            yield from unread(one.policy, one.region)
            continue
        lacks, more = sorted(listed - policy.ranges), sorted(policy.ranges - listed)
        if lacks:
            yield fail(
                f"the API of {one.region} refuses checkers from {', '.join(lacks)}:"
                " add the ranges under Mappings in template.yaml",
                f"beacon deploy {one.region} --go",
                one.region,
            )
        if more:
            yield warn(
                f"the API of {one.region} admits {', '.join(more)}, which AWS no longer lists",
                f"beacon deploy {one.region} --go",
                one.region,
            )


def quota_has_room(facts: Facts) -> Iterator[Problem]:
    """Health checks of the account: under 80 % of the limit are used."""
    quota = known(facts.quota)
    if quota is None:
        yield from unread(facts.quota)
    elif quota.used * 100 > _ROOM_PERCENT * quota.limit:
        yield warn(
            f"the account has {quota.used} of {quota.limit} health checks",
            "aws service-quotas list-service-quotas --service-code route53 --region us-east-1",
        )


def _records(facts: Facts) -> Generator[Problem, None, tuple[Record, ...] | None]:
    """The records; where there are none to look at, the problem that says so."""
    given = {one.region: facts.parameters(one.region) for one in facts.regions}
    for region, own in given.items():
        if not own:
            yield from unread(facts.situation.region(region).stack, region)
    if all(own.get("RoutingPolicy", "none") == "none" for own in given.values()):
        yield skipped(_NO_RECORD)
        return None
    yield from unread(facts.records)
    return known(facts.records)
