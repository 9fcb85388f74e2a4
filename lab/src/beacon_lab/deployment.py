"""The values that the lab deploys the template with, and how a stack's functions become running ones."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from beacon_lab.awslambda.function_spec import FunctionSpec
from beacon_lab.dsql.cluster import Cluster
from beacon_lab.dsql.principals import DbAction
from beacon_lab.errors import LabError
from beacon_lab.network.address_plan import OPERATOR_ADDRESS
from beacon_lab.route53.rules import CHECKER_REGIONS
from beacon_lab.settings import LabSettings
from beacon_lab.stack import FunctionResource, Stack

__all__ = ["DB_USER", "Values", "project_root", "specs"]

DB_USER = "beacon_probe"


def project_root() -> Path:
    """The checkout that holds the template, the functions and the SQL files that the lab runs."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "template.yaml").is_file():
        raise LabError(f"no template.yaml in {root}: run the lab from a checkout of the project")
    return root


@dataclass(frozen=True, slots=True)
class Values:
    """Parameter values for every Region of a lab; the token of the path is made anew for each lab."""

    settings: LabSettings
    cluster: Cluster
    zone_id: str
    path_token: str

    @classmethod
    def create(cls, settings: LabSettings, cluster: Cluster, zone_id: str) -> Values:
        """Values with a fresh token."""
        return cls(settings, cluster, zone_id, secrets.token_hex(16))

    def first_deployment(self, region: str) -> dict[str, str]:
        """What a Region is deployed with at first: everything but the record."""
        settings, fronts = self.settings, self.cluster.fronts
        peers = [f"{other}={fronts[other].host}" for other in settings.regions if other != region]
        return {
            "App": settings.app,
            "Env": settings.env,
            "PathToken": self.path_token,
            "DsqlClusterArns": ",".join(self.cluster.arn_of(name) for name in settings.regions),
            "DbUser": DB_USER,
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
            "Architecture": "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64",
            "HealthReservedConcurrency": str(settings.health_concurrency),
        }

    def records_on(self, region: str) -> dict[str, str]:
        """What changes when the records are turned on."""
        settings = self.settings
        if settings.policy == "none":
            return {}
        changes = {
            "RoutingPolicy": settings.policy,
            "HostedZoneId": self.zone_id,
            "RecordName": settings.record_name,
        }
        if settings.policy == "failover":
            changes["FailoverRole"] = "PRIMARY" if region == settings.regions[0] else "SECONDARY"
        return changes


def specs(
    stack: Stack, cluster: Cluster, aws_endpoint_url: str, speed: float = 1.0
) -> Mapping[str, FunctionSpec]:
    """How to run a stack's functions here: sessions of their own roles, the lab's addresses and its speed."""
    shared = {"AWS_ENDPOINT_URL": aws_endpoint_url, "BEACON_SPEED_PCT": str(round(100 * max(1.0, speed)))}
    return {name: _spec(stack, found, cluster, shared) for name, found in stack.functions.items()}


def _spec(stack: Stack, found: FunctionResource, cluster: Cluster, shared: Mapping[str, str]) -> FunctionSpec:
    # Never DbConnectAdmin: the template's roles do not hold it.
    session = cluster.add_principal(found.role_arn, frozenset({DbAction.CONNECT}), session=True)
    environment = {
        **found.environment,
        **shared,
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token or "",
        "BEACON_DIAL": cluster.dial_from(stack.region),
        "BEACON_CA_FILE": str(cluster.authority.ca_file),
    }
    return FunctionSpec(
        name=found.name,
        region=stack.region,
        handler=found.handler,
        code_dir=found.code_dir,
        layer_dirs=found.layer_dirs,
        environment=environment,
        timeout_s=found.timeout_s,
        memory_mb=found.memory_mb,
        reserved_concurrency=found.reserved_concurrency,
        async_max_age_s=found.async_max_age_s,
        async_max_retries=found.async_max_retries,
    )
