"""The course of a drain and of a release: plan, confirmation, commit, publishers, and what follows."""

from __future__ import annotations

import getpass
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console

from beacon_cli.errors import CommandError, ExitCode, FailedError, WrongUseError
from beacon_cli.intents.follow import Follower, follower_of, limit_s
from beacon_cli.intents.form import change_json
from beacon_cli.intents.movement import Place, at_next_tick
from beacon_cli.intents.plan import Plan, make_plan
from beacon_cli.intents.publishers import start_publishers
from beacon_cli.intents.rules import Action, Request
from beacon_cli.intents.telling import end_lines, holds, move_line, plan_lines, question, start_lines
from beacon_cli.intents.writer import Writer, Written
from beacon_cli.looking import look_for
from beacon_cli.options import Options
from beacon_cli.readers.assemble import Look
from beacon_cli.situation.finding import joined, span
from beacon_cli.situation.model import Fact, Known

__all__ = ["Consent", "carry_out"]


@dataclass(frozen=True, slots=True)
class Consent:
    """How far an operator lets the change go."""

    plan: bool = False
    """Show it, and change nothing."""
    yes: bool = False
    """It is confirmed already."""
    anyway: bool = False
    """Drain although no other Region is seen up."""


def carry_out(request: Request, consent: Consent, options: Options, within_s: float) -> ExitCode:
    """Do ``request``, print its course, and return how it ended.

    Raises :class:`~beacon_cli.errors.CommandError` where nothing was changed, or that is not known.
    """
    request = _complete(request)
    if options.json and not (consent.plan or consent.yes):
        raise WrongUseError("--json asks no question: add --yes, or --plan to change nothing")
    look = look_for(options, within_s)
    try:
        return _carry_out(look, request, consent, options)
    except CommandError as error:
        if error.command is not None and error.command.startswith("beacon "):
            error.command = f"{error.command} {options.repeated()}".rstrip()
        raise


def _carry_out(look: Look, request: Request, consent: Consent, options: Options) -> ExitCode:
    try:
        plan = make_plan(look, request, anyway=consent.anyway)
        course = _Course(look, plan, Console(highlight=False, quiet=options.json), options)
        if consent.plan:
            return course.show()
        course.confirm(yes=consent.yes)
    except KeyboardInterrupt:
        raise FailedError("interrupted. Nothing has changed") from None
    return course.change()


def _complete(request: Request) -> Request:
    """``request`` with its actor; raises :class:`WrongUseError` where a text is missing."""
    if not request.reason.strip():
        raise WrongUseError("--reason is empty: say why, for those who read it later")
    actor = request.actor.strip()
    if not actor:
        try:
            actor = getpass.getuser()
        except (OSError, KeyError, ImportError) as error:
            raise WrongUseError("this machine's user has no name: give one with --actor") from error
    return Request(request.action, request.region, request.reason.strip(), actor, request.lasts_s)


@dataclass(slots=True)
class _Course:
    look: Look
    plan: Plan
    console: Console
    options: Options
    _written: Written | None = None
    _started: dict[str, Fact[None]] = field(default_factory=dict)

    def show(self) -> ExitCode:
        """The plan alone."""
        against = self.plan.against
        self._print(plan_lines(self.plan))
        self._print_json((), "refused" if against else "planned")
        if against is not None:
            raise against
        self._print(["Nothing has changed: this is the plan."])
        return ExitCode.DONE

    def confirm(self, *, yes: bool) -> None:
        """Show the plan; raise where it is refused or not confirmed."""
        self._print(plan_lines(self.plan))
        if self.plan.against is not None:
            self._print_json((), "refused")
            raise self.plan.against
        if yes:
            return
        if not sys.stdin.isatty():
            raise WrongUseError("there is no terminal to confirm on: add --yes")
        try:
            answer = input(f"{question(self.plan.request)} [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in {"y", "yes"}:
            raise FailedError("not confirmed. Nothing has changed")

    def change(self) -> ExitCode:
        """Commit, start the publishers, and follow."""
        self._written = written = self._commit()
        began, places = time.monotonic(), self.plan.places
        sessions, request = self.look.sessions, self.plan.request
        follower = follower_of(sessions, request, self.plan.situation, self.plan.targets, places)
        try:
            self._started = start_publishers(sessions)
            late = [region for region, fact in self._started.items() if not isinstance(fact, Known)]
            follower.places = at_next_tick(places, late, self.plan.situation.timings)
            self._print(start_lines(request, written, self._started))
            self._follow(follower, began)
        except KeyboardInterrupt:
            return self._end(follower.places, "interrupted", ExitCode.FAILED)
        if follower.followed:
            return self._end(follower.places, "followed", ExitCode.DONE)
        return self._end(follower.places, "not_followed", ExitCode.FAILED)

    def _commit(self) -> Written:
        writer = Writer(self.look.sessions, self.plan.request, self.plan.seen)
        try:
            return writer()
        except KeyboardInterrupt:
            found = writer.find()
            request, now = self.plan.request, datetime.now(UTC)
            if found is None:
                text = f"interrupted. The database has no such {request.action.value}"
                raise FailedError(text, "beacon status") from None
            raise FailedError(f"interrupted. {holds(request, found, now)}", self._undo()) from None

    def _follow(self, follower: Follower, began: float) -> None:
        limit = limit_s(follower.places)
        with self.console.status("") as shown:
            for news in follower.look(began, began + limit):
                self._print([move_line(one) for one in news])
                waiting = joined(one.name for one in follower.open) if follower.open else ""
                shown.update(f"waiting for {waiting}: {span(time.monotonic() - began)} of {span(limit)}")

    def _end(self, places: tuple[Place, ...], outcome: str, code: ExitCode) -> ExitCode:
        assert self._written is not None  # noqa: S101 - it ends after the commit
        lines = end_lines(self.plan.request, self._written, places, datetime.now(UTC))
        self._print_json(places, outcome)
        if code is ExitCode.DONE:
            self._print(lines)
            return code
        said = "interrupted. " if outcome == "interrupted" else ""
        raise FailedError(said + " ".join(lines).rstrip("."), self._undo())

    def _undo(self) -> str:
        """The command that shows what holds or, after a drain, that ends it."""
        request = self.plan.request
        if request.action is Action.RELEASE:
            return "beacon status"
        return f"beacon release {request.region} --reason TEXT"

    def _print(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.console.print(line, soft_wrap=True, markup=False)

    def _print_json(self, places: tuple[Place, ...], outcome: str) -> None:
        if self.options.json:
            made = change_json(self.plan, self._written, self._started, places, outcome=outcome)
            print(json.dumps(made), flush=True)
