"""The documents under docs/: what they name exists, and what an operator meets is named."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.places import ROOT

from beacon.outcome import Reason
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import Translation, read_template, translate

PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEMPLATE: Any = read_template(ROOT / "template.yaml")
GIVEN = {
    "PathToken": "3f9c1d7a5b2e4c8f9a0d6e1b7c4f2a85",
    "DsqlClusterArns": f"arn:aws:dsql:us-east-1:123456789012:cluster/{'a' * 26}",
    "DsqlEndpoint": f"{'a' * 26}.dsql.us-east-1.on.aws",
}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@cache
def translated() -> Translation:
    return translate(ROOT / "template.yaml", region="us-east-1", parameters=GIVEN)


def anchor(heading: str) -> str:
    """How a heading is linked to."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file, and where it names one to a heading in it."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text(encoding="utf-8")):
        name, _, fragment = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in {anchor(heading) for heading in headings}, target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_path_of_the_project_that_is_named_exists(path: Path) -> None:
    """In code spans and in commands."""
    text = path.read_text(encoding="utf-8")
    folders = "layers|lab|sql|docs|functions|benchmarks|tests|scripts|events"
    named = {
        *re.findall(rf"`((?:{folders})/[\w./-]+)", text),
        *re.findall(rf"(?:^\$ |-f |; |&& |do )((?:{folders})/[\w./-]+)", text, re.MULTILINE),
        *re.findall(r"`(\w+\.(?:yaml|toml))`", text),
    }
    assert not {name for name in named if not (ROOT / name.rstrip(".")).exists()}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_parameter_and_output_that_is_set_or_read_exists(path: Path) -> None:
    """`Name=value` in a code span is a parameter of one of the templates."""
    names = set(TEMPLATE["Parameters"]) | set(TEMPLATE["Outputs"])
    for other in ("global.yaml", "dsql.yaml"):
        if (ROOT / other).exists():
            declared: Any = read_template(ROOT / other)["Parameters"]
            names |= set(declared)
    set_to = re.findall(r"`([A-Z][A-Za-z0-9]+)=[^`]*`", path.read_text(encoding="utf-8"))
    assert not set(set_to) - names


def test_every_psql_command_sets_the_variables_that_its_script_needs() -> None:
    """A command that is copied from a page runs."""
    commands = [
        (path.name, *found)
        for path in PAGES
        for found in re.findall(
            r"psql(?: -w)?((?: -v \w+=(?:'[^']*'|\"[^\"]*\"|\S+))*) -f (sql/[\w-]+\.sql)",
            path.read_text("utf-8"),
        )
    ]
    assert commands
    for name, options, script in commands:
        text = re.sub(r"^--.*$", "", (ROOT / script).read_text(encoding="utf-8"), flags=re.MULTILINE)
        needed = set(re.findall(r":['\"]?([a-z_]+)\b['\"]?", re.sub(r"::\w+", "", text)))
        made = {
            name
            for query in re.findall(r"^SELECT[^;]*?\\gset", text, re.MULTILINE)
            for name in re.findall(r"AS (\w+)", query)
        }
        optional = set(re.findall(r"\\set (\w+) ", text)) | made | {"ON_ERROR_STOP"}
        given = set(re.findall(r"-v (\w+)=", options))
        if given:  # without any, the script is only being named
            assert given >= needed - optional, (name, script)
            assert given <= needed | optional, (name, script)


@pytest.mark.parametrize("path", sorted((ROOT / "sql").glob("*.sql")), ids=lambda path: path.name)
def test_every_script_says_what_to_do_at_a_conflict(path: Path) -> None:
    """DSQL answers 40001, OC000 or OC001, to any statement that writes; each script may be run again."""
    head = path.read_text(encoding="utf-8").split("\n\\set", 1)[0]
    if path.name == "show.sql":
        assert not re.search(r"^(INSERT|UPDATE|DELETE|CREATE|GRANT)", path.read_text("utf-8"), re.MULTILINE)
        return
    assert "40001" in head
    assert "OC001" in head
    assert re.search(r"run it\s+(?:-- )?again|run again|attempts", head)


def test_the_pages_name_one_version_of_psql() -> None:
    """Debian 12 has 15, and what is printed works with it."""
    texts = [path.read_text(encoding="utf-8") for path in (*PAGES, ROOT / "README.md")]
    versions = [version for text in texts for version in re.findall(r"`psql`\s+(?:is\s+)?(\d+)", text)]
    assert len(versions) >= 2
    assert set(versions) == {"15"}


