"""Every contradiction that template.yaml refuses is refused by an engine that is not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.foreign.fleet import CLUSTERS, HOSTS, ONE, TOKEN, TWO
from tests.foreign.seen import Cloud
from tools.foreign_engine.process import ROOT

from beacon_lab.stack.translate import read_template

TEMPLATE = ROOT / "template.yaml"
GOOD = {
    "PathToken": TOKEN,
    "DsqlClusterArns": CLUSTERS,
    "DsqlEndpoint": HOSTS[ONE],
    "PeerEndpoints": f"{TWO}={HOSTS[TWO]}",
}
NAMED = {"HostedZoneId": "Z0123456789ABCDEFGHIJ", "RecordName": "db.example.com"}
#: By rule and assertion, parameters that contradict each other.
BROKEN: dict[tuple[str, int], dict[str, str]] = {
    ("RecordNeedsZoneAndName", 0): {"RoutingPolicy": "latency", "RecordName": "db.example.com"},
    ("RecordNeedsZoneAndName", 1): {"RoutingPolicy": "latency", "HostedZoneId": "Z0123456789ABCDEFGHIJ"},
    ("FailoverNeedsRole", 0): {**NAMED, "RoutingPolicy": "failover"},
    ("FailoverNeedsRole", 1): {
        **NAMED,
        "RoutingPolicy": "failover",
        "FailoverRole": "PRIMARY",
        "PeerEndpoints": "",
    },
    ("RoleNeedsFailover", 0): {**NAMED, "RoutingPolicy": "weighted", "FailoverRole": "PRIMARY"},
    ("AliasNeedsTarget", 0): {"RecordTargetZoneId": "Z1UJRXOUMOOFQ8"},
    ("TopicNeedsAlarms", 0): {"Alarms": "false", "AlarmTopicArn": f"arn:aws:sns:{ONE}:123456789012:oncall"},
    ("SubnetsNeedSecurityGroups", 0): {"SubnetIds": "subnet-01234567"},
    ("SecurityGroupsNeedSubnets", 0): {"SecurityGroupIds": "sg-01234567"},
}
#: A parameter each, with a value that its pattern or its bounds do not admit.
OUT_OF_BOUNDS = {
    "App": "Beacon",
    "CheckerRegions": "us-east-1,us-west-2",
    "DbUser": "admin",
    "DsqlEndpoint": "db.example.com",
    "Env": "a-very-long-environment",
    "FailureThreshold": "11",
    "OperatorCidrs": "0.0.0.0/0",
    "PathToken": "short",
    "PeerEndpoints": f"{TWO}={HOSTS[ONE]}",
    "ProbeDeadlineMs": "1800",
    "RecordTtl": "300",
    "RequestInterval": "20",
}


@pytest.fixture
def changes(cloud: Cloud) -> Changes:
    """A place for the template, and the way to ask for a change set of it."""
    return Changes(cloud)


class Changes:
    """Change sets of template.yaml, which is too large for a request: a bucket holds it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloudformation = cloud.client("cloudformation", ONE)
        s3 = cloud.client("s3", ONE)
        s3.create_bucket(Bucket="templates")
        s3.put_object(Bucket="templates", Key="template.yaml", Body=_with_code_in("templates", TEMPLATE))
        self._url = f"{cloud.url}/templates/template.yaml"

    def ask(self, name: str, parameters: dict[str, str]) -> Any:  # noqa: ANN401 - boto3's answer
        """Ask for a change set that would create a stack. Raises ClientError."""
        return self._cloudformation.create_change_set(
            StackName=name,
            ChangeSetName="try",
            ChangeSetType="CREATE",
            TemplateURL=self._url,
            Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )


def _with_code_in(bucket: str, template: Path) -> bytes:
    """The template with code addresses in S3, as `sam package` writes them."""
    text = template.read_text(encoding="utf-8")
    for key in ("CodeUri: functions/health", "CodeUri: functions/publisher", "ContentUri: layers/beacon/src"):
        assert key in text
        text = text.replace(key, f"{key.split(':')[0]}: s3://{bucket}/code.zip")
    return text.encode()


def test_each_rule_refuses_its_contradiction(changes: Changes) -> None:
    """Asked of the foreign engine, every assertion of every Rule."""
    rules: Any = read_template(TEMPLATE)["Rules"]
    known = {(name, place) for name, rule in rules.items() for place in range(len(rule["Assertions"]))}
    assert known == set(BROKEN)
    for number, ((rule, place), parameters) in enumerate(BROKEN.items()):
        with pytest.raises(ClientError) as refused:
            changes.ask(f"broken-{number}", GOOD | parameters)
        assert rules[rule]["Assertions"][place]["AssertDescription"] in str(refused.value)
    changes.ask("whole", GOOD)


def test_each_bound_is_enforced(changes: Changes) -> None:
    """Patterns, lengths and lists of values, as the engine reads them."""
    for number, (name, value) in enumerate(OUT_OF_BOUNDS.items()):
        with pytest.raises(ClientError, match=name):
            changes.ask(f"bounds-{number}", GOOD | {name: value})
