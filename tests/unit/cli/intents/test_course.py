"""A drain that is not confirmed, and Ctrl-C before, at and after the commit: each leaves one sentence."""

import io
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.cli.intents.test_form import DRAIN, plan, written
from tests.unit.cli.situations import NEAR

from beacon_cli.errors import CommandError, FailedError, WrongUseError
from beacon_cli.intents import course
from beacon_cli.intents.course import Consent, carry_out
from beacon_cli.intents.rules import Request
from beacon_cli.intents.writer import Written
from beacon_cli.options import Options

YES = Consent(yes=True)


class Terminal(io.StringIO):
    """Standard input of a terminal, with what is typed there."""

    def isatty(self) -> bool:
        return True


class Interrupted:
    """A writer that meets Ctrl-C, and what the database says afterwards."""

    found: Written | None = None
    known = True

    def __init__(self, *_: object) -> None:
        pass

    def __call__(self) -> Written:
        raise KeyboardInterrupt

    def find(self) -> Written | None:
        if not self.known:
            raise FailedError("the database does not say whether the change was made")
        return self.found


@pytest.fixture(autouse=True)
def _planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "look_for", lambda *_: type("Look", (), {"sessions": None}))
    monkeypatch.setattr(course, "make_plan", lambda *_, **__: plan(DRAIN))
    monkeypatch.setattr(course, "Writer", Interrupted)


def ended(request: Request = DRAIN, consent: Consent = YES, **options: Any) -> CommandError:  # noqa: ANN401
    with pytest.raises(CommandError) as caught:
        carry_out(request, consent, Options(**options), 1.0)
    return caught.value


@pytest.mark.parametrize("typed", ["n\n", "\n", "", "maybe\n"])
def test_anything_but_a_yes_changes_nothing(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    """Also the end of the input."""
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert ended(consent=Consent()).sentence == "not confirmed. Nothing has changed"


def test_a_yes_leads_to_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this writer is interrupted."""
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert ended(consent=Consent()).sentence.startswith("interrupted. The database has no such drain")


def test_ctrl_c_before_the_commit_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the plan is made."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "make_plan", interrupt)
    assert ended().sentence == "interrupted. Nothing has changed"


def test_ctrl_c_at_the_commit_asks_the_database_what_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was committed, it was not, or that is not known."""
    assert ended().sentence == "interrupted. The database has no such drain"
    now = written(DRAIN).at
    monkeypatch.setattr(Interrupted, "found", Written(now, now + timedelta(minutes=30), "us-east-2"))
    error = ended(lab="./ready.json")
    assert error.sentence.startswith(f"interrupted. {NEAR} is drained until ")
    assert error.command == f"beacon release {NEAR} --reason TEXT --lab ./ready.json"
    monkeypatch.setattr(Interrupted, "known", False)
    assert ended().sentence == "the database does not say whether the change was made"


def test_json_asks_no_question() -> None:
    """No operator may be there to answer."""
    error = ended(consent=Consent(), json=True)
    assert isinstance(error, WrongUseError)
    assert "--json asks no question: add --yes, or --plan" in error.sentence


def test_a_user_without_a_name_has_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change in the audit has an actor."""

    def nameless() -> str:
        raise OSError

    monkeypatch.setattr("getpass.getuser", nameless)
    request = Request(DRAIN.action, NEAR, "x", " ")
    assert "give one with --actor" in ended(request).sentence
