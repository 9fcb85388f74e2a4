"""Stacks in a real AWS simulator: created, changed and deleted as CloudFormation would."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer
from tests.places import ROOT

from beacon_lab.stack import Code, Deployer, ParametersError, RecordRefusedError, Stack, TemplateError

TEMPLATE = ROOT / "template.yaml"
SESSION = boto3.Session(aws_access_key_id="AKIALAB", aws_secret_access_key="secret")
REGIONS = ("us-east-1", "us-east-2")
HOSTS = {"us-east-1": f"{'a' * 26}.dsql.us-east-1.on.aws", "us-east-2": f"{'b' * 26}.dsql.us-east-2.on.aws"}
TOKEN = "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85"
NAME = "orders-test"


@dataclass
class Aws:
    """The simulator, clients of it, and a zone for records."""

    url: str
    clients: ExitStack
    deploy: Deployer
    zone: str = ""

    def client(self, service: str, region: str = "us-east-1") -> Any:  # noqa: ANN401 - any service's
        made = SESSION.client(service, region_name=region, endpoint_url=self.url)  # type: ignore[call-overload]
        return self.clients.enter_context(closing(made))

    def create(self, region: str, **changes: str) -> Stack:
        return self.deploy.create(region, NAME, self.parameters(region) | changes)

    def parameters(self, region: str) -> dict[str, str]:
        (peer,) = set(REGIONS) - {region}
        arns = [f"arn:aws:dsql:{name}:123456789012:cluster/{host[:26]}" for name, host in HOSTS.items()]
        return {
            "App": "orders",
            "Env": "test",
            "PathToken": TOKEN,
            "DsqlClusterArns": ",".join(arns),
            "DsqlEndpoint": HOSTS[region],
            "PeerEndpoints": f"{peer}={HOSTS[peer]}",
            "HostedZoneId": self.zone,
            "RecordName": "db.orders.example",
        }

    def records(self) -> list[dict[str, Any]]:
        found = self.client("route53").list_resource_record_sets(HostedZoneId=self.zone)["ResourceRecordSets"]
        return [record for record in found if record["Name"] == "db.orders.example."]

    def health_checks(self) -> dict[str, dict[str, Any]]:
        found = self.client("route53").list_health_checks()["HealthChecks"]
        return {check["Id"]: check["HealthCheckConfig"] for check in found}


def deployer(url: str, template: Path = TEMPLATE, code: Code | None = None) -> Deployer:
    return Deployer(
        template, code or Code(), endpoint_url=url, access_key_id="AKIALAB", secret_access_key="secret"
    )


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def deploy(simulator: str) -> Deployer:
    """One for all tests: it loads the service models once."""
    return deployer(simulator)


@pytest.fixture
def aws(simulator: str, deploy: Deployer) -> Iterator[Aws]:
    """An empty account with one hosted zone."""
    moto_api_backend.reset()
    with ExitStack() as clients:
        found = Aws(simulator, clients, deploy)
        created = found.client("route53").create_hosted_zone(Name="orders.example", CallerReference="test")
        found.zone = created["HostedZone"]["Id"].removeprefix("/hostedzone/")
        yield found


def both(aws: Aws, **changes: str) -> dict[str, Stack]:
    roles = {"us-east-1": "PRIMARY", "us-east-2": "SECONDARY"}
    return {region: aws.create(region, FailoverRole=roles[region], **changes) for region in REGIONS}


def test_a_stack_is_there_for_the_aws_cli(aws: Aws) -> None:
    """Stack, outputs, roles, log groups and API answer in their Region as after `sam deploy`."""
    stack = aws.create("us-east-2")
    described = aws.client("cloudformation", "us-east-2").describe_stacks(StackName=NAME)["Stacks"][0]
    assert {item["OutputKey"]: item["OutputValue"] for item in described["Outputs"]} == dict(stack.outputs)
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []
    role = aws.client("iam").get_role(RoleName="orders-test-health-us-east-2")["Role"]
    assert role["Arn"] == stack.functions["HealthFunction"].role_arn == stack.outputs["HealthRoleArn"]
    groups = aws.client("logs", "us-east-2").describe_log_groups()["logGroups"]
    assert {group["logGroupName"]: group["retentionInDays"] for group in groups} == {
        "/aws/lambda/orders-test-health": 365,
        "/aws/lambda/orders-test-publisher": 365,
    }
    apis = aws.client("apigateway", "us-east-2").get_rest_apis()["items"]
    assert [(api["id"], api["name"]) for api in apis] == [(stack.api.id, NAME)]


def test_two_regions_have_two_stacks_of_one_name(aws: Aws) -> None:
    """Nothing that is global collides, and each knows the other."""
    stacks = both(aws)
    assert len({stack.api.host for stack in stacks.values()}) == 2
    for region, stack in stacks.items():
        assert stack.api.host == f"{stack.api.id}.execute-api.{region}.amazonaws.com"
        (peer,) = set(REGIONS) - {region}
        expected = f"{region}={HOSTS[region]},{peer}={HOSTS[peer]}"
        assert {function.environment["BEACON_ENDPOINTS"] for function in stack.functions.values()} == {
            expected
        }


def test_the_health_check_keeps_every_field(aws: Aws) -> None:
    """EnableSNI and the checker Regions too, in Route 53 as in what the lab is given."""
    stack = aws.create("us-east-1", CheckerRegions="us-east-1,eu-west-1,sa-east-1", RequestInterval="30")
    config = stack.health_check.config
    stored = aws.health_checks()[stack.health_check.id]
    assert stored["EnableSNI"] is config.enable_sni is True
    assert tuple(stored["Regions"]) == config.regions == ("us-east-1", "eu-west-1", "sa-east-1")
    assert stored["RequestInterval"] == config.request_interval_s == 30
    assert stored["FullyQualifiedDomainName"] == config.fully_qualified_domain_name == stack.api.host
    assert stored["SearchString"] == config.search_string == "beacon:orders-test:us-east-1:serving"
    assert stored["Type"] == config.type == "HTTPS_STR_MATCH"
    assert stack.health_url == f"https://{stack.api.host}/live/{TOKEN}/health"
    assert stack.outputs["HealthCheckId"] == stack.health_check.id


def test_code_comes_from_the_working_tree_or_from_a_build(aws: Aws) -> None:
    """By default from the directories that the template names; from a build where one is given."""
    from_source = aws.create("us-east-1").functions
    assert from_source["HealthFunction"].code_dir == ROOT / "functions" / "health"
    assert from_source["PublisherFunction"].layer_dirs == (ROOT / "layers" / "beacon" / "src",)
    names = ("HealthFunction", "PublisherFunction", "BeaconLayer")
    built = deployer(aws.url, code=Code({name: Path("/built") / name for name in names}))
    from_build = built.create("us-east-2", NAME, aws.parameters("us-east-2")).functions
    assert from_build["HealthFunction"].code_dir == Path("/built/HealthFunction")
    assert from_build["HealthFunction"].layer_dirs == (Path("/built/BeaconLayer"),)


def test_records_come_with_an_update_and_carry_the_same_health_checks(aws: Aws) -> None:
    """The first deployment's order: everything but the records, then the records."""
    first = both(aws)
    assert aws.records() == []
    second = {
        region: aws.deploy.update(stack, {"RoutingPolicy": "failover"}) for region, stack in first.items()
    }
    assert {record["Failover"]: record["HealthCheckId"] for record in aws.records()} == {
        "PRIMARY": first["us-east-1"].outputs["HealthCheckId"],
        "SECONDARY": first["us-east-2"].outputs["HealthCheckId"],
    }
    assert len(aws.health_checks()) == 2
    assert second["us-east-1"].api.id == first["us-east-1"].api.id
    assert second["us-east-1"].record is not None
    assert second["us-east-1"].record.values == (HOSTS["us-east-1"],)


