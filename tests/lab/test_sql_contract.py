"""The SQL files keep the promises of the database contract, with psql and with a driver."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.places import ROOT

from beacon_lab.dsql.bootstrap import run_script
from beacon_lab.dsql.sql_script import ScriptRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import DsqlCluster

pytestmark = pytest.mark.lab

SQL = ROOT / "sql"
EAST_1, EAST_2 = "us-east-1", "us-east-2"


@pytest.fixture(autouse=True)
def _as_before(dsql: DsqlCluster) -> Iterator[None]:
    """Every Region is released afterwards, and the audit is empty."""
    yield
    dsql.heal()
    admin = dsql.connect()
    admin.execute("UPDATE beacon.intent SET forced = NULL, until = NULL")
    regions = {"service": dsql.service, "target": "dsql", "regions": f"{EAST_1},{EAST_2}"}
    run_script(admin, SQL / "regions.sql", regions)
    admin.execute("DELETE FROM beacon.change")


def variables(dsql: DsqlCluster, region: str, **changed: str) -> dict[str, str]:
    right = {
        "service": dsql.service,
        "target": "dsql",
        "region": region,
        "reason": "it's time; -- really",
        "actor": "alice",
        "minutes": "",
    }
    return right | changed


def operator(dsql: DsqlCluster, region: str = EAST_1) -> psycopg.Connection:
    return dsql.connect(dsql.operator_role, front=dsql.fronts[region])


def forced(dsql: DsqlCluster) -> dict[str, str | None]:
    """What is forced, as the functions' role reads it through the other Region's endpoint."""
    rows = dsql.connect(dsql.login_role, front=dsql.fronts[EAST_2]).execute(
        "SELECT region, forced FROM beacon.intent WHERE service = %s", (dsql.service,)
    )
    return dict(rows.fetchall())


def changes(dsql: DsqlCluster) -> list[tuple[str, str | None, str, str]]:
    rows = operator(dsql).execute("SELECT region, forced, reason, actor FROM beacon.change ORDER BY at")
    return rows.fetchall()


def psql(
    dsql: DsqlCluster, script: str, user: str | None = None, /, **values: str
) -> subprocess.CompletedProcess[str]:
    program = shutil.which("psql")
    if program is None:
        pytest.skip("psql is missing: apt-get install postgresql-client")
    user = user or dsql.operator_role
    environment = {
        "PGHOST": dsql.front.host,
        "PGHOSTADDR": dsql.front.address,
        "PGPORT": str(dsql.front.port),
        "PGUSER": user,
        "PGPASSWORD": dsql.token(user),
        "PGDATABASE": "postgres",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(dsql.authority.ca_file),
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
    }
    flags = [flag for name, value in values.items() for flag in ("-v", f"{name}={value}")]
    return subprocess.run(
        [program, "--no-psqlrc", *flags, "-f", str(SQL / script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_drain_is_seen_through_every_region_and_recorded(dsql: DsqlCluster) -> None:
    """A drain committed in one Region is read in the other at once, with its actor and reason."""
    run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1))
    assert forced(dsql) == {EAST_1: "drain", EAST_2: None}
    assert changes(dsql) == [(EAST_1, "drain", "it's time; -- really", "alice")]
    run_script(
        operator(dsql, EAST_2), SQL / "release.sql", variables(dsql, EAST_1, reason="done", actor="bob")
    )
    assert forced(dsql) == {EAST_1: None, EAST_2: None}
    assert changes(dsql)[-1] == (EAST_1, None, "done", "bob")


def test_the_last_region_cannot_be_drained(dsql: DsqlCluster) -> None:
    """A drain that would leave no Region fails as a whole: no intent, no record."""
    run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1))
    with pytest.raises(
        ScriptRefusedError, match="us-east-2 is the last Region of shop-test that is not drained"
    ):
        run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_2))
    # The table itself refuses as well, however the intents are written.
    with pytest.raises(psycopg.errors.CheckViolation, match="one_region_at_least_stays_undrained"):
        operator(dsql).execute("UPDATE beacon.guard SET undrained = 0")
    assert forced(dsql) == {EAST_1: "drain", EAST_2: None}
    assert len(changes(dsql)) == 1
    # The one that is drained already may be drained again, with another reason or end.
    run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1, minutes="5"))


def test_a_drain_that_has_expired_counts_no_more(dsql: DsqlCluster) -> None:
    """The end is judged by the database's clock: afterwards the other Region may be drained."""
    run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1, minutes="0.001"))
    row = (
        operator(dsql)
        .execute("SELECT until - changed_at FROM beacon.intent WHERE forced = 'drain'")
        .fetchone()
    )
    assert row is not None
    assert row[0].total_seconds() == pytest.approx(0.06)
    operator(dsql).execute("SELECT pg_sleep(0.1)")
    run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_2))
    assert forced(dsql)[EAST_2] == "drain"


