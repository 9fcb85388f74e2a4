"""Lambda entry point of the publisher that EventBridge Scheduler starts every minute."""

import os

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from beacon.publishing import make_publisher
from beacon.settings import Settings

# A publisher whose settings are wrong must not run at all: the last published document stays as it is.
_settings = Settings.from_environment(os.environ)
_logger = Logger(service=_settings.service)
_metrics = Metrics(namespace="Beacon", service=_settings.service)
_metrics.set_default_dimensions(Region=_settings.region)
_publisher = make_publisher(_settings)


@_metrics.log_metrics
def handler(_event: object, _context: object) -> dict[str, object]:
    """Make one round; return what was published."""
    report = _publisher.run()
    for change in report.changes:
        _logger.info("endpoint changed", extra={"changed_region": change.region, "change": change.reason})
    for problem in report.problems:
        _logger.warning("publishing met a problem", extra={"problem": problem})
    _metrics.add_metric("Frozen", MetricUnit.Count, report.document.frozen)
    _metrics.add_metric("IntentUnreadable", MetricUnit.Count, report.round.intents is None)
    _metrics.add_metric("DocumentWritten", MetricUnit.Count, report.written)
    return {
        "epoch": report.document.epoch,
        "written": report.written,
        "preferred": report.document.preferred.region,
        "frozen": report.document.frozen,
    }
