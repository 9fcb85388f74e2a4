"""What stands in the foreign engine after a deployment, asked through its own service APIs.

A reader for each resource type gives the properties in CloudFormation's words, so that they compare with what
the template asks for. ``UNKNOWN`` lists what the engine does not keep; nothing else may be missing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from beacon_lab.names import ACCOUNT_ID

Json = Any

#: Properties that the engine takes and forgets. The CloudFormation schema is their only witness here.
UNKNOWN: Mapping[str, frozenset[str]] = {
    "AWS::ApiGateway::RestApi": frozenset({"EndpointConfiguration", "Parameters"}),
    "AWS::ApiGateway::Stage": frozenset({"AccessLogSetting"}),
    "AWS::IAM::Role": frozenset({"PermissionsBoundary"}),
    "AWS::Lambda::Function": frozenset({"ReservedConcurrentExecutions", "VpcConfig"}),
}
#: Types of which the engine knows nothing: the launcher only writes down what it was given.
STUBBED = frozenset(
    {
        "AWS::CloudWatch::Alarm on an expression",
        "AWS::FIS::ExperimentTemplate",
        "AWS::WAFv2::LoggingConfiguration",
    }
)
#: Where code comes from differs by client: sam puts archives into its bucket.
CODE = {"AWS::Lambda::Function": "Code", "AWS::Lambda::LayerVersion": "Content"}


@dataclass(frozen=True, slots=True)
class Cloud:
    """The engine as one account, by Region."""

    url: str
    stubs: Path
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a client program needs to find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCOUNT_ID,  # the engine takes a key of twelve digits for the account
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, region: str) -> Any:  # noqa: ANN401 - boto3 makes classes at run time
        """A boto3 client of one service in one Region."""
        if (service, region) not in self._clients:
            self._clients[service, region] = boto3.client(  # type: ignore[call-overload]
                service,
                region_name=region,
                endpoint_url=self.url,
                aws_access_key_id=ACCOUNT_ID,
                aws_secret_access_key="none",
            )
        return self._clients[service, region]

    def stack_resources(self, stack: str, region: str) -> dict[str, tuple[str, str]]:
        """Type and physical id of each resource of a stack, by logical id."""
        pages = self.client("cloudformation", region).get_paginator("list_stack_resources")
        return {
            found["LogicalResourceId"]: (found["ResourceType"], found["PhysicalResourceId"])
            for page in pages.paginate(StackName=stack)
            for found in page["StackResourceSummaries"]
        }

    def outputs(self, stack: str, region: str) -> dict[str, str]:
        """A stack's outputs."""
        (found,) = self.client("cloudformation", region).describe_stacks(StackName=stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    def stubbed(self) -> dict[tuple[str, str], Json]:
        """The records of what is only stubbed, by Region and id."""
        found = [json.loads(path.read_text(encoding="utf-8")) for path in self.stubs.iterdir()]
        return {(record["region"], record["id"]): record for record in found}


@dataclass(frozen=True, slots=True)
class Seen:
    """A resource that exists: its properties, and its attributes for `Fn::GetAtt`."""

    properties: Mapping[str, Json]
    attributes: Mapping[str, str] = field(default_factory=dict)


Reader = Callable[[Cloud, str, str], Seen]


def _function(cloud: Cloud, region: str, ref: str) -> Seen:
    answer = cloud.client("lambda", region).get_function(FunctionName=ref)
    found = answer["Configuration"]
    assert found["CodeSize"] > 0
    found["Layers"] = [layer["Arn"] for layer in found["Layers"]]
    vpc = found.get("VpcConfig") or {}
    found["VpcConfig"] = {name: vpc.get(name) for name in ("SubnetIds", "SecurityGroupIds")}
    return Seen(found | {"Tags": answer["Tags"]}, {"Arn": found["FunctionArn"]})


def _layer(cloud: Cloud, region: str, ref: str) -> Seen:
    found = cloud.client("lambda", region).get_layer_version_by_arn(Arn=ref)
    assert found["Content"]["CodeSize"] > 0
    return Seen(found | {"LayerName": ref.split(":")[-2]})


def _permission(cloud: Cloud, region: str, ref: str) -> Seen:
    name = next(
        found["FunctionName"]
        for found in cloud.client("lambda", region).list_functions()["Functions"]
        if found["FunctionName"].endswith("-health")
    )
    policy = json.loads(cloud.client("lambda", region).get_policy(FunctionName=name)["Policy"])
    (statement,) = (found for found in policy["Statement"] if found["Sid"] == ref)
    return Seen(
        {
            "Action": statement["Action"],
            "FunctionName": name,
            "Principal": statement["Principal"]["Service"],
            "SourceArn": statement["Condition"]["ArnLike"]["AWS:SourceArn"],
        }
    )


def _invoke_config(cloud: Cloud, region: str, ref: str) -> Seen:
    name, qualifier = ref.split(":")
    found = cloud.client("lambda", region).get_function_event_invoke_config(
        FunctionName=name, Qualifier=qualifier
    )
    return Seen(found | {"FunctionName": name, "Qualifier": qualifier})


def _schedule(cloud: Cloud, region: str, ref: str) -> Seen:
    found = cloud.client("scheduler", region).get_schedule(Name=ref)
    return Seen(found, {"Arn": found["Arn"]})


def _role(cloud: Cloud, region: str, ref: str) -> Seen:
    iam = cloud.client("iam", region)
    found = iam.get_role(RoleName=ref)["Role"]
    policies = [
        {
            "PolicyName": name,
            "PolicyDocument": iam.get_role_policy(RoleName=ref, PolicyName=name)["PolicyDocument"],
        }
        for name in iam.list_role_policies(RoleName=ref)["PolicyNames"]
    ]
    boundary = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    return Seen(found | {"Policies": policies, "PermissionsBoundary": boundary}, {"Arn": found["Arn"]})


def _log_group(cloud: Cloud, region: str, ref: str) -> Seen:
    logs = cloud.client("logs", region)
    (found,) = (
        group
        for group in logs.describe_log_groups(logGroupNamePrefix=ref)["logGroups"]
        if group["logGroupName"] == ref
    )
    tags = logs.list_tags_for_resource(resourceArn=found["logGroupArn"])["tags"]
    return Seen(
        {"LogGroupName": ref, "RetentionInDays": found["retentionInDays"], "Tags": tags},
        {"Arn": found["arn"]},
    )


def _api(cloud: Cloud, region: str, ref: str) -> Seen:
    gateway = cloud.client("apigateway", region)
    found = gateway.get_rest_api(restApiId=ref)
    paths = {}
    for resource in gateway.get_resources(restApiId=ref, embed=["methods"])["items"]:
        if methods := resource["resourceMethods"]:
            paths[resource["path"]] = {
                name.lower(): {
                    "type": method["methodIntegration"]["type"].lower(),
                    "httpMethod": method["methodIntegration"]["httpMethod"],
                    "uri": method["methodIntegration"]["uri"],
                }
                for name, method in methods.items()
            }
    kinds = {"Types": found["endpointConfiguration"].get("types")}
    return Seen(
        {
            "Name": found["name"],
            "Description": found["description"],
            "Body": paths,
            "EndpointConfiguration": kinds,
            "Tags": found["tags"],
        }
    )


def _deployment(cloud: Cloud, region: str, ref: str) -> Seen:
    gateway = cloud.client("apigateway", region)
    for api in gateway.get_rest_apis()["items"]:
        for found in gateway.get_deployments(restApiId=api["id"])["items"]:
            if found["id"] == ref:
                return Seen({"RestApiId": api["id"], "Description": found["description"]})
    raise LookupError(f"no API has a deployment {ref}")


def _stage(cloud: Cloud, region: str, ref: str) -> Seen:
    gateway = cloud.client("apigateway", region)
    (api,) = gateway.get_rest_apis()["items"]  # a test has one stack in a Region
    found = gateway.get_stage(restApiId=api["id"], stageName=ref)
    logs = found.get("accessLogSettings") or {}
    settings = [
        {
            "ResourcePath": f"/{path}" if path == "*" else path,
            "HttpMethod": method,
            "ThrottlingRateLimit": setting["throttlingRateLimit"],
            "ThrottlingBurstLimit": setting["throttlingBurstLimit"],
        }
        for key, setting in found["methodSettings"].items()
        for path, _, method in [key.rpartition("/")]
    ]
    return Seen(
        {
            "StageName": ref,
            "RestApiId": api["id"],
            "DeploymentId": found["deploymentId"],
            "MethodSettings": settings,
            "TracingEnabled": found["tracingEnabled"],
            "AccessLogSetting": {"DestinationArn": logs.get("destinationArn"), "Format": logs.get("format")},
            "Tags": found["tags"],
        }
    )


def _health_check(cloud: Cloud, region: str, ref: str) -> Seen:
    route53 = cloud.client("route53", region)
    config = route53.get_health_check(HealthCheckId=ref)["HealthCheck"]["HealthCheckConfig"]
    tags = route53.list_tags_for_resource(ResourceType="healthcheck", ResourceId=ref)["ResourceTagSet"][
        "Tags"
    ]
    return Seen({"HealthCheckConfig": config, "HealthCheckTags": tags}, {"HealthCheckId": ref})


def _record(cloud: Cloud, region: str, ref: str) -> Seen:
    route53 = cloud.client("route53", region)
    for zone in route53.list_hosted_zones()["HostedZones"]:
        for found in route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]:
            if found["Name"] == f"{ref.rstrip('.')}." and found.get("SetIdentifier", "").endswith(region):
                found["ResourceRecords"] = [each["Value"] for each in found.get("ResourceRecords", [])]
                return Seen(found | {"Name": ref.rstrip("."), "HostedZoneId": zone["Id"].rpartition("/")[2]})
    raise LookupError(f"no hosted zone has {ref} of {region}")


