"""`beacon database` as a user starts it, against a lab whose database the files of sql/ have made."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.lab.cli.conftest import FIRST, SECOND, beacon, ready_copy, relayed
from tests.lab.command.conftest import LabProcess
from tests.places import ROOT

from beacon_cli.locate import locate
from beacon_cli.options import Options
from beacon_cli.schema.work import examine
from beacon_cli.sessions import Sessions

pytestmark = pytest.mark.lab
NO_STACK = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>"
    "<Message>Stack with id orders-lab does not exist</Message></Error>"
    "<RequestId>1</RequestId></ErrorResponse>"
)


def read(*words: str) -> Any:  # noqa: ANN401 - JSON
    ran = beacon("database", *words, "--json")
    assert ran.code == 0, ran.err
    schema = json.loads((ROOT / "docs/schemas/database.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(ran.json)
    return ran.json


def test_the_labs_own_database_is_complete_and_apply_has_nothing_to_make(lab: LabProcess) -> None:
    """Roles and ARNs are those of the stacks, so the command and the lab agree on every mapping."""
    where = ("--lab", str(lab.ready_file))
    made = read("plan", *where)
    assert made["complete"] is True, [one for one in made["items"] if one["standing"] != "there"]
    assert made["regions"] == {FIRST: "", SECOND: ""}
    mappings = [one for one in made["items"] if one["kind"] == "mapping" and one["standing"] == "there"]
    assert [one["region"] for one in mappings] == [FIRST, FIRST, SECOND, SECOND, None]
    applied = read("apply", "--yes", *where)
    assert (applied["made"], applied["items"]) == ([], made["items"])
    shown = beacon("database", "plan", *where)
    assert shown.out.endswith("Complete: nothing is missing.\n")
    assert lab.ready["credentials"]["secret_access_key"] not in shown.out + shown.err


def test_a_frozen_region_holds_up_no_look(lab: LabProcess) -> None:
    """The client also tries the other Region's endpoint."""
    lab.fault(FIRST, "dsql-freeze")
    assert read("plan", "--lab", str(lab.ready_file))["through"] == SECOND


def test_regions_without_a_stack_wait_and_the_rest_is_read(lab: LabProcess, tmp_path: Path) -> None:
    """The mappings of their functions are then none of this deployment's: also there, and never removed."""
    ready = dict(lab.ready)
    with relayed(ready) as relay:
        relay.answers["cloudformation"] = (400, NO_STACK)
        made = read("plan", "--lab", ready_copy(lab, tmp_path, **ready))
    assert made["regions"] == {FIRST: "no stack yet", SECOND: "no stack yet"}
    assert made["complete"] is False
    standings = {one["standing"] for one in made["items"] if one["kind"] == "mapping"}
    assert standings == {"waiting", "there", "also there"}


def test_the_calls_of_a_look_are_those_that_the_page_names(lab: LabProcess) -> None:
    """The stacks, and a login as admin; a policy for it needs no more."""
    sessions = Sessions(locate(Options(lab=str(lab.ready_file))), patient=True)
    called: set[str] = set()
    sessions.on_call(lambda model, **_: called.add(f"{model.service_model.signing_name}:{model.name}"))
    assert examine(sessions).complete
    page = (ROOT / "docs/operator-command.md").read_text(encoding="utf-8")
    assert called == {"cloudformation:DescribeStacks"}
    assert "`dsql:DbConnectAdmin` and `cloudformation:DescribeStacks`" in page
