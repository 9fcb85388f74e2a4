"""A DSQL token opens the database only when every part of it is right; botocore's signer is the oracle."""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import quote

import botocore.session
import pytest
from botocore.client import BaseClient

from beacon_lab.dsql.principals import DbAction, Principal, Principals, Refused, TokenRefused, verify_token

HOST = "abcdefghijklmnopqrstuvwxyz.dsql.us-east-1.on.aws"
REGION = "us-east-1"
ARN = "arn:aws:iam::123456789012:role/demo-health"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def known(session_token: str | None = None, **rest: object) -> tuple[Principals, Principal]:
    principals = Principals()
    principal = principals.add(
        access_key_id="AKIDLAB1",
        secret_access_key=SECRET,
        session_token=session_token,
        arn=ARN,
        **rest,  # type: ignore[arg-type]
    )
    return principals, principal


@cache
def botocore_client(region: str, secret: str, session_token: str | None) -> BaseClient:
    """The client that signs; making one takes a tenth of a second."""
    session = botocore.session.Session()
    session.set_credentials("AKIDLAB1", secret, session_token)
    return session.create_client("dsql", region_name=region)


def botocore_token(
    *,
    session_token: str | None = None,
    admin: bool = False,
    host: str = HOST,
    region: str = REGION,
    expires_in_s: int = 900,
    secret: str = SECRET,
) -> str:
    client = botocore_client(region, secret, session_token)
    action = "db_connect_admin" if admin else "db_connect"
    token = getattr(client, f"generate_{action}_auth_token")(host, region, expires_in_s)
    assert isinstance(token, str)
    return token


def refusal(
    token: str, principals: Principals, *, later: timedelta = timedelta(0), **given: object
) -> Refused:
    arguments: dict[str, object] = {
        "host": HOST,
        "region": REGION,
        "action": DbAction.CONNECT,
        "now": datetime.now(UTC) + later,
    }
    with pytest.raises(TokenRefused) as caught:
        verify_token(token, principals=principals, **(arguments | given))  # type: ignore[arg-type]
    return caught.value.reason


@pytest.mark.parametrize("session_token", [None, "FwoGZXIvYXdzE+/=:tok en"])
@pytest.mark.parametrize("admin", [False, True])
def test_a_token_that_botocore_signed_names_its_principal(session_token: str | None, admin: bool) -> None:
    """What the AWS SDK signs verifies, with and without a session token, for both actions."""
    principals, principal = known(session_token)
    token = botocore_token(session_token=session_token, admin=admin)
    found = verify_token(
        token,
        host=HOST,
        region=REGION,
        action=DbAction.CONNECT_ADMIN if admin else DbAction.CONNECT,
        principals=principals,
        now=datetime.now(UTC),
    )
    assert found is principal


