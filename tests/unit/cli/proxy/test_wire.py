"""The packets that a proxy reads and writes itself."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon_cli.proxy import wire


def test_an_opening_is_read_as_soon_as_it_is_whole() -> None:
    """And not before; what follows it stays."""
    packet = wire.startup_message({"user": "orders", "database": "postgres"})
    for length in range(len(packet)):
        assert wire.read_opening(packet[:length]) is None
    found = wire.read_opening(packet + b"more")
    assert found == (wire.Startup(0, {"user": "orders", "database": "postgres"}), len(packet))


def test_requests_of_eight_and_sixteen_bytes_are_read() -> None:
    """For encryption, and to cancel."""
    assert wire.read_opening(struct.pack("!ii", 8, 80877103)) == (wire.Encryption.TLS, 8)
    assert wire.read_opening(struct.pack("!ii", 8, 80877104)) == (wire.Encryption.GSS, 8)
    packet = wire.cancel_request(struct.pack("!II", 7, 0xFFFFFFFF))
    assert wire.read_opening(packet) == (wire.CancelRequest(7, 0xFFFFFFFF), 16)


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (struct.pack("!ii", 7, 3 << 16), "length"),
        (struct.pack("!ii", 10_001, 3 << 16), "length"),
        (struct.pack("!ii", 8, 2 << 16), "unsupported frontend protocol 2.0"),
        (struct.pack("!iii", 12, 80877102, 1), "cancel request"),
        (struct.pack("!iii", 12, 80877103, 1), "encryption request"),
        (struct.pack("!ii", 13, 3 << 16) + b"user\0", "layout"),
        (struct.pack("!ii", 16, 3 << 16) + b"user\0\xff\0\0", "not UTF-8"),
        (b"GET / HTTP/1.1\r\n", "length"),
    ],
)
def test_what_is_no_opening_is_refused(packet: bytes, said: str) -> None:
    """With the reason."""
    with pytest.raises(wire.WireError, match=said):
        wire.read_opening(packet)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_opening_a_part_of_one_or_refused(data: bytes) -> None:
    """Nothing else is ever raised."""
    for read in (wire.read_opening, wire.whole_message):
        try:
            read(data)
        except wire.WireError:
            continue


@pytest.mark.parametrize(
    ("body", "sqlstate"),
    [
        (b"SFATAL\0C28000\0Maccess denied\0\0", "28000"),
        (b"SFATAL\0Maccess denied\0\0", "XX000"),
        (b"C2800\0\0", "XX000"),
        (b"C28 00\0\0", "XX000"),
        (b"", "XX000"),
    ],
)
def test_of_an_error_only_a_sqlstate_is_read(body: bytes, sqlstate: str) -> None:
    """A server may put anything into the rest."""
    assert wire.error_sqlstate(body) == sqlstate
    assert wire.error_sqlstate(wire.fatal("57P01", "gone")[wire.HEADER :]) == "57P01"
