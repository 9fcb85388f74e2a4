"""The course of `beacon deploy`: look, show the steps, carry them out one by one, and look again at each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from beacon_cli.configuration.samconfig import GLOBAL, read_deployments
from beacon_cli.deployment.facts import Facts, busy_stacks, checks_of, read_facts, standing_now
from beacon_cli.deployment.sam_file import sam_file
from beacon_cli.deployment.steps import Step, Work, plan
from beacon_cli.errors import ExitCode, FailedError, WrongUseError
from beacon_cli.fleet import Fleet
from beacon_cli.lab_ready import fleet_of_lab
from beacon_cli.locate import fleet_of_file
from beacon_cli.looking import require_credentials
from beacon_cli.options import Options
from beacon_cli.schema.work import carry_out, examine
from beacon_cli.sessions import Sessions

__all__ = ["Order", "deploy_all", "fleet_of"]

#: How often Route 53 is asked while a step waits: it takes five calls a second for a whole account.
_POLL_S = 5.0
#: After so long a step says why it still waits, and again after as long.
_TELL_S = 30.0
#: Exit codes of scripts/deploy-region after which the stack is deployed; 5: it does not serve yet.
_DEPLOYED, _NOT_SERVING = 0, 5
#: How much of a failed program's output is shown.
_SHOWN_LINES = 25
_PLACES = ("First", "Second", "Third")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line says."""

    regions: tuple[str, ...]
    """Empty: all of them."""
    go: bool = False
    operator_arns: tuple[str, ...] = ()
    build: bool = True
    wait_s: float = 900.0
    verbose: bool = False


def fleet_of(options: Options) -> Fleet:
    """The deployment of the file; with ``--lab`` its Regions are those of the lab."""
    fleet = fleet_of_file(options.config_file)
    if options.lab is not None:
        found = fleet_of_lab(options.lab)
        fleet = replace(fleet, lab=found.lab, operator_role=found.operator_role)
    return replace(fleet, operator_role=options.db_user) if options.db_user else fleet


def deploy_all(order: Order, options: Options) -> ExitCode:
    """Carry the order out, or show its steps where it does not say ``go``."""
    fleet = fleet_of(options)
    for region in order.regions:
        fleet.site(region)
    sessions = Sessions(fleet, options.profile, patient=True)
    if fleet.lab is None:
        require_credentials(sessions)
    say = _complain if options.json else _print
    if order.go:
        _await_quiet(sessions, order, say)
    facts = read_facts(sessions, order.operator_arns)
    steps = plan(facts.regions, order.regions or fleet.regions, with_global=_wants_global(fleet, order))
    if not order.go:
        return _shown(steps, facts, fleet, options)
    work = _Deployment(order, options, sessions, _project(options), say)
    try:
        for number, step in enumerate(steps, 1):
            say(f"{number}/{len(steps)}  {step.words}")
            work.take(step)
    except KeyboardInterrupt:
        raise FailedError(
            "interrupted. What is deployed stays; a stack that was begun ends by itself", work.again()
        ) from None
    say(f"{fleet.service} is deployed. Next: {_status(options)}")
    if options.json:
        print(json.dumps(_form(steps, fleet, done=True)))
    return ExitCode.DONE


def _await_quiet(sessions: Sessions, order: Order, say: Say) -> None:
    """Wait while CloudFormation works on a stack, which a deployment that was cut off may have begun."""
    began, told = time.monotonic(), ""
    while busy := busy_stacks(sessions):
        words = ", ".join(f"{region} is {status}" for region, status in busy.items())
        if words != told:
            say(f"     waiting: the stack of {words}")
            told = words
        if time.monotonic() - began >= order.wait_s:
            raise FailedError(f"the stack of {words} after {order.wait_s:g} s")
        time.sleep(_POLL_S)


