"""Prepares the lab's cluster as an operator would: the project's SQL files, through a front, as admin."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from beacon.aws.sigv4 import Credentials
from beacon.dsql.token import sign_token
from beacon_lab.dsql.front import DsqlFront
from beacon_lab.dsql.gate import ADMIN
from beacon_lab.dsql.postgres import DATABASE
from beacon_lab.dsql.principals import Principal
from beacon_lab.dsql.sql_script import StatementError, run

__all__ = ["DatabaseSetup", "connect_through", "prepare", "run_script"]


@dataclass(frozen=True, slots=True)
class DatabaseSetup:
    """What ``prepare`` makes: a deployment's Regions, database roles, and the principals for each role."""

    service: str
    regions: Sequence[str]
    login_role: str
    login_arns: Sequence[str]
    operator_role: str
    operator_arns: Sequence[str]
    target: str = "dsql"


async def prepare(
    front: DsqlFront, *, ca_file: Path, admin: Principal, folder: Path, setup: DatabaseSetup
) -> None:
    """Make schema, roles, grants and Regions through ``front`` with the files of ``folder`` (sql/).

    ``admin`` is the principal that logs in as admin. Raises psycopg.Error and OSError.
    """
    named = {"service": setup.service, "target": setup.target}
    roles = {"login_role": setup.login_role, "operator_role": setup.operator_role}
    steps: list[tuple[str, Mapping[str, str]]] = [("schema.sql", {}), ("roles.sql", roles)]
    steps += [("drill.sql", {"operator_role": setup.operator_role})]
    steps += [("grants.sql", {"role": setup.login_role, "arn": arn}) for arn in setup.login_arns]
    steps += [("grants.sql", {"role": setup.operator_role, "arn": arn}) for arn in setup.operator_arns]
    steps += [("regions.sql", named | {"regions": ",".join(setup.regions)})]

    def work() -> None:
        with connect_through(front, ca_file=ca_file, principal=admin, user=ADMIN) as connection:
            for name, variables in steps:
                run_script(connection, folder / name, variables)

    await asyncio.to_thread(work)


def connect_through(
    front: DsqlFront, *, ca_file: Path, principal: Principal, user: str
) -> psycopg.Connection:
    """A connection through a front, in autocommit mode, with a token that ``principal`` signed.

    It blocks: not for the thread that runs the front. Raises psycopg.OperationalError.
    """
    credentials = Credentials(principal.access_key_id, principal.secret_access_key, principal.session_token)
    return psycopg.connect(
        host=front.host,
        hostaddr=front.address,
        port=front.port,
        dbname=DATABASE,
        user=user,
        password=sign_token(front.host, front.region, credentials, datetime.now(UTC), admin=user == ADMIN),
        sslmode="verify-full",
        sslrootcert=str(ca_file),
        sslnegotiation="direct",
        connect_timeout=10,
        autocommit=True,
    )


def run_script(connection: psycopg.Connection, script: Path, variables: Mapping[str, str]) -> None:
    """Run one of the project's SQL files; a failure leaves no transaction open.

    Raises psycopg.Error, and ScriptRefusedError where the script says why it does not do what was asked.
    """

    failures: list[psycopg.Error] = []

    def execute(statement: str) -> dict[str, object] | None:
        try:
            cursor = connection.execute(statement.encode())
        except psycopg.Error as error:
            failures.append(error)
            raise StatementError(error.sqlstate or "") from error
        row = cursor.fetchone() if cursor.description else None
        if row is None:
            return None
        return dict(zip((column.name for column in cursor.description or ()), row, strict=True))

    try:
        run(script, variables, execute)
    except StatementError:
        if not connection.closed:
            connection.rollback()
        raise failures[-1] from None
