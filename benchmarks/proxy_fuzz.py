"""Bytes that no client should send to a proxy: right, cut, bent or made up."""

from __future__ import annotations

import random
import struct

from beacon_cli.proxy import wire

__all__ = ["fuzzed"]

_KINDS = b"QPBDESHCcfdFXpGZR\0\xff"
_LENGTHS = (0, 3, 4, 5, 8, 16, 9_999, 2**20, 2**31, 2**32 - 1)


def fuzzed(chance: random.Random, user: str) -> bytes:
    """What one client sends: a piece of an opening, or a good one and messages of any kind behind it."""
    shape = chance.randrange(8)
    start = wire.startup_message({"user": user, "database": "postgres"})
    body = chance.randbytes(chance.choice((0, 1, 4, 7, 40, 300)))
    if shape == 0:
        return chance.randbytes(chance.randrange(1, 64))
    if shape == 1:
        return struct.pack("!I", chance.choice(_LENGTHS)) + body
    if shape == 2:
        return start[: chance.randrange(1, len(start))]
    if shape == 3:
        return struct.pack("!ii", 8, chance.choice((80877102, 80877103, 80877104))) * chance.randrange(1, 9)
    bent = bytearray(wire.message(bytes([chance.choice(_KINDS)]), body))
    if shape == 4:
        bent[1:5] = struct.pack("!I", chance.choice(_LENGTHS))
    elif shape == 5:
        del bent[chance.randrange(len(bent)) :]
    elif shape == 6:
        return start + wire.query(b"SELECT 'mine'")
    return start + bytes(bent) * chance.choice((1, 1, 3))
