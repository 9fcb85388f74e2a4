"""`beacon drain` and `beacon release` against a lab: what they refuse, write, start and see follow."""

import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
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

from beacon_cli.intents.follow import follower_of
from beacon_cli.intents.plan import make_plan
from beacon_cli.intents.publishers import start_publishers
from beacon_cli.intents.rules import Action, Request
from beacon_cli.looking import look_for
from beacon_cli.options import Options

pytestmark = pytest.mark.lab
#: Time for every source on a machine that is busy with other tests.
PATIENT = ("--within", "20")
#: A change is in the database within this: a look, a login past a silent Region, and a transaction.
COMMITTED_WITHIN_S = 25.0


@pytest.fixture(autouse=True)
def _released(lab: LabProcess) -> Iterator[None]:
    """No drain outlives its test."""
    yield
    for region, row in forced(lab).items():
        if row["forced"]:
            ran = run(lab, "release", region, "--reason", "the test is over", "--yes")
            assert ran.code == 0, ran.err


def run(lab: LabProcess, *words: str) -> Ran:
    return beacon(*words, *PATIENT, "--lab", str(lab.ready_file))


def drain(lab: LabProcess, region: str, *words: str, lasts: str = "10m") -> Ran:
    return run(lab, "drain", region, "--for", lasts, "--reason", "writes fail", "--actor", "bob", *words)


def forced(lab: LabProcess) -> dict[str, Any]:
    made = run(lab, "status", "--json").json
    assert made["forced"]["known"], made["forced"]
    return {row["region"]: row for row in made["forced"]["value"]["states"]}


def unchanged(lab: LabProcess) -> bool:
    return not any(row["forced"] for row in forced(lab).values())


def checked(ran: Ran, name: str) -> Any:  # noqa: ANN401 - JSON
    schema = json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(ran.json)
    return ran.json


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_drain_and_its_release_end_when_dns_and_every_ssm_have_followed(lab: LabProcess) -> None:
    """Then the record leads to the other Region, and back to the first."""
    ran = drain(lab, FIRST, "--yes", "--json")
    assert ran.code == 0, ran.err
    made = checked(ran, "drain")
    assert made["outcome"] == "followed"
    assert [one["name"] for one in made["places"]] == ["DNS", f"SSM of {FIRST}", f"SSM of {SECOND}"]
    assert all(one["followed"] and one["predicted"] for one in made["places"])
    assert made["publishers"] == [{"region": one, "started": True, "why": None} for one in (FIRST, SECOND)]
    assert made["written"]["through"] == SECOND
    assert made["remaining"][0]["standing"] == "up"
    assert lab.look_up() == lab.host(SECOND)
    for region in (FIRST, SECOND):
        assert lab.parameter("endpoint", region) == lab.host(SECOND)
    row = forced(lab)[FIRST]
    assert (row["forced"], row["reason"], row["actor"]) == ("drain", "writes fail", "bob")
    ran = run(lab, "release", FIRST, "--reason", "repaired", "--yes", "--json")
    assert ran.code == 0, ran.err
    made = checked(ran, "release")
    assert made["outcome"] == "followed"
    assert all(one["followed"] for one in made["places"])
    assert lab.look_up() == lab.host(FIRST)
    assert unchanged(lab)


def test_the_text_shows_consequences_progress_and_what_holds(lab: LabProcess) -> None:
    """Measured beside predicted."""
    ran = drain(lab, FIRST, "--yes")
    assert ran.code == 0, ran.err
    said = flat(ran.out)
    assert f"orders-lab: drain {FIRST} for 10 min, as bob: 'writes fail'" in said
    assert f"{SECOND} remains and is up: 16 of 16 checkers find it healthy" in said
    assert f"{FIRST} is drained until" in said
    assert f"written through {SECOND}." in said
    for place in ("DNS", f"SSM of {FIRST}", f"SSM of {SECOND}"):
        assert f"- {place} has followed after " in said
    assert said.count("(predicted: ") == 3
    last = ran.out.splitlines()[-1]
    assert last.startswith(f"{FIRST} is drained until")
    assert last.endswith(f"DNS, SSM of {FIRST} and SSM of {SECOND} have followed.")


def test_a_plan_changes_nothing(lab: LabProcess) -> None:
    """In words and as JSON."""
    ran = drain(lab, FIRST, "--plan")
    assert ran.code == 0, ran.err
    assert "DNS follows in " in ran.out
    assert ran.out.endswith("Nothing has changed: this is the plan.\n")
    assert checked(drain(lab, FIRST, "--plan", "--json"), "drain")["outcome"] == "planned"
    assert unchanged(lab)