def test_a_drain_that_has_expired_is_recorded_by_the_next_change(dsql: DsqlCluster) -> None:
    """The history says when it ended and whose it was; the intent is empty again, and it is recorded once."""
    run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1, minutes="0.001"))
    operator(dsql).execute("SELECT pg_sleep(0.1)")
    run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_2, reason="next", actor="bob"))
    assert forced(dsql) == {EAST_1: None, EAST_2: "drain"}
    said = "it's time; -- really"
    history = [
        (EAST_1, "drain", said, "alice"),
        (EAST_1, None, f"expired: {said}", "alice"),
        (EAST_2, "drain", "next", "bob"),
    ]
    assert changes(dsql) == history
    ended = operator(dsql).execute("SELECT count(*) FROM beacon.change WHERE forced IS NULL AND at = until")
    assert ended.fetchone() == (1,)
    run_script(operator(dsql), SQL / "release.sql", variables(dsql, EAST_2, reason="done"))
    assert changes(dsql) == [*history, (EAST_2, None, "done", "alice")]


@pytest.mark.parametrize("again", ["drain.sql", "release.sql"])
def test_a_drain_of_this_region_that_has_expired_is_recorded_too(dsql: DsqlCluster, again: str) -> None:
    """Drained once more it has two drains and one end; released, its end and no release beside it."""
    run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1, minutes="0.001"))
    operator(dsql).execute("SELECT pg_sleep(0.1)")
    run_script(operator(dsql), SQL / again, variables(dsql, EAST_1, reason="later", actor="bob"))
    said = "it's time; -- really"
    drained = [(EAST_1, "drain", "later", "bob")] if again == "drain.sql" else []
    assert changes(dsql) == [
        (EAST_1, "drain", said, "alice"),
        (EAST_1, None, f"expired: {said}", "alice"),
        *drained,
    ]
    assert forced(dsql)[EAST_1] == ("drain" if drained else None)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"region": "eu-west-1"}, "shop-test has no Region eu-west-1. Its Regions: us-east-1, us-east-2."),
        (
            {"service": "another"},
            "There is no deployment another with target dsql. Deployments here: shop-test with target dsql.",
        ),
        ({"target": "mysql"}, "There is no deployment shop-test with target mysql."),
        ({"reason": ""}, "reason is empty: give it as -v reason=TEXT."),
        ({"actor": ""}, "actor is empty: give it as -v actor=NAME."),
        ({"minutes": "-5"}, "A drain lasts more than 0 minutes, not -5."),
        ({"minutes": "soon"}, "Nothing has changed: the error above says why."),
    ],
)
def test_a_drain_of_nothing_or_without_reason_fails_in_plain_words(
    dsql: DsqlCluster, changed: dict[str, str], words: str
) -> None:
    """A mistyped Region or deployment, an empty reason, a time in the past: a sentence, and no change."""
    connection = operator(dsql)
    with pytest.raises(ScriptRefusedError, match=re.escape(words)):
        run_script(connection, SQL / "drain.sql", variables(dsql, EAST_1) | changed)
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert forced(dsql) == {EAST_1: None, EAST_2: None}
    assert changes(dsql) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "us-east-1 of shop-test is not drained, so there is nothing to release. Drained: us-east-2."),
        ({"region": "eu-west-1"}, "shop-test has no Region eu-west-1. Its Regions: us-east-1, us-east-2."),
        ({"service": "another"}, "Deployments here: shop-test with target dsql."),
        ({"region": EAST_2, "actor": ""}, "actor is empty: give it as -v actor=NAME."),
    ],
)
def test_a_release_of_what_is_not_drained_is_refused_and_not_recorded(
    dsql: DsqlCluster, changed: dict[str, str], words: str
) -> None:
    """The answer names what there is to release; the history holds what happened and nothing else."""
    run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_2))
    with pytest.raises(ScriptRefusedError, match=re.escape(words)):
        run_script(operator(dsql), SQL / "release.sql", variables(dsql, EAST_1) | changed)
    assert forced(dsql) == {EAST_1: None, EAST_2: "drain"}
    assert len(changes(dsql)) == 1


