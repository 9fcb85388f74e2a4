"""Reads functions, API, schedules, health check and record out of a resolved template."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from beacon_lab.names import ACCOUNT_ID
from beacon_lab.stack.document import Json, TemplateError, mapping, sequence, text
from beacon_lab.stack.model import (
    AliasTarget,
    ApiResource,
    FunctionResource,
    HealthCheckConfig,
    RecordResource,
    Route,
    ScheduleResource,
)
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import source_of

__all__ = ["read_api", "read_functions", "read_health_check", "read_record", "read_schedules"]

_METHODS = frozenset({"get", "head", "post", "put", "patch", "delete", "options"})
_INVOKED = re.compile(r"functions/(arn:[^/]+)/invocations")
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_UNIT_S = {"minute": 60, "hour": 3600, "day": 86400}
# What Lambda does for a function without an EventInvokeConfig.
_ASYNC_DEFAULTS: Mapping[str, Json] = {"MaximumEventAgeInSeconds": 21_600, "MaximumRetryAttempts": 2}


def read_functions(
    resolver: TemplateResolver, directory: Callable[[str], Path]
) -> dict[str, FunctionResource]:
    """The functions by logical id; ``directory`` gives the code for a logical id of template.yaml."""
    layers = {
        text(resolver.reference(logical_id), logical_id): directory(source_of(properties["Content"]))
        for logical_id, properties in _of_type(resolver, "AWS::Lambda::LayerVersion")
    }
    queues = {
        text(properties["FunctionName"], logical_id): properties
        for logical_id, properties in _of_type(resolver, "AWS::Lambda::EventInvokeConfig")
    }
    found = {}
    for logical_id, properties in _of_type(resolver, "AWS::Lambda::Function"):
        name = text(properties["FunctionName"], logical_id)
        variables = mapping(mapping(properties.get("Environment", {}), name).get("Variables", {}), name)
        queue = queues.get(name, _ASYNC_DEFAULTS)
        reserved = properties.get("ReservedConcurrentExecutions")
        found[logical_id] = FunctionResource(
            logical_id=logical_id,
            name=name,
            handler=text(properties["Handler"], name),
            code_dir=directory(source_of(properties["Code"])),
            layer_dirs=tuple(layers[text(arn, name)] for arn in sequence(properties.get("Layers", []), name)),
            environment=MappingProxyType({key: text(value, key) for key, value in variables.items()}),
            timeout_s=float(text(properties.get("Timeout", 3), name)),
            memory_mb=_integer(properties.get("MemorySize", 128), name),
            reserved_concurrency=None if reserved is None else _integer(reserved, name),
            role_arn=text(properties["Role"], name),
            async_max_age_s=_integer(queue["MaximumEventAgeInSeconds"], name),
            async_max_retries=_integer(queue["MaximumRetryAttempts"], name),
        )
    return found


def read_api(resolver: TemplateResolver) -> ApiResource:
    """The one REST API and its one stage. Raises TemplateError when there are more or fewer of either."""
    logical_id, properties = only(resolver, "AWS::ApiGateway::RestApi")
    _, stage = only(resolver, "AWS::ApiGateway::Stage")
    api_id = text(resolver.reference(logical_id), logical_id)
    body = mapping(properties["Body"], logical_id)
    settings = [
        mapping(item, "MethodSettings") for item in sequence(stage["MethodSettings"], "MethodSettings")
    ]
    whole = next(
        (item for item in settings if item["ResourcePath"] == "/*" and item["HttpMethod"] == "*"), None
    )
    if whole is None:
        raise TemplateError("the stage has no method settings for everything (/*, *)")
    return ApiResource(
        id=api_id,
        stage=text(stage["StageName"], "StageName"),
        host=f"{api_id}.execute-api.{resolver.region}.amazonaws.com",
        routes=tuple(_routes(resolver, body)),
        resource_policy=MappingProxyType(
            _expanded(mapping(body["x-amazon-apigateway-policy"], "policy"), resolver.region, api_id)
        ),
        throttle_rate_per_s=float(text(whole["ThrottlingRateLimit"], "ThrottlingRateLimit")),
        throttle_burst=_integer(whole["ThrottlingBurstLimit"], "ThrottlingBurstLimit"),
    )


def read_schedules(resolver: TemplateResolver) -> tuple[ScheduleResource, ...]:
    """The schedules that invoke a function of this stack at a rate."""
    functions = _functions_by_arn(resolver)
    found = []
    for logical_id, properties in _of_type(resolver, "AWS::Scheduler::Schedule"):
        target = mapping(properties["Target"], logical_id)
        expression = text(properties["ScheduleExpression"], logical_id)
        rate = _RATE.fullmatch(expression)
        if rate is None:
            raise TemplateError(f"{logical_id}: the lab does not know the schedule {expression}")
        found.append(
            ScheduleResource(
                name=text(properties["Name"], logical_id),
                every_s=int(rate[1]) * _UNIT_S[rate[2]],
                function=functions[text(target["Arn"], logical_id)],
                input=text(target.get("Input", "{}"), logical_id),
            )
        )
    return tuple(found)


def read_health_check(properties: Mapping[str, Json]) -> HealthCheckConfig:
    """A health check of an endpoint, with Route 53's defaults. Raises TemplateError for an unknown field."""
    config = dict(mapping(properties["HealthCheckConfig"], "HealthCheckConfig"))
    kind = text(config.pop("Type"), "Type")
    regions = sequence(config.pop("Regions", []), "Regions")
    read = HealthCheckConfig(
        type=kind,
        fully_qualified_domain_name=_optional(config.pop("FullyQualifiedDomainName", None)),
        ip_address=_optional(config.pop("IPAddress", None)),
        port=_integer(config.pop("Port", 443 if kind.startswith("HTTPS") else 80), "Port"),
        resource_path=_optional(config.pop("ResourcePath", None)),
        search_string=_optional(config.pop("SearchString", None)),
        request_interval_s=_integer(config.pop("RequestInterval", 30), "RequestInterval"),
        failure_threshold=_integer(config.pop("FailureThreshold", 3), "FailureThreshold"),
        measure_latency=_boolean(config.pop("MeasureLatency", False)),
        inverted=_boolean(config.pop("Inverted", False)),
        enable_sni=_boolean(config.pop("EnableSNI", kind.startswith("HTTPS"))),
        regions=tuple(text(region, "Regions") for region in regions),
    )
    if config:
        raise TemplateError(f"the lab does not know the health check fields {', '.join(sorted(config))}")
    return read


