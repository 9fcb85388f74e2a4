"""The inline policies of roles: moto's CloudFormation never changes them, and stores no JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from beacon_lab.stack.document import Json, mapping, sequence, text
from beacon_lab.stack.read import of_type
from beacon_lab.stack.resolve import TemplateResolver

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

__all__ = ["only_policies_differ", "put_policies"]

ROLE = "AWS::IAM::Role"


def only_policies_differ(one: Json | None, other: Json | None) -> bool:
    """Whether two resources are the same role with other inline policies."""
    if not isinstance(one, dict) or not isinstance(other, dict) or one.get("Type") != ROLE:
        return False
    return _without_policies(one) == _without_policies(other)


def put_policies(client: IAMClient, resolver: TemplateResolver) -> None:
    """Write the inline policies of every role of the stack, and delete those that a role no longer has."""
    for logical_id in of_type(resolver, ROLE):
        properties = resolver.properties(logical_id)
        role = text(properties["RoleName"], logical_id)
        wanted: dict[str, str] = {}
        for node in sequence(properties.get("Policies", []), logical_id):
            policy = mapping(node, logical_id)
            wanted[text(policy["PolicyName"], logical_id)] = json.dumps(policy["PolicyDocument"])
        for name, document in wanted.items():
            client.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)
        for name in client.list_role_policies(RoleName=role)["PolicyNames"]:
            if name not in wanted:
                client.delete_role_policy(RoleName=role, PolicyName=name)


def _without_policies(resource: Mapping[str, Json]) -> dict[str, Json]:
    properties = mapping(resource.get("Properties", {}), "role")
    return {**resource, "Properties": {key: value for key, value in properties.items() if key != "Policies"}}
