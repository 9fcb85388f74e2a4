"""Health checks, decisions and endpoint look-up for multi-Region Aurora DSQL.

What services use is here; each name is imported when it is first asked for, so that the health function pays
for nothing that it does not use:

- :class:`Endpoints` of :class:`SsmDocument`, :class:`DnsRecord`, :class:`StaticList`: where to connect, and
  a :class:`SourceStatus` of each;
- :func:`connect`, :func:`connect_async`: a psycopg :class:`Connection`, :class:`AsyncConnection`, to the best
  endpoint; or a :class:`ConnectError` with each :class:`Attempt`, later :class:`QueryTimeoutError`;
- :class:`Pool`, :class:`AsyncPool`: pools of them by a :class:`PoolPolicy` (needs ``psycopg_pool``);
- :func:`transact`, :func:`transact_async`: a transaction that is retried where that is safe, by a
  :class:`RetryPolicy`; or :class:`CommitOutcomeUnknownError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beacon.client.async_connection import AsyncConnection, connect_async
    from beacon.client.async_pool import AsyncPool
    from beacon.client.async_transaction import transact_async
    from beacon.client.connect_error import Attempt, ConnectError
    from beacon.client.connection import Connection, connect
    from beacon.client.endpoints import Endpoints
    from beacon.client.feed import SourceStatus
    from beacon.client.pool import Pool
    from beacon.client.pool_care import PoolPolicy
    from beacon.client.query_timeout import QueryTimeoutError
    from beacon.client.rerun import CommitOutcomeUnknownError, RetryPolicy
    from beacon.client.sources import DnsRecord, SsmDocument, StaticList
    from beacon.client.transaction import transact

__all__ = [
    "AsyncConnection",
    "AsyncPool",
    "Attempt",
    "CommitOutcomeUnknownError",
    "ConnectError",
    "Connection",
    "DnsRecord",
    "Endpoints",
    "Pool",
    "PoolPolicy",
    "QueryTimeoutError",
    "RetryPolicy",
    "SourceStatus",
    "SsmDocument",
    "StaticList",
    "connect",
    "connect_async",
    "transact",
    "transact_async",
]

__version__ = "0.1.0"

_WHERE = {
    "beacon.client.async_connection": ("AsyncConnection", "connect_async"),
    "beacon.client.async_pool": ("AsyncPool",),
    "beacon.client.async_transaction": ("transact_async",),
    "beacon.client.connect_error": ("Attempt", "ConnectError"),
    "beacon.client.connection": ("Connection", "connect"),
    "beacon.client.endpoints": ("Endpoints",),
    "beacon.client.feed": ("SourceStatus",),
    "beacon.client.pool": ("Pool",),
    "beacon.client.pool_care": ("PoolPolicy",),
    "beacon.client.query_timeout": ("QueryTimeoutError",),
    "beacon.client.rerun": ("CommitOutcomeUnknownError", "RetryPolicy"),
    "beacon.client.sources": ("DnsRecord", "SsmDocument", "StaticList"),
    "beacon.client.transaction": ("transact",),
}


def __getattr__(name: str) -> object:
    for module, names in _WHERE.items():
        if name in names:
            try:
                return getattr(import_module(module), name)
            except ModuleNotFoundError as error:
                if error.name != "psycopg_pool":
                    raise
                raise ImportError(f"{name} needs psycopg_pool: install dsql-beacon[pool]") from None
    raise AttributeError(f"module 'beacon' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
