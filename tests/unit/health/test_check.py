"""The health endpoint: any event gets a well-formed answer, in time, that says nothing it should not."""

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

from beacon.health.check import HealthCheck
from beacon.health.trigger import EdgeTrigger
from beacon.model import Forced, Intent, Observation, ProbeReport
from beacon.names import search_string
from beacon.outcome import ProbeOutcome, Reason
from beacon.settings import Settings

CANARY = "canary-7f3a"
HOST = "c" * 26 + ".dsql.us-east-1.on.aws"
USER = "canary_user_7f3a"
ENVIRONMENT = {
    "BEACON_APP": "orders",
    "BEACON_ENV": "prod",
    "AWS_REGION": "us-east-1",
    "BEACON_ENDPOINTS": f"us-east-1={HOST}",
    "BEACON_DB_USER": USER,
    "AWS_ACCESS_KEY_ID": f"AKID{CANARY}",
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_SESSION_TOKEN": CANARY,
}
WANTED = search_string("orders-prod", "us-east-1")
REST_GET = {"httpMethod": "GET", "path": "/token/health", "requestContext": {"stage": "live"}}
HTTP_GET = {"version": "2.0", "rawPath": "/x", "requestContext": {"http": {"method": "GET", "path": "/x"}}}


class FakeProbe:
    """Reports what the test sets, or breaks down; notes the deadlines it got."""

    def __init__(self, outcome: ProbeReport | Exception) -> None:
        self.outcome = outcome
        self.deadlines: list[float] = []

    def __call__(self, _settings: Settings) -> "FakeProbe":
        return self

    def run(self, deadline: float) -> ProbeReport:
        self.deadlines.append(deadline)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def close(self) -> None:
        """Nothing is open."""


GOOD = ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 1.0), {})
BAD = ProbeReport(Observation(ProbeOutcome.FAIL, Reason.TIMEOUT))


def check_with(outcome: ProbeReport | Exception = GOOD) -> HealthCheck:
    return HealthCheck(ENVIRONMENT, make_probe=FakeProbe(outcome))


def well_formed(result: dict[str, object]) -> tuple[int, str]:
    """Status and body of ``result``, once sure that API Gateway takes it in either payload format."""
    assert set(result) == {"statusCode", "headers", "body", "isBase64Encoded"}
    json.dumps(result, allow_nan=False)
    status, headers, body = result["statusCode"], result["headers"], result["body"]
    assert isinstance(status, int)
    assert status in {200, 400, 405, 503}
    assert isinstance(headers, dict)
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in headers.items())
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "application/health+json"
    assert isinstance(body, str)
    assert not body or isinstance(json.loads(body), dict)
    assert result["isBase64Encoded"] is False
    return status, body


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("event", [REST_GET, HTTP_GET], ids=["1.0", "2.0"])
def test_both_payload_formats_are_answered(event: dict[str, object]) -> None:
    """REST proxy events and HTTP API events mean the same request."""
    status, body = well_formed(check_with().answer(event))
    assert status == 200
    assert WANTED in body
    status, body = well_formed(check_with(BAD).answer(event))
    assert status == 503
    assert "serving" not in body


@pytest.mark.parametrize("method", ["HEAD", "head", "get"])
def test_head_and_lower_case_are_requests_too(method: str) -> None:
    """HEAD has no body."""
    status, body = well_formed(check_with().answer({"httpMethod": method}))
    assert status == 200
    assert (body == "") == (method.upper() == "HEAD")


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE", "", "GET\r\n", "GÈT", "G" * 10_000])
def test_another_method_is_refused_without_a_probe(method: str) -> None:
    """405, and the database is left alone."""
    probe = FakeProbe(GOOD)
    check = HealthCheck(ENVIRONMENT, make_probe=probe)
    for event in ({"httpMethod": method}, {"requestContext": {"http": {"method": method}}}):
        assert well_formed(check.answer(event))[0] == 405
    assert probe.deadlines == []


@pytest.mark.parametrize(
    "event",
    [
        None,
        "GET",
        b"GET",
        7,
        [REST_GET],
        {},
        {"requestContext": None},
        {"requestContext": "GET"},
        {"requestContext": {"http": None}},
        {"requestContext": {"http": {"method": None}}},
        {"httpMethod": ["GET"]},
        {"httpMethod": {"a": "GET"}},
        {"source": "aws.events"},
    ],
    ids=repr,
)
def test_what_is_no_request_gets_an_answer_that_says_so(event: object) -> None:
    """400, without a probe."""
    probe = FakeProbe(GOOD)
    assert well_formed(HealthCheck(ENVIRONMENT, make_probe=probe).answer(event))[0] == 400
    assert probe.deadlines == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_EVENTS = _JSON | st.fixed_dictionaries(
    {},
    optional={
        "version": st.sampled_from(["1.0", "2.0"]) | _JSON,
        "httpMethod": st.sampled_from(["GET", "HEAD", "POST", "CONNECT"]) | _JSON,
        "path": st.sampled_from(["/../../etc/passwd", "//", "/%2e%2e/"]) | _JSON,
        "headers": _JSON | st.just({"Host": CANARY, "X-Forwarded-For": CANARY}),
        "queryStringParameters": _JSON | st.just({"url": f"http://{CANARY}", "host": CANARY}),
        "body": _JSON | st.just(CANARY * 1000),
        "requestContext": _JSON
        | st.fixed_dictionaries(
            {"http": st.fixed_dictionaries({"method": st.sampled_from(["GET", "PUT"])}) | _JSON}
        ),
    },
)


