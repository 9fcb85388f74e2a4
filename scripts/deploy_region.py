"""Deploy one Region, and only while every other Region is serving.

A deployment takes effect at once in its Region (docs/adr/0005-no-alias.md). So the others have to carry the
traffic, should it go wrong: this asks Route 53 how their health checks stand, and starts `sam deploy` only
when each of them is serving. Afterwards it waits until the checkers have seen the Region as it is now.

Without --go it changes nothing and prints what it would do.

Exit codes: 0 done, or would do; 1 `sam deploy` failed, or the Region does not serve afterwards; 2 wrong use;
3 refused.
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

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from scripts.samconfig import ConfigurationError, Deployment, read_deployments
from scripts.standing import Check, Observation, Standing, judge, region_of

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

__all__ = ["main"]

_EVER = datetime.min.replace(tzinfo=UTC)
_POLL_S = 5.0
_TOKEN = re.compile(r"(PathToken=)[^\s'\"]+")
# Route 53's API takes five calls a second for the whole account.
_CONFIG = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Not left to argparse, which loses them behind an option.
    end = given.index("--") if "--" in given else len(given)
    options = _parser().parse_args(given[:end])
    try:
        deployment, others = _choose(options.config_file, options.region)
        command = _command(options, deployment, given[end + 1 :])
    except ConfigurationError as error:
        _complain(str(error))
        return 2
    client: Route53Client = boto3.client("route53", region_name="us-east-1", config=_CONFIG)
    if not may_deploy(client, deployment, others, options.force):
        return 3
    if not options.go:
        _say(f"would run: {_shown(command)}")
        _say("nothing was changed; add --go to do it")
        return 0
    _say(f"running: {_shown(command)}")
    if subprocess.run(command, check=False).returncode != 0:
        _complain("`sam deploy` failed: leave the other Regions as they are until this one is mended")
        return 1
    # What a checker saw while the deployment was under way was the old code.
    deployed = datetime.now(UTC)
    return 0 if settle(client, deployment, deployed, options.wait) else 1


def _choose(path: Path, region: str) -> tuple[Deployment, Collection[str]]:
    """The deployment of ``region`` and the other Regions that ``path`` deploys."""
    deployments = read_deployments(path)
    if region not in deployments:
        known = ", ".join(deployments) or "none"
        raise ConfigurationError(f"{path} has no section for {region}: it has {known}")
    return deployments[region], deployments.keys() - {region}


def _command(options: argparse.Namespace, deployment: Deployment, more: Sequence[str]) -> list[str]:
    """What deploys: `sam deploy` of the section, with ``more`` arguments."""
    if shutil.which(options.sam) is None:
        raise ConfigurationError(f"there is no program {options.sam}: name one with --sam")
    where = ("--config-file", str(options.config_file.resolve()), "--config-env", deployment.name)
    return [options.sam, "deploy", *where, *more]


def _shown(command: Sequence[str]) -> str:
    """The command as a log may hold it: without the path token."""
    return _TOKEN.sub(r"\1***", shlex.join(command))


def may_deploy(
    client: Route53Client, deployment: Deployment, configured: Collection[str], force: str | None
) -> bool:
    """Say how the other Regions stand; return whether to go on."""
    refused = True
    try:
        checks = find_checks(client, deployment.service)
        others = {region: check for region, check in checks.items() if region != deployment.region}
        standings = {region: standing_of(client, check) for region, check in others.items()}
    except (BotoCoreError, ClientError) as error:
        _complain(f"Route 53 cannot be asked how the other Regions stand: {_brief(error)}")
    else:
        for region, standing in standings.items():
            _say(f"{region}: {'serving' if standing.serving else 'NOT SERVING'}, {standing.why}")
        for region in sorted({*configured} - {*checks}):
            _say(f"{region}: not deployed yet, it has no health check")
        refused = not all(standing.serving for standing in standings.values())
    if refused and force is None:
        _complain(
            f"refused to deploy {deployment.region}: if that goes wrong, nobody serves."
            " Mend the other Region first, or give --force REASON"
        )
        return False
    if refused:
        _complain(f"deploying {deployment.region} all the same: {force}")
    return True


def find_checks(client: Route53Client, service: str) -> dict[str, Check]:
    """The service's health check of each Region, told by the string that it searches for."""
    found = {}
    for page in client.get_paginator("list_health_checks").paginate():
        for row in page["HealthChecks"]:
            config = row["HealthCheckConfig"]
            region = region_of(config.get("SearchString", ""), service)
            if region is not None:
                disabled, inverted = config.get("Disabled", False), config.get("Inverted", False)
                found[region] = Check(row["Id"], region, disabled=disabled, inverted=inverted)
    return found


def standing_of(client: Route53Client, check: Check, since: datetime = _EVER) -> Standing:
    """How a Region stands now, going by what checkers have seen after ``since``."""
    answer = client.get_health_check_status(HealthCheckId=check.id)
    reports = [row["StatusReport"] for row in answer["HealthCheckObservations"]]
    seen = [Observation(report["Status"], report["CheckedTime"]) for report in reports]
    return judge(check, seen, now=datetime.now(UTC), since=since)


def settle(client: Route53Client, deployment: Deployment, since: datetime, wait_s: float) -> bool:
    """Wait until checkers have seen the Region as deployed after ``since``; return whether it serves."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            check = find_checks(client, deployment.service).get(deployment.region)
            standing = standing_of(client, check, since) if check else Standing(False, "no health check yet")
        except (BotoCoreError, ClientError) as error:
            standing = Standing(serving=False, why=f"Route 53 cannot be asked: {_brief(error)}")
        if standing.serving:
            _say(f"{deployment.region}: deployed and serving, {standing.why}")
            return True
        if time.monotonic() >= deadline:
            _complain(
                f"{deployment.region} is deployed and not serving after {wait_s:g} s: {standing.why}."
                " At a first deployment the grants are missing still: see docs/rollout.md"
            )
            return False
        time.sleep(_POLL_S)


def _brief(error: Exception) -> str:
    """The service's error code or the client's error type: neither repeats a request."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/deploy-region",
        description="Deploy one Region, and only while every other Region is serving."
        " Changes nothing without --go. What follows -- is passed on to `sam deploy`.",
    )
    parser.add_argument("region", metavar="REGION", type=_region, help="the Region to deploy")
    parser.add_argument("--go", action="store_true", help="do it; without this only say what would be done")
    parser.add_argument(
        "--force", metavar="REASON", type=_reason, help="deploy though another Region is not serving"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="how long the Region may take to be serving afterwards (default: %(default)g)",
    )
    parser.add_argument(
        "--config-file",
        type=Path,
        default=Path("samconfig.toml"),
        metavar="PATH",
        help="default: %(default)s",
    )
    parser.add_argument("--sam", default="sam", metavar="PROGRAM", help="default: %(default)s")
    return parser


def _region(text: str) -> str:
    if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not a Region")


def _reason(text: str) -> str:
    if text.strip():
        return text.strip()
    raise argparse.ArgumentTypeError("a reason is wanted, in words")


def _say(line: str) -> None:
    print(line, flush=True)


def _complain(line: str) -> None:
    print(f"deploy-region: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