def test_the_only_healthy_region_is_refused_unless_the_operator_insists(lab: LabProcess) -> None:
    """And an interruption of that leaves one sentence about what holds."""
    lab.fault(SECOND, "dsql-freeze")
    until("the checkers see it", lambda: lab.checks()[SECOND] == "unhealthy")
    ran = drain(lab, FIRST, "--yes")
    assert ran.code == 3
    assert f"no other Region than {FIRST} is seen up. {SECOND} is down: " in ran.err
    assert f"Nothing has changed; --even-though-unhealthy drains {FIRST} all the same" in ran.err
    ran = drain(lab, FIRST, "--plan", "--json")
    assert ran.code == 3
    assert checked(ran, "drain")["outcome"] == "refused"
    assert unchanged(lab)
    ended = interrupted(lab, "drain", FIRST, "--for", "10m", "--reason", "x", "--even-though-unhealthy")
    assert ended.code == 1
    assert ended.err.startswith(f"beacon: interrupted. {FIRST} is drained until ")
    assert "DNS" in ended.err
    assert f"  try: beacon release {FIRST} --reason TEXT --lab " in ended.err
    assert len(ended.err.splitlines()) == 2
    assert forced(lab)[FIRST]["forced"] == "drain"


def interrupted(lab: LabProcess, *words: str) -> Ran:
    """Run `beacon WORDS --yes` and send Ctrl-C once it says that the change is committed."""
    with started(*words, "--yes", *PATIENT, "--lab", str(lab.ready_file)) as running:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            lines.append(line)
            if "written through" in line:
                running.send_signal(signal.SIGINT)
                break
        out, err = running.communicate(timeout=30)
    return Ran(running.returncode, "".join(lines) + out, err)


def test_a_frozen_region_is_drained_through_its_peer_in_bounded_time(lab: LabProcess) -> None:
    """With the usual limits: its silence costs a login, no more."""
    lab.fault(FIRST, "dsql-freeze")
    began = datetime.now(UTC)
    words = ("drain", FIRST, "--for", "10m", "--reason", "frozen", "--yes", "--json")
    ran = beacon(*words, "--lab", str(lab.ready_file))
    assert ran.code == 0, ran.err
    made = checked(ran, "drain")
    assert made["written"]["through"] == SECOND
    at = datetime.fromisoformat(made["written"]["at"])
    assert (at - began).total_seconds() < COMMITTED_WITHIN_S
    assert made["outcome"] == "followed"
    lab.heal(FIRST)


def test_a_region_that_is_down_altogether_costs_warnings(lab: LabProcess) -> None:
    """Its publisher and its SSM do not answer; the drain holds, and DNS follows."""
    lab.fault(FIRST, "region-down")
    ran = drain(lab, FIRST, "--yes", "--json")
    assert ran.code == 0, ran.err
    made = checked(ran, "drain")
    places = {one["name"]: one for one in made["places"]}
    assert places["DNS"]["followed"]
    assert places[f"SSM of {SECOND}"]["followed"]
    assert f"SSM of {FIRST}" in places[f"SSM of {FIRST}"]["why"]


def test_ssm_that_is_denied_is_said_and_holds_up_nothing(lab: LabProcess, tmp_path: Path) -> None:
    """The checkers say who remains, and the record that DNS has followed."""
    ready = dict(lab.ready)
    with relayed(ready) as relay:
        relay.answers["ssm"] = (400, DENIED)
        path = ready_copy(lab, tmp_path, aws_endpoint_url=ready["aws_endpoint_url"])
        words = ("drain", FIRST, "--for", "10m", "--reason", "x", "--yes", *PATIENT, "--lab", path)
        ran = beacon(*words)
    assert ran.code == 0, ran.err
    said = flat(ran.out)
    assert f"Not known: SSM of {FIRST} may not be read: your role lacks ssm:GetParameters." in said
    assert "DNS has followed after " in said
    assert f"SSM of {FIRST} cannot be followed: SSM of {FIRST} may not be read" in said
    assert said.endswith(f"DNS has followed; SSM of {FIRST} and SSM of {SECOND} could not be read.")


def test_nothing_known_of_the_other_region_is_refused(lab: LabProcess, tmp_path: Path) -> None:
    """Route 53 is throttled and SSM denied."""
    ready = dict(lab.ready)
    with relayed(ready) as relay:
        relay.answers.update({"ssm": (400, DENIED), "route53": None})
        path = ready_copy(lab, tmp_path, aws_endpoint_url=ready["aws_endpoint_url"])
        ran = beacon("drain", FIRST, "--for", "10m", "--reason", "x", "--yes", *PATIENT, "--lab", path)
    assert ran.code == 3
    assert f"{SECOND} may be up or down" in ran.err
    assert unchanged(lab)


def test_a_throttled_route_53_holds_up_nothing(lab: LabProcess, tmp_path: Path) -> None:
    """The documents say who remains, and the name servers when DNS has followed."""
    ready = dict(lab.ready)
    with relayed(ready) as relay:
        relay.answers["route53"] = (400, THROTTLING)
        path = ready_copy(lab, tmp_path, aws_endpoint_url=ready["aws_endpoint_url"])
        words = ("drain", FIRST, "--for", "10m", "--reason", "x", "--yes", *PATIENT, "--lab", path)
        ran = beacon(*words)
    assert ran.code == 0, ran.err
    said = flat(ran.out)
    assert "what its checkers say is not known" in said
    assert "DNS has followed after " in said
    assert lab.look_up() == lab.host(SECOND)


