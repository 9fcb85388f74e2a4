"""Each fault of `beacon-lab fault`, the operator's drain and a spoilt SSM value, followed from outside."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.places import ROOT

if TYPE_CHECKING:
    from tests.lab.command.conftest import Answer, LabProcess

pytestmark = pytest.mark.lab

FIRST, SECOND = "us-east-1", "us-east-2"
SQL = ROOT / "sql"
#: A checker of Route 53 waits so long for the answer after it has connected. tests/lab/health holds the
#: handler to its deadline of 1 s; here a gateway, an emulator and the load of other labs stand between.
CHECKER_WAITS_S = 2.0


def search_string(region: str) -> bytes:
    """What Route 53 looks for in a Region's answers."""
    return f"beacon:orders-lab:{region}:serving".encode()


def healed(lab: LabProcess, region: str) -> Answer | None:
    """The Region's answer if it serves."""
    answer = lab.health(region)
    return answer if answer.status == 200 and search_string(region) in answer.body[:200] else None


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("dsql-refuse", "refused"),
        ("dsql-freeze", "timeout"),
        ("dsql-silent", "timeout"),
        ("dsql-slow", "timeout"),
        ("dsql-reset", "reset"),
        ("dsql-deny", "login_rejected"),
    ],
)
def test_a_broken_endpoint_is_a_503_within_the_deadline(lab: LabProcess, kind: str, reason: str) -> None:
    """The answer names the reason by its code, comes in time, and serving ends; healing brings it back."""
    lab.fault(FIRST, kind)
    for _ in range(2):  # a connection that was open before the fault, and one that was not
        answer = lab.health_not_throttled(FIRST)
        assert (answer.status, answer.output) == (503, reason)
        assert search_string(FIRST) not in answer.body
        assert answer.took_s < CHECKER_WAITS_S
    assert lab.health_not_throttled(SECOND).status == 200
    lab.heal(FIRST)
    lab.until("the healed Region serves", partial(healed, lab, FIRST))


def test_a_half_open_connection_is_no_verdict(lab: LabProcess) -> None:
    """What swallows bytes silently is replaced by a fresh connection inside the same deadline: 200."""
    lab.fault(FIRST, "dsql-halfopen")
    for _ in range(4):  # several sandboxes, each with a connection that died
        answer = lab.health_not_throttled(FIRST)
        assert (answer.status, answer.output) == (200, "ok")
        assert answer.took_s < CHECKER_WAITS_S


def test_a_gateway_that_is_down_refuses_connections(lab: LabProcess) -> None:
    """No gateway answers; the other Region's does."""
    lab.fault(FIRST, "gateway-down")
    assert lab.health(FIRST).status == 0
    assert lab.health_not_throttled(SECOND).status == 200
    lab.heal(FIRST)
    lab.until("the healed Region serves", partial(healed, lab, FIRST))


def test_a_function_error_is_a_502(lab: LabProcess) -> None:
    """The gateway's own words, and no search string."""
    lab.fault(FIRST, "lambda-error")
    answer = lab.health_not_throttled(FIRST)
    assert (answer.status, json.loads(answer.body)) == (502, {"message": "Internal server error"})
    lab.heal(FIRST)
    lab.until("the healed Region serves", partial(healed, lab, FIRST))


def test_without_ssm_health_and_dns_continue(lab: LabProcess) -> None:
    """`aws ssm get-parameter` fails in that Region and works in the other; `/health` and DNS do not care."""
    lab.await_settled()
    lab.fault(FIRST, "ssm-down")
    asked = ("ssm", "get-parameter", "--name", lab.ready["ssm"]["endpoint"])
    down = lab.aws(*asked)
    assert down.returncode in {254, 255}
    assert "(InternalServerError)" in down.stderr
    assert lab.aws(*asked, region=SECOND).returncode == 0
    assert lab.health_not_throttled(FIRST).status == 200
    assert lab.look_up() == lab.host(FIRST)
    lab.heal(FIRST)
    assert lab.until("SSM answers", lambda: lab.parameter("endpoint")) == lab.host(FIRST)


def test_a_region_that_is_down_leaves_dns_and_comes_back(lab: LabProcess) -> None:
    """Its gateway refuses, its SSM fails, its check turns unhealthy; DNS and the other Region's SSM value
    name the other endpoint, until it is healed."""
    lab.await_settled()
    lab.fault(FIRST, "region-down")
    assert lab.health(FIRST).status == 0
    assert lab.parameter("endpoint", FIRST) == ""
    lab.until("DNS names the second", lambda: lab.look_up() == lab.host(SECOND))
    lab.until("the second's SSM value", lambda: lab.parameter("endpoint", SECOND) == lab.host(SECOND))
    assert lab.checks() == {FIRST: "unhealthy", SECOND: "healthy"}
    lab.heal(FIRST)
    lab.await_settled()


