"""The parameters of a pool: what is wrong with them, and which ones of psycopg_pool Beacon decides.

A name of psycopg_pool, of psycopg or of libpq that does not belong here is answered with the one that does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from beacon.client.arguments import closest, flag, kind_of, number, require_none
from beacon.client.connect_options import TIMEOUT_BOUNDS_S, is_libpq_option
from beacon.client.endpoints import endpoints_problems
from beacon.client.pool_care import PoolPolicy

__all__ = ["PASSED_ON", "RECONNECT_S", "require_usable"]

#: For how long psycopg_pool repeats one failed connect, its pauses doubling, in seconds. Short: a request for
#: a connection starts another one, and must not find every slot asleep after an outage.
RECONNECT_S = 10.0
#: What psycopg_pool gets as the caller gave it.
PASSED_ON: Final = frozenset(
    {"configure", "max_idle", "max_waiting", "name", "num_workers"}
    | {"reconnect_failed", "reconnect_timeout", "reset"}
)
#: A name that is not a pool's own -> what to write in its place.
_INSTEAD: Final = {
    "check": "policy=PoolPolicy(check_idle_s=..., check_timeout_s=...)",
    "close_returns": "the with block of pool.connection(), or pool.putconn(connection)",
    "connect_timeout": "connect_timeout_s, in seconds",
    "connection_class": "connections of Beacon's own class",
    "conninfo": "endpoints, user, dbname and options={...}",
    "kwargs": "autocommit, row_factory and prepare_threshold by name, and options={...} for libpq",
    "max_lifetime": "policy=PoolPolicy(max_age_s=...), in seconds",
    "query_timeout": "query_timeout_s, in seconds",
    "retry": "retry of transact",
    "statement_timeout": "query_timeout_s, in seconds",
    "timeout": "timeout_s, in seconds",
}
_OWN: Final = frozenset(
    {"user", "dbname", "min_size", "max_size", "timeout_s", "connect_timeout_s", "query_timeout_s", "policy"}
    | {"autocommit", "row_factory", "prepare_threshold", "ca_file", "options", "open"}
)


def require_usable(
    pool: str,
    endpoints: object,
    others: Mapping[str, object],
    *,
    timeout_s: object,
    connect_timeout_s: object,
    sizes: tuple[object, object],
    policy: object,
    options: object,
    open_now: object,
) -> None:
    """Raise ``ValueError`` with everything that is wrong with the parameters of ``pool``, a class's name."""
    min_size, max_size = sizes
    problems = endpoints_problems(pool, endpoints)
    problems += [_not_ours(pool, name) for name in sorted(others.keys() - PASSED_ON)]
    problems += number("timeout_s", timeout_s, 0, 86_400)
    problems += number("connect_timeout_s", connect_timeout_s, *TIMEOUT_BOUNDS_S)
    of_sizes = number("min_size", min_size, 0, 10_000, whole=True)
    of_sizes += number("max_size", max_size, 1, 10_000, whole=True, or_none=True)
    if not of_sizes and isinstance(max_size, int) and isinstance(min_size, int) and max_size < min_size:
        of_sizes = [f"max_size must be at least min_size, {min_size}, not {max_size}"]
    problems += of_sizes
    if not isinstance(policy, PoolPolicy | None):
        problems.append(
            f"policy must be a PoolPolicy, such as PoolPolicy(max_age_s=1800), not {kind_of(policy)}"
        )
    if not isinstance(options, Mapping | None):
        problems.append(
            f"options must be a dict, such as {{'application_name': 'orders'}}, not {kind_of(options)}"
        )
    require_none(problems + flag("open", open_now))


def _not_ours(pool: str, name: str) -> str:
    if name in _INSTEAD:
        return f"{pool} does not take {name}: use {_INSTEAD[name]}"
    if is_libpq_option(name):
        return f"{pool} takes libpq's options as one dict: options={{{name!r}: '...'}}"
    return f"{pool} does not take {name}{closest(name, _OWN | PASSED_ON)}"