@settings(max_examples=examples(300), deadline=None)
@given(event=_EVENTS)
def test_any_event_gets_a_well_formed_answer(event: object) -> None:
    """Nothing of the event comes back, and nothing in it steers the probe."""
    result = CHECK.answer(event)
    well_formed(result)
    assert CANARY not in json.dumps(result)


CHECK = check_with()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"BEACON_DB_USER": ""}, 200),
        ({"BEACON_ENDPOINTS": "us-east-1=localhost"}, 200),
        ({"BEACON_PROBE_DEADLINE_MS": "9999"}, 200),
        # Without these no search string can be named.
        ({"AWS_REGION": ""}, 503),
        ({"BEACON_APP": ""}, 503),
        ({"BEACON_ENV": ""}, 503),
        ({"BEACON_APP": "", "BEACON_ENV": ""}, 503),
        ({"BEACON_APP": "Orders"}, 503),
        ({"AWS_REGION": f"{CANARY}\r\nX: y"}, 503),
    ],
    ids=repr,
)
def test_wrong_settings_are_a_warning_and_no_verdict(
    changes: dict[str, str], expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault of ours does not take a Region out of DNS, as long as the Region and service are known."""
    check = HealthCheck(ENVIRONMENT | changes, make_probe=FakeProbe(GOOD))
    (logged,) = lines(capsys.readouterr().out)
    assert (logged["level"], logged["message"]) == ("ERROR", "settings cannot be used")
    assert all(any(name in reason for reason in logged["reasons"]) for name in changes)
    result = check.answer(REST_GET)
    status, body = well_formed(result)
    assert status == expected
    assert json.loads(body)["status"] == ("warn" if expected == 200 else "fail")
    assert (WANTED in body) == (expected == 200)
    assert json.loads(body)["checks"]["dsql:select"][0]["output"] == "configuration"
    assert CANARY not in json.dumps(result)


@pytest.mark.parametrize("error", [RuntimeError(CANARY), UnicodeError(CANARY), KeyError(CANARY)])
def test_a_probe_that_breaks_down_is_a_warning(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """200 warn; the log names the exception's type and nothing of its text."""
    status, body = well_formed(check_with(error).answer(REST_GET))
    assert status == 200
    assert (json.loads(body)["status"], WANTED in body) == ("warn", True)
    out = capsys.readouterr().out
    assert CANARY not in out + body
    told = [(line["level"], line["error"]) for line in lines(out) if "error" in line]
    assert told == [("ERROR", type(error).__name__)]


def test_a_probe_that_cannot_be_made_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """An INIT that fails would be a 502, and that a verdict."""

    def broken(_settings: Settings) -> FakeProbe:
        raise OSError(CANARY)

    check = HealthCheck(ENVIRONMENT, make_probe=broken)
    status, body = well_formed(check.answer(REST_GET))
    assert (status, json.loads(body)["status"]) == (200, "warn")
    assert json.loads(body)["checks"]["dsql:select"][0]["output"] == "internal"
    out = capsys.readouterr().out
    assert CANARY not in out + body
    (told, *_) = lines(out)
    assert (told["level"], told["message"], told["error"]) == ("ERROR", "the probe cannot be made", "OSError")


def test_a_region_and_a_service_without_a_name_are_called_unknown() -> None:
    """Nothing of what the environment holds instead is repeated."""
    result = HealthCheck({}).answer(REST_GET)
    assert json.loads(well_formed(result)[1])["serviceId"] == "unknown/unknown"
    assert result["headers"]["X-Beacon-Region"] == "unknown"  # type: ignore[index]


def test_a_drain_outlives_a_probe_that_breaks_down() -> None:
    """The sandbox remembers what it read last."""
    probe = FakeProbe(ProbeReport(GOOD.observation, {"us-east-1": Intent("us-east-1", Forced.DRAIN)}))
    check = HealthCheck(ENVIRONMENT, make_probe=probe)
    assert well_formed(check.answer(REST_GET))[0] == 503
    probe.outcome = RuntimeError(CANARY)
    status, body = well_formed(check.answer(REST_GET))
    assert (status, json.loads(body)["checks"]["dsql:select"][0]["output"]) == (503, "drained")


def test_the_probe_gets_the_deadline_less_what_the_answer_takes() -> None:
    """Counted from the invocation's start."""
    probe = FakeProbe(GOOD)
    check = HealthCheck(
        ENVIRONMENT | {"BEACON_PROBE_DEADLINE_MS": "700"}, clock=lambda: 50.0, make_probe=probe
    )
    check.answer(REST_GET)
    assert probe.deadlines == [pytest.approx(50.68)]


def test_the_log_tells_changes_and_failures_and_not_each_success(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line when the state changes and for each failure."""
    probe = FakeProbe(GOOD)
    check = HealthCheck(ENVIRONMENT, make_probe=probe)
    for outcome in (GOOD, GOOD, BAD, BAD, GOOD, GOOD):
        probe.outcome = outcome
        check.answer(REST_GET)
    told = [line for line in lines(capsys.readouterr().out) if line.get("message") == "health"]
    assert told[1] == {
        "level": "WARNING",
        "message": "health",
        "service": "orders-prod",
        "Region": "us-east-1",
        "serving": False,
        "status": "fail",
        "reason": "timeout",
        "was": "ok",
        "sqlstate": None,
    }
    assert [(line["level"], line["was"], line["reason"]) for line in told] == [
        ("INFO", None, "ok"),
        ("WARNING", "ok", "timeout"),
        ("WARNING", "timeout", "timeout"),
        ("INFO", "timeout", "ok"),
    ]


def test_metrics_are_embedded_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Each names its namespace, its dimensions and a number; ColdStart comes once."""
    drained = ProbeReport(
        Observation(ProbeOutcome.PASS, Reason.OK, 2.0, reconnected=True),
        {"us-east-1": Intent("us-east-1", Forced.DRAIN)},
    )
    unreadable = ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 3.0, warning=Reason.INTENT_UNREADABLE))
    probe = FakeProbe(GOOD)
    check = HealthCheck(ENVIRONMENT, make_probe=probe)
    for outcome in (GOOD, drained, BAD, unreadable):
        probe.outcome = outcome
        check.answer(REST_GET)
    found: list[tuple[str, float]] = []
    for line in lines(capsys.readouterr().out):
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            assert directive["Namespace"] == "Beacon"
            assert all({"service", "Region"} <= set(names) for names in directive["Dimensions"])
            assert all(isinstance(line[name], str) for names in directive["Dimensions"] for name in names)
            found += [(metric["Name"], line[metric["Name"]]) for metric in directive["Metrics"]]
    assert found == [
        ("ProbeLatency", 1.0),
        ("ColdStart", 1),
        ("ProbeLatency", 2.0),
        ("Reconnects", 1),
        ("Drained", 1),
        ("ProbeFail", 1),
        ("ProbeLatency", 3.0),
        # The drain is remembered.
        ("Drained", 1),
        ("IntentUnreadable", 1),
    ]


