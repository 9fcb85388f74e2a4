"""What template.yaml refuses: every wrong parameter and every contradiction, all of them in one error."""

import tomllib
from typing import Any

import pytest
from samcli.cli.types import CfnParameterOverridesType
from tests.places import ROOT

from beacon_lab.stack.document import ParametersError
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import read_template

TEMPLATE: Any = read_template(ROOT / "template.yaml")
HOST = "a" * 26 + ".dsql.us-east-1.on.aws"
PEER = "b" * 26 + ".dsql.us-east-2.on.aws"
GOOD = {
    "PathToken": "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85",
    "DsqlClusterArns": f"arn:aws:dsql:us-east-1:123456789012:cluster/{'a' * 26}",
    "DsqlEndpoint": HOST,
    "PeerEndpoints": f"us-east-2={PEER}",
}
AMERICA_AND_EUROPE = ["us-east-1", "us-west-1", "us-west-2", "eu-west-1", "sa-east-1"]
ASIA = ["ap-southeast-1", "ap-southeast-2", "ap-northeast-1"]
TOPIC = "arn:aws:sns:us-east-1:123456789012:oncall"
RECORD = {"HostedZoneId": "Z0123456789", "RecordName": "db.example.com"}


def reasons(**changes: str) -> tuple[str, ...]:
    try:
        TemplateResolver.create(TEMPLATE, {**GOOD, **changes}, region="us-east-1", stack_name="x")
    except ParametersError as error:
        return error.reasons
    return ()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"PeerEndpoints": ""},
        {"PeerEndpoints": f"us-east-2={PEER},us-west-2={'c' * 26}.dsql.us-west-2.on.aws"},
        {"OperatorCidrs": "198.51.100.0/24,203.0.113.8/32"},
        {"RoutingPolicy": "latency", **RECORD},
        {"RoutingPolicy": "weighted", **RECORD, "Weight": "0"},
        {"RoutingPolicy": "failover", **RECORD, "FailoverRole": "SECONDARY"},
        {"RoutingPolicy": "none", **RECORD, "FailoverRole": "PRIMARY"},
        {"CheckerRegions": ",".join([*AMERICA_AND_EUROPE, *ASIA])},
        {"RecordTarget": "api.example.com", "RecordTargetZoneId": "Z0123456789"},
        {"SubnetIds": "subnet-01234567,subnet-89abcdef01234567", "SecurityGroupIds": "sg-01234567"},
        {"AlarmTopicArn": TOPIC, "Tracing": "true", "WebAcl": "true", "FaultExperiment": "true"},
        {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/teams/bound"},
        {"RecordTtl": "1", "RequestInterval": "30", "FailureThreshold": "10"},
    ],
)
def test_a_legal_set_of_parameters_is_accepted(changes: dict[str, str]) -> None:
    """The refusals below are about what they change and nothing else."""
    assert reasons(**changes) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("App", "Orders"),
        ("App", "1orders"),
        ("App", "orders-"),
        ("App", "a" * 21),
        ("Env", "e" * 13),
        ("PathToken", "short"),
        ("PathToken", "a/" * 16),
        ("PathToken", "*" * 32),
        ("DsqlClusterArns", ""),
        ("DsqlClusterArns", "*"),
        ("DsqlClusterArns", "arn:aws:dsql:us-east-1:123456789012:cluster/*"),
        ("DbUser", "admin"),
        ("DbUser", "Beacon"),
        ("DsqlEndpoint", f"https://{HOST}"),
        ("DsqlEndpoint", f"{HOST}:5432"),
        ("DsqlEndpoint", f"{HOST}."),
        ("DsqlEndpoint", HOST.upper()),
        ("DsqlEndpoint", "localhost"),
        ("DsqlEndpoint", "169.254.169.254"),
        ("PeerEndpoints", PEER),
        ("PeerEndpoints", f"us-east-1={PEER}"),
        ("PeerEndpoints", f"us-east-2={PEER},"),
        ("PeerEndpoints", f"us-east-2={PEER}, us-west-2={'c' * 26}.dsql.us-west-2.on.aws"),
        ("PeerEndpoints", f"us-east-2={PEER},us-west-2={'c' * 26}.dsql.us-east-2.on.aws"),
        ("RoutingPolicy", "geolocation"),
        ("FailoverRole", "primary"),
        ("Weight", "256"),
        ("Weight", "-1"),
        ("Weight", "many"),
        ("HostedZoneId", "/hostedzone/Z0123456789"),
        ("RecordName", "db_example"),
        ("RecordName", "https://db.example.com"),
        ("RecordTarget", "10.0.0.1"),
        ("RecordTtl", "0"),
        ("RecordTtl", "61"),
        ("RequestInterval", "20"),
        ("FailureThreshold", "0"),
        ("FailureThreshold", "11"),
        ("CheckerRegions", "us-east-1,us-west-2"),
        ("CheckerRegions", "us-east-1,us-west-2,us-east-2"),
        ("OperatorCidrs", "0.0.0.0/0"),
        ("OperatorCidrs", "198.51.100.0/24,all"),
        ("OperatorCidrs", "198.51.100.300/32"),
        ("ProbeDeadlineMs", "1801"),
        ("ProbeDeadlineMs", "99"),
        ("Fall", "0"),
        ("Rise", "21"),
        ("FailbackHoldSeconds", "-1"),
        ("FailbackHoldSeconds", "3601"),
        ("Ranking", "random"),
        ("PublishEverySeconds", "15"),
        ("WriteCanary", "true"),
        ("Architecture", "riscv"),
        ("HealthMemoryMb", "128"),
        ("HealthReservedConcurrency", "-1"),
        ("PublisherReservedConcurrency", "2"),
        ("App", "aws-orders"),
        ("App", "ssm"),
        ("LogRetentionDays", "2"),
        ("RecordTargetZoneId", "/hostedzone/Z0123456789"),
        ("WebAcl", "yes"),
        ("AccessLogs", "on"),
        ("SubnetIds", "vpc-01234567"),
        ("SubnetIds", "subnet-01234567, subnet-89abcdef"),
        ("SecurityGroupIds", "sg-*"),
        ("PermissionsBoundaryArn", "bound"),
        ("Alarms", "1"),
        ("AlarmTopicArn", "oncall@example.com"),
        ("Tracing", "Active"),
        ("FaultExperiment", "now"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: str) -> None:
    """One reason, and it starts with the parameter."""
    found = reasons(**{name: value})
    assert len(found) == 1
    assert found[0].startswith(f"{name} must be ")


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"RoutingPolicy": "latency", "RecordName": "db.example.com"}, "HostedZoneId"),
        ({"RoutingPolicy": "weighted", "HostedZoneId": "Z0123456789"}, "RecordName"),
        ({"RoutingPolicy": "failover", **RECORD}, "FailoverRole"),
        (
            {"RoutingPolicy": "failover", **RECORD, "FailoverRole": "PRIMARY", "PeerEndpoints": ""},
            "PeerEndpoints",
        ),
        ({"RecordTargetZoneId": "Z0123456789"}, "RecordTarget"),
        ({"SubnetIds": "subnet-01234567"}, "SecurityGroupIds"),
        ({"SecurityGroupIds": "sg-01234567"}, "SubnetIds"),
        ({"Alarms": "false", "AlarmTopicArn": TOPIC}, "AlarmTopicArn"),
        ({"RoutingPolicy": "latency", **RECORD, "FailoverRole": "PRIMARY"}, "FailoverRole"),
        ({"RoutingPolicy": "weighted", **RECORD, "FailoverRole": "SECONDARY"}, "FailoverRole"),
    ],
)
def test_a_contradiction_is_refused_by_a_rule(changes: dict[str, str], about: str) -> None:
    """Each value is fine; together they are not."""
    found = reasons(**changes)
    assert len(found) == 1
    assert about in found[0]


