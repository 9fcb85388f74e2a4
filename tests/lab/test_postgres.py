"""The lab's PostgreSQL is version 16, runs as an ordinary user, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from beacon_lab.dsql import postgres_place as module
from beacon_lab.dsql.postgres import Postgres, PostgresError
from beacon_lab.processes.children import Processes
from beacon_lab.processes.process_table import descendants, entry, snapshot
from beacon_lab.processes.shared_memory import segments

if TYPE_CHECKING:
    from tests.lab.conftest import DsqlCluster

pytestmark = pytest.mark.lab


def until(condition: Callable[[], bool], what: str, within_s: float = 10.0) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


def shared_memory() -> set[str]:
    """The System V segments of this machine, by identifier."""
    table = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    return {line.split()[1] for line in table}


def segments_of(creator: int) -> set[int]:
    """The System V segments that a process has made, also when it has ended."""
    return {segment.identifier for segment in segments() if segment.creator == creator}


def posix_files_of(pid: int) -> set[Path]:
    """The files in /dev/shm that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    return {Path(line.split()[-1]) for line in lines if " /dev/shm/PostgreSQL." in line}


def stopped(pid: int) -> bool:
    row = entry(pid)
    return row is None or row.state == "T"


def server_pid(server: Postgres) -> int:
    return int((server.socket_dir / "data" / "postmaster.pid").read_text().split()[0])


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def program_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/exe").readlink())


def connected(server: Postgres) -> psycopg.Connection:
    return psycopg.connect(host=str(server.socket_dir), user="admin", dbname="postgres")


def test_it_is_version_16_with_dsql_s_isolation(dsql: DsqlCluster) -> None:
    """The server behind the fronts is PostgreSQL 16 and every transaction is REPEATABLE READ."""
    with psycopg.connect(host=str(dsql.postgres.socket_dir), user="beacon_lab", dbname="postgres") as local:
        version, isolation = local.execute(
            "SELECT current_setting('server_version'), current_setting('transaction_isolation')"
        ).fetchone() or ("", "")
    assert version.startswith("16.")
    assert isolation == "repeatable read"


def test_admin_owns_the_database_and_is_no_superuser(dsql: DsqlCluster) -> None:
    """The role admin has DSQL's rights: it makes roles and schemas, and is not above the rules."""
    row = (
        dsql.connect()
        .execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
            " (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'postgres')"
            " FROM pg_roles WHERE rolname = current_user"
        )
        .fetchone()
    )
    assert row == (False, True, False, False, False, "admin")


def test_stop_leaves_no_process_and_no_shared_memory(short_directory: Path) -> None:
    """A server that is stopped with a connection open goes at once, and frees its System V segment."""

    async def work() -> tuple[int, int]:
        async with Processes() as processes:
            server = Postgres()
            await server.start(processes, short_directory)
            pid = server_pid(server)
            owner = owner_of(pid)
            connection = await asyncio.to_thread(connected, server)
            await server.stop()
            connection.close()
            return pid, owner

    before = shared_memory()
    pid, owner = asyncio.run(work())
    assert owner != 0, "PostgreSQL ran as root"
    assert not Path(f"/proc/{pid}").exists()
    until(lambda: shared_memory() <= before, "a System V segment stays")
    assert not (short_directory / "postgres").exists(), "its directory stays"


def test_a_killed_server_frees_its_shared_memory(short_directory: Path) -> None:
    """SIGKILL gives PostgreSQL no time to clean up; the kernel frees the segment all the same."""

    async def work() -> None:
        async with Processes() as processes:
            await Postgres().start(processes, short_directory)

    before = shared_memory()
    asyncio.run(work())
    until(lambda: shared_memory() <= before, "a System V segment stays")


