"""CloudFormation resource types that the engine lacks, each handed to the engine's own service for it.

The engine has Route 53, AWS WAF and Aurora DSQL as services, but no CloudFormation handler for these types. A
handler has the same form as the engine's: `create(logical id, properties, stack) -> (Ref, attributes)`,
`update` and `delete`. If a create-only property changes, `update` answers with another id; the engine then
deletes the old resource.
"""

from __future__ import annotations

import uuid
from typing import Any

from tools.foreign_engine.create_only import CREATE_ONLY
from tools.foreign_engine.own_services import own_client

__all__ = ["HANDLERS"]

Properties = dict[str, Any]
Made = tuple[str, Properties]

_CHECK_CREATE_ONLY = CREATE_ONLY["AWS::Route53::HealthCheck"]
_WHOLE = ("Port", "RequestInterval", "FailureThreshold", "HealthThreshold")
_TRUTH = ("MeasureLatency", "EnableSNI", "Inverted")


# ---- AWS::Route53::HealthCheck


def _config(properties: Properties) -> Properties:
    config = dict(properties["HealthCheckConfig"])
    for name in _WHOLE:
        if name in config:
            config[name] = int(config[name])
    for name in _TRUTH:
        if name in config:
            config[name] = str(config[name]).lower() == "true"
    return config


def _create_health_check(_logical_id: str, properties: Properties, _stack: str) -> Made:
    route53 = own_client("route53")
    made = route53.create_health_check(
        CallerReference=str(uuid.uuid4()), HealthCheckConfig=_config(properties)
    )
    check = made["HealthCheck"]["Id"]
    if tags := properties.get("HealthCheckTags"):
        route53.change_tags_for_resource(ResourceType="healthcheck", ResourceId=check, AddTags=tags)
    return check, {"HealthCheckId": check}


def _update_health_check(check: str, old: Properties, new: Properties, stack: str) -> Made:
    before, after = _config(old), _config(new)
    if any(before.get(name) != after.get(name) for name in _CHECK_CREATE_ONLY):
        return _create_health_check("", new, stack)
    for name in _CHECK_CREATE_ONLY:
        after.pop(name, None)
    route53 = own_client("route53")
    route53.update_health_check(HealthCheckId=check, **after)
    route53.change_tags_for_resource(
        ResourceType="healthcheck", ResourceId=check, AddTags=new.get("HealthCheckTags") or []
    )
    return check, {"HealthCheckId": check}


def _delete_health_check(check: str, _properties: Properties) -> None:
    own_client("route53").delete_health_check(HealthCheckId=check)


# ---- AWS::WAFv2::IPSet, AWS::WAFv2::WebACLAssociation


def _create_ip_set(_logical_id: str, properties: Properties, _stack: str) -> Made:
    summary = own_client("wafv2").create_ip_set(**properties)["Summary"]
    return f"{summary['Name']}|{summary['Id']}|{properties['Scope']}", {
        "Arn": summary["ARN"],
        "Id": summary["Id"],
    }


def _ip_set(physical_id: str) -> Properties:
    name, identifier, scope = physical_id.split("|")
    return {"Name": name, "Id": identifier, "Scope": scope}


def _update_ip_set(physical_id: str, old: Properties, new: Properties, stack: str) -> Made:
    if any(old.get(name) != new.get(name) for name in CREATE_ONLY["AWS::WAFv2::IPSet"]):
        return _create_ip_set("", new, stack)
    wafv2, which = own_client("wafv2"), _ip_set(physical_id)
    token = wafv2.get_ip_set(**which)["LockToken"]
    wafv2.update_ip_set(**which, Addresses=new["Addresses"], LockToken=token)
    found = wafv2.get_ip_set(**which)["IPSet"]
    return physical_id, {"Arn": found["ARN"], "Id": found["Id"]}


def _delete_ip_set(physical_id: str, _properties: Properties) -> None:
    wafv2, which = own_client("wafv2"), _ip_set(physical_id)
    wafv2.delete_ip_set(**which, LockToken=wafv2.get_ip_set(**which)["LockToken"])


def _create_association(_logical_id: str, properties: Properties, _stack: str) -> Made:
    own_client("wafv2").associate_web_acl(**properties)
    return f"{properties['ResourceArn']}|{properties['WebACLArn']}", {}


def _update_association(physical_id: str, old: Properties, new: Properties, stack: str) -> Made:
    """Both of its properties are create-only."""
    return (physical_id, {}) if old == new else _create_association("", new, stack)


def _delete_association(_physical_id: str, properties: Properties) -> None:
    own_client("wafv2").disassociate_web_acl(ResourceArn=properties["ResourceArn"])


# ---- AWS::DSQL::Cluster


def _create_cluster(_logical_id: str, properties: Properties, _stack: str) -> Made:
    made = own_client("dsql").create_cluster(
        deletionProtectionEnabled=_protected(properties),
        tags={tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])},
        **_linked(properties),
        **({"policy": _policy(properties)} if "PolicyDocument" in properties else {}),
    )
    return made["identifier"], _cluster_attributes(made["identifier"], made["arn"])


def _update_cluster(identifier: str, old: Properties, new: Properties, _stack: str) -> Made:
    dsql = own_client("dsql")
    dsql.update_cluster(identifier=identifier, deletionProtectionEnabled=_protected(new), **_linked(new))
    if new.get("PolicyDocument") and new.get("PolicyDocument") != old.get("PolicyDocument"):
        dsql.put_cluster_policy(identifier=identifier, policy=_policy(new))
    elif old.get("PolicyDocument") and not new.get("PolicyDocument"):
        dsql.delete_cluster_policy(identifier=identifier)
    return identifier, _cluster_attributes(identifier, dsql.get_cluster(identifier=identifier)["arn"])


def _delete_cluster(identifier: str, _properties: Properties) -> None:
    own_client("dsql").delete_cluster(identifier=identifier)


def _protected(properties: Properties) -> bool:
    return str(properties.get("DeletionProtectionEnabled", "false")).lower() == "true"


def _policy(properties: Properties) -> str:
    return str(properties["PolicyDocument"])


def _linked(properties: Properties) -> Properties:
    linked = properties.get("MultiRegionProperties")
    if not linked:
        return {}
    names = {"WitnessRegion": "witnessRegion", "Clusters": "clusters"}
    return {"multiRegionProperties": {names[name]: value for name, value in linked.items()}}


def _cluster_attributes(identifier: str, arn: str) -> Properties:
    region = arn.split(":")[3]
    return {
        "Identifier": identifier,
        "ResourceArn": arn,
        "Endpoint": f"{identifier}.dsql.{region}.on.aws",  # the engine's service has no such name of its own
    }


HANDLERS: dict[str, Properties] = {
    "AWS::Route53::HealthCheck": {
        "create": _create_health_check,
        "update": _update_health_check,
        "delete": _delete_health_check,
    },
    "AWS::WAFv2::IPSet": {"create": _create_ip_set, "update": _update_ip_set, "delete": _delete_ip_set},
    "AWS::WAFv2::WebACLAssociation": {
        "create": _create_association,
        "update": _update_association,
        "delete": _delete_association,
    },
    "AWS::DSQL::Cluster": {
        "create": _create_cluster,
        "update": _update_cluster,
        "delete": _delete_cluster,
    },
}
