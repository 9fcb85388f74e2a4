"""Which stacks a samconfig.toml deploys, read as SAM reads the file."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from samcli.lib.config.samconfig import SamConfig
from scripts.sam_arguments import with_arguments
from tests.places import ROOT

from beacon_cli.configuration.samconfig import GLOBAL, ConfigurationError, Deployment, read_deployments
from beacon_lab.stack.translate import read_template

A = '[a.deploy.parameters]\nregion = "eu-west-1"\nstack_name = "s"\n'


def written(tmp_path: Path, text: str) -> dict[str, Deployment]:
    path = tmp_path / "samconfig.toml"
    path.write_text(text, encoding="utf-8")
    return read_deployments(path)


def section(**changes: Any) -> Deployment:  # noqa: ANN401 - any field's
    given: dict[str, Any] = {
        "name": "a",
        "region": "eu-west-1",
        "stack_name": "s",
        "profile": None,
        "template": None,
        "parameters": {},
    }
    return Deployment(**given | changes)


def test_the_projects_own_file_deploys_two_regions_and_the_alarms() -> None:
    """The example that users fill in is one that the script understands."""
    found = read_deployments(ROOT / "samconfig.toml")
    assert {key: (one.name, one.region, one.service) for key, one in found.items()} == {
        "us-east-1": ("us-east-1", "us-east-1", "beacon-prod"),
        "us-east-2": ("us-east-2", "us-east-2", "beacon-prod"),
        GLOBAL: ("global", "us-east-1", "beacon-prod"),
    }
    assert found[GLOBAL].template == Path("global.yaml")
    assert [key for key, one in found.items() if one.is_global] == [GLOBAL]


@pytest.mark.parametrize(
    ("key", "template", "own"),
    [
        ("us-east-1", "template.yaml", {"FailoverRole": "PRIMARY"}),
        ("us-east-2", "template.yaml", {"FailoverRole": "SECONDARY"}),
        (GLOBAL, "global.yaml", {"SecondRegion": "us-east-2"}),
    ],
)
def test_every_parameter_stands_in_the_file_with_its_default(
    key: str, template: str, own: dict[str, str]
) -> None:
    """A line that is missing could never set its parameter back: CloudFormation keeps the stack's value."""
    declared: Any = read_template(ROOT / template)["Parameters"]
    given = read_deployments(ROOT / "samconfig.toml")[key].parameters
    assert given.keys() == declared.keys()
    for name, value in given.items():
        if "REPLACE_ME" not in value and "Default" in declared[name]:
            assert value == own.get(name, str(declared[name]["Default"])), name


@pytest.mark.parametrize(
    "overrides",
    [
        "\"App=orders Env='test' PathToken=x=y\"",
        '["App=orders", "Env=test", "PathToken=x=y"]',
        "['App=\"orders\"', \"Env='test'\", 'PathToken=x=y']",
    ],
)
def test_overrides_may_be_a_string_or_a_list_and_hold_quotation_marks(tmp_path: Path, overrides: str) -> None:
    """SAM takes each of them. With the marks as part of the name, it would be another deployment."""
    found = written(tmp_path, f"{A}parameter_overrides = {overrides}\n")["eu-west-1"]
    assert found == section(parameters={"App": "orders", "Env": "test", "PathToken": "x=y"})
    assert found.service == "orders-test"


def test_profile_stack_and_template_come_from_the_file(tmp_path: Path) -> None:
    """As SAM does, from the command's table before the one for all commands."""
    text = (
        '[a.global.parameters]\nregion = "eu-west-1"\nstack_name = "s"\nprofile = "dev"\n'
        '[a.deploy.parameters]\nprofile = "prod"\ntemplate_file = "t.yaml"\n'
    )
    assert written(tmp_path, text)["eu-west-1"] == section(profile="prod", template=Path("t.yaml"))


def test_a_section_without_a_region_is_passed_over(tmp_path: Path) -> None:
    """Nothing says what it deploys; the version line is no section at all."""
    assert written(tmp_path, 'version = 0.1\n[default.deploy.parameters]\nstack_name = "x"\n') == {}


@pytest.mark.parametrize("extra", ["", 'template_file = "global.yaml"\n'])
def test_one_region_cannot_be_deployed_by_two_sections(tmp_path: Path, extra: str) -> None:
    """Which one is meant would be a guess; the stack for all Regions stands beside theirs."""
    text = A + extra + A.replace("[a.", "[b.") + extra
    with pytest.raises(ConfigurationError, match="twice: a and b"):
        written(tmp_path, text)


@pytest.mark.parametrize("text", ["[a", "\udcff"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, text: str) -> None:
    """With its name."""
    path = tmp_path / "samconfig.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError, match=r"samconfig\.toml cannot be read"):
        read_deployments(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[a.deploy.parameters]\nregion = "eu-west-1"\n', "a has no stack_name"),
        (f"{A}profile = 5\n", "profile of a must be a string"),
        (f'{A}parameter_overrides = "ParameterKey=App,ParameterValue=shop"\n', "NAME=VALUE"),
        (f'{A}parameter_overrides = ["FailoverRole="]\n', "FailoverRole=''"),
    ],
)
def test_a_section_that_would_be_read_wrongly_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """It would name a deployment without any Region, and so without one that could refuse."""
    with pytest.raises(ConfigurationError, match=sentence):
        written(tmp_path, text)


def test_a_commands_own_overrides_replace_those_for_all_commands(tmp_path: Path) -> None:
    """Whole, and not name by name: what the other table holds is not deployed."""
    text = (
        'version = 0.1\n[a.global.parameters]\nregion = "eu-west-1"\nstack_name = "s"\n'
        'parameter_overrides = ["App=orders", "Env=test"]\n'
        '[a.deploy.parameters]\nparameter_overrides = ["Env=prod"]\n'
    )
    found = written(tmp_path, text)["eu-west-1"]
    assert (found.parameters, found.service) == ({"Env": "prod"}, "beacon-prod")
    as_sam_reads = SamConfig(str(tmp_path)).get_all(["deploy"], "parameters", "a")
    assert as_sam_reads["parameter_overrides"] == ["Env=prod"]
    assert tomllib.loads(text)["a"]["global"]["parameters"]["stack_name"] == as_sam_reads["stack_name"]


# -- what stands behind --


def test_a_profile_a_template_and_overrides_in_the_arguments_count() -> None:
    """The overrides replace the file's as a whole, as they do for SAM."""
    start = section(profile="dev", parameters={"App": "orders", "Fall": "3"})
    assert with_arguments(start, ["--no-confirm-changeset"]) == start
    assert with_arguments(start, ["--profile", "prod"]).profile == "prod"
    assert with_arguments(start, ["--profile=prod", "--debug"]).profile == "prod"
    assert with_arguments(start, ["-t", "t.yaml"]).template == Path("t.yaml")
    found = with_arguments(start, ["--parameter-overrides", "Env=test", "Rise='3'", "--debug"])
    assert found.parameters == {"Env": "test", "Rise": "3"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--region", "us-east-1"],
        ["--region=us-east-1"],
        ["--stack-name", "other"],
        ["--config-env", "b"],
        ["--config-file", "x.toml"],
        ["--guided"],
        ["--profile"],
        ["--parameter-overrides", "FailoverRole="],
    ],
)
def test_arguments_that_deploy_something_else_are_refused(arguments: list[str]) -> None:
    """The guard would have asked about another stack."""
    with pytest.raises(ConfigurationError):
        with_arguments(section(), arguments)