@pytest.mark.parametrize(
    ("signed", "given", "reason"),
    [
        ({"host": HOST.replace("a", "b", 1)}, {}, Refused.HOST),
        ({}, {"host": HOST.replace("a", "b", 1)}, Refused.HOST),
        ({"region": "us-east-2"}, {}, Refused.REGION),
        ({"admin": True}, {}, Refused.ACTION),
        ({}, {"action": DbAction.CONNECT_ADMIN}, Refused.ACTION),
        ({"secret": "another"}, {}, Refused.SIGNATURE),
        ({"session_token": "another"}, {}, Refused.SESSION_TOKEN),
        ({"expires_in_s": 604_801}, {}, Refused.LIFETIME),
        ({}, {"later": timedelta(seconds=905)}, Refused.EXPIRED),
        ({}, {"later": timedelta(minutes=-6)}, Refused.NOT_YET_VALID),
    ],
)
def test_a_token_signed_for_something_else_is_refused(
    signed: dict[str, object], given: dict[str, object], reason: Refused
) -> None:
    """A valid signature for another host, Region, action, key, session or time opens nothing."""
    principals, _ = known()
    assert refusal(botocore_token(**signed), principals, **given) == reason  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "replacement", "reason"),
    [
        (r"Action=DbConnect", "Action=DbConnectAdmin", Refused.ACTION),
        (r"X-Amz-Expires=900", "X-Amz-Expires=9000", Refused.SIGNATURE),
        (r"X-Amz-Expires=900", "X-Amz-Expires=0", Refused.LIFETIME),
        (r"X-Amz-Expires=900", "X-Amz-Expires=%C2%B2", Refused.LIFETIME),
        (r"X-Amz-Expires=900", "X-Amz-Expires=" + "9" * 5000, Refused.LIFETIME),
        (r"X-Amz-Signature=.", "X-Amz-Signature=g", Refused.SIGNATURE),
        (r"X-Amz-Signature=[0-9a-f]+", "X-Amz-Signature=", Refused.SIGNATURE),
        (r"X-Amz-Signature=[0-9a-f]+", "X-Amz-Signature=%C3%A9", Refused.SIGNATURE),
        (r"AKIDLAB1", "AKIDLAB2", Refused.KEY),
        (r"%2Fdsql%2F", "%2Frds-db%2F", Refused.SERVICE),
        (r"us-east-1%2F", "us-east-2%2F", Refused.REGION),
        (r"X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=", Refused.MALFORMED),
        (r"AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", Refused.MALFORMED),
        (r"X-Amz-Date=\d{8}", "X-Amz-Date=20200101", Refused.MALFORMED),
        (r"X-Amz-Date=\d{8}", "X-Amz-Date=2020", Refused.MALFORMED),
        (r"^", "https://", Refused.HOST),
        (r"/\?", "", Refused.MALFORMED),
        (r"$", "&Extra=1", Refused.MALFORMED),
        (r"$", "&Action=DbConnect", Refused.MALFORMED),
        (r"$", "&%ff=1", Refused.MALFORMED),
        (r"&X-Amz-Date=[^&]*", "", Refused.MALFORMED),
        (r".*", "", Refused.MALFORMED),
    ],
)
def test_an_altered_token_is_refused(pattern: str, replacement: str, reason: Refused) -> None:
    """Every part of a token that is changed after signing is noticed, and never as a crash."""
    principals, _ = known()
    altered = re.sub(pattern, replacement, botocore_token(), count=1)
    assert refusal(altered, principals) == reason


def test_a_policy_that_allows_dbconnect_only_does_not_open_admin() -> None:
    """A rightly signed DbConnectAdmin token is refused when the principal may not use that action."""
    principals, _ = known(actions=frozenset({DbAction.CONNECT}))
    reason = refusal(botocore_token(admin=True), principals, action=DbAction.CONNECT_ADMIN)
    assert reason == Refused.NOT_ALLOWED


def test_a_token_dies_with_the_session_that_signed_it() -> None:
    """A token within its own lifetime is refused once the role session is over."""
    now = datetime.now(UTC)
    principals, _ = known("session", expires_at=now + timedelta(seconds=60))
    token = botocore_token(session_token="session")
    assert refusal(token, principals, now=now + timedelta(seconds=61)) == Refused.KEY


def test_a_refusal_quotes_nothing_of_the_token() -> None:
    """Neither the sentence nor the chained exceptions contain a fragment of what was sent."""
    principals, principal = known()
    canary = "CANARY0123456789"
    for token in (
        botocore_token(session_token=canary),
        f"{HOST}/?Action={canary}",
        f"{HOST}/?{canary}",
        f"{HOST}/?X-Amz-Date={quote(canary)}",
    ):
        with pytest.raises(TokenRefused) as caught:
            verify_token(
                token,
                host=HOST,
                region=REGION,
                action=DbAction.CONNECT,
                principals=principals,
                now=datetime.now(UTC),
            )
        assert canary not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert SECRET not in repr(principal)
