"""scripts/deploy-region against a lab: what Route 53's checkers say of the other Region decides."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from tests.places import ROOT

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client
    from tests.lab.command.conftest import LabProcess

pytestmark = pytest.mark.lab

FIRST, SECOND = "us-east-1", "us-east-2"
SCRIPT = ROOT / "scripts/deploy-region"
SECTION = """[{name}.global.parameters]
region = "{region}"
stack_name = "orders-lab"
[{name}.deploy.parameters]
parameter_overrides = {overrides}
"""
RECORDER = """#!/bin/sh
printf '%s\\n' "$@" > "$(dirname "$0")/deployed"
exit {code}
"""


@dataclass
class Desk:
    """An operator's folder: a samconfig.toml, and a `sam` that only notes its arguments."""

    lab: LabProcess
    directory: Path

    @property
    def deployed(self) -> list[str]:
        """The arguments that `sam` got; empty when it was not called."""
        note = self.directory / "deployed"
        return note.read_text(encoding="utf-8").splitlines() if note.exists() else []

    def deploy(self, region: str, *options: str, endpoint: str = "") -> subprocess.CompletedProcess[str]:
        """`scripts/deploy-region REGION OPTIONS`, with the lab's AWS or another."""
        keys = self.lab.ready["credentials"]
        environment = {
            "PATH": "/usr/bin:/bin",
            "AWS_ENDPOINT_URL": endpoint or self.lab.ready["aws_endpoint_url"],
            "AWS_ACCESS_KEY_ID": keys["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        places = ("--config-file", str(self.directory / "samconfig.toml"))
        argv = [str(SCRIPT), region, *places, "--sam", str(self.directory / "sam"), *options]
        return subprocess.run(
            argv,
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def client(self, service: str, region: str = FIRST) -> Any:  # noqa: ANN401 - any service's
        """A client of the lab's AWS."""
        keys = self.lab.ready["credentials"]
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=region,
            endpoint_url=self.lab.ready["aws_endpoint_url"],
            aws_access_key_id=keys["access_key_id"],
            aws_secret_access_key=keys["secret_access_key"],
            config=Config(proxies={}),
        )


def write_sam(directory: Path, code: int = 0) -> None:
    """A `sam` that ends with ``code``."""
    (directory / "sam").write_text(RECORDER.format(code=code), encoding="utf-8")
    (directory / "sam").chmod(0o755)


@pytest.fixture
def desk(lab: LabProcess, tmp_path: Path) -> Desk:
    """A desk in front of a lab in which all is well."""
    lab.await_settled()
    write_sam(tmp_path)
    built = tmp_path / ".aws-sam/build"
    built.mkdir(parents=True)
    shutil.copy(ROOT / "template.yaml", built)
    found = Desk(lab, tmp_path)
    text = "version = 0.1\n"
    for name, region in (("one", FIRST), ("two", SECOND)):
        with closing(found.client("cloudformation", region)) as client:
            (stack,) = client.describe_stacks(StackName="orders-lab")["Stacks"]
        # Every value that the stack has, as a file that is complete names it; the token may be left out.
        values = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
        overrides = json.dumps([f"{key}='{value}'" for key, value in values.items() if key != "PathToken"])
        text += SECTION.format(name=name, region=region, overrides=overrides)
    (tmp_path / "samconfig.toml").write_text(text, encoding="utf-8")
    return found


@pytest.fixture
def broken(desk: Desk) -> Desk:
    """The first Region's database is frozen, and its checkers know."""
    desk.lab.fault(FIRST, "dsql-freeze")
    desk.lab.until("the first is unhealthy", lambda: desk.lab.checks()[FIRST] == "unhealthy")
    return desk


def test_without_go_it_says_what_it_would_do(desk: Desk) -> None:
    """A dry run is the default: the standing of the others, the command, and nothing done."""
    done = desk.deploy(SECOND)
    assert done.returncode == 0, done.stderr
    assert f"{FIRST}: serving" in done.stdout
    assert "--config-env two" in done.stdout
    assert "nothing was changed" in done.stdout
    assert desk.deployed == []


def test_a_region_that_is_new_in_the_file_asks_for_first(desk: Desk) -> None:
    """It may be new, or the wrong account; the operator says which. The others are looked at all the same."""
    path = desk.directory / "samconfig.toml"
    second = tomllib.loads(path.read_text(encoding="utf-8"))["two"]["deploy"]["parameters"]
    # No record before the Region serves, and a token, which a new stack cannot keep.
    overrides = [*second["parameter_overrides"], "RoutingPolicy=none", f"PathToken={'t' * 22}"]
    with path.open("a", encoding="utf-8") as file:
        file.write(SECTION.format(name="three", region="eu-west-1", overrides=json.dumps(overrides)))
    done = desk.deploy(SECOND, "--go")
    assert done.returncode == 3
    assert "eu-west-1: not deployed yet" in done.stdout
    assert "add --first" in done.stderr
    done = desk.deploy("eu-west-1", "--first")
    assert done.returncode == 0, done.stderr
    assert f"{FIRST}: serving" in done.stdout
    assert desk.deployed == []


def test_a_value_that_only_the_stack_has_stops_it(desk: Desk) -> None:
    """The lab's stacks describe their parameters as AWS does; a line that is gone would be kept."""
    path = desk.directory / "samconfig.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r""""OperatorCidrs='[^']*'", """, "", text), encoding="utf-8")
    done = desk.deploy(SECOND, "--go")
    assert done.returncode == 3
    assert "OperatorCidrs is " in done.stderr
    assert desk.deployed == []


