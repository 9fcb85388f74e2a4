"""Whether the stacks, the clusters and the functions are in a good state and of one version. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from beacon_cli.doctor.checks.reading import unread
from beacon_cli.doctor.facts import Facts
from beacon_cli.doctor.result import Problem, fail, warn
from beacon_cli.situation.model import known

__all__ = [
    "clusters_are_active",
    "clusters_are_linked",
    "concurrency_is_reserved",
    "publishers_ran",
    "schedules_are_on",
    "stacks_are_complete",
    "stacks_are_of_one_version",
]

_COMPLETE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}
_USABLE = {"UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "IMPORT_ROLLBACK_COMPLETE"}
#: A cluster without connections is IDLE, and the next login wakes it.
_SERVING = {"ACTIVE", "IDLE", "UPDATING"}
#: Lambda keeps this much of an account's concurrency unreserved.
_KEPT = 100
_SIXTEEN = 16


def stacks_are_complete(facts: Facts) -> Iterator[Problem]:
    """Each Region's stack is there and neither failed nor half done."""
    for one in facts.situation.regions:
        stack = known(one.stack)
        if stack is None:
            yield from unread(one.stack, one.region)
            continue
        show = f"aws cloudformation describe-stack-events --region {one.region} --stack-name {stack.name}"
        if stack.status in _USABLE or stack.status.endswith("_IN_PROGRESS"):
            yield warn(f"the stack of {one.region} is {stack.status}", show, one.region)
        elif stack.status not in _COMPLETE:
            yield fail(f"the stack of {one.region} is {stack.status}", show, one.region)


def stacks_are_of_one_version(facts: Facts) -> Iterator[Problem]:
    """Every Region runs the same template with the same code, by the digest of the template."""
    digests = {}
    for one in facts.regions:
        value = known(one.template)
        if value is None:
            yield from unread(one.template, one.region)
        else:
            digests[one.region] = value
    if len(set(digests.values())) < 2:
        return
    updated = {region: stack for region in digests if (stack := facts.stack(region))}
    oldest = (
        min(updated, key=lambda region: updated[region].updated_at) if updated else facts.regions[0].region
    )
    yield warn(
        f"the Regions run different templates or code; {oldest} was deployed first",
        f"beacon deploy {oldest} --go",
    )


def clusters_are_active(facts: Facts) -> Iterator[Problem]:
    """Each Region's cluster can serve, and is protected from deletion."""
    for one in facts.regions:
        cluster = known(one.cluster)
        if cluster is None:
            yield from unread(one.cluster, one.region)
            continue
        name = cluster.arn.rpartition("/")[2]
        show = f"aws dsql get-cluster --region {one.region} --identifier {name}"
        if cluster.status not in _SERVING:
            yield fail(f"the cluster of {one.region} is {cluster.status}", show, one.region)
        if not cluster.protected:
            yield warn(
                f"the cluster of {one.region} is not protected from deletion",
                f"aws dsql update-cluster --region {one.region} --identifier {name}"
                " --deletion-protection-enabled",
                one.region,
            )


def clusters_are_linked(facts: Facts) -> Iterator[Problem]:
    """Each cluster names every other one, and all name one witness: two writers reach one database."""
    clusters = {}
    for one in facts.regions:
        cluster = known(one.cluster)
        if cluster is None:
            yield from unread(one.cluster, one.region)
        else:
            clusters[one.region] = cluster
    for region, cluster in clusters.items():
        show = f"aws dsql get-cluster --region {region} --identifier {cluster.arn.rpartition('/')[2]}"
        others = {name: other.arn for name, other in clusters.items() if name != region}
        lacks = [name for name, arn in others.items() if arn not in cluster.linked]
        if lacks:
            yield fail(f"the cluster of {region} is not linked with that of {', '.join(lacks)}", show, region)
        named = facts.parameters(region).get("DsqlClusterArns", "")
        if named and cluster.arn not in named.split(","):
            yield fail(
                f"DsqlClusterArns of {region} does not name its cluster: the functions cannot log in",
                f"beacon deploy {region} --go",
                region,
            )
        host = facts.situation.region(region).host
        if cluster.endpoint and host and cluster.endpoint != host:
            yield fail(
                f"DsqlEndpoint of {region} is {host}, and the cluster's is {cluster.endpoint}", show, region
            )
    if len({cluster.witness for cluster in clusters.values() if cluster.witness}) > 1:
        yield fail("the clusters name different witness Regions: they are of several databases")


def concurrency_is_reserved(facts: Facts) -> Iterator[Problem]:
    """The functions have the concurrency of their parameters, and 100 are left unreserved."""
    for one in facts.regions:
        found = known(one.functions)
        if found is None:
            yield from unread(one.functions, one.region)
            continue
        given = facts.parameters(one.region)
        wanted: dict[str, int] = {
            "HealthReservedConcurrency": found.health_reserved,
            "PublisherReservedConcurrency": found.publisher_reserved,
        }
        deploy = f"beacon deploy {one.region} --go"
        for name, reserved in wanted.items():
            if name in given and given[name] != str(reserved):
                yield fail(
                    f"{name} of {one.region} is {given[name]}, and {reserved} are reserved",
                    deploy,
                    one.region,
                )
        reserved_here = found.health_reserved + found.publisher_reserved
        if reserved_here and found.limit - reserved_here < _KEPT:
            yield fail(
                f"the concurrency limit of {one.region} is {found.limit}: the next deployment is refused,"
                f" because {_KEPT} have to stay unreserved",
                f"aws lambda get-account-settings --region {one.region}",
                one.region,
            )
        elif not found.health_reserved and found.unreserved < _SIXTEEN * 2:
            yield warn(
                f"the health function of {one.region} shares {found.unreserved} with every other function",
                f"aws lambda get-account-settings --region {one.region}",
                one.region,
            )


def schedules_are_on(facts: Facts) -> Iterator[Problem]:
    """The publisher's schedule is enabled and ticks as often as the parameters say."""
    for one in facts.regions:
        schedule = known(one.schedule)
        if schedule is None:
            yield from unread(one.schedule, one.region)
            continue
        every = int(facts.parameters(one.region).get("PublishEverySeconds", "60"))
        minutes = max(1, every // 60)
        wanted = f"rate({minutes} minute{'s' if minutes > 1 else ''})"
        deploy = f"beacon deploy {one.region} --go"
        if not schedule.enabled:
            yield fail(
                f"the schedule of the publisher of {one.region} is disabled: its SSM goes stale",
                f"aws scheduler get-schedule --region {one.region}"
                f" --name {facts.situation.service}-publisher",
                one.region,
            )
        elif schedule.expression != wanted:
            yield warn(
                f"the publisher of {one.region} ticks at {schedule.expression}, not at {wanted}",
                deploy,
                one.region,
            )


def publishers_ran(facts: Facts) -> Iterator[Problem]:
    """No run of the publisher ended with an error lately."""
    for one in facts.regions:
        errors = known(one.publisher_errors)
        if errors is None:
            yield from unread(one.publisher_errors, one.region)
        elif errors:
            yield warn(
                f"{errors} run{'s' if errors > 1 else ''} of the publisher of {one.region} failed"
                " within the last 15 minutes",
                f"aws logs tail /aws/lambda/{facts.situation.service}-publisher --region {one.region}"
                " --since 15m",
                one.region,
            )
