"""Every legal variant of template.yaml: it resolves, its resources lint, and it holds what it should."""

import json
from functools import cache
from itertools import product
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped]
from tests.places import ROOT

from beacon_lab.stack.identity import ResourceIdentity
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import translate

TEMPLATE = ROOT / "template.yaml"
GIVEN = {
    "PathToken": "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85",
    "DsqlClusterArns": f"arn:aws:dsql:us-east-1:123456789012:cluster/{'a' * 26}",
    "DsqlEndpoint": f"{'a' * 26}.dsql.us-east-1.on.aws",
    "PeerEndpoints": f"us-east-2={'b' * 26}.dsql.us-east-2.on.aws",
    "HostedZoneId": "Z0123456789ABCDEFGHIJ",
    "RecordName": "db.example.com",
}
POLICIES = ("none", "failover", "latency", "weighted")
TOPIC = "arn:aws:sns:us-east-1:123456789012:oncall"
SWITCHES: dict[str, tuple[dict[str, str], ...]] = {
    "waf": ({}, {"WebAcl": "true"}),
    "vpc": ({}, {"SubnetIds": "subnet-01234567,subnet-89abcdef", "SecurityGroupIds": "sg-01234567"}),
    "alarms": ({"Alarms": "false"}, {"AlarmTopicArn": TOPIC}),
}
# What is set together with the others once: each is a condition of its own, on resources of its own.
EXTRAS: dict[str, dict[str, str]] = {
    "plain": {},
    "alias": {
        "RecordTarget": "d-abc.execute-api.us-east-1.amazonaws.com",
        "RecordTargetZoneId": "Z1UJRXOUMOOFQ8",
    },
    "everything": {
        "OperatorCidrs": "198.51.100.0/24",
        "AccessLogs": "true",
        "Tracing": "true",
        "FaultExperiment": "true",
        "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/bound",
        "RecordTarget": "api.example.com",
        "HealthReservedConcurrency": "0",
    },
}
BY_SERVICE = {
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::RestApi",
    "AWS::FIS::ExperimentTemplate",
    "AWS::Route53::HealthCheck",
}


def variants() -> list[dict[str, str]]:
    found = []
    for policy, switches in product(POLICIES, product(*SWITCHES.values())):
        role = {"FailoverRole": "PRIMARY"} if policy == "failover" else {}
        merged = {"RoutingPolicy": policy} | role
        for switch in switches:
            merged |= switch
        found.append(merged)
    return found


VARIANTS = [variant | extra for extra in EXTRAS.values() for variant in variants()]


@cache
def translated() -> Any:  # noqa: ANN401 - JSON
    return translate(TEMPLATE, region="us-east-1", parameters=GIVEN).template


def resolved(variant: dict[str, str], region: str = "us-east-1") -> dict[str, Any]:
    resolver = TemplateResolver.create(translated(), GIVEN | variant, region=region, stack_name="beacon-prod")
    types = resolver.resource_types()
    for logical_id, kind in types.items():
        if kind in BY_SERVICE:
            resolver.created[logical_id] = ResourceIdentity(f"id{logical_id.lower()}"[:30])
    resolver.outputs()
    return {
        logical_id: {"Type": kind, "Properties": resolver.properties(logical_id)}
        for logical_id, kind in types.items()
    }


@cache
def distinct() -> dict[str, tuple[str, Any]]:
    """Each different resource of all the variants, by its content, with its logical id."""
    return {
        json.dumps(resource, sort_keys=True): (logical_id, resource)
        for variant in VARIANTS
        for logical_id, resource in resolved(variant).items()
    }


def test_the_transform_makes_one_template_of_all_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs is left to CloudFormation's conditions, so what is scanned once holds for all of them."""
    monkeypatch.setattr("samtranslator.model.apigateway.time.time", lambda: 1_000)
    made = {
        json.dumps(
            translate(TEMPLATE, region="us-east-1", parameters=GIVEN | variant).template, sort_keys=True
        )
        for variant in (VARIANTS[0], VARIANTS[len(VARIANTS) // 2], VARIANTS[-1])
    }
    assert len(made) == 1


def test_every_variant_resolves_and_each_resource_of_it_lints() -> None:
    """With nothing left to evaluate, cfn-lint knows every value that CloudFormation would be given."""
    resources = {}
    for number, (logical_id, resource) in enumerate(distinct().values()):
        resources[f"{logical_id}{number}"] = resource
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}
    # Names repeat here, because what stands side by side belongs to different variants.
    found = lint(json.dumps(template), config=ManualArgs(regions=["us-east-1"], ignore_checks=["E3019"]))
    assert len(VARIANTS) == 3 * 4 * 2**3
    assert [f"{match.path}: {match}" for match in found] == []


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_a_variant_has_what_it_asks_for_and_nothing_else(variant: dict[str, str]) -> None:
    """Each switch brings its own resources; a record never comes without its health check."""
    found = resolved(variant)
    kinds = {resource["Type"] for resource in found.values()}
    assert ("Record" in found) == (variant["RoutingPolicy"] != "none")
    if "Record" in found:
        assert found["Record"]["Properties"]["HealthCheckId"] == "idhealthcheck"
    assert ("AWS::WAFv2::WebACL" in kinds) == ("WebAcl" in variant)
    assert ("AWS::CloudWatch::Alarm" in kinds) == ("AlarmTopicArn" in variant)
    assert ("AWS::FIS::ExperimentTemplate" in kinds) == ("FaultExperiment" in variant)
    for function in (found["HealthFunction"], found["PublisherFunction"]):
        assert ("VpcConfig" in function["Properties"]) == ("SubnetIds" in variant)
    for role in (found["HealthRole"], found["PublisherRole"]):
        (policy,) = role["Properties"]["Policies"]
        sids = [statement["Sid"] for statement in policy["PolicyDocument"]["Statement"]]
        assert ("Attach" in sids) == ("AttachIsLambdasAlone" in sids) == ("SubnetIds" in variant)
        assert ("Trace" in sids) == ("Tracing" in variant)


def test_no_role_of_any_variant_may_touch_dns_or_name_a_wildcard_action() -> None:
    """Every action is spelled out, and `*` is a resource only where AWS knows none."""
    on_everything = {
        "dsql:InjectError",
        "tag:GetResources",
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    }
    roles = [resource for _, resource in distinct().values() if resource["Type"] == "AWS::IAM::Role"]
    assert roles
    for role in roles:
        assert "ManagedPolicyArns" not in role["Properties"]
        for policy in role["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                actions = {actions} if isinstance(actions, str) else set(actions)
                assert not [action for action in actions if "*" in action or action.startswith("route53")]
                assert "dsql:DbConnectAdmin" not in actions
                if statement["Resource"] == "*":
                    assert actions <= on_everything


def test_every_resource_that_can_have_tags_has_the_deployments() -> None:
    """Cost and ownership are visible by app and env."""
    taggable = {
        "AWS::ApiGateway::Stage",
        "AWS::CloudWatch::Alarm",
        "AWS::FIS::ExperimentTemplate",
        "AWS::IAM::Role",
        "AWS::Lambda::Function",
        "AWS::Logs::LogGroup",
        "AWS::WAFv2::IPSet",
        "AWS::WAFv2::WebACL",
    }
    seen = set()
    for logical_id, resource in distinct().values():
        if resource["Type"] in taggable:
            tags = resource["Properties"]["Tags"]
            pairs = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}
            assert (pairs["app"], pairs["env"]) == ("beacon", "prod"), logical_id
            seen.add(resource["Type"])
    assert seen == taggable
