"""The edge trigger signs its request as botocore does."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import patch

import botocore.auth
import botocore.awsrequest
import botocore.credentials
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

from beacon.aws.sigv4 import Credentials
from beacon.health.trigger import invoke_headers

_SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=60)
_INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001 - made aware here


@settings(max_examples=examples(100), deadline=None)
@given(
    region=st.sampled_from(["us-east-1", "eu-central-1", "ap-northeast-3", "cn-north-1"]),
    function=st.from_regex(r"[a-z][a-z0-9-]{0,40}", fullmatch=True),
    body=st.binary(max_size=200),
    secret=_SECRETS,
    session=st.none() | _SECRETS,
    now=_INSTANTS,
)
def test_the_headers_equal_those_of_botocores_signer(
    *, region: str, function: str, body: bytes, secret: str, session: str | None, now: datetime
) -> None:
    """Same request, same credentials, same moment: same Authorization header, to the byte."""
    url = f"https://lambda.{region}.amazonaws.com/2015-03-31/functions/{function}/invocations"
    ours = invoke_headers(url, region, body, Credentials("AKIDEXAMPLE", secret, session), now)
    request = botocore.awsrequest.AWSRequest("POST", url, {"X-Amz-Invocation-Type": "Event"}, body)
    keys = botocore.credentials.Credentials("AKIDEXAMPLE", secret, session)
    with patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)):
        botocore.auth.SigV4Auth(keys, "lambda", region).add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")
