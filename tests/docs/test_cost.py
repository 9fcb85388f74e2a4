"""What Beacon costs: the promise of the page, and the model held to the template and to the code."""

import ast
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from scripts import cost
from scripts.cost import Setting, lines, requests, total
from scripts.cost_page import LEAN, PAGE, fill, tables
from tests.places import ROOT

from beacon.health.telemetry import Telemetry
from beacon.health.verdict import Verdict, render
from beacon.outcome import Reason
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import read_template, translate

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
TEMPLATE: Any = read_template(ROOT / "template.yaml")
GLOBAL: Any = read_template(ROOT / "global.yaml")
GIVEN = {
    "PathToken": "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85",
    "DsqlClusterArns": f"arn:aws:dsql:us-east-1:123456789012:cluster/{'a' * 26}",
    "DsqlEndpoint": f"{'a' * 26}.dsql.us-east-1.on.aws",
}


def resolved(**changes: str) -> TemplateResolver:
    translation = translate(ROOT / "template.yaml", region="us-east-1", parameters=GIVEN)
    return TemplateResolver.create(
        translation.template, {**GIVEN, **changes}, region="us-east-1", stack_name="beacon-prod"
    )


def count_of(resolver: TemplateResolver, kind: str) -> int:
    return list(resolver.resource_types().values()).count(kind)


def test_the_default_costs_at_most_15_dollars_and_the_lean_setting_less_than_10() -> None:
    """A Region and month, before free tiers, with everything counted."""
    assert total(Setting()) <= 15
    assert total(LEAN) < 10


def test_the_page_says_what_the_model_says() -> None:
    """Every table is as the model makes it; none is left out."""
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page) == page, "run: .venv/bin/python -m scripts.cost_page --write"
    assert not [name for name in tables() if f"<!-- table {name} -->" not in page]


def test_requests_are_those_of_the_documented_rates() -> None:
    """Sixteen checkers at 10 s make about 4.2 million a month; three of eight Regions about 1.6."""
    assert requests(Setting(checker_regions=8)) == pytest.approx(4.2e6, rel=0.01)
    assert requests(Setting()) == pytest.approx(1.6e6, rel=0.02)
    assert requests(Setting(interval_s=30)) == pytest.approx(requests(Setting()) / 3)


def test_a_commit_is_written_in_both_regions() -> None:
    """The least that a write is billed, twice, and a statement's reading on top."""
    assert cost.COMMIT_DPU >= 2 * cost.LEAST_WRITE_DPU + cost.SELECT_DPU
    (canary,) = [line for line in lines(replace(Setting(), write_canary=True)) if line.part == "Write canary"]
    assert "0.12 DPU" in canary.formula


