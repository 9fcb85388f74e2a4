"""template.yaml as it is deployed: translated by SAM's own translator and resolved for a Region."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.places import ROOT

from beacon.names import search_string
from beacon.settings import Settings
from beacon_lab.stack.identity import ResourceIdentity
from beacon_lab.stack.model import AliasTarget, RecordResource
from beacon_lab.stack.read import read_api, read_functions, read_health_check, read_record, read_schedules
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import Translation, translate

TEMPLATE = ROOT / "template.yaml"
HOSTS = {
    region: f"{letter * 26}.dsql.{region}.on.aws"
    for region, letter in (("us-east-1", "a"), ("us-east-2", "b"))
}
CLUSTERS = [f"arn:aws:dsql:{region}:123456789012:cluster/{host[:26]}" for region, host in HOSTS.items()]
TOKEN = "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85"
GIVEN = {
    "App": "orders",
    "Env": "test",
    "PathToken": TOKEN,
    "DsqlClusterArns": ",".join(CLUSTERS),
    "DsqlEndpoint": HOSTS["us-east-1"],
    "PeerEndpoints": f"us-east-2={HOSTS['us-east-2']}",
    "HostedZoneId": "Z0123456789ABCDEFGHIJ",
    "RecordName": "db.example.com",
}
BY_SERVICE = {
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::RestApi",
    "AWS::FIS::ExperimentTemplate",
    "AWS::Route53::HealthCheck",
}
POLICIES = ("failover", "latency", "weighted")


@cache
def translated() -> Translation:
    return translate(TEMPLATE, region="us-east-1", parameters=GIVEN)


def resolve(region: str = "us-east-1", **changes: str) -> TemplateResolver:
    resolver = TemplateResolver.create(
        translated().template, {**GIVEN, **changes}, region=region, stack_name="orders-test"
    )
    for logical_id, kind in resolver.resource_types().items():
        if kind in BY_SERVICE:
            resolver.created[logical_id] = ResourceIdentity(f"id-of-{logical_id.lower()}")
    return resolver


def with_policy(policy: str, **changes: str) -> TemplateResolver:
    role = {"FailoverRole": "PRIMARY"} if policy == "failover" else {}
    return resolve(RoutingPolicy=policy, **role, **changes)


def record_of(resolver: TemplateResolver) -> RecordResource:
    return read_record(resolver.properties("Record"))


def statements(resolver: TemplateResolver, role: str) -> list[Any]:
    policies: Any = resolver.properties(role)["Policies"]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def of_type(resolver: TemplateResolver, kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resolver.properties(name) for name, found in resolver.resource_types().items() if found == kind
    }


# -- least privilege


def test_the_health_role_holds_exactly_these_statements() -> None:
    """Log in to its own Region's cluster, wake the publisher, write its own log: nothing on everything."""
    assert statements(resolve(), "HealthRole") == [
        {"Sid": "Probe", "Effect": "Allow", "Action": "dsql:DbConnect", "Resource": CLUSTERS[0]},
        {
            "Sid": "WakePublisher",
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": "arn:aws:lambda:us-east-1:123456789012:function:orders-test-publisher",
        },
        {
            "Sid": "Log",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/orders-test-health:*",
        },
    ]


def test_the_publisher_role_holds_exactly_these_statements() -> None:
    """Log in to every cluster, read and write its two parameters, announce changes, write its own log."""
    assert statements(resolve(), "PublisherRole") == [
        {"Sid": "Probe", "Effect": "Allow", "Action": "dsql:DbConnect", "Resource": CLUSTERS},
        {
            "Sid": "Publish",
            "Effect": "Allow",
            "Action": ["ssm:GetParameters", "ssm:PutParameter"],
            "Resource": [
                "arn:aws:ssm:us-east-1:123456789012:parameter/orders/test/dsql/endpoint",
                "arn:aws:ssm:us-east-1:123456789012:parameter/orders/test/dsql/document",
            ],
        },
        {
            "Sid": "Announce",
            "Effect": "Allow",
            "Action": "events:PutEvents",
            "Resource": "arn:aws:events:us-east-1:123456789012:event-bus/default",
        },
        {
            "Sid": "Log",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/orders-test-publisher:*",
        },
    ]


