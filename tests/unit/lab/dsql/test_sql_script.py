"""The runner of SQL files does with variables, conditions and errors what psql does."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.places import ROOT

from beacon_lab.dsql.sql_script import ScriptRefusedError, StatementError, run

SQL = ROOT / "sql"
VARIABLES = {"a": "it's; -- x", "b": 'ro"le', "c": "back\\slash"}
REFUSING = r"""\set ON_ERROR_STOP off
\if :{?attempt}
\else
\set attempt one
\endif
SELECT problem \gset
\if :ERROR
\set failure :SQLSTATE
\warn 'failed with' :failure
\set ON_ERROR_STOP on
end;
\elif :refused
\warn :refusal
\warn 'It''s unchanged.'
\set ON_ERROR_STOP on
end;
\else
SELECT 'done';
\endif
"""


class Database:
    """Remembers the statements; answers with rows in their order, and a text is a SQLSTATE to fail with."""

    def __init__(self, *answers: dict[str, object] | str | None) -> None:
        self.answers = list(answers)
        self.statements: list[str] = []

    def __call__(self, statement: str) -> dict[str, object] | None:
        self.statements.append(statement)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, str):
            raise StatementError(answer)
        return answer


def ran(
    tmp_path: Path, script: str, database: Database | None = None, variables: dict[str, str] | None = None
) -> list[str]:
    """Run ``script``; return the statements that reached the database."""
    (tmp_path / "script.sql").write_text(script, encoding="utf-8")
    database = database or Database()
    run(tmp_path / "script.sql", VARIABLES if variables is None else variables, database)
    return database.statements


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("SELECT :'a';", ["SELECT 'it''s; -- x'"]),
        ('GRANT :"b" TO x;', ['GRANT "ro""le" TO x']),
        (
            "SELECT ':''a''', \":'a'\", 'x'; -- :'a';\nSELECT 2",
            ["SELECT ':''a''', \":'a'\", 'x'", "SELECT 2"],
        ),
        ("\\set ON_ERROR_STOP on\n\\if :{?d}\n\\set d ''\n\\endif\nBEGIN;\nCOMMIT;", ["BEGIN", "COMMIT"]),
        ("\\if :{?d}\nSELECT 1;\n\\else\nSELECT 2;\n\\endif\n", ["SELECT 2"]),
        ("\\if off\nSELECT 1;\n\\elif on\nSELECT 2;\n\\else\nSELECT 3;\n\\endif", ["SELECT 2"]),
        ("\\if off\n\\if on\nSELECT 1;\n\\else\nSELECT 2;\n\\endif\n\\endif\nSELECT 3;", ["SELECT 3"]),
        ("\\set d 'two words'\nSELECT :'d';\n\\unset d\n\\if :{?d}\nx;\n\\endif", ["SELECT 'two words'"]),
        ("SELECT 1::text, :'c';", ["SELECT 1::text,  E'back\\\\slash'"]),
        ("SELECT x[1:2];", ["SELECT x[1:2]"]),
        ("", []),
    ],
)
def test_statements_go_out_with_their_variables(tmp_path: Path, script: str, expected: list[str]) -> None:
    """Texts and identifiers are quoted; comments and quotes are not looked into; conditions choose."""
    assert ran(tmp_path, script) == expected


def test_a_row_becomes_variables(tmp_path: Path) -> None:
    r"""As with psql's \gset: a boolean is t or f."""
    database = Database({"found": True, "name": "x"})
    script = "SELECT 1 AS found \\gset\n\\if :found\nSELECT :'name';\n\\endif\n"
    assert ran(tmp_path, script, database) == ["SELECT 1 AS found", "SELECT 'x'"]


def test_a_script_refuses_in_its_own_words(tmp_path: Path) -> None:
    """The warnings are the error's text, and nothing more is run."""
    database = Database({"refused": True, "refusal": "There is no Region x."}, "22P02")
    with pytest.raises(ScriptRefusedError, match=r"^There is no Region x\. It's unchanged\.$"):
        ran(tmp_path, REFUSING, database)
    assert database.statements == ["SELECT problem", "end"]


def test_an_error_is_kept_for_the_script_to_name(tmp_path: Path) -> None:
    """Without ON_ERROR_STOP; the statement's own error is the cause."""
    with pytest.raises(ScriptRefusedError, match="failed with 40001") as caught:
        ran(tmp_path, REFUSING, Database("40001", "22P02"))
    assert isinstance(caught.value.__cause__, StatementError)
    assert caught.value.__cause__.sqlstate == "40001"
    assert ran(tmp_path, REFUSING, Database({"refused": False}))[-1] == "SELECT 'done'"


def test_an_error_ends_a_script_that_says_so(tmp_path: Path) -> None:
    """With ON_ERROR_STOP nothing runs after it."""
    database = Database("42P01")
    with pytest.raises(StatementError):
        ran(tmp_path, "\\set ON_ERROR_STOP on\nSELECT 1;\nSELECT 2;", database)
    assert database.statements == ["SELECT 1"]


def test_a_file_beside_the_script_is_run(tmp_path: Path) -> None:
    """With the same variables."""
    (tmp_path / "other.sql").write_text("SELECT :'a';", encoding="utf-8")
    assert ran(tmp_path, "\\ir other.sql\nSELECT 2;") == ["SELECT 'it''s; -- x'", "SELECT 2"]


@pytest.mark.parametrize("script", ["\\if on\nSELECT 1;", "\\frobnicate\n", "\\if maybe\n\\endif\n"])
def test_what_is_not_understood_is_an_error(tmp_path: Path, script: str) -> None:
    """A script is never run in part because its reader knows less than psql."""
    with pytest.raises(ValueError, match=r"no \\endif|not understood|not a boolean"):
        ran(tmp_path, script)


def test_a_variable_without_a_value_is_an_error(tmp_path: Path) -> None:
    """A statement never goes out with a hole in it."""
    with pytest.raises(KeyError, match="region"):
        ran(tmp_path, "SELECT :'region';", variables={})


def test_a_nul_byte_is_an_error(tmp_path: Path) -> None:
    """PostgreSQL would end the statement there."""
    with pytest.raises(ValueError, match="NUL"):
        ran(tmp_path, "SELECT :'a';", variables={"a": "x\0y"})


@pytest.mark.parametrize("name", ["drain.sql", "release.sql"])
def test_a_catalogue_that_has_changed_is_met_at_the_first_statement(name: str) -> None:
    """DSQL answers OC001 there to a session that was idle; the script rolls back and begins again."""
    again: dict[str, object] = {"conflict": True, "again": True, "unset": False, "attempt": 2}
    may: dict[str, object] = {"refused": False, "refusal": ""}
    database = Database(None, "40001", None, again, None, may)
    words = ("service", "target", "region", "reason", "actor", "minutes")
    run(SQL / name, dict.fromkeys(words, "1"), database)
    begun = [statement.split()[0] for statement in database.statements]
    assert begun == [
        *("BEGIN", "SELECT", "ROLLBACK", "SELECT"),
        *("BEGIN", "SELECT", "INSERT", *["UPDATE"] * (3 if name == "drain.sql" else 2), "COMMIT", "SELECT"),
    ]
