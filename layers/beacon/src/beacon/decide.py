"""Decide from a round of observations what routing may use. Pure: no I/O, no clock, no randomness.

The rules, in the order in which they are applied:

1. **Observer self-doubt.** When the last observation of every endpoint in a round is a fail, the observer may
   be the one that is cut off: observed states, forced states and order stay as they were; the document says
   ``frozen`` with note ``all_failed``.
2. **Unknown is not unhealthy.** An ``unknown`` or missing observation changes nothing.
3. **Hysteresis**, one step per observation (``n`` counts the contradicting ones in a row):

   ========  ===========  =====================================
   observed  observation  becomes
   ========  ===========  =====================================
   up        pass         up, n = 0
   up        fail         up, n + 1; at ``fall``: down, n = 0
   down      fail         down, n = 0
   down      pass         down, n + 1; at ``rise``: up, n = 0
   unknown   pass         up, n = 0
   unknown   fail         unknown, n + 1; at ``fall``: down, n = 0
   any       unknown      as it was
   ========  ===========  =====================================

4. **Forced wins over observed.** A valid ``drain`` puts a Region out. Intents that could not be read keep the
   last that were. Whether an intent is still valid was judged by the database.
5. **Velocity.** At most one endpoint goes from in to out per round, a drained one first; others wait their
   turn with reason ``deferred``, ranked behind all that may stay.
6. **Never empty.** If none were left, all are in, ranked: up, then drained but up, then the rest in the last
   order; the document says ``frozen`` with note ``would_be_empty``.
7. **Ranking** among those that are in: ``priority`` keeps the configured order; ``latency`` starts from the
   last order and lets an endpoint pass the one before it only for a gain above the margin.
8. **Epochs rise strictly**, and follow the clock in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from beacon.model import (
    MAX_LATENCY_MS,
    Change,
    Document,
    Effective,
    Endpoint,
    EndpointState,
    Forced,
    Intent,
    Observation,
    Observed,
    Outcome,
)
from beacon.settings import Policy

__all__ = ["ALL_FAILED", "WOULD_BE_EMPTY", "Decision", "Subject", "decide", "step"]

ALL_FAILED = "all_failed"
WOULD_BE_EMPTY = "would_be_empty"
_NO_DATA = "no_data"
_DEFERRED = "deferred"
_DRAINED = "drained"


@dataclass(frozen=True, slots=True)
class Subject:
    """Who decides about what: the observer's Region and the configured endpoints, in order of priority."""

    service: str
    target: str
    observer: str
    endpoints: tuple[Endpoint, ...]
    valid_for_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Decision:
    """The new document, and what it changes about each endpoint."""

    document: Document
    changes: tuple[Change, ...]


def decide(
    previous: Document | None,
    observations: Mapping[str, Sequence[Observation]],
    intents: Mapping[str, Intent] | None,
    *,
    now: datetime,
    policy: Policy,
    subject: Subject,
) -> Decision:
    """Apply the module's rules to one round.

    ``observations`` holds each Region's observations of this round, oldest first; ``intents`` is ``None``
    when they could not be read. ``now`` is UTC.
    """
    # A document says milliseconds; so what is kept in memory equals what is read back.
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    before = _last_states(previous, subject, now)
    doubtful = all(_failed(observations.get(state.region, ())) for state in before)
    if doubtful:
        states, note = before, ALL_FAILED
    else:
        observed = [_observe(state, observations.get(state.region, ()), policy) for state in before]
        forced = [_force(state, intents) for state in observed]
        states, note = _route(forced)
        # Where all are candidates only because none would be left, their last order says more than a rank.
        states = sorted(states, key=_group_when_empty) if note else _rank(states, policy, subject)
    by_region = {state.region: state for state in before}
    states = [_dated(by_region[state.region], state, now) for state in states]
    document = Document(
        service=subject.service,
        target=subject.target,
        observer=subject.observer,
        epoch=max(previous.epoch + 1 if previous else 1, int(now.timestamp() * 1000)),
        as_of=now,
        valid_until=now + timedelta(seconds=subject.valid_for_s),
        endpoints=tuple(states),
        frozen=bool(note),
        note=note,
    )
    return Decision(document, _changes(previous, document))


def step(state: Observed, streak: int, outcome: Outcome, policy: Policy) -> tuple[Observed, int]:
    """One row of the hysteresis table: the state and its count after one more observation."""
    if outcome is Outcome.UNKNOWN:
        return state, streak
    if outcome is Outcome.PASS:
        if state is not Observed.DOWN:
            return Observed.UP, 0
        return (Observed.UP, 0) if streak + 1 >= policy.rise else (Observed.DOWN, streak + 1)
    if state is Observed.DOWN:
        return Observed.DOWN, 0
    return (Observed.DOWN, 0) if streak + 1 >= policy.fall else (state, streak + 1)


def _last_states(previous: Document | None, subject: Subject, now: datetime) -> list[EndpointState]:
    """The configured endpoints in the last known order; new ones come last, unknown and in."""
    order = [state.region for state in previous.endpoints] if previous else []
    position = {region: index for index, region in enumerate(order)}
    # sorted() is stable: endpoints that are new keep the configured order among themselves.
    endpoints = sorted(subject.endpoints, key=lambda endpoint: position.get(endpoint.region, len(order)))
    states = [_last_state(endpoint, previous, now) for endpoint in endpoints]
    if all(state.effective is Effective.OUT for state in states):
        # The endpoints that were in are configured no more.
        states = [replace(state, effective=Effective.IN) for state in states]
    return states


