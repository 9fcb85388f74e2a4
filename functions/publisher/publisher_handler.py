"""Lambda entry point of the publisher, which EventBridge Scheduler and the health function start."""

import os

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from beacon.model import Change, Effective, EndpointState, Observed
from beacon.names import NAMESPACE
from beacon.publisher.assembly import make_invocation
from beacon.publisher.canary import CanaryReport
from beacon.publisher.round import RoundReport
from beacon.settings import Settings

# A publisher with wrong settings must not run at all: the last published document stays as it is.
_settings = Settings.from_environment(os.environ)
_logger = Logger(service=_settings.service)
_metrics = Metrics(namespace=NAMESPACE, service=_settings.service)
_metrics.set_default_dimensions(Region=_settings.region)
_invocation = make_invocation(_settings)


@_metrics.log_metrics
def handler(event: object, context: LambdaContext) -> dict[str, object]:
    """Run what the event requests; return what was published last."""
    rounds, result = 0, dict[str, object]()
    for report in _invocation.run(event, lambda: context.get_remaining_time_in_millis() / 1000):
        if isinstance(report, CanaryReport):
            _tell_canary(report)
            continue
        _tell_round(report)
        rounds += 1
        result = {
            "epoch": report.document.epoch,
            "written": report.written,
            "preferred": report.document.preferred.region,
            "frozen": report.document.frozen,
        }
    return {"rounds": rounds, **result}


def _tell_round(report: RoundReport) -> None:
    for change in report.changes:
        _logger.info("endpoint changed", extra=_change(change))
    for problem in report.problems:
        _logger.warning("publishing met a problem", extra={"problem": problem})
    for state in report.document.endpoints:
        if state.observed is not Observed.UNKNOWN:
            _tell_endpoint(state)
    ejections = sum(_is_ejection(change) for change in report.changes)
    _metrics.add_metric("Ejections", MetricUnit.Count, ejections)
    _metrics.add_metric("Frozen", MetricUnit.Count, report.document.frozen)
    _metrics.add_metric("IntentUnreadable", MetricUnit.Count, report.round.intents is None)
    _metrics.add_metric("DocumentWritten", MetricUnit.Count, report.written)
    if report.age_s is not None:
        _metrics.add_metric("DocumentAge", MetricUnit.Seconds, report.age_s)


def _tell_endpoint(state: EndpointState) -> None:
    dimensions = {"service": _settings.service, "Region": _settings.region, "EndpointRegion": state.region}
    up = state.observed is Observed.UP
    with single_metric(
        "EndpointUp", MetricUnit.Count, up, namespace=NAMESPACE, default_dimensions=dimensions
    ):
        pass


def _tell_canary(report: CanaryReport) -> None:
    _metrics.add_metric("WriteCanaryFail", MetricUnit.Count, report.failed)
    if report.failed:
        _logger.warning(
            "the write canary failed", extra={"reason": report.reason, "sqlstate": report.sqlstate}
        )


def _is_ejection(change: Change) -> bool:
    was_in = change.before is None or change.before.effective is Effective.IN
    return was_in and change.after.effective is Effective.OUT


def _change(change: Change) -> dict[str, object]:
    states = {"before": change.before, "after": change.after}
    told = {
        name: f"{state.observed.value}/{state.forced.value if state.forced else '-'}/{state.effective.value}"
        for name, state in states.items()
        if state is not None
    }
    return {"changed_region": change.region, "change": change.reason, **told}
