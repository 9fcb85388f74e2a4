"""samconfig.toml walked through the changes of docs/rollout.md, on stacks that keep previous values.

After each step the resources are looked at: records in Route 53, the functions' endpoints, the resource
policy, the roles. The lines of the file are the only input, as for an operator.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer
from scripts.stack import Stored, kept, read_declared, read_stack
from tests.places import ROOT

from beacon_cli.configuration.samconfig import read_deployments
from beacon_lab.stack import Code, Deployer, ParametersError, Stack

SESSION = boto3.Session(aws_access_key_id="AKIALAB", aws_secret_access_key="secret")
ONE, TWO = "us-east-1", "us-east-2"
HOSTS = {ONE: f"{'a' * 26}.dsql.{ONE}.on.aws", TWO: f"{'b' * 26}.dsql.{TWO}.on.aws"}
ARNS = {region: f"arn:aws:dsql:{region}:123456789012:cluster/{host[:26]}" for region, host in HOSTS.items()}
NAME, RECORD, RANGE = "beacon-prod", "db.orders.example", "203.0.113.0/24"


@dataclass
class Desk:
    """samconfig.toml as an operator edits it, and `sam deploy`, which gives CloudFormation its lines only."""

    url: str
    clients: ExitStack
    deployer: Deployer
    lines: dict[str, dict[str, str]]
    stacks: dict[str, Stack] = field(default_factory=dict)

    def client(self, service: str, region: str = ONE) -> Any:  # noqa: ANN401 - any service's
        made = SESSION.client(service, region_name=region, endpoint_url=self.url)  # type: ignore[call-overload]
        return self.clients.enter_context(closing(made))

    def deploy(self, region: str, **lines: str) -> None:
        """Change ``lines`` of a Region's section, then deploy it."""
        given = self.lines[region]
        given.update(lines)
        if region in self.stacks:
            self.stacks[region] = self.deployer.update(self.stacks[region], given)
        else:
            self.stacks[region] = self.deployer.create(region, NAME, given)

    def everywhere(self, **lines: str) -> None:
        """The same change in every Region that has a stack, one after the other."""
        for region in self.stacks:
            self.deploy(region, **lines)

    def remove(self, region: str) -> None:
        self.deployer.delete(self.stacks.pop(region))

    @property
    def zone(self) -> str:
        zone = self.client("route53").list_hosted_zones()["HostedZones"][0]["Id"]
        return str(zone).removeprefix("/hostedzone/")

    def records(self, policy: str) -> dict[str, str]:
        """Every record by its Region, with the value of its policy's field."""
        listed = self.client("route53").list_resource_record_sets(HostedZoneId=self.zone)
        records = [one for one in listed["ResourceRecordSets"] if one["Name"] == f"{RECORD}."]
        fields = {"Failover", "Region", "Weight"}
        assert [fields & one.keys() for one in records] == [{policy}] * len(records)
        return {one["SetIdentifier"].removeprefix(f"{NAME}-"): str(one[policy]) for one in records}

    def endpoints(self, region: str) -> set[str]:
        """The Regions that each function of this one knows, its publisher and so its document among them."""
        functions = self.stacks[region].functions.values()
        (known,) = {function.environment["BEACON_ENDPOINTS"] for function in functions}
        return {pair.partition("=")[0] for pair in known.split(",")}

    def may_log_in_to(self, region: str) -> object:
        """The clusters of the publisher's role, from IAM."""
        policy = self.client("iam").get_role_policy(
            RoleName=f"{NAME}-publisher-{region}", PolicyName="publisher"
        )
        return policy["PolicyDocument"]["Statement"][0]["Resource"]

    def admitted(self, region: str) -> list[str]:
        """The ranges beside the checkers' that the resource policy lets in."""
        statements: Any = self.stacks[region].api.resource_policy["Statement"]
        return [
            cidr
            for statement in statements
            if statement["Sid"] != "Checkers"
            for cidr in statement["Condition"]["IpAddress"]["aws:SourceIp"]
        ]

    def stored(self, region: str) -> Stored:
        """The stack as scripts/deploy-region reads it."""
        found = read_stack(self.client("cloudformation", region), NAME)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def desk(simulator: str) -> Iterator[Desk]:
    """An empty account with a zone, and the project's file with its placeholders filled in."""
    moto_api_backend.reset()
    deployer = Deployer(
        ROOT / "template.yaml",
        Code(),
        endpoint_url=simulator,
        access_key_id="AKIALAB",
        secret_access_key="secret",
    )
    sections = read_deployments(ROOT / "samconfig.toml")
    lines = {}
    for me, peer in ((ONE, TWO), (TWO, ONE)):
        lines[me] = dict(sections[me].parameters) | {
            "PathToken": "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85",
            "DsqlClusterArns": f"{ARNS[me]},{ARNS[peer]}",
            "DsqlEndpoint": HOSTS[me],
            "PeerEndpoints": f"{peer}={HOSTS[peer]}",
        }
    with ExitStack() as clients:
        found = Desk(simulator, clients, deployer, lines)
        found.client("route53").create_hosted_zone(Name="orders.example", CallerReference="test")
        yield found


def test_none_to_failover_to_latency_and_back_to_none(desk: Desk) -> None:
    """Every policy is left through none, by lines with explicit values alone."""
    desk.deploy(ONE)
    desk.deploy(TWO)
    assert desk.records("Failover") == {}
    desk.everywhere(RoutingPolicy="failover", HostedZoneId=desk.zone, RecordName=RECORD)
    assert desk.records("Failover") == {ONE: "PRIMARY", TWO: "SECONDARY"}
    desk.everywhere(RoutingPolicy="none")
    assert desk.records("Failover") == {}
    desk.everywhere(RoutingPolicy="latency", FailoverRole="")
    assert desk.records("Region") == {ONE: ONE, TWO: TWO}
    desk.everywhere(RoutingPolicy="none", HostedZoneId="", RecordName="")
    assert desk.records("Region") == {}
    assert desk.stored(ONE).parameters["RecordName"] == ""
    desk.everywhere(RoutingPolicy="weighted", Weight="7", HostedZoneId=desk.zone, RecordName=RECORD)
    assert desk.records("Weight") == {ONE: "7", TWO: "7"}


