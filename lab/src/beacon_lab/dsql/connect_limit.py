"""How many connections a DSQL cluster accepts: so many a second, so many at a time.

Documented for each cluster (Aurora DSQL User Guide, "Cluster quotas and database limits"), with the texts
below:

- 100 connections a second, with a burst of 1,000 that refills at 100 a second, else 53400
- 10,000 open connections, else 53300

An earlier edition ("Understanding connections in Aurora DSQL") calls it a token bucket in which a
connection is a token.

Assumed, because AWS does not say so:

- Each endpoint of a multi-Region cluster has a bucket of its own, since each Region holds a cluster resource
  with its own identifier and ARN.
- A login takes its token after the IAM token was verified, so that strangers cannot empty the bucket.
- A refused login takes none.
"""

import time
from collections import deque
from collections.abc import Callable

from beacon_lab.dsql.rules import Refusal
from beacon_lab.network.token_bucket import TokenBucket

__all__ = ["BURST", "CONNECTIONS", "RATE_EXCEEDED", "RATE_PER_S", "TOO_MANY", "ConnectLimit"]

RATE_PER_S = 100.0
BURST = 1_000
CONNECTIONS = 10_000
RATE_EXCEEDED = Refusal("53400", "Unable to accept connection, rate exceeded.")
TOO_MANY = Refusal("53300", "Unable to accept connection, too many open connections.")


class ConnectLimit:
    """Counts the logins of one endpoint; the values are DSQL's unless a test asks for others."""

    def __init__(
        self,
        *,
        rate_per_s: float = RATE_PER_S,
        burst: int = BURST,
        connections: int = CONNECTIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._last_s: deque[float] = deque()
        #: How many connections were admitted and not yet left.
        self.open = 0
        #: Logins admitted, logins refused, and the most that came within one second, since ``refit``.
        self.admitted = self.refused = self.most_per_s = 0
        self.refit(rate_per_s=rate_per_s, burst=burst, connections=connections)

    def refit(
        self, *, rate_per_s: float = RATE_PER_S, burst: int = BURST, connections: int = CONNECTIONS
    ) -> None:
        """Give the endpoint other numbers, DSQL's by default, and a full bucket; open connections stay."""
        self._bucket = TokenBucket(rate_per_s=rate_per_s, burst=burst)
        self._connections = connections
        self.admitted = self.refused = self.most_per_s = 0

    def enter(self) -> Refusal | None:
        """Admit a login, or say why not."""
        now_s = self._clock()
        self._note(now_s)
        refusal = None
        if self.open >= self._connections:
            refusal = TOO_MANY
        elif not self._bucket.take(now_s):
            refusal = RATE_EXCEEDED
        if refusal is None:
            self.open += 1
            self.admitted += 1
        else:
            self.refused += 1
        return refusal

    def leave(self) -> None:
        """Count the end of a connection that was admitted."""
        self.open -= 1

    def _note(self, now_s: float) -> None:
        self._last_s.append(now_s)
        while self._last_s[0] <= now_s - 1.0:
            self._last_s.popleft()
        self.most_per_s = max(self.most_per_s, len(self._last_s))
