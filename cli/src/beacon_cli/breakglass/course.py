"""The course of `beacon break-glass`: look, weigh, ask once, change the health check, and follow DNS.

Nothing here needs the database or the Region's own APIs. Route 53's API is needed, and it is in us-east-1.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from beacon_cli.breakglass.change import change_check
from beacon_cli.breakglass.rules import Glass, Weighed, weigh_glass
from beacon_cli.errors import CommandError, ExitCode, FailedError, WrongUseError
from beacon_cli.intents.follow import Follower, follower_of, limit_s
from beacon_cli.intents.movement import DNS, Place
from beacon_cli.intents.rules import Request
from beacon_cli.looking import look_for
from beacon_cli.options import Options
from beacon_cli.readers.assemble import Look
from beacon_cli.situation.finding import span
from beacon_cli.situation.model import Situation
from beacon_cli.situation.settings import targets_of

__all__ = ["Consent", "break_glass"]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Consent:
    """How far an operator lets the change go."""

    plan: bool = False
    yes: bool = False
    anyway: bool = False


def break_glass(glass: Glass, region: str, consent: Consent, options: Options, within_s: float) -> ExitCode:
    """Do it, print its course, and return how it ended; raises :class:`CommandError` as `drain` does."""
    if options.json and not (consent.plan or consent.yes):
        raise WrongUseError("--json asks no question: add --yes, or --plan to change nothing")
    look = look_for(options, within_s)
    look.sessions.fleet.site(region)
    try:
        course = _Course(look, glass, region, consent, options)
        return course.run()
    except CommandError as error:
        if error.command is not None and error.command.startswith("beacon "):
            error.command = f"{error.command} {options.repeated()}".rstrip()
        raise


class _Course:
    def __init__(self, look: Look, glass: Glass, region: str, consent: Consent, options: Options) -> None:
        self._look, self._glass, self._region = look, glass, region
        self._consent, self._options = consent, options
        self._console = Console(highlight=False, quiet=options.json)

    def run(self) -> ExitCode:
        """The whole course."""
        try:
            situation, weighed = self._weighed()
            self._show(situation, weighed)
            self._require(weighed)
            if self._consent.plan:
                self._print_json(weighed, "planned")
                self._print(["Nothing has changed: this is the plan."])
                return ExitCode.DONE
            if not self._consent.yes:
                self._confirm()
                # The Region, or the other one, may have failed while the question stood.
                situation, weighed = self._weighed()
                self._require(weighed)
        except KeyboardInterrupt:
            raise FailedError("interrupted. Nothing has changed") from None
        assert weighed.report is not None  # noqa: S101 - without one there is an objection
        try:
            change_check(self._look.sessions, weighed.report.check, self._glass)
        except KeyboardInterrupt:
            raise FailedError("interrupted: the health check may have changed", "beacon status") from None
        return self._follow(situation, weighed)

    def _weighed(self) -> tuple[Situation, Weighed]:
        situation = self._look()
        return situation, weigh_glass(situation, self._region, self._glass, anyway=self._consent.anyway)

    def _require(self, weighed: Weighed) -> None:
        if weighed.against is not None:
            self._print_json(weighed, "refused")
            raise weighed.against

    def _show(self, situation: Situation, weighed: Weighed) -> None:
        self._print(
            [
                f"{situation.service}: {self._glass.value} the health check of {self._region}",
                *(f"-  {one}" for one in weighed.sentences),
                *(f"?  Not known: {why}." for why in situation.unknown()),
            ]
        )

    def _confirm(self) -> None:
        if not sys.stdin.isatty():
            raise WrongUseError("there is no terminal to confirm on: add --yes")
        try:
            answer = input(f"{self._glass.value.capitalize()} the health check of {self._region}? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in {"y", "yes"}:
            raise FailedError("not confirmed. Nothing has changed")

    def _follow(self, situation: Situation, weighed: Weighed) -> ExitCode:
        assert weighed.report is not None  # noqa: S101 - as above
        inverted = self._glass is Glass.INVERT
        self._print([f"The health check of {self._region} is {'inverted' if inverted else 'as it was'}."])
        after = replace(weighed.report, check=replace(weighed.report.check, inverted=inverted))
        if not inverted and not after.healthy:
            self._print_json(weighed, "followed")
            self._print([f"{self._region} fails, so it is out of DNS until it is repaired."])
            return ExitCode.DONE
        follower = self._follower(situation, after.check)
        began = time.monotonic()
        try:
            with self._console.status("waiting for DNS"):
                for news in follower.look(began, began + limit_s(follower.places)):
                    self._print([_line(one) for one in news])
        except KeyboardInterrupt:
            self._print_json(weighed, "interrupted", follower.places)
            raise FailedError(f"interrupted. {self._holds()}", self._undo()) from None
        if follower.followed:
            self._print_json(weighed, "followed", follower.places)
            self._print([f"{self._holds()}. {self._reminder()}"])
            return ExitCode.DONE
        self._print_json(weighed, "not_followed", follower.places)
        text = f"{self._holds()}, and DNS has not followed in {span(limit_s(follower.places))}"
        raise FailedError(text, self._undo())

    def _follower(self, situation: Situation, check: Any) -> Follower:  # noqa: ANN401 - a Check
        """A follower of DNS alone: SSM does not move. Route 53 documents no time that an inversion takes."""
        sessions = self._look.sessions
        request = Request(self._glass.intent, self._region, "", "")
        targets = targets_of(sessions.fleet, self._look.parameters())
        follower = follower_of(sessions, request, situation, targets, (Place(DNS),))
        follower.check = check
        return follower

    def _holds(self) -> str:
        if self._glass is Glass.INVERT:
            return (
                f"the health check of {self._region} is inverted: DNS sends no client there while it passes"
            )
        return f"the health check of {self._region} is no longer inverted"

    def _reminder(self) -> str:
        if self._glass is Glass.RESTORE:
            return "SSM was never changed"
        return f"Do not forget: beacon break-glass restore {self._region}"

    def _undo(self) -> str:
        return (
            f"beacon break-glass restore {self._region}" if self._glass is Glass.INVERT else "beacon status"
        )

    def _print(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._console.print(line, soft_wrap=True, markup=False)

    def _print_json(self, weighed: Weighed, outcome: str, places: tuple[Place, ...] = ()) -> None:
        if not self._options.json:
            return
        seen = places[0] if places else None
        made = {
            "schema": SCHEMA,
            "service": self._look.sessions.fleet.service,
            "action": self._glass.value,
            "region": self._region,
            "outcome": outcome,
            "refusal": weighed.against.sentence if weighed.against else None,
            "remaining": [
                {"region": one.region, "standing": one.standing.value, "why": one.why}
                for one in weighed.remaining
            ],
            "sentences": list(weighed.sentences),
            "dns_after_s": None if seen is None or seen.after_s is None else round(seen.after_s, 1),
        }
        print(json.dumps(made), flush=True)


def _line(place: Place) -> str:
    if place.after_s is None:
        return f"?  DNS cannot be followed: {place.why}."
    return f"-  DNS has followed after {place.after_s:.1f} s."
