"""scripts/deploy-region against an AWS simulator: what the account holds decides, before `sam` is started."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer
from scripts.deploy_region import main
from tests.places import ROOT

REGION, ACCOUNT, OTHER_ACCOUNT = "us-east-1", "123456789012", "999999999999"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIALAB", "AWS_SECRET_ACCESS_KEY": "secret"}
TEMPLATE = {
    "Parameters": {
        "App": {"Type": "String", "Default": "beacon"},
        "PathToken": {"Type": "String", "NoEcho": True},
        "DsqlClusterArns": {"Type": "String", "Default": ""},
        "FailoverRole": {"Type": "String", "Default": ""},
        "OperatorCidrs": {"Type": "String", "Default": ""},
        "Fall": {"Type": "Number", "Default": 5},
        "RoutingPolicy": {"Type": "String", "Default": "none"},
    },
    "Resources": {"Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "g"}}},
}
# What `sam deploy` does as far as the guard can see it: a change set, and its result.
SAM = """#!/bin/sh
echo "$@" >> {directory}/started
exec {python} {directory}/sam.py
"""
DECLINED = """
import boto3
boto3.client("cloudformation", region_name="us-east-1").create_change_set(
    StackName="beacon-prod", ChangeSetName="samcli-deploy1", ChangeSetType="{kind}",
    TemplateBody='''{template}''',
    Parameters=[{{"ParameterKey": "PathToken", "ParameterValue": "t"}}])
"""


@dataclass
class Desk:
    """A checkout with a build, a samconfig.toml and a `sam` that does what a test wants; and the account."""

    url: str
    directory: Path
    clients: ExitStack

    def client(self, service: str) -> Any:  # noqa: ANN401 - any service's
        made: Any = boto3.client(service, region_name=REGION, endpoint_url=self.url)  # type: ignore[call-overload]
        return self.clients.enter_context(closing(made))

    def file(self, *overrides: str, profile: str = "") -> None:
        text = f'[one.deploy.parameters]\nstack_name = "beacon-prod"\nregion = "{REGION}"\n'
        text += f'profile = "{profile}"\n' if profile else ""
        text += f"parameter_overrides = {json.dumps(list(overrides))}\n"
        (self.directory / "samconfig.toml").write_text(text, encoding="utf-8")

    def sam(self, code: str) -> None:
        (self.directory / "sam.py").write_text(code, encoding="utf-8")

    def stack(self, *, disabled: bool = False, **parameters: str) -> None:
        """The Region is deployed: its stack, and a health check that looks for its words."""
        given = {"PathToken": "t"} | parameters
        self.client("cloudformation").create_stack(
            StackName="beacon-prod",
            TemplateBody=json.dumps(TEMPLATE),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        )
        self.check(Disabled=disabled)

    def check(self, region: str = REGION, **more: bool) -> str:
        """A health check that looks for the Region's words; the simulator's checkers find it healthy."""
        config = {"Type": "HTTPS_STR_MATCH", "SearchString": f"beacon:beacon-prod:{region}:serving", **more}
        made = self.client("route53").create_health_check(
            CallerReference=region, HealthCheckConfig={**config, "FullyQualifiedDomainName": "x.example"}
        )
        return str(made["HealthCheck"]["Id"])

    @property
    def started(self) -> bool:
        return (self.directory / "started").exists()

    def deploy_global(self, first: str, second: str) -> int:
        """What `deploy-region global` would do about a section with these ids."""
        overrides = (
            "FirstRegion=us-east-1 SecondRegion=us-east-2"
            f" FirstHealthCheckId={first} SecondHealthCheckId={second}"
        )
        (self.directory / "samconfig.toml").write_text(
            f'[global.deploy.parameters]\nstack_name = "g"\nregion = "{REGION}"\n'
            f'template_file = "global.yaml"\nparameter_overrides = "{overrides}"\n',
            encoding="utf-8",
        )
        shutil.copy(ROOT / "global.yaml", self.directory)
        return main(["global", "--sam", str(self.directory / "sam")])

    def deploy(self, *options: str) -> int:
        return main([REGION, "--sam", str(self.directory / "sam"), *options])


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def desk(simulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """An empty account in front of a checkout that is built and filled in."""
    moto_api_backend.reset()
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": simulator, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    monkeypatch.chdir(tmp_path)
    built = tmp_path / ".aws-sam/build"
    built.mkdir(parents=True)
    (built / "template.yaml").write_text(json.dumps(TEMPLATE), encoding="utf-8")
    script = tmp_path / "sam"
    script.write_text(SAM.format(directory=tmp_path, python=sys.executable), encoding="utf-8")
    script.chmod(0o755)
    with ExitStack() as clients:
        found = Desk(simulator, tmp_path, clients)
        found.file("PathToken=t")
        found.sam("")
        yield found


def test_a_value_that_only_the_stack_has_stops_it_and_each_is_named(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sam deploy` would keep it, whatever the operator who took the line out believes."""
    desk.stack(FailoverRole="PRIMARY", OperatorCidrs="203.0.113.0/24", Fall="3", App="beacon")
    desk.file("PathToken=t", "Fall=5")
    assert desk.deploy("--go") == 3
    said = capsys.readouterr()
    assert "FailoverRole is 'PRIMARY' in the stack beacon-prod and not in the file" in said.err
    assert "\"FailoverRole=''\" for the default" in said.err
    assert "OperatorCidrs is '203.0.113.0/24'" in said.err
    assert "Fall: 3 becomes 5" in said.out
    assert "App" not in said.err
    assert not desk.started


