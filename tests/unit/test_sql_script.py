"""The reader of SQL files puts variables in as psql does, and nowhere else."""

import pytest

from beacon_lab.sql_script import statements


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("SELECT :'a';", ["SELECT 'it''s; -- x'"]),
        ('GRANT :"b" TO x;', ['GRANT "ro""le" TO x']),
        (
            "SELECT ':''a''', \":'a'\", 'x'; -- :'a';\nSELECT 2",
            ["SELECT ':''a''', \":'a'\", 'x'", "SELECT 2"],
        ),
        ("\\set ON_ERROR_STOP on\n\\if :{?c}\n\\set c ''\n\\endif\nBEGIN;\nCOMMIT;", ["BEGIN", "COMMIT"]),
        ("SELECT 1::text, :'c';", ["SELECT 1::text,  E'back\\\\slash'"]),
        ("SELECT x[1:2];", ["SELECT x[1:2]"]),
        ("", []),
    ],
)
def test_statements_come_out_with_their_variables(script: str, expected: list[str]) -> None:
    """Texts and identifiers are quoted; comments, quotes and psql's own lines are not looked into."""
    variables = {"a": "it's; -- x", "b": 'ro"le', "c": "back\\slash"}
    assert statements(script, variables) == expected


def test_a_variable_without_a_value_is_an_error() -> None:
    """A statement never goes out with a hole in it."""
    with pytest.raises(KeyError, match="region"):
        statements("SELECT :'region';", {})


def test_a_nul_byte_is_an_error() -> None:
    """PostgreSQL would end the statement there."""
    with pytest.raises(ValueError, match="NUL"):
        statements("SELECT :'a';", {"a": "x\0y"})
