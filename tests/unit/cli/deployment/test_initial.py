"""The file that `beacon init` writes, and what it refuses."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.places import ROOT

from beacon_cli.app import main
from beacon_cli.configuration.samconfig import GLOBAL, read_deployments
from beacon_cli.deployment import initial
from beacon_cli.deployment.clusters import LinkedCluster
from beacon_cli.deployment.example import LINES, PLACEHOLDER
from beacon_cli.deployment.initial import Wishes, text_of
from beacon_cli.deployment.sam_file import changed_text
from beacon_cli.errors import WrongUseError
from beacon_lab.stack.translate import read_template

IDS = {"us-east-1": "a" * 26, "us-east-2": "b" * 26}
CLUSTERS = tuple(
    LinkedCluster(
        region, name, f"arn:aws:dsql:{region}:123456789012:cluster/{name}", f"{name}.dsql.{region}.on.aws"
    )
    for region, name in IDS.items()
)
WISHES = Wishes(app="orders", env="prod", record="db.example.com", policy="failover", values={"Weight": "50"})
TOKEN = "0" * 32


def written(tmp_path: Path, wishes: Wishes = WISHES) -> Path:
    path = tmp_path / "samconfig.toml"
    path.write_text(text_of(wishes, CLUSTERS, "Z1", TOKEN, None), encoding="utf-8")
    return path


def test_the_file_names_every_parameter_of_the_template() -> None:
    """A parameter without a line keeps its old value."""
    declared: Any = read_template(ROOT / "template.yaml")["Parameters"]
    assert {line.name for line in LINES} == set(declared)
    for line in LINES:
        default = declared[line.name].get("Default")
        if default is not None and line.default not in (PLACEHOLDER, str(default)):
            assert line.name in _OTHER_DEFAULTS, f"{line.name}: {line.default!r} beside {default!r}"


#: The file begins with another value than the template's default.
_OTHER_DEFAULTS = frozenset({"FailoverRole"})


def test_it_has_the_values_of_the_example_file(tmp_path: Path) -> None:
    """Where the example says neither a placeholder nor what init found out."""
    example = read_deployments(ROOT / "samconfig.toml")
    ours = read_deployments(written(tmp_path))
    assert ours.keys() == example.keys()
    own = {*initial._FOUND, "Weight"}
    for key, section in example.items():
        if key != GLOBAL:
            wanted = {name: value for name, value in section.parameters.items() if name not in own}
            assert {name: ours[key].parameters[name] for name in wanted} == wanted
            assert ours[key].parameters.keys() == section.parameters.keys()


def test_each_region_has_its_own_endpoint_and_the_other_as_peer(tmp_path: Path) -> None:
    """And what has to be equal is equal."""
    first, second = (read_deployments(written(tmp_path))[region].parameters for region in IDS)
    assert first["DsqlEndpoint"] == CLUSTERS[0].host
    assert first["PeerEndpoints"] == f"us-east-2={CLUSTERS[1].host}"
    assert second["PeerEndpoints"] == f"us-east-1={CLUSTERS[0].host}"
    assert (first["FailoverRole"], second["FailoverRole"]) == ("PRIMARY", "SECONDARY")
    different = {"DsqlEndpoint", "PeerEndpoints", "FailoverRole"}
    assert {name for name in first if first[name] != second[name]} == different
    assert first["Weight"] == "50"


def test_latency_has_no_failover_role(tmp_path: Path) -> None:
    """The template refuses one there."""
    wishes = Wishes(app="orders", env="prod", record="db.example.com", policy="latency")
    assert {
        one.parameters.get("FailoverRole") for one in read_deployments(written(tmp_path, wishes)).values()
    } == {
        "",
        None,
    }


def test_a_step_changes_its_own_values_and_asks_nothing(tmp_path: Path) -> None:
    """All other lines of the user's file stay, comments as well."""
    path = written(tmp_path)
    path.write_text(path.read_text() + "\n[us-east-1.deploy.parameters.tags]\nteam = 'x'\n")
    text = changed_text(path, "us-east-1", {"RoutingPolicy": "none"}, "template.yaml")
    before, after = tomllib.loads(path.read_text()), tomllib.loads(text)
    own = after["us-east-1"]["deploy"]["parameters"]
    assert own["tags"] == {"team": "x"}
    assert (own["confirm_changeset"], own["template_file"]) == (False, "template.yaml")
    assert after["us-east-2"] == before["us-east-2"]
    assert "RoutingPolicy=none" in own["parameter_overrides"]
    assert "RecordTarget=''" in own["parameter_overrides"]
    changed = tmp_path / "changed.toml"
    changed.write_text(text)
    then = read_deployments(changed)["us-east-1"].parameters
    now = read_deployments(path)["us-east-1"].parameters
    assert then == {**now, "RoutingPolicy": "none"}


