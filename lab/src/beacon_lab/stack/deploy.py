"""Creates, updates and deletes one Region's stack against the lab's AWS APIs, as CloudFormation would.

An update keeps previous values exactly as UsePreviousValue does: a parameter that is no longer given is not
set back.

Roles, log groups and the REST API's id come from moto's CloudFormation. Health check and record go through
Route 53's own API. moto's CloudFormation drops fields of a health check (EnableSNI, Regions), and a change
of a record deletes every Region's record of that name. The rest the lab runs itself; it is read from the
resolved template. Alarms, a web ACL and a fault experiment are resolved and then left alone, since moto
makes none of them from a template. The ACL lists the addresses of the resource policy, which the lab's
gateway enforces, and the lab has faults of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3

from beacon_lab.stack.document import Json, TemplateError, mapping, sequence, text
from beacon_lab.stack.identity import ResourceIdentity
from beacon_lab.stack.model import HealthCheckResource, RecordResource, Stack
from beacon_lab.stack.parameters import described, settled
from beacon_lab.stack.read import (
    of_type,
    only,
    read_api,
    read_functions,
    read_health_check,
    read_record,
    read_schedules,
)
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.roles import only_policies_differ, put_policies
from beacon_lab.stack.route53 import put_health_check, put_record, remove_health_check, remove_record
from beacon_lab.stack.translate import Translation, read_template, translate

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_route53 import Route53Client

__all__ = ["Code", "Deployer"]

_SIMULATED = frozenset({"AWS::ApiGateway::RestApi", "AWS::IAM::Role", "AWS::Logs::LogGroup"})
_RUN_OR_WRITTEN_HERE = frozenset(
    {
        "AWS::ApiGateway::Deployment",
        "AWS::ApiGateway::Stage",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::Function",
        "AWS::Lambda::LayerVersion",
        "AWS::Lambda::Permission",
        "AWS::Route53::HealthCheck",
        "AWS::Route53::RecordSet",
        "AWS::Scheduler::Schedule",
    }
)
_LEFT_ALONE = frozenset(
    {
        "AWS::CloudWatch::Alarm",
        "AWS::FIS::ExperimentTemplate",
        "AWS::WAFv2::IPSet",
        "AWS::WAFv2::LoggingConfiguration",
        "AWS::WAFv2::WebACL",
        "AWS::WAFv2::WebACLAssociation",
    }
)
# Their services make their ids, and in the lab any id will do.
_ANY_ID = frozenset({"AWS::ApiGateway::Deployment", "AWS::FIS::ExperimentTemplate"})


@dataclass(frozen=True, slots=True)
class Code:
    """Where a deployment takes code from: the working tree, or what ``sam build`` made of it."""

    #: For built code, the directory of each function and layer by its logical id in template.yaml.
    built: Mapping[str, Path] | None = None

    def directory(self, sources: Mapping[str, Path]) -> Callable[[str], Path]:
        """Give the directory for a logical id, by default the one that template.yaml names."""
        return (sources if self.built is None else self.built).__getitem__


class Deployer:
    """Deploys one template to any Region of the lab. Its calls block; it keeps no connection.

    ``endpoint_url`` is where the AWS APIs answer. The hosted zone that a record goes into has to exist.
    """

    def __init__(
        self, template: Path, code: Code, *, endpoint_url: str, access_key_id: str, secret_access_key: str
    ) -> None:
        self._template = template
        self._code = code
        self._endpoint_url = endpoint_url
        self._session = boto3.Session(
            aws_access_key_id=access_key_id, aws_secret_access_key=secret_access_key
        )

    def check(self, region: str, name: str, parameters: Mapping[str, str]) -> None:
        """Raise what ``create`` would, ParametersError or TemplateError, without contacting anything."""
        self._resolved(region, name, parameters)

    def create(self, region: str, name: str, parameters: Mapping[str, str]) -> Stack:
        """Create the stack ``name`` in ``region``.

        Raises ParametersError, with every wrong parameter, before anything is contacted.
        """
        values = self._settled(parameters, previous={})
        translation, resolver = self._resolved(region, name, values)
        with self._cloudformation(region) as client:
            client.create_stack(**_request(translation, name, values, {"Resources": _simulated(resolver)}))
        return self._settle(translation, resolver, name, values, before=None)

    def update(self, stack: Stack, given: Mapping[str, str]) -> Stack:
        """The same stack with the parameters ``given``; every other one keeps the value that the stack has.

        Raises ParametersError before anything is contacted, and TemplateError for a change of a log group, of
        the API's name or of more than a role's policies, which moto cannot make.
        """
        values = self._settled(given, previous=stack.parameters)
        translation, resolver = self._resolved(stack.region, stack.name, values)
        _, earlier = self._resolved(stack.region, stack.name, self._settled({}, previous=stack.parameters))
        was, wanted = _simulated(earlier), _simulated(resolver)
        changed = sorted(key for key in was.keys() | wanted.keys() if was.get(key) != wanted.get(key))
        refused = [key for key in changed if not only_policies_differ(was.get(key), wanted.get(key))]
        if refused:
            raise TemplateError(
                f"the lab cannot change {', '.join(refused)}: delete the stack and create it again"
            )
        return self._settle(translation, resolver, stack.name, values, before=stack)

    def delete(self, stack: Stack) -> None:
        """Delete what ``create`` and ``update`` made; the record goes first."""
        with self._route53() as route53:
            if stack.record is not None:
                remove_record(route53, stack.record)
            remove_health_check(route53, stack.health_check)
        with self._cloudformation(stack.region) as client:
            client.delete_stack(StackName=stack.name)

    # -- parts

    def _settled(self, given: Mapping[str, str], previous: Mapping[str, str]) -> dict[str, str]:
        return settled(read_template(self._template), given, previous)

    def _iam(self) -> closing[IAMClient]:
        return closing(self._session.client("iam", region_name="us-east-1", endpoint_url=self._endpoint_url))

    def _cloudformation(self, region: str) -> Any:  # noqa: ANN401 - its stubs are not installed
        return closing(
            self._session.client("cloudformation", region_name=region, endpoint_url=self._endpoint_url)
        )

    def _route53(self) -> closing[Route53Client]:
        # Route 53 is global; its requests are signed for us-east-1.
        return closing(
            self._session.client("route53", region_name="us-east-1", endpoint_url=self._endpoint_url)
        )

    def _resolved(
        self, region: str, name: str, parameters: Mapping[str, str]
    ) -> tuple[Translation, TemplateResolver]:
        translation = translate(self._template, region=region, parameters=parameters)
        resolver = TemplateResolver.create(translation.template, parameters, region=region, stack_name=name)
        for logical_id, kind in resolver.resource_types().items():
            if kind not in _SIMULATED | _RUN_OR_WRITTEN_HERE | _LEFT_ALONE:
                raise TemplateError(f"the lab does not know {kind} ({logical_id})")
            if kind in _ANY_ID:
                resolver.created[logical_id] = ResourceIdentity(logical_id.lower())
        return translation, resolver

    def _settle(
        self,
        translation: Translation,
        resolver: TemplateResolver,
        name: str,
        parameters: Mapping[str, str],
        before: Stack | None,
    ) -> Stack:
        """Everything after the simulated resources exist: ids, Route 53, outputs."""
        with self._cloudformation(resolver.region) as client:
            for logical_id in of_type(resolver, "AWS::ApiGateway::RestApi"):
                found = client.describe_stack_resource(StackName=name, LogicalResourceId=logical_id)
                resolver.created[logical_id] = ResourceIdentity(
                    found["StackResourceDetail"]["PhysicalResourceId"]
                )
            health_check, record = self._write_route53(resolver, before)
            outputs = resolver.outputs()
            for logical_id, kind in resolver.resource_types().items():
                if kind in _LEFT_ALONE:
                    resolver.properties(logical_id)  # no other step would find that it cannot be resolved
            shown: dict[str, Json] = {key: {"Value": value} for key, value in outputs.items()}
            body = {"Resources": _simulated(resolver), "Outputs": shown}
            client.update_stack(**_request(translation, name, parameters, body))
        with self._iam() as iam:
            put_policies(iam, resolver)
        functions = read_functions(resolver, self._code.directory(translation.sources))
        return Stack(
            region=resolver.region,
            name=name,
            functions=MappingProxyType(functions),
            api=read_api(resolver),
            schedules=read_schedules(resolver),
            health_check=health_check,
            record=record,
            outputs=MappingProxyType(outputs),
            parameters=MappingProxyType(dict(parameters)),
        )

    def _write_route53(
        self, resolver: TemplateResolver, before: Stack | None
    ) -> tuple[HealthCheckResource, RecordResource | None]:
        old_check = before.health_check if before else None
        old_record = before.record if before else None
        record = None
        logical_id, properties = only(resolver, "AWS::Route53::HealthCheck")
        with self._route53() as client:
            config = read_health_check(properties)
            health_check = put_health_check(client, config, old_check, _tags(properties))
            resolver.created[logical_id] = ResourceIdentity(
                health_check.id, {"HealthCheckId": health_check.id}
            )
            for record_id in of_type(resolver, "AWS::Route53::RecordSet"):
                record = read_record(resolver.properties(record_id))
                if old_record is not None and _place(old_record) != _place(record):
                    remove_record(client, old_record)
                put_record(client, record)
            if record is None and old_record is not None:
                remove_record(client, old_record)
            if old_check is not None and health_check.id != old_check.id:
                remove_health_check(client, old_check)
        return health_check, record


def _request(
    translation: Translation, name: str, values: Mapping[str, str], body: Mapping[str, Json]
) -> dict[str, Any]:
    """A request to create or update the stack, whose description then shows its parameters as in AWS."""
    shown = described(translation.template, values)
    declared: dict[str, Json] = {key: {"Type": "String"} for key in shown}
    # As AlwaysDeploy has it, no two deployments are the same; moto refuses an update that changes nothing.
    always: dict[str, Json] = {"Deployment": uuid4().hex}
    return {
        "StackName": name,
        "TemplateBody": json.dumps({"Metadata": always, "Parameters": declared, **body}),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in shown.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }


def _simulated(resolver: TemplateResolver) -> dict[str, Json]:
    """The part of the stack that moto's CloudFormation creates, with nothing left to evaluate."""
    resources: dict[str, Json] = {}
    for logical_id, kind in resolver.resource_types().items():
        if kind == "AWS::ApiGateway::RestApi":
            # Its body refers to the rest of the stack, and moto ignores it.
            name = resolver.property(logical_id, "Name")
            resources[logical_id] = {"Type": kind, "Properties": {"Name": name}}
        elif kind in _SIMULATED:
            properties = resolver.properties(logical_id)
            if "RetentionInDays" in properties:
                # A parameter is text; CloudFormation makes it the type that the property has, moto does not.
                properties["RetentionInDays"] = int(text(properties["RetentionInDays"], logical_id))
            resources[logical_id] = {"Type": kind, "Properties": properties}
    return resources


def _place(record: RecordResource) -> tuple[str | None, ...]:
    return (record.hosted_zone_id, record.name, record.type, record.set_identifier)


def _tags(properties: Mapping[str, Json]) -> dict[str, str]:
    pairs = (mapping(node, "tag") for node in sequence(properties.get("HealthCheckTags", []), "tags"))
    return {str(pair["Key"]): str(pair["Value"]) for pair in pairs}
