"""The course of `beacon database`: look, show, ask once, carry out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console

from beacon_cli.errors import ExitCode, FailedError, WrongUseError
from beacon_cli.locate import locate
from beacon_cli.looking import require_credentials
from beacon_cli.options import Options
from beacon_cli.schema.form import database_json
from beacon_cli.schema.state import DatabaseState, Standing
from beacon_cli.schema.telling import end_line, item_line, made_line, question, state_lines
from beacon_cli.schema.work import carry_out, examine
from beacon_cli.sessions import Sessions

__all__ = ["run_apply", "run_plan"]

_SETTLED = {Standing.THERE, Standing.ALSO_THERE}


def run_plan(options: Options, operator_arns: Sequence[str]) -> ExitCode:
    """Show what is there and what is missing; change nothing."""
    state = examine(_sessions(options), operator_arns)
    if options.json:
        print(json.dumps(database_json(state, "plan")))
    else:
        _print(state_lines(state))
    return ExitCode.DONE


def run_apply(options: Options, operator_arns: Sequence[str], *, yes: bool) -> ExitCode:
    """Make what is missing, after one question."""
    if options.json and not yes:
        raise WrongUseError("--json asks no question: add --yes, or use plan to change nothing")
    sessions = _sessions(options)
    state = examine(sessions, operator_arns)
    if not options.json:
        _print(state_lines(state))
    if state.missing and not state.differing and not yes:
        _confirm(state)
    try:
        done = carry_out(sessions, state, lambda item: None if options.json else _print([made_line(item)]))
    except KeyboardInterrupt:
        raise FailedError(
            "interrupted. What is made stays, and the next run continues", "beacon database plan"
        ) from None
    if options.json:
        print(json.dumps(database_json(done.state, "apply", done.made)))
    elif done.made:
        left = [item_line(item) for item in done.state.items if item.standing not in _SETTLED]
        _print([*left, end_line(done.state)])
    return ExitCode.DONE


def _sessions(options: Options) -> Sessions:
    sessions = Sessions(locate(options), options.profile, patient=True)
    if sessions.fleet.lab is None:
        require_credentials(sessions)
    return sessions


def _confirm(state: DatabaseState) -> None:
    if not sys.stdin.isatty():
        raise WrongUseError("there is no terminal to confirm on: add --yes")
    try:
        answer = input(f"{question(state)} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise FailedError("not confirmed. Nothing has changed")


def _print(lines: Sequence[str]) -> None:
    console = Console(highlight=False)
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