def test_the_ids_of_global_yaml_are_put_in_when_it_is_deployed(tmp_path: Path) -> None:
    """The file cannot hold them: the checks are made with the Regions' stacks."""
    path = written(tmp_path)
    assert "FirstHealthCheckId" in read_deployments(path)[GLOBAL].placeholders
    ids = {"FirstHealthCheckId": "a", "SecondHealthCheckId": "b", "ThirdHealthCheckId": ""}
    changed = tmp_path / "changed.toml"
    changed.write_text(changed_text(path, GLOBAL, ids))
    after = read_deployments(changed)[GLOBAL]
    assert after.placeholders == []
    assert {name: after.parameters[name] for name in ids} == ids
    assert after.template == Path("global.yaml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--policy", "round-robin", "--record", "db.example.com"], "failover, latency, weighted, none"),
        (["--record", "db example"], "is no DNS name"),
        (["--record", "db.example.com", "--app", "Orders!"], "lower case letters"),
        (["--record", "db.example.com", "--set", "PathToken=x"], "finds that out itself"),
        (["--record", "db.example.com", "--set", "Wieght=1"], "is no parameter"),
        (["--record", "db.example.com", "--set", "Weight='1'"], "quotation mark"),
        (["--record", "db.example.com", "--set", "Weight"], "NAME=VALUE"),
        ([], "name the record that clients look up"),
        (["--policy", "failover"], "name the record"),
        (["--region", "nowhere", "--record", "db.example.com"], "is no Region"),
    ],
)
def test_wrong_use_is_one_sentence_and_writes_nothing(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before AWS is asked anything."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    path = tmp_path / "samconfig.toml"
    assert main(["init", *words, "--config-file", str(path)]) == 2
    assert said in capsys.readouterr().err
    assert not path.exists()


def test_every_reason_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not one after the other."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    words = ["--record", "db", "--app", "1", "--set", "Nope=1"]
    assert main(["init", *words, "--config-file", str(tmp_path / "samconfig.toml")]) == 2
    told = capsys.readouterr().err
    assert all(part in told for part in ("--record", "--app", "--set Nope"))


def test_a_file_that_describes_a_deployment_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example of the repository, whose placeholders are all there, is."""
    path = written(tmp_path)
    before = path.read_text()
    assert main(["init", "--record", "db.example.com", "--config-file", str(path)]) == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert path.read_text() == before
    path.write_text((ROOT / "samconfig.toml").read_text())
    initial._require_free(path, force=False)
    path.write_text("not a samconfig")
    with pytest.raises(WrongUseError):
        initial._require_free(path, force=False)


def test_deploy_wants_regions_or_all(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither and both are wrong use."""
    assert main(["deploy"]) == 2
    assert main(["deploy", "us-east-1", "--all"]) == 2
    assert "name Regions, or --all" in capsys.readouterr().err


def test_the_schema_of_the_plan_is_a_schema() -> None:
    """The lab's test holds real output to it."""
    for name in ("init", "deploy"):
        schema = json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text())
        assert schema["additionalProperties"] is False
