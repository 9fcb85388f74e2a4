"""The two Lambda entry points, imported as Lambda imports them, with events as Lambda passes them."""

import importlib
import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests.places import ROOT

from beacon.document.form import Expected, parse
from beacon.model import Endpoint, Observation, Policy
from beacon.names import search_string
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.canary import CanaryReport
from beacon.publisher.decide import Subject, decide
from beacon.publisher.observe import Round
from beacon.publisher.round import RoundReport
from beacon.settings import SettingsError

HOSTS = {name: name[-1] * 26 + f".dsql.{name}.on.aws" for name in ("us-east-1", "us-east-2")}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """What the template sets, with endpoints where no server listens; the handlers are imported again."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    for name, value in {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_LAMBDA_FUNCTION_NAME": "orders-prod",
        "BEACON_APP": "orders",
        "BEACON_ENV": "prod",
        "BEACON_ENDPOINTS": ",".join(f"{region}={host}" for region, host in HOSTS.items()),
        "BEACON_DB_USER": "beacon_probe",
        "BEACON_DIAL": ",".join(f"{host}=127.0.0.1:{port}" for host in HOSTS.values()),
        "BEACON_PROBE_DEADLINE_MS": "500",
        "BEACON_RECHECK_MS": "50",
        "BEACON_FALL": "2",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch
    for module in ("health_handler", "publisher_handler"):
        sys.modules.pop(module, None)


def imported(name: str) -> ModuleType:
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def event(name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads((ROOT / "events" / name).read_text())


@pytest.mark.parametrize("name", ["checker-get.json", "checker-get-format-2.json"])
def test_the_health_handler_answers_a_checker(environment: pytest.MonkeyPatch, name: str) -> None:
    """No server listens: 503, refused."""
    result = imported("health_handler").handler(event(name), None)
    assert result["statusCode"] == 503
    assert json.loads(result["body"])["checks"]["dsql:select"][0]["output"] == "refused"
    assert search_string("orders-prod", "us-east-1") not in result["body"]


def test_the_health_handler_answers_head_without_a_body(environment: pytest.MonkeyPatch) -> None:
    """The same status, and nothing else."""
    result = imported("health_handler").handler(event("checker-head.json"), None)
    assert (result["statusCode"], result["body"]) == (503, "")


def test_the_health_handler_starts_with_wrong_settings(environment: pytest.MonkeyPatch) -> None:
    """A fault of ours must not look like a dead database."""
    environment.setenv("BEACON_DB_USER", "admin")
    result = imported("health_handler").handler(event("checker-get.json"), None)
    assert result["statusCode"] == 200
    assert json.loads(result["body"])["status"] == "warn"


def test_the_publisher_publishes_and_logs_metrics(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every endpoint refuses: the document lists both, frozen, and the endpoint is this Region's."""
    with mock_aws():
        result = imported("publisher_handler").handler(event("schedule.json"), None)
        found = boto3.client("ssm", region_name="us-east-1").get_parameters(
            Names=["/orders/prod/dsql/document", "/orders/prod/dsql/endpoint"]
        )["Parameters"]
    values = {one["Name"].rpartition("/")[2]: one["Value"] for one in found}
    assert values["endpoint"] == HOSTS["us-east-1"]
    raw = json.loads(values["document"])
    assert (raw["frozen"], raw["note"], len(raw["endpoints"])) == (True, "all_failed", 2)
    assert result == {
        "rounds": 1,
        "epoch": raw["epoch"],
        "written": True,
        "preferred": "us-east-1",
        "frozen": True,
    }
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (metrics,) = [line for line in lines if "_aws" in line]
    assert "EndpointUp" not in metrics, "nothing is known of them yet"
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Beacon"
    assert metrics["Region"] == "us-east-1"
    assert (metrics["Frozen"], metrics["IntentUnreadable"], metrics["DocumentWritten"]) == (
        [1.0],
        [1.0],
        [1.0],
    )


class Told:
    """Stands in for what an invocation does: yields what it is given."""

    def __init__(self, *reports: object) -> None:
        self._reports = reports

    def run(self, _event: object, _remaining_s: object) -> Iterator[object]:
        yield from self._reports


