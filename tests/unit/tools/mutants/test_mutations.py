"""What the mutation tool changes, how a mutant ends, and that each explained survivor still exists."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tools.mutants.mutations import Mutation, mutations
from tools.mutants.plan import read_explained, read_subjects

ROOT = Path(__file__).resolve().parents[4]
TOOL = ROOT / "tools" / "mutants"
SUBJECTS = {subject.name: subject for subject in read_subjects(TOOL / "modules.toml", ROOT)}


def found(source: str) -> list[Mutation]:
    return mutations(ast.parse(textwrap.dedent(source)))


def changes(source: str) -> set[str]:
    return {each.change for each in found(source)}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("a < b", {"a < b → a <= b", "a < b → a >= b"}),
        ("a <= b", {"a <= b → a < b", "a <= b → a > b"}),
        ("a is b", {"a is b → a is not b"}),
        ("a in b", {"a in b → a not in b"}),
        ("a < b == c", {"a < b == c → a <= b == c", "a < b == c → a >= b == c", "a < b == c → a < b != c"}),
        ("a and b", {"a and b → a or b"}),
        ("not a", {"not a → a"}),
        ("a + b", {"a + b → a - b"}),
        ("a / b", {"a / b → a * b"}),
        ("x = 3", {"3 → 4"}),
        ("x = 2.0", {"2.0 → 3.0"}),
        ("x = 0.0", {"0.0 → 1.0"}),
        ("x = True", {"True → False"}),
        ("x = 'word'", {"'word' → 'word~'"}),
        ("x = min(a, b)", {"min(a, b) → max(a, b)"}),
        ("x = any(a)", {"any(a) → all(a)"}),
        ("x = f(a, key=b)", {"f(a, key=b) → f(a)"}),
        ("if a: b", {"a → not a"}),
        ("[a for a in b if c]", {"c → not c"}),
        ("f(a)", {"f(a) → pass"}),
        ("a.b = c", {"a.b = c → pass"}),
        ("raise E('text')", {"raise E('text') → pass"}),
        ("while a < b: continue", {"a < b → a <= b", "a < b → a >= b", "continue → break"}),
        ("def f(): return a", {"return a → return None"}),
    ],
)
def test_each_row_of_the_table_of_changes(source: str, wanted: set[str]) -> None:
    """All that is changed in a line, and nothing else."""
    assert changes(source) == wanted


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "__all__ = ['a']",
        "import a.b",
        "assert a < 3",
        "def f(a: list[int]) -> tuple[int, int]: pass",
        "@decorated(frozen=True)\nclass A: pass",
        "x = f'{a} of 3'",
        "def f(): x = 'a sentence for people'",
        "def f(): return None",
    ],
)
def test_what_is_no_behaviour_stays_as_it_is(source: str) -> None:
    """A mutant of it would survive and mean nothing."""
    assert changes(source) == set()


def test_a_mutation_changes_the_tree_in_its_place_alone() -> None:
    """And says in which line, and which lines a test has to reach for it."""
    tree = ast.parse("def f(a):\n    if (\n        a < 1\n    ):\n        return a\n    return 7\n")
    (mutation,) = [each for each in mutations(tree) if each.change == "a < 1 → a <= 1"]
    assert (mutation.line, mutation.first, mutation.last) == (3, 2, 4)
    mutation.apply()
    assert ast.unparse(tree) == "def f(a):\n    if a <= 1:\n        return a\n    return 7"


def test_what_an_import_runs_is_reached_by_every_test() -> None:
    """A table of the module, a default value, the body of a class."""
    source = "X = 1\nclass A:\n    b = 2\n    def f(self, c=3):\n        return 4\n"
    reach = {each.before: each.first for each in found(source) if each.before.isdigit()}
    assert reach == {"1": 0, "2": 0, "3": 0, "4": 5}


# ---- a run of the tool


MODULE = """
def smaller(a, b):
    if a < b:
        return a
    return b


def untested(a):
    return a + 1


def waits(a):
    while a < 3:
        a += 1
    return a


