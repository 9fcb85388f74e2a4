"""Settings of a proxy that cannot be used are refused whole, with every reason."""

from __future__ import annotations

from typing import Any

import pytest

from beacon_cli.proxy.settings import Settings, parse_address


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("0.0.0.0:5432", "must be a loopback address"),
        ("10.1.2.3:5432", "must be a loopback address"),
        ("[2001:db8::1]:5432", "must be a loopback address"),
        ("127.0.0.1", "address:port"),
        ("db.example.com:5432", "address:port"),
        ("127.0.0.1:70000", "address:port"),
        ("/run/" + "x" * 100, "longer than"),
    ],
)
def test_clients_come_from_this_machine_alone(listen: str, said: str) -> None:
    """The client's side has no TLS."""
    with pytest.raises(ValueError, match=said):
        Settings(listen=listen)


def test_every_reason_is_given_at_once() -> None:
    """And none hides another."""
    wrong: dict[str, Any] = {"listen": "0.0.0.0:1", "health": "x", "connects_per_s": 101, "most_clients": 0}
    with pytest.raises(ValueError, match="--listen") as caught:
        Settings(**wrong, password="tab\t", peer_ids=frozenset({7}), query_timeout_s=0.0)
    for option in ("--health", "--connects-per-s", "--max-clients", "ASCII", "--peer", "--query-timeout"):
        assert option in str(caught.value)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("127.0.0.1:5432", ("127.0.0.1", 5432)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:5432", ("::1", 5432)),
    ],
)
def test_addresses(given: str, found: tuple[str, int]) -> None:
    """IPv6 in brackets, and the one name that always means this machine."""
    assert parse_address(given) == found
    assert Settings(listen=given).listen == given