def test_each_metric_has_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    """A latency is in milliseconds, to the hundredth, and everything else is a count."""
    check_with(ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 1.23456), {})).answer(REST_GET)
    found = [
        (metric["Name"], metric["Unit"], line[metric["Name"]])
        for line in lines(capsys.readouterr().out)
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", [])
        for metric in directive["Metrics"]
    ]
    assert found == [("ProbeLatency", "Milliseconds", 1.23), ("ColdStart", "Count", 1)]


# ---- the publisher is started at once


class FakeTrigger(EdgeTrigger):
    """Notes what it is fired for, and how long it may take."""

    def __init__(self, *, starts: bool = True) -> None:
        self.fired: list[tuple[Reason, float]] = []
        self._starts = starts

    def fire(self, reason: Reason, wait_s: float) -> bool:
        self.fired.append((reason, wait_s))
        return self._starts


DRAINING = ProbeReport(GOOD.observation, {"us-east-1": Intent("us-east-1", Forced.DRAIN)})


@pytest.mark.parametrize(
    ("reports", "fired"),
    [
        ([GOOD, GOOD], []),
        ([BAD], [Reason.TIMEOUT]),
        ([GOOD, BAD, BAD], [Reason.TIMEOUT, Reason.TIMEOUT]),
        ([GOOD, DRAINING, DRAINING], [Reason.DRAINED]),
        ([DRAINING], []),
        ([DRAINING, GOOD, DRAINING], [Reason.DRAINED]),
    ],
)
def test_each_failure_and_the_first_answer_of_a_drain_start_the_publisher(
    reports: list[ProbeReport], fired: list[Reason]
) -> None:
    """For a fraction of the 2 s that Route 53 gives; an answer that serves costs nothing."""
    trigger, probe = FakeTrigger(), FakeProbe(GOOD)
    check = HealthCheck(ENVIRONMENT, make_probe=probe, trigger=trigger)
    for report in reports:
        probe.outcome = report
        check.answer(REST_GET)
    assert trigger.fired == [(reason, 0.3) for reason in fired]


