"""`beacon database` at an empty cluster: it makes what psql makes, also after a cut at each statement."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.lab.conftest import ACCOUNT, REGIONS, SQL, DsqlCluster, LoopThread, start_empty_cluster

from beacon_cli.errors import FailedError, RefusedError
from beacon_cli.fleet import Fleet, LabPlaces, Site
from beacon_cli.schema import work
from beacon_cli.schema.logins import try_logins
from beacon_cli.schema.state import DatabaseState, Standing
from beacon_cli.schema.wanted import Part, Wanted
from beacon_cli.schema.work import ATTEMPTS, Applied, carry_out, compare_database
from beacon_cli.sessions import Sessions
from beacon_lab.dsql.bootstrap import run_script
from beacon_lab.dsql.relay import CONFLICT
from beacon_lab.dsql.rules import Refusal
from beacon_lab.processes.children import Processes

pytestmark = pytest.mark.lab
EAST_1, EAST_2 = REGIONS
#: What DSQL answers where another session has just changed the catalogue.
SCHEMA_CHANGED = Refusal("40001", "schema has been updated by another transaction, please retry: (OC001)")


@pytest.fixture(scope="module")
def empty_cluster() -> Iterator[DsqlCluster]:
    loop = LoopThread()
    directory = Path(tempfile.mkdtemp(prefix="beacon-", dir="/tmp"))
    processes = Processes()
    try:
        cluster = loop.run(start_empty_cluster(loop, processes, directory))
        try:
            yield cluster
        finally:
            for front in cluster.fronts.values():
                loop.run(front.stop())
            loop.run(cluster.postgres.stop())
    finally:
        loop.run(processes.close())
        loop.close()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def empty(empty_cluster: DsqlCluster) -> Iterator[DsqlCluster]:
    """A cluster with nothing but admin."""
    wipe(empty_cluster)
    yield empty_cluster
    empty_cluster.heal()


def wipe(cluster: DsqlCluster) -> None:
    """Remove what a test has made, as admin."""
    admin = cluster.connect()
    admin.execute("DROP SCHEMA IF EXISTS beacon CASCADE")
    for role, arn in admin.execute("SELECT pg_role_name, arn FROM sys.iam_pg_role_mappings").fetchall():
        admin.execute(f"AWS IAM REVOKE \"{role}\" FROM '{arn}'".encode())
    for (role,) in admin.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'shop_test%'").fetchall():
        admin.execute(f'DROP ROLE "{role}"'.encode())
    admin.close()


def wanted_by(cluster: DsqlCluster, *, stacks: tuple[str, ...] = REGIONS) -> Wanted:
    """The deployment's needs, with the stacks of the Regions in ``stacks``."""

    def part(region: str) -> Part:
        if region not in stacks:
            return Part(region, cluster.login_role, {}, "no stack yet")
        arns = {name: f"{ACCOUNT}/{name}-{region}" for name in ("health", "publisher")}
        return Part(region, cluster.login_role, arns)

    return Wanted(
        service=cluster.service,
        target="dsql",
        parts=tuple(part(region) for region in REGIONS),
        operator_role=cluster.operator_role,
        operator_arns=(cluster.operator.arn,),
        canary=True,
    )


def sessions_of(cluster: DsqlCluster) -> Sessions:
    """The cluster as the command sees a lab, with the credentials of its admin."""
    lab = LabPlaces(
        aws_url="http://127.0.0.1:9",
        control_url="http://127.0.0.1:9",
        access_key_id=cluster.operator.access_key_id,
        secret_access_key=cluster.operator.secret_access_key,
        ca_file=str(cluster.authority.ca_file),
        dns=("127.0.0.1", 9),
        dial={front.host: (front.address, front.port) for front in cluster.fronts.values()},
        health_urls={},
    )
    sites = tuple(Site(name, "shop-test", front.host) for name, front in cluster.fronts.items())
    return Sessions(Fleet("shop", "test", sites, "a test", lab=lab, operator_role=cluster.operator_role))


