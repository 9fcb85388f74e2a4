"""The parameters of a connection to Aurora DSQL: libpq's options, and their one-line form. Pure.

TLS is verified in full against the endpoint's own name, whatever address is dialled; a client certificate or
GSSAPI is never offered; what the environment says (``PGSSLMODE`` and its like) is overruled.

Source: PostgreSQL 18, chapter "libpq - C Library", connection strings and parameter key words.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DIRECT_TLS_FROM", "conninfo", "login_options"]

#: libpq's first version that knows ``sslnegotiation=direct``, which saves a round trip.
DIRECT_TLS_FROM = 170000


def login_options(
    *,
    host: str,
    address: str,
    port: int,
    user: str,
    password: str,
    database: str,
    ca_file: str,
    libpq_version: int,
) -> dict[str, str]:
    """The options of a login at ``address`` as ``host``."""
    options = {
        "host": host,
        "hostaddr": address,
        "port": str(port),
        "user": user,
        "password": password,
        "dbname": database,
        "sslmode": "verify-full",
        "sslrootcert": ca_file,
        "sslcertmode": "disable",
        "gssencmode": "disable",
        "application_name": "beacon",
        "client_encoding": "UTF8",
    }
    if libpq_version >= DIRECT_TLS_FROM:
        options["sslnegotiation"] = "direct"
    return options


def conninfo(options: Mapping[str, str]) -> bytes:
    """The options as libpq reads them, each value quoted."""
    return " ".join(f"{name}={_quoted(value)}" for name, value in options.items()).encode()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