WORD = "word"
"""
TESTS = """
import pytest
from small_module import WORD, smaller, waits


def test_smaller():
    assert smaller(1, 2) == 1
    assert smaller(2, 1) == 1


def test_waits():
    assert waits(2) == 3


@pytest.mark.parametrize("word", [WORD])
def test_word(word):
    assert word == "word"
"""


def test_a_run_kills_what_a_test_notices_and_names_what_none_does(tmp_path: Path) -> None:
    """A mutant that no test reaches survives too; the source on disk stays as it was."""
    source, tests = tmp_path / "small_module.py", tmp_path / "test_small_module.py"
    source.write_text(MODULE, encoding="utf-8")
    tests.write_text(TESTS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n", encoding="utf-8")
    script = f"""
import ast, os
from pathlib import Path
from tools.mutants.mutations import mutations
from tools.mutants.trial import Subject, baseline, try_all
os.chdir({str(tmp_path)!r})
subject = Subject("small_module", Path({str(source)!r}), ("test_small_module.py",))
tree = ast.parse(subject.path.read_text())
notes = baseline(subject)
for mutation, result in try_all(
    subject, tree, mutations(tree), notes, processes=2, until=float("inf"), more_s=4.0
):
    print(result.name, mutation.line, mutation.change, sep="|")
"""
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    ).stdout
    results = {(row[1], row[2]): row[0] for row in (line.split("|") for line in said.splitlines())}
    assert results.pop(("3", "a < b → a <= b")) == "SURVIVED", "it is the same for equal numbers"
    assert results.pop(("9", "a + 1 → a - 1")) == "UNREACHED"
    assert results.pop(("9", "1 → 2")) == "UNREACHED"
    assert results.pop(("9", "return a + 1 → return None")) == "UNREACHED"
    assert results.pop(("14", "a += 1 → pass")) == "TIMED_OUT"
    assert results[("18", "'word' → 'word~'")] == "KILLED", "its test has another name then"
    assert set(results.values()) <= {"KILLED", "TIMED_OUT"}, results
    assert source.read_text(encoding="utf-8") == MODULE


def test_tests_that_fail_without_a_mutation_end_the_run(tmp_path: Path) -> None:
    """They would kill every mutant."""
    (tmp_path / "small_module.py").write_text("X = 1\n", encoding="utf-8")
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert False\n", encoding="utf-8")
    script = f"""
import os
from pathlib import Path
from tools.mutants.trial import BaselineError, Subject, baseline
os.chdir({str(tmp_path)!r})
try:
    baseline(Subject("small_module", Path("small_module.py").resolve(), ("test_it.py",)))
except BaselineError as error:
    print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    ).stdout
    assert said == "small_module: its tests fail as it is: pytest test_it.py\n"


def test_an_unknown_module_is_named() -> None:
    """With the place where the list stands."""
    command = [sys.executable, "-m", "tools.mutants", "nothing"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 2
    assert ended.stdout == "no such module: nothing (tools/mutants/modules.toml lists them)\n"


# ---- the explained survivors


EXPLAINED = read_explained(TOOL / "survivors.toml")


@pytest.mark.parametrize("module", sorted({each.module for each in EXPLAINED}))
def test_each_explained_survivor_is_a_mutation_of_the_source_as_it_is(module: str) -> None:
    """When the line has changed, explain the new one or take the entry out (tools/mutants/survivors.toml)."""
    source = SUBJECTS[module].path.read_text(encoding="utf-8")
    lines = source.splitlines()
    made = mutations(ast.parse(source))
    stale = [
        f"{each.line}   {each.change or ''}"
        for each in EXPLAINED
        if each.module == module
        and not any(each.covers(module, lines[mutation.line - 1], mutation) for mutation in made)
    ]
    assert stale == []


def test_each_explanation_says_why() -> None:
    """And each entry is there once."""
    assert all(len(each.why) > 20 for each in EXPLAINED)
    keys = [(each.module, each.line, each.change) for each in EXPLAINED]
    assert len(set(keys)) == len(keys)
