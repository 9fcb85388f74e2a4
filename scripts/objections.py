"""What Route 53's health checks say against the deployment of a stack itself, apart from other Regions.

=============================================================  ===============================================
what the file deploys                                          what it needs
=============================================================  ===============================================
a record, in a Region that has no stack yet                    refused: a new health check counts as healthy
                                                               until its checkers have looked
a record, in a Region whose stack has ``RoutingPolicy=none``   this Region serves
a record, in a Region whose stack has one already              nothing
global.yaml                                                    each id is its Region's health check
=============================================================  ===============================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from beacon_cli.checkers import find_checks, standing_of
from beacon_cli.configuration.samconfig import Deployment
from beacon_cli.standing import Check
from scripts.stack import Stored

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

__all__ = ["against_ids", "against_record", "objections"]

_NONE = "none"
_PLACES = ("First", "Second", "Third")


def objections(client: Route53Client, deployment: Deployment, stored: Stored | None) -> list[str]:
    """The reasons against ``deployment`` by the module's table; raises botocore's errors."""
    if deployment.is_global:
        return against_ids(find_checks(client, deployment.service), deployment)
    return against_record(client, deployment, stored)


def against_record(client: Route53Client, deployment: Deployment, stored: Stored | None) -> list[str]:
    """The reason not to turn the Region's record on; raises botocore's errors.

    Docs: rule 3 of docs/rollout.md. A record that is already on is not checked: its Region may be deployed
    while it fails, because the deployment may be the repair.
    """
    # A value that the file leaves out is the template's default: `kept` has refused every other case.
    if deployment.parameters.get("RoutingPolicy", _NONE) == _NONE:
        return []
    if stored is None or not stored.exists:
        why = f"there is no stack {deployment.stack_name}"
    elif stored.parameters.get("RoutingPolicy", _NONE) != _NONE:
        return []
    elif (check := find_checks(client, deployment.service).get(deployment.region)) is None:
        why = "it has no health check"
    else:
        standing = standing_of(client, check)
        if standing.serving:
            return []
        why = standing.why
    return [f"{deployment.region} does not serve yet ({why}): keep RoutingPolicy=none until /health passes"]


def against_ids(checks: Mapping[str, Check], deployment: Deployment) -> list[str]:
    """Each id in the section of global.yaml that is not the health check of the Region beside it."""
    regions = {check.id: region for region, check in checks.items()}
    found = []
    for place in _PLACES:
        region, given = (
            deployment.parameters.get(f"{place}{what}", "") for what in ("Region", "HealthCheckId")
        )
        # The template's rules have already refused one without the other.
        if not (region and given) or regions.get(given) == region:
            continue
        if given in regions:
            found.append(f"{place}HealthCheckId is {regions[given]}'s check, not {region}'s")
        elif region in checks:
            found.append(
                f"{place}HealthCheckId is no check of {deployment.service}: {region}'s is {checks[region].id}"
            )
        else:
            found.append(f"{place}Region is {region}, where {deployment.service} has no health check")
    return found
