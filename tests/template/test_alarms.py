"""The alarms of template.yaml watch what the functions really write, for as long as it means something."""

import importlib
import json
import socket
import sys
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws
from simulation.partial import ALARM_MINUTES, ALARM_OF
from tests.places import ROOT

from beacon.health.check import HealthCheck
from beacon.model import Forced, Intent, Observation, ProbeReport
from beacon.outcome import ProbeOutcome, Reason
from beacon.settings import Settings
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import translate

TEMPLATE = ROOT / "template.yaml"
TOPIC = "arn:aws:sns:us-east-1:123456789012:oncall"
GIVEN = {
    "App": "orders",
    "Env": "prod",
    "PathToken": "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85",
    "DsqlClusterArns": f"arn:aws:dsql:us-east-1:123456789012:cluster/{'a' * 26}",
    "DsqlEndpoint": f"{'a' * 26}.dsql.us-east-1.on.aws",
    "PeerEndpoints": f"us-east-2={'b' * 26}.dsql.us-east-2.on.aws",
}
ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "BEACON_APP": "orders",
    "BEACON_ENV": "prod",
    "BEACON_ENDPOINTS": f"us-east-1={GIVEN['DsqlEndpoint']},{GIVEN['PeerEndpoints']}",
    "BEACON_DB_USER": "beacon_probe",
}
Metric = tuple[str, str, frozenset[tuple[str, str]]]


@cache
def translated() -> Any:  # noqa: ANN401 - JSON
    return translate(TEMPLATE, region="us-east-1", parameters=GIVEN).template


def alarms(**changes: str) -> dict[str, dict[str, Any]]:
    resolver = TemplateResolver.create(translated(), GIVEN | changes, region="us-east-1", stack_name="x")
    types = resolver.resource_types()
    return {
        name: resolver.properties(name) for name, kind in types.items() if kind == "AWS::CloudWatch::Alarm"
    }


def watched(alarm: dict[str, Any]) -> set[Metric]:
    """The metrics that an alarm looks at, by namespace, name and dimensions."""
    parts = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    return {
        (
            part["Namespace"],
            part["MetricName"],
            frozenset((dimension["Name"], dimension["Value"]) for dimension in part["Dimensions"]),
        )
        for part in parts or [alarm]
    }


def written(out: str) -> set[Metric]:
    """The metrics in a function's log, as CloudWatch takes them out of it."""
    found: set[Metric] = set()
    for record in (json.loads(line) for line in out.splitlines()):
        for directive in record.get("_aws", {}).get("CloudWatchMetrics", []):
            for names in directive["Dimensions"]:
                dimensions = frozenset((name, record[name]) for name in names)
                found |= {(directive["Namespace"], item["Name"], dimensions) for item in directive["Metrics"]}
    return found


@dataclass
class Says:
    """A probe that reports what it was made with."""

    report: ProbeReport

    def __call__(self, _settings: Settings) -> "Says":
        return self

    def run(self, _deadline: float) -> ProbeReport:
        return self.report

    def close(self) -> None:
        """Nothing is open."""


def from_the_health_function(capsys: pytest.CaptureFixture[str]) -> set[Metric]:
    drained = ProbeReport(
        Observation(ProbeOutcome.PASS, Reason.OK, 1.0), {"us-east-1": Intent("us-east-1", Forced.DRAIN)}
    )
    unreadable = ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 1.0, warning=Reason.INTENT_UNREADABLE))
    failed = ProbeReport(Observation(ProbeOutcome.FAIL, Reason.TIMEOUT))
    crowded = ProbeReport(
        Observation(ProbeOutcome.PASS, Reason.OK, 1.0, warning=Reason.TOO_MANY_CONNECTIONS), {}
    )
    for report in (drained, unreadable, failed, crowded):
        HealthCheck(ENVIRONMENT, make_probe=Says(report)).answer({"httpMethod": "GET"})
    return written(capsys.readouterr().out)


