"""Changing a health check once: each row of the table of change.py."""

from __future__ import annotations

from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from beacon_cli.breakglass.change import change_check
from beacon_cli.breakglass.rules import Glass
from beacon_cli.errors import FailedError, RefusedError
from beacon_cli.sessions import Sessions
from beacon_cli.standing import Check

CHECK = Check("id-1", "us-east-1")
SILENT = ReadTimeoutError(endpoint_url="https://route53.amazonaws.com")
OLD = ClientError({"Error": {"Code": "HealthCheckVersionMismatch", "Message": "x"}}, "UpdateHealthCheck")
THROTTLED = ClientError({"Error": {"Code": "Throttling", "Message": "x"}}, "UpdateHealthCheck")


class Route53:
    """A check with a version. ``fails`` are raised by the update, before or after it took effect."""

    def __init__(
        self, fails: Exception | None = None, *, applies: bool = True, blind_after: bool = False
    ) -> None:
        self.config: dict[str, Any] = {}
        self.version, self.calls, self.once = 3, list[dict[str, object]](), list[bool]()
        self.fails, self.applies, self.blind_after = fails, applies, blind_after

    def route53(self, *, once: bool = False) -> Route53:
        self.once.append(once)
        return self

    def get_health_check(self, **_: object) -> dict[str, Any]:
        if self.calls and self.blind_after:
            raise SILENT
        return {"HealthCheck": {"HealthCheckConfig": self.config, "HealthCheckVersion": self.version}}

    def update_health_check(self, **given: object) -> None:
        self.calls.append(given)
        assert self.once[-1], "a change is sent once"
        if self.applies:
            self.config = {"Inverted": given["Inverted"]}
        if self.fails is not None:
            raise self.fails


def changed(route53: Route53, glass: Glass = Glass.INVERT, check: Check = CHECK) -> Route53:
    change_check(cast("Sessions", route53), check, glass)
    return route53


def test_a_check_is_changed_under_the_version_that_was_read() -> None:
    """So that Route 53 refuses it where another operator was quicker."""
    done = changed(Route53())
    assert done.calls == [{"HealthCheckId": "id-1", "HealthCheckVersion": 3, "Inverted": True}]


@pytest.mark.parametrize("config", [{"Inverted": True}, {"Disabled": True}])
def test_a_check_that_is_not_as_it_was_shown_is_left_alone(config: dict[str, Any]) -> None:
    """It was inverted or disabled while the question stood."""
    route53 = Route53()
    route53.config = config
    with pytest.raises(RefusedError, match="was changed since it was shown"):
        changed(route53)
    assert route53.calls == []


def test_a_restore_sends_the_other_value() -> None:
    """The check is inverted, and was shown so."""
    route53 = Route53()
    route53.config = {"Inverted": True}
    changed(route53, Glass.RESTORE, Check("id-1", "us-east-1", inverted=True))
    assert route53.calls[0]["Inverted"] is False


@pytest.mark.parametrize("error", [SILENT, OLD, THROTTLED])
def test_a_change_whose_answer_is_lost_is_found_again(error: Exception) -> None:
    """It took effect, whatever the answer says."""
    assert changed(Route53(error)).config == {"Inverted": True}


def test_another_operator_at_the_same_moment_wins() -> None:
    """Route 53 refuses the old version, and the check is not as wanted."""
    with pytest.raises(RefusedError, match="another operator changed the health check of us-east-1"):
        changed(Route53(OLD, applies=False))


@pytest.mark.parametrize(("error", "says"), [(SILENT, "does not answer"), (THROTTLED, "throttled")])
def test_a_change_that_took_no_effect_says_that_nothing_has_changed(error: Exception, says: str) -> None:
    """The check was read again, so this is known."""
    with pytest.raises(FailedError, match=says) as ended:
        changed(Route53(error, applies=False))
    assert "Nothing has changed" in ended.value.sentence


def test_what_cannot_be_read_again_is_not_known() -> None:
    """Neither done nor undone is said."""
    with pytest.raises(FailedError, match="whether the health check of us-east-1 is inverted is not known"):
        changed(Route53(SILENT, blind_after=True))
