"""global.yaml and dsql.yaml: what they make, for which Regions, and what they refuse."""

import json
import re
from typing import Any

import pytest
from tests.places import ROOT

from beacon_lab.stack.document import ParametersError
from beacon_lab.stack.identity import ResourceIdentity
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import read_template

GLOBAL, DSQL = (read_template(ROOT / name) for name in ("global.yaml", "dsql.yaml"))
CHECKS = {
    f"{place}{part}": value
    for place, region, letter in (
        ("First", "eu-west-1", "a"),
        ("Second", "eu-west-2", "b"),
        ("Third", "eu-west-3", "c"),
    )
    for part, value in (("Region", region), ("HealthCheckId", f"{letter * 8}-0000-4000-8000-{letter * 12}"))
}
TWO = {name: value for name, value in CHECKS.items() if not name.startswith("Third")}
TOPIC = "arn:aws:sns:us-east-1:123456789012:oncall"
PEER = f"arn:aws:dsql:us-east-2:123456789012:cluster/{'b' * 26}"


def resolve(template: Any, region: str = "us-east-1", **given: str) -> TemplateResolver:  # noqa: ANN401 - JSON
    return TemplateResolver.create(template, given, region=region, stack_name="x")


def reasons(template: Any, region: str = "us-east-1", **given: str) -> tuple[str, ...]:  # noqa: ANN401 - JSON
    try:
        resolve(template, region, **given)
    except ParametersError as error:
        return error.reasons
    return ()


def alarms(**given: str) -> dict[str, dict[str, Any]]:
    resolver = resolve(GLOBAL, **given)
    types = resolver.resource_types()
    return {
        name: resolver.properties(name) for name, kind in types.items() if kind == "AWS::CloudWatch::Alarm"
    }


# -- global.yaml


@pytest.mark.parametrize(("given", "regions"), [(TWO, 2), (CHECKS, 3)])
def test_each_region_has_two_alarms_on_its_own_check(given: dict[str, str], regions: int) -> None:
    """Out of DNS, and on the way there; the name says which Region."""
    found = alarms(**given)
    for place in ("First", "Second", "Third")[:regions]:
        region, check = given[f"{place}Region"], given[f"{place}HealthCheckId"]
        mine = [alarm for alarm in found.values() if region in str(alarm["AlarmName"])]
        assert {alarm["MetricName"] for alarm in mine} == {
            "HealthCheckStatus",
            "HealthCheckPercentageHealthy",
        }
        for alarm in mine:
            assert alarm["Namespace"] == "AWS/Route53"
            assert alarm["Dimensions"] == [{"Name": "HealthCheckId", "Value": check}]
            assert region in alarm["AlarmDescription"]
    assert len(found) == 2 * regions + 1


@pytest.mark.parametrize("given", [TWO, CHECKS])
def test_one_alarm_is_about_all_regions_at_once(given: dict[str, str]) -> None:
    """Route 53 then treats every record as healthy, so no other sign is left."""
    alarm = alarms(**given)["NoRegionServes"]
    metrics = [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]
    watched = [metric["Dimensions"][0]["Value"] for metric in metrics]
    assert watched == [value for name, value in given.items() if name.endswith("HealthCheckId")]
    assert alarm["Metrics"][0]["Expression"] == "MAX(METRICS())"


def test_every_alarm_notifies_the_topic() -> None:
    """With a topic all of them notify it at both ends; without one, none does."""
    assert {str(alarm["AlarmActions"]) for alarm in alarms(**CHECKS, AlarmTopicArn=TOPIC).values()} == {
        str([TOPIC])
    }
    assert not [alarm for alarm in alarms(**CHECKS).values() if "AlarmActions" in alarm]


@pytest.mark.parametrize("given", [{k: v for k, v in CHECKS.items() if k.startswith("First")}, TWO, CHECKS])
def test_the_dashboard_is_json_and_shows_each_region(given: dict[str, str]) -> None:
    """CloudWatch refuses a body that is not; metrics of a Region are read in that Region."""
    assert "Dashboard" not in resolve(GLOBAL, **given).resource_types()
    resolver = resolve(GLOBAL, **given, WithDashboard="true")
    body = json.loads(str(resolver.properties("Dashboard")["DashboardBody"]))
    regions = [value for name, value in given.items() if name.endswith("Region")]
    status, checkers, latency, drained = (widget["properties"]["metrics"] for widget in body["widgets"])
    for metrics in (status, checkers):
        assert [metric[0] for metric in metrics] == ["AWS/Route53"] * len(regions)
        assert [metric[-1]["label"] for metric in metrics] == regions
    for metrics in (latency, drained):
        assert list(dict.fromkeys(metric[-1]["region"] for metric in metrics)) == regions
        assert {metric[0] for metric in metrics} == {"Beacon"}
        for metric in metrics:
            assert metric[metric.index("Region") + 1] == metric[-1]["region"]


