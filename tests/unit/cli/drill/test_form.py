"""The JSON of a report: by its schema, and back whole; and a file that is none."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.places import ROOT
from tests.unit.cli.drill.drills import MADE, REPORTS

from beacon_cli.app import main
from beacon_cli.drill.form import report_json, report_of
from beacon_cli.drill.kinds import KINDS
from beacon_cli.drill.page import html_of
from beacon_cli.drill.verdict import Verdict

SCHEMA: Any = json.loads((ROOT / "docs/schemas/drill.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_json_by_its_schema_and_comes_back_whole(name: str) -> None:
    """Everything is drawn from what was written."""
    made = report_json(MADE[name])
    jsonschema.Draft202012Validator(SCHEMA).validate(made)
    again = report_of(json.loads(json.dumps(made)))
    assert report_json(again) == made
    assert html_of(again) == html_of(REPORTS[name])


def test_the_schema_names_every_kind_and_every_verdict() -> None:
    """And no other."""
    whole = SCHEMA["properties"]
    assert whole["by"]["enum"] == list(KINDS)
    assert whole["transitions"]["items"]["properties"]["verdict"]["enum"] == [one.value for one in Verdict]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "id": 3, "consumer": 4}']
)
def test_a_file_that_is_no_report_is_wrong_use(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence."""
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    assert main(["drill", "--replay", str(path)]) == 2
    assert f"{path} is no report of a drill" in capsys.readouterr().err
    assert main(["drill", "--replay", str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err
