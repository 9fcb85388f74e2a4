"""Runs cfn-lint with the serverless rules, and checkov, on template files. Both work without a network."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped]
from tools.template_gate.findings import Finding

__all__ = ["ScannerError", "cfn_lint", "checkov"]

# A Region of each set that DSQL links. Linting the stack of us-east-1 for the other Regions does no harm.
_REGIONS = ["us-east-1", "eu-west-1", "ap-northeast-1"]


class ScannerError(Exception):
    """A scanner did not do its work; says what it printed."""


def cfn_lint(template: Path) -> Iterator[Finding]:
    """Findings of cfn-lint, warnings included, with the rules of cfn-lint-serverless."""
    config = ManualArgs(append_rules=["cfn_lint_serverless.rules"], regions=_REGIONS)
    for match in lint(template.read_text(encoding="utf-8"), config=config):
        path: Sequence[Any] = getattr(match, "path", None) or ()
        resource = str(path[1]) if len(path) > 1 and path[0] == "Resources" else ""
        yield Finding(match.rule.id, resource, template.name, match.message)


def checkov(program: Path, templates: Sequence[Path]) -> Iterator[Finding]:
    """Findings of checkov's CloudFormation checks. Raises ScannerError when it cannot read a template."""
    files = [part for template in templates for part in ("-f", str(template))]
    argv = [str(program), *files, "--framework", "cloudformation", "--skip-download", "--quiet", "-o", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError as error:
        raise ScannerError(f"checkov printed no report: {done.stdout}{done.stderr}") from error
    summary, results = report["summary"], report["results"]
    if summary["parsing_errors"] or not summary["passed"]:
        raise ScannerError(f"checkov could not read what it was given: {results.get('parsing_errors')}")
    for failed in results["failed_checks"]:
        resource = str(failed["resource"]).rpartition(".")[2]
        yield Finding(failed["check_id"], resource, Path(failed["file_path"]).name, failed["check_name"])