def test_an_update_of_one_region_leaves_the_others_record_alone(aws: Aws) -> None:
    """A changed or removed record is distinguished from its sibling by its set identifier."""
    stacks = both(aws, RoutingPolicy="failover")
    changed = aws.deploy.update(stacks["us-east-1"], {"RecordTtl": "20"})
    assert {record["Failover"]: record["TTL"] for record in aws.records()} == {"PRIMARY": 20, "SECONDARY": 10}
    aws.deploy.update(changed, {"RoutingPolicy": "none"})
    assert [record["Failover"] for record in aws.records()] == ["SECONDARY"]


@pytest.mark.parametrize(
    ("policy", "field_name", "values"),
    [("latency", "Region", ["us-east-1", "us-east-2"]), ("weighted", "Weight", [100, 100])],
)
def test_latency_and_weighted_records_stand_side_by_side(
    aws: Aws, policy: str, field_name: str, values: list[object]
) -> None:
    """One record a Region, by the policy's own field."""
    for region in REGIONS:
        aws.create(region, RoutingPolicy=policy)
    assert sorted(record[field_name] for record in aws.records()) == values


def test_an_alias_is_written_as_one_and_goes_with_its_stack(aws: Aws) -> None:
    """Route 53 keeps the target and its zone, and no TTL."""
    target = {
        "RecordTarget": "d-abc.execute-api.us-east-1.amazonaws.com",
        "RecordTargetZoneId": "Z1UJRXOUMOOFQ8",
    }
    stack = aws.create("us-east-1", RoutingPolicy="latency", **target)
    (record,) = aws.records()
    assert record["Type"] == "A"
    assert record["AliasTarget"] == {
        "DNSName": "d-abc.execute-api.us-east-1.amazonaws.com",
        "HostedZoneId": "Z1UJRXOUMOOFQ8",
        "EvaluateTargetHealth": True,
    }
    assert "TTL" not in record
    aws.deploy.delete(stack)
    assert aws.records() == []


