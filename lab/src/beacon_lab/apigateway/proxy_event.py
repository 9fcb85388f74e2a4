"""REST API proxy integration: an HTTP request as the event a function gets, and its answer as a response.

The event has payload format 1.0. Source: API Gateway Developer Guide, "Set up Lambda proxy integrations".
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl

__all__ = ["Answer", "ApiStage", "MalformedAnswerError", "Match", "Request", "proxy_event", "read_answer"]

MEMBERS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})
# Headers of a function that API Gateway does not pass under their own names.
REMAPPED = frozenset({"connection", "content-length", "date", "host", "server", "www-authenticate"})
DROPPED = frozenset({"transfer-encoding"})
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class MalformedAnswerError(ValueError):
    """The function returned something that is no proxy response."""


@dataclass(frozen=True, slots=True)
class ApiStage:
    """The deployed stage that a request came to."""

    api_id: str
    account_id: str
    stage: str
    host: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request at the gateway's edge. ``path`` includes the stage, ``source`` is a public address."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source: str
    protocol: str
    received_at: datetime
    request_id: str
    gateway_id: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class Match:
    """The resource that a path matched (``/{token}/health``), the path without stage, and its parameters."""

    resource: str
    path: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the caller."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def proxy_event(request: Request, *, endpoint: ApiStage, match: Match) -> dict[str, object]:
    """The event of a proxy integration. The caller's address comes from the connection alone."""
    headers = _forwarded(request, endpoint)
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    return {
        "resource": match.resource,
        "path": match.path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(match.parameters) or None,
        "stageVariables": None,
        "requestContext": _context(request, endpoint, match),
        "body": request.body.decode("utf-8", errors="replace") if request.body else None,
        "isBase64Encoded": False,
    }


def read_answer(payload: bytes) -> Answer:
    """Read a function's return value. Raises MalformedAnswerError, which the caller sees as 502."""
    try:
        found = json.loads(payload)
    except ValueError as error:
        raise MalformedAnswerError("not JSON") from error
    if not isinstance(found, dict):
        raise MalformedAnswerError("not an object")
    if unknown := sorted(set(found) - MEMBERS):
        raise MalformedAnswerError(f"unknown members {', '.join(unknown)}")
    headers = _answer_headers(found)
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return Answer(_status(found.get("statusCode")), tuple(headers), _body(found))


def _forwarded(request: Request, endpoint: ApiStage) -> dict[str, list[str]]:
    """The request's headers by name as sent, with what API Gateway puts in or over."""
    own = {
        "host",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-amzn-trace-id",
        "connection",
    }
    headers = _grouped((name, value) for name, value in request.headers if name.lower() not in own)
    forged = [value for name, value in request.headers if name.lower() == "x-forwarded-for"]
    headers["Host"] = [endpoint.host]
    headers["X-Amzn-Trace-Id"] = [request.trace_id]
    headers["X-Forwarded-For"] = [", ".join((*forged, request.source))]
    headers["X-Forwarded-Port"] = ["443"]
    headers["X-Forwarded-Proto"] = ["https"]
    return headers


def _context(request: Request, endpoint: ApiStage, match: Match) -> dict[str, object]:
    at = request.received_at.astimezone(UTC)
    return {
        "accountId": endpoint.account_id,
        "apiId": endpoint.api_id,
        "domainName": endpoint.host,
        "domainPrefix": endpoint.host.partition(".")[0],
        "extendedRequestId": request.gateway_id,
        "httpMethod": request.method,
        "identity": {
            "accessKey": None,
            "accountId": None,
            "caller": None,
            "cognitoAuthenticationProvider": None,
            "cognitoAuthenticationType": None,
            "cognitoIdentityId": None,
            "cognitoIdentityPoolId": None,
            "principalOrgId": None,
            "sourceIp": request.source,
            "user": None,
            "userAgent": next(
                (value for name, value in reversed(request.headers) if name.lower() == "user-agent"), None
            ),
            "userArn": None,
        },
        "path": request.path,
        "protocol": request.protocol,
        "requestId": request.request_id,
        # The month's name is English whatever the machine's locale.
        "requestTime": f"{at:%d}/{MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S} +0000",
        "requestTimeEpoch": int(at.timestamp() * 1000),
        "resourceId": "resource",
        "resourcePath": match.resource,
        "stage": endpoint.stage,
    }


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """All values of each name in order; names that differ in case only are one, as first sent."""
    spelled: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for name, value in pairs:
        groups.setdefault(spelled.setdefault(name.lower(), name), []).append(value)
    return groups


def _status(found: object) -> int:
    if isinstance(found, str) and found.isdecimal():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or not 100 <= found <= 599:
        raise MalformedAnswerError(f"statusCode {found!r}")
    return found


def _answer_headers(found: Mapping[str, object]) -> list[tuple[str, str]]:
    single, several = (
        {} if found.get(member) is None else found[member] for member in ("headers", "multiValueHeaders")
    )
    if not isinstance(single, dict) or not isinstance(several, dict):
        raise MalformedAnswerError("headers are no object")
    covered = {str(name).lower() for name in several}
    pairs = [(str(name), value) for name, value in single.items() if str(name).lower() not in covered]
    for name, values in several.items():
        if not isinstance(values, list):
            raise MalformedAnswerError(f"multiValueHeaders: {name} is no list")
        pairs += [(str(name), value) for value in values]
    return [
        (f"x-amzn-Remapped-{name}" if name.lower() in REMAPPED else name, _header_value(name, value))
        for name, value in pairs
        if name.lower() not in DROPPED
    ]


def _header_value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value) if isinstance(value, str | int | float) else None
    if text is None or any(mark in text for mark in "\r\n\0"):
        raise MalformedAnswerError(f"header {name} has a value that no header can have")
    return text


def _body(found: Mapping[str, object]) -> bytes:
    body = found.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedAnswerError("the body is no text")
    if found.get("isBase64Encoded") is not True:
        return body.encode("utf-8", errors="replace")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedAnswerError("the body is no base64") from error
