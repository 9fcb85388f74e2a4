"""How a connect fails: each connection that was tried, and nothing that a server or libpq wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

__all__ = ["Attempt", "ConnectError"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection that was tried.

    :param region: the endpoint's Region.
    :param host: the endpoint's host.
    :param reason: how it ended, a code of :mod:`beacon.outcome`.
    :param took_s: after how long, in seconds.
    """

    region: str
    host: str
    reason: str
    took_s: float

    def __str__(self) -> str:
        return f"{self.region} {self.reason} after {self.took_s:.2f} s"


class ConnectError(psycopg.OperationalError):
    """No endpoint could be connected to.

    It holds Regions and reason codes (:mod:`beacon.outcome`) and nothing of what a server or libpq wrote.

    :param what: what came to nothing.
    :param attempts: each connection that was tried; default none.
    :param problems: what sources said, and what to look at; default none.
    """

    def __init__(self, what: str, attempts: Sequence[Attempt] = (), problems: Sequence[str] = ()) -> None:
        self.attempts = tuple(attempts)
        self.problems = tuple(problems)
        super().__init__("; ".join([what, *map(str, self.attempts), *self.problems]))
