"""`beacon break-glass` against a lab: a Region leaves DNS without its database, and comes back."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.lab.cli.conftest import FIRST, SECOND, THROTTLING, Ran, beacon, ready_copy, relayed
from tests.lab.command.conftest import LabProcess
from tests.places import ROOT

from beacon_cli.breakglass.course import Consent, break_glass
from beacon_cli.breakglass.rules import Glass
from beacon_cli.errors import RefusedError
from beacon_cli.options import Options
from beacon_cli.sessions import Sessions

pytestmark = pytest.mark.lab
#: Time for every source on a machine that is busy with other tests.
PATIENT = ("--within", "20")


def glass(lab: LabProcess, *words: str, ready: str = "") -> Ran:
    return beacon("break-glass", *words, *PATIENT, "--lab", ready or str(lab.ready_file))


def checked(ran: Ran) -> Any:  # noqa: ANN401 - JSON
    schema = json.loads((ROOT / "docs/schemas/break-glass.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(ran.json)
    return ran.json


@pytest.fixture(autouse=True)
def _restored(lab: LabProcess) -> Iterator[None]:
    """No inversion outlives its test."""
    yield
    for region, row in lab.regions().items():
        if row["faults"]:
            lab.heal(region)
    ran = glass(lab, "restore", FIRST, "--yes")
    assert ran.code in (0, 3), ran.err


def test_a_region_leaves_dns_and_is_restored_while_no_database_answers(
    lab: LabProcess, tmp_path: Path
) -> None:
    """Both ways need no database at all; `status` names the way back."""
    ready = json.loads(json.dumps(lab.ready))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and not listening: the command's logins are refused
        for region in (FIRST, SECOND):
            ready["regions"][region]["dsql"]["port"] = closed.getsockname()[1]
        copy = ready_copy(lab, tmp_path, regions=ready["regions"])
        done = checked(glass(lab, "invert", FIRST, "--yes", "--json", ready=copy))
        assert (done["outcome"], done["refusal"]) == ("followed", None)
        assert done["dns_after_s"] is not None
        again = glass(lab, "invert", FIRST, "--yes", ready=copy)
        assert (again.code, "is inverted already" in again.err) == (3, True)
        status = beacon("status", *PATIENT, "--lab", copy).out
        assert f"beacon break-glass restore {FIRST}" in " ".join(status.split())
        back = glass(lab, "restore", FIRST, "--yes", "--json", ready=copy)
    assert back.code == 0, back.err
    assert checked(back)["outcome"] == "followed"


def test_a_plan_and_a_refusal_change_nothing(lab: LabProcess) -> None:
    """The only healthy Region stays, unless it is wanted."""
    plan = checked(glass(lab, "invert", FIRST, "--plan", "--json"))
    assert plan["outcome"] == "planned"
    assert [one["region"] for one in plan["remaining"]] == [SECOND]
    lab.fault(SECOND, "dsql-freeze")
    lab.until("the other Region out", lambda: lab.checks()[SECOND] == "unhealthy")
    refused = glass(lab, "invert", FIRST, "--yes")
    assert refused.code == 3
    assert "--even-though-unhealthy" in refused.err
    failing = glass(lab, "invert", SECOND, "--yes")
    assert (failing.code, "would bring it in" in failing.err) == (3, True)
    assert lab.checks()[FIRST] == "healthy"


def test_a_throttled_route_53_ends_it_before_anything_is_changed(lab: LabProcess, tmp_path: Path) -> None:
    """Exit code 1 and what to do."""
    ready = dict(lab.ready)
    with relayed(ready) as relay:
        relay.answers["route53"] = (400, THROTTLING)
        copy = ready_copy(lab, tmp_path, aws_endpoint_url=ready["aws_endpoint_url"])
        ran = glass(lab, "invert", FIRST, "--yes", ready=copy)
    assert ran.code == 1
    assert "throttled" in ran.err
    assert "Nothing has changed" in ran.err


def test_a_change_by_another_operator_at_the_same_moment_is_refused(
    lab: LabProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is read again under its version, directly before it is changed."""
    options = Options(lab=str(lab.ready_file))
    made = Sessions.route53

    def meanwhile(self: Sessions, *, once: bool = False) -> Any:  # noqa: ANN401 - a client
        client = made(self, once=once)
        real = client.get_health_check

        def inverted_by_another(**given: Any) -> Any:  # noqa: ANN401 - botocore's
            client.update_health_check(**given, Inverted=True)
            return real(**given)

        monkeypatch.setattr(client, "get_health_check", inverted_by_another, raising=False)
        return client

    monkeypatch.setattr(Sessions, "route53", meanwhile)
    with pytest.raises(RefusedError, match="was changed since it was shown"):
        break_glass(Glass.INVERT, FIRST, Consent(yes=True), options, 20)


def test_the_policy_holds_every_call_beside_those_of_a_reader(lab: LabProcess) -> None:
    """Recorded while a check is inverted and restored."""
    called: set[str] = set()

    def record(model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
        signing = model.service_model.signing_name
        called.add(f"{ {'monitoring': 'cloudwatch'}.get(signing, signing) }:{model.name}")

    def recorded(self: Sessions, *given: Any, **more: Any) -> None:  # noqa: ANN401 - as it has them
        made(self, *given, **more)
        self.on_call(record)

    made = Sessions.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sessions, "__init__", recorded)
        options = Options(lab=str(lab.ready_file))
        for one in (Glass.INVERT, Glass.RESTORE):
            break_glass(one, FIRST, Consent(yes=True), options, 20)
    allowed: set[str] = set()
    for name in ("reader", "break-glass"):
        policy = json.loads((ROOT / f"docs/policies/{name}.json").read_text(encoding="utf-8"))
        for statement in policy["Statement"]:
            named = statement["Action"]
            allowed |= {named} if isinstance(named, str) else set(named)
    assert called <= allowed
    assert {"route53:GetHealthCheck", "route53:UpdateHealthCheck"} <= called
