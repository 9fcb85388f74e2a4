"""The command's statements are those of sql/*.sql, word for word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest
from tests.places import ROOT

from beacon_cli.fleet import Fleet, Site
from beacon_cli.schema.found import Found
from beacon_cli.schema.state import compare
from beacon_cli.schema.wanted import Part, Wanted
from beacon_lab.dsql.sql_script import run

SQL = ROOT / "sql"
HEALTH, PUBLISHER, ALICE = (f"arn:aws:iam::123456789012:role/{name}" for name in ("h", "p", "alice"))
WANTED = Wanted(
    service="it's-prod",
    target="dsql",
    parts=(
        Part("us-east-1", "probe", {"health": HEALTH, "publisher": PUBLISHER}),
        Part("us-east-2", "probe", {}, "no stack yet"),
    ),
    operator_role="operators",
    operator_arns=(ALICE,),
    canary=True,
)


def plain(statement: str) -> str:
    """Without what has no meaning: the layout between words, outside of the texts."""
    return re.sub(r"\s+(?=\))|(?<=\()\s+", "", " ".join(statement.split()))


def of_scripts() -> Iterator[str]:
    """What an operator's psql sends for the same deployment, without the look whether a role exists."""
    roles = {"login_role": "probe", "operator_role": "operators"}
    regions = {"service": "it's-prod", "target": "dsql", "regions": "us-east-1,us-east-2"}
    runs: list[tuple[str, Mapping[str, str]]] = [("schema.sql", {}), ("roles.sql", roles)]
    runs += [("grants.sql", {"role": "probe", "arn": arn}) for arn in (HEALTH, PUBLISHER)]
    runs += [("grants.sql", {"role": "operators", "arn": ALICE}), ("regions.sql", regions)]
    runs += [("canary.sql", {"login_role": "probe"})]
    sent: list[str] = []

    def execute(statement: str) -> Mapping[str, object] | None:
        sent.append(statement)
        missing = {"login_is_missing": True, "operator_is_missing": True}
        return missing if "login_is_missing" in statement else None

    for name, variables in runs:
        run(SQL / name, variables, execute)
    frame = {"BEGIN", "COMMIT"}
    yield from (plain(one) for one in sent if one not in frame and "login_is_missing" not in one)


def test_the_statements_are_those_of_the_sql_files() -> None:
    """Each of them, and no other; the order is the command's own."""
    made = [plain(one) for one in compare(WANTED, Found("us-east-1")).statements]
    assert sorted(made) == sorted(of_scripts())
    assert len(made) == 22


def test_the_order_is_one_in_which_each_statement_can_run() -> None:
    """The schema before its tables, a table and a role before their grants, a role before its mapping."""
    made = compare(WANTED, Found("us-east-1")).statements
    first = {word: next(at for at, one in enumerate(made) if one.startswith(word)) for word in ORDER}
    assert list(first.values()) == sorted(first.values())
    last_table = max(at for at, one in enumerate(made) if one.startswith("CREATE TABLE"))
    assert last_table < first["GRANT"]


ORDER = (
    "CREATE SCHEMA",
    "CREATE TABLE",
    "INSERT INTO beacon.schema_version",
    "CREATE ROLE",
    "GRANT",
    "AWS IAM",
)


@pytest.mark.parametrize("changed", ["CHECK (undrained >= 0)", "SELECT, DELETE"])
def test_the_comparison_sees_a_change_in_one_of_them(changed: str) -> None:
    """Otherwise it would prove nothing."""
    made = [plain(one) for one in compare(WANTED, Found("us-east-1")).statements]
    other = [
        one.replace("CHECK (undrained >= 1)", changed).replace("SELECT, UPDATE", changed) for one in made
    ]
    assert sorted(other) != sorted(of_scripts())


def test_the_default_names_are_those_that_the_pages_give_to_psql() -> None:
    """So both ways make the same roles."""
    page = (ROOT / "docs/rollout.md").read_text(encoding="utf-8")
    fleet = Fleet("beacon", "prod", (Site("us-east-1", "beacon-prod", ""),), "a test")
    assert f"operator_role={fleet.operator_role} -f sql/roles.sql" in page
    assert "login_role=beacon_probe" in page


def test_the_command_opens_no_file_for_them() -> None:
    """An installed wheel has no folder sql/ beside it."""
    modules = sorted((ROOT / "cli/src/beacon_cli/schema").glob("*.py"))
    assert len(modules) > 8
    for path in modules:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bopen\(|read_text|importlib|pathlib", text), path.name
