"""What Route 53's checkers say of each Region."""

from __future__ import annotations

from datetime import UTC, datetime

from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.checkers import EVER, find_checks, observations_of
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import CheckReport, Fact, Known, Unknown
from beacon_cli.standing import Check, tally

__all__ = ["NAME", "CheckReader", "read_report"]

NAME = "Route 53"


class CheckReader:
    """Finds the checks, then asks for their reports: Route 53 takes five calls a second for an account.

    It finds them again after ``again_after`` looks, because an operator may have inverted one.
    """

    def __init__(self, sessions: Sessions, again_after: int = 3) -> None:
        self._sessions = sessions
        self._again_after = again_after
        self._looks = 0
        self._checks: dict[str, Check] = {}

    def read(self) -> dict[str, Fact[CheckReport]]:
        """Each Region's check, in Regions of the deployment."""
        fleet = self._sessions.fleet
        try:
            client = self._sessions.route53()
            if self._looks % self._again_after == 0 or len(self._checks) < len(fleet.regions):
                self._checks = find_checks(client, fleet.service)
            self._looks += 1
        except FAILURES as error:
            why = Unknown(sentence_of(error, NAME))
            return dict.fromkeys(fleet.regions, why)
        return {region: self._report(region) for region in fleet.regions}

    def _report(self, region: str) -> Fact[CheckReport]:
        check = self._checks.get(region)
        if check is None:
            return Unknown(f"{region} has no health check: it is not deployed, or not in this account")
        return read_report(self._sessions, check)


def read_report(sessions: Sessions, check: Check) -> Fact[CheckReport]:
    """What the checkers of ``check`` reported last: one call of Route 53."""
    try:
        seen = observations_of(sessions.route53(), check)
    except FAILURES as error:
        return Unknown(sentence_of(error, NAME))
    return Known(CheckReport(check, tally(seen, now=datetime.now(UTC), since=EVER)))