def test_every_reason_is_in_one_error() -> None:
    """Wrong values, a missing and an unknown parameter, and broken rules come together."""
    found = reasons(RecordTtl="0", Weight="many", Unknown="1", RoutingPolicy="failover", DsqlClusterArns="x")
    for part in (
        "RecordTtl",
        "Weight",
        "Unknown",
        "DsqlClusterArns",
        "HostedZoneId",
        "RecordName",
        "FailoverRole",
    ):
        assert [reason for reason in found if part in reason], part


@pytest.mark.parametrize("name", ["PathToken", "DsqlClusterArns", "DsqlEndpoint"])
def test_a_missing_parameter_is_named(name: str) -> None:
    """These have no default that could be right."""
    given = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(ParametersError) as refused:
        TemplateResolver.create(TEMPLATE, given, region="us-east-1", stack_name="x")
    assert [reason.split()[0] for reason in refused.value.reasons] == [name]


def test_a_refused_token_is_not_shown() -> None:
    """The error goes into logs."""
    assert "half-a-secret" not in " ".join(reasons(PathToken="half-a-secret"))


def test_every_parameter_is_described_and_in_one_group() -> None:
    """The console shows them in groups, each with its sentence."""
    parameters = TEMPLATE["Parameters"]
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(parameters)
    for name, declaration in parameters.items():
        assert declaration["Description"].endswith((".", "hex 16", "on.aws")), name


@pytest.mark.parametrize("region", ["us-east-1", "us-east-2"])
def test_the_example_configuration_is_complete_and_cannot_be_deployed_as_it_is(region: str) -> None:
    """With its placeholders it is refused for exactly those; filled in, it is a first deployment."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))[region]
    assert config["global"]["parameters"]["region"] == region
    given = CfnParameterOverridesType().convert(
        config["deploy"]["parameters"]["parameter_overrides"], None, None
    )
    assert given["RoutingPolicy"] == "none"
    with pytest.raises(ParametersError) as refused:
        TemplateResolver.create(TEMPLATE, given, region=region, stack_name="x")
    placeholders = {name for name, value in given.items() if "REPLACE_ME" in value}
    assert {reason.split()[0] for reason in refused.value.reasons} == placeholders
    hosts = {"us-east-1": HOST, "us-east-2": PEER}
    (peer,) = set(hosts) - {region}
    assert given["PeerEndpoints"] == f"{peer}=REPLACE_ME"
    filled = given | GOOD | RECORD | {"DsqlEndpoint": hosts[region], "PeerEndpoints": f"{peer}={hosts[peer]}"}
    TemplateResolver.create(TEMPLATE, filled, region=region, stack_name="x")