def test_with_every_value_in_the_file_it_deploys_and_the_token_may_be_left_out(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Empty values written as such are values."""
    desk.stack(FailoverRole="PRIMARY", Fall="5")
    desk.file("App='beacon'", "FailoverRole=''")
    desk.deploy("--go", "--wait", "0")
    said = capsys.readouterr()
    assert desk.started
    assert "FailoverRole: PRIMARY becomes empty" in said.out
    assert "PathToken" not in said.out + said.err


def test_another_profile_is_another_account_and_is_refused(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """There it would find no health check, and nothing would stand against a deployment."""
    desk.stack()
    role = f"arn:aws:iam::{OTHER_ACCOUNT}:role/any"
    keys = desk.client("sts").assume_role(RoleArn=role, RoleSessionName="guard")["Credentials"]
    (desk.directory / "aws-credentials").write_text(
        f"[elsewhere]\naws_access_key_id = {keys['AccessKeyId']}\n"
        f"aws_secret_access_key = {keys['SecretAccessKey']}\naws_session_token = {keys['SessionToken']}\n",
        encoding="utf-8",
    )
    arns = f"DsqlClusterArns=arn:aws:dsql:{REGION}:{ACCOUNT}:cluster/{'a' * 26}"
    for options, profile in (((), "elsewhere"), (("--", "--profile", "elsewhere"), "")):
        desk.file("PathToken=t", arns, profile=profile)
        assert desk.deploy("--go", "--first", *options) == 3
        said = capsys.readouterr().err
        assert f"elsewhere is account {OTHER_ACCOUNT}, and the deployment is in {ACCOUNT}" in said
    desk.file("PathToken=t", profile="elsewhere")
    assert desk.deploy("--go") == 3
    assert "this account has us-east-1 without a health check" in capsys.readouterr().err
    assert not desk.started


def test_a_region_without_a_check_asks_for_first(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong account, App or Env looks just like a first deployment."""
    assert desk.deploy("--go") == 3
    assert "At a first deployment add --first" in capsys.readouterr().err
    assert not desk.started
    desk.check()
    assert desk.deploy("--go") == 3
    assert "this account has no such stack" in capsys.readouterr().err
    assert desk.deploy("--first") == 0
    assert "would run" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["UPDATE", "CREATE"])
