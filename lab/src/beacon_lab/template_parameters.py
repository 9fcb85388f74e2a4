"""The parameters that the lab deploys the template with, Region by Region."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from beacon_lab.awslambda.function_spec import ARCHITECTURE
from beacon_lab.dsql.cluster import Cluster
from beacon_lab.network.address_plan import OPERATOR_ADDRESS
from beacon_lab.route53.rules import CHECKER_REGIONS
from beacon_lab.settings import LabSettings

__all__ = ["LOGIN_ROLE", "TemplateParameters"]

#: The database role that the functions log in as.
LOGIN_ROLE = "beacon_probe"


@dataclass(frozen=True, slots=True)
class TemplateParameters:
    """Parameters for every Region of a lab; each lab has a path token of its own."""

    settings: LabSettings
    cluster: Cluster
    zone_id: str
    path_token: str = field(default_factory=lambda: secrets.token_hex(16))

    def without_record(self, region: str) -> Mapping[str, str]:
        """What a Region is deployed with at first: everything but the record."""
        settings, fronts = self.settings, self.cluster.fronts
        peers = [f"{other}={fronts[other].host}" for other in settings.regions if other != region]
        return {
            "App": settings.app,
            "Env": settings.env,
            "PathToken": self.path_token,
            "DsqlClusterArns": ",".join(self.cluster.arn_of(name) for name in settings.regions),
            "DbUser": LOGIN_ROLE,
            "DsqlEndpoint": fronts[region].host,
            "PeerEndpoints": ",".join(peers),
            "RoutingPolicy": "none",
            "RequestInterval": str(settings.request_interval_s),
            "FailureThreshold": str(settings.failure_threshold),
            "CheckerRegions": ",".join(CHECKER_REGIONS),
            "OperatorCidrs": f"{OPERATOR_ADDRESS.rpartition('.')[0]}.0/24",
            "ProbeDeadlineMs": str(settings.probe_deadline_ms),
            "Fall": str(settings.fall),
            "Rise": str(settings.rise),
            "FailbackHoldSeconds": str(round(settings.failback_hold_s / settings.speed)),
            "PublishEverySeconds": str(settings.publish_every_s),
            "Architecture": ARCHITECTURE or "x86_64",
            "HealthReservedConcurrency": str(settings.health_concurrency),
        }

    def record(self, region: str) -> Mapping[str, str]:
        """What changes when a Region's record is turned on, for a policy other than ``none``."""
        settings = self.settings
        changes = {
            "RoutingPolicy": settings.policy,
            "HostedZoneId": self.zone_id,
            "RecordName": settings.record_name,
        }
        if settings.policy == "failover":
            changes["FailoverRole"] = "PRIMARY" if region == settings.regions[0] else "SECONDARY"
        return changes
