"""Route 53's GetHealthCheckStatus and GetHealthCheckLastFailureReason, answered from the checkers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol
from xml.sax.saxutils import escape

from beacon_lab.aws.errors import ROUTE53_NAMESPACE, ApiError, Encoded
from beacon_lab.route53.observations import CalculatedCheckError, HealthCheckObservation, UnknownCheckError

_PATH = re.compile(r"/2013-04-01/healthcheck/(?P<id>[^/]+)/(?P<what>status|lastfailurereason)/?")


class HealthReports(Protocol):
    """Where observations come from; both raise UnknownCheckError and CalculatedCheckError."""

    def observations(self, check_id: str) -> Sequence[HealthCheckObservation]:
        """What each checker met last."""

    def last_failures(self, check_id: str) -> Sequence[HealthCheckObservation]:
        """The last failure that each checker met, of those that met one."""


def asked_status(method: str, path: str) -> tuple[str, str] | None:
    """Id and "status" or "lastfailurereason" when a request asks for one of the two, else None."""
    match = _PATH.fullmatch(path)
    return (match["id"], match["what"]) if match and method == "GET" else None


def answer_status(reports: HealthReports, check_id: str, what: str) -> Encoded:
    """The HTTP answer. Raises ApiError NoSuchHealthCheck, or InvalidInput for a calculated check."""
    try:
        seen = reports.observations(check_id) if what == "status" else reports.last_failures(check_id)
    except UnknownCheckError:
        message = f"A health check with id {check_id} does not exist."
        raise ApiError(404, "NoSuchHealthCheck", message) from None
    except CalculatedCheckError:
        raise ApiError(
            400, "InvalidInput", "The status of a calculated health check is not available here."
        ) from None
    root = "GetHealthCheckStatusResponse" if what == "status" else "GetHealthCheckLastFailureReasonResponse"
    items = "".join(_element(observation) for observation in seen)
    body = (
        f'<?xml version="1.0"?>\n<{root} xmlns="{ROUTE53_NAMESPACE}">'
        f"<HealthCheckObservations>{items}</HealthCheckObservations></{root}>"
    )
    return Encoded(200, {"Content-Type": "text/xml"}, body.encode())


def _element(observation: HealthCheckObservation) -> str:
    moment = observation.checked_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        f"<HealthCheckObservation><Region>{escape(observation.region)}</Region>"
        f"<IPAddress>{escape(observation.checker_address)}</IPAddress>"
        f"<StatusReport><Status>{escape(observation.status)}</Status><CheckedTime>{moment}</CheckedTime></StatusReport>"
        "</HealthCheckObservation>"
    )
