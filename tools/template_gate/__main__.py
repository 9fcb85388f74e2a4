"""Command line: scan the templates as they are written, and also template.yaml as SAM translates it.

    python -m tools.template_gate CHECKOV

CHECKOV is the program. Exits with 1 after listing what is wrong.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools.template_gate.findings import Finding, judge, read_accepted
from tools.template_gate.scanners import cfn_lint, checkov

from beacon_lab.stack.document import Json, mapping
from beacon_lab.stack.translate import translate

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = tuple(ROOT / name for name in ("template.yaml", "global.yaml", "dsql.yaml"))
EXCEPTIONS = Path(__file__).with_name("exceptions.toml")
# checkov leaves out a resource whose condition does not hold with the defaults, so it also scans with these.
EVERYTHING = {
    "RoutingPolicy": "failover",
    "FailoverRole": "PRIMARY",
    "HostedZoneId": "Z0123456789",
    "RecordName": "db.example.com",
    "OperatorCidrs": "198.51.100.0/24",
    "WebAcl": "true",
    "AccessLogs": "true",
    "SubnetIds": "subnet-01234567",
    "SecurityGroupIds": "sg-01234567",
    "Alarms": "true",
    "Tracing": "true",
    "FaultExperiment": "true",
}


def with_defaults(template: Mapping[str, Json], defaults: Mapping[str, str]) -> dict[str, Json]:
    """The template with other defaults."""
    parameters = dict(mapping(template["Parameters"], "Parameters"))
    for name, value in defaults.items():
        parameters[name] = {**mapping(parameters[name], name), "Default": value}
    return {**template, "Parameters": parameters}


def main(program: Path) -> int:
    """Scan, print what is wrong, and return the exit status."""
    accepted = read_accepted(EXCEPTIONS)
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as directory:
        translated, everything = (Path(directory) / name for name in ("translated.json", "everything.json"))
        template = translate(TEMPLATES[0], region="us-east-1", parameters={}).template
        translated.write_text(json.dumps(template), encoding="utf-8")
        everything.write_text(json.dumps(with_defaults(template, EVERYTHING)), encoding="utf-8")
        for path in (*TEMPLATES, translated):
            findings.extend(cfn_lint(path))
        scanned = [*TEMPLATES, translated, everything]
        findings.extend(checkov(program, scanned))
    wrong = judge(findings, accepted)
    for line in wrong:
        print(line)
    if not wrong:
        print(f"{len(scanned)} templates scanned; {len(set(findings))} findings, each accepted with a reason")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
