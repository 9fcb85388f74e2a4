"""The access keys that the lab knows, and the check of a DSQL token, as Aurora DSQL does it at connect.

A token is a SigV4 presigned query without its scheme: ``host/?Action=DbConnect&X-Amz-...``. The rules, in
the order they are checked; the first that fails is the reason of the refusal:

| rule | reason |
| --- | --- |
| ``host/?query``, each parameter once, none missing, none unknown | malformed |
| host is the name the client sent as SNI | host |
| Action is the one that the database role needs | action |
| algorithm AWS4-HMAC-SHA256, only ``host`` signed | malformed |
| the credential's scope names service ``dsql`` | service |
| the credential's scope names this Region | region |
| the scope's date is the date of X-Amz-Date | malformed |
| X-Amz-Expires is 1 to 604,800 s | lifetime |
| X-Amz-Date is at most 5 min in the future | not yet valid |
| X-Amz-Date plus X-Amz-Expires is not past | expired |
| the access key is known, and its session not over | key |
| the session token is the key's | session token |
| the signature is the one that the secret key makes | signature |
| the principal's policy allows the action | not allowed |

A refusal never contains a part of the token.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum, unique
from urllib.parse import parse_qsl, quote

__all__ = ["DbAction", "Principal", "Principals", "Refused", "TokenRefused", "verify_token"]

MAX_LIFETIME_S = 604_800
_CLOCK_SKEW = timedelta(minutes=5)
_REQUIRED = frozenset(
    {
        "Action",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    }
)
_SESSION_TOKEN = "X-Amz-Security-Token"  # noqa: S105 - the parameter's name


@unique
class DbAction(StrEnum):
    """What a token is for: ``DbConnectAdmin`` for the role admin, ``DbConnect`` for every other role."""

    CONNECT = "DbConnect"
    CONNECT_ADMIN = "DbConnectAdmin"


@unique
class Refused(StrEnum):
    """Why a token was refused."""

    MALFORMED = "malformed"
    HOST = "host"
    ACTION = "action"
    SERVICE = "service"
    REGION = "region"
    LIFETIME = "lifetime"
    NOT_YET_VALID = "not yet valid"
    EXPIRED = "expired"
    KEY = "key"
    SESSION_TOKEN = "session token"  # noqa: S105 - a reason
    SIGNATURE = "signature"
    NOT_ALLOWED = "not allowed"


class TokenRefused(Exception):  # noqa: N818 - a verdict, not a fault of the program
    """The token does not open the database; ``reason`` says why and never quotes it."""

    def __init__(self, reason: Refused) -> None:
        super().__init__(f"token refused: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Principal:
    """An access key and whose it is.

    ``arn`` is the IAM ARN that ``AWS IAM GRANT`` names (a role's ARN, also for a session of that role).
    ``actions`` is what its policy allows. ``expires_at`` is the end of its session, if it has one: a token
    dies with the session that signed it.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str | None
    arn: str
    actions: frozenset[DbAction] = frozenset(DbAction)
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Principal({self.access_key_id!r}, arn={self.arn!r})"


class Principals:
    """The access keys that exist."""

    def __init__(self) -> None:
        self._by_key: dict[str, Principal] = {}

    def add(
        self,
        *,
        access_key_id: str,
        secret_access_key: str,
        arn: str,
        session_token: str | None = None,
        actions: frozenset[DbAction] = frozenset(DbAction),
        expires_at: datetime | None = None,
    ) -> Principal:
        """Make an access key known; the same key again replaces what was known."""
        principal = Principal(access_key_id, secret_access_key, session_token, arn, actions, expires_at)
        self._by_key[access_key_id] = principal
        return principal

    def remove(self, access_key_id: str) -> None:
        """Forget an access key; no error if it is not known."""
        self._by_key.pop(access_key_id, None)

    def by_key(self, access_key_id: str) -> Principal | None:
        """The principal of an access key, or None."""
        return self._by_key.get(access_key_id)


def verify_token(
    token: str,
    *,
    host: str,
    region: str,
    action: DbAction | str,
    principals: Principals,
    now: datetime,
) -> Principal:
    """The principal that signed ``token``.

    ``host`` is the server name of the TLS connection, ``now`` an aware time. Raises TokenRefused.
    """
    named_host, values = _parse(token)
    if named_host != host:
        raise TokenRefused(Refused.HOST)
    if values["Action"] != action:
        raise TokenRefused(Refused.ACTION)
    if values["X-Amz-Algorithm"] != "AWS4-HMAC-SHA256" or values["X-Amz-SignedHeaders"] != "host":
        raise TokenRefused(Refused.MALFORMED)
    access_key_id, scope = _scope(values["X-Amz-Credential"], region)
    _check_time(values, scope, now)
    principal = principals.by_key(access_key_id)
    if principal is None or (principal.expires_at is not None and now >= principal.expires_at):
        raise TokenRefused(Refused.KEY)
    if not _same(values.get(_SESSION_TOKEN, ""), principal.session_token or ""):
        raise TokenRefused(Refused.SESSION_TOKEN)
    if not _same(values["X-Amz-Signature"], _signature(values, named_host, scope, principal)):
        raise TokenRefused(Refused.SIGNATURE)
    if action not in principal.actions:
        raise TokenRefused(Refused.NOT_ALLOWED)
    return principal


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _parse(token: str) -> tuple[str, dict[str, str]]:
    host, separator, query = token.partition("/?")
    if not separator or not host:
        raise TokenRefused(Refused.MALFORMED)
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=16
        )
    except ValueError:
        # Without the cause: its text quotes the token.
        raise TokenRefused(Refused.MALFORMED) from None
    values = dict(pairs)
    if len(values) != len(pairs) or not _REQUIRED <= values.keys() <= _REQUIRED | {_SESSION_TOKEN}:
        raise TokenRefused(Refused.MALFORMED)
    return host, values


