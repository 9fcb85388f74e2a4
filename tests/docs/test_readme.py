"""The README names what a user can set, run and watch, and nothing that does not exist."""

from __future__ import annotations

import argparse
import ast
import json
import re
from typing import Any

import figures
import pytest
import yaml
from tests.places import ROOT

from beacon_lab.cli import _parser

README = (ROOT / "README.md").read_text(encoding="utf-8")


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as plain nodes."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)  # noqa: ARG005


def _template() -> dict[str, Any]:
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader's child
    return found


def _metrics() -> set[str]:
    """Every metric name that the handlers' code passes to the two ways of counting."""
    names: set[str] = set()
    for path in [*(ROOT / "layers/beacon/src/beacon").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "single_metric":
                names |= {ast.literal_eval(node.args[0])}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr == "add_metric":
                    names |= {ast.literal_eval(node.args[0])}
                elif node.func.attr == "count" and node.args and isinstance(node.args[0], ast.Dict):
                    names |= {ast.literal_eval(key) for key in node.args[0].keys if key is not None}
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "counts":
                assert isinstance(node.value, ast.Dict)
                names |= {ast.literal_eval(key) for key in node.value.keys if key is not None}
    return names


@pytest.mark.parametrize("parameter", sorted(_template()["Parameters"]))
def test_every_parameter_of_the_template_is_documented(parameter: str) -> None:
    """An operator who deploys finds each parameter in the settings' table."""
    assert re.search(rf"^\|[^|]*`{parameter}`", README, re.MULTILINE)


def test_every_metric_is_documented() -> None:
    """An operator on call finds what a metric means."""
    found = _metrics()
    assert {"ProbeLatency", "ProbeFail", "Frozen", "Drained", "EndpointUp"} <= found
    assert not {name for name in found if f"`{name}`" not in README}


def test_every_command_of_the_lab_is_documented() -> None:
    """Each command is in the README."""
    action = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    missing = {name for name in action.choices if not re.search(rf"beacon-lab {name}|make {name}", README)}
    assert not missing


def test_the_files_that_the_readme_names_exist() -> None:
    """Links and paths in code spans lead somewhere."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    paths = re.findall(r"`((?:layers|lab|sql|docs|functions|benchmarks|tests)/[^`\s]+)`", README)
    scripts = re.findall(r"-f (sql/\w+\.sql)", README)
    named = {*links, *paths, *scripts}
    assert named
    assert not {name for name in named if not (ROOT / name).exists()}


def test_who_follows_the_readme_deploys_every_template() -> None:
    """Each of the three, with the parameters that it needs; global.yaml holds the alarms on DNS."""
    steps = README.split("## Deploy it to two Regions")[1].split("\n## ")[0]
    # `--all` takes template.yaml to each Region and then global.yaml; the lab's tests hold its steps.
    assert "beacon deploy --all --go" in steps
    for name in ("dsql.yaml",):
        commands = re.findall(rf"--template-file {name} \\\n((?: +[^\n]*\\\n)* +[^\n]+)", steps)
        assert commands
        template = yaml.load((ROOT / name).read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader's child
        needed = {key for key, node in template["Parameters"].items() if "Default" not in node}
        for command in commands:
            given = set(re.findall(r"([A-Z]\w+)=", command))
            assert needed <= given <= set(template["Parameters"])


def test_the_readme_puts_no_other_aws_cli_on_the_path() -> None:
    """The project's environment holds AWS CLI 1. To Debian 12's psql 15, `system` is a file."""
    assert not re.search(r"PATH=\S*\.venv", README)
    assert "PGSSLROOTCERT=system" not in README


def test_every_make_target_that_the_readme_names_exists() -> None:
    """The commands for a stranger's first minutes."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"[`$] ?make ([a-z]+)", README))
    assert {"demo", "test", "bench"} <= targets
    assert not {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)}


def test_the_figures_are_those_that_were_measured() -> None:
    """The table is made from benchmarks/results.json (`python benchmarks/figures.py`)."""
    measured = json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8"))
    assert figures.put(README, measured) == README
    assert "make bench NAME=" in README
