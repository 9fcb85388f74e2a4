"""Two Regions of one deployment in the foreign engine, deployed with `sam deploy` from a samconfig.toml."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from tests.foreign.clients import Project
from tests.foreign.compare import hold_against
from tests.foreign.seen import Cloud, Seen

from beacon_lab.names import ACCOUNT_ID

ONE, TWO = "us-east-1", "us-east-2"
STACK = "beacon-prod"
HOSTS = {region: f"{letter * 26}.dsql.{region}.on.aws" for region, letter in ((ONE, "a"), (TWO, "b"))}
CLUSTERS = ",".join(
    f"arn:aws:dsql:{region}:{ACCOUNT_ID}:cluster/{host[:26]}" for region, host in HOSTS.items()
)
TOKEN = "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85"
NAME = "db.example.com"


class Fleet:
    """An operator's view: change the file, deploy a Region, and see that the cloud is what the file says."""

    def __init__(self, project: Project, cloud: Cloud) -> None:
        self.project, self.cloud = project, cloud
        zone = cloud.client("route53", ONE).create_hosted_zone(Name="example.com", CallerReference="one")
        self.zone = zone["HostedZone"]["Id"].rpartition("/")[2]
        for region, other in ((ONE, TWO), (TWO, ONE)):
            self.set(
                region,
                {
                    "PathToken": TOKEN,
                    "DsqlClusterArns": CLUSTERS,
                    "HostedZoneId": self.zone,
                    "RecordName": NAME,
                    "DsqlEndpoint": HOSTS[region],
                    "PeerEndpoints": f"{other}={HOSTS[other]}",
                },
            )

    def set(self, region: str, values: Mapping[str, str | None]) -> None:
        """Change the Region's section of samconfig.toml; None takes a line out."""
        self.project.fill(region, values)

    def deploy(self, region: str, values: Mapping[str, str | None] | None = None) -> dict[str, Seen]:
        """Change the file, deploy the Region, and hold its stack against the file; its resources."""
        self.set(region, values or {})
        done = self.project.sam_deploy(region)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return self.seen(region)

    def refused(self, region: str, values: Mapping[str, str | None]) -> str:
        """Change the file and deploy the Region, which has to fail; what sam says."""
        self.set(region, values)
        done: subprocess.CompletedProcess[str] = self.project.sam_deploy(region)
        assert done.returncode != 0, done.stdout[-3000:]
        return done.stderr

    def seen(self, region: str) -> dict[str, Seen]:
        """The Region's resources, held against its section of the file."""
        template = self.project.directory / "template.yaml"
        return hold_against(self.cloud, template, STACK, region, self.project.parameters(region))

    def records(self) -> dict[str, str]:
        """What each Region's record under the name says, by Region: its role, latency Region or weight."""
        listed = self.cloud.client("route53", ONE).list_resource_record_sets(HostedZoneId=self.zone)
        found = [each for each in listed["ResourceRecordSets"] if each["Type"] not in {"NS", "SOA"}]
        return {
            each["SetIdentifier"].removeprefix(f"{STACK}-"): str(
                each.get("Failover") or each.get("Region") or each["Weight"]
            )
            for each in found
        }

    def health_paths(self) -> list[str]:
        """The path of every health check that exists."""
        checks = self.cloud.client("route53", ONE).list_health_checks()["HealthChecks"]
        return [check["HealthCheckConfig"]["ResourcePath"] for check in checks]

    def left_behind(self, region: str) -> list[str]:
        """What still stands in a Region of all that a stack makes, whatever made it."""
        client = self.cloud.client
        names = [each["FunctionName"] for each in client("lambda", region).list_functions()["Functions"]]
        names += [each["name"] for each in client("apigateway", region).get_rest_apis()["items"]]
        names += [
            each["AlarmName"] for each in client("cloudwatch", region).describe_alarms()["MetricAlarms"]
        ]
        names += [each["logGroupName"] for each in client("logs", region).describe_log_groups()["logGroups"]]
        names += [each["Name"] for each in client("scheduler", region).list_schedules()["Schedules"]]
        names += [each["LayerName"] for each in client("lambda", region).list_layers()["Layers"]]
        names += [each["Name"] for each in client("wafv2", region).list_web_acls(Scope="REGIONAL")["WebACLs"]]
        names += [each["Name"] for each in client("wafv2", region).list_ip_sets(Scope="REGIONAL")["IPSets"]]
        roles = client("iam", region).list_roles()["Roles"]
        names += [each["RoleName"] for each in roles if each["RoleName"].endswith(region)]
        checks = client("route53", region).list_health_checks()["HealthChecks"]
        names += [found for each in checks if region in (found := each["HealthCheckConfig"]["SearchString"])]
        return names
