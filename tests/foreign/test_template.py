"""template.yaml, deployed into two Regions by `sam deploy` through a CloudFormation that is not ours."""

from __future__ import annotations

import pytest
from tests.foreign.clients import Project
from tests.foreign.compare import DifferenceError
from tests.foreign.fleet import ONE, STACK, TOKEN, TWO, Fleet
from tests.foreign.seen import Cloud

NEW_TOKEN = "c4f2a853f9c1d7a5b2e4c8f9a0d6e1b7"
RANGE = "198.51.100.0/24"


@pytest.fixture
def fleet(project: Project, cloud: Cloud) -> Fleet:
    """Two Regions, nothing deployed yet."""
    return Fleet(project, cloud)


def test_records_come_and_go_as_the_pages_say(fleet: Fleet) -> None:
    """none, failover, none, latency, a new token, away: after each step the cloud is what the file says."""
    for region in (ONE, TWO):
        fleet.deploy(region)
    assert fleet.records() == {}
    for region in (ONE, TWO):
        fleet.deploy(region, {"RoutingPolicy": "failover"})
    assert fleet.records() == {ONE: "PRIMARY", TWO: "SECONDARY"}

    # The line of FailoverRole taken out keeps the role that the stack has, and the template's Rule says no.
    said = fleet.refused(TWO, {"RoutingPolicy": "latency", "FailoverRole": None})
    assert "FailoverRole has no meaning under the latency and weighted policies" in said
    assert fleet.records() == {ONE: "PRIMARY", TWO: "SECONDARY"}

    for region in (ONE, TWO):
        fleet.deploy(region, {"RoutingPolicy": "none", "FailoverRole": ""})
    assert fleet.records() == {}
    for region in (ONE, TWO):
        fleet.deploy(region, {"RoutingPolicy": "latency"})
    assert fleet.records() == {ONE: ONE, TWO: TWO}

    fleet.deploy(TWO, {"PathToken": NEW_TOKEN})
    assert sorted(fleet.health_paths()) == sorted(f"/live/{token}/health" for token in (TOKEN, NEW_TOKEN))

    # The second Region leaves: its record, its stack, then its place among the other's endpoints.
    fleet.deploy(TWO, {"RoutingPolicy": "none"})
    assert fleet.records() == {ONE: ONE}
    assert fleet.project.sam_delete(TWO).returncode == 0
    assert fleet.left_behind(TWO) == []
    seen = fleet.deploy(ONE, {"PeerEndpoints": ""})
    for function in ("HealthFunction", "PublisherFunction"):
        assert TWO not in seen[function].properties["Environment"]["Variables"]["BEACON_ENDPOINTS"]
    assert fleet.project.sam_delete(ONE).returncode == 0
    assert fleet.left_behind(ONE) == []
    assert fleet.records() == {}


def test_everything_that_can_be_turned_on_stands_and_goes_again(fleet: Fleet) -> None:
    """WAF, VPC, logs, traces, drill, boundary, topic: made with the stack, and taken away by an update."""
    optional = {
        "AccessLogs": "true",
        "AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:oncall",
        "FaultExperiment": "true",
        "OperatorCidrs": RANGE,
        "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/bound",
        "SecurityGroupIds": "sg-01234567",
        "SubnetIds": "subnet-01234567,subnet-89abcdef",
        "Tracing": "true",
        "WebAcl": "true",
    }
    seen = fleet.deploy(ONE, {**optional, "RoutingPolicy": "weighted", "FailoverRole": ""})
    assert RANGE in seen["AdmittedAddresses"].properties["Addresses"]
    first = seen["HealthCheck"].attributes["HealthCheckId"]

    # An interval makes a new check; the record follows it and the old one goes.
    seen = fleet.deploy(ONE, {"RequestInterval": "30"})
    second = seen["HealthCheck"].attributes["HealthCheckId"]
    assert first != second == seen["Record"].properties["HealthCheckId"]
    assert len(fleet.health_paths()) == 1

    # A range whose line is taken out stays admitted; written empty it goes.
    fleet.set(ONE, {"OperatorCidrs": None})
    assert fleet.project.sam_deploy(ONE).returncode == 0
    with pytest.raises(DifferenceError, match=r"AdmittedAddresses\.Addresses"):
        fleet.seen(ONE)
    seen = fleet.deploy(ONE, {"OperatorCidrs": ""})
    assert RANGE not in seen["AdmittedAddresses"].properties["Addresses"]

    off = dict.fromkeys(("AccessLogs", "FaultExperiment", "Tracing", "WebAcl"), "false")
    empty = dict.fromkeys(("AlarmTopicArn", "PermissionsBoundaryArn", "SecurityGroupIds", "SubnetIds"), "")
    fleet.deploy(ONE, {**off, **empty})
    assert fleet.cloud.stubbed() == {}
    fleet.deploy(ONE, {"Alarms": "false"})
    assert fleet.cloud.stubbed() == {}
    assert fleet.cloud.stack_resources(STACK, ONE)["Record"][0] == "AWS::Route53::RecordSet"
