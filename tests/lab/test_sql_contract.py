"""The SQL files keep the promises of the database contract, with psql and with a driver."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from beacon_lab.bootstrap import run_script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import DsqlCluster

pytestmark = pytest.mark.lab

SQL = Path(__file__).parents[2] / "sql"
EAST_1, EAST_2 = "us-east-1", "us-east-2"


@pytest.fixture(autouse=True)
def _as_before(dsql: DsqlCluster) -> Iterator[None]:
    """Every Region is released afterwards, and the audit is empty."""
    yield
    dsql.heal()
    admin = dsql.connect()
    for region in (EAST_1, EAST_2):
        run_script(admin, SQL / "release.sql", variables(dsql, region))
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
    """A drain committed in one Region is read in the other at once, with who and why."""
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
    with pytest.raises(psycopg.errors.CheckViolation, match="one_region_at_least_stays_undrained"):
        run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_2))
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


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"region": "eu-west-1"}, psycopg.errors.NotNullViolation),
        ({"service": "another"}, psycopg.errors.NotNullViolation),
        ({"target": "mysql"}, psycopg.errors.NotNullViolation),
        ({"reason": ""}, psycopg.errors.CheckViolation),
        ({"actor": ""}, psycopg.errors.CheckViolation),
        ({"minutes": "-5"}, psycopg.errors.CheckViolation),
        ({"minutes": "soon"}, psycopg.errors.InvalidTextRepresentation),
    ],
)
def test_a_drain_of_nothing_or_without_reason_fails_visibly(
    dsql: DsqlCluster, changed: dict[str, str], error: type[psycopg.Error]
) -> None:
    """A mistyped Region or deployment, an empty reason, a time in the past: an error, and nothing changed."""
    connection = operator(dsql)
    with pytest.raises(error):
        run_script(connection, SQL / "drain.sql", variables(dsql, EAST_1) | changed)
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert forced(dsql) == {EAST_1: None, EAST_2: None}
    assert changes(dsql) == []


def test_of_two_operators_at_the_same_moment_exactly_one_succeeds(dsql: DsqlCluster) -> None:
    """Two drains of two Regions in two transactions: one gets 40001, and on its retry is refused."""
    outcomes: dict[str, psycopg.Error | None] = {}
    meeting = threading.Barrier(2)

    def drain(region: str) -> None:
        connection = operator(dsql, region)
        # Both take their snapshot before either changes anything: the moment in which both see two Regions.
        original = connection.execute

        def execute(query: bytes) -> psycopg.Cursor:
            cursor = original(query)
            if query == b"BEGIN":
                original(b"SELECT count(*) FROM beacon.intent WHERE forced IS NULL")
                meeting.wait(10)
            return cursor

        connection.execute = execute  # type: ignore[method-assign, assignment]
        try:
            run_script(connection, SQL / "drain.sql", variables(dsql, region))
        except psycopg.Error as error:
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
    assert isinstance(outcomes[losers[0]], psycopg.errors.SerializationFailure)
    assert list(forced(dsql).values()).count("drain") == 1
    with pytest.raises(psycopg.errors.CheckViolation):
        run_script(operator(dsql), SQL / "drain.sql", variables(dsql, losers[0]))
    assert len(changes(dsql)) == 1


def test_a_conflict_at_commit_leaves_a_drain_undone_not_half_done(dsql: DsqlCluster) -> None:
    """DSQL reports conflicts at COMMIT: intent, guard and record are then all as before."""
    dsql.loop.call(lambda: setattr(dsql.front.disturbance, "conflict_next_commits", 1))
    connection = operator(dsql)
    with pytest.raises(psycopg.errors.SerializationFailure):
        run_script(connection, SQL / "drain.sql", variables(dsql, EAST_1))
    assert forced(dsql) == {EAST_1: None, EAST_2: None}
    assert changes(dsql) == []
    run_script(connection, SQL / "drain.sql", variables(dsql, EAST_1))
    assert forced(dsql)[EAST_1] == "drain"


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
        "UPDATE beacon.change SET actor = 'nobody'",
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
        with pytest.raises(psycopg.errors.CheckViolation):
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
        with pytest.raises(psycopg.errors.CheckViolation):
            run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1, service="other-test"))
        run_script(operator(dsql), SQL / "drain.sql", variables(dsql, EAST_1))
    finally:
        admin.execute("DELETE FROM beacon.intent WHERE service = 'other-test'")
        admin.execute("DELETE FROM beacon.guard WHERE service = 'other-test'")


def test_psql_runs_the_files_and_fails_visibly(dsql: DsqlCluster) -> None:
    """The same files in psql: exit status 0 for a drain, 3 with PostgreSQL's sentence for a refused one."""
    names = {"service": dsql.service, "target": "dsql", "reason": "it's a test", "actor": "alice"}
    drained = psql(dsql, "drain.sql", region=EAST_1, **names)
    assert drained.returncode == 0, drained.stderr
    assert "it's a test" in drained.stdout
    assert forced(dsql)[EAST_1] == "drain"
    last = psql(dsql, "drain.sql", region=EAST_2, minutes="30", **names)
    assert last.returncode == 3
    assert "one_region_at_least_stays_undrained" in last.stderr
    unknown = psql(dsql, "drain.sql", region="nowhere", **names)
    assert unknown.returncode == 3
    assert 'null value in column "region"' in unknown.stderr
    assert forced(dsql) == {EAST_1: "drain", EAST_2: None}
    released = psql(dsql, "release.sql", region=EAST_1, **names)
    assert released.returncode == 0, released.stderr
    assert forced(dsql) == {EAST_1: None, EAST_2: None}


def test_psql_prepares_a_cluster(dsql: DsqlCluster) -> None:
    """schema, roles, grants and Regions through psql as admin; the schema a second time changes nothing."""
    admin = dsql.connect()
    roles = {"login_role": "psql_test", "operator_role": "psql-test operator"}
    try:
        steps: list[tuple[str, dict[str, str]]] = [
            ("schema.sql", {}),
            ("roles.sql", roles),
            ("grants.sql", {"role": "psql_test", "arn": dsql.function.arn}),
            ("regions.sql", {"service": "psql-test", "target": "dsql", "regions": "us-east-1,us-east-2"}),
        ]
        for script, values in steps:
            done = psql(dsql, script, "admin", **values)
            assert done.returncode == 0, (script, done.stderr)
        reader = dsql.connect("psql_test")
        assert reader.execute(
            "SELECT count(*) FROM beacon.intent WHERE service = 'psql-test'"
        ).fetchone() == (2,)
        again = psql(dsql, "roles.sql", "admin", **roles)
        assert again.returncode == 3
        assert "already exists" in again.stderr
    finally:
        admin.execute("DELETE FROM beacon.intent WHERE service = 'psql-test'")
        admin.execute("DELETE FROM beacon.guard WHERE service = 'psql-test'")
        for role in ("psql_test", '"psql-test operator"'):
            admin.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA beacon FROM {role}".encode())
            admin.execute(f"REVOKE ALL ON SCHEMA beacon FROM {role}".encode())
            admin.execute(f"DROP ROLE {role}".encode())
