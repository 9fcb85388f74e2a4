"""Deploy one Region, and only while every other Region is serving.

A deployment takes effect at once in its Region (docs/adr/0005-no-alias.md). If it fails, the other Regions
must carry the traffic. So this command reads their health checks from Route 53, and starts `sam deploy` only
when each of them is serving. Afterwards it waits until the checkers have seen the Region as deployed.

First it compares the stack with the file: the stack would keep a value that the file no longer names.
`global` in place of a Region deploys global.yaml, which no traffic depends on.

Without --go it changes nothing and prints what it would do.

It refuses a Region's first record until the Region itself serves. It refuses global.yaml unless each id is
that Region's own health check.

Exit codes: 0 done, or would do; 1 `sam deploy` failed; 2 wrong use, or the file is not ready; 3 refused;
4 nothing was deployed, because the change set was not executed; 5 deployed, and the Region does
not serve yet.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from beacon_cli.checkers import EVER, find_checks, standing_of
from beacon_cli.configuration.samconfig import GLOBAL, ConfigurationError, Deployment, read_deployments
from beacon_cli.standing import Standing
from scripts.aws_account import AccountError, Aws, sentence
from scripts.constraints import require_accepted
from scripts.deployed import DeploymentResult, result_of
from scripts.objections import objections
from scripts.readiness import require_ready, template_of
from scripts.sam_arguments import with_arguments
from scripts.stack import Declared, Stored, changed, kept

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

__all__ = ["main"]

_NOT_SERVING_YET = 5
_POLL_S = 5.0
_TOKEN = re.compile(r"(PathToken=)[^\s'\"]+")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # argparse would lose the arguments after `--` if they follow an option.
    end = given.index("--") if "--" in given else len(given)
    options = _parser().parse_args(given[:end])
    try:
        deployment, others = _choose(options.config_file, options.region)
        command = _command(options, deployment, given[end + 1 :])
        deployment = with_arguments(deployment, given[end + 1 :])
        declared = require_ready(deployment)
        aws = Aws(deployment)
        before = aws.stack()
        require_accepted(template_of(deployment), deployment, before)
    except ConfigurationError as error:
        _complain(str(error))
        return 2
    except AccountError as error:
        _complain(f"refused to deploy {options.region}: {error}")
        return 3
    if not (
        _may_change(deployment, before, declared)
        and (deployment.is_global or may_deploy(aws.route53, deployment, others, before, options))
        and _agrees(aws.route53, deployment, before)
    ):
        return 3
    if not options.go:
        _say(f"would run: {_shown(command)}")
        _say("nothing was changed; add --go to do it")
        return 0
    _say(f"running: {_shown(command)}")
    code = subprocess.run(command, check=False).returncode
    # During the deployment, checkers saw the old code.
    finished = datetime.now(UTC)
    result = result_of(code, before, aws)
    if result.exit_code is not None:
        _complain(result.sentence)
        return result.exit_code
    return _after(aws.route53, deployment, result, finished, options.wait)


def _choose(path: Path, region: str) -> tuple[Deployment, Collection[str]]:
    """The deployment of ``region`` and the other Regions that ``path`` deploys."""
    deployments = read_deployments(path)
    if region not in deployments:
        known = ", ".join(deployments) or "none"
        raise ConfigurationError(f"{path} has no section for {region}: it has {known}")
    return deployments[region], deployments.keys() - {region, GLOBAL}


def _command(options: argparse.Namespace, deployment: Deployment, more: Sequence[str]) -> list[str]:
    """The command that deploys: `sam deploy` of the section, with ``more`` arguments."""
    if shutil.which(options.sam) is None:
        raise ConfigurationError(f"there is no program {options.sam}: name one with --sam")
    where = ("--config-file", str(options.config_file.resolve()), "--config-env", deployment.name)
    return [options.sam, "deploy", *where, *more]


def _shown(command: Sequence[str]) -> str:
    """The command for a log: without the path token."""
    return _TOKEN.sub(r"\1***", shlex.join(command))


def _may_change(deployment: Deployment, stored: Stored | None, declared: dict[str, Declared]) -> bool:
    """Print what the deployment changes; return whether the file names every value that the stack has."""
    if stored is None or not stored.exists:
        return True
    for name, (now, then) in changed(stored, deployment.parameters, declared).items():
        _say(f"{name}: {now or 'empty'} becomes {then or 'empty'}")
    left = kept(stored, deployment.parameters, declared)
    for name, value in left.items():
        default = declared[name].default
        shown = "''" if default == "" else default
        back = "" if default is None else f', or "{name}={shown}" for the default'
        _complain(
            f"{name} is {value!r} in the stack {deployment.stack_name} and not in the file: `sam deploy`"
            f' would keep it. Write "{name}={value}" into parameter_overrides to keep it{back}'
        )
    return not left


def _agrees(client: Route53Client, deployment: Deployment, stored: Stored | None) -> bool:
    """Print what Route 53's checks have against the deployment itself; return whether that is nothing."""
    try:
        against = objections(client, deployment, stored)
    except (BotoCoreError, ClientError) as error:
        against = [f"Route 53's health checks cannot be read: {sentence(error)}"]
    for reason in against:
        _complain(f"refused to deploy {deployment.name}: {reason}")
    return not against


