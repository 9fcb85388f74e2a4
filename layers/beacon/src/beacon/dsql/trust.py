"""Which certificate authorities a connection to DSQL trusts."""

from __future__ import annotations

import os.path

__all__ = ["system_ca_file"]

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
    # Not with pathlib, for nothing else on the way to the first answer needs it.
    return next((path for path in _BUNDLES if os.path.isfile(path)), "system")  # noqa: PTH113