def test_a_publisher_that_may_not_be_started_is_a_warning(lab: LabProcess, tmp_path: Path) -> None:
    """Its tick comes anyway."""
    ready = dict(lab.ready)
    denied = DENIED.replace("ssm:GetParameters", "lambda:InvokeFunction")
    with relayed(ready) as relay:
        relay.answers["lambda"] = (403, denied)
        path = ready_copy(lab, tmp_path, aws_endpoint_url=ready["aws_endpoint_url"])
        words = ("drain", FIRST, "--for", "10m", "--reason", "x", "--yes", *PATIENT, "--lab", path)
        ran = beacon(*words)
    assert ran.code == 0, ran.err
    warning = f"the publisher of {SECOND} may not be started: your role lacks lambda:InvokeFunction"
    assert f"{warning}: SSM of {SECOND} follows at its next tick." in flat(ran.out)


def test_silent_dns_leaves_the_checkers_to_say_that_dns_has_followed(lab: LabProcess, tmp_path: Path) -> None:
    """One of the two facts is enough."""
    with silent_dns() as port:
        path = ready_copy(lab, tmp_path, dns={**lab.ready["dns"], "port": port})
        words = ("drain", FIRST, "--for", "10m", "--reason", "x", "--yes", "--within", "8", "--lab", path)
        ran = beacon(*words)
    assert ran.code == 0, ran.err
    assert "DNS has followed after " in flat(ran.out)


def test_a_second_operator_sees_who_did_what(lab: LabProcess) -> None:
    """The last Region stays, and a release of what is not drained is refused."""
    assert drain(lab, FIRST, "--yes").code == 0
    ran = drain(lab, SECOND, "--yes")
    assert ran.code == 3
    assert (
        f"{SECOND} is the last Region of orders-lab that is not drained, so it stays: bob drained" in ran.err
    )
    assert f"  try: beacon release {FIRST} --reason TEXT" in ran.err
    ran = run(lab, "release", SECOND, "--reason", "x", "--yes")
    assert ran.code == 3
    assert f"{SECOND} is not drained" in ran.err


def test_wrong_use_changes_nothing(lab: LabProcess) -> None:
    """One sentence, and exit code 2."""
    for words, says in (
        (("drain", "us-est-1", "--for", "10m", "--reason", "x", "--yes"), f"Did you mean {FIRST}?"),
        (("release", "us-est-1", "--reason", "x", "--yes"), f"Did you mean {FIRST}?"),
        (("drain", FIRST, "--for", "10", "--reason", "x", "--yes"), "Did you mean 10m?"),
        (("drain", FIRST, "--for", "10m", "--reason", " ", "--yes"), "--reason is empty"),
        (("drain", FIRST, "--for", "10m", "--reason", "x"), "no terminal to confirm on: add --yes"),
        (("drain", FIRST, "--for", "10m", "--reason", "x", "--json"), "add --yes, or --plan"),
    ):
        ran = run(lab, *words)
        assert (ran.code, says in ran.err) == (2, True), ran.err
    assert unchanged(lab)


def test_a_lab_that_has_ended_is_one_sentence(lab: LabProcess, tmp_path: Path) -> None:
    """It is found before anything is asked."""
    path = ready_copy(lab, tmp_path, control_url="http://127.0.0.1:9")
    for words in (("drain", FIRST, "--for", "10m"), ("release", FIRST)):
        ran = beacon(*words, "--reason", "x", "--yes", "--lab", path)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith(f"beacon: the lab of {path} has ended, or does not answer")


def test_the_operator_s_policy_holds_every_call_and_no_other(lab: LabProcess) -> None:
    """Recorded while a plan is made, the publishers are started and a change is followed."""
    look = look_for(Options(lab=str(lab.ready_file)), 20)
    called: set[str] = set()

    def record(model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
        signing = model.service_model.signing_name
        service = {"monitoring": "cloudwatch"}.get(signing, signing)
        called.add(f"{service}:{'InvokeFunction' if model.name == 'Invoke' else model.name}")

    look.sessions.on_call(record)
    request = Request(Action.DRAIN, FIRST, "x", "bob", 600)
    plan = make_plan(look, request)
    assert not plan.situation.unknown()
    start_publishers(look.sessions)
    follower = follower_of(look.sessions, request, plan.situation, plan.targets, plan.places)
    now = time.monotonic()
    assert len(list(follower.look(now, now))) == 1
    policy = json.loads((ROOT / "docs/policies/operator.json").read_text(encoding="utf-8"))
    actions: set[str] = set()
    for statement in policy["Statement"]:
        named = statement["Action"]
        actions |= {named} if isinstance(named, str) else set(named)
    # The canary's metric is read where it is on, as `beacon status` does.
    assert actions == called | {"dsql:DbConnect", "cloudwatch:GetMetricStatistics"}