def test_a_line_that_is_taken_out_changes_nothing_and_the_guard_names_it(desk: Desk) -> None:
    """The rule of the template refuses the role that is still there; the guard says so before."""
    zone = desk.zone
    desk.deploy(ONE, RoutingPolicy="failover", HostedZoneId=zone, RecordName=RECORD, OperatorCidrs=RANGE)
    desk.deploy(ONE, RoutingPolicy="none")
    for name in ("FailoverRole", "OperatorCidrs", "PathToken", "RecordTtl"):
        del desk.lines[ONE][name]
    declared = read_declared(ROOT / "template.yaml")
    assert kept(desk.stored(ONE), desk.lines[ONE], declared) == {
        "FailoverRole": "PRIMARY",
        "OperatorCidrs": RANGE,
    }
    with pytest.raises(ParametersError, match="FailoverRole has no meaning"):
        desk.deploy(ONE, RoutingPolicy="latency")
    desk.deploy(ONE, RoutingPolicy="none")
    assert desk.admitted(ONE) == [RANGE]
    assert desk.stored(ONE).parameters["PathToken"] == "****"
    assert desk.stacks[ONE].parameters["PathToken"] == "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85"
    desk.deploy(ONE, RoutingPolicy="latency", FailoverRole="", OperatorCidrs="")
    assert desk.records("Region") == {ONE: ONE}
    assert kept(desk.stored(ONE), desk.lines[ONE], declared) == {}


def test_an_operator_range_is_added_and_removed(desk: Desk) -> None:
    """Removed by its empty value, for a line that is missing would leave it admitted."""
    desk.deploy(ONE)
    assert desk.admitted(ONE) == []
    desk.deploy(ONE, OperatorCidrs=f"{RANGE},198.51.100.0/24")
    assert desk.admitted(ONE) == [RANGE, "198.51.100.0/24"]
    desk.deploy(ONE, OperatorCidrs=RANGE)
    assert desk.admitted(ONE) == [RANGE]
    desk.deploy(ONE, OperatorCidrs="")
    assert desk.admitted(ONE) == []


def test_a_region_is_added_and_removed(desk: Desk) -> None:
    """While it is there it is probed, published and may be logged in to; afterwards none of these is left."""
    alone = {"PeerEndpoints": "", "DsqlClusterArns": ARNS[ONE]}
    both = {"PeerEndpoints": f"{TWO}={HOSTS[TWO]}", "DsqlClusterArns": f"{ARNS[ONE]},{ARNS[TWO]}"}
    record = {"HostedZoneId": desk.zone, "RecordName": RECORD, "FailoverRole": ""}
    desk.deploy(ONE, **alone, **record, RoutingPolicy="weighted")
    assert (desk.endpoints(ONE), desk.may_log_in_to(ONE)) == ({ONE}, [ARNS[ONE]])

    desk.deploy(TWO)
    assert desk.records("Weight") == {ONE: "100"}
    desk.deploy(ONE, **both)
    assert (desk.endpoints(ONE), desk.may_log_in_to(ONE)) == ({ONE, TWO}, [ARNS[ONE], ARNS[TWO]])
    desk.deploy(TWO, **record, RoutingPolicy="weighted")
    assert desk.records("Weight") == {ONE: "100", TWO: "100"}

    desk.deploy(TWO, RoutingPolicy="none")
    assert desk.records("Weight") == {ONE: "100"}
    desk.deploy(ONE, **alone)
    assert (desk.endpoints(ONE), desk.may_log_in_to(ONE)) == ({ONE}, [ARNS[ONE]])
    desk.remove(TWO)
    assert desk.records("Weight") == {ONE: "100"}
    assert len(desk.client("route53").list_health_checks()["HealthChecks"]) == 1


def test_a_default_that_changes_with_the_template_leaves_the_value_that_the_stack_has(
    desk: Desk, tmp_path: Path
) -> None:
    """UsePreviousValue again: the stack took the earlier default, and no line says otherwise."""
    del desk.lines[ONE]["RecordTtl"]
    zone = {"HostedZoneId": desk.zone, "RecordName": RECORD, "RoutingPolicy": "failover"}
    desk.deploy(ONE, **zone)
    record = desk.stacks[ONE].record
    assert record is not None
    assert record.ttl_s == 10
    declaration = "  RecordTtl:\n    Type: Number\n    Default: "
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    assert f"{declaration}10" in text
    newer = tmp_path / "template.yaml"
    newer.write_text(text.replace(f"{declaration}10", f"{declaration}20"), encoding="utf-8")
    (tmp_path / "functions").symlink_to(ROOT / "functions")
    (tmp_path / "layers").symlink_to(ROOT / "layers")
    desk.deployer = Deployer(
        newer, Code(), endpoint_url=desk.url, access_key_id="AKIALAB", secret_access_key="secret"
    )
    desk.deploy(ONE)
    (listed,) = desk.client("route53").list_resource_record_sets(
        HostedZoneId=desk.zone, StartRecordName=RECORD, StartRecordType="CNAME"
    )["ResourceRecordSets"]
    assert listed["TTL"] == 10
    assert kept(desk.stored(ONE), desk.lines[ONE], read_declared(newer)) == {"RecordTtl": "10"}