def by_scripts(cluster: DsqlCluster, wanted: Wanted) -> None:
    """The same with the files of sql/, in the README's order."""
    admin = cluster.connect()
    roles = {"login_role": cluster.login_role, "operator_role": wanted.operator_role}
    run_script(admin, SQL / "schema.sql", {})
    run_script(admin, SQL / "roles.sql", roles)
    for arn in wanted.operator_arns:
        run_script(admin, SQL / "grants.sql", {"role": wanted.operator_role, "arn": arn})
    regions = {"service": wanted.service, "target": "dsql", "regions": ",".join(wanted.regions)}
    run_script(admin, SQL / "regions.sql", regions)
    for part in wanted.parts:
        for arn in part.arns.values():
            run_script(admin, SQL / "grants.sql", {"role": part.login_role, "arn": arn})
    run_script(admin, SQL / "canary.sql", {"login_role": cluster.login_role})
    admin.close()


def by_command(cluster: DsqlCluster, wanted: Wanted) -> Applied:
    """The command's work, with no pause between attempts."""
    sessions = sessions_of(cluster)
    return carry_out(sessions, compare_database(sessions, wanted), pause=lambda _: None)


_DUMP = {
    "tables": "SELECT relname, rolname, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(relacl) a)"
    " FROM pg_class JOIN pg_roles r ON r.oid = relowner WHERE relnamespace = 'beacon'::regnamespace",
    "columns": "SELECT table_name, ordinal_position, column_name, data_type, is_nullable, column_default"
    " FROM information_schema.columns WHERE table_schema = 'beacon'",
    "constraints": "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'beacon'::regnamespace",
    "schema": "SELECT r.rolname, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(nspacl) a)"
    " FROM pg_namespace JOIN pg_roles r ON r.oid = nspowner WHERE nspname = 'beacon'",
    "roles": "SELECT rolname, rolcanlogin, rolinherit, rolcreaterole, rolsuper FROM pg_roles"
    " WHERE rolname LIKE 'shop_test%'",
    "mappings": "SELECT pg_role_name, arn FROM sys.iam_pg_role_mappings",
    "intents": "SELECT service, target, region, forced, reason, actor, until FROM beacon.intent",
    "guard": "SELECT service, target, undrained FROM beacon.guard",
    "version": "SELECT version FROM beacon.schema_version",
}


def dump(cluster: DsqlCluster) -> dict[str, list[str]]:
    """Everything there is, in an order of its own."""
    admin = cluster.connect()
    found = {name: sorted(map(repr, admin.execute(query.encode()))) for name, query in _DUMP.items()}
    admin.close()
    return found


def test_the_command_makes_what_the_scripts_make(empty: DsqlCluster) -> None:
    """Object by object, privilege by privilege, row by row; and each finds the other's work complete."""
    wanted = wanted_by(empty)
    by_scripts(empty, wanted)
    made_by_scripts = dump(empty)
    after = compare_database(sessions_of(empty), wanted)
    assert (after.complete, after.statements, after.of(Standing.ALSO_THERE)) == (True, (), ())
    wipe(empty)
    applied = by_command(empty, wanted)
    assert applied.state.complete
    assert len(applied.made) == len({item.name for item in applied.made}) > 20
    assert dump(empty) == made_by_scripts
    by_scripts(empty, wanted)
    assert dump(empty) == made_by_scripts
    assert by_command(empty, wanted).made == ()


def test_a_run_that_is_cut_at_any_statement_is_continued_by_the_next(empty: DsqlCluster) -> None:
    """Killed between two statements; each run makes what is left, and no more."""
    wanted = wanted_by(empty)
    sessions = sessions_of(empty)
    whole = [item.name for item in by_command(empty, wanted).made]
    complete = dump(empty)
    for at in range(1, len(whole)):
        wipe(empty)
        made: list[str] = []

        def cut(item: Any, made: list[str] = made, at: int = at) -> None:  # noqa: ANN401 - an item
            made.append(item.name)
            if len(made) == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            carry_out(sessions, compare_database(sessions, wanted), cut)
        rest = [item.name for item in by_command(empty, wanted).made]
        assert [*made, *rest] == whole
        assert dump(empty) == complete


