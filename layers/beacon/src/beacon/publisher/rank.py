"""The order of the endpoints in a document. Pure.

Those that are in come first, and among them, group after group:

1. those that have been up for longer than the failback hold, by the policy's ranking: ``priority`` keeps the
   configured order; ``latency`` starts from the last order and lets an endpoint pass the one before it only
   for a gain above the margin;
2. those that came up less than the hold ago, the earliest first, and those that no round has seen yet: they
   are candidates, but preferred only if there is no other;
3. those that wait their turn to leave;

then those that are out. During the hold clients stay where they are, so an endpoint that fails again within
it moves none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from beacon.model import Effective, EndpointState, Forced, Observed, Policy

__all__ = ["rank", "rank_when_empty"]


def rank(
    states: Sequence[EndpointState], *, regions: Sequence[str], policy: Policy, now: datetime
) -> list[EndpointState]:
    """``states``, which are in the last order, by the module's rules; ``regions`` is the configured order."""
    ranked = list(states)
    if policy.ranking == "priority":
        ranked.sort(key=lambda state: regions.index(state.region))
    else:
        _sort_by_latency(ranked, policy)
    # Stable: within a group the order found above remains.
    return sorted(ranked, key=lambda state: _group(state, policy, now))


def rank_when_empty(states: Sequence[EndpointState]) -> list[EndpointState]:
    """Up, then drained but up, then the rest, each in the last order: for when all would be out."""
    return sorted(states, key=_group_when_empty)


def _group(state: EndpointState, policy: Policy, now: datetime) -> tuple[int, datetime]:
    if state.effective is Effective.OUT:
        return 3, now
    if state.wants_out:
        return 2, now
    if state.observed is Observed.UNKNOWN or state.observed_since is None:
        return 1, now
    # A clock that was set back ends the hold: the endpoint does not wait for it to catch up.
    if timedelta(0) <= now - state.observed_since < timedelta(seconds=policy.failback_hold_s):
        return 1, state.observed_since
    return 0, now


def _group_when_empty(state: EndpointState) -> int:
    if state.observed is Observed.UP:
        return 1 if state.forced is Forced.DRAIN else 0
    return 2


def _sort_by_latency(states: list[EndpointState], policy: Policy) -> None:
    """Let an endpoint pass its predecessor for a gain above the margin; without both latencies they stay."""
    for _ in states:
        moved = False
        for index in range(len(states) - 1):
            ahead, behind = states[index], states[index + 1]
            if ahead.latency_ms is None or behind.latency_ms is None:
                continue
            if behind.latency_ms < ahead.latency_ms * (1 - policy.rank_margin):
                states[index], states[index + 1] = behind, ahead
                moved = True
        if not moved:
            return
