"""The sequences of docs/rollout.md, step by step on the resolved template: no step leaves a record alone."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from tests.places import ROOT

from beacon.names import search_string
from beacon_lab.stack.identity import ResourceIdentity
from beacon_lab.stack.read import read_health_check, read_record
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import Translation, translate

PAGE = (ROOT / "docs/rollout.md").read_text(encoding="utf-8")
ONE, TWO = "us-east-1", "us-east-2"
HOSTS = {region: f"{letter * 26}.dsql.{region}.on.aws" for region, letter in ((ONE, "a"), (TWO, "b"))}
OLD_TOKEN, NEW_TOKEN = "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85", "c4f2a853f9c1d7a5b2e4c8f9a0d6e1b7"

#: What one deployment changes about one Region's stack; ``None`` deletes the stack.
Step = tuple[str, Mapping[str, str] | None]

NONE = {"RoutingPolicy": "none"}
PRIMARY = {"RoutingPolicy": "failover", "FailoverRole": "PRIMARY"}
SECONDARY = {"RoutingPolicy": "failover", "FailoverRole": "SECONDARY"}
LATENCY = {"RoutingPolicy": "latency", "FailoverRole": ""}
WEIGHTED = {"RoutingPolicy": "weighted", "FailoverRole": ""}
ALONE = {"PeerEndpoints": ""}

FIRST: tuple[Step, ...] = ((ONE, NONE), (TWO, NONE))
FAILOVER: tuple[Step, ...] = (*FIRST, (ONE, PRIMARY), (TWO, SECONDARY))
NEW_NAME = {**LATENCY, "RecordName": "db2.example.com"}

#: By the heading of the page; each begins with nothing deployed.
SEQUENCES: Mapping[str, Sequence[Sequence[Step]]] = {
    "First deployment": (
        FAILOVER,
        (*FIRST, (ONE, LATENCY), (TWO, LATENCY)),
        (*FIRST, (ONE, WEIGHTED), (TWO, WEIGHTED)),
    ),
    "Upgrade": ((*FAILOVER, (TWO, {}), (ONE, {})),),
    "Rotate the path token": ((*FAILOVER, (TWO, {"PathToken": NEW_TOKEN}), (ONE, {"PathToken": NEW_TOKEN})),),
    "Change the interval": ((*FAILOVER, (TWO, {"RequestInterval": "30"}), (ONE, {"RequestInterval": "30"})),),
    "Change the policy": (
        (*FAILOVER, (TWO, NEW_NAME), (ONE, NEW_NAME)),
        (*FAILOVER, (TWO, NONE), (ONE, NONE), (ONE, LATENCY), (TWO, LATENCY)),
        (*FAILOVER, (TWO, NONE), (ONE, NONE), (ONE, SECONDARY), (TWO, PRIMARY)),
    ),
    "Add a Region": (
        ((ONE, ALONE), (ONE, {**WEIGHTED, **ALONE}), (TWO, NONE), (ONE, WEIGHTED), (TWO, WEIGHTED)),
    ),
    "Remove a Region": (
        (
            *(*FIRST, (ONE, WEIGHTED), (TWO, WEIGHTED)),
            *((ONE, NONE), (TWO, {**WEIGHTED, **ALONE}), (ONE, None)),
        ),
    ),
    "Remove everything": ((*FAILOVER, (TWO, NONE), (ONE, NONE), (TWO, None), (ONE, None)),),
}
CASES = [(heading, steps) for heading, ways in SEQUENCES.items() for steps in ways]


def parameters(region: str) -> dict[str, str]:
    """What a Region's section of samconfig.toml holds at first."""
    other = TWO if region == ONE else ONE
    clusters = (f"arn:aws:dsql:{name}:123456789012:cluster/{host[:26]}" for name, host in HOSTS.items())
    return {
        "PathToken": OLD_TOKEN,
        "DsqlClusterArns": ",".join(clusters),
        "DsqlEndpoint": HOSTS[region],
        "PeerEndpoints": f"{other}={HOSTS[other]}",
        "HostedZoneId": "Z0123456789ABCDEFGHIJ",
        "RecordName": "db.example.com",
    }


@cache
def translated() -> Translation:
    return translate(ROOT / "template.yaml", region=ONE, parameters=parameters(ONE))


