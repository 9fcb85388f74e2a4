"""The edge trigger: start the publisher at once when this Region stops serving, not at its next tick.

It is an asynchronous Lambda invocation, signed and sent with the standard library: a boto3 client would take
more time than the whole trigger may take. Nothing depends on it: this module ignores every error, and the
next tick of the schedule does the same work.

The request runs in a daemon thread, one at a time, because neither name resolution nor a TLS handshake can be
interrupted. The caller waits for it only as long as it may. An unfinished request continues when the sandbox
is thawed, or ends with the sandbox.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from beacon.aws.credentials import find_credentials
from beacon.aws.sigv4 import Credentials, Scope, signature
from beacon.names import EDGE
from beacon.outcome import Reason
from beacon.suspend_clock import suspend_aware

__all__ = ["EdgeTrigger", "invoke_headers"]

#: At most one request in this time, so that a long outage does not become a stream of invocations.
EVERY_S = 10.0
#: A request that takes longer than this is given up by its own thread.
_GIVE_UP_S = 2.0

Send = Callable[[bytes], None]


class EdgeTrigger:
    """Starts one function; safe to fire at every failure.

    ``clock`` counts frozen time: on one that does not, ten seconds of use can take a quarter of an hour.
    """

    def __init__(self, send: Send, clock: Callable[[], float] = suspend_aware) -> None:
        self._send = send
        self._clock = clock
        self._last: float | None = None
        self._flight: threading.Thread | None = None

    @classmethod
    def of_function(cls, name: str, region: str, environment: Mapping[str, str]) -> EdgeTrigger:
        """A trigger for the function ``name`` of ``region``, or where ``AWS_ENDPOINT_URL`` points."""
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        base = environment.get("AWS_ENDPOINT_URL_LAMBDA") or environment.get("AWS_ENDPOINT_URL")
        return cls(_Sender(base or f"https://lambda.{region}.{suffix}", name, region))

    def fire(self, reason: Reason, wait_s: float) -> bool:
        """Send the request unless one was sent in the last ten seconds; wait for it ``wait_s`` at the most.

        Returns whether a request was started. Never raises.
        """
        now = self._clock()
        if self._last is not None and now - self._last < EVERY_S:
            return False
        if self._flight is not None and self._flight.is_alive():
            return False
        event = json.dumps({"source": EDGE, "reason": reason}).encode()
        thread = threading.Thread(target=self._run, args=(event,), name="beacon-trigger", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No thread can start; the schedule's next tick does the work.
            return False
        self._last, self._flight = now, thread
        thread.join(wait_s)
        return True

    def _run(self, event: bytes) -> None:
        # A thread's edge, and nothing depends on the request.
        with contextlib.suppress(Exception):
            self._send(event)


class _Sender:
    """Sends asynchronous invocations of one function."""

    def __init__(self, base: str, function: str, region: str) -> None:
        self._url = f"{base.rstrip('/')}/2015-03-31/functions/{quote(function, safe='')}/invocations"
        self._region = region

    def __call__(self, event: bytes) -> None:
        import http.client  # noqa: PLC0415 - with TLS it is heavy, and a healthy Region never needs it

        scheme, host, path, *_ = urlsplit(self._url)
        make = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        connection = make(host, timeout=_GIVE_UP_S)
        try:
            headers = invoke_headers(self._url, self._region, event, find_credentials(), datetime.now(UTC))
            connection.request("POST", path, body=event, headers=headers)
            connection.getresponse().read()
        finally:
            connection.close()


def invoke_headers(
    url: str, region: str, body: bytes, credentials: Credentials, now: datetime
) -> dict[str, str]:
    """The signed headers of an asynchronous invocation, POSTed to ``url``."""
    host, path = urlsplit(url)[1:3]

    scope = Scope.at(now, region, "lambda")
    headers = {"host": host, "x-amz-date": scope.stamp, "x-amz-invocation-type": "Event"}
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = sorted(headers)
    signed = ";".join(names)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    canonical = f"POST\n{path}\n\n{lines}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope},"
        f" SignedHeaders={signed}, Signature={signature(canonical, scope, credentials)}"
    )
    return headers
