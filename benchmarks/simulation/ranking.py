"""How often noise alone changes the rank of two endpoints that are up, under ranking by latency.

It has the same two rules as :mod:`beacon.publisher.decide`, for two endpoints that pass every round. They are
written out because every round counts here and none can be skipped. tests/unit/benchmarks/test_simulation.py
compares them with the real ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from beacon.model import Policy

__all__ = ["noisy", "rank_changes"]

_CHUNK = 50_000
_POOL = 1 << 16
_RETRANSMITTED_MS = 200.0
#: The decision's own; here latencies stay above a millisecond.
_MOST_GROWTH = 3.0


def rank_changes(pairs: Iterable[tuple[float, float]], policy: Policy) -> int:
    """How often the preferred one of two endpoints changes, given both latencies (ms) of each round."""
    keep, gain, changes = 1 - policy.smoothing, 1 - policy.rank_margin, 0
    ahead: float | None = None
    behind, swapped = 0.0, False
    for one, other in pairs:
        first, second = (other, one) if swapped else (one, other)
        if ahead is None:
            ahead, behind = first, second
        else:
            ahead = keep * ahead + policy.smoothing * min(first, _MOST_GROWTH * ahead)
            behind = keep * behind + policy.smoothing * min(second, _MOST_GROWTH * behind)
        if behind < ahead * gain:
            ahead, behind, swapped = behind, ahead, not swapped
            changes += 1
    return changes


def noisy(
    rng: random.Random,
    rounds: int,
    medians_ms: tuple[float, float],
    spread: float,
    late_share: float = 0.0,
) -> Iterable[tuple[float, float]]:
    """Latencies with log-normal noise; ``spread`` is the standard deviation of the logarithm.

    ``late_share`` of the answers come 200 ms late: a lost packet, sent again after TCP's shortest timeout.
    """
    # Drawn from large samples made once, which is much quicker than drawing each from the distribution.
    factors = [rng.lognormvariate(0.0, spread) for _ in range(_POOL)]
    lates = [_RETRANSMITTED_MS if rng.random() < late_share else 0.0 for _ in range(_POOL)]
    left = rounds
    while left > 0:
        size = min(left, _CHUNK)
        left -= size
        one, other = rng.choices(factors, k=size), rng.choices(factors, k=size)
        late, later = rng.choices(lates, k=size), rng.choices(lates, k=size)
        for first, second, delay, delayed in zip(one, other, late, later, strict=True):
            yield medians_ms[0] * first + delay, medians_ms[1] * second + delayed
