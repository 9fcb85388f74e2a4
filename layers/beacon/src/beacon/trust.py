"""Which certificate authorities a connection to DSQL trusts."""

from __future__ import annotations

from pathlib import Path

__all__ = ["system_ca_file"]

# The wheel's own OpenSSL looks where its build machine kept certificates, so the bundle is named. In order:
# Amazon Linux 2023 (Lambda) and Fedora, Debian and Ubuntu, Alpine, macOS.
_BUNDLES = (
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
)


def system_ca_file() -> str:
    """The path of the system's bundle, or ``system``, which leaves the choice to OpenSSL."""
    return next((path for path in _BUNDLES if Path(path).is_file()), "system")