def _alarm(cloud: Cloud, region: str, ref: str) -> Seen:
    cloudwatch = cloud.client("cloudwatch", region)
    if record := cloud.stubbed().get((region, ref)):
        return Seen(record["properties"])
    (found,) = cloudwatch.describe_alarms(AlarmNames=[ref])["MetricAlarms"]
    tags = cloudwatch.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"]
    return Seen(found | {"Tags": tags}, {"Arn": found["AlarmArn"]})


def _dashboard(cloud: Cloud, region: str, ref: str) -> Seen:
    return Seen(cloud.client("cloudwatch", region).get_dashboard(DashboardName=ref))


def _web_acl(cloud: Cloud, region: str, ref: str) -> Seen:
    name, identifier, scope = ref.split("|")
    wafv2 = cloud.client("wafv2", region)
    found = wafv2.get_web_acl(Name=name, Id=identifier, Scope=scope)["WebACL"]
    tags = wafv2.list_tags_for_resource(ResourceARN=found["ARN"])["TagInfoForResource"]["TagList"]
    return Seen(found | {"Scope": scope, "Tags": tags}, {"Arn": found["ARN"], "Id": identifier})


def _ip_set(cloud: Cloud, region: str, ref: str) -> Seen:
    name, identifier, scope = ref.split("|")
    wafv2 = cloud.client("wafv2", region)
    found = wafv2.get_ip_set(Name=name, Id=identifier, Scope=scope)["IPSet"]
    tags = wafv2.list_tags_for_resource(ResourceARN=found["ARN"])["TagInfoForResource"]["TagList"]
    return Seen(found | {"Scope": scope, "Tags": tags}, {"Arn": found["ARN"], "Id": identifier})


