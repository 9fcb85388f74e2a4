"""The block that logs an operator in, as the runbook prints it, against the lab's front."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.places import ROOT

from beacon_lab.faults import FaultKind

if TYPE_CHECKING:
    from tests.lab.conftest import DsqlCluster

pytestmark = pytest.mark.lab

PAGE = "docs/runbook.md"
PEER = "us-east-2"
#: The operator by the system's own records: USER is unset in a container and under cron.
ME = pwd.getpwuid(os.getuid()).pw_name
#: The AWS CLI. Version 2 alone signs for DSQL, and the package index has version 1: boto3 signs in its place.
AWS = f"""#!/bin/sh
[ "$1 $2 $3 $5 $#" = "dsql generate-db-connect-auth-token --hostname --region 6" ] || exit 252
exec {sys.executable} -c 'import boto3, sys
print(boto3.client("dsql", "eu-west-1").generate_db_connect_auth_token(*sys.argv[1:]))' "$4" "$6"
"""


def block(page: str) -> str:
    """The one block of ``page`` that makes a token for an operator."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    (found,) = (text for text in blocks if "beacon_operator" in text)
    return str(found)


def commands(page: str) -> list[str]:
    """The commands of ``page`` for after the login."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^\$ (.*psql .*-f sql/(?:drain|release|show)\.sql)$", text, re.MULTILINE)


class Shell:
    """A shell in a checkout, with what stands between the lab and AWS: names, port, authority and CLI."""

    def __init__(self, dsql: DsqlCluster, directory: Path) -> None:
        if shutil.which("psql") is None:
            pytest.skip("psql is missing: apt-get install postgresql-client")
        (directory / "aws").write_text(AWS, encoding="utf-8")
        (directory / "aws").chmod(0o755)
        self.dsql = dsql
        front = dsql.fronts[PEER]
        self.replaced = {
            "OTHER_ID.dsql.us-east-2.on.aws": front.host,
            "PGUSER=beacon_operator": f"PGUSER={dsql.operator_role}",
            "/etc/ssl/certs/ca-certificates.crt": str(dsql.authority.ca_file),
            "service=beacon-prod": f"service={dsql.service}",
        }
        self.environment = {
            "PATH": f"{directory}:{os.environ['PATH']}",
            "HOME": "/nonexistent",
            "PGHOSTADDR": front.address,
            "PGPORT": str(front.port),
            "AWS_ACCESS_KEY_ID": dsql.operator.access_key_id,
            "AWS_SECRET_ACCESS_KEY": dsql.operator.secret_access_key,
        }

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        for old, new in self.replaced.items():
            code = code.replace(old, new)
        return subprocess.run(
            ["bash", "-c", code],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def shell(dsql: DsqlCluster, tmp_path: Path) -> Shell:
    """With the AWS CLI's name and the operator's keys."""
    return Shell(dsql, tmp_path)


def test_the_block_verifies_the_server_and_has_no_token_as_an_argument() -> None:
    """The token is in the environment alone, and each wait has a limit."""
    first = block(PAGE)
    for setting in ("PGSSLMODE=verify-full", "PGSSLROOTCERT=/", "PGCONNECT_TIMEOUT=5", "PGPASSWORD=$("):
        assert setting in first
    assert "$PGPASSWORD" not in first


def test_the_block_logs_in_and_the_commands_after_it_work(shell: Shell) -> None:
    """Log in through the peer, see, drain, see, release: each command as the page prints it."""
    done = shell.run(block(PAGE))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"us-east-1 +\| not drained", done.stdout)
    found = commands(PAGE)
    assert [re.sub(r".*sql/(\w+)\.sql", r"\1", command) for command in found][:2] == ["drain", "release"]
    done = shell.run(block(PAGE) + found[0])
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(rf"us-east-1 +\| drained +\|.*\| {re.escape(ME)} ", done.stdout)
    done = shell.run(block(PAGE) + "\n".join(found[1:]))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"us-east-1 +\| not drained", done.stdout)
    shell.dsql.connect().execute("DELETE FROM beacon.change")


def test_the_block_ends_by_itself_at_a_frozen_endpoint(shell: Shell) -> None:
    """Its connect_timeout: in about five seconds, and not in those that `timeout` gives."""
    shell.dsql.loop.run(shell.dsql.fronts[PEER].inject(FaultKind.DSQL_FREEZE))
    began = time.monotonic()
    done = shell.run(block(PAGE))
    assert done.returncode == 2
    assert "timeout expired" in done.stderr
    assert time.monotonic() - began < 20


def test_the_block_stops_where_the_token_cannot_be_made(shell: Shell) -> None:
    """psql is not started: it would ask for a password."""
    shell.environment |= {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_EC2_METADATA_DISABLED": "1",
    }
    done = shell.run(block(PAGE))
    assert done.returncode == 1
    assert "psql" not in done.stderr


def test_every_command_of_an_operator_has_a_limit() -> None:
    """Each command ends in time, even if the endpoint is frozen."""
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert commands(PAGE)
    assert all(command.startswith("timeout 30 psql -w ") for command in commands(PAGE))
    calls = re.findall(r"^\$ (.*\baws (?:ssm|route53) .*)$", text, re.MULTILINE)
    assert len(calls) >= 4
    assert all(call.startswith("timeout 20 aws ") for call in calls)
