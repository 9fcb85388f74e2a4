"""`beacon history` against a lab: a drain and a fault in one timeline, and sources that fail alone."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.lab.cli.conftest import DENIED, FIRST, SECOND, Ran, beacon, ready_copy, relayed, until
from tests.lab.command.conftest import LabProcess
from tests.places import ROOT

pytestmark = pytest.mark.lab
PATIENT = ("--within", "20")


def history(lab: LabProcess, *words: str) -> Any:  # noqa: ANN401 - JSON
    ran = beacon("history", "--lab", str(lab.ready_file), "--json", *PATIENT, *words)
    assert ran.code == 0, ran.err
    schema = json.loads((ROOT / "docs/schemas/history.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(ran.json)
    return ran.json


def change(lab: LabProcess, *words: str) -> None:
    ran: Ran = beacon(*words, "--actor", "bob", "--yes", *PATIENT, "--lab", str(lab.ready_file))
    assert ran.code == 0, ran.err


def told(made: Any, source: str) -> list[str]:  # noqa: ANN401 - JSON
    return [f"{one['region']}: {one['text']}" for one in made["events"] if one["source"] == source]


def test_a_drain_and_its_release_stand_in_their_order(lab: LabProcess) -> None:
    """From the database, between what the documents and the checks say."""
    change(lab, "drain", SECOND, "--for", "10m", "--reason", "a test of the timeline")
    change(lab, "release", SECOND, "--reason", "the test is over")
    made = history(lab)
    assert made["unknown"] == []
    assert told(made, "the database")[-2:] == [
        f"{SECOND}: bob drained it for 10 min: 'a test of the timeline'",
        f"{SECOND}: bob released it: 'the test is over'",
    ]
    for region in (FIRST, SECOND):
        assert any(one.startswith(f"{SECOND}: ") for one in told(made, f"SSM of {region}"))
    assert len(told(made, "Route 53")) == 2
    assert [one["at"] for one in made["events"]] == sorted(one["at"] for one in made["events"])
    ran = beacon("history", "--lab", str(lab.ready_file), *PATIENT)
    assert ran.code == 0, ran.err
    assert "bob released it: 'the test is over' [the database]" in " ".join(ran.out.split())


def test_a_fault_is_in_the_timeline_with_its_reason(lab: LabProcess) -> None:
    """As the publishers saw it."""
    lab.fault(FIRST, "dsql-freeze")
    expected = f"{FIRST}: observed down, and out (timeout)"
    until("the document tells", lambda: expected in told(history(lab), f"SSM of {SECOND}"))


def test_nothing_older_than_asked_is_shown(lab: LabProcess) -> None:
    """The check of this moment is."""
    change(lab, "drain", SECOND, "--for", "10m", "--reason", "recent")
    change(lab, "release", SECOND, "--reason", "recent as well")
    made = history(lab, "--since", "10s")
    assert all(one["at"] >= made["since"] for one in made["events"])
    assert len(told(made, "Route 53")) == 2


def test_sources_fail_alone(lab: LabProcess, tmp_path: Path) -> None:
    """SSM is denied, and then no login works: the others tell what they know."""
    ready = dict(lab.ready)
    with relayed(ready) as relay:
        relay.answers["ssm"] = (400, DENIED)
        path = ready_copy(lab, tmp_path, aws_endpoint_url=ready["aws_endpoint_url"])
        ran = beacon("history", "--lab", path, "--json", *PATIENT)
    assert ran.code == 0, ran.err
    assert any(f"SSM of {FIRST} may not be read" in why for why in ran.json["unknown"])
    assert not told(ran.json, f"SSM of {FIRST}")
    assert len(told(ran.json, "Route 53")) == 2
    made = history(lab, "--db-user", "nobody_here")
    assert any("no Region lets nobody_here log in" in why for why in made["unknown"])
    assert told(made, f"SSM of {FIRST}")


def test_wrong_use_and_a_lab_that_has_ended(lab: LabProcess, tmp_path: Path) -> None:
    """One sentence each."""
    ran = beacon("history", "--lab", str(lab.ready_file), "--since", "12")
    assert ran.code == 2
    assert "--since '12' is no duration: write 90s, 30m, 1h30m or 2d. Did you mean 12m?" in ran.err
    ran = beacon("history", "--lab", ready_copy(lab, tmp_path, control_url="http://127.0.0.1:9"))
    assert (ran.code, ran.out) == (1, "")
