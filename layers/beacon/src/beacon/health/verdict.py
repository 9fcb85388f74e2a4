"""From what a probe reports to the answer of ``/health``.

===========================================  ========  ======  =================
report                                       drain*    HTTP    status, reason
===========================================  ========  ======  =================
pass, intents read                           no        200     pass, ``ok``
pass, intents read                           yes       503     fail, ``drained``
pass, logins overloaded or slow              no        200     warn, ``too_many_connections`` or
                                                               ``slow_login``
pass, logins overloaded or slow              yes       503     fail, ``drained``
pass, intents unreadable                     no        200     warn, ``intent_unreadable``
pass, intents unreadable                     yes       503     fail, ``drained``
unknown (a fault of ours)                    no        200     warn, the reason code
unknown (a fault of ours)                    yes       503     fail, ``drained``
fail                                         any       503     fail, the reason code
===========================================  ========  ======  =================

\\* of this Region: as just read or, where the intents could not be read, the last one that this sandbox read,
until it expires.

The body is ``application/health+json`` (draft-inadarei-api-health-check). The string that Route 53 searches
for is in it only when the verdict is serving, within the first 200 bytes. Nothing in the answer comes from a
server, a name service or an exception. Pure: no I/O and no clock of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from beacon.model import Forced, Intent, ProbeReport
from beacon.names import search_string
from beacon.outcome import ProbeOutcome, Reason

__all__ = ["IntentMemory", "Response", "Verdict", "judge", "not_allowed", "render", "undecipherable"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether this Region serves, and why. ``status`` is the draft's: pass, warn or fail."""

    serving: bool
    status: str
    reason: Reason
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer. :meth:`as_proxy_result` gives it the form that API Gateway takes from Lambda."""

    status_code: int
    headers: Mapping[str, str]
    body: str

    def as_proxy_result(self, *, head: bool = False) -> dict[str, object]:
        """The result that an API Gateway proxy integration takes, in either payload format."""
        return {
            "statusCode": self.status_code,
            "headers": dict(self.headers),
            "body": "" if head else self.body,
            "isBase64Encoded": False,
        }


class IntentMemory:
    """The last intent of this Region that a sandbox read, kept for when it cannot be read any more.

    Its instants are of a clock that also counts the time in which the sandbox was frozen. On a clock that
    stands still meanwhile, a drain of half an hour could last for days.
    """

    __slots__ = ("_intent", "_read_at")

    def __init__(self) -> None:
        self._intent: Intent | None = None
        self._read_at = 0.0

    def remember(self, intent: Intent | None, now: float) -> None:
        """Keep ``intent`` (``None``: nothing is forced) as read at ``now`` (:mod:`beacon.suspend_clock`)."""
        self._intent, self._read_at = intent, now

    def recall(self, now: float) -> Intent | None:
        """The last intent, unless its time has run out since."""
        intent = self._intent
        if intent is None or intent.remaining_s is None:
            return intent
        return intent if now - self._read_at < intent.remaining_s else None


def judge(report: ProbeReport, region: str, memory: IntentMemory, now: float) -> Verdict:
    """The verdict on ``region`` by the module's table. Updates ``memory``, whose clock says ``now``."""
    observation = report.observation
    if report.intents is not None:
        memory.remember(report.intents.get(region), now)
    if observation.outcome is ProbeOutcome.FAIL:
        return Verdict(serving=False, status="fail", reason=observation.reason)
    intent = memory.recall(now)
    if intent is not None and intent.forced is Forced.DRAIN:
        return Verdict(serving=False, status="fail", reason=Reason.DRAINED, latency_ms=observation.latency_ms)
    if observation.warning:
        return Verdict(
            serving=True, status="warn", reason=observation.warning, latency_ms=observation.latency_ms
        )
    return Verdict(serving=True, status="pass", reason=observation.reason, latency_ms=observation.latency_ms)


def render(verdict: Verdict, *, service: str, region: str, target: str, now: datetime) -> Response:
    """The answer for ``verdict``."""
    check: dict[str, object] = {"componentType": "datastore", "status": verdict.status}
    if verdict.latency_ms is not None:
        check |= {"observedValue": round(verdict.latency_ms, 1), "observedUnit": "ms"}
    check |= {"time": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "output": verdict.reason}
    body = {
        "status": verdict.status,
        "description": search_string(service, region) if verdict.serving else f"{service} is not served here",
        "serviceId": f"{service}/{region}",
        "checks": {f"{target}:select": [check]},
    }
    return _response(200 if verdict.serving else 503, region, body)


def not_allowed(region: str) -> Response:
    """The answer to a method other than GET and HEAD."""
    return _response(405, region, {"status": "fail", "output": "method not allowed"}, {"Allow": "GET, HEAD"})


def undecipherable(region: str) -> Response:
    """The answer to an event that is no HTTP request."""
    return _response(400, region, {"status": "fail", "output": "not a request"})


def _response(
    status_code: int, region: str, body: Mapping[str, object], extra: Mapping[str, str] | None = None
) -> Response:
    headers = {
        "Content-Type": "application/health+json",
        "Cache-Control": "no-store",
        "X-Beacon-Region": region,
        **(extra or {}),
    }
    return Response(status_code, headers, json.dumps(body, separators=(",", ":")))
