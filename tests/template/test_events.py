"""The sample invocations in events/ agree with the template, and the functions read them as what they are."""

import json
from typing import Any

import pytest
from tests.places import ROOT

from beacon.health.check import HealthCheck
from beacon_lab.stack.translate import read_template

EVENTS = sorted(path.stem for path in (ROOT / "events").glob("*.json"))
TEMPLATE: Any = read_template(ROOT / "template.yaml")


def event(name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads((ROOT / "events" / f"{name}.json").read_text(encoding="utf-8"))


def answer(sample: object) -> dict[str, Any]:
    """What the health function answers where nothing is configured, so that nothing is contacted."""
    environment = {"BEACON_APP": "orders", "BEACON_ENV": "test", "AWS_REGION": "us-east-1"}
    return HealthCheck(environment).answer(sample)


def test_there_is_a_sample_of_each_kind() -> None:
    """A new one belongs into a test below."""
    assert EVENTS == [
        "checker-get",
        "checker-get-format-2",
        "checker-head",
        "edge-trigger",
        "endpoint-health-changed",
        "schedule",
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_checkers_request_came_through_the_templates_api(method: str) -> None:
    """Resource, stage and path are those that the template deploys; the address is a checker's."""
    sample = event(f"checker-{method.lower()}")
    api = TEMPLATE["Resources"]["Api"]["Properties"]
    (resource,) = api["DefinitionBody"]["paths"]
    assert (sample["resource"], sample["httpMethod"]) == (resource, method)
    assert sample["path"] == resource.replace("{token}", sample["pathParameters"]["token"])
    context = sample["requestContext"]
    assert context["path"] == f"/{api['StageName']}{sample['path']}"
    assert context["identity"]["sourceIp"].startswith("15.177.")
    assert context["httpMethod"] == method


def test_the_health_function_answers_get_with_a_body_and_head_without() -> None:
    """The same answer otherwise."""
    get, head = answer(event("checker-get")), answer(event("checker-head"))
    assert get["body"]
    assert not head["body"]
    assert get["statusCode"] == head["statusCode"]


def test_the_health_function_reads_payload_format_2_too() -> None:
    """An HTTP API in front would send that."""
    assert answer(event("checker-get-format-2"))["statusCode"] == answer(event("checker-get"))["statusCode"]


@pytest.mark.parametrize("name", ["schedule", "edge-trigger"])
def test_the_health_function_does_not_take_another_event_for_a_request(name: str) -> None:
    """What starts the publisher is no request: the answer is a refusal, without a verdict."""
    assert 400 <= answer(event(name))["statusCode"] < 500


def test_the_schedule_sends_its_sample() -> None:
    """The template's input and the sample are the same."""
    tick = TEMPLATE["Resources"]["PublisherFunction"]["Properties"]["Events"]["Tick"]["Properties"]
    assert json.loads(tick["Input"]) == event("schedule")
