"""What Route 53 knows of a service's Regions: each Region's health check, and what its checkers saw."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from beacon_cli.standing import Check, Observation, Standing, judge, region_of

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

__all__ = ["EVER", "find_checks", "observations_of", "standing_of"]

EVER = datetime.min.replace(tzinfo=UTC)


def find_checks(client: Route53Client, service: str) -> dict[str, Check]:
    """The service's health check of each Region, recognized by the string that it searches for."""
    found = {}
    for page in client.get_paginator("list_health_checks").paginate():
        for row in page["HealthChecks"]:
            config = row["HealthCheckConfig"]
            region = region_of(config.get("SearchString", ""), service)
            if region is not None:
                disabled, inverted = config.get("Disabled", False), config.get("Inverted", False)
                found[region] = Check(row["Id"], region, disabled=disabled, inverted=inverted)
    return found


def observations_of(client: Route53Client, check: Check) -> list[Observation]:
    """What each of a check's checkers reported last."""
    answer = client.get_health_check_status(HealthCheckId=check.id)
    reports = [row["StatusReport"] for row in answer["HealthCheckObservations"]]
    return [Observation(report["Status"], report["CheckedTime"]) for report in reports]


def standing_of(client: Route53Client, check: Check, since: datetime = EVER) -> Standing:
    """Whether a Region serves now, by what checkers have seen after ``since``."""
    return judge(check, observations_of(client, check), now=datetime.now(UTC), since=since)