def deployed(region: str, given: Mapping[str, str]) -> TemplateResolver:
    """The stack of a Region; raises ParametersError for what a Rule or a pattern refuses."""
    resolver = TemplateResolver.create(translated().template, given, region=region, stack_name="beacon-prod")
    for name, kind in resolver.resource_types().items():
        if kind in {"AWS::ApiGateway::RestApi", "AWS::ApiGateway::Deployment", "AWS::Route53::HealthCheck"}:
            resolver.created[name] = ResourceIdentity(f"{name.lower()}-in-{region}")
    return resolver


def of_kind(stack: TemplateResolver, kind: str) -> list[str]:
    return [name for name, found in stack.resource_types().items() if found == kind]


def fleets(steps: Sequence[Step]) -> list[dict[str, TemplateResolver]]:
    """The stacks that stand after each step."""
    given: dict[str, dict[str, str]] = {}
    found = []
    for region, changes in steps:
        if changes is None:
            del given[region]
        else:
            given[region] = {**given.get(region, parameters(region)), **changes}
        found.append({name: deployed(name, values) for name, values in given.items()})
    return found


def ids(case: tuple[str, Sequence[Step]]) -> str:
    heading, steps = case
    return f"{heading}: {len(steps)} steps"


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_no_step_leaves_a_record_without_its_own_health_check(case: tuple[str, Sequence[Step]]) -> None:
    """Each record carries the check of its own stack, and that looks for its own Region's words."""
    for fleet in fleets(case[1]):
        for region, stack in fleet.items():
            (check_name,) = of_kind(stack, "AWS::Route53::HealthCheck")
            check = read_health_check(stack.properties(check_name))
            assert check.search_string == search_string("beacon-prod", region)
            for record in of_kind(stack, "AWS::Route53::RecordSet"):
                found = read_record(stack.properties(record))
                assert found.health_check_id == stack.created[check_name].ref


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_no_step_asks_route_53_for_what_it_refuses(case: tuple[str, Sequence[Step]]) -> None:
    """One policy under a name, one PRIMARY and one SECONDARY, one record of a Region, no identifier twice."""
    for fleet in fleets(case[1]):
        names: dict[str, list[Any]] = {}
        for stack in fleet.values():
            for record in of_kind(stack, "AWS::Route53::RecordSet"):
                found = read_record(stack.properties(record))
                names.setdefault(found.name, []).append(found)
        for records in names.values():
            policies = {
                (bool(found.failover), bool(found.region), found.weight is not None) for found in records
            }
            assert len(policies) == 1
            for of_each in ("set_identifier", "failover", "region"):
                values = [value for found in records if (value := getattr(found, of_each))]
                assert len(values) == len(set(values))


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_no_step_has_the_checkers_ask_for_a_path_that_the_policy_refuses(
    case: tuple[str, Sequence[Step]],
) -> None:
    """Token and policy change in one deployment."""
    for fleet in fleets(case[1]):
        for stack in fleet.values():
            (check,) = of_kind(stack, "AWS::Route53::HealthCheck")
            path = str(read_health_check(stack.properties(check)).resource_path)
            (api,) = of_kind(stack, "AWS::ApiGateway::RestApi")
            body: Any = stack.properties(api)["Body"]
            admitted = body["x-amazon-apigateway-policy"]["Statement"][0]["Resource"]
            assert f"execute-api:{path.replace('/live/', '/live/GET/', 1)}" in admitted


@pytest.mark.parametrize("heading", SEQUENCES)
def test_every_sequence_is_on_the_page(heading: str) -> None:
    """What is tested is what is described."""
    assert f"\n## {heading}\n" in PAGE


def test_a_sequence_that_mixes_policies_would_be_noticed() -> None:
    """The check above can fail: failover beside latency under one name."""
    with pytest.raises(AssertionError):
        test_no_step_asks_route_53_for_what_it_refuses(("wrong", (*FAILOVER, (TWO, LATENCY))))


def test_a_record_goes_before_its_check_and_a_new_check_comes_before_its_record() -> None:
    """The record refers to the check, and CloudFormation goes by that when it deletes and replaces."""
    template: Any = translated().template
    for node in template["Resources"].values():
        if node["Type"] == "AWS::Route53::RecordSet":
            assert node["Properties"]["HealthCheckId"] == {"Ref": "HealthCheck"}