@pytest.mark.parametrize("starts", [True, False])
def test_a_start_of_the_publisher_is_logged(capsys: pytest.CaptureFixture[str], *, starts: bool) -> None:
    """Only one that was sent: the trigger itself sends one in ten seconds at the most."""
    check = HealthCheck(ENVIRONMENT, make_probe=FakeProbe(BAD), trigger=FakeTrigger(starts=starts))
    check.answer(REST_GET)
    said = [line for line in lines(capsys.readouterr().out) if line.get("message", "").startswith("asked")]
    assert [(line["level"], line["reason"]) for line in said] == [("INFO", "timeout")] * starts


def test_the_publisher_to_start_is_the_one_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None where the stack names none; and a trigger that is given is the one that is used."""
    made: list[tuple[str, str]] = []
    own, given = FakeTrigger(), FakeTrigger()

    def of_function(name: str, region: str, _environment: object) -> FakeTrigger:
        made.append((name, region))
        return own

    monkeypatch.setattr(EdgeTrigger, "of_function", of_function)
    named = ENVIRONMENT | {"BEACON_PUBLISHER_FUNCTION": "orders-prod-publisher"}
    HealthCheck(ENVIRONMENT, make_probe=FakeProbe(BAD)).answer(REST_GET)
    assert made == []
    HealthCheck(named, make_probe=FakeProbe(BAD)).answer(REST_GET)
    assert (made, len(own.fired)) == ([("orders-prod-publisher", "us-east-1")], 1)
    HealthCheck(named, make_probe=FakeProbe(BAD), trigger=given).answer(REST_GET)
    assert (len(own.fired), len(given.fired)) == (1, 1)


@pytest.mark.parametrize("warning", [Reason.TOO_MANY_CONNECTIONS, Reason.SLOW_LOGIN])
def test_a_warning_about_logins_has_a_metric_of_its_own(
    warning: Reason, capsys: pytest.CaptureFixture[str]
) -> None:
    """The intents were read, so nothing is unreadable; Route 53 still finds its string."""
    report = ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 1.0, warning=warning), {})
    status, text = well_formed(check_with(report).answer(REST_GET))
    body = json.loads(text)
    assert (status, body["status"]) == (200, "warn")
    assert body["checks"]["dsql:select"][0]["output"] == warning
    assert search_string("orders-prod", "us-east-1") in text
    out = capsys.readouterr().out
    assert '"LoginWarning":1' in out
    assert "IntentUnreadable" not in out


def test_a_failed_probe_is_counted_by_its_reason_and_over_all_reasons(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """CloudWatch adds nothing up over a dimension: an alarm on every failure needs a metric of its own."""
    check_with(BAD).answer(REST_GET)
    sets = [
        directive["Dimensions"]
        for line in lines(capsys.readouterr().out)
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", [])
        if directive["Metrics"][0]["Name"] == "ProbeFail"
    ]
    ((overall, by_reason),) = sets
    assert set(by_reason) - set(overall) == {"Reason"}


def test_a_log_that_cannot_be_written_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output may be gone."""

    class Gone:
        def write(self, _text: str) -> int:
            raise OSError(32, "Broken pipe")

    check = check_with()
    monkeypatch.setattr("sys.stdout", Gone())
    assert well_formed(check.answer(REST_GET))[0] == 200


def test_no_canary_leaves_with_the_real_probe(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Host, user and credentials appear in no body and no line, whatever fails; a name service that stalls
    does not hold the answer."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    stall = threading.Event()

    def look_up(then: Callable[[], None]) -> Callable[..., None]:
        def getaddrinfo(*_arguments: object, **_more: object) -> None:
            then()
            raise OSError(f"{CANARY}: {HOST}")

        return getaddrinfo

    for then, reason in ((lambda: None, "name"), (lambda: _wait(stall), "timeout")):
        monkeypatch.setattr("socket.getaddrinfo", look_up(then))
        check = HealthCheck(ENVIRONMENT | {"BEACON_PROBE_DEADLINE_MS": "200"})
        started = time.monotonic()
        result = check.answer(REST_GET)
        assert time.monotonic() - started < 0.2 + 0.1
        status, body = well_formed(result)
        assert status == 503
        assert json.loads(body)["checks"]["dsql:select"][0]["output"] == reason
        captured = capfd.readouterr()
        assert not re.search(f"{CANARY}|{USER}|{HOST}|AKID", captured.out + captured.err + json.dumps(result))
    stall.set()


def _wait(stall: threading.Event) -> None:
    stall.wait(10)
