"""PostgreSQL's messages are cut and read whole, whatever pieces they come in."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon_lab.dsql import pgwire
from beacon_lab.dsql.pgwire import CancelRequest, Encryption, MessageCutter, Startup, WireError, read_opening


@given(
    bodies=st.lists(st.tuples(st.sampled_from([b"Q", b"D", b"Z"]), st.binary(max_size=40)), max_size=8),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
def test_messages_survive_any_fragmentation(bodies: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    """However the stream is cut, the same messages come out, in order."""
    messages = [pgwire.message(kind, body) for kind, body in bodies]
    stream = b"".join(messages)
    cutter, found, position, turn = MessageCutter(), list[bytes](), 0, 0
    while position < len(stream):
        step = cuts[turn % len(cuts)]
        found += cutter.feed(stream[position : position + step])
        position, turn = position + step, turn + 1
    assert found == messages


@pytest.mark.parametrize("length", [0, 3, 101, 2**31 - 1, 2**32 - 1])
def test_an_impossible_length_ends_the_conversation(length: int) -> None:
    """A length below its own size or above the limit is not waited for."""
    with pytest.raises(WireError):
        MessageCutter(limit=100).feed(b"Q" + struct.pack("!I", length))


def test_a_startup_message_is_read_back() -> None:
    """What `startup` makes, `read_opening` reads; bytes behind it are left."""
    packet = pgwire.startup({"user": "admin", "options": ""})
    assert read_opening(packet + b"more") == (Startup(0, {"user": "admin", "options": ""}), len(packet))
    assert all(read_opening(packet[:cut]) is None for cut in range(len(packet)))


@pytest.mark.parametrize(
    ("packet", "opening"),
    [
        (struct.pack("!ii", 8, 80877103), Encryption.TLS),
        (struct.pack("!ii", 8, 80877104), Encryption.GSS),
        (struct.pack("!iiii", 16, 80877102, 1, 2), CancelRequest(struct.pack("!iiii", 16, 80877102, 1, 2))),
        (struct.pack("!ii", 9, (3 << 16) + 2) + b"\0", Startup(2, {})),
    ],
)
def test_each_opening_is_known(packet: bytes, opening: object) -> None:
    """The four packets that may begin a connection."""
    assert read_opening(packet) == (opening, len(packet))


@pytest.mark.parametrize(
    "packet",
    [
        struct.pack("!ii", 7, 3 << 16),
        struct.pack("!ii", 10_001, 3 << 16),
        struct.pack("!ii", -1, 3 << 16),
        struct.pack("!ii", 8, 2 << 16),
        struct.pack("!ii", 8, 3 << 16),
        struct.pack("!ii", 13, 3 << 16) + b"user\0",
        struct.pack("!ii", 14, 3 << 16) + b"user\0\0",
        struct.pack("!ii", 12, 3 << 16) + b"a\0b\0",
        struct.pack("!ii", 13, 3 << 16) + b"\xff\0b\0\0",
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_a_malformed_opening_is_refused(packet: bytes) -> None:
    """Wrong lengths, versions and layouts are errors, never a crash or a guess."""
    with pytest.raises(WireError):
        read_opening(packet)


def test_a_password_is_never_quoted_in_an_error() -> None:
    """A password that is not UTF-8 is refused without its bytes, in the error and in its causes."""
    with pytest.raises(WireError) as caught:
        pgwire.read_password(pgwire.message(b"p", b"CANARY\xff\0"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "CANARY" not in str(caught.value)
