"""Holds a stack in the foreign engine against the template, as the lab's own resolver understands it.

Two readers of one template, written by different people: where they differ, one of them is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.foreign.seen import CODE, READERS, UNKNOWN, Cloud, Seen

from beacon_lab.stack.identity import ResourceIdentity
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import read_template, translate

Json = Any

#: SAM ends these ids with a digest of what they stand for; the client's upload decides it.
_DIGEST = re.compile(r"^(ApiDeployment|BeaconLayer)[0-9a-f]{10}$")


class DifferenceError(AssertionError):
    """The engine's stack is not what the template says; every difference in a line."""


def hold_against(
    cloud: Cloud, template: Path, stack: str, region: str, given: Mapping[str, str]
) -> dict[str, Seen]:
    """Each resource of the stack as the engine has it, by logical id. Raises DifferenceError."""
    source = read_template(template)
    if "Transform" in source:
        source = translate(template, region=region, parameters=given).template
    resolver = TemplateResolver.create(source, given, region=region, stack_name=stack)
    actual = {_plain(name): found for name, found in cloud.stack_resources(stack, region).items()}
    local = {_plain(name): name for name in resolver.resource_types()}
    wanted_types = {name: resolver.resource_types()[own] for name, own in local.items()}
    if wanted_types != {name: kind for name, (kind, _) in actual.items()}:
        raise DifferenceError(
            f"{stack} in {region} has {sorted(actual)}, the template {sorted(wanted_types)}"
        )
    seen = {}
    for name, (kind, ref) in actual.items():
        seen[name] = READERS[kind](cloud, region, ref)
        resolver.created[local[name]] = ResourceIdentity(ref, seen[name].attributes)
    differences = [
        line
        for name, kind in wanted_types.items()
        for line in _differences(name, kind, resolver.properties(local[name]), seen[name].properties)
    ]
    if resolver.outputs() != (outputs := cloud.outputs(stack, region)):
        differences.append(f"outputs: the template says {resolver.outputs()}, the engine {outputs}")
    if differences:
        raise DifferenceError(f"{stack} in {region}:\n" + "\n".join(differences))
    return seen


def _plain(logical_id: str) -> str:
    found = _DIGEST.match(logical_id)
    return found[1] if found else logical_id


def _differences(name: str, kind: str, wanted: Mapping[str, Json], seen: Mapping[str, Json]) -> list[str]:
    unknown = UNKNOWN.get(kind, frozenset()) | {CODE.get(kind)}
    lines = []
    for key, value in wanted.items():
        expected, found = normal(key, value), normal(key, seen.get(key))
        if key in unknown:
            if value and expected == found:
                lines.append(
                    f"{name}.{key}: the engine keeps it, so take it off the list of what it does not know"
                )
            continue
        if expected != found and not (key == "Description" and kind == "AWS::ApiGateway::Deployment"):
            lines.append(f"{name}.{key}: the template says {expected!r}, the engine {found!r}")
    return lines


def normal(key: str, value: Json) -> Json:
    """A value without what only its notation says: numbers as text, tags by name, JSON text as JSON."""
    if key in {"Tags", "HealthCheckTags"}:
        pairs = value if isinstance(value, dict) else {each["Key"]: each["Value"] for each in value or []}
        return {name: text for name, text in pairs.items() if not name.startswith("aws:")}
    if key == "Body":
        return _methods(value)
    if isinstance(value, dict):
        if key == "IPSetReferenceStatement":
            value = {}  # CloudFormation says Arn, the service ARN; the engine shows neither
        return {name: normal(name, each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [normal("", each) for each in value]
    return value if value is None else _text(value)


def _text(value: Json) -> str:
    """A scalar as CloudFormation writes it: 100.0 and true and the like in one form."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _methods(body: Json) -> Json:
    """What the engine shows of an OpenAPI body: the integration of each path and method."""
    if "paths" not in body:
        return body
    return {
        path: {
            method: {
                key: found["x-amazon-apigateway-integration"][key] for key in ("type", "httpMethod", "uri")
            }
            for method, found in item.items()
            if method != "parameters"
        }
        for path, item in body["paths"].items()
    }
