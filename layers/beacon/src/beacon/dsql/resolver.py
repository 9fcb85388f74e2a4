"""Resolve host names without ever letting a stalled resolver hold a deadline.

``getaddrinfo`` cannot be interrupted: a silent DNS server blocks it for ten seconds and more. So one daemon
thread per name does the look-up (single flight: callers that come meanwhile wait for the same one), callers
wait only as long as they can, and the last good addresses are kept as the answer for when it stalls.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from beacon.suspend_clock import suspend_aware

__all__ = ["Flight", "NameNotResolvedError", "Resolver"]

#: Returns the addresses of a host, best first; raises OSError when there are none. Blocks.
Lookup = Callable[[str], list[str]]


class NameNotResolvedError(Exception):
    """The name has no address, or none was found in time. ``stalled`` tells the two apart."""

    def __init__(self, *, stalled: bool) -> None:
        self.stalled = stalled
        super().__init__("name resolution stalled" if stalled else "name not resolved")


def _system_lookup(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Flight:
    """A look-up under way: once ``done`` is set, ``addresses`` holds what it found, if anything."""

    __slots__ = ("addresses", "done", "thread")

    def __init__(self, fly: Callable[[str, Flight], None], host: str) -> None:
        self.done = threading.Event()
        self.addresses: list[str] = []
        self.thread = threading.Thread(target=fly, args=(host, self), name="beacon-resolve", daemon=True)
        self.thread.start()


class Resolver:
    """Looks names up in at most one lingering thread each; safe to use from several threads."""

    def __init__(self, lookup: Lookup = _system_lookup, clock: Callable[[], float] = suspend_aware) -> None:
        self._lookup = lookup
        self._clock = clock
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}
        self._last_good: dict[str, list[str]] = {}
        self._found_at: dict[str, float] = {}

    def resolve(self, host: str, timeout_s: float) -> list[str]:
        """Return the addresses of ``host`` within ``timeout_s`` seconds, best first.

        The last good answer serves when the look-up fails or is slow (it gets a third of the time then, so
        that enough is left to connect). Raises :class:`NameNotResolvedError` when there is none.
        """
        with self._lock:
            flight = self._under_way(host)
            known = self._last_good.get(host)
        done = flight.done.wait(timeout_s / 3 if known else timeout_s)
        if done and flight.addresses:
            return flight.addresses
        if known:
            return known
        raise NameNotResolvedError(stalled=not done)

    def known(self, host: str, within_s: float = float("inf")) -> list[str]:
        """The last good addresses of ``host``, if they are no older; empty otherwise. Never blocks."""
        found_at = self._found_at.get(host)
        if found_at is None or self._clock() - found_at > within_s:
            return []
        return self._last_good[host]

    def start(self, host: str) -> Flight:
        """Have ``host`` looked up, or join the look-up that is under way; never blocks."""
        with self._lock:
            return self._under_way(host)

    def _under_way(self, host: str) -> Flight:
        flight = self._flights.get(host)
        # A process that was forked meanwhile has the flight, and not its thread.
        if flight is None or not flight.thread.is_alive():
            # Started before it is listed: later calls must not wait for a flight that could not start.
            flight = self._flights[host] = Flight(self._fly, host)
        return flight

    def _fly(self, host: str, flight: Flight) -> None:
        addresses: list[str] = []
        try:
            addresses = self._lookup(host)
        except (OSError, UnicodeError):
            pass  # the name has no address, or cannot be a name
        finally:
            with self._lock:
                flight.addresses = addresses
                if addresses:
                    self._last_good[host] = addresses
                    self._found_at[host] = self._clock()
                del self._flights[host]
            flight.done.set()
