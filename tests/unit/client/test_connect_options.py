"""How to log in: what cannot be used is refused before anything is tried, every reason at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from beacon.client.connect_options import Login


def test_further_options_of_libpq_are_taken() -> None:
    """Those that decide neither where the connection leads nor how it is secured."""
    Login(
        "my_role", options={"application_name": "orders", "keepalives_idle": "30", "tcp_user_timeout": "5000"}
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"query_timeout": "5"}, "'query_timeout' is no option: use query_timeout_s"),
        ({"statement_timeout": "5"}, "'statement_timeout' is no option: use query_timeout_s"),
        ({"Keepalives": "1"}, "'Keepalives' is no option: did you mean keepalives?"),
        ({"a b='": "1"}, '"a b=\'" is no option'),
        ({"keepalives": 1}, "keepalives must be text, not int"),
        ({"application_name": None}, "application_name must be text, not NoneType"),
        ({"application_name": "a\0b"}, "application_name holds a NUL"),
        ({"sslmode": "disable"}, "sslmode is decided by beacon: TLS is always verified in full"),
        (
            {"connect_timeout": "3"},
            "connect_timeout is decided by beacon: use timeout_s of connect, or connect_timeout_s of a pool",
        ),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options: dict[str, Any], reason: str) -> None:
    """Not at each connect, where it would look as if no endpoint could be reached."""
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}(, in seconds)?$"):
        Login("my_role", options=options)


def test_every_reason_is_said_at_once() -> None:
    """All faults are reported at once."""
    with pytest.raises(ValueError, match="user") as caught:
        Login("", dbname="a\0", timeout_s=0, options={"hostaddr": "127.0.0.1", "keepalive": "1"})
    assert len(str(caught.value).split("; ")) == 5


def test_a_file_of_authorities_that_is_not_there_is_refused_by_its_name() -> None:
    """libpq would say so at each connect, and of each endpoint."""
    with pytest.raises(ValueError, match=r"ca_file names no file: /nope\.pem"):
        Login("orders", ca_file="/nope.pem")
    assert Login("orders", ca_file="system").ca_file == "system"


@pytest.mark.parametrize("query_timeout_s", [0.0, -1.0, 1e9])
def test_a_limit_that_no_statement_can_hold_is_refused(query_timeout_s: float) -> None:
    """Zero is not "no limit": that is None."""
    with pytest.raises(ValueError, match=r"query_timeout_s must be 0\.01-3600 or None"):
        Login("orders", query_timeout_s=query_timeout_s)
