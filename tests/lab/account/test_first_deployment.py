"""From an empty account to two Regions that serve: `init`, `deploy --all --go`, `status`; and one cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.lab.cli.conftest import BEACON, FIRST, SECOND, beacon, started
from tests.lab.command.conftest import LabProcess, starter, until, upper
from tests.places import ROOT

pytestmark = pytest.mark.lab

OPERATOR = "arn:aws:iam::123456789012:role/operator"
#: One machine is no Region: more sandboxes at a time than this only make each other slow.
SMALL = ("--set", "HealthReservedConcurrency=6")


@pytest.fixture(scope="module")
def account() -> Iterator[LabProcess]:
    """A lab in which nothing is deployed."""
    with starter() as start:
        yield upper(start)("--empty")


def ran(lab: LabProcess, place: Path, *words: str) -> Any:  # noqa: ANN401 - JSON
    """`beacon WORDS --json` against the account, with a file of its own; as long as a deployment takes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BEACON_"))}
    done = subprocess.run(
        [BEACON, *words, *where(lab, place), "--json"],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    schema = json.loads((ROOT / f"docs/schemas/{words[0]}.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, schema)
    return found


def where(lab: LabProcess, place: Path) -> tuple[str, ...]:
    return ("--lab", str(lab.ready_file), "--config-file", str(place / "samconfig.toml"))


def works(plan: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - JSON
    return [(step["work"], step["region"]) for step in plan["steps"]]


def test_three_commands_deploy_an_empty_account_also_when_one_is_killed(
    account: LabProcess, tmp_path: Path
) -> None:
    """What was done before the kill is not done again, and what was not is."""
    found = ran(account, tmp_path, "init", *SMALL)
    assert found["regions"] == {region: account.host(region) for region in (FIRST, SECOND)}
    assert (found["policy"], found["record"]) == ("failover", "db.orders.example")
    assert (tmp_path / "samconfig.toml").stat().st_mode & 0o777 == 0o600

    whole = works(ran(account, tmp_path, "deploy", "--all"))
    each = ("stack", "database", "pass")
    assert whole == [
        *((work, region) for region in (FIRST, SECOND) for work in each),
        ("record", FIRST),
        ("record", SECOND),
    ]

    log = tmp_path / "first.log"
    with log.open("w", encoding="utf-8") as out:
        first = started("deploy", "--all", "--go", *where(account, tmp_path), out=out, cwd=ROOT)
    try:
        until("the second step", lambda: "2/8" in log.read_text(encoding="utf-8"), 120)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    left = works(ran(account, tmp_path, "deploy", "--all"))
    assert left == whole[-len(left) :]
    assert ("stack", FIRST) not in left
    assert len(left) >= 6

    done = ran(account, tmp_path, "deploy", "--all", "--go", "--operator-arn", OPERATOR)
    assert done["done"] is True
    assert works(ran(account, tmp_path, "deploy", "--all")) == [("update", FIRST), ("update", SECOND)]

    status = beacon("status", "--lab", str(account.ready_file))
    assert status.code == 0, status.err
    assert f"Every Region is healthy. DNS sends clients to {FIRST}." in status.out
    assert "in parentheses" not in status.out
    assert status.out.count("in        ") >= 2

    again = beacon("init", *where(account, tmp_path))
    assert (again.code, "is not overwritten" in again.err) == (2, True)


def test_sam_itself_deploys_the_account_as_well(account: LabProcess, tmp_path: Path) -> None:
    """A client that is not ours meets a stack that it can update, and a parameter that is refused whole."""
    ran(account, tmp_path, "init", *SMALL, "--policy", "none")
    lab = account.ready
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "AWS_ENDPOINT_URL": lab["aws_endpoint_url"],
        "AWS_ACCESS_KEY_ID": lab["credentials"]["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": lab["credentials"]["secret_access_key"],
        "SAM_CLI_TELEMETRY": "0",
    }
    file = tmp_path / "samconfig.toml"
    command = [str(Path(BEACON).parent / "sam"), "deploy", "--config-file", str(file), "--config-env", FIRST]
    command += ["--template-file", "template.yaml", "--no-confirm-changeset"]

    def deployed() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False
        )

    def changed(old: str, new: str) -> None:
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    first = deployed()
    assert first.returncode == 0, first.stdout + first.stderr
    changed("RecordTtl=10", "RecordTtl=60")
    second = deployed()
    assert second.returncode == 0, second.stdout + second.stderr
    assert "UPDATE_COMPLETE" in second.stdout, (first.stdout, second.stdout)
    changed("RequestInterval=10", "RequestInterval=11")
    refused = deployed()
    assert refused.returncode != 0
    assert "RequestInterval must be" in refused.stdout + refused.stderr
