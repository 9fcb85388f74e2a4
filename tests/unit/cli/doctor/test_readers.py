"""Facts from recorded answers of AWS, drill reports, and what the command prints."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError
from tests.places import ROOT
from tests.unit.cli.doctor.good import TOPIC, facts, record, seen
from tests.unit.cli.situations import FAR, HOSTS, NEAR

from beacon_cli.doctor.examine import examine, passes
from beacon_cli.doctor.facts import Absent, AlarmWiring, ApiPolicy, Drills, HealthCheckQuota, Record, Token
from beacon_cli.doctor.form import doctor_json, doctor_lines
from beacon_cli.doctor.readers.everywhere import (
    read_configs,
    read_drills,
    read_quota,
    read_ranges,
    read_records,
)
from beacon_cli.doctor.readers.regional import (
    policy_of,
    read_cluster,
    read_functions,
    read_policy,
    read_store,
    read_template,
    read_wiring,
    template_digest,
)
from beacon_cli.fleet import Fleet, Site
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Known, Unknown

FLEET = Fleet(
    "shop",
    "test",
    (Site(NEAR, "shop-test", HOSTS[NEAR]), Site(FAR, "shop-test", HOSTS[FAR])),
    "samconfig.toml",
    record_name="db.shop.test",
)


class Answers(Sessions):
    """Clients that answer what a test gives: `service.Operation` to a value or to an error."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__(FLEET)
        self.answers = answers

    def _client(self, service: str, region: str, *, once: bool = False) -> Any:  # noqa: ANN401 - of any kind
        assert region in {NEAR, FAR}
        assert not once, "what only reads may be sent again"
        return Client(service, self.answers)


class Client:
    """One service."""

    def __init__(self, service: str, answers: dict[str, Any]) -> None:
        self._service, self._answers = service, answers

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any operation
        def call(**_: object) -> Any:  # noqa: ANN401 - any answer
            answer = self._answers[f"{self._service}.{name}"]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def get_paginator(self, name: str) -> Any:  # noqa: ANN401 - has `paginate`
        answer = getattr(self, name)

        class Pages:
            def paginate(self, **given: object) -> list[Any]:
                return [answer(**given)]

        return Pages()


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Any")


def policy(token: str = "t" * 32) -> str:
    """A policy as template.yaml writes it, in the form in which API Gateway returns it: escaped again."""
    resource = f"arn:aws:execute-api:us-east-1:123456789012:api1/live/GET/{token}/health"
    statement = {
        "Sid": "Checkers",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "execute-api:Invoke",
        "Resource": [resource, resource.replace("GET", "HEAD")],
        "Condition": {"IpAddress": {"aws:SourceIp": ["15.177.0.0/18", "54.248.220.0/26"]}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}).replace('"', '\\"')


def test_a_policy_gives_its_ranges_and_the_digest_of_its_token() -> None:
    """Through the API that the stack's HealthUrl names."""
    url = "https://api1.execute-api.us-east-1.amazonaws.com/live/PATH_TOKEN/health"
    stack = {"Stacks": [{"Outputs": [{"OutputKey": "HealthUrl", "OutputValue": url}]}]}
    answers = {"cloudformation.describe_stacks": stack, "apigateway.get_rest_api": {"policy": policy()}}
    wanted = ApiPolicy(frozenset({"15.177.0.0/18", "54.248.220.0/26"}), Token.of("t" * 32))
    assert read_policy(Answers(answers), NEAR) == Known(wanted)


@pytest.mark.parametrize("text", ["{", '{"Statement": []}', '{"Statement": [{"Sid": "Checkers"}]}'])
def test_a_policy_of_another_form_is_unknown(text: str) -> None:
    """It is not taken for one without ranges."""
    assert isinstance(policy_of(text, NEAR), Unknown)


