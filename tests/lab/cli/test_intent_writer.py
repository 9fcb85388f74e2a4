"""The writer of drains and releases at the lab's database: the rows of the SQL files, and two at once."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from tests.lab.conftest import REGIONS, SQL, DsqlCluster

from beacon_cli.errors import CommandError, ExitCode, FailedError, RefusedError
from beacon_cli.fleet import Fleet, LabPlaces, Site
from beacon_cli.intents.rules import Action, Request, objection
from beacon_cli.intents.writer import ATTEMPTS, Writer
from beacon_cli.readers.forced import read_forced
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import ForcedState, known
from beacon_lab.dsql.bootstrap import run_script
from beacon_lab.dsql.sql_script import ScriptRefusedError
from beacon_lab.faults import Extent, FaultKind

pytestmark = pytest.mark.lab
EAST_1, EAST_2 = REGIONS
TIMES = 200


@pytest.fixture(autouse=True)
def _as_before(dsql: DsqlCluster) -> Iterator[None]:
    yield
    dsql.heal()
    reset(dsql)


def reset(dsql: DsqlCluster) -> None:
    """Every Region is released, and the audit is empty."""
    admin = dsql.connect()
    admin.execute("UPDATE beacon.intent SET forced = NULL, until = NULL, reason = NULL, actor = NULL")
    admin.execute("UPDATE beacon.guard SET undrained = 2")
    admin.execute("DELETE FROM beacon.change")
    admin.close()


@pytest.fixture
def sessions(dsql: DsqlCluster) -> Sessions:
    """The cluster as the command sees a lab."""
    lab = LabPlaces(
        aws_url="http://127.0.0.1:9",
        control_url="http://127.0.0.1:9",
        access_key_id=dsql.operator.access_key_id,
        secret_access_key=dsql.operator.secret_access_key,
        ca_file=str(dsql.authority.ca_file),
        dns=("127.0.0.1", 9),
        dial={front.host: (front.address, front.port) for front in dsql.fronts.values()},
        health_urls={},
    )
    sites = tuple(Site(name, "shop-test", front.host) for name, front in dsql.fronts.items())
    app, _, env = dsql.service.partition("-")
    return Sessions(Fleet(app, env, sites, "a test", lab=lab, operator_role=dsql.operator_role))


def drain(region: str, actor: str = "alice", lasts_s: float | None = 600) -> Request:
    return Request(Action.DRAIN, region, f"{actor}'s reason; -- 100 %", actor, lasts_s)


def release(region: str) -> Request:
    return Request(Action.RELEASE, region, "done", "bob")


def shown(sessions: Sessions, region: str) -> ForcedState | None:
    """What the command would show its operator of the Region."""
    fact = read_forced(sessions, 10)
    forced = known(fact)
    assert forced is not None, fact
    return forced.of(region)


def write(sessions: Sessions, request: Request) -> Any:  # noqa: ANN401 - what it wrote
    return Writer(sessions, request, shown(sessions, request.region))()


def tables(dsql: DsqlCluster) -> tuple[list[Any], list[Any], list[Any]]:
    """Intents, guard and audit, with how long a drain lasts in place of the instants."""
    connection = dsql.connect(dsql.operator_role)
    try:
        intents = connection.execute(
            "SELECT region, forced, reason, actor, until - changed_at FROM beacon.intent ORDER BY region"
        ).fetchall()
        guard = connection.execute("SELECT undrained FROM beacon.guard").fetchall()
        changes = connection.execute(
            "SELECT region, forced, reason, actor, until IS NULL FROM beacon.change"
            " ORDER BY region, forced, reason, actor"
        ).fetchall()
    finally:
        connection.close()
    return intents, guard, changes


def by_script(dsql: DsqlCluster, request: Request) -> bool:
    values = {
        "service": dsql.service,
        "target": "dsql",
        "region": request.region,
        "reason": request.reason,
        "actor": request.actor,
        "minutes": "" if request.lasts_s is None else f"{request.lasts_s / 60:g}",
    }
    connection = dsql.connect(dsql.operator_role)
    try:
        run_script(connection, SQL / f"{request.action.value}.sql", values)
    except ScriptRefusedError:
        return False
    finally:
        connection.close()
    return True


def by_writer(sessions: Sessions) -> Callable[[Request], bool]:
    def run(request: Request) -> bool:
        try:
            write(sessions, request)
        except RefusedError:
            return False
        return True

    return run


STEPS = (
    drain(EAST_1),
    drain(EAST_2, "carol", None),
    drain(EAST_1, "dave", 60),
    release(EAST_1),
    release(EAST_2),
)


@pytest.mark.parametrize("expired", ["", EAST_1, EAST_2])
def test_the_writer_leaves_the_same_rows_as_the_sql_files(
    dsql: DsqlCluster, sessions: Sessions, expired: str
) -> None:
    """For every order of three changes, also behind a drain that has expired; intents, guard and audit."""

    def run(steps: tuple[Request, ...], one: Callable[[Request], bool]) -> list[Any]:
        reset(dsql)
        if expired:
            admin = dsql.connect()
            admin.execute(
                "UPDATE beacon.intent SET forced = 'drain', reason = 'test', actor = 'erin',"
                " changed_at = now() - INTERVAL '2 minutes', until = now() - INTERVAL '1 minute'"
                " WHERE region = %s",
                (expired,),
            )
            admin.close()
        return [(one(step), tables(dsql)) for step in steps]

    for steps in itertools.permutations(STEPS, 2):
        expected = run(steps, lambda request: by_script(dsql, request))
        assert run(steps, by_writer(sessions)) == expected, [(step.action, step.region) for step in steps]


def at_once(sessions: Sessions, *requests: Request) -> tuple[list[CommandError | None], dict[str, int]]:
    """Write them in transactions that overlap: both have read before either writes.

    Returns how each one ended, and how often each operator's transaction read the intents.
    """
    writers = [Writer(sessions, request, shown(sessions, request.region)) for request in requests]
    ended: dict[int, CommandError | None] = {}
    reads: Counter[str] = Counter()
    meeting = threading.Barrier(len(writers))

    def meet(request: Request, *rest: Any, **named: Any) -> CommandError | None:  # noqa: ANN401 - passed on
        reads[request.actor] += 1
        if reads[request.actor] == 1:
            meeting.wait(20)
        return objection(request, *rest, **named)

    def run(number: int) -> None:
        try:
            writers[number]()
        except CommandError as error:
            ended[number] = error
        else:
            ended[number] = None

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(writers))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("beacon_cli.intents.writer.objection", meet)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(ended) == len(writers), "a writer raised what is no CommandError, or hangs"
    return [ended[number] for number in range(len(writers))], dict(reads)


def test_of_two_operators_at_once_one_wins_and_the_other_sees_who_did_what(
    dsql: DsqlCluster, sessions: Sessions
) -> None:
    """Two hundred times: two Regions in turn with one and the same Region; never both, and never none.

    The loser meets the conflict at the guard, reads again, and is then refused.
    """
    for number in range(TIMES):
        second = EAST_2 if number % 2 else EAST_1
        ended, reads = at_once(sessions, drain(EAST_1, "alice"), drain(second, "bob"))
        lost = [error for error in ended if error is not None]
        assert len(lost) == 1, (number, ended)
        winner, loser, region = ("bob", "alice", second) if ended[0] else ("alice", "bob", EAST_1)
        assert reads == {winner: 1, loser: 2}, number
        assert lost[0].exit_code == ExitCode.REFUSED
        assert f"{winner} drained {region} " in lost[0].sentence
        assert lost[0].sentence.endswith("Nothing has changed")
        connection = dsql.connect(dsql.operator_role)
        rows = connection.execute("SELECT region, actor FROM beacon.intent WHERE forced = 'drain'").fetchall()
        audit = connection.execute("SELECT region, actor FROM beacon.change").fetchall()
        connection.close()
        assert rows == audit == [(region, winner)], number
        reset(dsql)


def test_a_conflict_is_tried_again_and_the_last_one_leaves_nothing(
    dsql: DsqlCluster, sessions: Sessions
) -> None:
    """DSQL reports conflicts at COMMIT."""

    def disturb(commits: int) -> None:
        for front in dsql.fronts.values():
            dsql.loop.call(partial(setattr, front.disturbance, "conflict_next_commits", commits))

    disturb(ATTEMPTS - 1)
    write(sessions, drain(EAST_1))
    before = tables(dsql)
    writer = Writer(sessions, release(EAST_1), shown(sessions, EAST_1))
    disturb(ATTEMPTS)
    with pytest.raises(FailedError, match=f"{ATTEMPTS} attempts met a conflict.*Nothing has changed"):
        writer()
    disturb(0)
    assert tables(dsql) == before
    assert writer.find() is None


def test_a_change_is_found_again_and_not_written_twice(dsql: DsqlCluster, sessions: Sessions) -> None:
    """As after a COMMIT whose answer was lost, or an interruption."""
    writer = Writer(sessions, drain(EAST_1), shown(sessions, EAST_1))
    assert writer.find() is None
    written = writer()
    before = tables(dsql)
    again, found = writer(), writer.find()
    assert found is not None
    assert (again.at, again.until) == (found.at, found.until) == (written.at, written.until)
    assert tables(dsql) == before


def test_the_drain_is_written_through_another_region(dsql: DsqlCluster, sessions: Sessions) -> None:
    """Also where that of the drain is frozen; its end is by the database's clock."""
    began = datetime.now(UTC)
    dsql.loop.run(dsql.fronts[EAST_1].inject(FaultKind.DSQL_FREEZE))
    written = write(sessions, drain(EAST_1))
    assert written.through == EAST_2
    assert written.until is not None
    assert (written.until - written.at).total_seconds() == pytest.approx(600)
    assert (datetime.now(UTC) - began).total_seconds() < 25


