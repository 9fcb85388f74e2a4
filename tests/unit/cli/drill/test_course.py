"""A report is drawn again from its file, with the exit code of its drill."""

import json
from pathlib import Path

import pytest
from tests.unit.cli.drill.drills import REPORTS
from tests.unit.cli.situations import NEAR

from beacon_cli.app import main
from beacon_cli.drill.form import report_json
from beacon_cli.drill.junit import junit_of
from beacon_cli.drill.page import html_of


@pytest.mark.parametrize(("name", "code"), [("passed", 0), ("failed", 1), ("interrupted", 1)])
def test_a_replay_draws_everything_again(
    name: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code of its drill."""
    path, junit = tmp_path / "report.json", tmp_path / "out/junit.xml"
    path.write_text(json.dumps(report_json(REPORTS[name])), encoding="utf-8")
    assert main(["drill", "--replay", str(path), "--junit", str(junit)]) == code
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html_of(REPORTS[name])
    assert junit.read_text(encoding="utf-8") == junit_of(REPORTS[name])
    assert f"SSM of {NEAR}" in capsys.readouterr().out