def test_two_regions_with_the_same_code_have_one_digest() -> None:
    """SAM uploads to a bucket of each Region, under the digest of the content."""
    one, two = "CodeUri: s3://bucket-one/abc", "CodeUri: s3://bucket-two/abc"
    assert template_digest(one) == template_digest(two)
    assert template_digest(one) != template_digest("CodeUri: s3://bucket-one/abd")
    answer = Answers({"cloudformation.get_template": {"TemplateBody": one}})
    assert read_template(answer, NEAR) == Known(template_digest(two))


def test_a_cluster_that_is_gone_is_one_sentence() -> None:
    """With the service and the Region."""
    found = read_cluster(Answers({"dsql.get_cluster": error("ResourceNotFoundException")}), NEAR)
    assert found == Unknown(f"Aurora DSQL of {NEAR} answers ResourceNotFoundException: no")


def test_functions_without_a_reservation_have_zero() -> None:
    """Lambda leaves the member out."""
    limits = {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}}
    found = read_functions(
        Answers({"lambda.get_account_settings": limits, "lambda.get_function_concurrency": {}}), NEAR
    )
    assert isinstance(found, Known)
    assert (found.value.limit, found.value.health_reserved, found.value.publisher_reserved) == (1000, 0, 0)


@pytest.mark.parametrize(
    ("answer", "missing"), [({"Attributes": {}}, frozenset()), (error("NotFound"), frozenset({TOPIC}))]
)
def test_a_topic_is_missing_where_sns_says_so(answer: Any, missing: frozenset[str]) -> None:  # noqa: ANN401
    """And in no other case."""
    alarm = {"AlarmName": "shop-test-a", "AlarmActions": [TOPIC], "ActionsEnabled": False}
    answers = {"cloudwatch.describe_alarms": {"MetricAlarms": [alarm]}, "sns.get_topic_attributes": answer}
    wanted = AlarmWiring({"shop-test-a": frozenset({TOPIC})}, frozenset({"shop-test-a"}), missing)
    assert read_wiring(Answers(answers), NEAR) == Known(wanted)


def test_a_topic_that_may_not_be_read_is_unknown() -> None:
    """It is not taken for a missing one."""
    alarm = {"AlarmName": "shop-test-a", "AlarmActions": [TOPIC]}
    answers = {
        "cloudwatch.describe_alarms": {"MetricAlarms": [alarm]},
        "sns.get_topic_attributes": error("AuthorizationError"),
    }
    assert isinstance(read_wiring(Answers(answers), NEAR), Unknown)


def test_the_clock_is_compared_with_the_date_of_an_answer() -> None:
    """Here it is an hour ahead."""
    date = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": date}}, "Parameters": [{"Value": "ä"}]}
    found = read_store(Answers({"ssm.get_parameters": answer}), NEAR)
    assert isinstance(found, Known)
    assert 3599 <= found.value.skew_s < 3660
    assert found.value.document_bytes == 2
    undated: dict[str, Any] = {"ResponseMetadata": {}, "Parameters": []}
    assert isinstance(read_store(Answers({"ssm.get_parameters": undated}), NEAR), Unknown)


def test_the_checks_of_the_deployment_are_read_without_their_token() -> None:
    """Checks of others are left out."""
    rows = [
        {
            "Id": "id-1",
            "HealthCheckConfig": {
                "SearchString": f"beacon:shop-test:{NEAR}:serving",
                "ResourcePath": f"/live/{'t' * 32}/health",
                "Type": "HTTPS_STR_MATCH",
                "EnableSNI": True,
                "Inverted": True,
                "RequestInterval": 10,
                "FailureThreshold": 3,
            },
        },
        {"Id": "id-2", "HealthCheckConfig": {"SearchString": "beacon:other:us-east-1:serving"}},
    ]
    found = read_configs(Answers({"route53.list_health_checks": {"HealthChecks": rows}}))
    assert isinstance(found, Known)
    (one,) = found.value
    assert (one.id, one.region, one.inverted, one.token) == ("id-1", NEAR, True, Token.of("t" * 32))
    assert "tttt" not in repr(one)


