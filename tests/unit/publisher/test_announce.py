"""Events of changes: what is sent, when a client is made, and that nothing breaks without EventBridge."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import boto3
import jsonschema  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from moto import mock_aws
from tests.places import ROOT

from beacon.model import Change, Document, Endpoint, Forced, Intent, Observation, Policy
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.announce import DETAIL_TYPE, SOURCE, Announcer, detail_of
from beacon.publisher.changes import changes_between
from beacon.publisher.decide import Subject, decide

REGIONS = ("us-east-1", "us-east-2")
ENDPOINTS = tuple(
    Endpoint(region, f"{'ab'[n] * 26}.dsql.{region}.on.aws") for n, region in enumerate(REGIONS)
)
SUBJECT = Subject("orders-prod", "dsql", REGIONS[0], ENDPOINTS)
NOW = datetime(2026, 11, 22, 1, 2, 3, 456000, tzinfo=UTC)
POLICY = Policy(fall=1, ranking="priority")
PASS, FAIL = Observation(ProbeOutcome.PASS, Reason.OK, 1.0), Observation(ProbeOutcome.FAIL, Reason.TIMEOUT)


def ejection() -> tuple[Document, tuple[Change, ...]]:
    """The first Region fails."""
    seen = {region: [PASS] for region in REGIONS}
    first = decide(None, seen, {}, now=NOW - timedelta(minutes=1), policy=POLICY, subject=SUBJECT).document
    found = decide(first, seen | {REGIONS[0]: [FAIL]}, {}, now=NOW, policy=POLICY, subject=SUBJECT)
    return found.document, found.changes


def sample() -> Any:  # noqa: ANN401 - JSON
    return json.loads((ROOT / "events/endpoint-health-changed.json").read_text(encoding="utf-8"))


def test_the_sample_event_is_what_is_sent() -> None:
    """Source, type and the whole detail of an ejection."""
    document, (change,) = ejection()
    event = sample()
    assert (event["source"], event["detail-type"]) == (SOURCE, DETAIL_TYPE)
    assert event["detail"] == detail_of(document, change)


def test_an_endpoint_that_is_first_seen_has_no_state_before() -> None:
    """``null``, and the rest as ever."""
    document, _ = ejection()
    details = [detail_of(document, change) for change in changes_between(None, document)]
    assert [(detail["before"], detail["reason"]) for detail in details] == [
        (None, "first seen: observed up"),
        (None, "first seen: observed down"),
    ]


def test_the_event_of_a_drain_tells_when_it_ends() -> None:
    """As an instant; ``null`` before it."""
    seen = {region: [PASS] for region in REGIONS}
    first = decide(None, seen, {}, now=NOW - timedelta(minutes=1), policy=POLICY, subject=SUBJECT).document
    drain = {REGIONS[0]: Intent(REGIONS[0], Forced.DRAIN, remaining_s=60.0)}
    found = decide(first, seen, drain, now=NOW, policy=POLICY, subject=SUBJECT)
    (change,) = found.changes
    detail = cast("dict[str, Any]", detail_of(found.document, change))
    assert detail["before"]["forced_until"] is None
    assert detail["after"]["forced_until"] == "2026-11-22T01:03:03.456Z"


class Counting:
    """Makes clients, and counts them."""

    def __init__(self, client: object) -> None:
        self.made, self._client = 0, client

    def __call__(self, _region: str) -> Any:  # noqa: ANN401 - a client
        self.made += 1
        return self._client


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - a client
    """A client that contacts nothing but what a test puts in its way."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return boto3.client("events", region_name="us-east-1")


def test_an_event_reaches_the_default_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a real client and moto's bus: a rule for the source sends it on to a log group."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with mock_aws():
        logs, bus = (
            boto3.client("logs", region_name="us-east-1"),
            boto3.client("events", region_name="us-east-1"),
        )
        logs.create_log_group(logGroupName="/aws/events/beacon")
        bus.put_rule(
            Name="all", EventPattern=json.dumps({"source": ["beacon"], "detail-type": [DETAIL_TYPE]})
        )
        group = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/beacon"
        bus.put_targets(Rule="all", Targets=[{"Id": "log", "Arn": group}])
        assert list(Announcer("us-east-1")(*ejection())) == []
        found = logs.filter_log_events(logGroupName="/aws/events/beacon")["events"]
    received = [json.loads(event["message"]) for event in found]
    assert [event["detail"] for event in received] == [sample()["detail"]]


def test_a_client_is_made_at_the_first_change_and_kept(events: Any) -> None:  # noqa: ANN401 - a client
    """Most rounds change nothing, and a client takes a tenth of a second."""
    document, changes = ejection()
    counting = Counting(events)
    announcer = Announcer("us-east-1", counting)
    assert (list(announcer(document, [])), counting.made) == ([], 0)
    with Stubber(events) as stub:
        for _ in range(2):
            stub.add_response("put_events", {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]})
            assert list(announcer(document, changes)) == []
    assert counting.made == 1


def test_what_eventbridge_refuses_is_a_problem(events: Any) -> None:  # noqa: ANN401 - a client
    """A whole call, or one entry of it: by its code, and nothing is raised."""
    document, changes = ejection()
    announcer = Announcer("us-east-1", Counting(events))
    with Stubber(events) as stub:
        stub.add_client_error("put_events", "AccessDeniedException", "a secret")
        assert list(announcer(document, changes)) == ["announcing 1 change(s) failed: AccessDeniedException"]
        entry = {"ErrorCode": "ThrottlingException", "ErrorMessage": "a secret"}
        stub.add_response("put_events", {"FailedEntryCount": 1, "Entries": [entry]})
        assert list(announcer(document, changes)) == ["an announcement was refused: ThrottlingException"]


def test_an_eventbridge_that_is_down_is_a_problem() -> None:
    """As is a client that cannot be made."""

    def broken(_region: str) -> Any:  # noqa: ANN401 - a client
        raise EndpointConnectionError(endpoint_url="https://events.example")

    problems: Sequence[str] = Announcer("us-east-1", broken)(*ejection())
    assert list(problems) == ["announcing 1 change(s) failed: EndpointConnectionError"]


def test_more_changes_than_one_call_takes_go_in_several(events: Any) -> None:  # noqa: ANN401 - a client
    """Ten entries are PutEvents' limit."""
    document, (change,) = ejection()
    with Stubber(events) as stub:
        for number in (10, 3):
            entries = [{"EventId": str(one)} for one in range(number)]
            stub.add_response("put_events", {"FailedEntryCount": 0, "Entries": entries})
        assert list(Announcer("us-east-1", Counting(events))(document, [change] * 13)) == []
        stub.assert_no_pending_responses()


def test_the_states_in_an_event_are_those_of_the_documents_schema() -> None:
    """Both use the same words."""
    schema = json.loads((ROOT / "docs/document.schema.json").read_text(encoding="utf-8"))
    words = schema["$defs"]["endpoint"]["properties"]
    for name in ("before", "after"):
        for member, value in cast("dict[str, object]", sample()["detail"][name]).items():
            jsonschema.validate(value, {"$defs": schema["$defs"], **words[member]})
