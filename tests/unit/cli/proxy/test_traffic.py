"""Which side owes an answer: each row of the module's table, in streams that are cut anywhere."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon_cli.proxy.traffic import Traffic
from beacon_cli.proxy.wire import READY, WireError, message

QUERY, SYNC, FLUSH = message(b"Q", b"SELECT 1\0"), message(b"S"), message(b"H")
PARSE, BIND, EXECUTE = message(b"P", b"\0SELECT 1\0\0\0"), message(b"B", b"x" * 30), message(b"E", b"\0" * 5)
COPY_IN, COPY_DATA, COPY_DONE, COPY_FAIL = (message(kind, b"\0\0\0") for kind in (b"G", b"d", b"c", b"f"))
ROW, COMPLETE, ERROR = message(b"D", b"\0\1" * 9), message(b"C", b"SELECT 1\0"), message(b"E", b"C57014\0\0")
IN_BLOCK, FAILED = message(b"Z", b"T"), message(b"Z", b"E")
ENDS = len(READY) - 1


def state(*steps: tuple[str, bytes]) -> tuple[bool, bool]:
    """Whether the connection is idle, and whether the server owes an answer, after ``steps``."""
    traffic = Traffic()
    for side, data in steps:
        (traffic.from_client if side == "client" else traffic.from_server)(data)
    return traffic.idle, traffic.owed


IDLE, OWED, CLIENTS_TURN = (True, False), (False, True), (False, False)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], IDLE),
        ([("client", QUERY)], OWED),
        ([("client", QUERY), ("server", ROW + COMPLETE)], OWED),
        ([("client", QUERY), ("server", ROW + COMPLETE + READY)], IDLE),
        ([("client", QUERY), ("server", ERROR + READY)], IDLE),
        ([("client", QUERY * 2), ("server", READY)], OWED),
        ([("client", QUERY * 2), ("server", READY * 2)], IDLE),
        ([("client", QUERY), ("server", IN_BLOCK)], CLIENTS_TURN),
        ([("client", QUERY), ("server", FAILED)], CLIENTS_TURN),
        ([("client", QUERY), ("server", IN_BLOCK), ("client", QUERY), ("server", READY)], IDLE),
        ([("client", PARSE)], CLIENTS_TURN),
        ([("client", PARSE + FLUSH)], OWED),
        ([("client", PARSE + BIND + EXECUTE + SYNC)], OWED),
        ([("client", PARSE + BIND + EXECUTE + SYNC), ("server", ROW + COMPLETE + READY)], IDLE),
        ([("client", (PARSE + SYNC) * 3 + PARSE), ("server", READY * 3)], CLIENTS_TURN),
        # COPY FROM STDIN, by the simple protocol.
        ([("client", QUERY), ("server", COPY_IN)], CLIENTS_TURN),
        ([("client", QUERY), ("server", COPY_IN), ("client", COPY_DATA * 3 + COPY_DONE)], OWED),
        ([("client", QUERY), ("server", COPY_IN), ("client", COPY_FAIL), ("server", ERROR + READY)], IDLE),
        # By the extended protocol: libpq sends a Sync behind Execute, which the server ignores.
        ([("client", PARSE + BIND + EXECUTE + SYNC), ("server", COPY_IN)], CLIENTS_TURN),
        (
            [
                ("client", PARSE + BIND + EXECUTE + SYNC),
                ("server", COPY_IN),
                ("client", COPY_DATA + COPY_DONE + SYNC),
                ("server", COMPLETE + READY),
            ],
            IDLE,
        ),
        (
            [
                ("client", PARSE + BIND + EXECUTE),
                ("server", COPY_IN),
                ("client", SYNC + COPY_DATA + COPY_DONE + SYNC),
            ],
            OWED,
        ),
        # The server gives up in the middle of the COPY.
        (
            [
                ("client", PARSE + BIND + EXECUTE + SYNC),
                ("server", COPY_IN),
                ("client", COPY_DATA),
                ("server", ERROR),
                ("client", COPY_DATA + COPY_DONE + SYNC),
                ("server", READY),
            ],
            IDLE,
        ),
        # A message of which a part has come.
        ([("client", QUERY[:3])], CLIENTS_TURN),
        ([("client", QUERY[:9])], OWED),
        ([("client", QUERY), ("server", READY + ROW[:7])], CLIENTS_TURN),
        ([("client", QUERY), ("server", READY[:ENDS])], OWED),
    ],
)
def test_each_row_of_the_table(steps: list[tuple[str, bytes]], expected: tuple[bool, bool]) -> None:
    """Idle, the server's turn, or the client's."""
    assert state(*steps) == expected


def test_bytes_of_a_row_that_look_like_ready_for_query_mean_nothing() -> None:
    """A row may hold anything."""
    traffic = Traffic()
    traffic.from_client(QUERY)
    traffic.from_server(message(b"D", READY * 3))
    assert not traffic.idle
    assert traffic.exchanges == 0


SENT = st.lists(
    st.sampled_from([QUERY, PARSE, BIND, SYNC, FLUSH, ROW, COMPLETE, ERROR, READY, IN_BLOCK, COPY_IN]),
    max_size=12,
).map(b"".join)


@given(SENT, SENT, st.lists(st.integers(1, 9), min_size=1))
def test_where_a_stream_is_cut_makes_no_difference(client: bytes, server: bytes, cuts: list[int]) -> None:
    """The network cuts as it likes."""
    whole, pieces = Traffic(), Traffic()
    for traffic, sizes in ((whole, [10_000]), (pieces, cuts)):
        for take, data in ((traffic.from_client, client), (traffic.from_server, server)):
            at = number = 0
            while at < len(data):
                size = sizes[number % len(sizes)]
                take(data[at : at + size])
                at, number = at + size, number + 1
    found = [(one.idle, one.owed, one.exchanges, one.may_add) for one in (whole, pieces)]
    assert found[0] == found[1]


@pytest.mark.parametrize("side", ["from_client", "from_server"])
def test_an_impossible_length_ends_the_connection(side: str) -> None:
    """The stream cannot be cut into messages any more."""
    with pytest.raises(WireError, match="invalid message length"):
        getattr(Traffic(), side)(b"Q" + struct.pack("!I", 3))


@pytest.mark.parametrize(
    ("data", "may_add"), [(b"", True), (READY, True), (ROW[:8], False), (ERROR, False), (ERROR + READY, True)]
)
def test_a_last_word_follows_a_whole_message_and_no_error(data: bytes, may_add: bool) -> None:
    """Else it would be read as a part of a row, or repeat what the server has said."""
    traffic = Traffic()
    traffic.from_server(data)
    assert traffic.may_add is may_add