def test_a_region_that_falls_silent_after_the_login_costs_one_attempt(
    dsql: DsqlCluster, sessions: Sessions
) -> None:
    """The next one goes through another Region, be it the one that is drained."""
    writer = Writer(sessions, drain(EAST_1), shown(sessions, EAST_1))
    dsql.loop.run(dsql.fronts[EAST_2].inject(FaultKind.DSQL_SILENT))
    assert writer().through == EAST_1
    assert [row[:4] for row in tables(dsql)[2]] == [(EAST_1, "drain", "alice's reason; -- 100 %", "alice")]


def test_a_commit_without_an_answer_is_never_called_done(dsql: DsqlCluster, sessions: Sessions) -> None:
    """In no Region: the sentence says that it is not known."""
    writer = Writer(sessions, drain(EAST_1), shown(sessions, EAST_1))
    for front in dsql.fronts.values():
        dsql.loop.run(front.inject(FaultKind.DSQL_COMMIT, Extent(way="hang")))
    with pytest.raises(FailedError, match="it is not known whether the change was made"):
        writer()
    dsql.heal()
    assert writer.find() is None


def test_what_keeps_a_change_from_being_written_is_one_sentence(
    dsql: DsqlCluster, sessions: Sessions
) -> None:
    """A role without the grant, and a schema that is not there."""
    seen = shown(sessions, EAST_1)
    admin = dsql.connect()
    admin.execute(f"REVOKE UPDATE ON beacon.intent FROM {dsql.operator_role}")
    try:
        with pytest.raises(FailedError, match=r"does not let .* change intents: sql/roles\.sql grants it"):
            Writer(sessions, drain(EAST_1), seen)()
    finally:
        admin.execute(f"GRANT UPDATE ON beacon.intent TO {dsql.operator_role}")
    assert tables(dsql)[2] == []