def _shown(steps: Sequence[Step], facts: Facts, fleet: Fleet, options: Options) -> ExitCode:
    if options.json:
        print(json.dumps(_form(steps, fleet, done=False)))
        return ExitCode.DONE
    _print(f"{fleet.service}: {len(steps)} steps")
    for number, step in enumerate(steps, 1):
        _print(f"{number:3}  {step.words}")
        if step.work is Work.DATABASE and facts.database is not None:
            for item in facts.database.missing:
                _print(f"       {item.kind.value} {item.name}")
    _print("Nothing has changed. Add --go to do it; it may be cut off and started again at any step.")
    return ExitCode.DONE


def _form(steps: Sequence[Step], fleet: Fleet, *, done: bool) -> dict[str, object]:
    rows = [{"work": step.work.value, "region": step.region or None, "what": step.words} for step in steps]
    return {"schema": 1, "service": fleet.service, "done": done, "steps": rows}


def _wants_global(fleet: Fleet, order: Order) -> bool:
    # The lab's CloudFormation takes no alarm on an expression.
    return fleet.global_stack is not None and fleet.lab is None and not order.regions


def _project(options: Options) -> Path:
    """The checkout to deploy from: where the file is, or this directory."""
    for place in (options.config_file.resolve().parent, Path.cwd()):
        if (place / "template.yaml").exists() and (place / "scripts" / "deploy-region").exists():
            return place
    raise WrongUseError(
        f"neither {options.config_file.resolve().parent} nor this directory has template.yaml and scripts/:"
        " start this in a checkout of Beacon"
    )


def _status(options: Options) -> str:
    return " ".join(filter(None, ("beacon status", options.repeated())))


def _print(line: str) -> None:
    print(line, flush=True)


