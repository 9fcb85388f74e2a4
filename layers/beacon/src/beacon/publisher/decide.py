"""Decide from a round of observations what routing may use. Pure: no I/O, no clock, no randomness.

The rules, in the order in which they are applied:

1. **Observer self-doubt.** When the last observation of every endpoint in a round is a fail, the observer may
   be the one that is cut off: observed states, forced states and order stay as they were; the document says
   ``frozen`` with note ``all_failed``.
2. **Unknown is not unhealthy.** An ``unknown`` or missing observation changes nothing.
3. **Hysteresis** (:data:`HYSTERESIS`), one step per observation:

   ========  ===========  ==========  ====================
   observed  observation  becomes     after so many in a row
   ========  ===========  ==========  ====================
   up        pass         up          1
   up        fail         down        ``fall``
   down      fail         down        1
   down      pass         up          ``rise``
   unknown   pass         up          1
   unknown   fail         down        ``fall``
   any       unknown      as it was   never
   ========  ===========  ==========  ====================

   Until then the state stays, and ``streak`` counts. A change of state, or an observation that confirms the
   present one, starts the count again at 0.

   Quick to confirm, slow to return. Every fail counts. For an endpoint that is down, **one pass a round**
   counts, and only in a round that is ``rise_apart_s`` or more after the last round whose passes counted (the
   document keeps its time as ``counted_at``). Rounds can follow each other immediately, when events have
   queued up during an outage. Without the distance, one good second would then give ``rise`` passes. The
   distance is measured from the last round that counted, not from the last round: otherwise a stream of
   rounds would keep every endpoint out.
4. **Forced wins over observed.** A valid ``drain`` puts a Region out.

   ==================  ==============================================================================
   intents             the forced state
   ==================  ==============================================================================
   read, with one      that one, until ``now`` + what was left of it by the database's clock
   read, with none     none: whether an intent is still valid was judged by the database
   could not be read   the last that was, but no longer than until its time has passed
   ==================  ==============================================================================

   An expiry that differs by less than ``SAME_EXPIRY_S`` from the one that is known is the same one.
5. **Velocity.** At most one endpoint goes from in to out per round, a drained one first; others wait their
   turn with reason ``deferred``, ranked behind all that may stay.
6. **Never empty.** If none were left, all are in, ranked: up, then drained but up, then the rest in the last
   order; the document says ``frozen`` with note ``would_be_empty``.
7. **Ranking** by ``priority`` or ``latency``. An endpoint that recovered less than ``failback_hold_s`` ago is
   in, but preferred only where there is no other (:mod:`beacon.publisher.rank`). After a drain is released
   there is no hold: an operator says when. Latencies are smoothed, and one counts as at most three times
   the smoothed one: a single late answer changes no rank.
8. **Epochs rise strictly**, and follow the clock in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

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
    Policy,
)
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.changes import SAME_EXPIRY_S, changes_between
from beacon.publisher.rank import rank, rank_when_empty

__all__ = ["ALL_FAILED", "HYSTERESIS", "WOULD_BE_EMPTY", "Decision", "Subject", "decide", "step"]

ALL_FAILED = "all_failed"
WOULD_BE_EMPTY = "would_be_empty"
#: A latency counts as so many times the smoothed one at the most, and below a millisecond they are all alike.
_MOST_GROWTH, _LEAST_MS = 3.0, 1.0


def _once(_policy: Policy) -> int:
    return 1


def _fall(policy: Policy) -> int:
    return policy.fall


def _rise(policy: Policy) -> int:
    return policy.rise


#: Rule 3: (observed, observation) -> (what it becomes, after how many such observations in a row).
HYSTERESIS: Final[Mapping[tuple[Observed, ProbeOutcome], tuple[Observed, Callable[[Policy], int]]]] = {
    (Observed.UP, ProbeOutcome.PASS): (Observed.UP, _once),
    (Observed.UP, ProbeOutcome.FAIL): (Observed.DOWN, _fall),
    (Observed.DOWN, ProbeOutcome.FAIL): (Observed.DOWN, _once),
    (Observed.DOWN, ProbeOutcome.PASS): (Observed.UP, _rise),
    (Observed.UNKNOWN, ProbeOutcome.PASS): (Observed.UP, _once),
    (Observed.UNKNOWN, ProbeOutcome.FAIL): (Observed.DOWN, _fall),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The decision's subject: the observer's Region and the configured endpoints, in order of priority."""

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
    when they could not be read. ``now`` is UTC; ``ValueError`` when it is not.
    """
    if now.utcoffset() != timedelta(0):
        raise ValueError("now must be an instant in UTC")
    # A document says milliseconds; so what is kept in memory equals what is read back.
    now = _to_ms(now)
    before = _last_states(previous, subject, now)
    counted_at = previous.counted_at if previous else None
    doubtful = all(_failed(observations.get(state.region, ())) for state in before)
    if doubtful:
        states, note = before, ALL_FAILED
    else:
        counting = _counting(counted_at, now, policy)
        counted_at = now if counting else counted_at
        observed = [
            _observe(state, observations.get(state.region, ()), policy, now, counting=counting)
            for state in before
        ]
        forced = [_force(state, intents, now) for state in observed]
        states, note = _route(forced)
        regions = [endpoint.region for endpoint in subject.endpoints]
        # Where all are candidates only because none would be left, their last order says more than a rank.
        states = rank_when_empty(states) if note else rank(states, regions=regions, policy=policy, now=now)
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
        counted_at=counted_at,
    )
    return Decision(document, changes_between(previous, document))


def step(state: Observed, streak: int, outcome: ProbeOutcome, policy: Policy) -> tuple[Observed, int]:
    """The state and its count after one more observation, by :data:`HYSTERESIS`."""
    row = HYSTERESIS.get((state, outcome))
    if row is None:
        return state, streak
    becomes, needed = row
    return (becomes, 0) if streak + 1 >= needed(policy) else (state, streak + 1)


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
        reason=Reason.NO_DATA,
        since=now,
    )


def _failed(observations: Sequence[Observation]) -> bool:
    return bool(observations) and observations[-1].outcome is ProbeOutcome.FAIL


def _counting(counted_at: datetime | None, now: datetime, policy: Policy) -> bool:
    """Whether passes of a round at ``now`` count towards a return."""
    if counted_at is None:
        return True
    # A clock that was set back must not keep every endpoint out until it has caught up.
    return not timedelta(0) <= now - counted_at < timedelta(seconds=policy.rise_apart_s)


def _observe(
    state: EndpointState,
    observations: Sequence[Observation],
    policy: Policy,
    now: datetime,
    *,
    counting: bool,
) -> EndpointState:
    observed, streak, reason, latency_ms = state.observed, state.streak, state.reason, state.latency_ms
    for observation in observations:
        returning = observed is Observed.DOWN and observation.outcome is ProbeOutcome.PASS
        if counting or not returning:
            observed, streak = step(observed, streak, observation.outcome, policy)
        counting = counting and not returning
        if observation.outcome is not ProbeOutcome.UNKNOWN:
            reason = observation.reason
        if observation.latency_ms is not None:
            latency_ms = _smoothed(latency_ms, observation.latency_ms, policy)
    return replace(
        state,
        observed=observed,
        streak=streak,
        reason=reason,
        latency_ms=latency_ms,
        observed_since=state.observed_since if observed is state.observed else now,
    )


def _smoothed(old_ms: float | None, new_ms: float, policy: Policy) -> float:
    if old_ms is None:
        return min(new_ms, MAX_LATENCY_MS)
    # A lost packet makes an answer 200 ms late; unclipped, one of them would change the rank for minutes.
    new_ms = min(new_ms, MAX_LATENCY_MS, _MOST_GROWTH * max(old_ms, _LEAST_MS))
    return old_ms + policy.smoothing * (new_ms - old_ms)


def _force(state: EndpointState, intents: Mapping[str, Intent] | None, now: datetime) -> EndpointState:
    known = state.forced_until
    if intents is None and (known is None or now < known):
        return state
    intent = intents.get(state.region) if intents else None
    if intent is None:
        return replace(state, forced=None, forced_until=None)
    return replace(state, forced=intent.forced, forced_until=_expiry(intent, known, now))


def _expiry(intent: Intent, known: datetime | None, now: datetime) -> datetime | None:
    if intent.remaining_s is None:
        return None
    try:
        found = _to_ms(now + timedelta(seconds=intent.remaining_s))
    except OverflowError:
        # Beyond the year 9999, which PostgreSQL's timestamps allow.
        return None
    same = known is not None and abs(found - known) < timedelta(seconds=SAME_EXPIRY_S)
    return known if same else found


def _to_ms(instant: datetime) -> datetime:
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _route(states: Sequence[EndpointState]) -> tuple[list[EndpointState], str]:
    """Set each effective state by rules 4 to 6; the note says why the round is frozen, if it is."""
    if all(state.wants_out for state in states):
        return [replace(state, effective=Effective.IN) for state in states], WOULD_BE_EMPTY
    leaving = [state for state in states if state.wants_out and state.effective is Effective.IN]
    # min() takes the first of equals: among drained ones, and among failed ones, the last order decides.
    first = min(leaving, key=lambda state: state.forced is not Forced.DRAIN, default=None)
    return [_routed(state, may_leave=state is first) for state in states], ""


def _routed(state: EndpointState, *, may_leave: bool) -> EndpointState:
    if not state.wants_out:
        return replace(state, effective=Effective.IN)
    if state.effective is Effective.IN and not may_leave:
        return replace(state, reason=Reason.DEFERRED)
    reason = Reason.DRAINED if state.forced is Forced.DRAIN else state.reason
    return replace(state, effective=Effective.OUT, reason=reason)


def _dated(before: EndpointState, after: EndpointState, now: datetime) -> EndpointState:
    return after if after.effective is before.effective else replace(after, since=now)
