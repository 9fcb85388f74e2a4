"""Logs in to the deployment's database through any Region that answers, with Beacon's own client.

A frozen endpoint accepts connections and is silent: the client also tries the next Region, and every
statement has a limit, so that no command waits on it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from beacon_cli.errors import FailedError
from beacon_cli.fleet import Fleet
from beacon_cli.sessions import Sessions

if TYPE_CHECKING:
    from beacon import Connection

__all__ = ["ADMIN", "database"]

#: The role that owns the schema; its tokens need ``dsql:DbConnectAdmin``.
ADMIN = "admin"


@contextlib.contextmanager
def database(
    sessions: Sessions,
    user: str,
    *,
    avoid: Collection[str] = (),
    only: str | None = None,
    timeout_s: float = 5.0,
    query_timeout_s: float = 5.0,
    autocommit: bool = True,
) -> Iterator[Connection[Any]]:
    """A connection as ``user``, closed at the end; ``connection.endpoint.region`` says through which Region.

    The Regions to ``avoid`` are tried last; with ``only``, no other than that one is tried. Raises
    :class:`FailedError` where none lets us in, and psycopg's errors for what happens afterwards.
    """
    from beacon import ConnectError, Endpoints, StaticList, connect  # noqa: PLC0415 - psycopg is heavy

    fleet = sessions.fleet
    hosts = [site.host for site in _order(fleet, avoid, only) if site.host]
    if not hosts:
        raise FailedError(f"{fleet.source} names no DSQL endpoint")
    lab = fleet.lab
    endpoints = Endpoints(StaticList(hosts), dial=lab.dial if lab else None, credentials=sessions.credentials)
    try:
        connection = connect(
            endpoints,
            user=user,
            timeout_s=timeout_s,
            query_timeout_s=query_timeout_s,
            autocommit=autocommit,
            ca_file=lab.ca_file if lab else None,
            application_name="beacon-cli",
        )
    except ConnectError as error:
        endpoints.close()
        raise FailedError(f"no Region lets {user} log in to the database: {error}") from error
    except ValueError as error:
        endpoints.close()
        raise FailedError(f"the database cannot be reached as configured: {error}") from error
    try:
        yield connection
    finally:
        connection.close()
        endpoints.close()


def _order(fleet: Fleet, avoid: Collection[str], only: str | None) -> list[Any]:
    sites = [site for site in fleet.sites if only in {None, site.region}]
    return sorted(sites, key=lambda site: site.region in avoid)