def test_of_two_operators_at_the_same_moment_exactly_one_succeeds(dsql: DsqlCluster) -> None:
    """Two drains of two Regions in two transactions: one gets 40001, tries again and is refused in words."""
    outcomes: dict[str, Exception | None] = {}
    conflicts: list[str] = []
    meeting = threading.Barrier(2)

    def drain(region: str) -> None:
        connection = operator(dsql, region)
        # Both take their snapshot before either changes anything: the moment in which both see two Regions.
        original, met = connection.execute, False

        def execute(query: bytes) -> psycopg.Cursor:
            nonlocal met
            try:
                cursor = original(query)
            except psycopg.errors.SerializationFailure:
                conflicts.append(region)
                raise
            if query == b"BEGIN" and not met:
                met = True
                original(b"SELECT count(*) FROM beacon.intent WHERE forced IS NULL")
                meeting.wait(10)
            return cursor

        connection.execute = execute  # type: ignore[method-assign, assignment]
        try:
            run_script(connection, SQL / "drain.sql", variables(dsql, region))
        except (psycopg.Error, ScriptRefusedError) as error:
            outcomes[region] = error
        else:
            outcomes[region] = None

    threads = [threading.Thread(target=drain, args=[region]) for region in (EAST_1, EAST_2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    losers = [region for region, error in outcomes.items() if error is not None]
    assert len(losers) == 1, outcomes
    assert conflicts == losers
    assert "trying again" in str(outcomes[losers[0]])
    assert f"{losers[0]} is the last Region of shop-test" in str(outcomes[losers[0]])
    assert list(forced(dsql).values()).count("drain") == 1
    assert len(changes(dsql)) == 1


@pytest.mark.parametrize("script", ["drain.sql", "release.sql"])
def test_a_conflict_at_commit_is_tried_again(dsql: DsqlCluster, script: str) -> None:
    """DSQL reports conflicts at COMMIT: twice in a row, and the third attempt is the one that counts."""
    if script == "release.sql":
        run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1))
    before = len(changes(dsql))
    dsql.loop.call(lambda: setattr(dsql.front.disturbance, "conflict_next_commits", 2))
    run_script(operator(dsql), SQL / script, variables(dsql, EAST_1))
    assert forced(dsql)[EAST_1] == ("drain" if script == "drain.sql" else None)
    assert len(changes(dsql)) == before + 1


@pytest.mark.parametrize("script", ["drain.sql", "release.sql"])
def test_three_conflicts_leave_a_change_undone_not_half_done(dsql: DsqlCluster, script: str) -> None:
    """Intent, guard and record are then as before, and the words say what to do."""
    if script == "release.sql":
        run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1))
    before = forced(dsql), changes(dsql)
    dsql.loop.call(lambda: setattr(dsql.front.disturbance, "conflict_next_commits", 3))
    connection = operator(dsql)
    with pytest.raises(
        ScriptRefusedError, match=r"three attempts met a conflict.*sql/show\.sql.*run this again"
    ):
        run_script(connection, SQL / script, variables(dsql, EAST_1))
    assert (forced(dsql), changes(dsql)) == before
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    run_script(connection, SQL / script, variables(dsql, EAST_1))
    assert (forced(dsql), changes(dsql)) != before


