"""docs/first-deployment.md: the AWS CLI takes each `aws` command, up to the request it would send."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import jmespath
import pytest
from awscli.clidriver import create_clidriver
from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HTTPHeaders
from tests.pages import page

COMMANDS = [match[1] for match in re.finditer(r"`(aws [^`]+ --[^`]+)`", page("docs/first-deployment.md"))]
#: Commands of the CLI's version 2 that sign by themselves: boto3's method of that name, and its parameters.
SIGNS = {
    "dsql generate-db-connect-auth-token": ("generate_db_connect_auth_token", ("--hostname", "--region"))
}
#: Placeholders whose form the CLI looks at.
VALUES = {
    "REGION": "us-east-1",
    "START": "2026-11-24T00:00:00Z",
    "END": "2026-11-24T01:00:00Z",
    "WEB_ACL_ARN": "arn:aws:wafv2:us-east-1:111122223333:regional/webacl/beacon-prod/1",
}


class Caught:
    """What an `aws` command asked for; nothing is sent."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, str]] = []
        self.driver = create_clidriver()
        self.driver.session.register("before-call", self._before_call)
        self.driver.session.register("before-send", self._answer)

    def _before_call(self, model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's model
        self.operations.append((model.service_model.service_name, model.name))

    def _answer(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        return AWSResponse(request.url, 400, HTTPHeaders(), _Nothing())


class _Nothing:
    def stream(self, **_: object) -> list[bytes]:
        return [b""]


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caught]:
    """The AWS CLI without an account, in a directory that holds the files the commands name."""
    directory = tmp_path_factory.mktemp("cli")
    (directory / "dsql.yaml").write_text(page("dsql.yaml"), encoding="utf-8")
    with zipfile.ZipFile(directory / "clock.zip", "w") as archive:
        archive.writestr("clock.py", "")
    nothing = str(directory / "none")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_CONFIG_FILE", nothing)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", nothing)
        patch.setenv("AWS_ACCESS_KEY_ID", "none")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        patch.chdir(directory)
        yield Caught()


@pytest.fixture
def caught(cli: Caught) -> Caught:
    """The CLI, with nothing asked yet."""
    cli.operations.clear()
    return cli


def words(command: str) -> list[str]:
    """The command's words, placeholders filled where their form matters."""
    return [
        re.sub(rf"\b({'|'.join(VALUES)})\b", lambda match: VALUES[match[1]], word)
        for word in shlex.split(command)[1:]
    ]


def test_the_page_has_commands() -> None:
    """So that the tests below say something."""
    assert len(COMMANDS) > 25


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_a_command_of_the_page_exists_with_its_options(
    command: str, caught: Caught, capsys: pytest.CaptureFixture[str]
) -> None:
    """It gets as far as its request: the CLI knows the operation, each option, and the type of each value."""
    arguments = words(command)
    if signs := SIGNS.get(" ".join(arguments[:2])):
        method, options = signs
        assert tuple(word for word in arguments if word.startswith("--")) == options
        parameters = inspect.signature(
            getattr(boto3.client("dsql", region_name="us-east-1"), method)
        ).parameters
        assert {option.removeprefix("--").capitalize() for option in options} <= set(parameters)
        return
    caught.driver.main(arguments)
    said = capsys.readouterr()
    service, operation = arguments[:2]
    assert len(caught.operations) == 1, said.err
    assert xform_name(caught.operations[0][1], "-") == operation, service
    if "--query" in arguments:
        model = caught.driver.session.get_service_model(caught.operations[0][0])
        output = model.operation_model(caught.operations[0][1]).output_shape
        query = arguments[arguments.index("--query") + 1]
        jmespath.compile(query)
        for name in re.findall(r"\w+", query.removeprefix("length").partition(".")[0].partition("[]")[0]):
            assert name in output.members, (query, sorted(output.members))


def pasted(command: str, directory: Path) -> list[str]:
    """The words that bash makes of ``command``; a pattern in it that names files is an error, as in zsh."""
    shell = f"aws() {{ printf '%s\\0' \"$@\"; }}; {command}"
    done = subprocess.run(
        ["bash", "-O", "failglob", "-c", shell],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_a_command_of_the_page_can_be_pasted_into_a_shell(command: str, tmp_path: Path) -> None:
    """Parentheses, braces and stars reach the CLI as they are printed."""
    assert pasted(command, tmp_path) == shlex.split(command)[1:]
    for option in ("--query", "--filters", "--event-pattern"):
        assert f"{option} '" in command or option not in command


@pytest.mark.parametrize(
    "command",
    ["aws x --query length(Y)", 'aws x --event-pattern {\\"a\\":[\\"b\\",\\"c\\"]}', "aws x --query Y[].[A]"],
)
def test_a_command_that_the_shell_would_change_is_noticed(command: str, tmp_path: Path) -> None:
    """A subshell, a brace expansion, a pattern."""
    with pytest.raises(AssertionError):
        assert pasted(command, tmp_path) == shlex.split(command)[1:]


def test_an_invented_command_would_be_noticed(caught: Caught, capsys: pytest.CaptureFixture[str]) -> None:
    """The three ways in which a page goes wrong: operation, option, value."""
    for command in (
        "aws route53 get-health-check-verdict --health-check-id CHECK",
        "aws route53 get-health-check-status --check CHECK",
        "aws logs filter-log-events --region us-east-1 --log-group-name x --limit many",
    ):
        try:
            code = caught.driver.main(shlex.split(command)[1:])
        except SystemExit as ended:
            code = int(ended.code or 0)
        assert code != 0
    capsys.readouterr()
    assert caught.operations == []
