"""A client before the cluster's fronts: endpoints, credentials in the environment, what the Regions do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from beacon import AsyncConnection, Connection, Endpoints, StaticList, connect, connect_async
from beacon_lab.faults import FaultKind

if TYPE_CHECKING:
    from tests.lab.conftest import DsqlCluster

NEAR, FAR = "us-east-1", "us-east-2"


class Client:
    """A service that connects to the cluster as its operator role; the near Region comes first."""

    def __init__(self, dsql: DsqlCluster) -> None:
        self.dsql = dsql
        self._open: list[Endpoints] = []

    @property
    def hosts(self) -> list[str]:
        return [front.host for front in self.dsql.fronts.values()]

    @property
    def dial(self) -> dict[str, tuple[str, int]]:
        return {front.host: (front.address, front.port) for front in self.dsql.fronts.values()}

    def endpoints(self, *sources: Any, **options: Any) -> Endpoints:  # noqa: ANN401 - those of Endpoints
        """Endpoints of the given sources, or of a list, near Region first."""
        made = Endpoints(*(sources or (StaticList(self.hosts),)), **{"dial": self.dial, **options})
        self._open.append(made)
        return made

    @property
    def login(self) -> dict[str, Any]:
        """How to log in."""
        return {"user": self.dsql.operator_role, "ca_file": str(self.dsql.authority.ca_file)}

    def connect(self, endpoints: Endpoints | None = None, **options: Any) -> Connection[Any]:  # noqa: ANN401
        return connect(endpoints or self.endpoints(), **{**self.login, **options})

    async def connect_async(
        self,
        endpoints: Endpoints | None = None,
        **options: Any,  # noqa: ANN401
    ) -> AsyncConnection[Any]:
        made: AsyncConnection[Any] = await connect_async(
            endpoints or self.endpoints(), **{**self.login, **options}
        )
        return made

    def inject(self, region: str, kind: FaultKind, **options: float) -> None:
        self.dsql.loop.run(self.dsql.fronts[region].inject(kind, **options))  # type: ignore[arg-type]

    def heal(self, region: str) -> None:
        self.dsql.loop.run(self.dsql.fronts[region].heal())

    def open_connections(self) -> dict[str, int]:
        """How many connections each front has open."""
        return {region: front.connections for region, front in self.dsql.fronts.items()}

    def close(self) -> None:
        for endpoints in self._open:
            endpoints.close()


def region_of(connection: Connection[Any] | AsyncConnection[Any] | psycopg.Connection[Any]) -> str:
    """Where a connection of ours leads to."""
    assert isinstance(connection, Connection | AsyncConnection)
    return connection.endpoint.region


@pytest.fixture
def client(dsql: DsqlCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client with the operator's credentials in its environment, in a healthy cluster."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", dsql.operator.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", dsql.operator.secret_access_key)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_LAMBDA_FUNCTION_NAME"):
        monkeypatch.delenv(name, raising=False)
    made = Client(dsql)
    yield made
    made.close()
