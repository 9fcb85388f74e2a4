"""`beacon database plan` and `apply`: what is printed, what is asked, and how each of them ends."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.cli.schema.test_state import COMPLETE_WANTED, found
from tests.unit.cli.schema.test_statements import WANTED

from beacon_cli.app import main
from beacon_cli.errors import ExitCode, FailedError
from beacon_cli.fleet import Fleet, Site
from beacon_cli.schema import course, work
from beacon_cli.schema.found import Found
from beacon_cli.schema.state import DatabaseState, Item, compare
from beacon_cli.schema.work import NO_STACK, Applied, read_wanted
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Unknown

EMPTY = compare(WANTED, Found("us-east-1"))
COMPLETE = compare(COMPLETE_WANTED, found())
Asked = list[tuple[str, ...]]


class Terminal(io.StringIO):
    """Standard input of a terminal, with what is typed there."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Callable[[DatabaseState], Asked]:
    """Let the database be in a state; the list has each look and each item that was made."""

    def be(given: DatabaseState) -> Asked:
        asked: Asked = []

        def examine(_: object, operator_arns: tuple[str, ...]) -> DatabaseState:
            asked.append(("examine", *operator_arns))
            return given

        def carry_out(_: object, shown: DatabaseState, told: Callable[[Item], None]) -> Applied:
            work._require_same_form(shown)
            for item in shown.missing:
                told(item)
                asked.append(("made", item.name))
            return Applied(shown.missing, COMPLETE)

        monkeypatch.setattr(course, "_sessions", lambda _: None)
        monkeypatch.setattr(course, "examine", examine)
        monkeypatch.setattr(course, "carry_out", carry_out)
        return asked

    return be


def made_in(asked: Asked) -> list[str]:
    return [words[1] for words in asked if words[0] == "made"]


def test_a_plan_changes_nothing_and_ends_with_0_also_where_something_is_missing(
    state: Callable[[DatabaseState], Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    """A script reads `complete`."""
    asked = state(EMPTY)
    assert main(["database", "plan", "--operator-arn", "a", "--operator-arn", "b"]) == ExitCode.DONE
    assert "Not complete: 21 missing, 1 waiting." in capsys.readouterr().out
    assert main(["database", "plan", "--json"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["complete"] is False
    assert asked == [("examine", "a", "b"), ("examine",)]


def test_apply_makes_what_is_missing_and_shows_each(
    state: Callable[[DatabaseState], Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    """Behind the plan; with JSON it is one value."""
    asked = state(EMPTY)
    assert main(["database", "apply", "--yes"]) == ExitCode.DONE
    shown = capsys.readouterr().out
    assert shown.index("Not complete: 21 missing") < shown.index("made  schema beacon")
    assert shown.endswith("Complete: nothing is missing.\n")
    assert made_in(asked) == [item.name for item in EMPTY.missing]
    assert main(["database", "apply", "--yes", "--json"]) == ExitCode.DONE
    read = json.loads(capsys.readouterr().out)
    assert (read["complete"], len(read["made"]), read["command"]) == (True, 21, "apply")


@pytest.mark.parametrize(
    ("typed", "ends"), [("y\n", ExitCode.DONE), ("\n", ExitCode.FAILED), ("", ExitCode.FAILED)]
)
def test_apply_asks_once_and_only_a_yes_changes_anything(
    state: Callable[[DatabaseState], Asked],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    ends: ExitCode,
) -> None:
    """With the number of statements."""
    asked = state(EMPTY)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert main(["database", "apply"]) == ends
    read = capsys.readouterr()
    assert "Run 22 statements as admin for it's-prod? [y/N]" in read.out
    assert bool(made_in(asked)) is (ends is ExitCode.DONE)
    assert ("not confirmed. Nothing has changed" in read.err) is (ends is ExitCode.FAILED)


def test_a_complete_database_needs_no_question(
    state: Callable[[DatabaseState], Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to confirm."""
    asked = state(COMPLETE)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["database", "apply"]) == ExitCode.DONE
    assert made_in(asked) == []


@pytest.mark.parametrize(
    ("words", "given", "says", "ends"),
    [
        (["apply"], EMPTY, "there is no terminal to confirm on: add --yes", ExitCode.WRONG_USE),
        (["apply", "--json"], EMPTY, "--json asks no question", ExitCode.WRONG_USE),
        (["aply"], EMPTY, "Choose from", ExitCode.WRONG_USE),
        (["apply", "--yes"], compare(WANTED, found(version=2)), "2 is newer than", ExitCode.REFUSED),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    state: Callable[[DatabaseState], Asked],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    words: list[str],
    given: DatabaseState,
    says: str,
    ends: ExitCode,
) -> None:
    """One sentence says why."""
    asked = state(given)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["database", *words]) == ends
    assert says in capsys.readouterr().err
    assert made_in(asked) == []


def test_ctrl_c_says_that_what_is_made_stays(
    state: Callable[[DatabaseState], Asked],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And that the next run continues."""
    state(EMPTY)

    def interrupted(*_: object) -> Applied:
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "carry_out", interrupted)
    assert main(["database", "apply", "--yes"]) == ExitCode.FAILED
    assert "What is made stays, and the next run continues" in capsys.readouterr().err


def test_a_region_without_a_stack_is_no_error_and_one_that_cannot_be_read_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither keeps the others from being read."""
    facts: dict[str, Any] = {
        "us-east-1": Unknown("us-east-1 has no stack beacon-prod"),
        "us-east-2": Unknown("CloudFormation of us-east-2 does not answer"),
    }
    monkeypatch.setattr(work, "read_stack_view", lambda _, region: facts[region])
    sites = tuple(Site(region, "beacon-prod", "host") for region in facts)
    sessions = Sessions(Fleet("beacon", "prod", sites, "a test"))
    wanted = read_wanted(sessions)
    assert [part.waits_for for part in wanted.parts] == [
        NO_STACK,
        "CloudFormation of us-east-2 does not answer",
    ]


def test_a_statement_that_is_taken_and_not_found_afterwards_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the run would not end."""
    lacking = compare(COMPLETE_WANTED, found(version=None))
    monkeypatch.setattr(work._Work, "_attempt", lambda self, state: self._made.extend(state.missing))
    monkeypatch.setattr(work, "_read", lambda *_, **__: lacking)
    with pytest.raises(FailedError, match="a new look does not find it"):
        work.carry_out(Sessions(Fleet("a", "b", (), "a test")), replace(lacking))
