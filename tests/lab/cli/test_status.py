"""`beacon status` and `beacon explain` against a lab: a good day, faults, and sources that fail alone."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.lab.cli.conftest import (
    DENIED,
    FIRST,
    SECOND,
    THROTTLING,
    Ran,
    beacon,
    ready_copy,
    relayed,
    silent_dns,
    started,
    until,
)
from tests.lab.command.conftest import LabProcess
from tests.places import ROOT

from beacon_cli.aws_failures import FAILURES
from beacon_cli.doctor.gather import REGIONAL
from beacon_cli.doctor.readers.everywhere import read_configs, read_quota, read_ranges, read_records
from beacon_cli.doctor.readers.regional import reserved_for, topic_exists
from beacon_cli.looking import look_for
from beacon_cli.options import DEFAULT_WITHIN_S, Options
from beacon_cli.readers.cloudwatch import read_canary

pytestmark = pytest.mark.lab
#: Time for every source on a machine that is busy with other tests, and what the machine adds to a limit.
PATIENT = ("--within", "20")
SLACK_S = 1.5


def status(lab: LabProcess, *words: str) -> Ran:
    return beacon("status", "--lab", str(lab.ready_file), *PATIENT, *words)


def situation(lab: LabProcess) -> Any:  # noqa: ANN401 - JSON
    ran = status(lab, "--json")
    assert ran.code == 0, ran.err
    return ran.json


def shows(ran: Ran, *parts: str) -> bool:
    text = " ".join(ran.out.split())
    return all(part in text for part in parts)


def rows_taken(text: str) -> int:
    return sum(max(1, -(-len(line) // 80)) for line in text.splitlines())


def texts(made: Any) -> str:  # noqa: ANN401 - JSON
    return "\n".join([made["headline"]["text"], *(one["text"] for one in made["findings"])])


def test_a_good_day_has_every_fact(lab: LabProcess) -> None:
    """Read from the lab's Route 53, SSM, CloudFormation, CloudWatch, DNS and database."""
    made = situation(lab)
    schema = json.loads((ROOT / "docs/schemas/status.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(made)
    assert made["headline"]["text"] == f"Every Region is healthy. DNS sends clients to {FIRST}."
    for row in made["regions"]:
        assert row["check"]["value"]["passed"] == 16
        assert row["document"]["value"]["stale"] is False
        assert row["stack"]["value"]["name"] == "orders-lab"
        assert row["alarms"]["known"] is True
    assert made["forced"]["value"]["through"] in {FIRST, SECOND}
    assert made["record"]["authoritative"]["value"]["region"] == FIRST
    assert not [one for one in made["findings"] if one["level"] != "detail"]


def test_no_secret_is_printed(lab: LabProcess) -> None:
    """Neither the lab's key, nor the path token that the health checks hold."""
    token = lab.ready["regions"][FIRST]["health_url"].split("/live/")[1].split("/")[0]
    for ran in (status(lab), status(lab, "--json"), beacon("explain", "--lab", str(lab.ready_file))):
        assert ran.code == 0, ran.err
        for secret in (token, lab.ready["credentials"]["secret_access_key"]):
            assert secret not in ran.out + ran.err


def test_a_frozen_region_is_on_one_screen_with_its_cause(lab: LabProcess) -> None:
    """Where clients are, why, and what to do; in time although its endpoint is silent."""
    lab.fault(FIRST, "dsql-freeze")
    found = until(
        "the screen shows the Region out of DNS and of SSM",
        lambda: ran if shows(ran := status(lab), f"DNS sends clients to {SECOND}", "down") else None,
    )
    assert rows_taken(found.out) <= 24
    assert "0/16 out" in found.out
    assert "timeout" in found.out
    assert "aws logs tail /aws/lambda/orders-lab-health" in found.out
    assert "Not known" not in found.out
    told = beacon("explain", FIRST, "--lab", str(lab.ready_file), *PATIENT)
    assert "After the repair" in told.out


def test_a_drain_shows_its_actor_and_how_to_end_it(lab: LabProcess) -> None:
    """From the database, through the Region that is not drained or through that one."""
    variables = ("service=orders-lab", "target=dsql", f"region={FIRST}", "reason=writes fail", "actor=alice")
    flags = [word for one in (*variables, "minutes=30") for word in ("-v", one)]
    assert lab.psql(SECOND, *flags, "-f", str(ROOT / "sql/drain.sql")).returncode == 0
    try:
        made = until(
            "the documents show the drain",
            lambda: made if "does not show" not in texts(made := situation(lab)) else None,
        )
        assert f"alice has drained {FIRST}" in texts(made)
        commands = [one["command"] or "" for one in made["findings"]]
        assert f"beacon release {FIRST} --reason repaired --lab {lab.ready_file}" in commands
        told = beacon("explain", FIRST, "--lab", str(lab.ready_file), *PATIENT)
        assert f"alice drained {FIRST} for 30 min: writes fail" in told.out
    finally:
        released = lab.psql(SECOND, *flags[:-2], "-f", str(ROOT / "sql/release.sql"))
        assert released.returncode == 0, released.stderr


@pytest.mark.parametrize(
    ("service", "answer", "says"),
    [
        ("route53", (400, THROTTLING), "Route 53 rejects requests as too many (throttled)"),
        ("route53", None, "Route 53 does not answer"),
        ("ssm", (400, DENIED), f"SSM of {FIRST} may not be read: your role lacks ssm:GetParameters"),
        ("ssm", None, f"SSM of {FIRST} does not answer"),
        ("cloudformation", None, f"CloudFormation of {FIRST} does not answer"),
        ("monitoring", None, f"CloudWatch of {FIRST} does not answer"),
    ],
)
def test_a_service_that_fails_costs_its_own_facts_alone(
    service: str, answer: tuple[int, str] | None, says: str, lab: LabProcess, tmp_path: Path
) -> None:
    """One sentence says so; everything else is on the screen."""
    ready = dict(lab.ready)
    with relayed(ready) as relay:
        relay.answers[service] = answer
        path = ready_copy(lab, tmp_path, aws_endpoint_url=ready["aws_endpoint_url"])
        ran = beacon("status", "--lab", path, "--json", *PATIENT)
        assert ran.code == 0, ran.err
        made = ran.json
    assert service in relay.asked
    assert f"Not known: {says}" in texts(made)
    facts = {
        "route53": [row["check"] for row in made["regions"]],
        "ssm": [row["document"] for row in made["regions"]],
        "cloudformation": [row["stack"] for row in made["regions"]],
        "monitoring": [row["alarms"] for row in made["regions"]],
        "dns": [made["record"]["authoritative"]],
        "database": [made["forced"]],
    }
    unread = {name for name, found in facts.items() if not all(fact["known"] for fact in found)}
    assert unread == {service}


def test_silent_services_hold_up_no_screen(lab: LabProcess, tmp_path: Path) -> None:
    """All that AWS has are silent, and the limit is the usual one."""
    ready = dict(lab.ready)
    with relayed(ready) as relay:
        relay.answers.update(dict.fromkeys(("route53", "ssm", "cloudformation", "monitoring")))
        path = ready_copy(lab, tmp_path, aws_endpoint_url=ready["aws_endpoint_url"])
        ran = beacon("status", "--lab", path, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["took_s"] < DEFAULT_WITHIN_S + SLACK_S
    assert f"Not known: SSM of {FIRST} did not answer within 2.2 s." in texts(ran.json)


def test_silent_dns_costs_the_record_alone(lab: LabProcess, tmp_path: Path) -> None:
    """By the checks, the rest is known."""
    with silent_dns() as port:
        dns = {**lab.ready["dns"], "port": port}
        ran = beacon("status", "--lab", ready_copy(lab, tmp_path, dns=dns), "--within", "8")
    assert ran.code == 0, ran.err
    assert "Where DNS sends clients is not known." in ran.out
    assert "Not known: the zone's name server does not answer for db.orders.example." in " ".join(
        ran.out.split()
    )
    assert "16/16 in" in ran.out


def test_a_region_that_is_down_leaves_the_other_on_the_screen(lab: LabProcess) -> None:
    """Its SSM, its functions and its database do not answer."""
    lab.fault(FIRST, "region-down")
    headline = f"{FIRST} is out of DNS, and {SECOND} serves. DNS sends clients to {SECOND}."
    ran = until(
        "the screen shows the Region out, and DNS and SSM at the other",
        lambda: ran if headline in " ".join((ran := status(lab)).out.split()) else None,
    )
    shown = " ".join(ran.out.split())
    assert "0/16 out" in shown
    assert f"SSM of {FIRST}" in shown
    assert rows_taken(ran.out) <= 24


def test_an_unknown_region_gets_the_known_ones(lab: LabProcess) -> None:
    """And the nearest."""
    ran = beacon("explain", "us-est-1", "--lab", str(lab.ready_file))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"beacon: there is no Region 'us-est-1' in orders-lab: it has {FIRST}, {SECOND}."
        f" Did you mean {FIRST}?\n"
    )


def test_a_database_that_refuses_every_login_is_one_sentence(lab: LabProcess) -> None:
    """A role that is not there."""
    ran = beacon("status", "--lab", str(lab.ready_file), *PATIENT, "--db-user", "nobody_here")
    assert ran.code == 0
    assert "no Region lets nobody_here log in to the database" in " ".join(ran.out.split())


def test_a_lab_that_has_ended_is_one_sentence(lab: LabProcess, tmp_path: Path) -> None:
    """Its ready file was copied, or it was killed."""
    path = ready_copy(lab, tmp_path, control_url="http://127.0.0.1:9")
    ran = beacon("status", "--lab", path)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        f"beacon: the lab of {path} has ended, or does not answer (Connection refused)",
        f"  try: beacon-lab up --ready-file {path}",
    ]


def test_watching_looks_again_until_it_is_interrupted(lab: LabProcess) -> None:
    """Ctrl-C ends it as it should."""
    with started("status", "--watch", "--json", *PATIENT, "--lab", str(lab.ready_file)) as watching:
        assert watching.stdout is not None
        first, second = json.loads(watching.stdout.readline()), json.loads(watching.stdout.readline())
        watching.send_signal(2)
        _, errors = watching.communicate(timeout=20)
    assert first["at"] < second["at"]
    assert second["regions"][0]["stack"]["known"] is True
    assert "Traceback" not in errors


def test_the_reader_s_policy_holds_every_call_and_no_other(lab: LabProcess) -> None:
    """Recorded while the commands' one look is taken, with the canary on, and by each reader of the doctor.

    Readers of what no lab has call it as well: the call is recorded before it is answered.
    """
    look = look_for(Options(lab=str(lab.ready_file)), 20)
    called: set[str] = set()

    def record(model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
        service = {"monitoring": "cloudwatch"}.get(model.service_model.signing_name, "")
        name = f"{service or model.service_model.signing_name}:{model.name}"
        # API Gateway's actions are the methods of HTTP.
        called.add({"apigateway:GetRestApi": "apigateway:GET"}.get(name, name))

    look.sessions.on_call(record)
    assert not look().unknown()
    read_canary(look.sessions, FIRST)
    for read in REGIONAL.values():
        read(look.sessions, FIRST)
    with suppress(*FAILURES):
        reserved_for(look.sessions, FIRST, "orders-lab-health")
    with suppress(*FAILURES):
        topic_exists(look.sessions, FIRST, "arn:aws:sns:us-east-1:123456789012:none")
    for read_whole in (read_configs, read_ranges, read_quota):
        read_whole(look.sessions)
    read_records(look.sessions, "Z1")
    policy = json.loads((ROOT / "docs/policies/reader.json").read_text(encoding="utf-8"))
    actions: set[str] = set()
    for statement in policy["Statement"]:
        named = statement["Action"]
        actions |= {named} if isinstance(named, str) else set(named)
    assert actions == called | {"dsql:DbConnect"}