def read_record(properties: Mapping[str, Json]) -> RecordResource:
    """A record. Raises TemplateError for one that is both an alias and not, or neither."""
    weight, target, ttl = properties.get("Weight"), properties.get("AliasTarget"), properties.get("TTL")
    values = sequence(properties.get("ResourceRecords", []), "ResourceRecords")
    if (target is None) is (ttl is None) or (ttl is None) is bool(values):
        raise TemplateError("a record has either an alias target or values and a TTL")
    return RecordResource(
        hosted_zone_id=text(properties["HostedZoneId"], "HostedZoneId"),
        name=text(properties["Name"], "Name"),
        type=text(properties["Type"], "Type"),
        ttl_s=None if ttl is None else _integer(ttl, "TTL"),
        values=tuple(text(value, "value") for value in values),
        alias=None if target is None else _alias(mapping(target, "AliasTarget")),
        health_check_id=_optional(properties.get("HealthCheckId")),
        set_identifier=_optional(properties.get("SetIdentifier")),
        failover=_optional(properties.get("Failover")),
        region=_optional(properties.get("Region")),
        weight=None if weight is None else _integer(weight, "Weight"),
    )


def _alias(target: Mapping[str, Json]) -> AliasTarget:
    return AliasTarget(
        dns_name=text(target["DNSName"], "DNSName"),
        hosted_zone_id=text(target["HostedZoneId"], "HostedZoneId"),
        evaluate_target_health=_boolean(target.get("EvaluateTargetHealth", False)),
    )


def of_type(resolver: TemplateResolver, kind: str) -> list[str]:
    """The logical ids of this stack's resources of a type."""
    return [logical_id for logical_id, found in resolver.resource_types().items() if found == kind]


def _of_type(resolver: TemplateResolver, kind: str) -> Iterator[tuple[str, dict[str, Json]]]:
    for logical_id in of_type(resolver, kind):
        yield logical_id, resolver.properties(logical_id)


def only(resolver: TemplateResolver, kind: str) -> tuple[str, dict[str, Json]]:
    """The one resource of a type, by logical id and properties. Raises ``TemplateError`` for more or none."""
    found = list(_of_type(resolver, kind))
    if len(found) != 1:
        raise TemplateError(f"one {kind} is wanted, not {len(found)}")
    return found[0]


def _functions_by_arn(resolver: TemplateResolver) -> dict[str, str]:
    return {
        resolver.attribute(logical_id, "Arn"): logical_id
        for logical_id in of_type(resolver, "AWS::Lambda::Function")
    }


def _routes(resolver: TemplateResolver, body: Mapping[str, Json]) -> Iterator[Route]:
    functions = _functions_by_arn(resolver)
    for path, node in mapping(body["paths"], "paths").items():
        for method, operation in mapping(node, path).items():
            if method not in _METHODS:
                continue
            integration = mapping(mapping(operation, path)["x-amazon-apigateway-integration"], path)
            invoked = _INVOKED.search(text(integration["uri"], path))
            if integration["type"] != "aws_proxy" or invoked is None or invoked[1] not in functions:
                raise TemplateError(f"{method.upper()} {path} invokes no function of this stack")
            yield Route(method.upper(), path, functions[invoked[1]])


def _expanded(policy: Mapping[str, Json], region: str, api_id: str) -> dict[str, Json]:
    prefix = f"arn:aws:execute-api:{region}:{ACCOUNT_ID}:{api_id}/"
    statements: list[Json] = []
    for node in sequence(policy["Statement"], "Statement"):
        statement = dict(mapping(node, "Statement"))
        resources = statement["Resource"]
        wanted = resources if isinstance(resources, list) else [resources]
        statement["Resource"] = [
            text(item, "Resource").replace("execute-api:/", prefix, 1) for item in wanted
        ]
        statements.append(statement)
    return {**policy, "Statement": statements}


def _integer(node: Json, where: str) -> int:
    return int(text(node, where))


def _optional(node: Json) -> str | None:
    return None if node is None else text(node, "value")


def _boolean(node: Json) -> bool:
    return text(node, "value") == "true"
