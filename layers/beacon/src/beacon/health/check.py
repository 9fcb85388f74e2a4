"""The health endpoint of one Region: an event in, a probe, an answer out, always within the deadline."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from beacon.dsql.probe import DsqlProbe, Probe, ProbeContext
from beacon.dsql.resolver import Resolver
from beacon.health.telemetry import Telemetry
from beacon.health.trigger import EdgeTrigger
from beacon.health.verdict import IntentMemory, Response, Verdict, judge, not_allowed, render, undecipherable
from beacon.model import Observation, ProbeReport
from beacon.names import TARGET, service_name
from beacon.outcome import ProbeOutcome, Reason
from beacon.settings import Settings, SettingsError
from beacon.suspend_clock import suspend_aware

__all__ = ["HealthCheck"]

#: What is kept of the deadline for making the answer and handing it to the runtime.
_ANSWER_S = 0.02
#: How long an answer that is no already may wait for the edge trigger's request.
_TRIGGER_S = 0.3
_PLAIN_NAME = re.compile(r"(?=.{1,33}$)[a-z0-9]+(-[a-z0-9]+)*")
#: Stands for a Region or service that is not set, or not to a name.
_UNKNOWN = "unknown"


class HealthCheck:
    """Answers health requests in one sandbox; keeps its probe's connection and last intent between them."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        lasting: Callable[[], float] = suspend_aware,
        make_probe: Callable[[Settings], Probe] | None = None,
        trigger: EdgeTrigger | None = None,
    ) -> None:
        # No default value, which help() would show with all that is secret in it.
        environment = os.environ if environment is None else environment
        self._clock = clock
        self._lasting = lasting
        self._memory = IntentMemory()
        self._last: tuple[bool, Reason] | None = None
        self._cold = True
        app, env = environment.get("BEACON_APP", ""), environment.get("BEACON_ENV", "")
        self._service = _plain_name(service_name(app, env))
        self._region = _plain_name(environment.get("AWS_REGION", ""))
        self._telemetry = Telemetry({"service": self._service, "Region": self._region})
        self._probe: Probe | None = None
        self._trigger = trigger
        self._fault = Reason.CONFIGURATION
        self._deadline_s = 1.0
        try:
            settings = Settings.from_environment(environment)
        except SettingsError as error:
            # A fault of ours is no verdict on the database: the answer becomes a warning, if it can be named.
            self._telemetry.log("ERROR", "settings cannot be used", reasons=error.reasons)
            return
        self._deadline_s = settings.probe_deadline_s
        if self._trigger is None and settings.publisher_function:
            self._trigger = EdgeTrigger.of_function(settings.publisher_function, settings.region, environment)
        try:
            self._probe = (make_probe or _own_probe)(settings)
        except Exception as error:  # noqa: BLE001 - the edge, as in _respond
            self._telemetry.log("ERROR", "the probe cannot be made", error=type(error).__name__)
            self._fault = Reason.INTERNAL

    def answer(self, event: object) -> dict[str, object]:
        """The proxy result for ``event``; never raises."""
        started = self._clock()
        method = _method(event)
        if method is None:
            return undecipherable(self._region).as_proxy_result()
        if method not in {"GET", "HEAD"}:
            return not_allowed(self._region).as_proxy_result()
        return self._respond(started).as_proxy_result(head=method == "HEAD")

    def _respond(self, started: float) -> Response:
        try:
            report = self._look(started + self._deadline_s - _ANSWER_S)
        except Exception as error:  # noqa: BLE001 - the edge: a defect of ours must not look like a dead database
            # The type alone: an exception's text may hold anything.
            self._telemetry.log("ERROR", "the probe broke down", error=type(error).__name__)
            report = _own_fault(Reason.INTERNAL)
        verdict = judge(report, self._region, self._memory, self._lasting())
        if _UNKNOWN in {self._service, self._region}:
            # Without a name there is nothing that Route 53 could find.
            verdict = Verdict(serving=False, status="fail", reason=Reason.CONFIGURATION)
        stopped = self._last is not None and self._last[0] and not verdict.serving
        self._tell(report, verdict)
        if stopped or report.observation.outcome is ProbeOutcome.FAIL:
            self._wake_publisher(verdict.reason)
        return render(
            verdict, service=self._service, region=self._region, target=TARGET, now=datetime.now(UTC)
        )

    def _wake_publisher(self, reason: Reason) -> None:
        """Have the publisher look now; this alone may take time beyond the deadline."""
        if self._trigger is not None and self._trigger.fire(reason, _TRIGGER_S):
            self._telemetry.log("INFO", "asked for the publisher", reason=reason)

    def _look(self, deadline: float) -> ProbeReport:
        if self._probe is None:
            return _own_fault(self._fault)
        return self._probe.run(deadline)

    def _tell(self, report: ProbeReport, verdict: Verdict) -> None:
        observation = report.observation
        state = (verdict.serving, verdict.reason)
        if state != self._last or not verdict.serving:
            level = "INFO" if verdict.status == "pass" else "WARNING"
            self._telemetry.log(
                level,
                "health",
                serving=verdict.serving,
                status=verdict.status,
                reason=verdict.reason,
                was=self._last[1] if self._last else None,
                sqlstate=observation.sqlstate,
            )
        self._last = state
        if verdict.latency_ms is not None:
            self._telemetry.count({"ProbeLatency": round(verdict.latency_ms, 2)}, unit="Milliseconds")
        counts = {
            "ColdStart": self._cold,
            "Reconnects": observation.reconnected,
            "Drained": verdict.reason is Reason.DRAINED,
            "LoginWarning": observation.warning is not None and report.intents is not None,
            "IntentUnreadable": observation.warning is not None and report.intents is None,
        }
        if any(counts.values()):
            self._telemetry.count({name: 1 for name, happened in counts.items() if happened})
        if observation.outcome is ProbeOutcome.FAIL:
            self._telemetry.count({"ProbeFail": 1}, Reason=observation.reason)
        self._cold = False


def _plain_name(text: str) -> str:
    return text if _PLAIN_NAME.fullmatch(text) else _UNKNOWN


def _own_probe(settings: Settings) -> Probe:
    context = ProbeContext(settings, Resolver())
    return DsqlProbe(settings.own_endpoint, context, settings.region)


def _own_fault(reason: Reason) -> ProbeReport:
    return ProbeReport(Observation(ProbeOutcome.UNKNOWN, reason, warning=reason))


def _method(event: object) -> str | None:
    """The request's method in payload format 1.0 or 2.0, or ``None`` when ``event`` is no request."""
    if not isinstance(event, dict):
        return None
    method = event.get("httpMethod")
    if method is None:
        context = event.get("requestContext")
        http = context.get("http") if isinstance(context, dict) else None
        method = http.get("method") if isinstance(http, dict) else None
    return method.upper() if isinstance(method, str) else None
