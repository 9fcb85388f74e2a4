"""When a login is tried and what its failure is worth: each row of the module's table."""

import re
from collections.abc import Callable

import pytest

import beacon.dsql.login_watch
from beacon.dsql.login_watch import PATIENCE_S, LoginWatch
from beacon.model import Observation, ProbeReport
from beacon.outcome import ProbeOutcome, Reason, outcome_of

ANSWERED = ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 4.0), {})
NOW = 10_000.0


def watch(*, patience_s: float = PATIENCE_S, speed: float = 1.0) -> LoginWatch:
    """A watch whose last login was 50 s ago, so that the next one is due."""
    made = LoginWatch(lambda low, high: (low + high) / 2, patience_s=patience_s, speed=speed)
    made.succeeded(NOW - 50)
    assert made.is_due(NOW)
    return made


def said(report: ProbeReport) -> tuple[ProbeOutcome, str, str | None]:
    return report.observation.outcome, report.observation.reason, report.observation.warning


@pytest.mark.parametrize(
    "reason",
    [
        reason
        for reason in Reason
        if outcome_of(reason) is ProbeOutcome.FAIL
        and reason not in {Reason.TIMEOUT, Reason.TOO_MANY_CONNECTIONS}
    ],
)
def test_a_login_that_fails_is_a_failure_with_its_reason_and_stays_due(reason: Reason) -> None:
    """Also where it was opened before its time, because the open session was slow."""
    logins = watch()
    logins.succeeded(NOW - 1)
    report = logins.weigh(ANSWERED, reason, "28000", NOW)
    assert said(report) == (ProbeOutcome.FAIL, reason.value, None)
    assert report.observation.sqlstate == "28000"
    assert logins.is_due(NOW)


def test_too_many_connections_are_a_warning_and_put_the_next_login_off() -> None:
    """A herd needs no further login, and the intents that were read stay in the report."""
    logins = watch()
    report = logins.weigh(ANSWERED, Reason.TOO_MANY_CONNECTIONS, "53400", NOW)
    assert said(report) == (ProbeOutcome.PASS, "ok", "too_many_connections")
    assert report.intents == {}
    assert not logins.is_due(NOW + 29)
    assert logins.is_due(NOW + 45)


def test_a_silent_login_that_was_not_due_proves_nothing() -> None:
    """It was opened because the open session was slow, and had less than its time."""
    logins = watch()
    logins.succeeded(NOW - 1)
    assert logins.weigh(ANSWERED, Reason.TIMEOUT, None, NOW) == ANSWERED
    assert not logins.silent


@pytest.mark.parametrize(
    ("after_s", "outcome"), [(0.0, ProbeOutcome.PASS), (14.9, ProbeOutcome.PASS), (15.0, ProbeOutcome.FAIL)]
)
def test_silence_is_a_warning_for_as_long_as_the_patience_lasts(
    after_s: float, outcome: ProbeOutcome
) -> None:
    """Counted from the first login that was due and silent."""
    logins = watch()
    assert said(logins.weigh(ANSWERED, Reason.TIMEOUT, None, NOW)) == (ProbeOutcome.PASS, "ok", "slow_login")
    assert logins.silent
    report = logins.weigh(ANSWERED, Reason.TIMEOUT, None, NOW + after_s)
    assert report.observation.outcome is outcome
    assert logins.is_due(NOW + after_s)


def test_a_login_that_succeeds_ends_the_silence() -> None:
    """The next silence has its own patience."""
    logins = watch()
    logins.weigh(ANSWERED, Reason.TIMEOUT, None, NOW)
    logins.succeeded(NOW + 10)
    assert not logins.silent
    assert not logins.is_due(NOW + 39)
    report = logins.weigh(ANSWERED, Reason.TIMEOUT, None, NOW + 60)
    assert report.observation.outcome is ProbeOutcome.PASS


