"""The canary consumer, a process of its own: it writes rows as a service in the drilled Region would.

It goes by the Region's document in SSM, then by the list of hosts. It logs in again every few seconds, as a
pool does, so it also meets what only new logins meet. It reads its orders as one JSON object on standard
input, writes one JSON line an attempt, and ends with its input: it does not outlive the drill.
"""

from __future__ import annotations

import json
import select
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from beacon import Connection, Endpoints

__all__ = ["Orders", "main"]

_INSERT = "INSERT INTO beacon.drill (id, service, drill, region, at) VALUES (%s, %s, %s, %s, now())"
_LOGIN_S = 5.0
_RENEW_S = 5.0


@dataclass(frozen=True, slots=True)
class Orders:
    """What the consumer is to do."""

    app: str
    env: str
    region: str
    drill: str
    hosts: Sequence[str]
    user: str
    dial: Mapping[str, tuple[str, int]] | None
    ca_file: str | None
    every_s: float
    query_s: float
    refresh_s: float

    @classmethod
    def parse(cls, line: str) -> Orders:
        """Read the JSON object that the drill writes."""
        given = json.loads(line)
        dial = given.pop("dial")
        places = None if dial is None else {host: (str(one[0]), int(one[1])) for host, one in dial.items()}
        return cls(**given, dial=places)


class _Writer:
    def __init__(self, orders: Orders, endpoints: Endpoints) -> None:
        self._orders = orders
        self._endpoints = endpoints
        self._connection: Connection[Any] | None = None
        self._since = 0.0

    def attempt(self) -> dict[str, object]:
        """Write one row; say through which Region, and whether its COMMIT was answered."""
        from psycopg import Error  # noqa: PLC0415 - after the start, beside the client

        row, region, problem = str(uuid.uuid4()), "", ""
        try:
            connection = self._open()
            region = connection.endpoint.region
            service = f"{self._orders.app}-{self._orders.env}"
            connection.execute(_INSERT, (row, service, self._orders.drill, region))
        except Error as error:
            problem = error.sqlstate or type(error).__name__
            self.close()
        return {"id": row, "at": time.monotonic(), "region": region, "problem": problem}

    def _open(self) -> Connection[Any]:
        from beacon import connect  # noqa: PLC0415 - as above

        if self._connection is not None and time.monotonic() < self._since + _RENEW_S:
            return self._connection
        self.close()
        self._connection = connect(
            self._endpoints,
            user=self._orders.user,
            timeout_s=_LOGIN_S,
            query_timeout_s=self._orders.query_s,
            autocommit=True,
            ca_file=self._orders.ca_file,
            application_name="beacon-drill",
        )
        self._since = time.monotonic()
        return self._connection

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def main(orders_in: TextIO = sys.stdin, out: TextIO = sys.stdout) -> None:
    """Run until the standard input ends."""
    from beacon import Endpoints, SsmDocument, StaticList  # noqa: PLC0415 - the client is heavy

    orders = Orders.parse(orders_in.readline())
    sources = (SsmDocument(orders.app, orders.env, region=orders.region), StaticList(list(orders.hosts)))
    with Endpoints(*sources, dial=orders.dial, refresh_s=orders.refresh_s) as endpoints:
        endpoints.wait(_LOGIN_S)
        writer = _Writer(orders, endpoints)
        while True:
            began = time.monotonic()
            print(json.dumps(writer.attempt()), file=out, flush=True)
            pause_s = max(0.0, began + orders.every_s - time.monotonic())
            if select.select([orders_in], [], [], pause_s)[0] and not orders_in.readline():
                writer.close()
                return


if __name__ == "__main__":
    main()
