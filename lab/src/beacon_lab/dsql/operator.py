"""What an operator and an application owner do with SQL: prepare the demo's table, drain, release, count."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path

import psycopg

from beacon_lab.dsql.bootstrap import connect_through, run_script
from beacon_lab.dsql.cluster import OPERATOR_ROLE, Cluster
from beacon_lab.dsql.gate import ADMIN
from beacon_lab.dsql.sql_script import ScriptRefusedError
from beacon_lab.errors import LabError

__all__ = ["Operator"]

_TARGET = "dsql"
_ENTRIES = (
    "CREATE SCHEMA IF NOT EXISTS lab",
    "CREATE TABLE IF NOT EXISTS lab.entry (id uuid PRIMARY KEY, at timestamptz NOT NULL, host text NOT NULL)",
    f"GRANT USAGE, CREATE ON SCHEMA lab TO {OPERATOR_ROLE}",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON lab.entry TO {OPERATOR_ROLE}",
)
_LEDGER = (
    """
    CREATE TABLE IF NOT EXISTS lab.ledger
        (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), operation uuid NOT NULL, host text NOT NULL)
    """,
    f"GRANT SELECT, INSERT ON lab.ledger TO {OPERATOR_ROLE}",
)


class Operator:
    """Works on a lab's cluster with the project's own SQL files, each as one transaction."""

    def __init__(self, cluster: Cluster, service: str, sql: Path) -> None:
        self._cluster = cluster
        self._service = service
        self._sql = sql

    async def prepare_entries(self) -> None:
        """Make the table that the demo's consumer writes to."""
        await asyncio.to_thread(self._run_as, ADMIN, next(iter(self._cluster.fronts)), _ENTRIES)

    async def prepare_ledger(self) -> None:
        """Make the table of operations, in which one that is applied twice stands twice."""
        await asyncio.to_thread(self._run_as, ADMIN, next(iter(self._cluster.fronts)), _LEDGER)

    async def ledger(self) -> dict[str, int]:
        """How many rows each operation has."""
        return await asyncio.to_thread(self._ledger)

    async def drain(self, region: str, *, through: str, minutes: str = "") -> None:
        """Drain ``region`` through another Region's endpoint, until released or for ``minutes``."""
        await self._change("drain.sql", region, through, minutes)

    async def release(self, region: str, *, through: str) -> None:
        """End the drain of ``region``."""
        await self._change("release.sql", region, through, "")

    async def entries(self) -> set[str]:
        """The ids of all rows that the consumer has left."""
        return await asyncio.to_thread(self._entries)

    async def _change(self, script: str, region: str, through: str, minutes: str) -> None:
        variables = {
            "service": self._service,
            "target": _TARGET,
            "region": region,
            "reason": "demo",
            "actor": getpass.getuser(),
            "minutes": minutes,
        }

        def work() -> None:
            with self._connect(OPERATOR_ROLE, through) as connection:
                run_script(connection, self._sql / script, variables)

        try:
            await asyncio.to_thread(work)
        except (psycopg.Error, ScriptRefusedError) as error:
            raise LabError(f"{script} for {region} was refused: {error}") from error

    def _run_as(self, user: str, region: str, statements: tuple[str, ...]) -> None:
        with self._connect(user, region) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _entries(self) -> set[str]:
        with self._connect(OPERATOR_ROLE, next(iter(self._cluster.fronts))) as connection:
            return {str(row[0]) for row in connection.execute("SELECT id FROM lab.entry")}

    def _ledger(self) -> dict[str, int]:
        with self._connect(OPERATOR_ROLE, next(iter(self._cluster.fronts))) as connection:
            rows = connection.execute("SELECT operation, count(*) FROM lab.ledger GROUP BY operation")
            return {str(operation): int(count) for operation, count in rows}

    def _connect(self, user: str, region: str) -> psycopg.Connection:
        return connect_through(
            self._cluster.fronts[region],
            ca_file=self._cluster.authority.ca_file,
            principal=self._cluster.operator,
            user=user,
        )
