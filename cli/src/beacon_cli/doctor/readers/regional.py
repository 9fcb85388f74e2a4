"""What AWS knows of one Region: the deployed template, the API's policy, cluster, functions and alarms."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.doctor.facts import AlarmWiring, ApiPolicy, Cluster, LambdaFacts, Schedule, Store, Token
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Fact, Known, Unknown

__all__ = [
    "policy_of",
    "read_cluster",
    "read_functions",
    "read_policy",
    "read_publisher_errors",
    "read_schedule",
    "read_store",
    "read_template",
    "read_wiring",
    "reserved_for",
    "template_digest",
    "topic_exists",
]

# `sam deploy` uploads code to a bucket of each Region, under the digest of its content.
_BUCKET = re.compile(r"s3://[^/\s\"']+/")
_RESOURCE = re.compile(r"/live/(?:GET|HEAD)/([^/]+)/health$")
_ERROR_MINUTES = 15


def read_template(sessions: Sessions, region: str) -> Fact[str]:
    """A digest of the deployed template: equal in two Regions that run the same template and code."""
    name = sessions.fleet.site(region).stack_name
    try:
        answer = sessions.cloudformation(region).get_template(StackName=name, TemplateStage="Original")
    except FAILURES as error:
        return Unknown(sentence_of(error, f"CloudFormation of {region}"))
    return Known(template_digest(answer["TemplateBody"]))


def template_digest(body: object) -> str:
    """The digest of a template, without the buckets of its code."""
    text = body if isinstance(body, str) else json.dumps(body, sort_keys=True)
    return hashlib.sha256(_BUCKET.sub("s3:///", text).encode()).hexdigest()


def read_policy(sessions: Sessions, region: str) -> Fact[ApiPolicy]:
    """What the deployed resource policy of the Region's API admits."""
    name = sessions.fleet.site(region).stack_name
    try:
        stack = sessions.cloudformation(region).describe_stacks(StackName=name)["Stacks"][0]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
        api = (urlsplit(outputs.get("HealthUrl", "")).hostname or "").partition(".")[0]
        if not api:
            return Unknown(f"the stack of {region} has no HealthUrl, so its API is not known")
        answer = sessions.other("apigateway", region).get_rest_api(restApiId=api)
    except FAILURES as error:
        return Unknown(sentence_of(error, f"API Gateway of {region}"))
    return policy_of(str(answer.get("policy") or ""), region)


def policy_of(text: str, region: str) -> Fact[ApiPolicy]:
    """The ranges and the token of a policy; API Gateway returns it with its quotation marks escaped."""
    if not text:
        return Known(ApiPolicy(frozenset(), None))
    try:
        statements = json.loads(text.replace('\\"', '"').replace("\\/", "/"))["Statement"]
        checkers = next(one for one in statements if one.get("Sid", "Checkers") == "Checkers")
        ranges = checkers["Condition"]["IpAddress"]["aws:SourceIp"]
        resources = checkers["Resource"]
    except (ValueError, KeyError, TypeError, StopIteration, AttributeError):
        return Unknown(f"the policy of the API of {region} is not as template.yaml writes it")
    found = [_RESOURCE.search(one) for one in ([resources] if isinstance(resources, str) else resources)]
    tokens = {match[1] for match in found if match}
    return Known(
        ApiPolicy(
            frozenset([ranges] if isinstance(ranges, str) else ranges),
            Token.of(tokens.pop()) if len(tokens) == 1 else None,
        )
    )


def read_cluster(sessions: Sessions, region: str) -> Fact[Cluster]:
    """The Region's cluster, by the identifier at the front of its endpoint's name."""
    identifier = sessions.fleet.site(region).host.partition(".")[0]
    if not identifier:
        return Unknown(f"the file names no DSQL endpoint of {region}")
    try:
        found: dict[str, Any] = sessions.dsql(region).get_cluster(identifier=identifier)
    except FAILURES as error:
        return Unknown(sentence_of(error, f"Aurora DSQL of {region}"))
    linked = found.get("multiRegionProperties") or {}
    return Known(
        Cluster(
            arn=found["arn"],
            status=found["status"],
            linked=frozenset(linked.get("clusters") or ()),
            witness=linked.get("witnessRegion") or "",
            endpoint=found.get("endpoint") or "",
            protected=bool(found.get("deletionProtectionEnabled", True)),
        )
    )


