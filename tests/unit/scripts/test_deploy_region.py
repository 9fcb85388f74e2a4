"""scripts/deploy-region refuses wrong use before it calls AWS."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from scripts import deploy_region
from scripts.deploy_region import main
from tests.pages import page
from tests.places import ROOT

REGION = "us-east-1"
CONFIG = ROOT / "samconfig.toml"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("us-west-2",), "has no section for us-west-2: it has us-east-1, us-east-2, global"),
        ((REGION, "--config-file", "/nonexistent/samconfig.toml"), "cannot be read"),
        ((REGION, "--sam", "/nonexistent/sam"), "there is no program /nonexistent/sam"),
    ],
)
def test_what_the_file_and_the_machine_do_not_have_is_named(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    """Exit status 2 and a sentence."""
    assert main(["--config-file", str(CONFIG), *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("Ohio",), "'Ohio' is not a Region"),
        ((REGION, "--force", " "), "the reason is empty"),
        ((REGION, "--wait", "long"), "invalid float value"),
        ((), "REGION"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    """As argparse does it."""
    with pytest.raises(SystemExit, match="2"):
        main(["--config-file", str(CONFIG), *arguments])
    assert sentence in capsys.readouterr().err


def test_a_file_that_is_not_filled_in_is_not_ready(capsys: pytest.CaptureFixture[str]) -> None:
    """Each placeholder is named, before anything is asked."""
    assert main(["--config-file", str(CONFIG), REGION, "--sam", sys.executable]) == 2
    said = capsys.readouterr().err
    assert "us-east-1 still has REPLACE_ME in PathToken, DsqlClusterArns, DsqlEndpoint, PeerEndpoints" in said


def test_without_a_build_there_is_nothing_to_deploy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sam deploy` would upload the sources without their libraries, and every probe would fail."""
    monkeypatch.chdir(tmp_path)
    section = (
        f'[a.deploy.parameters]\nregion = "{REGION}"\nstack_name = "s"\nparameter_overrides = "Fall=5"\n'
    )
    (tmp_path / "samconfig.toml").write_text(section, encoding="utf-8")
    assert main([REGION, "--sam", sys.executable]) == 2
    assert "run `.venv/bin/sam build` first" in capsys.readouterr().err
    built = tmp_path / ".aws-sam/build/template.yaml"
    built.parent.mkdir(parents=True)
    built.write_text("Resources: {}\n", encoding="utf-8")
    assert main([REGION, "--sam", sys.executable]) == 2
    assert "is no template with parameters" in capsys.readouterr().err
    built.write_text("Parameters: { Rise: { Type: Number } }\n", encoding="utf-8")
    assert main([REGION, "--sam", sys.executable]) == 2
    assert "Fall of a is no parameter of" in capsys.readouterr().err


def test_a_log_never_holds_the_path_token() -> None:
    """What is passed on to sam deploy is shown, without the one value that is not for a log."""
    shown = deploy_region._shown(["sam", "deploy", "--parameter-overrides", "PathToken=abc123 App=orders"])
    assert "abc123" not in shown
    assert "App=orders" in shown


@pytest.mark.parametrize("name", ["docs/rollout.md"])
def test_every_command_on_the_pages_is_one_that_the_script_takes(name: str) -> None:
    """Copied at night, a command must not end with a usage message."""
    text = page(name)
    found = re.findall(
        r"scripts/deploy-region ((?:[a-z$]\S*|REGION)(?: --[a-z-]+(?: '[^']*'| [0-9]+)?)*)", text
    )
    assert len(found) >= 3
    for command in found:
        region, *options = shlex.split(command)
        parsed = deploy_region._parser().parse_args(
            [REGION if region in {"REGION", "$region"} else region.rstrip("`.,:;"), *options]
        )
        assert parsed.region


def test_the_pages_never_set_a_parameter_back_by_taking_its_line_out() -> None:
    """What the page once said: CloudFormation would keep the value."""
    text = page("docs/rollout.md")
    assert "take its line out" not in text
    for name in ("FailoverRole", "PeerEndpoints", "OperatorCidrs", "SecondRegion", "SecondHealthCheckId"):
        assert f"\"{name}=''\"" in text