def test_it_is_refused_where_there_are_no_metrics_of_route_53() -> None:
    """In another Region every alarm would wait for data that never comes."""
    (reason,) = reasons(GLOBAL, "eu-west-1", **TWO)
    assert "us-east-1 only" in reason
    assert reasons(GLOBAL, **TWO) == ()


@pytest.mark.parametrize(
    "missing", ["SecondRegion", "SecondHealthCheckId", "ThirdRegion", "ThirdHealthCheckId"]
)
def test_half_a_region_is_refused(missing: str) -> None:
    """A check without a name, or a name without a check."""
    (reason,) = reasons(GLOBAL, **{name: value for name, value in CHECKS.items() if name != missing})
    assert missing in reason


# -- dsql.yaml


def test_the_pair_is_made_in_the_order_that_the_comment_gives() -> None:
    """First with the witness alone, then naming the other; protected, and left behind when the stack goes."""
    first = resolve(DSQL, WitnessRegion="us-west-2")
    assert first.properties("Cluster")["MultiRegionProperties"] == {"WitnessRegion": "us-west-2"}
    linked = resolve(DSQL, WitnessRegion="us-west-2", Peer=PEER).properties("Cluster")
    assert linked["MultiRegionProperties"] == {"WitnessRegion": "us-west-2", "Clusters": [PEER]}
    assert linked["DeletionProtectionEnabled"] == "true"
    cluster: Any = DSQL["Resources"]
    assert {cluster["Cluster"]["DeletionPolicy"], cluster["Cluster"]["UpdateReplacePolicy"]} == {"Retain"}


def test_its_outputs_are_what_the_region_stacks_take() -> None:
    """Pasted into template.yaml's parameters they pass its patterns."""
    resolver = resolve(DSQL, WitnessRegion="us-west-2")
    arn = f"arn:aws:dsql:us-east-1:123456789012:cluster/{'a' * 26}"
    host = f"{'a' * 26}.dsql-fnh4.us-east-1.on.aws"  # as DSQL says it: it need not be ID.dsql.REGION
    resolver.created["Cluster"] = ResourceIdentity("a" * 26, {"Endpoint": host, "ResourceArn": arn})
    outputs = resolver.outputs()
    assert outputs["Endpoint"] == host
    parameters: Any = read_template(ROOT / "template.yaml")["Parameters"]
    for output, parameter in (("ClusterArn", "DsqlClusterArns"), ("Endpoint", "DsqlEndpoint")):
        assert re.fullmatch(parameters[parameter]["AllowedPattern"], outputs[output])


def test_a_cluster_takes_a_resource_policy_or_none() -> None:
    """As the JSON that was given; without one the property is not there at all."""
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny"}]}, indent=2)
    with_policy = resolve(DSQL, WitnessRegion="us-west-2", PolicyDocument=policy).properties("Cluster")
    assert with_policy["PolicyDocument"] == policy
    assert "PolicyDocument" not in resolve(DSQL, WitnessRegion="us-west-2").properties("Cluster")
    (reason,) = reasons(DSQL, WitnessRegion="us-west-2", PolicyDocument="deny all")
    assert reason.startswith("PolicyDocument must be")


def test_rules_use_the_long_form_of_contains() -> None:
    """CloudFormation documents Fn::Contains for rules, and no short form of it."""
    assert "!Contains" not in (ROOT / "dsql.yaml").read_text(encoding="utf-8")
    rules: Any = DSQL["Rules"]
    assert "Fn::Contains" in rules["America"]["RuleCondition"]


@pytest.mark.parametrize("name", ["template.yaml", "global.yaml", "dsql.yaml"])
@pytest.mark.parametrize("app", ["aws", "awsome-shop", "ssm", "ssm-orders"])
def test_an_app_that_ssm_would_refuse_is_refused_first(name: str, app: str) -> None:
    """SSM keeps names that begin with aws or ssm to itself; the publisher would meet that at night."""
    found = reasons(read_template(ROOT / name), App=app)
    assert [reason for reason in found if reason.startswith("App must be")]


@pytest.mark.parametrize(
    ("region", "witness", "about"),
    [
        ("us-east-1", "eu-west-1", "United States"),
        ("ap-northeast-1", "us-west-2", "Asia"),
        ("eu-west-2", "ap-northeast-2", "Europe"),
        ("us-west-2", "us-west-2", "third Region"),
    ],
)
def test_a_witness_that_dsql_does_not_take_is_refused(region: str, witness: str, about: str) -> None:
    """Another set of Regions, or the cluster's own."""
    (reason,) = reasons(DSQL, region, WitnessRegion=witness)
    assert about in reason


@pytest.mark.parametrize("template", [GLOBAL, DSQL], ids=["global", "dsql"])
def test_every_parameter_is_described_and_in_one_group(template: Any) -> None:  # noqa: ANN401 - JSON
    """As in template.yaml."""
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(template["Parameters"])
    for name, declaration in template["Parameters"].items():
        assert declaration["Description"].endswith("."), name