def test_it_deploys_while_the_others_serve_and_waits_for_the_checkers(desk: Desk) -> None:
    """`sam deploy` with the Region's section and what stands after --; then the Region is seen serving."""
    done = desk.deploy(SECOND, "--go", "--", "--no-confirm-changeset")
    assert done.returncode == 0, done.stdout + done.stderr
    config = str(desk.directory / "samconfig.toml")
    wanted = ["deploy", "--config-file", config, "--config-env", "two", "--no-confirm-changeset"]
    assert desk.deployed == wanted
    assert f"{SECOND}: deployed and serving" in done.stdout


def test_an_inverted_check_counts_as_not_serving(desk: Desk) -> None:
    """An operator took that Region out; its checkers report success all the same."""
    route53: Route53Client = desk.client("route53")
    checks = route53.list_health_checks()["HealthChecks"]
    first = next(row["Id"] for row in checks if FIRST in row["HealthCheckConfig"]["SearchString"])
    route53.update_health_check(HealthCheckId=first, Inverted=True)
    try:
        done = desk.deploy(SECOND, "--go")
    finally:
        route53.update_health_check(HealthCheckId=first, Inverted=False)
        route53.close()
    assert done.returncode == 3
    assert "inverted" in done.stdout
    assert desk.deployed == []


def test_it_refuses_when_aws_cannot_be_asked(desk: Desk) -> None:
    """What is not known is no reason to continue; nothing is urgent about a deployment."""
    done = desk.deploy(SECOND, "--go", endpoint="http://127.0.0.1:9")
    assert done.returncode == 3
    assert "AWS cannot be asked about the stack orders-lab" in done.stderr
    assert "Could not connect to the endpoint URL" in done.stderr
    assert desk.deployed == []


def test_a_failed_deployment_fails(desk: Desk) -> None:
    """And says how far it came: the stack is as it was."""
    write_sam(desk.directory, code=7)
    done = desk.deploy(SECOND, "--go")
    assert done.returncode == 1
    assert "before it changed the stack" in done.stderr


def test_it_refuses_while_another_region_is_not_serving(broken: Desk) -> None:
    """With the checkers' words; the broken Region itself may be deployed, and another one for a reason."""
    done = broken.deploy(SECOND, "--go")
    assert done.returncode == 3
    assert f"{FIRST}: NOT SERVING" in done.stdout
    # 503 is the function's answer. Every call takes long now, so the gateway may refuse most with 500.
    assert re.search(r"HTTP Status Code (503, Service Unavailable|500, Internal Server Error)", done.stdout)
    assert "refused to deploy us-east-2" in done.stderr
    assert broken.deployed == []

    # A deployment may be what repairs it. This one does not, and that has an exit code of its own.
    done = broken.deploy(FIRST, "--go", "--wait", "1")
    assert broken.deployed[-1] == "one"
    assert done.returncode == 5
    assert "deployed and not serving" in done.stderr

    done = broken.deploy(SECOND, "--go", "--force", "both are down anyway")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "both are down anyway" in done.stderr
    assert broken.deployed[-1] == "two"
