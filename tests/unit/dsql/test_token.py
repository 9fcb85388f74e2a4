"""DSQL tokens: their form, and what they refuse and hide."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from beacon.aws.sigv4 import Credentials
from beacon.dsql.token import sign_token

HOST = "a" * 26 + ".dsql.us-east-1.on.aws"
KEYS = Credentials("AKIDEXAMPLE", "canary-secret", "canary/session+token==")
NOW = datetime(2026, 11, 22, 1, 2, 3, 999999, tzinfo=UTC)


def test_a_token_is_a_presigned_query_without_scheme() -> None:
    """Host, action, expiry and signature stand where DSQL looks for them."""
    token = sign_token(HOST, "us-east-1", KEYS, NOW, expires_s=60)
    assert token.startswith(f"{HOST}/?Action=DbConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256&")
    assert "&X-Amz-Date=20261122T010203Z&" in token
    assert "&X-Amz-Expires=60&" in token
    assert "Action=DbConnectAdmin&" in sign_token(HOST, "us-east-1", KEYS, NOW, admin=True)


@pytest.mark.parametrize(
    "now",
    [NOW.replace(tzinfo=None), NOW.astimezone(timezone(timedelta(hours=2)))],
    ids=["naive", "elsewhere"],
)
def test_an_instant_that_is_not_in_utc_is_refused(now: datetime) -> None:
    """Its digits would be taken for UTC and the token be valid at another time."""
    with pytest.raises(ValueError, match="UTC"):
        sign_token(HOST, "us-east-1", KEYS, now)


def test_credentials_do_not_show_themselves() -> None:
    """Neither repr nor str holds any part of a key."""
    shown = f"{KEYS!r} {KEYS}"
    assert not any(part in shown for part in ("AKIDEXAMPLE", "canary"))