@pytest.mark.parametrize("runs", [True, False], ids=["its answer is lost", "it is lost itself"])
def test_a_connection_that_is_lost_at_any_statement_is_replaced(
    empty: DsqlCluster, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    """One run gets through them all: it looks again, so a statement that ran is not run twice."""
    real, struck = work._make, set[str]()

    def lossy(connection: Any, item: Any) -> None:  # noqa: ANN401 - as there
        if item.name in struck:
            real(connection, item)
            return
        struck.add(item.name)
        if runs:
            real(connection, item)
        connection.close()
        connection.execute("SELECT 1")

    monkeypatch.setattr(work, "_make", lossy)
    wanted = wanted_by(empty)
    applied = by_command(empty, wanted)
    assert applied.state.complete
    assert len(struck) == applied.again > 20
    # The look finds a statement whose answer was lost: so the run does not claim to have made it.
    assert len(applied.made) == (0 if runs else len(struck))
    monkeypatch.undo()
    made = dump(empty)
    wipe(empty)
    by_scripts(empty, wanted)
    assert dump(empty) == made


def strike(cluster: DsqlCluster, refusal: Refusal, times: int) -> None:
    """Let the next statements of both Regions fail."""
    for front in cluster.fronts.values():
        cluster.loop.call(partial(setattr, front.disturbance, "failure", refusal))
        cluster.loop.call(partial(setattr, front.disturbance, "failing_statements", times))


@pytest.mark.parametrize("refusal", [SCHEMA_CHANGED, CONFLICT], ids=["OC001", "OC000"])
def test_a_conflict_after_each_statement_is_tried_again(empty: DsqlCluster, refusal: Refusal) -> None:
    """Another session changes the catalogue all the time."""
    wanted, sessions = wanted_by(empty), sessions_of(empty)
    state = compare_database(sessions, wanted)
    applied = carry_out(sessions, state, lambda _: strike(empty, refusal, 1), pause=lambda _: None)
    assert applied.state.complete
    assert applied.again > 5


def test_conflicts_without_end_end_the_run_and_the_next_one_continues(empty: DsqlCluster) -> None:
    """The sentence has the database's own word for it."""
    wanted, sessions = wanted_by(empty), sessions_of(empty)
    state = compare_database(sessions, wanted)
    waits: list[float] = []

    def pause(wait_s: float) -> None:
        waits.append(wait_s)
        strike(empty, SCHEMA_CHANGED, 99)

    with pytest.raises(FailedError, match="40001"):
        carry_out(sessions, state, lambda _: strike(empty, SCHEMA_CHANGED, 1), pause)
    assert len(waits) == ATTEMPTS
    assert waits[-1] > waits[0]
    empty.heal()
    assert by_command(empty, wanted).state.complete


def test_a_statement_that_never_gets_through_is_named(
    empty: DsqlCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With how much is made: that stays."""
    real = work._make

    def lossy(connection: Any, item: Any) -> None:  # noqa: ANN401 - as there
        if item.name == "beacon.guard":
            connection.close()
        real(connection, item)

    monkeypatch.setattr(work, "_make", lossy)
    with pytest.raises(FailedError, match=r"beacon\.guard was not made .*; 3 made before it stay"):
        by_command(empty, wanted_by(empty))


def test_two_operators_at_once_both_end_with_a_complete_database(empty: DsqlCluster) -> None:
    """What the other one makes first is found, and is no error."""
    wanted = wanted_by(empty)
    ended: list[Applied | BaseException] = []
    start = threading.Barrier(2)

    def run() -> None:
        sessions = sessions_of(empty)
        state = compare_database(sessions, wanted)
        start.wait(30)
        try:
            ended.append(carry_out(sessions, state))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            ended.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [one.state.complete for one in ended if isinstance(one, Applied)] == [True, True], ended
    both = dump(empty)
    wipe(empty)
    by_scripts(empty, wanted)
    assert dump(empty) == both


def test_a_first_region_needs_no_other_and_a_later_run_adds_the_next(empty: DsqlCluster) -> None:
    """The second Region has no stack yet, and gets its mappings when it has one."""
    first = by_command(empty, wanted_by(empty, stacks=(EAST_1,))).state
    assert (first.ready_for(EAST_1), first.ready_for(EAST_2), first.complete) == (True, False, False)
    assert [item.detail for item in first.of(Standing.WAITING)] == ["no stack yet"]
    later = by_command(empty, wanted_by(empty))
    assert {item.name for item in later.made} == {
        f"{empty.login_role} for {ACCOUNT}/{name}-{EAST_2}" for name in ("health", "publisher")
    }
    assert later.state.complete


def test_a_drain_and_what_is_not_beacons_stay(empty: DsqlCluster) -> None:
    """The Region remains drained, and other grants, mappings and tables are also there."""
    wanted = wanted_by(empty)
    by_command(empty, wanted)
    admin = empty.connect()
    drained = {"service": empty.service, "target": "dsql", "region": EAST_1, "reason": "r", "actor": "a"}
    run_script(admin, SQL / "drain.sql", {**drained, "minutes": ""})
    admin.execute("CREATE TABLE beacon.own (id integer PRIMARY KEY)")
    admin.execute(f"GRANT DELETE ON beacon.change TO {empty.operator_role}".encode())
    admin.execute(f"AWS IAM GRANT {empty.operator_role} TO '{ACCOUNT}/other'".encode())
    admin.close()
    before = dump(empty)
    more = replace(wanted, operator_arns=(*wanted.operator_arns, f"{ACCOUNT}/bob"))
    state = by_command(empty, more).state
    assert [item.name for item in state.of(Standing.ALSO_THERE)] == [
        "beacon.own",
        f"{empty.operator_role}: DELETE on beacon.change",
        f"{empty.operator_role} for {ACCOUNT}/other",
    ]
    after = dump(empty)
    assert set(after.pop("mappings")) - set(before.pop("mappings")) == {
        repr((empty.operator_role, f"{ACCOUNT}/bob"))
    }
    assert after == before


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (
            ("CREATE SCHEMA beacon", "CREATE TABLE beacon.guard (service text PRIMARY KEY)"),
            "has no column target",
        ),
        (("CREATE ROLE shop_test",), "shop_test: it may not log in"),
    ],
)
def test_another_form_is_refused_before_anything_is_changed(
    empty: DsqlCluster, statements: tuple[str, ...], says: str
) -> None:
    """No statement can give a table a constraint on DSQL."""
    admin = empty.connect()
    for statement in statements:
        admin.execute(statement.encode())
    with pytest.raises(RefusedError, match=says):
        by_command(empty, wanted_by(empty))
    assert admin.execute("SELECT to_regclass('beacon.intent')").fetchone() == (None,)


def test_each_role_is_tried_in_each_region_by_logging_in(empty: DsqlCluster) -> None:
    """The operator's IAM role is mapped to its own role alone, so the functions' role is denied to it."""
    wanted, sessions = wanted_by(empty), sessions_of(empty)
    assert {(one.role, one.works) for one in try_logins(sessions, wanted)} == {
        (empty.login_role, False),
        (empty.operator_role, False),
        ("admin", False),  # there is no table to read
    }
    by_command(empty, wanted)
    found = try_logins(sessions, wanted)
    assert {(one.region, one.role): one.works for one in found} == {
        (region, role): role != empty.login_role
        for region in REGIONS
        for role in (empty.login_role, empty.operator_role, "admin")
    }
    assert {one.reason for one in found if one.role == empty.login_role} == {"login_rejected"}
    mine = replace(wanted, parts=tuple(replace(one, arns={"me": empty.operator.arn}) for one in wanted.parts))
    by_command(empty, mine)
    admin = empty.connect()
    admin.execute(f"REVOKE UPDATE ON beacon.guard FROM {empty.operator_role}".encode())
    assert {(one.role, one.why) for one in try_logins(sessions, wanted)} == {
        (empty.login_role, ""),
        (empty.operator_role, "42501: permission denied for table guard"),
        ("admin", ""),
    }
    assert rows_of(empty) == {"intent": 2, "change": 0, "canary": 0}


def rows_of(cluster: DsqlCluster) -> dict[str, Any]:
    """How many rows the tables have."""
    admin = cluster.connect()
    return {
        name: admin.execute(f"TABLE beacon.{name}".encode()).rowcount
        for name in ("intent", "change", "canary")
    }


def test_what_another_role_may_not_read_is_unknown(empty: DsqlCluster) -> None:
    """The operators' role sees the catalogue, and not the mappings."""
    wanted = wanted_by(empty)
    by_command(empty, wanted)
    state: DatabaseState = compare_database(sessions_of(empty), wanted, user=empty.operator_role)
    assert {item.kind.value for item in state.of(Standing.UNKNOWN)} == {"mapping"}
    assert (state.missing, state.differing, state.complete) == ((), (), False)
    with suppress(psycopg.Error):
        empty.connect(empty.operator_role).execute("SELECT * FROM sys.iam_pg_role_mappings")
        pytest.fail("the lab lets the operator read the mappings")