def test_the_functions_role_reads_intents_and_nothing_else(dsql: DsqlCluster) -> None:
    """Least privilege in the database: SELECT on beacon.intent, no write, no other table, no schema."""
    function = dsql.connect(dsql.login_role)
    assert function.execute("SELECT count(*) FROM beacon.intent").fetchone() == (2,)
    for sql in (
        "UPDATE beacon.intent SET forced = NULL",
        "INSERT INTO beacon.intent (service, target, region) VALUES ('a', 'b', 'c')",
        "DELETE FROM beacon.intent",
        "SELECT * FROM beacon.change",
        "SELECT * FROM beacon.guard",
        "CREATE TABLE beacon.mine (a int)",
        "CREATE TABLE public.mine (a int)",
        "CREATE ROLE another",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            function.execute(sql)


def test_the_operators_role_cannot_rewrite_the_record(dsql: DsqlCluster) -> None:
    """beacon.change is append-only for those who write to it, and intents cannot be removed."""
    connection = operator(dsql)
    for sql in (
        "UPDATE beacon.change SET actor = 'nil'",
        "DELETE FROM beacon.change",
        "DELETE FROM beacon.intent",
        "INSERT INTO beacon.intent (service, target, region) VALUES ('a', 'b', 'c')",
        "DROP TABLE beacon.change",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(sql)


def test_a_further_region_joins_and_the_others_keep_their_intents(dsql: DsqlCluster) -> None:
    """regions.sql may run again: it adds what is new, and the guard counts it."""
    run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1))
    admin = dsql.connect()
    seeded = {"service": dsql.service, "target": "dsql", "regions": f"{EAST_1}, us-west-2"}
    run_script(admin, SQL / "regions.sql", seeded)
    try:
        assert forced(dsql) == {EAST_1: "drain", EAST_2: None, "us-west-2": None}
        run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_2))
        with pytest.raises(ScriptRefusedError, match="us-west-2 is the last Region"):
            run_script(operator(dsql), SQL / "drain.sql", variables(dsql, "us-west-2"))
    finally:
        admin.execute("DELETE FROM beacon.intent WHERE region = 'us-west-2'")


@pytest.mark.parametrize("regions", [f"{EAST_1},", f"{EAST_1},,{EAST_2}", f"{EAST_1};{EAST_2}"])
def test_what_is_no_region_is_never_counted_as_one_that_serves(dsql: DsqlCluster, regions: str) -> None:
    """A phantom Region would be the one that stays undrained while all real ones are drained."""
    before = forced(dsql)
    seeded = {"service": dsql.service, "target": "dsql", "regions": regions}
    with pytest.raises(psycopg.errors.CheckViolation):
        run_script(dsql.connect(), SQL / "regions.sql", seeded)
    assert forced(dsql) == before


def test_several_deployments_share_a_cluster(dsql: DsqlCluster) -> None:
    """Another deployment's Regions do not count: its guard is its own."""
    admin = dsql.connect()
    run_script(admin, SQL / "regions.sql", {"service": "other-test", "target": "dsql", "regions": EAST_1})
    try:
        with pytest.raises(ScriptRefusedError, match="us-east-1 is the last Region of other-test"):
            run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1, service="other-test"))
        run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1))
    finally:
        admin.execute("DELETE FROM beacon.intent WHERE service = 'other-test'")
        admin.execute("DELETE FROM beacon.guard WHERE service = 'other-test'")


