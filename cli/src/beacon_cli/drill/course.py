"""The course of `beacon drill`: plan, confirmation, run, and the files; and drawing a report again."""

from __future__ import annotations

import contextlib
import getpass
import json
import secrets
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from beacon_cli.drill.breaks import Order, break_for
from beacon_cli.drill.form import report_json, report_of
from beacon_cli.drill.junit import junit_of
from beacon_cli.drill.kinds import kind_of
from beacon_cli.drill.page import html_of
from beacon_cli.drill.plan import Plan, make_plan
from beacon_cli.drill.report import Outcome, Report, outcome_of, reasons
from beacon_cli.drill.run import Run, signals_set
from beacon_cli.drill.telling import end_lines, plan_json, plan_lines, refusal
from beacon_cli.errors import CommandError, ExitCode, FailedError, RefusedError, WrongUseError
from beacon_cli.looking import look_for
from beacon_cli.options import Options
from beacon_cli.sessions import Sessions

__all__ = ["Files", "Wishes", "carry_out", "replay"]


@dataclass(frozen=True, slots=True)
class Files:
    """Where a report goes."""

    folder: Path
    html: Path | None = None
    junit: Path | None = None

    def write(self, report: Report) -> list[Path]:
        """Write all of them; return their paths. Raises :class:`FailedError`."""
        report = report_of(report_json(report))  # what a replay draws, with its rounded figures
        stem = self.folder / report.id
        texts = {
            stem.with_suffix(".json"): json.dumps(report_json(report), indent=1) + "\n",
            self.html or stem.with_suffix(".html"): html_of(report),
        }
        if self.junit:
            texts[self.junit] = junit_of(report)
        return _write(texts)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a drill is given."""

    by: str
    lasts: str = ""
    actor: str = ""
    plan: bool = False
    yes: bool = False


def carry_out(region: str, wishes: Wishes, files: Files, options: Options, within_s: float) -> ExitCode:
    """Run a drill, print its course, and return how it ended; raises :class:`CommandError`."""
    kind = kind_of(wishes.by)
    if options.json and not (wishes.plan or wishes.yes):
        raise WrongUseError("--json asks no question: add --yes, or --plan to change nothing")
    actor = wishes.actor.strip() or _user()
    console = Console(highlight=False, quiet=options.json)
    try:
        plan = make_plan(look_for(options, within_s), region, kind, wishes.lasts)
        _print(console, plan_lines(plan, actor))
        _confirm(plan, wishes, console, options)
        if wishes.plan:
            return ExitCode.DONE
        _prepare(files)
    except KeyboardInterrupt:
        raise FailedError("interrupted. Nothing has changed") from None
    except CommandError as error:
        if error.command is not None and error.command.startswith("beacon "):
            error.command = f"{error.command} {options.repeated()}".rstrip()
        raise
    report = _run(plan, actor, console, options)
    written = files.write(report)
    return _end(report, written, console, options)


def _run(plan: Plan, actor: str, console: Console, options: Options) -> Report:
    # Sessions of their own: the looks are short, and what changes something is patient.
    fleet = look_for(options).sessions.fleet
    patient = Sessions(fleet, options.profile, patient=True)
    made = f"drill-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    order = Order(plan.region, plan.kind, plan.limit_s, actor, made, plan.template)
    ended = threading.Event()

    def say(line: str) -> None:
        # A terminal that has gone takes no line, and must not keep the repair from being done.
        with contextlib.suppress(OSError):
            _print(console, [line])

    with signals_set(ended):
        run = Run(Sessions(fleet, options.profile), plan, made, actor, break_for(patient, order), say, ended)
        return run()


def _confirm(plan: Plan, wishes: Wishes, console: Console, options: Options) -> None:
    """Raise where the drill is refused or not confirmed; print a plan that ends here."""
    if wishes.plan or plan.objections:
        if options.json:
            print(json.dumps(plan_json(plan)), flush=True)
        if plan.objections:
            raise RefusedError(refusal(plan), "beacon explain")
        _print(console, ["Nothing has changed: this is the plan."])
        return
    if wishes.yes:
        return
    if not sys.stdin.isatty():
        raise WrongUseError("there is no terminal to confirm on: add --yes")
    try:
        answer = input(f"Break {plan.region} by {plan.kind.name}? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise FailedError("not confirmed. Nothing has changed")


def _end(report: Report, written: list[Path], console: Console, options: Options) -> ExitCode:
    with contextlib.suppress(OSError):
        _print(console, [*end_lines(report), f"report: {', '.join(str(path) for path in written)}"])
        if options.json:
            print(json.dumps(report_json(report)), flush=True)
    if outcome_of(report) is Outcome.PASSED:
        return ExitCode.DONE
    against = reasons(report)
    more = f" and {len(against) - 1} more" if len(against) > 1 else ""
    raise FailedError(
        f"the drill of {report.region} {_ended(report)}: {against[0]}{more}",
        f"beacon drill --replay {written[0]}",
    )


def _ended(report: Report) -> str:
    return "was ended early" if outcome_of(report) is Outcome.INTERRUPTED else "failed"


def replay(path: Path, html: Path | None, junit: Path | None, options: Options) -> ExitCode:
    """Draw the report in ``path`` again; the exit code is that of its drill."""
    try:
        report = report_of(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise WrongUseError(f"the report {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongUseError(f"{path} is no report of a drill: {error!r}") from error
    texts = {html or path.with_suffix(".html"): html_of(report)}
    if junit:
        texts[junit] = junit_of(report)
    written = _write(texts)
    return _end(report, written, Console(highlight=False, quiet=options.json), options)


def _write(texts: dict[Path, str]) -> list[Path]:
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise FailedError(f"{path} cannot be written: {error.strerror}") from error
    return list(texts)


def _prepare(files: Files) -> None:
    """Raise :class:`WrongUseError` where the report could not be written afterwards."""
    for folder in {files.folder, *(path.parent for path in (files.html, files.junit) if path)}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            trial = folder / f".beacon-{secrets.token_hex(4)}"
            trial.touch()
            trial.unlink()
        except OSError as error:
            raise WrongUseError(f"no report can be written to {folder}: {error.strerror}") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise WrongUseError("this machine's user has no name: give one with --actor") from error


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
