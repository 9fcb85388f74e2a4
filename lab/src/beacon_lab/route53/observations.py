"""What a checker reports of an attempt, in the words of GetHealthCheckStatus."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from beacon_lab.route53.rules import CheckType, HealthCheck, PollAttempt, PollResult, Trouble


class UnknownCheckError(Exception):
    """No health check has that id."""


class CalculatedCheckError(Exception):
    """A calculated check has no checkers, so no observations."""


@dataclass(frozen=True, slots=True)
class HealthCheckObservation:
    """One checker's report: where it stands, its public address, what it says and when (UTC)."""

    region: str
    checker_address: str
    status: str
    checked_at: datetime
    passed: bool


_TROUBLES = {
    Trouble.NAME: "DNS resolution failed: the domain name of the endpoint does not exist",
    Trouble.REFUSED: "The endpoint refused the connection",
    Trouble.UNREACHABLE: "The endpoint could not be reached",
    Trouble.TLS: "The TLS handshake with the endpoint failed",
    Trouble.RESET: "The endpoint closed the connection before it had answered",
    Trouble.NOT_HTTP: "The endpoint did not answer with HTTP",
}
_RESULTS = {
    PollResult.CONNECT_TIMEOUT: (
        "The health checker could not establish a connection within the timeout limit"
    ),
    PollResult.STATUS_TIMEOUT: "The endpoint did not respond with an HTTP status within the timeout limit",
    PollResult.BODY_TIMEOUT: "The endpoint did not send the response body within the timeout limit",
    PollResult.STRING_ABSENT: "The search string was not found in the first 5120 bytes of the response body",
}


def describe(check: HealthCheck, attempt: PollAttempt, result: PollResult, resolved: str) -> str:
    """The status text, "Success: ..." or "Failure: ...", with the address the name resolved to, if any."""
    passed = result is PollResult.PASS
    if result is PollResult.TROUBLE and attempt.trouble is not None:
        what = _TROUBLES[attempt.trouble]
    elif passed and check.type is CheckType.TCP:
        what = "TCP connection established"
    elif passed or result is PollResult.BAD_STATUS:
        what = f"HTTP Status Code {attempt.status}, {_phrase(attempt)}".rstrip(", ")
    else:
        what = _RESULTS[result]
    ending = f". Resolved IP: {resolved}" if resolved else ""
    return f"{'Success' if passed else 'Failure'}: {what}{ending}"


def _phrase(attempt: PollAttempt) -> str:
    if attempt.phrase:
        return attempt.phrase
    try:
        return HTTPStatus(attempt.status or 0).phrase
    except ValueError:
        return ""
