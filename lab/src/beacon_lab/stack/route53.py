"""Writes health checks and records through Route 53's API, and refuses what it would and moto does not."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, cast

from beacon_lab.errors import LabError
from beacon_lab.stack.model import HealthCheckConfig, HealthCheckResource, RecordResource

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client
    from mypy_boto3_route53.type_defs import HealthCheckConfigTypeDef, ResourceRecordSetTypeDef

__all__ = ["RecordRefusedError", "put_health_check", "put_record", "remove_health_check", "remove_record"]

_HEALTH_CHECK_FIELDS = {
    "type": "Type",
    "fully_qualified_domain_name": "FullyQualifiedDomainName",
    "ip_address": "IPAddress",
    "port": "Port",
    "resource_path": "ResourcePath",
    "search_string": "SearchString",
    "request_interval_s": "RequestInterval",
    "failure_threshold": "FailureThreshold",
    "measure_latency": "MeasureLatency",
    "inverted": "Inverted",
    "enable_sni": "EnableSNI",
    "regions": "Regions",
}
_IMMUTABLE = ("type", "request_interval_s", "measure_latency")
_POLICIES = {"Failover": "failover", "Region": "latency", "Weight": "weighted"}


class RecordRefusedError(LabError):
    """A record that Route 53 would not take beside those that are there."""


def put_health_check(
    client: Route53Client,
    config: HealthCheckConfig,
    before: HealthCheckResource | None,
    tags: Mapping[str, str],
) -> HealthCheckResource:
    """Create the health check or change it in place.

    A change of what Route 53 cannot change makes a new one, under a new id; the caller removes the one before
    when nothing refers to it any more.
    """
    wanted = _written(config)
    if before is not None and all(
        getattr(before.config, name) == getattr(config, name) for name in _IMMUTABLE
    ):
        kept = {_HEALTH_CHECK_FIELDS[name] for name in _IMMUTABLE}
        changes = {key: value for key, value in wanted.items() if key not in kept}
        client.update_health_check(HealthCheckId=before.id, **changes)  # type: ignore[arg-type]
        return HealthCheckResource(before.id, config)
    created = client.create_health_check(
        CallerReference=str(uuid.uuid4()), HealthCheckConfig=cast("HealthCheckConfigTypeDef", wanted)
    )
    health_check_id = created["HealthCheck"]["Id"]
    client.change_tags_for_resource(
        ResourceType="healthcheck",
        ResourceId=health_check_id,
        AddTags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    return HealthCheckResource(health_check_id, config)


def remove_health_check(client: Route53Client, health_check: HealthCheckResource) -> None:
    """Delete a health check."""
    client.delete_health_check(HealthCheckId=health_check.id)


def put_record(client: Route53Client, record: RecordResource) -> None:
    """Create the record or replace the one with its name, type and set identifier in one step.

    Raises RecordRefusedError for a second routing policy under the name, a second PRIMARY or SECONDARY, and a
    second record of a latency Region.
    """
    _refuse(client, record)
    _change(client, "UPSERT", record)


def remove_record(client: Route53Client, record: RecordResource) -> None:
    """Delete a record as ``put_record`` wrote it."""
    _change(client, "DELETE", record)


def _written(config: HealthCheckConfig) -> dict[str, object]:
    members = {field.name: getattr(config, field.name) for field in fields(config)}
    members["regions"] = list(config.regions)
    return {_HEALTH_CHECK_FIELDS[name]: value for name, value in members.items() if value not in (None, [])}


def _change(client: Route53Client, action: str, record: RecordResource) -> None:
    optional = {
        "SetIdentifier": record.set_identifier,
        "HealthCheckId": record.health_check_id,
        "Failover": record.failover,
        "Region": record.region,
        "Weight": record.weight,
    }
    written = {
        "Name": record.name,
        "Type": record.type,
        **_answer(record),
        **{key: value for key, value in optional.items() if value is not None},
    }
    client.change_resource_record_sets(
        HostedZoneId=record.hosted_zone_id,
        ChangeBatch={
            "Changes": [
                {
                    "Action": "UPSERT" if action == "UPSERT" else "DELETE",
                    "ResourceRecordSet": cast("ResourceRecordSetTypeDef", written),
                }
            ]
        },
    )


def _answer(record: RecordResource) -> dict[str, object]:
    if record.alias is None:
        values = [{"Value": value} for value in record.values]
        return {"TTL": record.ttl_s, "ResourceRecords": values}
    target = {
        "DNSName": record.alias.dns_name,
        "HostedZoneId": record.alias.hosted_zone_id,
        "EvaluateTargetHealth": record.alias.evaluate_target_health,
    }
    return {"AliasTarget": target}


def _refuse(client: Route53Client, record: RecordResource) -> None:
    name = record.name.rstrip(".")
    wanted = {"Failover": record.failover, "Region": record.region, "Weight": record.weight}
    policy = next((label for key, label in _POLICIES.items() if wanted[key] is not None), "simple")
    pages = client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=record.hosted_zone_id)
    for other in (found for page in pages for found in page["ResourceRecordSets"]):
        if (other["Name"].rstrip("."), other["Type"]) != (name, record.type):
            continue
        if other.get("SetIdentifier") == record.set_identifier:
            continue
        there = next((label for key, label in _POLICIES.items() if key in other), "simple")
        if there != policy:
            raise RecordRefusedError(
                f"{name} has a record with the policy {there}, and Route 53 takes one policy under a name: "
                f"set RoutingPolicy=none in every Region before {policy}"
            )
        if record.failover is not None and other.get("Failover") == record.failover:
            raise RecordRefusedError(
                f"{name} already has a {record.failover} record: {other.get('SetIdentifier')}"
            )
        if record.region is not None and other.get("Region") == record.region:
            raise RecordRefusedError(f"{name} already has a record for {record.region}")