def read_functions(sessions: Sessions, region: str) -> Fact[LambdaFacts]:
    """The concurrency limit, and what the two functions have reserved."""
    service = sessions.fleet.service
    try:
        limits = sessions.functions(region).get_account_settings()["AccountLimit"]
        reserved = [reserved_for(sessions, region, f"{service}-{name}") for name in ("health", "publisher")]
    except FAILURES as error:
        return Unknown(sentence_of(error, f"Lambda of {region}"))
    return Known(
        LambdaFacts(
            limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"], reserved[0], reserved[1]
        )
    )


def reserved_for(sessions: Sessions, region: str, function: str) -> int:
    """The concurrency that is reserved for a function, 0 for none; raises botocore's errors."""
    answer = sessions.functions(region).get_function_concurrency(FunctionName=function)
    return answer.get("ReservedConcurrentExecutions", 0)


def read_schedule(sessions: Sessions, region: str) -> Fact[Schedule]:
    """The publisher's schedule."""
    name = f"{sessions.fleet.service}-publisher"
    try:
        found = sessions.other("scheduler", region).get_schedule(Name=name)
    except FAILURES as error:
        return Unknown(sentence_of(error, f"EventBridge Scheduler of {region}"))
    return Known(Schedule(found["State"] == "ENABLED", found["ScheduleExpression"]))


def read_publisher_errors(sessions: Sessions, region: str) -> Fact[int]:
    """How many runs of the publisher ended with an error lately."""
    now = datetime.now(UTC)
    try:
        answer = sessions.cloudwatch(region).get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Errors",
            Dimensions=[{"Name": "FunctionName", "Value": f"{sessions.fleet.service}-publisher"}],
            StartTime=now - timedelta(minutes=_ERROR_MINUTES),
            EndTime=now,
            Period=60 * _ERROR_MINUTES,
            Statistics=["Sum"],
        )
    except FAILURES as error:
        return Unknown(sentence_of(error, f"CloudWatch of {region}"))
    return Known(round(sum(point.get("Sum", 0.0) for point in answer["Datapoints"])))


def read_wiring(sessions: Sessions, region: str) -> Fact[AlarmWiring]:
    """The Region's alarms, what they notify, and whether that exists."""
    try:
        pages = (
            sessions.cloudwatch(region)
            .get_paginator("describe_alarms")
            .paginate(AlarmNamePrefix=f"{sessions.fleet.service}-")
        )
        rows = [row for page in pages for row in page.get("MetricAlarms", [])]
        actions = {row["AlarmName"]: frozenset(row.get("AlarmActions", ())) for row in rows}
        topics = {arn for found in actions.values() for arn in found if ":sns:" in arn}
        missing = frozenset(arn for arn in topics if not topic_exists(sessions, region, arn))
    except FAILURES as error:
        return Unknown(sentence_of(error, f"CloudWatch of {region}"))
    mute = frozenset(row["AlarmName"] for row in rows if not row.get("ActionsEnabled", True))
    return Known(AlarmWiring(actions, mute, missing))


def topic_exists(sessions: Sessions, region: str, arn: str) -> bool:
    """Whether SNS has the topic; raises botocore's errors for every other answer."""
    try:
        sessions.other("sns", region).get_topic_attributes(TopicArn=arn)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"NotFound", "NotFoundException"}:
            return False
        raise
    return True


def read_store(sessions: Sessions, region: str) -> Fact[Store]:
    """The clock of the Region's SSM by its answer's Date, and the size of the document there."""
    try:
        answer = sessions.ssm(region).get_parameters(Names=[sessions.fleet.document_parameter])
    except FAILURES as error:
        return Unknown(sentence_of(error, f"SSM of {region}"))
    here = datetime.now(UTC)
    headers = answer["ResponseMetadata"].get("HTTPHeaders", {})
    try:
        there = parsedate_to_datetime(headers["date"])
    except (KeyError, TypeError, ValueError):
        return Unknown(f"SSM of {region} answers without a date")
    values = [row["Value"] for row in answer["Parameters"]]
    return Known(Store((here - there).total_seconds(), len(values[0].encode()) if values else 0))
