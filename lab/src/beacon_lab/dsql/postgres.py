"""The lab's database: PostgreSQL 16 from a wheel, on a Unix socket, in a directory that goes away.

Aurora DSQL speaks PostgreSQL 16, so the lab asks for that major version and no other. PostgreSQL refuses to
run as root; the lab then starts it as ``nobody``.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from beacon_lab.dsql.postgres_place import (
    SOCKET_NAME,
    Place,
    PostgresError,
    find_binaries,
    postgres_environment,
    prepare_place,
)
from beacon_lab.processes.children import Child, Processes
from beacon_lab.processes.shared_memory import mark_for_removal

__all__ = ["DATABASE", "Postgres", "PostgresError"]

DATABASE = "postgres"
SUPERUSER = "beacon_lab"
START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 5.0

# The data are thrown away: nothing waits for a disk. Isolation is DSQL's. Dynamic shared memory lives in
# the data directory, so that nothing stays in /dev/shm after a kill.
_SETTINGS = """
listen_addresses = ''
unix_socket_permissions = 0777
max_connections = 1500
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 128MB
jit = off
default_transaction_isolation = 'repeatable read'
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
"""

# DSQL's admin owns the database and makes roles; it is no superuser.
_ROLES = (
    "CREATE ROLE admin LOGIN CREATEROLE NOSUPERUSER",
    f"ALTER DATABASE {DATABASE} OWNER TO admin",
)

# DSQL's view of which IAM principal may log in as which role, with its columns; the relay keeps it.
_MAPPINGS = (
    "CREATE SCHEMA sys",
    """
    CREATE TABLE sys.iam_pg_role_mappings
        (iam_oid bigint GENERATED ALWAYS AS IDENTITY, arn text NOT NULL, pg_role_oid oid NOT NULL,
         pg_role_name text NOT NULL, grantor_pg_role_oid oid NOT NULL, grantor_pg_role_name text NOT NULL,
         UNIQUE (pg_role_name, arn))
    """,
    "GRANT USAGE ON SCHEMA sys TO admin",
    "GRANT SELECT, INSERT, DELETE ON sys.iam_pg_role_mappings TO admin",
)


class Postgres:
    """One PostgreSQL server that trusts every local user, on a Unix socket in ``socket_dir``."""

    port = 5432

    def __init__(self) -> None:
        self._child: Child | None = None
        self._place: Place | None = None

    @property
    def socket_dir(self) -> Path:
        """The directory of the Unix socket. Raises PostgresError before the start."""
        if self._place is None:
            raise PostgresError("the lab's PostgreSQL was not started")
        return self._place.directory

    @property
    def socket_path(self) -> Path:
        """The Unix socket itself."""
        return self.socket_dir / SOCKET_NAME

    async def start(self, processes: Processes, directory: Path) -> None:
        """Make a cluster under ``directory`` and start it; return once it answers.

        ``directory`` is the lab's own: it is created if missing and, when the lab runs as root, made
        passable for the user that runs PostgreSQL. Raises PostgresError.
        """
        place = await asyncio.to_thread(prepare_place, directory)
        processes.remove_at_exit(place.directory)
        binaries = await asyncio.to_thread(find_binaries, place)
        self._place = place
        await _initialise(processes, place, binaries)
        with (place.data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(_SETTINGS)
        self._child = await processes.spawn(
            "postgres",
            [str(binaries / "postgres"), "-D", str(place.data), "-k", str(place.directory)],
            env=postgres_environment(),
            cwd=place.directory,
            user=place.user,
            log=place.log,
            is_postgres=True,
        )
        try:
            await self._await_answer(self._child)
            _release_shared_memory(place.data)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the server, its open connections too; no error if it does not run."""
        child, self._child = self._child, None
        if child is None:
            return
        waiting = asyncio.ensure_future(child.wait())
        try:
            for number in (signal.SIGINT, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, number)
                if (await asyncio.wait([waiting], timeout=STOP_DEADLINE_S))[0]:
                    return
        finally:
            waiting.cancel()

    async def run(self, *statements: str) -> None:
        """Run statements as superuser, each in its own transaction. Raises psycopg.Error."""
        await asyncio.to_thread(self._run, statements)

    def _run(self, statements: Sequence[str]) -> None:
        with self._connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.socket_dir),
            port=self.port,
            user=SUPERUSER,
            dbname=DATABASE,
            connect_timeout=5,
            options="",
            autocommit=True,
        )

    async def _await_answer(self, child: Child) -> None:
        ended = asyncio.ensure_future(child.wait())
        give_up = time.monotonic() + START_DEADLINE_S
        try:
            while True:
                try:
                    await self.run(*_ROLES, *_MAPPINGS)
                except psycopg.OperationalError as error:
                    if ended.done() or time.monotonic() > give_up:
                        raise PostgresError(f"PostgreSQL did not start: {_last_lines(self._log)}") from error
                else:
                    return
                await asyncio.wait([ended], timeout=0.05)
        finally:
            ended.cancel()

    @property
    def _log(self) -> Path:
        return self.socket_dir / "postgres.log"


async def _initialise(processes: Processes, place: Place, binaries: Path) -> None:
    child = await processes.spawn(
        "initdb",
        [
            str(binaries / "initdb"),
            f"--pgdata={place.data}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ],
        env=postgres_environment(),
        cwd=place.directory,
        user=place.user,
        log=place.log,
        is_postgres=True,
    )
    if await child.wait() != 0:
        raise PostgresError(f"PostgreSQL could not make its data directory: {_last_lines(place.log)}")


def _last_lines(log: Path, count: int = 3) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "it wrote no log"
    return " / ".join([line.strip() for line in text.split("\n") if line.strip()][-count:])


def _release_shared_memory(data: Path) -> None:
    """Mark the server's System V segment for removal, so that the kernel frees it even after SIGKILL.

    PostgreSQL keeps a few bytes of System V memory as an interlock; its identifier is the second number in
    the seventh line of postmaster.pid. A segment marked so lives on until its last process is gone.
    """
    # With surrogateescape: the file also names the directories, in whatever encoding they have.
    lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    # Where the kernel refuses it, the watcher removes the segment at the end.
    mark_for_removal(int(lines[6].split()[1]))