def from_the_publisher(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> set[Metric]:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    hosts = (GIVEN["DsqlEndpoint"], GIVEN["PeerEndpoints"].partition("=")[2])
    fast = {
        "BEACON_DIAL": ",".join(f"{host}=127.0.0.1:{port}" for host in hosts),
        "BEACON_FALL": "1",
        "BEACON_RECHECK_MS": "50",
    }
    for name, value in (ENVIRONMENT | fast).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    context = SimpleNamespace(
        get_remaining_time_in_millis=lambda: 55_000, function_name="orders-prod-publisher"
    )
    try:
        with mock_aws():
            importlib.import_module("publisher_handler").handler({"source": "beacon.schedule"}, context)
    finally:
        sys.modules.pop("publisher_handler", None)
    return written(capsys.readouterr().out)


def test_the_alarms_watch_metrics_that_the_functions_write(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One letter that differs is a metric that never comes, and an alarm that never rings."""
    real = from_the_health_function(capsys) | from_the_publisher(monkeypatch, capsys)
    beacon = {metric for alarm in alarms().values() for metric in watched(alarm) if metric[0] == "Beacon"}
    assert {name for _, name, _ in beacon} == {
        "DocumentWritten",
        "IntentUnreadable",
        "Drained",
        "LoginWarning",
        "ProbeFail",
    }
    assert beacon <= real


def test_every_metric_of_ours_has_the_same_dimensions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One spelling from both functions, so that one query finds all metrics of a Region."""
    real = from_the_health_function(capsys) | from_the_publisher(monkeypatch, capsys)
    names = {frozenset(key for key, _ in dimensions) for _, _, dimensions in real}
    assert names
    assert all({"service", "Region"} <= found for found in names)


def test_the_alarm_on_unread_intents_hears_both_functions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both send the same metric with the same dimensions, so one alarm on it needs no expression."""
    (metric,) = watched(alarms()["IntentUnreadable"])
    assert metric in from_the_health_function(capsys)
    assert metric in from_the_publisher(monkeypatch, capsys)


def test_the_other_alarms_watch_lambda_under_the_functions_names() -> None:
    """Errors of both; throttles of the function whose requests must never be rejected."""
    lambdas = {metric for alarm in alarms().values() for metric in watched(alarm) if metric[0] != "Beacon"}
    assert lambdas == {
        ("AWS/Lambda", metric, frozenset({("FunctionName", f"orders-prod-{function}")}))
        for metric, function in (("Errors", "health"), ("Errors", "publisher"), ("Throttles", "health"))
    }


@pytest.mark.parametrize("every_s", [10, 20, 30, 60, 120, 300])
def test_a_document_is_too_old_when_the_last_one_ends_to_be_valid(every_s: int) -> None:
    """As long as the publisher says its documents hold; and a publisher that never runs is missed too."""
    publishing: Any = importlib.import_module("beacon.publisher.assembly")
    valid_s = max(publishing._VALID_AT_LEAST_S, publishing._VALID_PERIODS * every_s)
    alarm = alarms(PublishEverySeconds=str(every_s))["DocumentTooOld"]
    assert alarm["Period"] * alarm["EvaluationPeriods"] == valid_s
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
        "Sum",
        "LessThanThreshold",
        1,
    )
    assert alarm["TreatMissingData"] == "breaching"


def test_a_partial_failure_rings_when_half_of_ten_minutes_hold_a_failed_probe() -> None:
    """As the simulation of partial failures takes it, whose figures docs/limits.md shows."""
    alarm = alarms()["ProbesFail"]
    assert (alarm["Period"], alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (
        60,
        ALARM_MINUTES,
        ALARM_OF,
    )
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
        "Sum",
        "GreaterThanThreshold",
        0,
    )


def test_what_is_only_counted_when_it_happens_may_be_missing() -> None:
    """No error is no data, and no data is then no alarm."""
    found = alarms()
    assert {alarm["TreatMissingData"] for name, alarm in found.items() if name != "DocumentTooOld"} == {
        "notBreaching"
    }


def test_an_alarm_tells_the_topic_when_it_starts_and_ends() -> None:
    """With a topic both; without one none; switched off there is none. Eight, none more than a day long."""
    with_topic, without = alarms(AlarmTopicArn=TOPIC), alarms()
    assert len(with_topic) == 8
    assert alarms(Alarms="false") == {}
    for name, alarm in with_topic.items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC]
        assert "AlarmActions" not in without[name]
        assert alarm["AlarmName"].startswith("orders-prod-")
        assert alarm["AlarmDescription"]
        assert int(alarm.get("Period", 300)) * alarm["EvaluationPeriods"] <= 86_400
