"""What every login at an endpoint has in common: its options, its token and the authorities that it trusts.

The probe, the write canary and the client log in by it. Each tries every address of an endpoint, in its own
way of waiting: :mod:`beacon.dsql.connector` for the probe and the canary, :mod:`beacon.client.race` for the
client. Why a login failed is read by :func:`beacon.outcome.classify_refusal`.
"""

from __future__ import annotations

import os.path
from datetime import datetime

from beacon.aws.sigv4 import Credentials
from beacon.dsql.conninfo import login_options
from beacon.dsql.token import sign_token
from beacon.model import Endpoint

__all__ = ["signed_options", "system_ca_file"]

#: The role that logs in with another action, ``DbConnectAdmin``.
_ADMIN = "admin"

# The wheel's own OpenSSL looks where its build machine kept certificates, so the bundle is named. In order:
# Amazon Linux 2023 (Lambda) and Fedora, Debian and Ubuntu, Alpine, macOS.
# libpq parses all of it for each connection, some 9 ms for 140 authorities. A file of the present issuer
# alone would save them, and take every Region out at once on the day that the issuer changes.
_BUNDLES = (
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
)


def system_ca_file() -> str:
    """The path of the system's bundle, or ``system``, which leaves the choice to OpenSSL."""
    # Not with pathlib: nothing else on the way to the first answer needs it.
    return next((path for path in _BUNDLES if os.path.isfile(path)), "system")  # noqa: PTH113 - as above


def signed_options(
    endpoint: Endpoint,
    address: str,
    *,
    user: str,
    database: str,
    ca_file: str,
    credentials: Credentials,
    now: datetime,
    libpq_version: int,
) -> dict[str, str]:
    """libpq's options of a login at ``address`` of ``endpoint``, with a token signed ``now`` (UTC)."""
    return login_options(
        host=endpoint.host,
        address=address,
        port=endpoint.dial_port,
        user=user,
        password=sign_token(endpoint.host, endpoint.region, credentials, now, admin=user == _ADMIN),
        database=database,
        ca_file=ca_file,
        libpq_version=libpq_version,
    )