# A lab that only makes its database, in the directory that it is given.
DATABASE_ONLY = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from beacon_lab.dsql.postgres import Postgres
    from beacon_lab.processes.children import Processes

    async def main():
        async with Processes() as processes:
            await Postgres().start(processes, Path(sys.argv[1]))
            await asyncio.sleep(600)

    asyncio.run(main())
    """
)


def test_a_lab_killed_during_initdb_leaves_no_shared_memory(short_directory: Path) -> None:
    """initdb runs servers of its own: what SIGKILL makes them leave in the kernel and in /dev/shm is gone."""
    lab = subprocess.Popen([sys.executable, "-c", DATABASE_ONLY, str(short_directory)])
    caught: list[tuple[int, set[int], set[Path]]] = []

    def catch_a_server_of_initdb() -> bool:
        assert lab.poll() is None, "it ended by itself"
        table = snapshot()
        for pid in descendants([lab.pid], table):
            parent = next((row.parent for row in table if row.identity.pid == pid), 0)
            try:
                if program_of(pid).endswith("/postgres") and program_of(parent).endswith(("/initdb", "sh")):
                    os.kill(pid, signal.SIGSTOP)
                    until(partial(stopped, pid), "it does not stop", 2.0)
                    found = segments_of(pid), posix_files_of(pid)
                    if all(found):
                        caught.append((pid, *found))
                        return True
                    os.kill(pid, signal.SIGCONT)
            except (FileNotFoundError, ProcessLookupError):
                continue
        return False

    try:
        until(catch_a_server_of_initdb, "no server of initdb was seen with shared memory")
    finally:
        lab.kill()
        lab.wait()
    ((pid, _, files),) = caught
    until(lambda: not (short_directory / "postgres").exists(), "its directory stays", 15.0)
    until(lambda: not segments_of(pid), "a System V segment stays")
    assert not [file for file in files if file.exists()]


def test_a_server_that_made_its_memory_again_leaves_none(short_directory: Path) -> None:
    """After the death of a backend PostgreSQL makes a new segment; SIGKILL afterwards leaves none either."""

    async def work() -> int:
        async with Processes() as processes:
            server = Postgres()
            await server.start(processes, short_directory)
            pid = server_pid(server)
            first = segments_of(pid)
            connection = await asyncio.to_thread(connected, server)
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            await asyncio.to_thread(until, lambda: bool(segments_of(pid) - first), "no new segment")
            connection.close()
            os.kill(pid, signal.SIGKILL)
        return pid

    pid = asyncio.run(work())
    until(lambda: not segments_of(pid), "a System V segment stays")


def test_no_free_disk_is_a_clear_sentence(short_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is too full is named before anything is started."""
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 2**20))  # type: ignore[attr-defined]

    async def work() -> None:
        async with Processes() as processes:
            await Postgres().start(processes, short_directory)

    with pytest.raises(PostgresError, match=r"no free disk: .* has 1 MB left"):
        asyncio.run(work())
    assert not list(short_directory.iterdir())


def test_a_path_that_is_too_long_for_a_socket_is_a_clear_sentence(short_directory: Path) -> None:
    """A Unix socket's path has a limit that the kernel would report as nonsense."""

    async def work() -> None:
        async with Processes() as processes:
            await Postgres().start(processes, short_directory / ("d" * 90))

    with pytest.raises(PostgresError, match="too long for a Unix socket"):
        asyncio.run(work())


def test_a_wheel_with_another_version_is_refused(
    short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DSQL is PostgreSQL 16: a wheel that would run another one is named."""
    monkeypatch.setattr(module, "MAJOR_VERSION", 15)

    async def work() -> None:
        async with Processes() as processes:
            await Postgres().start(processes, short_directory)

    with pytest.raises(PostgresError, match=r"PostgreSQL 15 is needed, the wheel holds: .*16\."):
        asyncio.run(work())


def test_binaries_that_the_other_user_cannot_reach_are_copied(
    short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the environment in a private directory, the server runs from a copy in the lab's own."""
    real = module._version
    refusals: list[Path] = []

    def version(program: Path, place: module.Place) -> str:
        if not refusals:
            refusals.append(program)
            raise PermissionError(13, "Permission denied")
        return real(program, place)

    monkeypatch.setattr(module, "_version", version)

    async def work() -> str:
        async with Processes() as processes:
            server = Postgres()
            await server.start(processes, short_directory)
            program = program_of(server_pid(server))
            await server.run("CREATE TABLE proof (a int)")
            await server.stop()
            return program

    assert asyncio.run(work()).startswith(str(short_directory))


def test_nothing_listens_on_tcp(dsql: DsqlCluster) -> None:
    """The fronts are the only way in over the network."""
    pid = server_pid(dsql.postgres)
    links = subprocess.run(["ls", "-l", f"/proc/{pid}/fd"], capture_output=True, text=True, check=True).stdout
    inodes = {part.partition("socket:[")[2].rstrip("]") for part in links.split() if "socket:[" in part}
    table = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    assert inodes, "no socket was found at all"
    assert not inodes & {line.split()[9] for line in table}