def test_every_alarm_is_in_the_runbook() -> None:
    """An operator whom an alarm wakes finds what to do."""
    runbook = page("runbook.md")
    templates = [TEMPLATE]
    if (ROOT / "global.yaml").exists():
        templates.append(read_template(ROOT / "global.yaml"))
    names = [
        str(node["Properties"]["AlarmName"])
        for template in templates
        for node in template["Resources"].values()
        if node["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert len(names) >= 6
    short = {re.sub(r"^.*\$\{Env\}-(?:\$\{\w+Region\}-)?([a-z-]+)\W*$", r"\1", name) for name in names}
    assert not {name for name in short if not re.search(rf"^\| `(?:REGION-)?{name}`", runbook, re.MULTILINE)}


def test_the_pages_count_the_alarms_of_a_region() -> None:
    """The README's table of settings and cost.md say how many template.yaml has."""
    alarms = [node for node in TEMPLATE["Resources"].values() if node["Type"] == "AWS::CloudWatch::Alarm"]
    words = ("six", "seven", "eight", "nine", "ten")
    counted = [
        word
        for text in ((ROOT / "README.md").read_text(encoding="utf-8"), page("cost.md"))
        for word in re.findall(r"\b(?:The )?(\w+) alarms (?:on what|watch)", text)
    ]
    assert counted == [words[len(alarms) - 6]] * 2


def test_an_operator_is_named_by_the_system_and_not_by_the_environment() -> None:
    """USER is unset in a container and under cron, and a drain without an actor is refused."""
    texts = [path.read_text(encoding="utf-8") for path in (*PAGES, ROOT / "README.md")]
    texts.append((ROOT / "lab/src/beacon_lab/scenarios/up.py").read_text(encoding="utf-8"))
    text = "\n".join(texts).replace('\\"', '"')
    actors = re.findall(r'-v actor=("[^"]*"|\w+)', text)
    assert len(actors) >= 8
    assert set(actors) - {"NAME"} == {'"$(id -un)"'}


def test_the_commands_of_the_runbook_end_by_themselves() -> None:
    """Whatever they ask may be frozen."""
    commands = re.findall(
        r"(?:^\$ |`)((?:timeout \d+ )?(?:aws \w+|curl|psql|dig) [^`\n]*-[^`\n]*)",
        page("runbook.md"),
        re.MULTILINE,
    )
    assert len(commands) > 10
    limits = ("timeout ", "curl -s --max-time 5 ", "dig +short +time=2 ")
    named = ("aws dsql generate-db-connect-admin-auth-token", "aws --version")
    assert not [it for it in commands if not it.startswith((*limits, *named))]


def test_the_figures_of_a_partial_failure_are_those_that_were_measured() -> None:
    """The row of 30 % in limits.md, from benchmarks/results.json (`make bench NAME=sim`)."""
    rows = json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8"))
    (seen,) = [row for row in rows if row["name"] == "sim.partial_alarm_s"]
    out = seen["runs_out_of_the_document"] * 100 / seen["repetitions"]
    assert seen["runs_out_of_dns"] == 0
    row = (
        f"| 30 % | {seen['probes_failed'] * 100:.0f} % | never | 0 % | in {out:.0f} % of the hours | 0.2 %"
        f" | {seen['value'] / 60:.0f} min |"
    )
    assert row in page("limits.md")


def test_every_answer_of_health_is_in_the_runbook() -> None:
    """Every reason code that it can have, and what the gateway says by itself."""
    answers = page("runbook.md").split("## Answers of `/health`")[1].split("\n## ")[0]
    reasons = set(Reason) - {Reason.DEFERRED, Reason.NO_DATA}
    assert not {reason for reason in reasons if not re.search(rf"^\|[^|]*`{reason}`", answers, re.MULTILINE)}
    for status in ("403", "429", "500", "502"):
        assert f"\n| {status} |" in answers


def test_every_metric_is_in_the_runbook() -> None:
    """The same names as in the README, where a test holds them to the code."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    metrics = readme.split("**Metrics**")[1].split("\n## ")[0]
    names = {
        name
        for row in re.findall(r"^\|([^|]+)\|", metrics, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert "ProbeLatency" in names
    assert not {name for name in names if f"`{name}`" not in page("runbook.md")}


MAPPED = [("The library", ROOT / "layers/beacon/src/beacon"), ("The lab", ROOT / "lab/src/beacon_lab")]


def rows_of_the_map(heading: str) -> dict[str, tuple[str, str]]:
    """What architecture.md says of each folder, and which of its files it opens first."""
    text = page("architecture.md").split(f"### {heading}")[1].split("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| `(\w+\.py)` \|", text, re.MULTILINE)
    return {folder: (sentence, first) for folder, sentence, first in rows}


@pytest.mark.parametrize(("heading", "package"), MAPPED, ids=["library", "lab"])
def test_the_map_has_a_row_for_each_folder(heading: str, package: Path) -> None:
    """No folder is missing, no row is left over, and the file to open first is there."""
    rows = rows_of_the_map(heading)
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert len(folders) > 5
    assert set(rows) == folders | {"root"}
    for folder, (_, first) in rows.items():
        assert (package / ("" if folder == "root" else folder) / first).is_file(), folder


@pytest.mark.parametrize(("heading", "package"), MAPPED, ids=["library", "lab"])
def test_a_folder_is_described_once(heading: str, package: Path) -> None:
    """The map repeats the sentence that the folder's own `__init__.py` opens with."""
    for folder, (sentence, _) in rows_of_the_map(heading).items():
        if folder != "root":
            tree = ast.parse((package / folder / "__init__.py").read_text(encoding="utf-8"))
            assert (ast.get_docstring(tree) or "").splitlines()[0] == sentence, folder


@pytest.mark.parametrize(("heading", "package"), MAPPED, ids=["library", "lab"])
def test_every_module_is_in_a_folder(heading: str, package: Path) -> None:
    """A folder inside a folder, or a module in a directory without `__init__.py`, would not be on the map."""
    known = {package} | {package / folder for folder in rows_of_the_map(heading) if folder != "root"}
    assert {path.parent for path in package.rglob("*.py")} == known


def test_the_map_says_where_to_look_in_files_that_exist() -> None:
    """Drain, token, share of the checkers and pool: each row names a file at least."""
    text = page("architecture.md").split("### Where is …")[1].split("\n### ")[0]
    rows = re.findall(r"^\| (?!looking for|---)[^|]+ \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) >= 6
    for row in rows:
        files = re.findall(r"`([\w./]+\.py)`", row)
        assert files, row
        assert not [name for name in files if not (ROOT / name).is_file()], row


CONTROLS = {
    *(f"APIGateway.{n}" for n in (1, 2, 3, 4, 5, 8, 9, 10, 11)),
    *(f"Lambda.{n}" for n in (1, 2, 3, 5, 6, 7)),
}


def controls() -> dict[str, tuple[str, str]]:
    """What security.md says of each control: whether it is met, and why."""
    rows = re.findall(r"^\| (\w+\.\d+) \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", page("security.md"), re.MULTILINE)
    return {name: (status, why) for name, status, why in rows}


def test_every_control_of_security_hub_is_met_or_excepted_with_a_reason() -> None:
    """And what a parameter meets names one that there is, off by default."""
    assert set(controls()) == CONTROLS
    for name, (status, why) in controls().items():
        assert re.fullmatch(r"met|met with `\w+`|excepted|does not apply", status), name
        assert why.strip(), name
        for parameter in re.findall(r"`(\w+)`", status):
            assert TEMPLATE["Parameters"][parameter]["Default"] in ("", "false")


def test_the_controls_that_are_met_are_met() -> None:
    """Runtime, tags, no cache, and functions that this API alone may invoke."""
    template: Any = translated().template
    stack = TemplateResolver.create(template, GIVEN, region="us-east-1", stack_name="beacon-prod")
    kinds = stack.resource_types()
    for name, kind in kinds.items():
        properties: Any = template["Resources"][name].get("Properties", {})
        if kind == "AWS::Lambda::Function":
            assert properties["Runtime"] == "python3.13"
            assert {"app", "env"} <= {tag["Key"] for tag in properties["Tags"]}
        elif kind == "AWS::Lambda::Permission":
            assert properties["Principal"] == "apigateway.amazonaws.com"
            assert "SourceArn" in properties
        elif kind == "AWS::ApiGateway::Stage":
            assert not properties.get("CacheClusterEnabled", False)
    assert list(kinds.values()).count("AWS::Lambda::Permission") == 2