def test_records_ranges_and_quota_are_read() -> None:
    """A CNAME, an alias, no IPv6 range, and the account's limit."""
    cname = {
        "Name": "db.shop.test.",
        "Type": "CNAME",
        "SetIdentifier": f"shop-test-{NEAR}",
        "TTL": 10,
        "ResourceRecords": [{"Value": f"{HOSTS[NEAR]}."}],
        "HealthCheckId": f"id-{NEAR}",
        "Failover": "PRIMARY",
    }
    alias = {
        "Name": "db.shop.test.",
        "Type": "A",
        "SetIdentifier": "x",
        "AliasTarget": {"DNSName": "lb.test."},
    }
    other = {"Name": "e.shop.test.", "Type": "CNAME", "TTL": 10, "ResourceRecords": []}
    answers = Answers(
        {
            "route53.list_resource_record_sets": {"ResourceRecordSets": [cname, alias, other]},
            "route53.get_checker_ip_ranges": {"CheckerIpRanges": ["15.177.0.0/18", "2600:1::/36"]},
            "route53.get_account_limit": {"Count": 7, "Limit": {"Value": 200}},
        }
    )
    assert read_records(answers, "Z1") == Known((record(NEAR), Record("A", "x", "lb.test", is_alias=True)))
    assert read_ranges(answers) == Known(frozenset({"15.177.0.0/18"}))
    assert read_quota(answers) == Known(HealthCheckQuota(7, 200))
    assert isinstance(read_records(answers, ""), Unknown)


def test_the_newest_drill_of_the_deployment_counts(tmp_path: Path) -> None:
    """Other deployments' reports and files of another form do not."""
    rows = [
        ("shop-test", "2026-09-01T00:00:00Z", "passed"),
        ("shop-test", "2026-10-01T00:00:00Z", "failed"),
        ("other", "2026-11-01T00:00:00Z", "passed"),
    ]
    for number, (service, at, outcome) in enumerate(rows):
        report = {"service": service, "broken_at": at, "outcome": outcome}
        (tmp_path / f"{number}.json").write_text(json.dumps(report), encoding="utf-8")
    (tmp_path / "x.json").write_text("[]", encoding="utf-8")
    wanted = Drills(datetime(2026, 10, 1, tzinfo=UTC), passed=False, path=str(tmp_path / "1.json"))
    assert read_drills(tmp_path, "shop-test") == Known(wanted)
    assert isinstance(read_drills(tmp_path / "none", "shop-test"), Unknown)


def test_the_json_is_that_of_its_schema() -> None:
    """With every level in it."""
    given = facts(
        {
            "template": Absent("not in the lab: x"),
            "publisher_errors": Known(2),
            "cluster": Unknown("no answer"),
        },
        situation=seen(),
        records=Known((replace(record(NEAR), ttl_s=300), record(FAR))),
    )
    outcomes = examine(given)
    made = doctor_json(given, outcomes, passed=passes(outcomes), took_s=1.23456)
    schema = json.loads((ROOT / "docs/schemas/doctor.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(made)
    assert (made["passed"], made["took_s"]) == (False, 1.235)
    assert made["counts"] == {"ok": 32, "skipped": 1, "unknown": 2, "warning": 1, "fail": 1}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**made, "counts": {}})


def test_the_text_begins_with_the_worst_and_gives_its_command() -> None:
    """A line is at most 80 columns long, but for a command."""
    given = facts({"publisher_errors": Known(2)}, records=Known((record(NEAR, ttl_s=300), record(FAR))))
    lines = [text for text, _ in doctor_lines(given, examine(given))]
    assert lines[1] == "37 checks: 1 fail, 1 warn, 0 unknown, 0 skipped, 35 ok"
    assert lines[2].startswith(f"FAIL  ttl: the record of {NEAR} has a TTL of 300 s")
    assert f"      beacon deploy {NEAR} --go" in lines
    assert max(len(line) for line in lines if "aws " not in line) <= 80
