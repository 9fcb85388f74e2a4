"""The text of a samconfig.toml: every parameter of template.yaml and global.yaml, with its default. Pure.

The file that the repository holds is this text with placeholders, which a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["PLACEHOLDER", "Line", "file_text", "global_section", "region_section"]

PLACEHOLDER = "REPLACE_ME"
_HEAD = "version = 0.1\n"
_SAM = """capabilities = "CAPABILITY_NAMED_IAM"
resolve_s3 = true
confirm_changeset = true
fail_on_empty_changeset = false
"""
_GLOBAL_SAM = """confirm_changeset = true
fail_on_empty_changeset = false
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One parameter of a Region's section; an empty ``heading`` continues the group of the line before."""

    name: str
    default: str
    heading: str = ""
    comment: str = ""


#: Every parameter of template.yaml, in the order of the file.
LINES = (
    Line("App", "beacon", "the same in every Region"),
    Line("Env", "prod"),
    Line("PathToken", PLACEHOLDER, comment="openssl rand -hex 16"),
    Line(
        "DsqlClusterArns", PLACEHOLDER, comment="arn:aws:dsql:REGION:ACCOUNT:cluster/ID, one for each Region"
    ),
    Line("DbUser", "beacon_probe"),
    Line("DsqlEndpoint", PLACEHOLDER, "this Region", "ID.dsql.REGION.on.aws"),
    Line("PeerEndpoints", PLACEHOLDER, comment="OTHER_REGION=ID.dsql.OTHER_REGION.on.aws"),
    Line("RoutingPolicy", "none", "DNS record", "none, failover, latency or weighted"),
    Line("FailoverRole", "PRIMARY", comment="'' under latency and weighted"),
    Line("Weight", "100"),
    Line("HostedZoneId", ""),
    Line("RecordName", ""),
    Line("RecordTarget", ""),
    Line("RecordTargetZoneId", ""),
    Line("RecordTtl", "10"),
    Line("RequestInterval", "10", "Route 53 health check"),
    Line("FailureThreshold", "3"),
    Line("CheckerRegions", "us-east-1,us-west-2,eu-west-1"),
    Line("OperatorCidrs", "", comment="such as 203.0.113.0/24, to use curl"),
    Line("ProbeDeadlineMs", "1000", "probe and decision"),
    Line("Fall", "5"),
    Line("Rise", "2"),
    Line("FailbackHoldSeconds", "90"),
    Line("Ranking", "latency"),
    Line("PublishEverySeconds", "60"),
    Line("WriteCanary", "off"),
    Line("Architecture", "arm64", "functions"),
    Line("HealthMemoryMb", "1024"),
    Line("HealthReservedConcurrency", "20", comment="0 if the account's quota is below 121"),
    Line("PublisherReservedConcurrency", "1", comment="0 if the account's quota is below 101"),
    Line("LogRetentionDays", "365"),
    Line("WebAcl", "false", "account and network"),
    Line("AccessLogs", "false"),
    Line("SubnetIds", ""),
    Line("SecurityGroupIds", ""),
    Line("PermissionsBoundaryArn", ""),
    Line("Alarms", "true", "watching and drills"),
    Line("AlarmTopicArn", ""),
    Line("Tracing", "false"),
    Line("FaultExperiment", "false"),
)
_PLACES = ("First", "Second", "Third")


def file_text(head: str, sections: Sequence[str]) -> str:
    """A whole file: ``head`` are lines of comment."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head.splitlines())
    return "\n".join([comment + _HEAD, *sections])


def region_section(region: str, stack_name: str, values: Mapping[str, str]) -> str:
    """The section of ``region``: ``values`` in place of the defaults."""
    lines = []
    for line in LINES:
        if line.heading:
            lines.append(f"    # {line.heading}")
        entry = f'    "{line.name}={quoted(values.get(line.name, line.default))}",'
        lines.append(f"{entry} # {line.comment}" if line.comment else entry)
    return (
        f'[{region}.global.parameters]\nstack_name = "{stack_name}"\nregion = "{region}"\n\n'
        f"[{region}.deploy.parameters]\n{_SAM}parameter_overrides = [\n" + "\n".join(lines) + "\n]\n"
    )


def global_section(app: str, env: str, regions: Sequence[str], topic: str) -> str:
    """The section of global.yaml, which is deployed after the Regions.

    The ids of the health checks are not known before; `beacon deploy` takes them from Route 53.
    """
    rows = [f"App={app}", f"Env={env}"]
    for place, region in zip(_PLACES, [*regions, "", "", ""], strict=False):
        rows += [
            f"{place}Region={quoted(region)}",
            f"{place}HealthCheckId={PLACEHOLDER if region else quoted('')}",
        ]
    rows += [f"AlarmTopicArn={quoted(topic)}", "WithDashboard=false"]
    entries = "\n".join(f'    "{row}",' for row in rows)
    return (
        "# For all Regions together. This stack is always in us-east-1, where Route 53's metrics are.\n"
        "# `beacon deploy` takes the ids of the health checks from Route 53.\n"
        f'[global.deploy.parameters]\nstack_name = "{app}-{env}-global"\nregion = "us-east-1"\n'
        f'template_file = "global.yaml"\n{_GLOBAL_SAM}parameter_overrides = [\n{entries}\n]\n'
    )


def quoted(value: str) -> str:
    """A value as `sam deploy` reads it in an override: the empty one as two quotation marks."""
    return value if value and " " not in value else f"'{value}'"