def test_a_no_at_the_prompt_is_no_failed_deployment(
    desk: Desk, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sam deploy` ends with 0 then, and the stack is as it was: exit code 4, so that a pipeline stops."""
    if kind == "UPDATE":
        desk.stack()
    newer = json.dumps({"Description": "newer", **TEMPLATE})
    desk.sam(DECLINED.format(kind=kind, template=newer))
    assert desk.deploy("--go", "--first", "--wait", "0") == 4
    said = capsys.readouterr()
    assert "nothing was deployed: the change set samcli-deploy1 was not executed" in said.err
    assert "not serving" not in said.err


def test_the_real_sam_after_a_no_is_seen_as_well(desk: Desk) -> None:
    """What the others assume of `sam deploy`: it reads the file's forms, asks, and ends with 0 after a no."""
    desk.file("App='orders'", "PathToken=t", "FailoverRole=''", "Fall=4")
    path = desk.directory / "samconfig.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"version = 0.1\n{text}confirm_changeset = true\n", encoding="utf-8")
    # As if it had just looked for a newer version of itself: the test asks no server but the simulator.
    home = desk.directory / "sam-home"
    home.mkdir()
    state = {"telemetryEnabled": False, "lastVersionCheck": time.time()}
    (home / "metadata.json").write_text(json.dumps(state), encoding="utf-8")
    environment = {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(home), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [ROOT / "scripts/deploy-region", REGION, "--go", "--first"],
        cwd=desk.directory,
        env={**os.environ, **environment},
        input="n\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Deploy this changeset?" in done.stdout
    assert "was not executed" in done.stderr
    (made,) = desk.client("cloudformation").list_change_sets(StackName="beacon-prod")["Summaries"]
    assert made["ExecutionStatus"] == "AVAILABLE"
    shown = desk.client("cloudformation").describe_change_set(ChangeSetName=made["ChangeSetId"])
    given = {one["ParameterKey"]: one["ParameterValue"] for one in shown["Parameters"]}
    assert (given["App"], given["FailoverRole"], given["Fall"]) == ("orders", "", "4")


def test_a_change_set_without_changes_is_not_a_no(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Running the same deployment again ends well, as `fail_on_empty_changeset = false` has it."""
    desk.stack()
    desk.sam(DECLINED.format(kind="UPDATE", template=json.dumps(TEMPLATE)))
    assert desk.deploy("--go", "--wait", "0") == 0
    said = capsys.readouterr().out
    assert "`sam deploy` found nothing to change" in said
    assert "deployed and serving" in said


def test_a_sam_that_ends_early_says_that_nothing_changed(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as one that cannot read the template."""
    desk.stack()
    desk.sam("raise SystemExit(7)")
    assert desk.deploy("--go") == 1
    assert "`sam deploy` ended with 7 before it changed the stack" in capsys.readouterr().err


def test_a_profile_that_is_not_configured_is_wrong_use(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the sentence, and not only the name of an exception."""
    desk.file("PathToken=t", profile="nowhere")
    assert desk.deploy("--go") == 2
    assert "The config profile (nowhere) could not be found" in capsys.readouterr().err


def test_wait_0_looks_once_and_ends_with_5(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """At a first deployment nothing serves yet, and the sentence says that this is expected."""
    assert desk.deploy("--go", "--first", "--wait", "0") == 5
    assert "exit code 5 is expected" in capsys.readouterr().err


def test_a_first_deployment_makes_no_record(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """A health check that is made together with the record counts as healthy before it has looked."""
    desk.file("PathToken=t", "RoutingPolicy=failover")
    for options in ((), ("--go",), ("--go", "--force", "hurry")):
        assert desk.deploy("--first", *options) == 3
        assert (
            "us-east-1 does not serve yet (there is no stack beacon-prod):"
            " keep RoutingPolicy=none until /health passes"
        ) in capsys.readouterr().err
    assert not desk.started


def test_a_record_is_turned_on_only_in_a_region_that_serves(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own check decides; whether the other Regions serve says nothing about this one."""
    desk.stack(disabled=True)
    desk.file("PathToken=t", "RoutingPolicy=latency")
    assert desk.deploy("--go", "--wait", "0") == 3
    said = capsys.readouterr().err
    assert "us-east-1 does not serve yet (its health check is disabled" in said
    assert "keep RoutingPolicy=none until /health passes" in said
    assert not desk.started
    (check,) = desk.client("route53").list_health_checks()["HealthChecks"]
    desk.client("route53").update_health_check(HealthCheckId=check["Id"], Disabled=False)
    assert desk.deploy() == 0


def test_a_region_whose_record_is_on_may_be_deployed_while_it_fails(desk: Desk) -> None:
    """The deployment may be what repairs it."""
    desk.stack(disabled=True, RoutingPolicy="latency")
    desk.file("PathToken=t", "RoutingPolicy=latency")
    assert desk.deploy() == 0


def test_the_ids_for_global_are_those_of_their_regions(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each alarm is named after a Region, and would watch another one."""
    first, second = desk.check("us-east-1"), desk.check("us-east-2")
    assert desk.deploy_global(first, second) == 0
    capsys.readouterr()
    assert desk.deploy_global(second, first) == 3
    said = capsys.readouterr().err
    assert "FirstHealthCheckId is us-east-2's check, not us-east-1's" in said
    assert "SecondHealthCheckId is us-east-1's check, not us-east-2's" in said
    assert desk.deploy_global(first, f"{'0' * 8}-0000-0000-0000-{'0' * 12}") == 3
    said = capsys.readouterr().err
    assert f"SecondHealthCheckId is no check of beacon-prod: us-east-2's is {second}" in said
    assert "FirstHealthCheckId" not in said


def test_what_the_template_refuses_is_wrong_use(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it in the dry run, with names, and without the token."""
    shutil.copy(ROOT / "template.yaml", desk.directory / ".aws-sam/build")
    desk.file("PathToken=short", "Fall=abc", "Env=Prod_1", "DsqlClusterArns=arn:aws:dsql:x")
    assert desk.deploy("--first") == 2
    said = capsys.readouterr()
    for name in ("PathToken must be", "Fall must be", "Env must be", "DsqlClusterArns must be"):
        assert name in said.err
    assert "DsqlEndpoint is missing" in said.err
    assert "short" not in said.out + said.err
