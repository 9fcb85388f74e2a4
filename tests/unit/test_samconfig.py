"""Which Regions a samconfig.toml deploys."""

from pathlib import Path

import pytest
from scripts.samconfig import ConfigurationError, Deployment, read_deployments

ROOT = Path(__file__).parents[2]


def written(tmp_path: Path, text: str) -> dict[str, Deployment]:
    path = tmp_path / "samconfig.toml"
    path.write_text(text, encoding="utf-8")
    return read_deployments(path)


def test_the_projects_own_file_deploys_two_regions() -> None:
    """The example that users fill in is one that the script understands."""
    assert read_deployments(ROOT / "samconfig.toml") == {
        region: Deployment(region, region, "beacon-prod") for region in ("us-east-1", "us-east-2")
    }


@pytest.mark.parametrize(
    "overrides", ["\"App=orders Env='test' PathToken=x=y\"", '["App=orders", "Env=test", "PathToken=x=y"]']
)
def test_overrides_may_be_a_string_or_a_list(tmp_path: Path, overrides: str) -> None:
    """SAM takes either."""
    text = f'[a.deploy.parameters]\nregion = "eu-west-1"\nparameter_overrides = {overrides}\n'
    assert written(tmp_path, text) == {"eu-west-1": Deployment("a", "eu-west-1", "orders-test")}


def test_a_section_without_a_region_is_passed_over(tmp_path: Path) -> None:
    """Nobody can tell what it deploys; the version line is no section at all."""
    assert written(tmp_path, 'version = 0.1\n[default.deploy.parameters]\nstack_name = "x"\n') == {}


def test_one_region_cannot_be_deployed_by_two_sections(tmp_path: Path) -> None:
    """Which one is meant would be a guess."""
    text = '[a.global.parameters]\nregion = "eu-west-1"\n[b.global.parameters]\nregion = "eu-west-1"\n'
    with pytest.raises(ConfigurationError, match="twice: a and b"):
        written(tmp_path, text)


@pytest.mark.parametrize("text", ["[a", "\udcff"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, text: str) -> None:
    """With its name."""
    path = tmp_path / "samconfig.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError, match=r"samconfig\.toml cannot be read"):
        read_deployments(path)


def test_overrides_for_all_commands_count_too(tmp_path: Path) -> None:
    """SAM merges the global table into the command's; the command's own win."""
    text = (
        '[a.global.parameters]\nregion = "eu-west-1"\nparameter_overrides = "App=orders Env=test"\n'
        '[a.deploy.parameters]\nparameter_overrides = ["Env=prod"]\n'
    )
    assert written(tmp_path, text) == {"eu-west-1": Deployment("a", "eu-west-1", "orders-prod")}


def test_a_form_that_would_be_read_wrongly_is_refused(tmp_path: Path) -> None:
    """It would name a deployment without any Region, and so without one that could refuse."""
    text = (
        '[a.deploy.parameters]\nregion = "eu-west-1"\n'
        'parameter_overrides = "ParameterKey=App,ParameterValue=shop"\n'
    )
    with pytest.raises(ConfigurationError, match="NAME=VALUE"):
        written(tmp_path, text)
