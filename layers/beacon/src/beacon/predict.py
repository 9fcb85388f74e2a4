"""What the settings predict: how long a change takes to reach DNS and SSM. Pure.

DNS. A checker waits the interval after each answer, so its period is the interval and what an answer takes
(Route 53 API Reference, RequestInterval). It changes its mind at the threshold-th answer in a row, which
comes between (threshold - 1) and threshold periods after the change. A check is healthy while more than 18 %
of its checkers say so. Of 16 checkers, 2 are 12.5 % and 3 are 18.75 %. So the check fails with the 14th
checker that has seen the failure, which leaves 2, and recovers with the 3rd that has seen the recovery. With
evenly spread phases the k-th of n checkers is expected at k / (n + 1) of a period.

SSM. The publisher comes by at its next tick, or sooner: a Region that stops serving starts it as soon as the
first checker has seen so. A failure is then confirmed by rechecks in the same run; an operator's intent needs
one run. A recovery is for the ticks alone: `rise` of them, and then as many as the failback hold takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["HEALTHY_SHARE_PERCENT", "Span", "Timings", "dns_after", "ssm_after"]

#: A health check is healthy when more than this share of its checkers says so (Route 53 Developer Guide, "How
#: Amazon Route 53 determines whether a health check is healthy").
HEALTHY_SHARE_PERCENT = 18


@dataclass(frozen=True, slots=True)
class Span:
    """A prediction in seconds: earliest, expected (the mean of where the phases fall) and latest."""

    earliest_s: float
    expected_s: float
    latest_s: float

    def __str__(self) -> str:
        return f"{self.earliest_s:.1f}-{self.latest_s:.1f}"


@dataclass(frozen=True, slots=True)
class Timings:
    """The settings that time depends on, after the lab's speed has been applied to the intervals."""

    interval_s: float
    threshold: int
    publish_every_s: float
    recheck_s: float
    deadline_s: float
    fall: int
    rise: int
    failback_hold_s: float
    checkers: int = 16
    #: What connecting, handshake and request take a far checker, at the most.
    distance_s: float = 0.9
    #: What the machine and the pollers of the lab may add.
    slack_s: float = 1.5


def dns_after(timings: Timings, *, failing: bool, answer_s: float) -> Span:
    """When the health check, and with it DNS, turns after a change; ``answer_s`` is what an answer takes."""
    still_healthy = timings.checkers * HEALTHY_SHARE_PERCENT // 100
    turn = timings.checkers - still_healthy if failing else still_healthy + 1
    near = timings.interval_s + answer_s
    typical = near + timings.distance_s / 2
    return Span(
        (timings.threshold - 1) * near,
        (timings.threshold - 1) * typical + turn / (timings.checkers + 1) * typical,
        timings.threshold * (near + timings.distance_s) + timings.slack_s,
    )


def ssm_after(
    timings: Timings, *, confirming: bool = False, edge: bool = False, recovering: bool = False
) -> Span:
    """When the preferred host turns.

    ``confirming``: a failure, with its rechecks; ``edge``: this Region stops serving, so that its health
    function starts the publisher; ``recovering``: after ``rise`` passes and the hold.
    """
    tick_s = timings.publish_every_s
    work_s = timings.deadline_s + (timings.fall - 1) * timings.recheck_s if confirming else 0.0
    more_ticks = timings.rise - 1 + math.ceil(timings.failback_hold_s / tick_s) if recovering else 0
    # Of evenly spread checkers the first comes by after one part in n + 1; its probe has to fail first.
    noticed_s = timings.interval_s / (timings.checkers + 1) + (timings.deadline_s if confirming else 0.0)
    soon_s = min(noticed_s, tick_s / 2) if edge else tick_s / 2
    # The lab's ticks are late by up to 5 %, so two of them can be that much closer.
    earliest_s = max(0.0, more_ticks * tick_s - 0.05 * tick_s)
    return Span(
        earliest_s + work_s,
        more_ticks * tick_s + soon_s + work_s,
        (more_ticks + 1) * tick_s + 0.05 * tick_s + work_s + timings.slack_s,
    )
