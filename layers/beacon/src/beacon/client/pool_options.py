"""The options of psycopg_pool that Beacon decides, and those that it passes on."""

from __future__ import annotations

__all__ = ["RECONNECT_S", "refuse_decided"]

#: For how long psycopg_pool repeats one failed connect, its pauses doubling, in seconds. Short: a request for
#: a connection starts another one, and must not find every slot asleep after an outage.
RECONNECT_S = 10.0
_DECIDED = frozenset({"conninfo", "kwargs", "connection_class", "check", "max_lifetime", "close_returns"})


def refuse_decided(others: dict[str, object]) -> None:
    """Raise ``ValueError`` for options of psycopg_pool that are decided here."""
    decided = sorted(_DECIDED & set(others))
    if decided:
        raise ValueError(f"{', '.join(decided)}: decided by beacon; see Pool and PoolPolicy")
