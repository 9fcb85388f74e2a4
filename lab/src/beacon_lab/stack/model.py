"""What a deployed stack consists of, as far as the lab runs or answers for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from beacon_lab.stack.document import Json

__all__ = [
    "AliasTarget",
    "ApiResource",
    "FunctionResource",
    "HealthCheckConfig",
    "HealthCheckResource",
    "RecordResource",
    "Route",
    "ScheduleResource",
    "Stack",
]


@dataclass(frozen=True, slots=True)
class FunctionResource:
    """A Lambda function. ``layer_dirs`` are what stands under /opt/python, in the layers' order."""

    logical_id: str
    name: str
    handler: str
    code_dir: Path
    layer_dirs: tuple[Path, ...]
    environment: Mapping[str, str]
    timeout_s: float
    memory_mb: int
    reserved_concurrency: int | None
    role_arn: str
    async_max_age_s: int
    async_max_retries: int


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path (with ``{name}`` for a segment that may be anything) that invoke a function."""

    method: str
    path: str
    #: The function's logical id.
    function: str


@dataclass(frozen=True, slots=True)
class ApiResource:
    """A regional REST API with its one stage."""

    id: str
    stage: str
    host: str
    routes: tuple[Route, ...]
    #: As API Gateway stores it: every Resource a full ARN, which the path of a request is matched against.
    resource_policy: Mapping[str, Json]
    throttle_rate_per_s: float
    throttle_burst: int


@dataclass(frozen=True, slots=True)
class ScheduleResource:
    """An EventBridge schedule and what it sends."""

    name: str
    every_s: int
    #: The function's logical id.
    function: str
    #: JSON.
    input: str


@dataclass(frozen=True, slots=True)
class HealthCheckConfig:
    """A Route 53 health check of an endpoint, with the fields that CloudFormation knows."""

    type: str
    fully_qualified_domain_name: str | None
    ip_address: str | None
    port: int
    resource_path: str | None
    search_string: str | None
    request_interval_s: int
    failure_threshold: int
    measure_latency: bool
    inverted: bool
    enable_sni: bool
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HealthCheckResource:
    """A health check under the id that Route 53 gave it."""

    id: str
    config: HealthCheckConfig


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """What an alias record stands for."""

    dns_name: str
    hosted_zone_id: str
    evaluate_target_health: bool


@dataclass(frozen=True, slots=True)
class RecordResource:
    """One record of a set that shares name and type: an alias, or values with a time to live."""

    hosted_zone_id: str
    name: str
    type: str
    ttl_s: int | None
    values: tuple[str, ...]
    alias: AliasTarget | None
    health_check_id: str | None
    set_identifier: str | None
    failover: str | None
    region: str | None
    weight: int | None


@dataclass(frozen=True, slots=True)
class Stack:
    """One Region's stack. ``functions`` is by logical id; ``parameters`` hold every parameter's value."""

    region: str
    name: str
    functions: Mapping[str, FunctionResource]
    api: ApiResource
    schedules: tuple[ScheduleResource, ...]
    health_check: HealthCheckResource
    record: RecordResource | None
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @property
    def health_url(self) -> str:
        """What the health check asks, with the token that the HealthUrl output leaves out."""
        config = self.health_check.config
        return f"https://{config.fully_qualified_domain_name}{config.resource_path}"