def may_deploy(
    client: Route53Client,
    deployment: Deployment,
    configured: Collection[str],
    stored: Stored | None,
    options: argparse.Namespace,
) -> bool:
    """Print whether the other Regions serve; return whether to continue."""
    refused = True
    missing: list[str] = []
    try:
        checks = find_checks(client, deployment.service)
        others = {region: check for region, check in checks.items() if region != deployment.region}
        standings = {region: standing_of(client, check) for region, check in others.items()}
    except (BotoCoreError, ClientError) as error:
        _complain(f"the other Regions' health checks cannot be read from Route 53: {sentence(error)}")
    else:
        for region, standing in standings.items():
            _say(f"{region}: {'serving' if standing.serving else 'NOT SERVING'}, {standing.why}")
        missing = sorted({*configured, deployment.region} - {*checks})
        for region in missing:
            _say(f"{region}: not deployed yet, it has no health check")
        refused = not all(standing.serving for standing in standings.values())
    if not options.first and (missing or stored is None or not stored.exists):
        what = f"{', '.join(missing)} without a health check" if missing else "no such stack"
        _complain(
            f"refused to deploy {deployment.region}: this account has {what}"
            f" ({deployment.stack_name}, {deployment.service})."
            " At a first deployment add --first; otherwise check profile, App and Env"
        )
        return False
    if refused and options.force is None:
        _complain(
            f"refused to deploy {deployment.region}: if the deployment fails, no Region serves."
            " Repair the other Region first, or give --force REASON"
        )
        return False
    if refused:
        _complain(f"deploying {deployment.region} although another Region is not serving: {options.force}")
    return True


def _after(
    client: Route53Client,
    deployment: Deployment,
    result: DeploymentResult,
    finished: datetime,
    wait_s: float,
) -> int:
    """Print the result of the deployment; return the exit code."""
    if result.sentence:
        _say(result.sentence)
    if deployment.is_global:
        _say(f"{deployment.stack_name}: {'deployed' if result.changed else 'as it was'}")
        return 0
    since = finished if result.changed else EVER
    return 0 if settle(client, deployment, since, wait_s) else _NOT_SERVING_YET


def settle(client: Route53Client, deployment: Deployment, since: datetime, wait_s: float) -> bool:
    """Wait until checkers have seen the Region as deployed after ``since``; return whether it serves."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            check = find_checks(client, deployment.service).get(deployment.region)
            standing = standing_of(client, check, since) if check else Standing(False, "no health check yet")
        except (BotoCoreError, ClientError) as error:
            standing = Standing(serving=False, why=f"its health check cannot be read: {sentence(error)}")
        if standing.serving:
            _say(f"{deployment.region}: deployed and serving, {standing.why}")
            return True
        if time.monotonic() >= deadline:
            _complain(
                f"{deployment.region} is deployed and not serving after {wait_s:g} s: {standing.why}."
                " At a first deployment the grants are missing, and exit code 5 is expected (docs/rollout.md)"
            )
            return False
        time.sleep(_POLL_S)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/deploy-region",
        description="Deploy one Region, and only while every other Region is serving."
        " Changes nothing without --go. Arguments after -- go to `sam deploy`.",
    )
    parser.add_argument(
        "region", metavar="REGION", type=_region, help="the Region to deploy, or global for global.yaml"
    )
    parser.add_argument(
        "--go", action="store_true", help="deploy; without --go only print what would be done"
    )
    parser.add_argument(
        "--first",
        action="store_true",
        help="a first deployment: this Region, or another in the file, has no stack or health check yet",
    )
    parser.add_argument(
        "--force",
        metavar="REASON",
        type=_reason,
        help="deploy although another Region is not serving; the reason is printed",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="how long to wait afterwards until the Region serves (default: %(default)g). With 0 it looks"
        " once, and ends with exit code 5 unless the Region serves already",
    )
    parser.add_argument(
        "--config-file",
        type=Path,
        default=Path("samconfig.toml"),
        metavar="PATH",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--sam",
        default=".venv/bin/sam" if Path(".venv/bin/sam").exists() else "sam",
        metavar="PROGRAM",
        help="default: .venv/bin/sam, else sam on the PATH",
    )
    return parser


def _region(text: str) -> str:
    if text == GLOBAL or re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not a Region")


def _reason(text: str) -> str:
    if text.strip():
        return text.strip()
    raise argparse.ArgumentTypeError("the reason is empty: give it in words")


def _say(line: str) -> None:
    print(line, flush=True)


def _complain(line: str) -> None:
    print(f"deploy-region: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