def test_the_readme_says_what_the_default_costs_and_what_the_longer_interval_saves() -> None:
    """Both sums are the model's."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    default = total(Setting())
    assert f"{default:.2f} USD a Region and month" in readme
    assert f"30 saves {default - total(LEAN):.2f} USD a Region and month" in readme
    assert f"{total(replace(Setting(), global_stack=True)) - default:.2f} USD more a\nRegion" in readme


@pytest.mark.parametrize(
    "change",
    [
        {"checker_regions": 8},
        {"web_acl": True},
        {"access_logs": True},
        {"tracing": True},
        {"write_canary": True},
        {"publish_every_s": 10},
        {"retention_days": 3653},
        {"regions": 3},
        {"global_stack": True},
        {"health_memory_mb": 2048},
    ],
)
def test_more_costs_more(change: dict[str, Any]) -> None:
    """Each setting that adds something adds to the sum; and every line is positive."""
    setting = replace(Setting(), **change)
    assert total(setting) > total(Setting())
    assert all(line.usd > 0 for line in lines(setting))


def test_the_defaults_are_the_templates() -> None:
    """The page speaks of what is deployed when nothing is chosen."""
    default = {name: str(node.get("Default", "")) for name, node in TEMPLATE["Parameters"].items()}
    setting = Setting()
    assert default["RequestInterval"] == str(setting.interval_s)
    assert len(default["CheckerRegions"].split(",")) == setting.checker_regions
    assert default["HealthMemoryMb"] == str(setting.health_memory_mb)
    assert default["PublishEverySeconds"] == str(setting.publish_every_s)
    assert default["LogRetentionDays"] == str(setting.retention_days)
    assert default["WriteCanary"] == ("on" if setting.write_canary else "off")
    for name, on in (
        ("Alarms", setting.alarms),
        ("WebAcl", setting.web_acl),
        ("AccessLogs", setting.access_logs),
        ("Tracing", setting.tracing),
    ):
        assert default[name] == ("true" if on else "false")


def test_the_alarms_are_those_of_the_template() -> None:
    """An alarm costs by the metrics that it looks at."""
    resolver = resolved()
    looked_at = 0
    for name, kind in resolver.resource_types().items():
        if kind == "AWS::CloudWatch::Alarm":
            metrics: Any = TEMPLATE["Resources"][name]["Properties"].get("Metrics", [{"MetricStat": {}}])
            looked_at += sum("MetricStat" in metric for metric in metrics)
    assert looked_at == cost.ALARM_METRICS
    assert count_of(resolved(Alarms="false"), "AWS::CloudWatch::Alarm") == 0


def test_the_alarms_and_the_dashboard_of_all_regions_are_those_of_global_yaml() -> None:
    """Two Regions: each has its own, and its share of the one that looks at both."""
    resources: Any = GLOBAL["Resources"]
    two = [node for node in resources.values() if node.get("Condition") != "HasThird"]
    looked_at = 0
    for node in two:
        if node["Type"] == "AWS::CloudWatch::Alarm":
            text = json.dumps(node["Properties"].get("Metrics", [{"MetricStat": 0}]))
            looked_at += text.count('"MetricStat"') - text.count('"HasThird"')
    assert looked_at == 2 * cost.GLOBAL_ALARM_METRICS
    dashboards = [node for node in two if node["Type"] == "AWS::CloudWatch::Dashboard"]
    assert len(dashboards) == 1
    assert Setting().dashboard is ("Condition" not in dashboards[0])


def test_the_web_acl_is_that_of_the_template() -> None:
    """Its rules, and whether it logs everything or only what it refuses."""
    resources = TEMPLATE["Resources"]
    (acl,) = [node for node in resources.values() if node["Type"] == "AWS::WAFv2::WebACL"]
    assert len(acl["Properties"]["Rules"]) == cost.WEB_ACL_RULES
    (logging,) = [node for node in resources.values() if node["Type"] == "AWS::WAFv2::LoggingConfiguration"]
    assert "LoggingFilter" not in logging["Properties"]


def test_the_functions_are_those_of_the_template() -> None:
    """The publisher's memory, and nothing that costs and is not counted."""
    publisher = TEMPLATE["Resources"]["PublisherFunction"]["Properties"]
    assert publisher["MemorySize"] == cost.PUBLISHER_GB * 1024
    everything_on = resolved(WebAcl="true", AccessLogs="true", Tracing="true", FaultExperiment="true")
    counted = {
        "AWS::ApiGateway::RestApi",
        "AWS::CloudWatch::Alarm",
        "AWS::Lambda::Function",
        "AWS::Logs::LogGroup",
        "AWS::Route53::HealthCheck",
        "AWS::Scheduler::Schedule",
        "AWS::WAFv2::WebACL",
    }
    free = {
        "AWS::ApiGateway::Deployment",
        "AWS::ApiGateway::Stage",
        "AWS::FIS::ExperimentTemplate",  # 0.10 for each minute that it runs
        "AWS::IAM::Role",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::LayerVersion",
        "AWS::Lambda::Permission",
        "AWS::Route53::RecordSet",
        "AWS::WAFv2::IPSet",
        "AWS::WAFv2::LoggingConfiguration",
        "AWS::WAFv2::WebACLAssociation",
    }
    assert set(everything_on.resource_types().values()) <= counted | free


def metrics_in_the_code() -> set[str]:
    """Every metric name that the functions' code counts with, however it does."""
    names: set[str] = set()
    for path in [*(ROOT / "layers/beacon/src/beacon").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if called in {"add_metric", "single_metric"}:
                    names.add(ast.literal_eval(node.args[0]))
                elif called == "count" and node.args and isinstance(node.args[0], ast.Dict):
                    names |= {ast.literal_eval(key) for key in node.args[0].keys if key is not None}
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "counts":
                assert isinstance(node.value, ast.Dict)
                names |= {ast.literal_eval(key) for key in node.value.keys if key is not None}
    return names


def test_every_metric_of_the_code_is_counted() -> None:
    """A new metric costs 0.30 a month: the model has to say whether it is always sent."""
    counted = {*cost.ALWAYS_SENT, *cost.PER_ENDPOINT, *cost.CANARY_SENT, *cost.SENT_AT_TIMES}
    assert metrics_in_the_code() == counted


def test_a_request_logs_and_answers_no_more_than_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """The line with the latency, and the answer's body beside a bound for what surrounds it."""
    Telemetry({"service": "beacon-prod", "Region": "us-east-1"}).count(
        {"ProbeLatency": 12.34}, unit="Milliseconds"
    )
    line = capsys.readouterr().out
    assert json.loads(line)["ProbeLatency"] == 12.34
    assert len(line) + 26 <= cost.LATENCY_LINE_BYTES
    verdict = Verdict(serving=True, status="pass", reason=Reason.OK, latency_ms=12.3)
    answer = render(verdict, service="beacon-prod", region="us-east-1", target="dsql", now=NOW)
    head = sum(len(name) + len(value) + 4 for name, value in answer.headers.items())
    assert len(answer.body) + head + 400 <= cost.ANSWER_BYTES
