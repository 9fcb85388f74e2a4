"""`beacon proxy`: a PostgreSQL proxy on this machine that follows the best endpoint."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from beacon_cli.errors import ExitCode
from beacon_cli.options import DEFAULTS, Options

__all__ = ["proxy"]


def proxy(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    listen: str = "",
    health: str = "",
    app: str = "",
    env: str = "",
    region: str = "",
    host: tuple[str, ...] = (),
    record: str = "",
    ca_file: Path | None = None,
    role: tuple[str, ...] = (),
    password_file: Path | None = None,
    peer: tuple[str, ...] = (),
    max_clients: int = 500,
    connects_per_s: int = 25,
    connect_timeout: float = 5.0,
    query_timeout: float = 30.0,
    move_limit: float = 60.0,
    stop_limit: float = 25.0,
    max_age: float = 3000.0,
    options: Options = DEFAULTS,
) -> int:
    """Run a PostgreSQL proxy on this machine that follows the best endpoint.

    Parameters
    ----------
    command
        A program to run with the proxy, which ends with it: beacon proxy -- psql.
    listen
        A loopback address and port, or the path of a Unix socket. Without it, 127.0.0.1:5432; for a
        command, a Unix socket of its own.
    health
        Address and port of /health and /metrics, or "none". Without it, 127.0.0.1:9187; for a command, none.
    app
        App of the deployment. With --env, no samconfig.toml is needed.
    env
        Env of the deployment.
    region
        The Region whose document is read; without it, AWS_REGION.
    host
        An endpoint to fall back on; repeat it for each, the nearest first.
    record
        A DNS record that names the endpoint.
    ca_file
        Authorities in place of the system's.
    role
        A database role that clients may log in as; repeat it for several. Without it, any that the AWS
        credentials may.
    password_file
        A file with the password that clients need.
    peer
        A user of this machine who may connect by the Unix socket; repeat it for several.
    max_clients
        Clients at the same time.
    connects_per_s
        Connections to servers that start in any one second, at most.
    connect_timeout
        Seconds that a client waits for its server.
    query_timeout
        Seconds that a server may be silent while it owes an answer; 0 for no limit.
    move_limit
        Seconds that a busy client may stay at an endpoint that it has to leave.
    stop_limit
        Seconds that busy clients have when the proxy stops.
    max_age
        Seconds after which a connection is replaced; DSQL ends one after 3,600.
    """
    # Imported here, because `--help` needs neither AWS nor the driver.
    from beacon_cli.proxy import course  # noqa: PLC0415

    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    wishes = course.Wishes(
        listen=listen,
        health=health,
        app=app,
        env=env,
        region=region,
        hosts=host,
        record=record,
        ca_file=ca_file,
        roles=role,
        password_file=password_file,
        peers=peer,
        limits={
            "most_clients": max_clients,
            "connects_per_s": connects_per_s,
            "connect_timeout_s": connect_timeout,
            "query_timeout_s": query_timeout or None,
            "move_limit_s": move_limit,
            "stop_limit_s": stop_limit,
            "max_age_s": max_age,
        },
    )
    if command:
        return course.run_command(wishes, command, options)
    course.run(wishes, options, lambda places: print(_line(places, as_json=options.json), flush=True))
    return ExitCode.DONE


def _line(places: object, *, as_json: bool) -> str:
    from beacon_cli.proxy.running import Places  # noqa: PLC0415 - as above

    assert isinstance(places, Places)  # noqa: S101 - the course passes them on
    if as_json:
        return json.dumps(places.as_json())
    health = f", health and metrics on http://{places.health}" if places.health else ""
    return f"beacon proxy: listening on {places.listen}{health}"
