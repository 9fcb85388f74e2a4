"""`beacon doctor` against a lab: nothing on a good day, seeded faults, and sources that fail alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    until,
)
from tests.lab.command.conftest import LabProcess
from tests.places import ROOT

from beacon_cli.database import ADMIN, database
from beacon_cli.doctor.examine import examine
from beacon_cli.doctor.gather import gather_facts
from beacon_cli.doctor.result import Level
from beacon_cli.lab_ready import fleet_of_lab
from beacon_cli.sessions import Sessions

pytestmark = pytest.mark.lab
#: What no lab can show; the canary is off in it.
SKIPPED = {
    "file-and-stack",
    "token-of-file",
    "stack-version",
    "checker-ranges",
    "health-check-quota",
    "concurrency",
    "schedule",
    "publisher-runs",
    "canary",
    "alarms-there",
    "alarms-wired",
    "alarms-quiet",
    "alarms-global",
}


def doctor(ready: str, place: Path, *words: str, within: str = "30") -> Ran:
    return beacon("doctor", "--lab", ready, "--reports", str(place), "--within", within, *words)


def levels(made: Any, *wanted: str) -> dict[str, str]:  # noqa: ANN401 - JSON
    return {one["name"]: one["level"] for one in made["checks"] if one["level"] in wanted}


def seen(lab: LabProcess) -> dict[str, Level]:
    """The checks that fail or warn, looked at in this process, which is quicker than a command."""
    sessions = Sessions(fleet_of_lab(str(lab.ready_file)))
    outcomes = examine(gather_facts(sessions, 30, lab.home / "drills").facts)
    return {one.name: one.level for one in outcomes if one.level in {Level.FAIL, Level.WARNING}}


def test_a_good_deployment_has_no_finding(lab: LabProcess, tmp_path: Path) -> None:
    """Also with --strict; what cannot be seen here is skipped or unknown, and no secret is printed."""
    ran = doctor(str(lab.ready_file), tmp_path, "--json", "--strict")
    made = ran.json
    assert levels(made, "fail", "warning") == {}
    assert (ran.code, made["passed"]) == (0, True)
    assert levels(made, "unknown") == {"drill": "unknown"}
    assert set(levels(made, "skipped")) == SKIPPED
    schema = json.loads((ROOT / "docs/schemas/doctor.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(made)
    token = lab.ready["regions"][FIRST]["health_url"].split("/live/")[1].split("/")[0]
    for secret in (token, lab.ready["credentials"]["secret_access_key"]):
        assert secret not in ran.out + ran.err


@contextmanager
def check_flag(lab: LabProcess, on: str, off: str) -> Iterator[None]:
    rows = json.loads(lab.aws("route53", "list-health-checks").stdout)["HealthChecks"]
    search = f"beacon:orders-lab:{FIRST}:serving"
    check = next(row["Id"] for row in rows if row["HealthCheckConfig"].get("SearchString") == search)
    update = ("route53", "update-health-check", "--health-check-id", check)
    assert lab.aws(*update, on).returncode == 0
    try:
        yield
    finally:
        assert lab.aws(*update, off).returncode == 0


@contextmanager
def long_ttl(lab: LabProcess) -> Iterator[None]:
    zones = json.loads(lab.aws("route53", "list-hosted-zones").stdout)["HostedZones"]
    zone = zones[0]["Id"].rpartition("/")[2]
    listed = lab.aws("route53", "list-resource-record-sets", "--hosted-zone-id", zone).stdout
    rows = json.loads(listed)["ResourceRecordSets"]
    record = next(row for row in rows if row.get("SetIdentifier") == f"orders-lab-{FIRST}")

    def put(row: dict[str, Any]) -> None:
        batch = json.dumps({"Changes": [{"Action": "UPSERT", "ResourceRecordSet": row}]})
        change = ("route53", "change-resource-record-sets", "--hosted-zone-id", zone)
        ran = lab.aws(*change, "--change-batch", batch)
        assert ran.returncode == 0, ran.stderr

    put({**record, "TTL": 300})
    try:
        yield
    finally:
        put(record)


@contextmanager
def unmapped(lab: LabProcess) -> Iterator[None]:
    sessions = Sessions(fleet_of_lab(str(lab.ready_file)), patient=True)
    with database(sessions, ADMIN, only=SECOND) as connection:
        rows = connection.execute("SELECT pg_role_name, arn FROM sys.iam_pg_role_mappings").fetchall()
        role, arn = next(row for row in rows if row[1].endswith(f"-publisher-{SECOND}"))
        connection.execute(f"AWS IAM REVOKE {role} FROM '{arn}'".encode())
        try:
            yield
        finally:
            connection.execute(f"AWS IAM GRANT {role} TO '{arn}'".encode())


@contextmanager
def drained(lab: LabProcess) -> Iterator[None]:
    named = ("service=orders-lab", "target=dsql", f"region={SECOND}", "reason=writes fail", "actor=alice")
    flags = [word for one in named for word in ("-v", one)]
    assert lab.psql(FIRST, *flags, "-v", "minutes=30", "-f", str(ROOT / "sql/drain.sql")).returncode == 0
    try:
        yield
    finally:
        assert lab.psql(FIRST, *flags, "-f", str(ROOT / "sql/release.sql")).returncode == 0


SEEDED: list[tuple[str, Callable[[LabProcess], Any], str, Level]] = [
    ("inverted", lambda lab: check_flag(lab, "--inverted", "--no-inverted"), "checks-on", Level.FAIL),
    ("disabled", lambda lab: check_flag(lab, "--disabled", "--no-disabled"), "checks-on", Level.FAIL),
    ("a TTL of 300 s", long_ttl, "ttl", Level.FAIL),
    ("no mapping", unmapped, "mappings", Level.FAIL),
    ("a drain", drained, "drains", Level.WARNING),
]


@pytest.mark.parametrize(("seed", "break_it", "name", "level"), SEEDED, ids=[row[0] for row in SEEDED])
def test_a_fault_that_is_really_seeded_is_found(
    seed: str, break_it: Callable[[LabProcess], Any], name: str, level: Level, lab: LabProcess
) -> None:
    """By its check, and by no other; it is repaired afterwards."""
    with break_it(lab):
        assert seen(lab) == {name: level}, seed


def test_an_endpoint_that_was_changed_by_hand_is_found(lab: LabProcess) -> None:
    """Until the publisher writes it again."""
    name = lab.ready["ssm"]["endpoint"]

    def changed() -> bool | None:
        put = ("ssm", "put-parameter", "--overwrite", "--name", name, "--value", "db.old.example")
        assert lab.aws(*put).returncode == 0
        return True if seen(lab) == {"document-endpoints": Level.FAIL} else None

    before = lab.parameter("endpoint")
    assert until("the check finds the host that no document names", changed)
    until("the publisher has repaired it", lambda: True if lab.parameter("endpoint") == before else None)


@pytest.mark.parametrize(
    ("service", "answer", "says", "unread"),
    [
        (
            "ssm",
            (400, DENIED),
            f"SSM of {FIRST} may not be read: your role lacks ssm:GetParameters",
            {"document-size", "document-age", "document-endpoints", "clock"},
        ),
        (
            "route53",
            (400, THROTTLING),
            "Route 53 rejects requests as too many (throttled)",
            {"token-of-paths", "checks-on", "check-of-stack", "checkers"}
            | {"records-paired", "records-target", "ttl"},
        ),
    ],
)
def test_a_service_that_fails_leaves_its_checks_unknown(  # noqa: PLR0917 - parameters and fixtures
    service: str, answer: tuple[int, str], says: str, unread: set[str], lab: LabProcess, tmp_path: Path
) -> None:
    """The reason is there, and every other check is as on a good day."""
    ready = dict(lab.ready)
    with relayed(ready) as relay:
        relay.answers[service] = answer
        path = ready_copy(lab, tmp_path, aws_endpoint_url=ready["aws_endpoint_url"])
        ran = doctor(path, tmp_path / "drills", "--json")
    assert ran.code == 0, ran.err
    assert set(levels(ran.json, "unknown")) == unread | {"drill"}
    assert levels(ran.json, "fail", "warning") == {}
    assert says in ran.out


def test_silent_dns_leaves_one_check_unknown(lab: LabProcess, tmp_path: Path) -> None:
    """The rest is known."""
    with silent_dns() as port:
        path = ready_copy(lab, tmp_path, dns={**lab.ready["dns"], "port": port})
        ran = doctor(path, tmp_path / "drills", "--json", within="8")
    assert ran.code == 0, ran.err
    assert set(levels(ran.json, "unknown")) == {"dns", "drill"}


def test_a_region_that_is_down_is_examined_around(lab: LabProcess, tmp_path: Path) -> None:
    """Its logins and checkers fail, its sources are unknown, and the other Region is known."""
    lab.fault(FIRST, "region-down")

    def found() -> Ran | None:
        ran = doctor(str(lab.ready_file), tmp_path, "--json", within="10")
        assert ran.out, ran.err
        return ran if "checkers" in levels(ran.json, "fail") else None

    ran = until("the checkers find the Region unhealthy", found)
    assert ran.code == 1
    assert set(levels(ran.json, "fail")) == {"checkers", "logins"}
    assert "document-age" in levels(ran.json, "unknown")
    regions = {p["region"] for c in ran.json["checks"] for p in c["problems"] if p["level"] == "fail"}
    assert regions == {FIRST}
    assert ran.json["took_s"] < 12


def test_a_lab_that_has_ended_is_one_sentence(lab: LabProcess, tmp_path: Path) -> None:
    """Its ready file was copied, or it was killed."""
    path = ready_copy(lab, tmp_path, control_url="http://127.0.0.1:9")
    ran = doctor(path, tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert "has ended, or does not answer" in ran.err