def test_every_option_at_once_can_be_deployed(aws: Aws) -> None:
    """What the lab does not run it still resolves, and says by which id a drill is started."""
    switches = dict.fromkeys(("WebAcl", "AccessLogs", "Tracing", "Alarms", "FaultExperiment"), "true")
    network = {"SubnetIds": "subnet-01234567", "SecurityGroupIds": "sg-01234567"}
    stack = aws.create("us-east-1", **switches, **network)
    assert stack.outputs["ExperimentTemplateId"]
    groups = aws.client("logs").describe_log_groups()["logGroups"]
    assert {group["logGroupName"] for group in groups} >= {
        "aws-waf-logs-orders-test",
        "/aws/apigateway/orders-test-access",
    }


def test_a_new_interval_makes_a_new_health_check_and_the_record_follows(aws: Aws) -> None:
    """Route 53 cannot change it; the earlier check goes, and no record is left without one."""
    stack = both(aws, RoutingPolicy="failover")["us-east-1"]
    changed = aws.deploy.update(stack, {"RequestInterval": "30"})
    assert changed.outputs["HealthCheckId"] != stack.outputs["HealthCheckId"]
    assert stack.outputs["HealthCheckId"] not in aws.health_checks()
    assert {record["HealthCheckId"] for record in aws.records()} == set(aws.health_checks())


def test_a_new_token_changes_the_health_check_in_place_and_the_policy(aws: Aws) -> None:
    """A rotation keeps the check's id, and so its state."""
    stack = aws.create("us-east-1")
    changed = aws.deploy.update(stack, {"PathToken": "new-token-new-token-new-token"})
    assert changed.outputs["HealthCheckId"] == stack.outputs["HealthCheckId"]
    (stored,) = aws.health_checks().values()
    assert stored["ResourcePath"] == "/live/new-token-new-token-new-token/health"
    statements: Any = changed.api.resource_policy["Statement"]
    assert statements[0]["Resource"][0].endswith("/live/GET/new-token-new-token-new-token/health")


def test_route_53_refuses_two_policies_and_two_primaries(aws: Aws) -> None:
    """As the service does, with the way out; the record that is there stays."""
    aws.create("us-east-1", RoutingPolicy="failover", FailoverRole="PRIMARY")
    other = aws.create("us-east-2")
    with pytest.raises(RecordRefusedError, match="RoutingPolicy=none in every Region"):
        aws.deploy.update(other, {"RoutingPolicy": "latency"})
    with pytest.raises(RecordRefusedError, match="already has a PRIMARY record"):
        aws.deploy.update(other, {"RoutingPolicy": "failover", "FailoverRole": "PRIMARY"})
    assert [record["Failover"] for record in aws.records()] == ["PRIMARY"]


def test_delete_takes_away_what_create_made_and_no_more(aws: Aws) -> None:
    """The other Region's stack stays whole."""
    stacks = both(aws, RoutingPolicy="failover")
    aws.deploy.delete(stacks["us-east-1"])
    assert [record["Failover"] for record in aws.records()] == ["SECONDARY"]
    assert set(aws.health_checks()) == {stacks["us-east-2"].outputs["HealthCheckId"]}
    roles = {role["RoleName"] for role in aws.client("iam").list_roles()["Roles"]}
    assert roles == {f"orders-test-{part}-us-east-2" for part in ("health", "publisher", "scheduler")}
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []


@pytest.mark.parametrize("act", [Deployer.create, Deployer.check])
def test_wrong_parameters_are_refused_before_anything_is_contacted(act: Callable[..., object]) -> None:
    """No server listens at this address; all reasons still come."""
    nowhere = deployer("http://127.0.0.1:9")
    with pytest.raises(ParametersError) as refused:
        act(nowhere, "us-east-1", NAME, {"RecordTtl": "0", "RoutingPolicy": "latency"})
    named = {reason.split()[0] for reason in refused.value.reasons}
    assert {"RecordTtl", "PathToken", "DsqlEndpoint", "DsqlClusterArns"} <= named


def test_an_update_that_cannot_be_simulated_is_refused_whole(aws: Aws) -> None:
    """Rather than a stack that only looks changed."""
    stack = aws.create("us-east-1")
    with pytest.raises(TemplateError, match="HealthLogGroup"):
        aws.deploy.update(stack, {"LogRetentionDays": "30"})
    with pytest.raises(ParametersError):
        aws.deploy.update(stack, {"RecordTtl": "600"})


def test_a_resource_that_the_lab_does_not_know_is_refused(aws: Aws, tmp_path: Path) -> None:
    """A template that grew must not lose a part in silence."""
    grown = TEMPLATE.read_text(encoding="utf-8").replace(
        "\nResources:\n", "\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n", 1
    )
    (tmp_path / "template.yaml").write_text(grown, encoding="utf-8")
    with pytest.raises(TemplateError, match=r"AWS::SQS::Queue \(Queue\)"):
        deployer(aws.url, tmp_path / "template.yaml").create("us-east-1", NAME, aws.parameters("us-east-1"))
