"""The table of checks, and the examination of facts by it. Pure.

Each row is a name that a pipeline can go by, what is good, and the function that finds what is not. A check
that is missing a fact says so: it is unknown, and not passed.
"""

from __future__ import annotations

from beacon_cli.doctor.checks import database, parameters, published, route53, stacks
from beacon_cli.doctor.facts import Facts
from beacon_cli.doctor.result import Check, Level, Outcome

__all__ = ["CHECKS", "examine", "passes"]

CHECKS = (
    Check("parameters-equal", "parameters", "the Regions' parameters agree", parameters.equal_where_needed),
    Check(
        "parameters-different",
        "parameters",
        "each Region has its own endpoint, peers and role",
        parameters.differ_where_needed,
    ),
    Check("file-and-stack", "parameters", "the stacks have the file's values", parameters.file_and_stack),
    Check("token-of-file", "parameters", "the file's path token is long and one", parameters.token_of_file),
    Check(
        "token-of-paths", "parameters", "check, API and file have one path token", parameters.token_of_paths
    ),
    Check("stack-state", "stacks", "the stacks are complete", stacks.stacks_are_complete),
    Check("stack-version", "stacks", "the stacks are of one version", stacks.stacks_are_of_one_version),
    Check("clusters-active", "clusters", "the clusters can serve", stacks.clusters_are_active),
    Check("clusters-linked", "clusters", "the clusters are linked", stacks.clusters_are_linked),
    Check("schema", "database", "schema and tables are there", database.schema_is_there),
    Check("grants", "database", "every role has its grants", database.grants_are_there),
    Check("mappings", "database", "the functions' IAM roles may log in", database.mappings_are_there),
    Check("rows", "database", "every Region has its row", database.rows_are_there),
    Check("logins", "database", "roles log in through every Region", database.roles_log_in),
    Check("drains", "database", "no drain is in force or left over", database.drains_are_meant),
    Check("checks-on", "Route 53", "no check is inverted or disabled", route53.checks_are_on),
    Check(
        "check-of-stack", "Route 53", "each Region has its stack's check", route53.check_is_that_of_the_stack
    ),
    Check("checkers", "Route 53", "checkers find every Region healthy", route53.checkers_report),
    Check("records-paired", "Route 53", "each record follows its check", route53.records_are_paired),
    Check("records-target", "Route 53", "each record leads to its Region", route53.records_lead_right),
    Check("ttl", "Route 53", "the TTL is that of the stack", route53.ttl_is_that_of_the_stack),
    Check("dns", "Route 53", "DNS leads to a Region", route53.dns_answers),
    Check("checker-ranges", "Route 53", "the API admits every checker", route53.ranges_are_current),
    Check("health-check-quota", "quotas", "health checks have head room", route53.quota_has_room),
    Check("concurrency", "quotas", "the concurrency is reserved", stacks.concurrency_is_reserved),
    Check("document-size", "quotas", "documents leave room in SSM", published.documents_fit),
    Check("schedule", "publisher", "the schedules are on", stacks.schedules_are_on),
    Check("publisher-runs", "publisher", "no run of a publisher failed", stacks.publishers_ran),
    Check("document-age", "publisher", "documents are fresh", published.documents_are_fresh),
    Check(
        "document-endpoints",
        "publisher",
        "documents name the file's endpoints",
        published.documents_name_the_regions,
    ),
    Check("canary", "publisher", "the write canary commits", published.canary_commits),
    Check("alarms-there", "alarms", "every alarm is there", published.alarms_are_there),
    Check("alarms-wired", "alarms", "alarms notify a topic that exists", published.alarms_are_wired),
    Check("alarms-quiet", "alarms", "no alarm is on or without data", published.alarms_are_quiet),
    Check(
        "alarms-global",
        "alarms",
        "the alarms of all Regions are there and quiet",
        published.whole_alarms_are_quiet,
    ),
    Check("clock", "operator", "this machine's clock is right", published.clock_is_right),
    Check("drill", "operator", "a drill passed within 90 days", published.drilled_lately),
)


def examine(facts: Facts) -> tuple[Outcome, ...]:
    """What every check of the table finds, in its order."""
    return tuple(Outcome(check.name, check.subject, check.good, tuple(check.find(facts))) for check in CHECKS)


def passes(outcomes: tuple[Outcome, ...], *, strict: bool = False) -> bool:
    """Whether no check fails; with ``strict``, whether none warns either."""
    refused = {Level.FAIL, Level.WARNING} if strict else {Level.FAIL}
    return not any(outcome.level in refused for outcome in outcomes)
