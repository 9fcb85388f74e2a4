"""One DSQL cluster for all tests that need one: PostgreSQL and a front for each of two Regions.

The cluster lives in a thread with an event loop of its own, so that tests can use blocking drivers.
"""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from tests.places import ROOT

from beacon.aws.sigv4 import Credentials
from beacon.dsql.token import sign_token
from beacon_lab.dsql.bootstrap import DatabaseSetup, prepare
from beacon_lab.dsql.front import DsqlFront
from beacon_lab.dsql.iam_grants import IamGrants
from beacon_lab.dsql.postgres import Postgres
from beacon_lab.dsql.principals import Principal, Principals
from beacon_lab.network.pki import Authority
from beacon_lab.processes.children import Processes

SQL = ROOT / "sql"
REGIONS = ("us-east-1", "us-east-2")
T = TypeVar("T")
ACCOUNT = "arn:aws:iam::123456789012:role"


class LoopThread:
    """An event loop in a thread; `run` waits for a coroutine that runs there.

    `mishaps` collects the exceptions that no part of it caught.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.mishaps: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, context: self.mishaps.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab loop")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 60.0) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def call(self, act: Callable[[], object]) -> None:
        """Runs a plain function in the loop's thread."""

        async def work() -> None:
            act()

        self.run(work())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass
class DsqlCluster:
    """Two fronts before one database that the project's SQL files prepared for the deployment `shop-test`."""

    loop: LoopThread
    authority: Authority
    postgres: Postgres
    principals: Principals
    grants: IamGrants
    fronts: dict[str, DsqlFront]
    admin: Principal
    function: Principal
    operator: Principal
    service: str = "shop-test"
    login_role: str = "shop_test"
    operator_role: str = "shop_test_operator"
    open: ExitStack = field(default_factory=ExitStack)

    @property
    def front(self) -> DsqlFront:
        """The first Region's front."""
        return self.fronts[REGIONS[0]]

    def token(
        self, user: str = "admin", *, front: DsqlFront | None = None, principal: Principal | None = None
    ) -> str:
        """A token that is right for `user`."""
        front = front or self.front
        signer = principal or {"admin": self.admin, self.operator_role: self.operator}.get(
            user, self.function
        )
        return sign_token(
            front.host,
            front.region,
            Credentials(signer.access_key_id, signer.secret_access_key, signer.session_token),
            datetime.now(UTC),
            admin=user == "admin",
        )

    def parameters(
        self, user: str = "admin", *, front: DsqlFront | None = None, **changed: object
    ) -> dict[str, Any]:
        """libpq's parameters for a right login, with some changed."""
        front = front or self.front
        right: dict[str, object] = {
            "host": front.host,
            "hostaddr": front.address,
            "port": front.port,
            "dbname": "postgres",
            "user": user,
            "sslmode": "verify-full",
            "sslrootcert": str(self.authority.ca_file),
            "connect_timeout": 5,
        }
        if "password" not in changed:
            right["password"] = self.token(user, front=front)
        return right | changed

    def connect(
        self,
        user: str = "admin",
        *,
        front: DsqlFront | None = None,
        autocommit: bool = True,
        **changed: object,
    ) -> psycopg.Connection:
        """A connection that is closed when the test ends."""
        connection = psycopg.connect(**self.parameters(user, front=front, **changed), autocommit=autocommit)
        self.open.callback(_close, connection)
        return connection

    def heal(self) -> None:
        """Closes the test's connections and ends every fault."""
        self.open.close()
        for front in self.fronts.values():
            self.loop.run(front.heal())


def _close(connection: psycopg.Connection) -> None:
    with suppress(psycopg.Error):
        connection.close()


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path is short enough for Unix sockets and open to the user that runs PostgreSQL."""
    directory = Path(tempfile.mkdtemp(prefix="beacon-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def dsql_cluster() -> Iterator[DsqlCluster]:
    """The cluster, for the whole run; use `dsql`, which ends faults between tests."""
    loop = LoopThread()
    directory = Path(tempfile.mkdtemp(prefix="beacon-", dir="/tmp"))
    processes = Processes()
    try:
        cluster = loop.run(_start(loop, processes, directory))
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


async def _start(loop: LoopThread, processes: Processes, directory: Path) -> DsqlCluster:
    cluster = await start_empty_cluster(loop, processes, directory)
    await prepare(
        cluster.front,
        ca_file=cluster.authority.ca_file,
        admin=cluster.admin,
        folder=SQL,
        setup=DatabaseSetup(
            service=cluster.service,
            regions=REGIONS,
            login_role=cluster.login_role,
            login_arns=[cluster.function.arn],
            operator_role=cluster.operator_role,
            operator_arns=[cluster.operator.arn],
        ),
    )
    return cluster


async def start_empty_cluster(loop: LoopThread, processes: Processes, directory: Path) -> DsqlCluster:
    """A cluster as AWS makes one: no schema, no role but admin."""
    await processes.start()
    processes.remove_at_exit(directory)
    postgres = Postgres()
    await postgres.start(processes, directory)
    authority = Authority.create(directory / "pki")
    principals, grants = Principals(), IamGrants()

    def person(name: str) -> Principal:
        return principals.add(
            access_key_id=f"AKIDLAB{name.upper()}",
            secret_access_key=f"secret/{name}",
            arn=f"{ACCOUNT}/{name}",
        )

    fronts = {}
    for region in REGIONS:
        host = f"abcdefghijklmnopqrstuvwxyz.dsql.{region}.on.aws"
        fronts[region] = DsqlFront(
            region=region,
            host=host,
            certificate=authority.issue(region, dns=[host]),
            postgres=postgres,
            principals=principals,
            grants=grants,
        )
        await fronts[region].start()
    return DsqlCluster(
        loop=loop,
        authority=authority,
        postgres=postgres,
        principals=principals,
        grants=grants,
        fronts=fronts,
        admin=person("admin"),
        function=person("function"),
        operator=person("operator"),
    )


@pytest.fixture
def dsql(dsql_cluster: DsqlCluster) -> Iterator[DsqlCluster]:
    """The cluster, healthy again after each test; an uncaught exception in it fails the test."""
    dsql_cluster.loop.mishaps.clear()
    yield dsql_cluster
    dsql_cluster.heal()
    assert not dsql_cluster.loop.mishaps