@dataclass(frozen=True, slots=True)
class _CredentialScope:
    date: str
    region: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/dsql/aws4_request"


def _scope(credential: str, region: str) -> tuple[str, _CredentialScope]:
    match credential.split("/"):
        case [access_key_id, date, named_region, service, "aws4_request"]:
            if service != "dsql":
                raise TokenRefused(Refused.SERVICE)
            if named_region != region:
                raise TokenRefused(Refused.REGION)
            return access_key_id, _CredentialScope(date, named_region)
        case _:
            raise TokenRefused(Refused.MALFORMED)


def _check_time(values: Mapping[str, str], scope: _CredentialScope, now: datetime) -> None:
    stamp, lifetime = values["X-Amz-Date"], values["X-Amz-Expires"]
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise TokenRefused(Refused.MALFORMED) from None
    if not stamp.startswith(scope.date + "T"):
        raise TokenRefused(Refused.MALFORMED)
    if not (lifetime.isascii() and lifetime.isdigit() and 1 <= int(lifetime[:9]) <= MAX_LIFETIME_S):
        raise TokenRefused(Refused.LIFETIME)
    if signed_at > now + _CLOCK_SKEW:
        raise TokenRefused(Refused.NOT_YET_VALID)
    if now >= signed_at + timedelta(seconds=int(lifetime)):
        raise TokenRefused(Refused.EXPIRED)


def _signature(values: Mapping[str, str], host: str, scope: _CredentialScope, principal: Principal) -> str:
    """The signature that ``principal`` would have made (SigV4: canonical request, string to sign, key)."""
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in values.items())
    query = "&".join(f"{k}={v}" for k, v in pairs if k != "X-Amz-Signature")
    empty_body = hashlib.sha256(b"").hexdigest()
    request = f"GET\n/\n{query}\nhost:{host}\n\nhost\n{empty_body}"
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{values['X-Amz-Date']}\n{scope}\n{digest}"
    key = f"AWS4{principal.secret_access_key}".encode()
    for part in (scope.date, scope.region, "dsql", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
