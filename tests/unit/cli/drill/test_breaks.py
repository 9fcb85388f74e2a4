"""Each break ends only what it began, and says what it found; FIS's answers are checked by its model."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from tests.places import ROOT
from tests.unit.cli.situations import FAR, NEAR, NOW

from beacon_cli.drill import breaks
from beacon_cli.drill.breaks import DrainBreak, FisBreak, LabBreak, Order, break_for
from beacon_cli.drill.kinds import KINDS
from beacon_cli.drill.plan import experiment_s, seconds_of_iso
from beacon_cli.errors import CommandError, FailedError, RefusedError
from beacon_cli.fleet import Fleet, Site
from beacon_cli.intents.rules import Action, Request
from beacon_cli.intents.writer import Written
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Fact, ForcedState, ForcedStates, Known, Unknown

FLEET = Fleet("shop", "test", (Site(NEAR, "shop-test", "a"), Site(FAR, "shop-test", "b")), "samconfig.toml")
UNTIL = NOW + timedelta(seconds=90)


def order(by: str) -> Order:
    return Order(NEAR, KINDS[by], 90.0, "alice", "drill-1", template="EXT1")


class Database:
    """A writer of intents, and what the database says afterwards."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, ForcedState | None]] = []
        self.fails: dict[Action, CommandError] = {}
        self.written: Written | None = None
        self.row: ForcedState | None = None
        self.readable = True

    def writer(self, _sessions: object, request: Request, seen: ForcedState | None) -> "Database":
        self.asked.append((request, seen))
        return self

    def __call__(self) -> Written:
        request, _ = self.asked[-1]
        if request.action in self.fails:
            raise self.fails[request.action]
        return Written(NOW, UNTIL, FAR)

    def find(self) -> Written | None:
        return self.written

    def read(self, *_: object) -> Fact[ForcedStates]:
        rows = (self.row,) if self.row else ()
        return Known(ForcedStates(NOW, FAR, rows)) if self.readable else Unknown("the database is silent")


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database that takes everything."""
    made = Database()
    monkeypatch.setattr(breaks, "Writer", made.writer)
    monkeypatch.setattr(breaks, "read_forced", made.read)
    monkeypatch.setattr(breaks, "start_publishers", lambda _: {})
    return made


def drained(by: str = "alice", at: datetime = NOW) -> ForcedState:
    return ForcedState(NEAR, "drain", "drill-1" if by == "alice" else "theirs", by, UNTIL, at)


def test_each_kind_has_its_break() -> None:
    """By the first part of its name."""
    sessions = Sessions(FLEET)
    found = {by: type(break_for(sessions, order(by))) for by in KINDS}
    assert found["drain"] is DrainBreak
    assert found["fis"] is FisBreak
    assert {made for by, made in found.items() if by.startswith("lab:")} == {LabBreak}


def test_a_drain_has_an_end_of_its_own_and_is_released_as_its_own(database: Database) -> None:
    """The release names the row that the drain wrote, so that it meets no other drain."""
    made = DrainBreak(Sessions(FLEET), order("drain"))
    assert made.begin().ends_at == UNTIL
    assert made.repair().done
    (drain, seen), (release, own) = database.asked
    assert (drain.action, drain.lasts_s, drain.reason, seen) == (Action.DRAIN, 90.0, "drill-1", None)
    assert (release.action, own) == (Action.RELEASE, drained())


def test_a_drain_whose_commit_lost_its_answer_is_found(database: Database) -> None:
    """One that is not there raises, and nothing is to be repaired."""
    database.fails[Action.DRAIN] = FailedError("the connection was lost at COMMIT")
    made = DrainBreak(Sessions(FLEET), order("drain"))
    with pytest.raises(FailedError):
        made.begin()
    assert made.repair().said == "nothing was drained"
    database.written = Written(NOW, UNTIL, FAR)
    assert made.begin().ends_at == UNTIL


@pytest.mark.parametrize(
    ("row", "done", "said"),
    [
        (None, True, f"the drain of {NEAR} had ended"),
        (
            drained("bob", NOW + timedelta(seconds=5)),
            False,
            f"another drain of {NEAR} holds, by bob: 'theirs'",
        ),
    ],
)
def test_a_release_that_is_refused_says_what_holds(
    database: Database, row: ForcedState | None, done: bool, said: str
) -> None:
    """An expired drain is repaired; another operator's stays."""
    made = DrainBreak(Sessions(FLEET), order("drain"))
    made.begin()
    database.fails[Action.RELEASE] = RefusedError("refused")
    database.row = row
    found = made.repair()
    assert (found.done, found.said) == (done, said)


