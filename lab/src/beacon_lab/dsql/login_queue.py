"""Logins take turns, so that a herd of them holds up no open connection of the same event loop.

A TLS handshake takes milliseconds, and a thousand clients that reconnect at once would otherwise keep the
loop busy for seconds. DSQL runs logins beside its open sessions; here one step of one login runs in each turn
of the loop, and everything else that is ready runs in between.
"""

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["LoginQueue"]


class LoginQueue:
    """Runs steps in the order in which they come: one in each turn of the loop, the first at once."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._taken = False

    def run(self, step: Callable[[], None]) -> None:
        """Run ``step`` now if this turn of the loop has run none yet, else as soon as its turn comes."""
        if self._taken:
            self._waiting.append(step)
            return
        self._taken = True
        asyncio.get_running_loop().call_soon(self._next)
        step()

    def _next(self) -> None:
        if not self._waiting:
            self._taken = False
            return
        asyncio.get_running_loop().call_soon(self._next)
        self._waiting.popleft()()
