"""Changes a health check as it was shown, once, and finds out what holds where the answer is lost.

=====================================  ==================================================================
what happens                           what it comes to
=====================================  ==================================================================
the check is not as it was shown       refused: an operator has changed it since
Route 53 takes the change              done
Route 53 says that the version is old  done where the check is as wanted, else refused: another operator
Route 53 gives no answer, or an error  done where the check is as wanted; failed where it is as before;
                                       failed, and not known, where it cannot be read
=====================================  ==================================================================

The change is sent once: a second attempt would meet the version that the first one has made.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from beacon_cli.aws_failures import FAILURES, aws_error, sentence_of
from beacon_cli.breakglass.rules import Glass
from beacon_cli.errors import CommandError, FailedError, RefusedError
from beacon_cli.sessions import Sessions
from beacon_cli.standing import Check

__all__ = ["change_check"]

_OLD_VERSION = "HealthCheckVersionMismatch"


def change_check(sessions: Sessions, check: Check, glass: Glass) -> None:
    """Invert or restore ``check`` by the module's table; raises :class:`CommandError`."""
    wanted = glass is Glass.INVERT
    try:
        now = _read(sessions, check)
    except FAILURES as error:
        raise _unchanged(error) from error
    if _standing(now) != (check.inverted, check.disabled):
        text = f"the health check of {check.region} was changed since it was shown"
        raise RefusedError(f"{text}. Nothing has changed by this command", "beacon status")
    try:
        sessions.route53(once=True).update_health_check(
            HealthCheckId=check.id, HealthCheckVersion=now["HealthCheckVersion"], Inverted=wanted
        )
    except FAILURES as error:
        _find_out(sessions, check, error, wanted=wanted)


def _find_out(sessions: Sessions, check: Check, error: Exception, *, wanted: bool) -> None:
    try:
        inverted = _standing(_read(sessions, check))[0]
    except FAILURES as second:
        text = f"{sentence_of(second, 'Route 53')}: whether the health check of {check.region} is"
        raise FailedError(
            f"{text} {'inverted' if wanted else 'restored'} is not known", "beacon status"
        ) from error
    if inverted is wanted:
        return
    if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") == _OLD_VERSION:
        text = f"another operator changed the health check of {check.region} at the same moment"
        raise RefusedError(f"{text}. Nothing has changed by this command", "beacon status") from error
    raise _unchanged(error) from error


def _unchanged(error: Exception) -> CommandError:
    found = aws_error(error, "Route 53")
    found.sentence = f"{found.sentence}. Nothing has changed"
    return found


def _read(sessions: Sessions, check: Check) -> Any:  # noqa: ANN401 - botocore's answer
    return sessions.route53().get_health_check(HealthCheckId=check.id)["HealthCheck"]


def _standing(answer: Any) -> tuple[bool, bool]:  # noqa: ANN401 - as above
    config = answer["HealthCheckConfig"]
    return bool(config.get("Inverted", False)), bool(config.get("Disabled", False))
