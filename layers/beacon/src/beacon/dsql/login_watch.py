"""When a login is tried although a session is open, and what its failure is worth. Pure: no I/O, no clock.

A session that is open says nothing about logins, and every connection of an application begins with one. So a
login is tried 30 to 45 s after the last one, whatever the open session says. When the new connection gives no
answer while the open session does:

=============================================  ==========================================================
the new connection                             what the probe makes of it
=============================================  ==========================================================
is refused, rejected, reset or fails in        fail, with its reason
another way
meets too many connections (53300, 53400)      pass with the warning ``too_many_connections``: the herd that
                                               reconnects after a failover must not take the survivor down
gives no answer, and no login was due          pass: it was opened because the open session was slow
gives no answer, and a login was due:          pass with the warning ``slow_login``: the next probe tries
logins have given none for less than 15 s      again with nearly the whole deadline, and an idle cluster
                                               has the time to wake
gives no answer, and a login was due:          fail ``timeout``
logins have given none for 15 s or longer
fails by a fault of ours                       pass with the reason as the warning
=============================================  ==========================================================

A failure keeps the intents that the open session has read. It leaves the login due, so that each probe tries
until one succeeds. After too many connections the next login is due 30 to 45 s later, because a herd needs no
further login. They also are an answer: the 15 s start again. The 15 s (:data:`PATIENCE_S`) are the health
function's. The publisher's are 0 s, because it rechecks a failure before it believes it.

The open session is never closed for its age: where no login succeeds it is all there is, and DSQL itself ends
it after 60 minutes, which is no verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from beacon.model import Observation, ProbeReport
from beacon.outcome import ProbeOutcome, Reason, outcome_of

__all__ = ["PATIENCE_S", "LoginWatch"]

#: For how long logins may be silent while the open session answers.
PATIENCE_S: Final = 15.0
#: How long after a login the next one is tried: a checker's request follows within the promised 60 s.
_EVERY_S: Final = (30.0, 45.0)


class LoginWatch:
    """Watches one endpoint's logins; instants are of a clock that counts frozen time, in seconds."""

    def __init__(self, jitter: Callable[[float, float], float], *, patience_s: float, speed: float) -> None:
        self._jitter = jitter
        self._patience_s = patience_s / speed
        self._speed = speed
        self._due_at = 0.0
        self._silent_since: float | None = None

    @property
    def silent(self) -> bool:
        """Whether the last login that was due got no answer."""
        return self._silent_since is not None

    def succeeded(self, now: float) -> None:
        """A new connection logged in and answered."""
        self._put_off(now)
        self._silent_since = None

    def is_due(self, now: float) -> bool:
        """Whether the next probe tries a login, whatever the open session says."""
        return now >= self._due_at

    def weigh(self, report: ProbeReport, reason: Reason, sqlstate: str | None, now: float) -> ProbeReport:
        """What the open session's ``report`` is worth when a new connection ended with ``reason``."""
        warning = reason
        if reason is Reason.TOO_MANY_CONNECTIONS:
            self._put_off(now)
            self._silent_since = None
        elif reason is Reason.TIMEOUT:
            if not self.is_due(now):
                return report
            self._silent_since = now if self._silent_since is None else self._silent_since
            if now - self._silent_since >= self._patience_s:
                return _failed(report, reason, None)
            warning = Reason.SLOW_LOGIN
        elif outcome_of(reason) is ProbeOutcome.FAIL:
            self._due_at = now
            return _failed(report, reason, sqlstate)
        if report.observation.warning is not None:
            return report
        return replace(report, observation=replace(report.observation, warning=warning))

    def _put_off(self, now: float) -> None:
        self._due_at = now + self._jitter(*_EVERY_S) / self._speed


def _failed(report: ProbeReport, reason: Reason, sqlstate: str | None) -> ProbeReport:
    return replace(report, observation=Observation(ProbeOutcome.FAIL, reason, sqlstate=sqlstate))