def _last_state(endpoint: Endpoint, previous: Document | None, now: datetime) -> EndpointState:
    known = previous.state_of(endpoint.region) if previous else None
    if known is not None and (known.host, known.port) == (endpoint.host, endpoint.port):
        return known
    return EndpointState(
        region=endpoint.region,
        host=endpoint.host,
        port=endpoint.port,
        observed=Observed.UNKNOWN,
        forced=None,
        effective=Effective.IN,
        reason=_NO_DATA,
        since=now,
    )


def _failed(observations: Sequence[Observation]) -> bool:
    return bool(observations) and observations[-1].outcome is Outcome.FAIL


def _observe(state: EndpointState, observations: Sequence[Observation], policy: Policy) -> EndpointState:
    observed, streak, reason, latency_ms = state.observed, state.streak, state.reason, state.latency_ms
    for observation in observations:
        observed, streak = step(observed, streak, observation.outcome, policy)
        if observation.outcome is not Outcome.UNKNOWN:
            reason = observation.reason
        if observation.latency_ms is not None:
            latency_ms = _smoothed(latency_ms, observation.latency_ms, policy)
    return replace(state, observed=observed, streak=streak, reason=reason, latency_ms=latency_ms)


def _smoothed(old_ms: float | None, new_ms: float, policy: Policy) -> float:
    new_ms = min(new_ms, MAX_LATENCY_MS)
    if old_ms is None:
        return new_ms
    return old_ms + policy.smoothing * (new_ms - old_ms)


def _force(state: EndpointState, intents: Mapping[str, Intent] | None) -> EndpointState:
    if intents is None:
        return state
    intent = intents.get(state.region)
    return replace(state, forced=intent.forced if intent else None)


def _wants_out(state: EndpointState) -> bool:
    return state.forced is Forced.DRAIN or state.observed is Observed.DOWN


def _route(states: Sequence[EndpointState]) -> tuple[list[EndpointState], str]:
    """Set each effective state by rules 4 to 6; the note says why the round is frozen, if it is."""
    if all(_wants_out(state) for state in states):
        return [replace(state, effective=Effective.IN) for state in states], WOULD_BE_EMPTY
    leaving = [state for state in states if _wants_out(state) and state.effective is Effective.IN]
    # min() takes the first of equals: among drained ones, and among failed ones, the last order decides.
    first = min(leaving, key=lambda state: state.forced is not Forced.DRAIN, default=None)
    return [_routed(state, may_leave=state is first) for state in states], ""


def _routed(state: EndpointState, *, may_leave: bool) -> EndpointState:
    if not _wants_out(state):
        return replace(state, effective=Effective.IN)
    if state.effective is Effective.IN and not may_leave:
        return replace(state, reason=_DEFERRED)
    reason = _DRAINED if state.forced is Forced.DRAIN else state.reason
    return replace(state, effective=Effective.OUT, reason=reason)


def _rank(states: Sequence[EndpointState], policy: Policy, subject: Subject) -> list[EndpointState]:
    ranked = list(states)
    if policy.ranking == "priority":
        place = {endpoint.region: index for index, endpoint in enumerate(subject.endpoints)}
        ranked.sort(key=lambda state: place[state.region])
    else:
        _sort_by_latency(ranked, policy)
    # Stable: within each group the order found above remains.
    return sorted(ranked, key=_group)


def _group(state: EndpointState) -> int:
    if state.effective is Effective.OUT:
        return 2
    # One that waits its turn to leave must not become the preferred one meanwhile.
    return 1 if _wants_out(state) else 0


def _group_when_empty(state: EndpointState) -> int:
    if state.observed is Observed.UP:
        return 1 if state.forced is Forced.DRAIN else 0
    return 2


def _sort_by_latency(states: list[EndpointState], policy: Policy) -> None:
    """Let an endpoint pass its predecessor for a gain above the margin; without both latencies they stay."""
    for _ in states:
        for index in range(len(states) - 1):
            ahead, behind = states[index], states[index + 1]
            if ahead.latency_ms is None or behind.latency_ms is None:
                continue
            if behind.latency_ms < ahead.latency_ms * (1 - policy.rank_margin):
                states[index], states[index + 1] = behind, ahead


def _dated(before: EndpointState, after: EndpointState, now: datetime) -> EndpointState:
    return after if after.effective is before.effective else replace(after, since=now)


def _changes(previous: Document | None, document: Document) -> tuple[Change, ...]:
    changes = []
    for after in document.endpoints:
        before = previous.state_of(after.region) if previous else None
        if before is None or _visible(before) != _visible(after):
            changes.append(Change(after.region, before, after, _explain(before, after, document.note)))
    return tuple(changes)


def _visible(state: EndpointState) -> tuple[object, ...]:
    return (state.host, state.observed, state.forced, state.effective)


def _explain(before: EndpointState | None, after: EndpointState, note: str) -> str:
    if before is None:
        return f"first seen: observed {after.observed.value}"
    parts = []
    if before.host != after.host:
        parts.append("has a new host name")
    if before.observed is not after.observed:
        parts.append(f"observed {before.observed.value} -> {after.observed.value} ({after.reason})")
    if before.forced is not after.forced:
        parts.append("drained by an operator" if after.forced else "released by an operator")
    if before.effective is not after.effective:
        parts.append("taken out" if after.effective is Effective.OUT else "back in")
    if note:
        parts.append(f"frozen: {note}")
    return ", ".join(parts)
