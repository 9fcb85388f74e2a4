"""Whether to drain a Region or to release it, in words, and the command where it may run now. Pure.

======================================================  =====================================================
what is known                                           what is said
======================================================  =====================================================
a Region in trouble that is drained already             that; a second drain would replace the first one
one in trouble, and another one is known to serve       the command, and when the drain ends
one in trouble, and no other one is known to serve      not to drain
a drained Region whose own document observes it up,     to release it, and the command
without an alarm and a commit that failed
any other drained Region                                to release it when it is repaired
======================================================  =====================================================
"""

from __future__ import annotations

import shlex
from datetime import timedelta

from beacon.model import Forced, Observed
from beacon_cli.situation.finding import clock
from beacon_cli.situation.model import RegionSituation, Situation, known

__all__ = ["drain_advice", "is_drained", "release_advice", "release_command", "serves"]

#: How long a drain lasts that the runbook starts.
_MINUTES = 60
#: Alarms that a drain turns on by itself.
_OF_A_DRAIN = ("-drained-too-long", "-unhealthy", "-checkers-disagree")


def is_drained(situation: Situation, region: str) -> bool:
    """Whether ``region`` is drained: by the database or, where that is not known, by a document."""
    forced = known(situation.forced)
    if forced is not None:
        row = forced.of(region)
        return row is not None and bool(row.forced)
    return any(
        state is not None and state.forced is Forced.DRAIN
        for one in situation.regions
        if (published := known(one.document))
        for state in [published.document.state_of(region)]
    )


def serves(situation: Situation, region: str) -> bool:
    """Whether ``region`` is known to serve: checkers find it healthy, and it is not drained.

    A check that is disabled or inverted, or that no checker reports on, proves nothing.
    """
    report = known(situation.region(region).check)
    if report is None or report.check.disabled or report.check.inverted or not report.tally.known:
        return False
    return report.healthy is True and not is_drained(situation, region)


def drain_advice(situation: Situation, region: str, reason: str) -> tuple[str, str]:
    """The module's table: a sentence, and the command or nothing."""
    if is_drained(situation, region):
        return "It is drained already.", ""
    if not any(serves(situation, one.region) for one in situation.regions if one.region != region):
        return "Do not drain: no other Region is known to serve.", ""
    ends = clock(situation.at + timedelta(minutes=_MINUTES), situation.at)
    command = _command(situation, "drain", region, f"--for {_MINUTES}m", reason)
    return f"A drain started now ends by itself at {ends} ({_MINUTES} min).", command


def release_advice(situation: Situation, region: str) -> tuple[str, str]:
    """What to do about the drain of ``region``: a sentence, and the command or nothing."""
    if _looks_repaired(situation, situation.region(region)):
        return "It looks repaired: release it.", release_command(situation, region)
    return "Release it when it is repaired.", ""


def _looks_repaired(situation: Situation, one: RegionSituation) -> bool:
    """Whether its own document observes it up, without an alarm and without a commit that failed lately.

    What is not known counts as not repaired; a canary that is off does not count.
    """
    published, alarms, canary = known(one.document), known(one.alarms), known(one.canary)
    if published is None or published.stale(situation.at) or alarms is None:
        return False
    own = published.document.state_of(one.region)
    writes = one.canary is None or (canary is not None and canary.failed == 0)
    troubled = any(alarm.state == "ALARM" and not alarm.name.endswith(_OF_A_DRAIN) for alarm in alarms)
    return own is not None and own.observed is Observed.UP and writes and not troubled


def release_command(situation: Situation, region: str) -> str:
    """The command that ends the drain of ``region``."""
    return _command(situation, "release", region, "", "repaired")


def _command(situation: Situation, name: str, region: str, lasts: str, reason: str) -> str:
    """The command as it works on this deployment."""
    words = ["beacon", name, region, lasts, f"--reason {shlex.quote(reason)}", situation.where]
    return " ".join(word for word in words if word)
