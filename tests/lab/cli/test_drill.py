"""`beacon drill` against a lab: what it measures, what fails it, and what holds when it is killed."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.lab.cli.conftest import FIRST, SECOND, Ran, beacon, started, until
from tests.lab.command.conftest import LabProcess
from tests.places import ROOT

pytestmark = pytest.mark.lab
#: Time for every source on a machine that is busy with other tests.
PATIENT = ("--within", "20")
#: The net of a drill that is killed, and when everything is whole again after it.
NET_S, WHOLE_WITHIN_S = 20, 120.0


@pytest.fixture(autouse=True)
def _nothing_in_force(lab: LabProcess) -> Iterator[None]:
    """Each test leaves no drain; `lab` heals the faults."""
    yield
    for region in drained(lab):
        ran = beacon("release", region, "--reason", "the test is over", "--yes", *in_lab(lab))
        assert ran.code == 0, ran.err


def in_lab(lab: LabProcess) -> tuple[str, ...]:
    return (*PATIENT, "--lab", str(lab.ready_file))


def words(lab: LabProcess, folder: Path, by: str, *more: str) -> tuple[str, ...]:
    return ("drill", FIRST, "--by", by, "--yes", "--report", str(folder), *more, *in_lab(lab))


def drained(lab: LabProcess) -> list[str]:
    forced = beacon("status", "--json", *in_lab(lab)).json["forced"]
    assert forced["known"], forced
    return [row["region"] for row in forced["value"]["states"] if row["forced"]]


def drill(lab: LabProcess, folder: Path, by: str, *more: str) -> tuple[Ran, Any]:
    with started(*words(lab, folder, by, "--json", *more)) as running:
        out, err = running.communicate(timeout=240)  # longer than `beacon` waits
    ran = Ran(running.returncode, out, err)
    schema = json.loads((ROOT / "docs/schemas/drill.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(ran.json)
    return ran, ran.json


@pytest.mark.parametrize("by", ["drain", "lab:dsql-freeze"])
def test_a_drill_measures_what_is_predicted(lab: LabProcess, tmp_path: Path, by: str) -> None:
    """Out and back in each place, no row lost, and the files say the same."""
    junit = tmp_path / "junit.xml"
    ran, made = drill(lab, tmp_path, by, "--junit", str(junit))
    assert ran.code == 0, (ran.err, made["reasons"], made["transitions"])
    assert made["outcome"] == "passed"
    places = [f"checkers of {FIRST}", "DNS", f"SSM of {FIRST}", f"SSM of {SECOND}"]
    assert [(one["seen_in"], one["phase"]) for one in made["transitions"]] == [
        (place, phase) for phase in ("out", "back") for place in places
    ]
    reasons = {
        one["cause"] for one in made["transitions"] if one["phase"] == "out" and "SSM" in one["seen_in"]
    }
    observed = "forced: drain, observed up: drained" if by == "drain" else "observed down: timeout"
    assert reasons == {observed}
    consumer = made["consumer"]
    assert consumer["acknowledged"] == consumer["found"] > 0
    assert {one["region"] for one in consumer["regions"]} == {FIRST, SECOND}
    assert made["whole"]
    assert lab.regions()[FIRST]["faults"] == []
    assert drained(lab) == []
    written = tmp_path / f"{made['id']}.json"
    assert json.loads(written.read_text(encoding="utf-8")) == made
    page = ET.parse(written.with_suffix(".html")).getroot()  # noqa: S314 - our own file
    assert list(page.iter("{http://www.w3.org/2000/svg}svg"))
    assert ET.parse(junit).getroot()[0].get("failures") == "0"  # noqa: S314 - as above
    assert beacon("drill", "--replay", str(written)).code == 0


def test_a_broken_lab_is_refused_and_a_plan_changes_nothing(lab: LabProcess, tmp_path: Path) -> None:
    """Exit code 3 and every reason; on a good day, 0 and the prediction."""
    ran = beacon(*words(lab, tmp_path, "drain", "--plan"))
    assert ran.code == 0, ran.err
    assert drained(lab) == []
    assert "-  After the break: " in ran.out
    assert ran.out.endswith("Nothing has changed: this is the plan.\n")
    lab.fault(SECOND, "ssm-down")
    ran = beacon(*words(lab, tmp_path, "drain"))
    assert ran.code == 3
    assert f"the lab has broken {SECOND} already: ssm-down" in ran.out
    assert "Nothing has changed" in ran.err
    assert drained(lab) == []


def broken(running: "subprocess.Popen[str]") -> list[str]:
    """The lines of a drill until it says that the Region is broken."""
    assert running.stdout is not None
    lines = []
    for line in running.stdout:
        lines.append(line)
        if " is broken by " in line:
            return lines
    raise AssertionError("".join(lines))


def test_another_fault_meanwhile_is_not_by_this_drill(lab: LabProcess, tmp_path: Path) -> None:
    """The drill fails, repairs what is its own, and leaves the other fault alone."""
    with started(*words(lab, tmp_path, "drain")) as running:
        broken(running)
        lab.fault(SECOND, "dsql-far")
        out, err = running.communicate(timeout=240)
    assert running.returncode == 1, out
    assert f"not by this drill: the lab has dsql-far in {SECOND}" in out
    assert f"the drill of {FIRST} failed" in err
    assert drained(lab) == []
    assert lab.regions()[SECOND]["faults"] == ["dsql-far"]


def test_a_signal_repairs_at_once(lab: LabProcess, tmp_path: Path) -> None:
    """A report says that it was interrupted, and nothing is in force when the command ends."""
    with started(*words(lab, tmp_path, "lab:dsql-freeze")) as running:
        broken(running)
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "interrupted: repairing" in out
    assert f"the drill of {FIRST} was ended early" in err
    assert lab.regions()[FIRST]["faults"] == []
    made = json.loads(next(tmp_path.glob("*.json")).read_text(encoding="utf-8"))
    assert (made["outcome"], made["whole"]) == ("interrupted", True)


@pytest.mark.parametrize("by", ["drain", "lab:dsql-login"])
def test_what_a_killed_drill_broke_ends_by_itself(lab: LabProcess, tmp_path: Path, by: str) -> None:
    """The drain's own end, and the lab's own timer."""
    with started(*words(lab, tmp_path, by, "--for", f"{NET_S}s")) as running:
        broken(running)
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=60)
    if by == "drain":
        assert drained(lab) == [FIRST]
        until("the drain has ended", lambda: not drained(lab), WHOLE_WITHIN_S)
    else:
        assert lab.regions()[FIRST]["faults"] == ["dsql-login"]
        until("the fault has ended", lambda: not lab.regions()[FIRST]["faults"], WHOLE_WITHIN_S)
    until("everything is as before", lab.is_settled, WHOLE_WITHIN_S)
