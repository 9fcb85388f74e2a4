"""Finds readings of the monotonic clock in objects that outlive a call.

In tests that clock reads from :data:`FIRST` to :data:`LAST`, where no other number of a test lies. So each
float in that range is such a reading.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakSet

from beacon.suspend_clock import SuspendAwareClock

__all__ = ["FIRST", "LAST", "monotonic_instants"]

#: What a test's monotonic clock reads: beyond any uptime, and before any wall clock of today.
FIRST, LAST = 7.0e8, 7.1e8


def monotonic_instants(*roots: object) -> list[str]:
    """The path to each of them, from the roots through attributes, containers and closures.

    The suspend-aware clock is the one that may hold a reading.
    """
    found: list[str] = []
    seen: set[int] = set()
    waiting = deque((type(root).__name__, root) for root in roots)
    while waiting:
        path, each = waiting.popleft()
        if isinstance(each, float):
            if FIRST <= each <= LAST:
                found.append(path)
        elif id(each) not in seen and not isinstance(each, SuspendAwareClock):
            seen.add(id(each))
            waiting.extend((f"{path}{step}", part) for step, part in _parts(each))
    return sorted(found)


def _parts(each: object) -> Iterator[tuple[str, Any]]:
    if isinstance(each, str | bytes | type):
        return
    if isinstance(each, Mapping):
        yield from ((f"[{key!r}]", value) for key, value in list(each.items()))
    elif isinstance(each, list | tuple | set | frozenset | deque | WeakSet):
        yield from ((f"[{number}]", value) for number, value in enumerate(list(each)))
    elif isinstance(each, MethodType):
        yield "()", each.__self__
    elif isinstance(each, FunctionType):
        yield from ((f"<{number}>", cell.cell_contents) for number, cell in enumerate(each.__closure__ or ()))
    elif any(kind.__module__.partition(".")[0] == "beacon" for kind in type(each).__mro__):
        yield from ((f".{name}", value) for name, value in getattr(each, "__dict__", {}).items())
        slots = [name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())]
        yield from ((f".{name}", getattr(each, name)) for name in slots if hasattr(each, name))
