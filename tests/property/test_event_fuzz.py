"""Five thousand events, sensible and senseless: each gets an answer that API Gateway takes."""

from __future__ import annotations

import json
from collections import Counter, UserDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck as Suppressed
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.places import ROOT

from beacon.health.check import HealthCheck
from beacon.model import Forced, Intent, Observation, ProbeReport
from beacon.names import search_string
from beacon.outcome import ProbeOutcome, Reason
from beacon.settings import Settings

ENVIRONMENT = {
    "BEACON_APP": "orders",
    "BEACON_ENV": "prod",
    "AWS_REGION": "us-east-1",
    "BEACON_ENDPOINTS": "us-east-1=" + "a" * 26 + ".dsql.us-east-1.on.aws",
    "BEACON_DB_USER": "beacon_probe",
}
SAMPLES = ROOT / "events"
WANTED = search_string("orders-prod", "us-east-1")
MARK = "mark-5d1c"
PASSED = Observation(ProbeOutcome.PASS, Reason.OK, 1.5)
REPORTS: list[ProbeReport | Exception] = [
    ProbeReport(PASSED, {}),
    ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 1.5, warning=Reason.INTENT_UNREADABLE)),
    ProbeReport(Observation(ProbeOutcome.UNKNOWN, Reason.NO_CREDENTIALS, warning=Reason.NO_CREDENTIALS)),
    ProbeReport(Observation(ProbeOutcome.FAIL, Reason.TIMEOUT, sqlstate="57P01")),
    ValueError(MARK),
    ProbeReport(PASSED, {"us-east-1": Intent("us-east-1", Forced.DRAIN)}),
]


class EachInTurn:
    """A probe without a database: reports one thing after the other."""

    def __init__(self, _settings: Settings) -> None:
        self.asked = 0

    def run(self, _deadline: float) -> ProbeReport:
        self.asked += 1
        report = REPORTS[self.asked % len(REPORTS)]
        if isinstance(report, Exception):
            raise report
        return report

    def close(self) -> None:
        """Nothing is open."""


METHODS = st.sampled_from(
    ["GET", "HEAD", "get", "POST", "PUT", "OPTIONS", "TRACE", "CONNECT", "", "GET ", "G\0T"]
)
TEXT = st.text(max_size=20) | st.sampled_from(
    [MARK, "\ud800", "\x00", "\r\nX-Evil: 1", "../" * 50, "${jndi:ldap://x}", "'; DROP TABLE x; --"]
)
#: What no JSON parser makes, but what another caller of the handler may pass.
STRANGE = st.sampled_from(
    [
        b"GET",
        {1, 2},
        frozenset({"GET"}),
        object(),
        lambda: MARK,
        float("nan"),
        float("inf"),
        complex(1, 2),
        10**400,
        range(3),
        UserDict({"httpMethod": "GET"}),
        Exception(MARK),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | METHODS | STRANGE
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)
HUGE = st.sampled_from(["x" * 1_000_000, ["x"] * 100_000, {str(n): n for n in range(20_000)}])
HEADERS = st.dictionaries(
    st.sampled_from(["Host", "host", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "Content-Length"]),
    TEXT | st.lists(TEXT, max_size=2),
    max_size=4,
)
REST, HTTP = (
    json.loads((SAMPLES / name).read_text()) for name in ("checker-get.json", "checker-get-format-2.json")
)


def one_of(*strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Each as often as the others, however many alternatives it has itself."""
    return st.sampled_from(strategies).flatmap(lambda found: found)


METHOD = one_of(METHODS, METHODS, SCALARS)
NAMES = sorted({*REST, *HTTP, *REST["requestContext"], *HTTP["requestContext"]})


@dataclass(frozen=True)
class Damage:
    """What is done to a good event: members replaced, members taken away, a method, and a thing alone."""

    worse: dict[str, Any]
    gone: set[str]
    method: object
    thing: object

    def of(self, event: dict[str, Any]) -> dict[str, Any]:
        """A damaged copy."""
        return {name: value for name, value in (event | self.worse).items() if name not in self.gone}

    def events(self) -> Iterator[object]:
        """How it is changed: in either format, on the outside, in the middle and at the method itself."""
        yield self.thing
        yield self.of(REST)
        yield self.of(REST) | {"httpMethod": self.method}
        yield REST | {"httpMethod": self.thing}
        yield self.of(HTTP)
        yield HTTP | {"requestContext": self.thing}
        context, http = HTTP["requestContext"], HTTP["requestContext"]["http"]
        yield self.of(HTTP) | {"requestContext": self.of(context) | {"http": http | {"method": self.method}}}
        yield HTTP | {"requestContext": context | {"http": self.thing}}


DAMAGES = st.builds(
    Damage,
    st.dictionaries(st.sampled_from(NAMES) | TEXT, one_of(ANYTHING, HEADERS, TEXT), max_size=3),
    st.sets(st.sampled_from(NAMES), max_size=2),
    METHOD,
    one_of(ANYTHING, ANYTHING, HUGE),
)

CHECK = HealthCheck(ENVIRONMENT, make_probe=EachInTurn)
SEEN: Counter[int] = Counter()


@settings(
    max_examples=examples(700),
    deadline=None,
    database=None,
    suppress_health_check=[Suppressed.too_slow, Suppressed.data_too_large, Suppressed.filter_too_much],
)
@given(damage=DAMAGES)
def test_whatever_comes_gets_a_well_formed_answer(damage: Damage) -> None:
    """Both payload formats, rubbish, wrong types everywhere, huge ones: never an exception."""
    for event in damage.events():
        SEEN[look_at(CHECK.answer(event))] += 1


def look_at(result: dict[str, object]) -> int:
    """The status of an answer, once sure of all that can be said of every one."""
    text = json.dumps(result, allow_nan=False)
    assert set(result) == {"statusCode", "headers", "body", "isBase64Encoded"}
    status, headers, body = result["statusCode"], result["headers"], result["body"]
    assert status in {200, 400, 405, 503}
    assert isinstance(headers, dict)
    for name, value in headers.items():
        assert isinstance(name, str)
        assert isinstance(value, str)
        assert f"{name}{value}".isprintable()
    assert headers["Cache-Control"] == "no-store"
    assert isinstance(body, str)
    assert len(body) < 1000
    assert not body or isinstance(json.loads(body), dict)
    assert result["isBase64Encoded"] is False
    # What an event holds neither comes back nor makes a Region serve.
    assert MARK not in text
    assert (WANTED in body) <= (status == 200)
    assert isinstance(status, int)
    return status


def test_a_deep_event_gets_one_too() -> None:
    """Deeper than any recursion goes."""
    nested: object = "GET"
    for _ in range(100_000):
        nested = [nested]
    for event in (nested, {"httpMethod": nested}, {"requestContext": {"http": {"method": nested}}}):
        look_at(CHECK.answer(event))


@pytest.fixture(scope="module", autouse=True)
def many_of_each_kind() -> Iterator[None]:
    """The events were not all rubbish, and the promised number."""
    yield
    if SEEN:
        assert SEEN.total() >= examples(5000)
        assert min(SEEN[status] for status in (200, 400, 405, 503)) >= examples(100), SEEN
