"""The table of what the transaction refuses, row by row, and the words for it."""

from datetime import datetime, timedelta

import pytest
from tests.unit.cli.situations import FAR, NEAR, NOW, ago

from beacon_cli.errors import ExitCode
from beacon_cli.intents.rules import Action, Request, objection
from beacon_cli.situation.model import ForcedState

DRAIN = Request(Action.DRAIN, NEAR, "maintenance", "bob", 1800)
RELEASE = Request(Action.RELEASE, NEAR, "repaired", "bob")
FREE = ForcedState(NEAR, "", "", "", None, ago(86400))
OTHER = ForcedState(FAR, "", "", "", None, ago(86400))


def drained(region: str, until: datetime | None = None) -> ForcedState:
    return ForcedState(region, "drain", "writes fail", "alice", until, ago(12))


def expired(region: str) -> ForcedState:
    """As the reader makes it: not forced, and an end that has passed."""
    return ForcedState(region, "", "writes fail", "alice", ago(5), ago(600))


def said(request: Request, rows: list[ForcedState], seen: ForcedState | None) -> tuple[str, int]:
    error = objection(request, rows, seen, service="shop-test", now=NOW)
    return ("", 0) if error is None else (error.sentence, error.exit_code)


@pytest.mark.parametrize(
    ("request_", "rows", "seen"),
    [
        (DRAIN, [FREE, OTHER], FREE),
        (DRAIN, [drained(NEAR), OTHER], drained(NEAR)),
        (DRAIN, [expired(NEAR), OTHER], drained(NEAR)),
        (DRAIN, [FREE, expired(FAR)], FREE),
        (RELEASE, [drained(NEAR), OTHER], drained(NEAR)),
        (RELEASE, [expired(NEAR), OTHER], drained(NEAR)),
        (RELEASE, [drained(NEAR), drained(FAR)], drained(NEAR)),
    ],
)
def test_what_may_be_written(request_: Request, rows: list[ForcedState], seen: ForcedState) -> None:
    """A drain that has expired counts as none, and its release is written as its end."""
    assert said(request_, rows, seen) == ("", 0)


@pytest.mark.parametrize("request_", [DRAIN, RELEASE])
@pytest.mark.parametrize("seen", [None, FREE, ForcedState(NEAR, "drain", "x", "alice", None, ago(900))])
def test_a_drain_that_is_newer_than_what_was_shown_is_refused_with_its_operator(
    request_: Request, seen: ForcedState | None
) -> None:
    """Of two operators at the same Region the second one sees who did what."""
    sentence, code = said(request_, [drained(NEAR, NOW + timedelta(minutes=30)), OTHER], seen)
    assert sentence == (
        f"alice drained {NEAR} 12 s ago (02:59:48 UTC), until 03:30:00 UTC: 'writes fail'."
        " That is newer than what you were shown. Nothing has changed"
    )
    assert code == ExitCode.REFUSED


def test_the_last_region_stays_and_the_other_operator_is_named() -> None:
    """And how to get out of it."""
    error = objection(DRAIN, [FREE, drained(FAR)], FREE, service="shop-test", now=NOW)
    assert error is not None
    assert error.exit_code == ExitCode.REFUSED
    assert error.sentence == (
        f"{NEAR} is the last Region of shop-test that is not drained, so it stays: alice drained {FAR}"
        " 12 s ago (02:59:48 UTC), until it is released: 'writes fail'. Nothing has changed"
    )
    assert error.command == f"beacon release {FAR} --reason TEXT"


def test_the_only_region_stays() -> None:
    """There is no other to release."""
    assert said(DRAIN, [FREE], FREE)[1] == ExitCode.REFUSED


@pytest.mark.parametrize(
    ("own", "ends"),
    [
        (FREE, "there is nothing to release. Nothing has changed"),
        (
            ForcedState(NEAR, "", "done", "carol", None, ago(30)),
            "nothing to release: carol released it 30 s ago (02:59:30 UTC): 'done'. Nothing has changed",
        ),
        (
            ForcedState(NEAR, "", "expired: test", "carol", None, ago(30)),
            "nothing to release: its drain by carol has expired. Nothing has changed",
        ),
    ],
)
def test_a_release_of_what_is_not_drained_says_who_released_it(own: ForcedState, ends: str) -> None:
    """Whatever was shown before."""
    sentence, code = said(RELEASE, [own, OTHER], drained(NEAR))
    assert sentence.endswith(ends)
    assert code == ExitCode.REFUSED


@pytest.mark.parametrize("request_", [DRAIN, RELEASE])
def test_rows_that_are_missing_are_named(request_: Request) -> None:
    """The deployment's, or the Region's."""
    assert "no Region of shop-test: sql/regions.sql" in said(request_, [], None)[0]
    sentence, code = said(request_, [OTHER], None)
    assert f"no Region {NEAR} of shop-test: it has {FAR}" in sentence
    assert code == ExitCode.FAILED
