"""What AWS knows of the deployment as a whole: Route 53's checks, records, ranges and quota; and drills."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.doctor.facts import CheckConfig, Drills, HealthCheckQuota, Record, Token
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Fact, Known, Unknown
from beacon_cli.standing import region_of

__all__ = ["read_configs", "read_drills", "read_quota", "read_ranges", "read_records"]

_ROUTE_53 = "Route 53"
_PATH = re.compile(r"/live/([^/]+)/health")


def read_configs(sessions: Sessions) -> Fact[tuple[CheckConfig, ...]]:
    """Every health check of the deployment, recognized by the string that it searches for."""
    found = []
    try:
        for page in sessions.route53().get_paginator("list_health_checks").paginate():
            found += [(row["Id"], row["HealthCheckConfig"]) for row in page["HealthChecks"]]
    except FAILURES as error:
        return Unknown(sentence_of(error, _ROUTE_53))
    checks = []
    for identifier, config in found:
        region = region_of(config.get("SearchString", ""), sessions.fleet.service)
        if region is not None:
            checks.append(_config(identifier, region, dict(config)))
    return Known(tuple(checks))


def _config(identifier: str, region: str, config: dict[str, Any]) -> CheckConfig:
    path = _PATH.fullmatch(config.get("ResourcePath", ""))
    return CheckConfig(
        id=identifier,
        region=region,
        token=Token.of(path[1]) if path else None,
        kind=config.get("Type", ""),
        disabled=bool(config.get("Disabled")),
        inverted=bool(config.get("Inverted")),
        sni=bool(config.get("EnableSNI")),
        interval_s=int(config.get("RequestInterval", 30)),
        threshold=int(config.get("FailureThreshold", 3)),
    )


def read_records(sessions: Sessions, zone: str) -> Fact[tuple[Record, ...]]:
    """The record sets of the deployment's name in ``zone``."""
    name = sessions.fleet.record_name.rstrip(".")
    if not zone or not name:
        return Unknown("neither the file nor a stack says which zone holds the record")
    try:
        answer = sessions.route53().list_resource_record_sets(
            HostedZoneId=zone, StartRecordName=name, MaxItems="20"
        )
    except FAILURES as error:
        return Unknown(sentence_of(error, _ROUTE_53))
    rows = [row for row in answer["ResourceRecordSets"] if row["Name"].rstrip(".").lower() == name.lower()]
    return Known(tuple(_record(dict(row)) for row in rows if row["Type"] in {"A", "AAAA", "CNAME"}))


def _record(row: dict[str, Any]) -> Record:
    alias = row.get("AliasTarget")
    values = [one["Value"] for one in row.get("ResourceRecords", [])]
    target = alias["DNSName"] if alias else ", ".join(values)
    return Record(
        kind=row["Type"],
        set_identifier=row.get("SetIdentifier", ""),
        target=target.rstrip("."),
        check_id=row.get("HealthCheckId", ""),
        ttl_s=row.get("TTL"),
        failover=row.get("Failover", ""),
        region=row.get("Region", ""),
        weight=row.get("Weight"),
        is_alias=alias is not None,
    )


def read_ranges(sessions: Sessions) -> Fact[frozenset[str]]:
    """The IPv4 ranges that Route 53 lists for its checkers."""
    try:
        listed = sessions.route53().get_checker_ip_ranges()["CheckerIpRanges"]
    except FAILURES as error:
        return Unknown(sentence_of(error, _ROUTE_53))
    return Known(frozenset(one for one in listed if ":" not in one))


def read_quota(sessions: Sessions) -> Fact[HealthCheckQuota]:
    """The account's health checks and its limit of them."""
    try:
        answer = sessions.route53().get_account_limit(Type="MAX_HEALTH_CHECKS_BY_OWNER")
    except FAILURES as error:
        return Unknown(sentence_of(error, _ROUTE_53))
    return Known(HealthCheckQuota(int(answer["Count"]), int(answer["Limit"]["Value"])))


def read_drills(folder: Path, service: str) -> Fact[Drills]:
    """The newest report in ``folder`` that `beacon drill` wrote of this deployment."""
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            at = datetime.fromisoformat(str(report["broken_at"]))
            if report["service"] == service:
                found.append(Drills(at.astimezone(UTC), report["outcome"] == "passed", str(path)))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another file that ends with .json
    if not found:
        return Unknown(f"no drill of {service} is reported in {folder}")
    return Known(max(found, key=lambda one: one.at))
