"""From a report to the answer of /health: the truth table, and what an answer may hold."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest

import beacon.health.verdict
from beacon.health.verdict import IntentMemory, Response, Verdict, judge, not_allowed, render, undecipherable
from beacon.model import Forced, Intent, Observation, ProbeReport
from beacon.names import search_string
from beacon.outcome import ProbeOutcome, Reason, outcome_of

REGION = "us-east-1"
NOW = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
DRAIN = Intent(REGION, Forced.DRAIN, "canary reason", "canary actor", 60.0)

PASSED = Observation(ProbeOutcome.PASS, Reason.OK, 12.34)
CROWDED = Observation(ProbeOutcome.PASS, Reason.OK, 4.2, warning=Reason.TOO_MANY_CONNECTIONS)
SLOW = Observation(ProbeOutcome.PASS, Reason.OK, 4.2, warning=Reason.SLOW_LOGIN)
UNREADABLE = Observation(ProbeOutcome.PASS, Reason.OK, 12.34, warning=Reason.INTENT_UNREADABLE)
UNKNOWN = Observation(ProbeOutcome.UNKNOWN, Reason.NO_CREDENTIALS, warning=Reason.NO_CREDENTIALS)
FAILED = Observation(ProbeOutcome.FAIL, Reason.TIMEOUT)

SERVING, DRAINED = (True, "pass", "ok"), (False, "fail", "drained")


def answer(verdict: Verdict) -> Response:
    return render(verdict, service="orders-prod", region=REGION, target="dsql", now=NOW)


def verdict_on(
    report: ProbeReport, memory: IntentMemory | None = None, now: float = 0.0
) -> tuple[object, ...]:
    verdict = judge(report, REGION, memory or IntentMemory(), now)
    return (verdict.serving, verdict.status, verdict.reason)


def remembering(intent: Intent | None) -> IntentMemory:
    memory = IntentMemory()
    memory.remember(intent, 0.0)
    return memory


@pytest.mark.parametrize(
    ("report", "last", "expected"),
    [
        # pass, intents read: what was just read counts, whatever was read before
        (ProbeReport(PASSED, {}), None, SERVING),
        (ProbeReport(PASSED, {}), DRAIN, SERVING),
        (ProbeReport(PASSED, {"us-east-2": DRAIN}), None, SERVING),
        (ProbeReport(PASSED, {REGION: DRAIN}), None, DRAINED),
        # pass, logins overloaded or slow: the intents were read over the open session
        (ProbeReport(CROWDED, {}), DRAIN, (True, "warn", "too_many_connections")),
        (ProbeReport(SLOW, {}), None, (True, "warn", "slow_login")),
        (ProbeReport(CROWDED, {REGION: DRAIN}), None, DRAINED),
        # pass, intents unreadable; unknown: the last one that was read counts
        (ProbeReport(UNREADABLE), None, (True, "warn", "intent_unreadable")),
        (ProbeReport(UNREADABLE), DRAIN, DRAINED),
        (ProbeReport(UNKNOWN), None, (True, "warn", "no_credentials")),
        (ProbeReport(UNKNOWN), DRAIN, DRAINED),
        # fail
        (ProbeReport(FAILED), None, (False, "fail", "timeout")),
        (ProbeReport(FAILED), DRAIN, (False, "fail", "timeout")),
    ],
)
def test_each_row_of_the_truth_table_holds(
    report: ProbeReport, last: Intent | None, expected: tuple[object, ...]
) -> None:
    """Serving, status and reason are those of the row, and the HTTP status follows from them."""
    memory = remembering(last)
    assert verdict_on(report, memory) == expected
    latency_ms = judge(report, REGION, memory, 0.0).latency_ms
    assert latency_ms == report.observation.latency_ms, "a drained or slow Region is still measured"
    status_code = answer(judge(report, REGION, memory, 0.0)).status_code
    assert status_code == (200 if expected[0] else 503)


def test_the_documented_table_has_the_rows_that_are_tested() -> None:
    """A new row there needs one here."""
    rows = re.findall(
        r"^(?:pass|unknown|fail)\b.*  (200|503) ", beacon.health.verdict.__doc__ or "", re.MULTILINE
    )
    assert rows == ["200", "503", "200", "503", "200", "503", "200", "503", "503"]


def test_a_remembered_drain_ends_when_its_time_is_up() -> None:
    """What was left when it was read, on a clock that counts frozen time."""
    memory = IntentMemory()
    assert verdict_on(ProbeReport(PASSED, {REGION: DRAIN}), memory, now=1000.0) == DRAINED
    assert verdict_on(ProbeReport(UNREADABLE), memory, now=1059.9) == DRAINED
    assert verdict_on(ProbeReport(UNREADABLE), memory, now=1060.0) == (True, "warn", "intent_unreadable")


def test_a_drain_without_end_is_remembered_until_it_is_read_released() -> None:
    """A failure in between changes nothing about it."""
    memory = IntentMemory()
    verdict_on(ProbeReport(PASSED, {REGION: Intent(REGION, Forced.DRAIN)}), memory)
    assert verdict_on(ProbeReport(FAILED), memory, now=1e9) == (False, "fail", "timeout")
    assert verdict_on(ProbeReport(UNREADABLE), memory, now=1e9) == DRAINED
    assert verdict_on(ProbeReport(PASSED, {}), memory, now=1e9) == SERVING
    assert verdict_on(ProbeReport(UNREADABLE), memory, now=1e9) == (True, "warn", "intent_unreadable")


VERDICTS = [
    Verdict(serving, "pass" if serving else "fail", reason, latency)
    for serving, reason, latency in product((True, False), Reason, (None, 0.0, 12.34))
]


@pytest.mark.parametrize("verdict", VERDICTS, ids=str)
def test_the_search_string_is_in_serving_answers_only(verdict: Verdict) -> None:
    """Within the first 200 bytes, and no part of it that Route 53 could be set to look for elsewhere."""
    body = answer(verdict).body.encode()
    wanted = search_string("orders-prod", REGION).encode()
    assert (wanted in body[:200]) == verdict.serving
    assert (b"serving" in body) == verdict.serving


def test_the_search_string_fits_the_first_200_bytes_for_the_longest_names() -> None:
    """Twenty letters of application, twelve of environment, the longest Region name."""
    service, region = "a" * 20 + "-" + "b" * 12, "ap-southeast-99"
    body = render(
        Verdict(True, "pass", Reason.OK), service=service, region=region, target="dsql", now=NOW
    ).body
    assert search_string(service, region).encode() in body.encode()[:200]


def test_a_serving_answer_has_the_drafts_members() -> None:
    """application/health+json, whole."""
    response = answer(Verdict(True, "pass", Reason.OK, 12.34))
    assert response.status_code == 200
    assert response.headers == {
        "Content-Type": "application/health+json",
        "Cache-Control": "no-store",
        "X-Beacon-Region": REGION,
    }
    assert json.loads(response.body) == {
        "status": "pass",
        "description": "beacon:orders-prod:us-east-1:serving",
        "serviceId": "orders-prod/us-east-1",
        "checks": {
            "dsql:select": [
                {
                    "componentType": "datastore",
                    "status": "pass",
                    "observedValue": 12.3,
                    "observedUnit": "ms",
                    "time": "2026-11-22T01:02:03Z",
                    "output": "ok",
                }
            ]
        },
    }


def test_a_failing_answer_has_them_too() -> None:
    """Without a latency there is no observed value."""
    response = answer(Verdict(False, "fail", Reason.TIMEOUT))
    assert response.status_code == 503
    body = json.loads(response.body)
    assert (body["status"], body["description"]) == ("fail", "orders-prod is not served here")
    assert body["checks"]["dsql:select"] == [
        {"componentType": "datastore", "status": "fail", "time": "2026-11-22T01:02:03Z", "output": "timeout"}
    ]


def test_the_time_is_in_utc_wherever_it_was_read() -> None:
    """The Z is no decoration."""
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-8)))
    verdict = Verdict(True, "pass", Reason.OK)
    here = render(verdict, service="s", region=REGION, target="dsql", now=elsewhere)
    assert '"2026-11-22T01:02:03Z"' in here.body


def test_an_answer_says_nothing_of_the_intent_or_the_server() -> None:
    """Reason and actor of a drain, and the SQLSTATE, stay inside; only codes leave."""
    failed = Observation(ProbeOutcome.FAIL, Reason.SERVER_ERROR, sqlstate="XXCAN")
    for report in (ProbeReport(PASSED, {REGION: DRAIN}), ProbeReport(failed)):
        response = answer(judge(report, REGION, IntentMemory(), 0.0))
        assert not re.search("canary|XXCAN", f"{response.body}{response.headers}")


def test_head_has_the_same_answer_without_a_body() -> None:
    """Status and headers are those of GET."""
    response = answer(Verdict(False, "fail", Reason.TIMEOUT))
    whole, head = response.as_proxy_result(), response.as_proxy_result(head=True)
    assert head == whole | {"body": ""}
    assert whole == {
        "statusCode": 503,
        "headers": dict(response.headers),
        "body": response.body,
        "isBase64Encoded": False,
    }


def test_a_refusal_names_what_is_allowed() -> None:
    """405 names the methods; neither refusal could be taken for serving."""
    refused, rubbish = not_allowed(REGION), undecipherable(REGION)
    assert refused.body == '{"status":"fail","output":"method not allowed"}'
    assert rubbish.body == '{"status":"fail","output":"not a request"}'
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")
    assert rubbish.status_code == 400
    for response in (refused, rubbish):
        assert json.loads(response.body)["status"] == "fail"
        assert response.headers["Cache-Control"] == "no-store"
        assert "serving" not in response.body


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_verdict(reason: Reason) -> None:
    """Pass and unknown serve, fail does not."""
    outcome = outcome_of(reason)
    report = ProbeReport(Observation(outcome, reason))
    assert judge(report, REGION, IntentMemory(), 0.0).serving == (outcome is not ProbeOutcome.FAIL)
