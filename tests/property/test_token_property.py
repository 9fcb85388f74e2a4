"""The signer equals botocore's own, byte for byte, over hosts, Regions, credentials and clocks."""

import string
from datetime import UTC, datetime
from functools import cache
from typing import Any
from unittest import mock

import botocore.auth
import botocore.credentials
import botocore.session
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

from beacon.aws.sigv4 import Credentials
from beacon.dsql.token import sign_token

_LABEL = st.text(string.ascii_lowercase + string.digits, min_size=26, max_size=26)
_REGION = st.sampled_from(["us-east-1", "us-east-2", "ap-northeast-3", "eu-central-1", "us-gov-west-1"])
_SECRET = st.text(string.ascii_letters + string.digits + "/+=", min_size=1, max_size=64)
_SESSION_TOKEN = st.none() | st.text(
    string.ascii_letters + string.digits + "/+=%&? ~*'é", min_size=1, max_size=400
)
_CLOCK = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@cache
def dsql_client() -> Any:  # noqa: ANN401 - botocore makes its clients' methods at run time
    """One client for all examples: making one takes a tenth of a second."""
    session = botocore.session.Session()
    session.set_credentials("replaced", "replaced")
    return session.create_client("dsql", region_name="us-east-1")


def botocore_token(
    host: str, region: str, keys: Credentials, now: datetime, *, admin: bool, expires_s: int
) -> str:
    """What botocore's dsql client makes of the same, with its clock stopped at ``now``."""
    client = dsql_client()
    client._request_signer._credentials = botocore.credentials.Credentials(
        keys.access_key_id, keys.secret_access_key, keys.session_token
    )
    make = client.generate_db_connect_admin_auth_token if admin else client.generate_db_connect_auth_token
    stopped = now.replace(tzinfo=None)
    # Where awscrt is installed botocore prefers its signer, which needs another clock: the own one is asked.
    own_signer = {"v4-query": botocore.auth.SigV4QueryAuth}
    with (
        mock.patch.dict(botocore.auth.AUTH_TYPE_MAPS, own_signer),
        mock.patch.object(botocore.auth, "get_current_datetime", return_value=stopped) as clock,
    ):
        token: str = make(host, region, expires_s)
    assert clock.called, "botocore reads another clock by now: repair this test"
    return token


@settings(max_examples=examples(400), deadline=None)
@given(
    label=_LABEL,
    region=_REGION,
    key=st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=20),
    secret=_SECRET,
    session_token=_SESSION_TOKEN,
    now=_CLOCK,
    admin=st.booleans(),
    expires_s=st.integers(1, 604_800),
)
def test_the_signer_equals_botocores(
    *,
    label: str,
    region: str,
    key: str,
    secret: str,
    session_token: str | None,
    now: datetime,
    admin: bool,
    expires_s: int,
) -> None:
    """The same host, Region, keys and clock give the same token, to the last byte."""
    host, keys = f"{label}.dsql.{region}.on.aws", Credentials(key, secret, session_token)
    ours = sign_token(host, region, keys, now, admin=admin, expires_s=expires_s)
    assert ours == botocore_token(host, region, keys, now, admin=admin, expires_s=expires_s)


def test_the_clock_and_every_credential_count() -> None:
    """The comparison above could fail: another second or another key gives another token."""
    host, now = "a" * 26 + ".dsql.us-east-1.on.aws", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    keys = Credentials("AKID", "secret", "session")
    token = sign_token(host, "us-east-1", keys, now)
    others = [
        sign_token(host, "us-east-1", keys, now.replace(second=6)),
        sign_token(host, "us-east-1", Credentials("AKID", "secret2", "session"), now),
        sign_token(host, "us-east-1", Credentials("AKID", "secret"), now),
        sign_token(host, "us-east-2", keys, now),
        sign_token(host, "us-east-1", keys, now, admin=True),
    ]
    assert len({token, *others}) == 6
