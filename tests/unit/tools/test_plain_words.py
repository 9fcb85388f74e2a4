"""The check of words: it finds each of them in prose of every kind, and leaves code and quotations alone."""

from __future__ import annotations

import pytest
from tests.places import ROOT
from tools.plain_words.passages import passages
from tools.plain_words.words import Exempt, Use, Word, judge, read_rules, uses

RULES = read_rules(ROOT / "tools/plain_words/words.toml")

SEEDED = [
    ("mended", "The name is mended."),
    ("goes on", "The probe goes on."),
    ("besides", "It writes a row besides."),
    ("turned away", "A busy server turned away the login."),
    ("anew", "It starts anew."),
    ("Whoever", "Whoever connects waits."),
    ("somebody", "A login proves that somebody is there."),
    ("nobody", "The port nobody listens on."),
    ("anyone", "It admits anyone."),
    ("is told", "The writer is told the epoch."),
    ("is asked for", "A connection is asked for."),
    ("for ever", "It waits for ever."),
    ("for who", "It is right for who asked."),
    ("made out to", "The token is made out to one host."),
    ("Who", "It is a file. Who reads it sees everything."),
    ("Who", "Who reads it sees everything."),
]


def found(name: str, text: str) -> list[tuple[int, str]]:
    """The lines and the phrases that the check finds in a file of this name."""
    return [(use.line, use.phrase) for use in uses(name, passages(name, text), RULES.words)]


@pytest.mark.parametrize(("phrase", "sentence"), SEEDED)
def test_a_seeded_word_fails_in_every_kind_of_text(phrase: str, sentence: str) -> None:
    """Also with the line that it is in."""
    assert found("page.md", f"# Title\n\n{sentence}\n") == [(3, phrase)]
    assert found("module.py", f'"""{sentence}"""\n') == [(1, phrase)]
    assert found("module.py", f"x = 1\n# {sentence}\n") == [(2, phrase)]
    assert found("module.py", f'x = 1\n\nprint("{sentence}")\n') == [(3, phrase)]
    assert found("script.sql", f"SELECT 1;\n\n-- {sentence}\n") == [(3, phrase)]
    assert found("template.yaml", f"a: 1\n\n# {sentence}\n") == [(3, phrase)]


def test_a_phrase_is_found_across_the_end_of_a_line() -> None:
    """In a paragraph and in neighbouring comments; the line is the one where it begins."""
    assert found("page.md", "The probe goes\non until it ends.\n") == [(1, "goes on")]
    assert found("module.py", "# The probe goes\n# on until it ends.\n") == [(1, "goes on")]
    assert found("module.py", "x = 1  # where it goes\n\ny = 2  # on until it ends\n") == []


def test_the_name_of_a_test_is_a_sentence() -> None:
    """Its underscores are spaces; other names are code."""
    assert found("test_x.py", "def test_the_probe_goes_on() -> None: ...\n") == [(1, "goes on")]
    assert found("test_x.py", "def mend() -> None: ...\n") == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "The phrase `go on` is quoted.\n"),
        ("page.md", "```python\nmend(anew)\n```\n"),
        (
            "page.md",
            "Amending the goal is fine: https://example.com/nobody\n",
        ),
        ("page.md", "Who writes the parameter? Ask who it was.\n"),
        ("page.md", "An operator who drains a Region names a reason.\n"),
        ("module.py", "besides = anew + mend(1)\n"),
    ],
)
def test_code_questions_and_other_words_pass(name: str, text: str) -> None:
    """A check that cries wolf would be switched off."""
    assert found(name, text) == []


def test_a_comment_in_a_fenced_example_counts() -> None:
    """The reader of a page reads it as well."""
    assert found("page.md", "```sh\nrun it  # then go on\n```\n") == [(2, "go on")]


def test_an_exception_covers_its_phrase_in_its_files_alone() -> None:
    """And it is reported once no text needs it."""
    use = Use("docs/a.md", 3, "goes on", "continue")
    entry = Exempt("docs/*.md", "goes on", "it is the name of a thing")
    assert judge([use], [entry]) == []
    assert judge([use], [Exempt("sql/*", "goes on", entry.reason)])[0] == str(use)
    assert judge([Use("docs/a.md", 3, "anew", "again")], [entry])[0].startswith("docs/a.md:3: 'anew'")
    assert judge([], [entry]) == [
        "words.toml: the exception for 'goes on' in docs/*.md is not needed any more"
    ]


def test_an_entry_without_its_explanation_is_refused() -> None:
    """Each exception says why, and each word says what to write instead."""
    with pytest.raises(ValueError, match="needs a reason"):
        Exempt("docs/*.md", "goes on", "because")
    with pytest.raises(ValueError, match="say what to write instead"):
        Word("mend", "")
