"""Requests become REST proxy events and answers become responses, as API Gateway makes them."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from beacon_lab.apigateway.proxy_event import (
    ApiStage,
    MalformedAnswerError,
    Match,
    Request,
    proxy_event,
    read_answer,
)
from beacon_lab.apigateway.routes import find_route
from beacon_lab.network.token_bucket import TokenBucket
from beacon_lab.stack.model import Route

HOST = "abc123.execute-api.us-east-1.amazonaws.com"
ENDPOINT = ApiStage(api_id="abc123", account_id="123456789012", stage="live", host=HOST)
MATCH = Match("/{token}/health", "/secret/health", {"token": "secret"})
REQUEST = Request(
    method="GET",
    path="/live/secret/health",
    query="",
    headers=(("Host", "localhost:8443"), ("User-Agent", "checker"), ("Accept", "*/*")),
    body=b"",
    source="15.177.0.7",
    protocol="HTTP/1.1",
    received_at=datetime(2026, 4, 9, 12, 34, 56, 789_000, tzinfo=UTC),
    request_id="request",
    gateway_id="gateway=",
    trace_id="Root=1-0-0",
)


def event(request: Request = REQUEST) -> dict[str, object]:
    """The event, after a round through JSON, as the function sees it."""
    found: dict[str, object] = json.loads(json.dumps(proxy_event(request, endpoint=ENDPOINT, match=MATCH)))
    return found


def test_a_plain_request_makes_exactly_this_event() -> None:
    """The whole event of a checker's request, field by field."""
    forwarded = {
        "User-Agent": "checker",
        "Accept": "*/*",
        "Host": HOST,
        "X-Amzn-Trace-Id": "Root=1-0-0",
        "X-Forwarded-For": "15.177.0.7",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
    identity = dict.fromkeys(
        (
            "accessKey",
            "accountId",
            "caller",
            "cognitoAuthenticationProvider",
            "cognitoAuthenticationType",
            "cognitoIdentityId",
            "cognitoIdentityPoolId",
            "principalOrgId",
            "user",
            "userArn",
        )
    )
    assert event() == {
        "resource": "/{token}/health",
        "path": "/secret/health",
        "httpMethod": "GET",
        "headers": forwarded,
        "multiValueHeaders": {name: [value] for name, value in forwarded.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"token": "secret"},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123",
            "domainName": HOST,
            "domainPrefix": "abc123",
            "extendedRequestId": "gateway=",
            "httpMethod": "GET",
            "identity": {**identity, "sourceIp": "15.177.0.7", "userAgent": "checker"},
            "path": "/live/secret/health",
            "protocol": "HTTP/1.1",
            "requestId": "request",
            "requestTime": "09/Apr/2026:12:34:56 +0000",
            "requestTimeEpoch": 1775738096789,
            "resourceId": "resource",
            "resourcePath": "/{token}/health",
            "stage": "live",
        },
        "body": None,
        "isBase64Encoded": False,
    }


def test_a_forged_forwarded_for_changes_nothing_but_its_own_header() -> None:
    """The claim stays visible in front of the true address; the identity is the connection's."""
    forged = (*REQUEST.headers, ("x-forwarded-for", "198.51.100.10"), ("X-Forwarded-Proto", "http"))
    found = event(replace(REQUEST, headers=forged))
    context, headers = found["requestContext"], found["headers"]
    assert isinstance(context, dict)
    assert isinstance(headers, dict)
    assert context["identity"]["sourceIp"] == "15.177.0.7"
    assert headers["X-Forwarded-For"] == "198.51.100.10, 15.177.0.7"
    assert headers["X-Forwarded-Proto"] == "https"
    assert "x-forwarded-for" not in headers


def test_repeated_headers_and_parameters_keep_all_values() -> None:
    """The single form has the last value, the multi-value form all of them; header names ignore case."""
    found = event(
        replace(
            REQUEST, headers=(("X-A", "1"), ("x-a", "2")), query="q=1&Q=3&q=a%20b&empty=", body="ü".encode()
        )
    )
    single, several = found["headers"], found["multiValueHeaders"]
    assert isinstance(single, dict)
    assert isinstance(several, dict)
    assert single["X-A"] == "2"
    assert several["X-A"] == ["1", "2"]
    assert found["queryStringParameters"] == {"q": "a b", "Q": "3", "empty": ""}
    assert found["multiValueQueryStringParameters"] == {"q": ["1", "a b"], "Q": ["3"], "empty": [""]}
    assert found["body"] == "ü"


