"""The pages for contributors name what exists, and the workflow runs what `.ci/run` runs."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from tests.places import ROOT

PAGES = (
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    ".github/pull_request_template.md",
    "lab/README.md",
)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_every_path_and_link_of_the_page_exists(name: str) -> None:
    """Links with a heading lead to that heading."""
    text = read(name)
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        file, _, fragment = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^a-z0-9 _-]", "", each.lower()).replace(" ", "-") for each in headings}
            assert fragment in anchors, target
    folders = "layers|lab|sql|docs|functions|benchmarks|tests|scripts|tools"
    named = {
        *re.findall(rf"`((?:{folders})/[\w./-]*)`", text),
        *re.findall(r"`([\w.]+\.(?:yaml|toml|md))`", text),
        *re.findall(rf"\b((?:{folders})/[\w./-]+\.(?:py|sql|json))\b", text),
    }
    assert not {each for each in named if not (ROOT / each).exists()}


def test_every_make_target_that_the_page_names_exists() -> None:
    """The table of the loop names the quick target and the complete one."""
    targets = set(re.findall(r"[`$] ?make ([a-z]+)", read("CONTRIBUTING.md")))
    assert {"setup", "check", "test", "lint", "bench", "mutants"} <= targets
    assert not {target for target in targets if not re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)}


def test_the_walk_through_names_the_field_and_the_tests_that_there_are() -> None:
    """It holds no default to the code: a newcomer who follows the page changes that default."""
    text = read("CONTRIBUTING.md")
    assert "check_timeout_s: float = " in read("layers/beacon/src/beacon/client/pool_care.py")
    assert "def check_s(" in read("layers/beacon/src/beacon/client/pool_care.py")
    (test,) = re.findall(r"`(test_\w+)`", text)
    assert f"def {test}(" in read("tests/docs/test_consumers.py")


def test_the_workflow_runs_the_projects_own_script_with_pinned_actions() -> None:
    """A tag can be moved; a commit cannot."""
    workflow: Any = yaml.safe_load(read(".github/workflows/ci.yaml"))
    steps = workflow["jobs"]["ci"]["steps"]
    assert [step["run"] for step in steps if "run" in step][-1] == ".ci/run"
    used = [step["uses"] for step in steps if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", each) for each in used)
    assert workflow["permissions"] == {"contents": "read"}


def test_the_hooks_run_the_projects_own_tools() -> None:
    """Nothing is downloaded, and each program is in the project's environment."""
    configuration: Any = yaml.safe_load(read(".pre-commit-config.yaml"))
    (source,) = configuration["repos"]
    assert source["repo"] == "local"
    for hook in source["hooks"]:
        assert hook["language"] == "system"
        program = ROOT / hook["entry"].split()[0]
        assert program.parts[-3:-1] == (".venv", "bin")
        assert program.exists(), "run make setup"
