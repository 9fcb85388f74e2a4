"""``beacon-lab up``: a lab that stays until a signal ends it, and what to try with it."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beacon_lab.settings import LabSettings
from beacon_lab.start import running_lab

__all__ = ["in_an_empty_account", "stay_up", "what_to_try"]


async def stay_up(settings: LabSettings, say: Callable[[str], None], stop: asyncio.Event) -> int:
    """Run a lab until ``stop`` is set; return the exit code."""
    async with running_lab(settings, say, stop) as lab:
        ready = lab.ready()
        lines = in_an_empty_account(ready) if settings.empty else what_to_try(ready, settings.state_dir)
        for line in lines:
            say(line)
        await stop.wait()
        say("going down")
    say("everything has ended; nothing is left behind")
    return 0


def in_an_empty_account(ready: dict[str, Any]) -> list[str]:
    """What to do first in a lab where nothing is deployed."""
    return [
        "",
        f"The account is empty: linked clusters in {' and '.join(ready['regions'])}, a zone, no stack.",
        "In another shell, in an empty directory or the project's:",
        "",
        f"  export PATH={Path(sys.executable).parent}:$PATH",
        "  beacon init --lab",
        "  beacon deploy --lab --all --go",
        "  beacon status --lab",
        "",
        "Ctrl-C takes it down.",
    ]


def what_to_try(ready: dict[str, Any], state_dir: object) -> list[str]:
    """Lines that can be pasted into a shell, for a lab that ``ready`` describes."""
    first, last = next(iter(ready["regions"])), next(reversed(ready["regions"]))
    region, keys, dns = ready["regions"][first], ready["credentials"], ready["dns"]
    # Through the peer's endpoint: the first Region's is the one that these lines freeze and drain.
    dsql = ready["regions"][last]["dsql"]
    app, env = ready["ssm"]["endpoint"].split("/")[1:3]
    where = f"--state-dir {shlex.quote(str(state_dir))} " if state_dir is not None else ""
    change = (
        f"timeout 30 psql -w -v service={app}-{env} -v target=dsql -v region={first}"
        """ -v reason='a try' -v actor="$(id -un)\""""
    )
    return [
        "",
        "The lab is up. In another shell:",
        "",
        f"  export PATH={Path(sys.executable).parent}:$PATH   # aws and beacon-lab",
        "  # only in this shell: the AWS CLI here is version 1 and talks to the lab",
        "",
        "  # the AWS APIs",
        f"  export AWS_ENDPOINT_URL={ready['aws_endpoint_url']} AWS_DEFAULT_REGION={first}",
        f"  export AWS_ACCESS_KEY_ID={keys['access_key_id']}",
        f"  export AWS_SECRET_ACCESS_KEY={keys['secret_access_key']}",
        f"  aws ssm get-parameter --name {ready['ssm']['endpoint']} --query Parameter.Value --output text",
        f"  aws ssm get-parameter --name {ready['ssm']['document']} --query Parameter.Value --output text",
        "  aws route53 list-health-checks --query 'HealthChecks[].[Id,HealthCheckConfig.SearchString]'",
        "",
        "  # what DNS says, to a client anywhere and to one near each Region",
        f"  dig @{dns['host']} -p {dns['port']} {ready['record_name']} +short",
        *(
            f"  dig @{near['host']} -p {near['port']} {ready['record_name']} +short   # near {name}"
            for name, near in dns["by_region"].items()
        ),
        "",
        "  # what Route 53's checkers ask",
        f"  curl -i --cacert {ready['ca_file']} {region['health_url']}",
        "",
        f"  # in the project's directory: log in through {last}, with a token that is good for 15 minutes",
        f"  export PGHOST={dsql['host']} PGHOSTADDR={dsql['address']} PGPORT={dsql['port']}",
        f"  export PGUSER={dsql['user']} PGDATABASE={dsql['database']} PGCONNECT_TIMEOUT=5",
        f"  export PGSSLMODE=verify-full PGSSLROOTCERT={shlex.quote(ready['ca_file'])}",
        f"  PGPASSWORD=$(beacon-lab token {last} {where}".rstrip() + ") &&",
        "    export PGPASSWORD && timeout 30 psql -w -f sql/show.sql",
        "",
        f"  # drain {first} and release it, in the same shell",
        f"  {change} -f sql/drain.sql",
        f"  {change} -f sql/release.sql",
        "",
        "  # break it, look, repair it",
        f"  beacon-lab fault {first} dsql-freeze {where}".rstrip(),
        f"  beacon-lab status {where}".rstrip(),
        f"  beacon-lab heal {first} {where}".rstrip(),
        "",
        "Ctrl-C takes it down.",
    ]
