"""A Region's alarms, and the write canary's failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from beacon.names import NAMESPACE
from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Alarm, Canary, Fact, Known, Unknown

__all__ = ["name_of", "read_alarms", "read_canary"]

_CANARY_MINUTES = 15


def name_of(region: str) -> str:
    """What to call the source in a sentence."""
    return f"CloudWatch of {region}"


def read_alarms(sessions: Sessions, region: str) -> Fact[tuple[Alarm, ...]]:
    """The alarms whose names begin with the deployment's."""
    prefix = f"{sessions.fleet.service}-"
    try:
        pages = sessions.cloudwatch(region).get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix)
        rows = [row for page in pages for row in page.get("MetricAlarms", [])]
    except FAILURES as error:
        return Unknown(sentence_of(error, name_of(region)))
    return Known(
        tuple(Alarm(row["AlarmName"], row["StateValue"], row.get("StateUpdatedTimestamp")) for row in rows)
    )


def read_canary(sessions: Sessions, region: str) -> Fact[Canary]:
    """How many commits of the write canary failed lately."""
    now = datetime.now(UTC)
    service = sessions.fleet.service
    try:
        answer = sessions.cloudwatch(region).get_metric_statistics(
            Namespace=NAMESPACE,
            MetricName="WriteCanaryFail",
            Dimensions=[{"Name": "service", "Value": service}, {"Name": "Region", "Value": region}],
            StartTime=now - timedelta(minutes=_CANARY_MINUTES),
            EndTime=now,
            Period=60 * _CANARY_MINUTES,
            Statistics=["Sum"],
        )
    except FAILURES as error:
        return Unknown(sentence_of(error, name_of(region)))
    return Known(Canary(round(sum(point.get("Sum", 0.0) for point in answer["Datapoints"])), _CANARY_MINUTES))