def test_a_release_that_fails_is_not_taken_for_done(database: Database) -> None:
    """While its drain holds, or the database is silent: the caller tries again."""
    made = DrainBreak(Sessions(FLEET), order("drain"))
    made.begin()
    database.fails[Action.RELEASE] = FailedError("the database is silent")
    database.row = drained()
    with pytest.raises(FailedError):
        made.repair()
    database.readable = False
    with pytest.raises(FailedError):
        made.repair()


@pytest.fixture
def fis(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FisBreak, Stubber]]:
    """An experiment, and the answers of FIS."""
    client = boto3.client("fis", region_name=NEAR, aws_access_key_id="x", aws_secret_access_key="y")
    sessions = Sessions(FLEET)
    monkeypatch.setattr(Sessions, "fis", lambda *_: client)
    with Stubber(client) as stub:
        yield FisBreak(sessions, order("fis"), sleep=lambda _: None), stub
        stub.assert_no_pending_responses()


def state(status: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - members of a state
    return {"experiment": {"id": "EXP1", "state": {"status": status, **more}}}


STARTED = {"experimentTemplateId": "EXT1", "clientToken": "drill-1"}


def test_an_experiment_has_begun_when_it_runs_and_is_stopped(fis: tuple[FisBreak, Stubber]) -> None:
    """Its duration is the net."""
    made, stub = fis
    stub.add_response("start_experiment", state("pending"), STARTED)
    for status in ("initiating", "running"):
        stub.add_response("get_experiment", state(status), {"id": "EXP1"})
    assert made.begin().ends_at > datetime.now(UTC) + timedelta(seconds=60)
    stub.add_response("get_experiment", state("running"), {"id": "EXP1"})
    stub.add_response("stop_experiment", state("stopping"), {"id": "EXP1"})
    for status in ("stopping", "stopped"):
        stub.add_response("get_experiment", state(status), {"id": "EXP1"})
    found = made.repair()
    assert (found.done, found.said) == (True, "the experiment EXP1 is stopped")


def test_an_experiment_that_fails_says_why_and_one_that_has_ended_is_not_stopped(
    fis: tuple[FisBreak, Stubber],
) -> None:
    """The permission that its role lacks stands in FIS's reason."""
    made, stub = fis
    stub.add_response("start_experiment", state("pending"), STARTED)
    stub.add_response("get_experiment", state("failed", reason="role lacks x"), {"id": "EXP1"})
    with pytest.raises(FailedError, match="the experiment EXP1 is failed: role lacks x"):
        made.begin()
    for _ in range(2):
        stub.add_response("get_experiment", state("failed"), {"id": "EXP1"})
    assert made.repair().done


def test_an_experiment_that_was_never_started_needs_no_repair(fis: tuple[FisBreak, Stubber]) -> None:
    """FIS refused it."""
    made, stub = fis
    stub.add_client_error("start_experiment", "AccessDeniedException", "no")
    with pytest.raises(FailedError, match="AWS FIS of us-east-1"):
        made.begin()
    assert made.repair().said == "no experiment was started"


def test_the_policy_of_a_drill_is_the_operators_and_the_calls_of_an_experiment(
    fis: tuple[FisBreak, Stubber],
) -> None:
    """Every call of an experiment, and no other; the rest is compared with what `beacon drain` calls."""
    made, stub = fis
    called: set[str] = set()
    client = made.sessions.fis(NEAR)
    client.meta.events.register(
        "before-parameter-build.fis", lambda model, **_: called.add(f"fis:{model.name}")
    )
    lasts = {"actions": {"Fail": {"parameters": {"duration": "PT5M"}}}}
    stub.add_response("get_experiment_template", {"experimentTemplate": lasts}, {"id": "EXT1"})
    stub.add_response("start_experiment", state("running"), STARTED)
    for name in ("get_experiment", "get_experiment", "stop_experiment"):
        stub.add_response(name, state("running"), {"id": "EXP1"})
    stub.add_response("get_experiment", state("stopped"), {"id": "EXP1"})
    assert experiment_s(made.sessions, NEAR, "EXT1") == 300
    made.begin()
    made.repair()
    drill, operator = (
        json.loads((ROOT / f"docs/policies/{name}.json").read_text(encoding="utf-8"))["Statement"]
        for name in ("drill", "operator")
    )
    assert drill[: len(operator)] == operator
    assert [set(one["Action"]) for one in drill[len(operator) :]] == [called]


@pytest.mark.parametrize(("text", "seconds"), [("PT5M", 300), ("PT1H30S", 3630), ("5m", 0), ("", 0)])
def test_a_duration_of_an_experiment_is_read(text: str, seconds: float) -> None:
    """As the template writes it."""
    assert seconds_of_iso(text) == seconds