def test_an_endpoint_that_only_its_own_region_reaches_leaves_the_other_regions_document(
    lab: LabProcess,
) -> None:
    """`dsql-far`: the other publisher's document takes it out; its own Region, and with it DNS, keeps it."""
    lab.await_settled()
    lab.fault(FIRST, "dsql-far")

    def is_out(region: str) -> bool:
        rows = {row["region"]: row for row in lab.document(region)["endpoints"]}
        return (rows[FIRST]["observed"], rows[FIRST]["effective"]) == ("down", "out")

    lab.until("the second's document has it out", lambda: is_out(SECOND))
    assert not is_out(FIRST)
    assert lab.health_not_throttled(FIRST).status == 200
    assert lab.look_up() == lab.host(FIRST)
    assert lab.parameter("endpoint", FIRST) == lab.host(FIRST)
    assert lab.regions()[FIRST]["faults"] == ["dsql-far"]
    lab.heal(FIRST)
    lab.await_settled()


def test_with_both_regions_frozen_nothing_goes_empty(lab: LabProcess) -> None:
    """DNS answers the PRIMARY, the document lists both endpoints and is marked frozen; then all heals."""
    lab.await_settled()
    for region in (FIRST, SECOND):
        lab.fault(region, "dsql-freeze")
    lab.until("both checks are unhealthy", lambda: set(lab.checks().values()) == {"unhealthy"})
    assert lab.look_up() == lab.host(FIRST)
    for region in (FIRST, SECOND):
        document = lab.until("a frozen document", partial(frozen, lab, region))
        assert {row["host"] for row in document["endpoints"]} == {lab.host(FIRST), lab.host(SECOND)}
        assert lab.parameter("endpoint", region) in {lab.host(FIRST), lab.host(SECOND)}
    assert lab.look_up() == lab.host(FIRST)
    for region in (FIRST, SECOND):
        lab.heal(region)
    lab.await_settled()


def frozen(lab: LabProcess, region: str) -> dict[str, list[dict[str, str]]] | None:
    """A Region's document if it is marked frozen."""
    document = lab.document(region)
    return document if document.get("frozen") is True else None


@pytest.mark.parametrize("value", ["not JSON", '{"schema":1,"endpoints":[]}'])
def test_a_spoilt_document_is_reported_ignored_whole_and_replaced(lab: LabProcess, value: str) -> None:
    """A user overwrites both parameters with the AWS CLI; the publisher says so and writes good ones."""
    lab.await_settled()
    log = lab.own_directory / "lambda" / f"orders-lab-publisher-{FIRST}.log"
    before = len(problems(log))
    spoilt = {"document": value, "endpoint": "evil.example"}
    for which, text in spoilt.items():
        name = lab.ready["ssm"][which]
        done = lab.aws("ssm", "put-parameter", "--name", name, "--value", text, "--overwrite")
        assert done.returncode == 0, done.stderr
    for said in ("the stored document is ignored", "the stored endpoint is none of the configured ones"):
        lab.until(said, partial(complained, log, before, said))
    lab.await_settled()


def complained(log: Path, before: int, said: str) -> bool:
    """Whether a publisher has said so since its first ``before`` warnings."""
    return any(said in problem for problem in problems(log)[before:])


def problems(log: Path) -> list[str]:
    """What a publisher has warned of."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [str(json.loads(line)["problem"]) for line in lines if '"publishing met a problem"' in line]


def test_an_operator_drains_and_releases_a_region_with_sql(lab: LabProcess) -> None:
    """One transaction through the other Region's endpoint moves DNS and SSM, and another moves them back;
    the last Region cannot be drained."""
    lab.await_settled()

    def change(script: str, region: str) -> tuple[int, str]:
        variables = {
            "service": "orders-lab",
            "target": "dsql",
            "region": region,
            "reason": "test",
            "actor": "e2e",
        }
        named = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
        done = lab.psql(SECOND, *named, "-f", str(SQL / script))
        return done.returncode, done.stdout + done.stderr

    try:
        status, said = change("drain.sql", FIRST)
        assert status == 0, said
        answer = lab.health_not_throttled(FIRST)
        assert (answer.status, answer.output) == (503, "drained")
        assert search_string(FIRST) not in answer.body
        assert answer.took_s < CHECKER_WAITS_S
        lab.until("DNS names the second", lambda: lab.look_up() == lab.host(SECOND))
        lab.until("SSM names the second", lambda: lab.parameter("endpoint") == lab.host(SECOND))
        rows = {row["region"]: row for row in lab.document(FIRST)["endpoints"]}
        drained = rows[FIRST]
        assert (drained["observed"], drained["forced"], drained["effective"]) == ("up", "drain", "out")
        status, said = change("drain.sql", SECOND)
        assert status == 3
        assert f"{SECOND} is the last Region of orders-lab that is not drained" in said
        assert lab.health_not_throttled(SECOND).status == 200
    finally:
        status, said = change("release.sql", FIRST)
    assert status == 0, said
    assert lab.until("the released Region serves", partial(healed, lab, FIRST)).output == "ok"
    lab.await_settled()