@pytest.mark.parametrize(("jitter", "due_s"), [(min, 30.0), (max, 45.0)])
def test_a_login_is_due_30_to_45_s_after_the_last_one(
    jitter: Callable[[float, float], float], due_s: float
) -> None:
    """By chance, and the first one at once: the sandbox has none yet."""
    logins = LoginWatch(jitter, patience_s=PATIENCE_S, speed=1.0)
    assert logins.is_due(0.0)
    logins.succeeded(NOW)
    assert not logins.is_due(NOW + due_s - 0.1)
    assert logins.is_due(NOW + due_s)


@pytest.mark.parametrize(("after_s", "outcome"), [(1.4, ProbeOutcome.PASS), (1.5, ProbeOutcome.FAIL)])
def test_a_quicker_lab_has_less_patience(after_s: float, outcome: ProbeOutcome) -> None:
    """Everything but a probe's deadline is shorter there."""
    logins = watch(speed=10.0)
    logins.weigh(ANSWERED, Reason.TIMEOUT, None, NOW)
    assert logins.weigh(ANSWERED, Reason.TIMEOUT, None, NOW + after_s).observation.outcome is outcome


def test_a_failure_keeps_the_intents_that_were_read() -> None:
    """A drain that the open session has just read must be remembered."""
    assert watch().weigh(ANSWERED, Reason.REFUSED, None, NOW).intents == {}
    assert watch(patience_s=0.0).weigh(ANSWERED, Reason.TIMEOUT, None, NOW).intents == {}


def test_too_many_connections_end_a_silence() -> None:
    """The server spoke: one slow login in the herd that follows has its own patience."""
    logins = watch()
    logins.weigh(ANSWERED, Reason.TIMEOUT, None, NOW)
    logins.weigh(ANSWERED, Reason.TOO_MANY_CONNECTIONS, "53300", NOW + 1)
    assert not logins.silent
    report = logins.weigh(ANSWERED, Reason.TIMEOUT, None, NOW + 50)
    assert said(report) == (ProbeOutcome.PASS, "ok", "slow_login")


def test_without_patience_the_first_silence_fails() -> None:
    """The publisher rechecks what fails."""
    report = watch(patience_s=0.0).weigh(ANSWERED, Reason.TIMEOUT, None, NOW)
    assert said(report) == (ProbeOutcome.FAIL, "timeout", None)


@pytest.mark.parametrize("reason", [Reason.NO_CREDENTIALS, Reason.CONFIGURATION, Reason.INTERNAL])
def test_a_fault_of_ours_is_a_warning(reason: Reason) -> None:
    """The open session answered."""
    assert said(watch().weigh(ANSWERED, reason, None, NOW)) == (ProbeOutcome.PASS, "ok", reason.value)


def test_a_warning_that_is_there_already_stays() -> None:
    """Unreadable intents are the greater worry."""
    unreadable = ProbeReport(Observation(ProbeOutcome.PASS, Reason.OK, 4.0, warning=Reason.INTENT_UNREADABLE))
    report = watch().weigh(unreadable, Reason.TOO_MANY_CONNECTIONS, "53400", NOW)
    assert said(report) == (ProbeOutcome.PASS, "ok", "intent_unreadable")


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_login_is_due_within_the_promised_minute_whatever_the_jitter(share: float) -> None:
    """30 to 45 s after the last one leave a checker 15 s to come by; a lab at speed 10 has a tenth of it."""
    for speed in (1.0, 10.0):
        logins = LoginWatch(lambda low, high: low + share * (high - low), patience_s=PATIENCE_S, speed=speed)
        logins.succeeded(NOW)
        assert not logins.is_due(NOW + 29.9 / speed)
        assert logins.is_due(NOW + 45.0 / speed)


def test_the_documented_table_has_the_rows_that_are_tested() -> None:
    """A new row needs a test here."""
    rows = re.findall(r"  (pass|fail)\b", beacon.dsql.login_watch.__doc__ or "")
    assert rows == ["fail", "pass", "pass", "pass", "fail", "pass"]