def test_the_scheduler_role_may_only_run_the_publisher() -> None:
    """And only a schedule of this account can take it on."""
    resolver = resolve()
    assert statements(resolver, "SchedulerRole") == [
        {
            "Sid": "Tick",
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": "arn:aws:lambda:us-east-1:123456789012:function:orders-test-publisher",
        }
    ]
    trust: Any = resolver.properties("SchedulerRole")["AssumeRolePolicyDocument"]
    assert trust["Statement"][0]["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_the_translator_adds_no_role_and_no_policy_of_its_own() -> None:
    """The three roles with their exact statements are all there are."""
    types = resolve().resource_types()
    assert {name for name, kind in types.items() if kind == "AWS::IAM::Role"} == {
        "HealthRole",
        "PublisherRole",
        "SchedulerRole",
    }
    assert not [kind for kind in types.values() if kind.startswith("AWS::IAM::") and kind != "AWS::IAM::Role"]
    for role in of_type(resolve(), "AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role


@pytest.mark.parametrize("region", ["us-east-1", "ap-northeast-1"])
def test_role_names_carry_the_region_and_fit_iam(region: str) -> None:
    """IAM is global: two Regions' stacks need two names, and the longest must have at most 64 characters."""
    roles = of_type(resolve(region, App="a" * 20, Env="e" * 12), "AWS::IAM::Role")
    for role in roles.values():
        assert str(role["RoleName"]).endswith(f"-{region}")
        assert len(str(role["RoleName"])) <= 64


def test_every_name_starts_with_app_and_env() -> None:
    """Deployments side by side in one account do not meet."""
    resolver = resolve()
    for kind, key, prefix in (
        ("AWS::IAM::Role", "RoleName", "orders-test-"),
        ("AWS::Lambda::Function", "FunctionName", "orders-test-"),
        ("AWS::Lambda::LayerVersion", "LayerName", "orders-test-"),
        ("AWS::Logs::LogGroup", "LogGroupName", "/aws/lambda/orders-test-"),
        ("AWS::Scheduler::Schedule", "Name", "orders-test-"),
        ("AWS::ApiGateway::RestApi", "Name", "orders-test"),
    ):
        found = of_type(resolver, kind)
        assert found
        for properties in found.values():
            assert str(properties[key]).startswith(prefix)


# -- functions


def test_a_function_outlives_its_longest_deadline() -> None:
    """The probe's deadline ends a probe, never Lambda's timeout."""
    health = read_functions(resolve(ProbeDeadlineMs="1500"), Path)["HealthFunction"]
    assert health.timeout_s > 1.5
    assert health.environment["BEACON_PROBE_DEADLINE_MS"] == "1500"


def test_the_publisher_is_one_writer_that_is_never_retried() -> None:
    """One at a time, over before the next tick, and a late event is dropped."""
    resolver = resolve()
    publisher = read_functions(resolver, Path)["PublisherFunction"]
    assert publisher.reserved_concurrency == 1
    assert publisher.timeout_s < 60
    assert (publisher.async_max_retries, publisher.async_max_age_s) == (0, 60)
    (schedule,) = of_type(resolver, "AWS::Scheduler::Schedule").values()
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}


@pytest.mark.parametrize("every_s", [10, 20, 30, 60, 120, 300])
def test_the_schedule_agrees_with_the_publishers_settings(every_s: int) -> None:
    """Readers judge a document's age by it, so it must be right; shorter periods tick once a minute."""
    resolver = resolve(PublishEverySeconds=str(every_s))
    (schedule,) = read_schedules(resolver)
    assert (schedule.every_s, schedule.function) == (max(60, every_s), "PublisherFunction")
    environment = read_functions(resolver, Path)["PublisherFunction"].environment
    assert environment["BEACON_PUBLISH_EVERY_S"] == str(every_s)


@pytest.mark.parametrize("function", ["HealthFunction", "PublisherFunction"])
@pytest.mark.parametrize("peers", [GIVEN["PeerEndpoints"], ""])
def test_the_library_accepts_the_environment_that_the_template_sets(function: str, peers: str) -> None:
    """What passes the parameters' patterns passes the settings' validation, with this Region first."""
    environment = read_functions(resolve(PeerEndpoints=peers), Path)[function].environment
    settings = Settings.from_environment({**environment, "AWS_REGION": "us-east-1"})
    assert settings.service == "orders-test"
    assert settings.endpoints[0].host == HOSTS["us-east-1"]
    assert len(settings.endpoints) == (2 if peers else 1)


def test_the_health_function_knows_the_publisher_by_its_name() -> None:
    """The edge trigger invokes the function that the role may invoke."""
    functions = read_functions(resolve(), Path)
    name = functions["HealthFunction"].environment["BEACON_PUBLISHER_FUNCTION"]
    assert name == functions["PublisherFunction"].name


def test_zero_reserves_no_concurrency_for_the_health_function() -> None:
    """An account with a low quota can deploy; by default there is enough for sixteen checkers."""
    assert (
        read_functions(resolve(HealthReservedConcurrency="0"), Path)["HealthFunction"].reserved_concurrency
        is None
    )
    default = read_functions(resolve(), Path)["HealthFunction"].reserved_concurrency
    assert default is not None
    assert default >= 16


def test_zero_reserves_no_concurrency_for_the_publisher() -> None:
    """An account whose quota refuses any reservation can deploy; by default one run is one writer."""
    publisher = "PublisherFunction"
    found = resolve(PublisherReservedConcurrency="0").properties(publisher)
    assert "ReservedConcurrentExecutions" not in found
    assert read_functions(resolve(), Path)[publisher].reserved_concurrency == 1


def test_without_reservations_no_function_takes_from_the_accounts_quota() -> None:
    """Lambda refuses any reservation while the account's quota is 10."""
    resolver = resolve(PublisherReservedConcurrency="0", HealthReservedConcurrency="0")
    functions = of_type(resolver, "AWS::Lambda::Function")
    assert len(functions) == 2
    assert not [name for name, found in functions.items() if "ReservedConcurrentExecutions" in found]


def test_both_functions_log_into_groups_with_a_retention() -> None:
    """The groups are the stack's own, so that no log is kept without a limit."""
    resolver = resolve(LogRetentionDays="30")
    groups = of_type(resolver, "AWS::Logs::LogGroup")
    assert {group["RetentionInDays"] for group in groups.values()} == {"30"}
    names = {group["LogGroupName"] for group in groups.values()}
    functions = of_type(resolver, "AWS::Lambda::Function")
    assert {function["LoggingConfig"]["LogGroup"] for function in functions.values()} == names


# -- the API


def test_the_gateway_takes_get_and_head_on_one_path_only() -> None:
    """Nothing else is routed, so nothing else can invoke the function."""
    api = read_api(resolve())
    assert {(route.method, route.path, route.function) for route in api.routes} == {
        ("GET", "/{token}/health", "HealthFunction"),
        ("HEAD", "/{token}/health", "HealthFunction"),
    }
    sources = {str(found["SourceArn"]) for found in of_type(resolve(), "AWS::Lambda::Permission").values()}
    assert {source.split("/", 2)[2] for source in sources} == {"GET/*/health", "HEAD/*/health"}


def test_the_resource_policy_admits_checkers_and_operators_with_the_token() -> None:
    """No statement matches a caller that is in no listed range or has another token."""
    api = read_api(resolve(OperatorCidrs="198.51.100.0/24, 203.0.113.8/32"))
    arn = f"arn:aws:execute-api:us-east-1:123456789012:{api.id}/live"
    found: Any = api.resource_policy["Statement"]
    assert [statement["Sid"] for statement in found] == ["Checkers", "Operators"]
    for statement in found:
        assert statement["Effect"] == "Allow"
        assert statement["Action"] == "execute-api:Invoke"
        assert statement["Resource"] == [f"{arn}/GET/{TOKEN}/health", f"{arn}/HEAD/{TOKEN}/health"]
        assert list(statement["Condition"]) == ["IpAddress"]
    ranges = [statement["Condition"]["IpAddress"]["aws:SourceIp"] for statement in found]
    assert ranges[1] == ["198.51.100.0/24", "203.0.113.8/32"]
    assert "15.177.0.0/18" in ranges[0]
    assert len(ranges[0]) == len(set(ranges[0])) == 17


def test_without_operators_only_checkers_are_admitted() -> None:
    """An empty list does not become an empty range."""
    found: Any = read_api(resolve()).resource_policy["Statement"]
    assert [statement["Sid"] for statement in found] == ["Checkers"]


def test_a_warning_of_the_gateway_does_not_fail_the_deployment() -> None:
    """API Gateway may warn of a definition that works; with FailOnWarnings it would roll the stack back."""
    (api,) = of_type(resolve(), "AWS::ApiGateway::RestApi").values()
    assert "FailOnWarnings" not in api


def test_throttling_lets_every_checker_through_at_once() -> None:
    """Sixteen checkers do not coordinate: all may ask in the same second, and again with a second check."""
    api = read_api(resolve())
    assert api.throttle_burst >= 2 * 16
    assert api.throttle_rate_per_s >= 2 * 16


def test_every_deployment_deploys_the_api_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed policy that is stored but not deployed would not be enforced."""
    deployments = []
    for second, operators in ((1_000, "198.51.100.0/24"), (1_001, "203.0.113.0/24")):
        monkeypatch.setattr("samtranslator.model.apigateway.time", SimpleNamespace(time=lambda at=second: at))
        given = {**GIVEN, "OperatorCidrs": operators}
        template = translate(TEMPLATE, region="us-east-1", parameters=given).template
        types = TemplateResolver.create(template, given, region="us-east-1", stack_name="x").resource_types()
        deployments.append([name for name, kind in types.items() if kind == "AWS::ApiGateway::Deployment"])
    assert [len(found) for found in deployments] == [1, 1]
    assert deployments[0] != deployments[1]


def test_the_translator_inlines_no_secret() -> None:
    """The token must stay a reference: what SAM resolves before CloudFormation may be a masked value."""
    assert TOKEN not in str(translated().template)


# -- health check and record


@pytest.mark.parametrize("region", sorted(HOSTS))
def test_the_health_check_looks_for_what_the_function_answers(region: str) -> None:
    """Template and library compose the string by themselves; they must agree."""
    changes = {"DsqlEndpoint": HOSTS[region], "PeerEndpoints": ""}
    config = read_health_check(resolve(region, **changes).properties("HealthCheck"))
    assert config.type == "HTTPS_STR_MATCH"
    assert config.search_string == search_string("orders-test", region)
    assert len(config.search_string) <= 255


def test_the_health_check_asks_the_api_as_route_53_must() -> None:
    """HTTPS with SNI on the API's own name, on the path that the policy admits."""
    resolver = resolve(CheckerRegions="us-east-1,sa-east-1,eu-west-1,us-west-1")
    config, api = read_health_check(resolver.properties("HealthCheck")), read_api(resolver)
    assert config.enable_sni
    assert (config.fully_qualified_domain_name, config.port) == (api.host, 443)
    assert config.resource_path == f"/{api.stage}/{TOKEN}/health"
    assert config.regions == ("us-east-1", "sa-east-1", "eu-west-1", "us-west-1")
    assert not config.inverted


def test_the_first_deployment_makes_no_record() -> None:
    """With the policy none there is a health check to look at and nothing in DNS."""
    types = resolve(FailoverRole="PRIMARY").resource_types()
    assert "Record" not in types
    assert "HealthCheck" in types


@pytest.mark.parametrize("policy", POLICIES)
def test_a_record_always_carries_the_health_check(policy: str) -> None:
    """A record without one would always count as healthy."""
    resolver = with_policy(policy)
    assert record_of(resolver).health_check_id == resolver.reference("HealthCheck")


@pytest.mark.parametrize(
    ("policy", "routing"),
    [
        ("failover", {"failover": "PRIMARY", "region": None, "weight": None}),
        ("latency", {"failover": None, "region": "us-east-1", "weight": None}),
        ("weighted", {"failover": None, "region": None, "weight": 7}),
    ],
)
def test_a_record_follows_one_policy(policy: str, routing: Mapping[str, object]) -> None:
    """Exactly the field of its policy is set, and the set identifier is this Region's."""
    record = record_of(with_policy(policy, Weight="7"))
    assert {key: getattr(record, key) for key in routing} == routing
    assert record.set_identifier == "orders-test-us-east-1"
    assert (record.hosted_zone_id, record.name, record.type) == (
        GIVEN["HostedZoneId"],
        "db.example.com",
        "CNAME",
    )


@pytest.mark.parametrize(
    ("target", "values"), [("", HOSTS["us-east-1"]), ("api.example.com", "api.example.com")]
)
def test_a_record_points_at_the_dsql_endpoint_unless_told_otherwise(target: str, values: str) -> None:
    """The pointer is the default."""
    assert record_of(with_policy("latency", RecordTarget=target)).values == (values,)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_record_expires_with_its_verdict(policy: str) -> None:
    """At most 60 s, as Route 53 advises with a health check; the parameter allows no more."""
    ttl_s = record_of(with_policy(policy)).ttl_s
    assert ttl_s is not None
    assert 1 <= ttl_s <= 60
    assert record_of(with_policy(policy, RecordTtl="60")).ttl_s == 60


@pytest.mark.parametrize("policy", POLICIES)
def test_an_alias_stands_in_for_its_target(policy: str) -> None:
    """No TTL and no values, which Route 53 refuses beside it; the target's own health counts as well."""
    target = "d-abc.execute-api.us-east-1.amazonaws.com"
    resolver = with_policy(policy, RecordTarget=target, RecordTargetZoneId="Z1UJRXOUMOOFQ8")
    record = record_of(resolver)
    assert (record.type, record.ttl_s, record.values) == ("A", None, ())
    assert record.alias == AliasTarget(target, "Z1UJRXOUMOOFQ8", evaluate_target_health=True)
    assert record.health_check_id == resolver.reference("HealthCheck")


# -- options


def test_the_web_acl_admits_whom_the_resource_policy_admits() -> None:
    """Two lists of admitted addresses must not differ, with operators or without; all others are blocked."""
    for operators in ("", "198.51.100.0/24,203.0.113.8/32"):
        resolver = resolve(WebAcl="true", OperatorCidrs=operators)
        found: Any = read_api(resolver).resource_policy["Statement"]
        admitted = [cidr for part in found for cidr in part["Condition"]["IpAddress"]["aws:SourceIp"]]
        assert resolver.properties("AdmittedAddresses")["Addresses"] == admitted
        rules: Any = resolver.properties("WebAclRules")
        assert rules["DefaultAction"] == {"Block": {}}
        assert [rule["Action"] for rule in rules["Rules"]] == [{"Block": {}}, {"Allow": {}}]
        assert rules["Rules"][1]["Statement"] == {
            "IPSetReferenceStatement": {"Arn": resolver.attribute("AdmittedAddresses", "Arn")}
        }


def test_the_web_acls_rate_leaves_a_checker_alone() -> None:
    """Asking every 10 s makes six requests a minute; the limit allows for twenty health checks."""
    rules: Any = resolve(WebAcl="true").properties("WebAclRules")
    rate = rules["Rules"][0]["Statement"]["RateBasedStatement"]
    assert (rate["AggregateKeyType"], rate["EvaluationWindowSec"]) == ("IP", 60)
    assert rate["Limit"] >= 20 * 60 / 10


def test_the_web_acl_stands_before_the_stage_and_logs_where_it_may() -> None:
    """WAF writes only to groups of its prefix, named by an ARN without `:*`."""
    resolver = resolve(WebAcl="true", LogRetentionDays="30")
    stage = read_api(resolver).stage
    association = resolver.properties("WebAclAssociation")
    assert association["ResourceArn"] == f"arn:aws:apigateway:us-east-1::/restapis/id-of-api/stages/{stage}"
    assert association["WebACLArn"] == resolver.attribute("WebAclRules", "Arn")
    group = resolver.properties("WebAclLogGroup")
    assert (group["LogGroupName"], group["RetentionInDays"]) == ("aws-waf-logs-orders-test", "30")
    assert resolver.properties("WebAclLogging")["LogDestinationConfigs"] == [
        "arn:aws:logs:us-east-1:123456789012:log-group:aws-waf-logs-orders-test"
    ]


def test_no_log_and_no_sample_shows_the_token() -> None:
    """It stands in the path, so whatever keeps requests leaves the path out."""
    resolver = resolve(WebAcl="true", AccessLogs="true")
    ((_, stage),) = of_type(resolver, "AWS::ApiGateway::Stage").items()
    setting: Any = stage["AccessLogSetting"]
    variables = set(re.findall(r"\$context\.[\w.]+", setting["Format"]))
    assert "$context.resourcePath" in variables
    assert not variables & {"$context.path", "$context.customDomain.basePathMatched"}
    assert setting["DestinationArn"] == resolver.attribute("AccessLogGroup", "Arn")
    assert resolver.properties("WebAclLogging")["RedactedFields"] == [{"UriPath": {}}]
    rules: Any = resolver.properties("WebAclRules")
    configs = [rules["VisibilityConfig"], *(rule["VisibilityConfig"] for rule in rules["Rules"])]
    assert not [config for config in configs if config["SampledRequestsEnabled"]]


def test_a_boundary_bounds_every_role() -> None:
    """One role without it, and an account that demands it refuses the stack."""
    arn = "arn:aws:iam::123456789012:policy/bound"
    roles = of_type(resolve(PermissionsBoundaryArn=arn, FaultExperiment="true"), "AWS::IAM::Role")
    assert len(roles) == 4
    assert {role["PermissionsBoundary"] for role in roles.values()} == {arn}
    assert not [
        role for role in of_type(resolve(), "AWS::IAM::Role").values() if "PermissionsBoundary" in role
    ]


@pytest.mark.parametrize(("role", "function"), [("HealthRole", "health"), ("PublisherRole", "publisher")])
def test_options_add_exactly_their_statements(role: str, function: str) -> None:
    """In a VPC Lambda may attach interfaces and the code may not; with tracing, two actions of X-Ray."""
    plain = statements(resolve(), role)
    subnets = {"SubnetIds": "subnet-01234567", "SecurityGroupIds": "sg-01234567"}
    attach, denied, trace = (
        statement
        for statement in statements(resolve(Tracing="true", **subnets), role)
        if statement not in plain
    )
    assert (attach["Effect"], denied["Effect"]) == ("Allow", "Deny")
    assert attach["Action"] == denied["Action"]
    assert {action.partition(":")[0] for action in attach["Action"]} == {"ec2"}
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:orders-test-{function}"
    assert denied["Condition"] == {"ArnEquals": {"lambda:SourceFunctionArn": arn}}
    assert trace == {
        "Sid": "Trace",
        "Effect": "Allow",
        "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
        "Resource": "*",
    }


@pytest.mark.parametrize(("tracing", "mode"), [("true", "Active"), ("false", "PassThrough")])
def test_tracing_is_one_switch_for_api_and_functions(tracing: str, mode: str) -> None:
    """A trace that begins in the middle explains nothing."""
    resolver = resolve(Tracing=tracing)
    functions = of_type(resolver, "AWS::Lambda::Function").values()
    assert {function["TracingConfig"]["Mode"] for function in functions} == {mode}
    (stage,) = of_type(resolver, "AWS::ApiGateway::Stage").values()
    assert stage["TracingEnabled"] is (tracing == "true")


def test_the_drill_may_break_this_regions_cluster_only() -> None:
    """One action of FIS on one cluster, and what FIS needs to find it."""
    resolver = resolve(FaultExperiment="true")
    experiment: Any = resolver.properties("Experiment")
    assert experiment["Targets"]["Cluster"]["ResourceArns"] == [CLUSTERS[0]]
    assert [action["ActionId"] for action in experiment["Actions"].values()] == [
        "aws:dsql:cluster-connection-failure"
    ]
    assert statements(resolver, "ExperimentRole") == [
        {
            "Sid": "Inject",
            "Effect": "Allow",
            "Action": "dsql:InjectError",
            "Resource": "*",
            "Condition": {
                "StringEquals": {"dsql:FisActionId": "aws:dsql:cluster-connection-failure"},
                "ForAllValues:ArnEquals": {"dsql:FisTargetArns": CLUSTERS[0]},
                "Null": {"dsql:FisTargetArns": "false"},
            },
        },
        {"Sid": "Find", "Effect": "Allow", "Action": "dsql:GetCluster", "Resource": CLUSTERS[0]},
        {"Sid": "FindByTag", "Effect": "Allow", "Action": "tag:GetResources", "Resource": "*"},
    ]
    trust: Any = resolver.properties("ExperimentRole")["AssumeRolePolicyDocument"]
    assert trust["Statement"][0]["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


# -- outputs and ownership


def test_the_outputs_name_what_others_need_and_not_the_token() -> None:
    """Deployment logs print outputs."""
    outputs = resolve().outputs()
    assert outputs["EndpointParameter"] == "/orders/test/dsql/endpoint"
    assert outputs["DocumentParameter"] == "/orders/test/dsql/document"
    assert outputs["HealthRoleArn"] == "arn:aws:iam::123456789012:role/orders-test-health-us-east-1"
    assert outputs["PublisherRoleArn"] == "arn:aws:iam::123456789012:role/orders-test-publisher-us-east-1"
    assert outputs["HealthCheckId"]
    assert re.fullmatch(r"https://[^/]+/live/PATH_TOKEN/health", outputs["HealthUrl"])
    assert not [value for value in outputs.values() if TOKEN in value]


def test_no_stack_owns_the_published_parameters() -> None:
    """A stack update would reset what the publisher wrote."""
    assert not [kind for kind in resolve().resource_types().values() if kind.startswith("AWS::SSM::")]