def _association(cloud: Cloud, region: str, ref: str) -> Seen:
    resource, _, acl = ref.rpartition("|")
    found = cloud.client("wafv2", region).list_resources_for_web_acl(WebACLArn=acl)["ResourceArns"]
    assert found == [resource]
    return Seen({"ResourceArn": resource, "WebACLArn": acl})


def _cluster(cloud: Cloud, region: str, ref: str) -> Seen:
    dsql = cloud.client("dsql", region)
    found = dsql.get_cluster(identifier=ref)
    linked = found["multiRegionProperties"]
    properties = {
        "DeletionProtectionEnabled": found["deletionProtectionEnabled"],
        "MultiRegionProperties": {name[0].upper() + name[1:]: value for name, value in linked.items()},
        "Tags": found["tags"],
    }
    with contextlib.suppress(dsql.exceptions.ResourceNotFoundException):
        properties["PolicyDocument"] = dsql.get_cluster_policy(identifier=ref)["policy"]
    host = f"{ref}.dsql.{region}.on.aws"
    return Seen(properties, {"Identifier": ref, "ResourceArn": found["arn"], "Endpoint": host})


def _stub(cloud: Cloud, region: str, ref: str) -> Seen:
    return Seen(cloud.stubbed()[region, ref]["properties"], {"Id": ref})


READERS: Mapping[str, Reader] = {
    "AWS::ApiGateway::Deployment": _deployment,
    "AWS::ApiGateway::RestApi": _api,
    "AWS::ApiGateway::Stage": _stage,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": _dashboard,
    "AWS::DSQL::Cluster": _cluster,
    "AWS::FIS::ExperimentTemplate": _stub,
    "AWS::IAM::Role": _role,
    "AWS::Lambda::EventInvokeConfig": _invoke_config,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::LayerVersion": _layer,
    "AWS::Lambda::Permission": _permission,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::Route53::HealthCheck": _health_check,
    "AWS::Route53::RecordSet": _record,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::WAFv2::IPSet": _ip_set,
    "AWS::WAFv2::LoggingConfiguration": _stub,
    "AWS::WAFv2::WebACL": _web_acl,
    "AWS::WAFv2::WebACLAssociation": _association,
}
