"""`beacon init`: write a samconfig.toml for the linked clusters that are there."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter

from beacon_cli.errors import ExitCode, WrongUseError
from beacon_cli.options import DEFAULTS, Options

__all__ = ["init"]


def init(
    *,
    region: str = "",
    cluster: str = "",
    record: str = "",
    zone: str = "",
    policy: str = "",
    primary: str = "",
    app: str = "",
    env: str = "",
    values: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    force: Annotated[bool, Parameter(negative="")] = False,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Find the linked clusters and the zone, and write a samconfig.toml.

    Parameters
    ----------
    region
        One Region of the cluster, instead of that of the AWS profile.
    cluster
        The cluster's id in that Region, where there are several linked ones.
    record
        The DNS name that clients look up; asked for on a terminal.
    zone
        The hosted zone's id or name, instead of the one that the record's name belongs to.
    policy
        failover, latency, weighted or none; failover where there is a record.
    primary
        The Region that failover prefers, instead of the first one.
    app
        The first half of the deployment's name; beacon by default.
    env
        The second half; prod by default.
    values
        NAME=VALUE, another parameter of template.yaml for every Region; again for each.
    force
        Write over a file that describes a deployment.
    """
    # Imported here, because `--help` needs no AWS.
    from beacon_cli.deployment.initial import Wishes, initialise  # noqa: PLC0415

    pairs = [entry.partition("=") for entry in values]
    if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
        raise WrongUseError(f"--set takes NAME=VALUE, not {wrong[0]!r}")
    given = {name: value for name, _, value in pairs}
    wishes = Wishes(region, cluster, app, env, record, zone, policy, primary, given, force)
    found = initialise(wishes, options)
    if options.json:
        print(json.dumps({"schema": 1, **found}))
        return ExitCode.DONE
    regions = found["regions"]
    assert isinstance(regions, dict)  # noqa: S101 - made by initialise
    print(f"{found['file']} describes {found['service']}:")
    for name, host in regions.items():
        print(f"  {name:14} {host}")
    print(f"  record         {found['record'] or 'none'} ({found['policy']})")
    print(f"Next: {' '.join(filter(None, ('beacon deploy --all --go', options.repeated())))}")
    return ExitCode.DONE