def test_psql_runs_the_files_and_fails_visibly(dsql: DsqlCluster) -> None:
    """The same files in psql: exit status 0 for a drain, 3 with a sentence for a refused one."""
    names = {"service": dsql.service, "target": "dsql", "reason": "it's a test", "actor": "alice"}
    drained = psql(dsql, "drain.sql", region=EAST_1, **names)
    assert (drained.returncode, drained.stderr) == (0, "")
    assert "it's a test" in drained.stdout
    assert "If no other Region is healthy, release this one now." in drained.stdout
    assert forced(dsql)[EAST_1] == "drain"
    last = psql(dsql, "drain.sql", region=EAST_2, minutes="30", **names)
    assert last.returncode == 3
    assert last.stderr.startswith(
        "us-east-2 is the last Region of shop-test that is not drained, so it stays."
    )
    unknown = psql(dsql, "drain.sql", region="nowhere", **names)
    assert unknown.returncode == 3
    sentence, unchanged, end = unknown.stderr.splitlines()
    assert sentence == "shop-test has no Region nowhere. Its Regions: us-east-1, us-east-2."
    assert unchanged == "Nothing has changed."
    assert end.endswith("ERROR:  22P02")
    assert forced(dsql) == {EAST_1: "drain", EAST_2: None}
    shown = psql(dsql, "show.sql")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(rf"{EAST_1} +\| drained ", shown.stdout)
    released = psql(dsql, "release.sql", region=EAST_1, **names)
    assert (released.returncode, released.stderr) == (0, "")
    again = psql(dsql, "release.sql", region=EAST_1, **names)
    assert again.returncode == 3
    assert again.stderr.startswith("us-east-1 of shop-test is not drained, so there is nothing to release.")
    assert forced(dsql) == {EAST_1: None, EAST_2: None}
    assert len(changes(dsql)) == 2


def test_psql_tries_again_after_a_conflict_and_names_it_after_three(dsql: DsqlCluster) -> None:
    """With the error that the server gave, and what to do."""
    names = {"service": dsql.service, "target": "dsql", "reason": "test", "actor": "alice"}
    dsql.loop.call(lambda: setattr(dsql.front.disturbance, "conflict_next_commits", 3))
    lost = psql(dsql, "drain.sql", region=EAST_1, **names)
    assert lost.returncode == 3
    assert "Look at the present state (sql/show.sql), then run this again." in lost.stderr
    assert forced(dsql)[EAST_1] is None
    dsql.loop.call(lambda: setattr(dsql.front.disturbance, "conflict_next_commits", 1))
    won = psql(dsql, "drain.sql", region=EAST_1, **names)
    assert won.returncode == 0, won.stderr
    assert "trying again" in won.stderr
    assert forced(dsql)[EAST_1] == "drain"


def test_psql_says_that_a_variable_is_missing(dsql: DsqlCluster) -> None:
    """PostgreSQL alone would speak of a syntax error."""
    done = psql(dsql, "drain.sql", service=dsql.service, target="dsql", region=EAST_1, actor="alice")
    assert done.returncode == 3
    assert "Is a variable missing? service, target, region, reason and actor are needed." in done.stderr
    assert forced(dsql)[EAST_1] is None


def test_psql_prepares_a_cluster(dsql: DsqlCluster) -> None:
    """schema, roles, grants and Regions through psql as admin, each twice: the second run changes nothing."""
    admin = dsql.connect()
    roles = {"login_role": "psql_test", "operator_role": "psql-test operator"}
    try:
        steps: list[tuple[str, dict[str, str]]] = [
            ("schema.sql", {}),
            ("roles.sql", roles),
            ("grants.sql", {"role": "psql_test", "arn": dsql.function.arn}),
            ("regions.sql", {"service": "psql-test", "target": "dsql", "regions": "us-east-1,us-east-2"}),
        ]
        for script, values in [step for step in steps for _ in range(2)]:
            done = psql(dsql, script, "admin", **values)
            assert done.returncode == 0, (script, done.stderr)
        reader = dsql.connect("psql_test")
        assert reader.execute(
            "SELECT count(*) FROM beacon.intent WHERE service = 'psql-test'"
        ).fetchone() == (2,)
        assert admin.execute("SELECT version FROM beacon.schema_version").fetchall() == [(1,)]
    finally:
        admin.execute("DELETE FROM beacon.intent WHERE service = 'psql-test'")
        admin.execute("DELETE FROM beacon.guard WHERE service = 'psql-test'")
        for role in ("psql_test", '"psql-test operator"'):
            admin.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA beacon FROM {role}".encode())
            admin.execute(f"REVOKE ALL ON SCHEMA beacon FROM {role}".encode())
            admin.execute(f"DROP ROLE {role}".encode())