def _complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(slots=True)
class _Deployment:
    """Carries out one step after the other."""

    order: Order
    options: Options
    sessions: Sessions
    project: Path
    say: Say
    _built: bool = False

    def take(self, step: Step) -> None:
        """Carry out ``step``; raises :class:`~beacon_cli.errors.CommandError` with the way to continue."""
        match step.work:
            case Work.STACK:
                self._deploy(step.region, {"RoutingPolicy": "none"}, "--first", wait_s=0)
            case Work.DATABASE:
                self._prepare_database()
            case Work.PASS:
                self._await_pass(step.region)
            case Work.RECORD | Work.UPDATE:
                self._deploy(step.region, {}, wait_s=self.order.wait_s)
            case Work.GLOBAL:
                self._deploy(GLOBAL, self._global_ids(), wait_s=0)

    def _deploy(self, key: str, changes: dict[str, str], *more: str, wait_s: float) -> None:
        self._build()
        in_lab = self.sessions.fleet.lab is not None
        template = "template.yaml" if in_lab and key != GLOBAL else ""
        with sam_file(self.options.config_file, key, changes, template) as file:
            program = [
                sys.executable,
                "-m",
                "scripts.deploy_region",
                key,
                "--go",
                *more,
                "--wait",
                f"{wait_s:g}",
            ]
            code = self._run([*program, "--config-file", str(file), "--sam", _sam(self.project)])
        if code == _DEPLOYED or (code == _NOT_SERVING and wait_s == 0):
            return
        what = "it does not serve yet" if code == _NOT_SERVING else "its last line says why"
        raise FailedError(f"{key}: scripts/deploy-region ended with {code}: {what}", self.again())

    def _build(self) -> None:
        if self._built or not self.order.build or self.sessions.fleet.lab is not None:
            return
        self.say("     sam build")
        if self._run([_sam(self.project), "build"]) != 0:
            raise FailedError("`sam build` failed; what it printed says why", self.again())
        self._built = True

    def _run(self, command: Sequence[str]) -> int:
        """Run a program in the checkout, and return its exit code; what it prints is progress."""
        environment = dict(os.environ)
        lab = self.sessions.fleet.lab
        if lab is not None:
            environment = {key: value for key, value in environment.items() if not key.startswith("AWS_")}
            environment |= {
                "AWS_ENDPOINT_URL": lab.aws_url,
                "AWS_ACCESS_KEY_ID": lab.access_key_id,
                "AWS_SECRET_ACCESS_KEY": lab.secret_access_key,
                "SAM_CLI_TELEMETRY": "0",
            }
        if self.order.verbose:
            return _run_shown(command, self.project, environment, quiet=self.options.json)
        return self._run_logged(command, environment)

    def _run_logged(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run it with its lines kept back: they are shown when it fails, and the last one while it lasts."""
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
            with _started(command, self.project, environment, log) as child:
                began = time.monotonic()
                while True:
                    try:
                        code = child.wait(_TELL_S)
                        break
                    except subprocess.TimeoutExpired:
                        last = next(reversed(_lines(log)), "")
                        self.say(f"     {time.monotonic() - began:.0f} s: {last[:100]}")
            if code not in (_DEPLOYED, _NOT_SERVING):
                for line in _lines(log)[-_SHOWN_LINES:]:
                    self.say(f"     | {line}")
        return code

    def _prepare_database(self) -> None:
        state = examine(self.sessions, self.order.operator_arns)
        done = carry_out(
            self.sessions, state, lambda item: self.say(f"     made {item.kind.value} {item.name}")
        )
        if not done.made:
            self.say("     nothing was missing")

    def _await_pass(self, region: str) -> None:
        began = told = time.monotonic()
        since, shown = datetime.now(UTC), ""
        while True:
            check = checks_of(self.sessions).get(region)
            standing = standing_now(self.sessions, check, since) if check else None
            if standing is not None and standing.serving:
                self.say(f"     {region} serves: {standing.why}")
                return
            why = standing.why if standing else "it has no health check"
            now = time.monotonic()
            if why != shown and (not shown or now - told >= _TELL_S):
                self.say(f"     waiting: {why}")
                shown, told = why, now
            if now - began >= self.order.wait_s:
                log = f"/aws/lambda/{self.sessions.fleet.service}-health"
                raise FailedError(
                    f"{region} does not serve after {self.order.wait_s:g} s: {why}",
                    f"aws logs tail {log} --region {region} --since 10m",
                )
            time.sleep(min(_POLL_S, self.order.wait_s))

    def _global_ids(self) -> dict[str, str]:
        """The parameters of global.yaml: each Region's health check as Route 53 has it."""
        checks = checks_of(self.sessions)
        deployment = read_deployments(self.options.config_file)[GLOBAL]
        found = {}
        for place in _PLACES:
            region = deployment.parameters.get(f"{place}Region", "")
            if region and region not in checks:
                raise FailedError(f"{region} has no health check, which global.yaml needs", self.again())
            found[f"{place}HealthCheckId"] = checks[region].id if region else ""
        return found

    def again(self) -> str:
        """The command that continues."""
        words = ["beacon deploy", *(self.order.regions or ["--all"]), "--go", self.options.repeated()]
        return " ".join(filter(None, words))


def _started(
    command: Sequence[str], project: Path, environment: Mapping[str, str], out: IO[str] | None
) -> subprocess.Popen[bytes]:
    error = None if out is None else subprocess.STDOUT
    try:
        return subprocess.Popen(command, cwd=project, env=environment, stdout=out, stderr=error)
    except OSError as found:
        raise FailedError(f"{command[0]} cannot be started: {found.strerror}") from found


def _run_shown(command: Sequence[str], project: Path, environment: Mapping[str, str], *, quiet: bool) -> int:
    """Run it on this terminal; with ``quiet`` on standard error, because standard output holds JSON."""
    with _started(command, project, environment, sys.stderr if quiet else None) as child:
        return child.wait()


def _lines(log: IO[str]) -> list[str]:
    log.seek(0)
    return [line.rstrip() for line in log if line.strip()]


def _sam(project: Path) -> str:
    own = project / ".venv" / "bin" / "sam"
    return str(own) if own.exists() else "sam"