def told(module: ModuleType, capsys: pytest.CaptureFixture[str], *reports: object) -> tuple[Any, list[Any]]:
    """The handler's result for such an invocation, and every line that it wrote."""
    module.__dict__["_invocation"] = Told(*reports)
    capsys.readouterr()
    result = module.handler({}, None)
    return result, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def ejection() -> RoundReport:
    """us-east-1 has just been taken out."""
    subject = Subject("orders-prod", "dsql", "us-east-1", tuple(Endpoint(*pair) for pair in HOSTS.items()))
    policy, now = Policy(fall=1), datetime(2026, 11, 22, tzinfo=UTC)
    good, bad = Observation(ProbeOutcome.PASS, Reason.OK, 1.0), Observation(ProbeOutcome.FAIL, Reason.TIMEOUT)
    seen = dict.fromkeys(HOSTS, (good,))
    first = decide(None, seen, {}, now=now, policy=policy, subject=subject).document
    seen["us-east-1"] = (bad,)
    found = decide(first, seen, {}, now=now, policy=policy, subject=subject)
    return RoundReport(found.document, Round(seen, {}), found.changes, written=True, age_s=0.5)


def test_a_round_writes_metrics_and_a_line_for_each_change(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Each endpoint's state by its Region, the ejection, the document's age; both states in the log."""
    report = ejection()
    result, lines = told(imported("publisher_handler"), capsys, report)
    assert (result["rounds"], result["preferred"]) == (1, "us-east-2")
    up = {line["EndpointRegion"]: line["EndpointUp"] for line in lines if "EndpointUp" in line}
    assert up == {"us-east-1": [0.0], "us-east-2": [1.0]}
    dimensions = [d for line in lines if "EndpointUp" in line for d in line["_aws"]["CloudWatchMetrics"]]
    assert all(d["Dimensions"] == [["service", "Region", "EndpointRegion"]] for d in dimensions)
    assert [d["Namespace"] for d in dimensions] == ["Beacon", "Beacon"]
    (totals,) = [line for line in lines if "Ejections" in line]
    assert (totals["Ejections"], totals["DocumentAge"], totals["Frozen"]) == ([1.0], [0.5], [0.0])
    (change,) = [vars(record) for record in caplog.records if record.message == "endpoint changed"]
    assert (change["changed_region"], change["before"], change["after"]) == (
        "us-east-1",
        "up/-/in",
        "down/-/out",
    )
    assert change["change"] == "observed up -> down (timeout), taken out"


def test_every_round_of_an_invocation_is_counted(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many values as rounds; an unknown age is no value."""
    report = replace(ejection(), changes=(), age_s=None)
    result, lines = told(imported("publisher_handler"), capsys, report, report)
    assert result["rounds"] == 2
    (totals,) = [line for line in lines if "Ejections" in line]
    assert totals["Ejections"] == [0.0, 0.0]
    assert "DocumentAge" not in totals


def test_the_canary_is_reported(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """1 with a line that says why, or 0; it is no round."""
    module = imported("publisher_handler")
    result, lines = told(module, capsys, CanaryReport(Reason.SERVER_ERROR, 5.0, "42501"))
    assert result == {"rounds": 0}
    assert [line["WriteCanaryFail"] for line in lines if "_aws" in line] == [[1.0]]
    (line,) = [vars(record) for record in caplog.records if record.message == "the write canary failed"]
    assert (line["reason"], line["sqlstate"]) == ("server_error", "42501")
    _, lines = told(module, capsys, CanaryReport(Reason.OK, 5.0))
    assert [line["WriteCanaryFail"] for line in lines if "_aws" in line] == [[0.0]]


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
def test_old_news_makes_no_round(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A second event of the edge trigger, from SSM to the answer: what is published stays as it is."""
    with mock_aws():
        module = imported("publisher_handler")
        edge = event("edge-trigger.json")
        # No server answers here, so the first round freezes; for ten seconds that is the news.
        assert [module.handler(edge, None).get("rounds") for _ in range(3)] == [1, 0, 0]
        ssm = boto3.client("ssm", region_name="us-east-1")
        assert ssm.get_parameter(Name="/orders/prod/dsql/document")["Parameter"]["Version"] == 1


def test_what_the_publisher_wrote_a_reader_accepts(environment: pytest.MonkeyPatch) -> None:
    """Run twice, by two sandboxes: epochs rise across them."""
    epochs = []
    with mock_aws():
        for _ in range(2):
            publisher = imported("publisher_handler")
            publisher.handler({}, None)
            text = boto3.client("ssm", region_name="us-east-1").get_parameter(
                Name="/orders/prod/dsql/document"
            )["Parameter"]["Value"]
            expected = Expected("orders-prod", "dsql", "us-east-1", frozenset(HOSTS.values()))
            epochs.append(parse(text, expected, datetime.now(UTC)).epoch)
    assert epochs == sorted(set(epochs))


def test_a_publisher_with_wrong_settings_does_not_run(environment: pytest.MonkeyPatch) -> None:
    """The last published document stays as it is; all reasons stand in one error."""
    environment.setenv("BEACON_FALL", "0")
    environment.setenv("BEACON_ENDPOINTS", "nowhere")
    with pytest.raises(SettingsError) as caught:
        imported("publisher_handler")
    assert len(caught.value.reasons) >= 2
