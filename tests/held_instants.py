"""Look for instants that an object keeps: numbers of a clock, anywhere in what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from beacon.suspend_clock import SuspendAwareClock

#: Where a test's monotonic clock begins, so that its instants are told apart from every other number.
MONOTONIC_START = 7.0e8
_SPAN = 1.0e6
_NOT_HELD = (type, str, bytes, int)


def held_monotonic_instants(root: object, *fakes: type) -> list[str]:
    """The paths, from ``root``, of all floats that can only be readings of the test's monotonic clock.

    Objects of the test's own ``fakes`` are left out, and so is the clock whose job is to hold one.
    """
    left_out = (*_NOT_HELD, SuspendAwareClock, *fakes)
    return [path for path, number in _floats(root, left_out) if 0 <= number - MONOTONIC_START <= _SPAN]


def _floats(root: object, left_out: tuple[type, ...]) -> Iterator[tuple[str, float]]:
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, float):
            yield path, value
        elif not isinstance(value, left_out) and id(value) not in seen:
            seen.add(id(value))
            waiting += [(f"{path}.{name}", part) for name, part in _parts(value)]


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((str(key), part) for key, part in value.items())
        return
    if isinstance(value, (list, tuple, set, frozenset)):
        yield from ((str(index), part) for index, part in enumerate(value))
        return
    if not type(value).__module__.startswith("beacon"):
        # A stream or a thread leads to the whole interpreter.
        return
    yield from vars(value).items() if hasattr(value, "__dict__") else ()
    for kind in type(value).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(value, name):
                yield name, getattr(value, name)
