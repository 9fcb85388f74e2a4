"""The two Lambda entry points, imported as Lambda imports them, with events as Lambda passes them."""

import importlib
import json
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from beacon.document import Expected, parse
from beacon.settings import SettingsError, search_string

ROOT = Path(__file__).parents[2]
HOSTS = {name: name[-1] * 26 + f".dsql.{name}.on.aws" for name in ("us-east-1", "us-east-2")}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """What the template sets, with endpoints where nobody listens; the handlers are imported anew."""
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
    """Nobody listens: 503, refused."""
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
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Beacon"
    assert metrics["Region"] == "us-east-1"
    assert (metrics["Frozen"], metrics["IntentUnreadable"], metrics["DocumentWritten"]) == (
        [1.0],
        [1.0],
        [1.0],
    )


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
