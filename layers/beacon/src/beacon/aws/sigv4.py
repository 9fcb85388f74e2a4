"""The parts of AWS Signature Version 4 that the token and the edge trigger share. Pure.

Source: "Create a signed AWS API request" (IAM User Guide).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta

__all__ = ["Credentials", "Scope", "signature"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """AWS credentials; their representation shows nothing of them."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for: a moment (``YYYYMMDDTHHMMSSZ``), a Region and a service."""

    stamp: str
    region: str
    service: str

    @classmethod
    def at(cls, now: datetime, region: str, service: str) -> Scope:
        """The scope of a request that is made ``now``.

        Raises ``ValueError`` for a ``now`` that is not in UTC: such a signature would be good hours off.
        """
        if now.utcoffset() != timedelta(0):
            raise ValueError("a request is signed for an instant in UTC")
        return cls(now.strftime("%Y%m%dT%H%M%SZ"), region, service)

    def __str__(self) -> str:
        return f"{self.stamp[:8]}/{self.region}/{self.service}/aws4_request"


def signature(canonical_request: str, scope: Scope, credentials: Credentials) -> str:
    """The signature of a canonical request, in hexadecimal."""
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{scope.stamp}\n{scope}\n{digest}"
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (scope.stamp[:8], scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()