def test_an_answer_becomes_a_response() -> None:
    """Status, headers of both kinds and body pass; a content type is put in where there is none."""
    answer = read_answer(
        json.dumps(
            {
                "statusCode": "503",
                "headers": {"X-Beacon-Region": "us-east-1", "set-cookie": "lost", "X-Flag": True},
                "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
                "body": "état",
            }
        ).encode()
    )
    assert answer.status == 503
    assert answer.body == "état".encode()
    assert answer.headers == (
        ("X-Beacon-Region", "us-east-1"),
        ("X-Flag", "true"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Content-Type", "application/json"),
    )


def test_an_answer_may_be_short_or_base64() -> None:
    """Only the status is needed; an encoded body is decoded."""
    assert read_answer(b'{"statusCode": 204}').body == b""
    assert read_answer(b'{"statusCode": 200, "body": "AP8=", "isBase64Encoded": true}').body == b"\x00\xff"


def test_headers_that_the_gateway_keeps_for_itself_are_renamed_or_dropped() -> None:
    """A function cannot break the response's framing."""
    headers = {"Content-Length": 5, "transfer-encoding": "chunked", "Content-Type": "text/plain"}
    answer = read_answer(json.dumps({"statusCode": 200, "headers": headers}).encode())
    assert answer.headers == (("x-amzn-Remapped-Content-Length", "5"), ("Content-Type", "text/plain"))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b'"text"',
        b"[]",
        b"{}",
        b'{"statusCode": null}',
        b'{"statusCode": true}',
        b'{"statusCode": 99}',
        b'{"statusCode": 200.5}',
        b'{"statusCode": "OK"}',
        b'{"statusCode": 200, "body": {"a": 1}}',
        b'{"statusCode": 200, "headers": []}',
        b'{"statusCode": 200, "headers": {"A": null}}',
        b'{"statusCode": 200, "headers": {"A": "b\\r\\nC: d"}}',
        b'{"statusCode": 200, "multiValueHeaders": {"A": "b"}}',
        b'{"statusCode": 200, "body": "?", "isBase64Encoded": true}',
        b'{"statusCode": 200, "cookies": []}',
    ],
)
def test_malformed_answers_are_refused(payload: bytes) -> None:
    """What is no proxy response never reaches a caller."""
    with pytest.raises(MalformedAnswerError):
        read_answer(payload)


ROUTES = (
    Route("GET", "/{token}/health", "health"),
    Route("ANY", "/{token}/{name}", "other"),
    Route("GET", "/files/{rest+}", "files"),
    Route("GET", "/files/index", "index"),
)


@pytest.mark.parametrize(
    ("method", "path", "function", "parameters"),
    [
        ("GET", "/abc/health", "health", {"token": "abc"}),
        ("GET", "/%61bc/health", "health", {"token": "abc"}),
        ("PUT", "/abc/health", "other", {"token": "abc", "name": "health"}),
        ("GET", "/files/index", "index", {}),
        ("GET", "/files/a/b", "files", {"rest": "a/b"}),
    ],
)
def test_the_most_literal_resource_is_found(
    method: str, path: str, function: str, parameters: dict[str, str]
) -> None:
    """Literal segments go before parameters, a method before ANY."""
    found = find_route(ROUTES, method=method, path=path)
    assert found is not None
    assert found.route.function == function
    assert found.match.parameters == parameters


@pytest.mark.parametrize(
    "path",
    ["", "/", "/abc", "/abc/health/", "//health", "/../health", "/%2e%2e/health", "/a%2Fb/health", "*"],
)
def test_other_paths_are_no_resource(path: str) -> None:
    """Traversal, empty segments and hidden slashes match nothing."""
    assert find_route(ROUTES[:1], method="GET", path=path) is None


def test_methods_are_matched_as_they_are() -> None:
    """A method that no resource has is not found, in whatever case it comes."""
    assert find_route(ROUTES[:1], method="POST", path="/abc/health") is None
    assert find_route(ROUTES[:1], method="get", path="/abc/health") is None


def test_a_bucket_lets_the_burst_through_and_then_the_rate() -> None:
    """Five at once, then two a second, never more than five saved; a clock that jumps back gives nothing."""
    bucket = TokenBucket(rate_per_s=2.0, burst=5)
    assert [bucket.take(100.0) for _ in range(6)] == [True] * 5 + [False]
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert not bucket.take(99.0)
    assert not bucket.take(100.6)
    assert [bucket.take(1000.0) for _ in range(6)] == [True] * 5 + [False]


def test_an_empty_bucket_lets_nothing_through() -> None:
    """Rate and burst 0 is how a method is closed."""
    bucket = TokenBucket(rate_per_s=0.0, burst=0)
    assert not bucket.take(0.0)
    assert not bucket.take(1e9)
