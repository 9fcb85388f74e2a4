"""`beacon deploy`: the whole sequence of a deployment, guarded, and continued wherever it was cut off."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from beacon_cli.errors import ExitCode, WrongUseError
from beacon_cli.options import DEFAULTS, Options

__all__ = ["deploy"]


def deploy(
    *regions: str,
    all_regions: Annotated[bool, Parameter(name="--all", negative="")] = False,
    go: Annotated[bool, Parameter(negative="")] = False,
    operator_arn: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    build: Annotated[bool, Parameter(negative="--no-build")] = True,
    wait: Annotated[float, Parameter(validator=Number(gte=10, lte=7200))] = 900.0,
    verbose: Annotated[bool, Parameter(negative="")] = False,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Deploy Regions one after the other, and continue wherever that was cut off.

    Parameters
    ----------
    regions
        The Regions.
    all_regions
        Every Region of the file, then global.yaml.
    go
        Do it; without it the steps are shown, and nothing changes.
    operator_arn
        An IAM role or user that may log in as the operators' role; again for each.
    build
        Run `sam build` first.
    wait
        Seconds that a Region may take until it serves.
    verbose
        Show what `sam` and the guard print, not only when they fail.
    """
    # Imported here, because `--help` needs neither AWS nor the database.
    from beacon_cli.deployment.course import Order, deploy_all  # noqa: PLC0415

    if bool(regions) == all_regions:
        raise WrongUseError("name Regions, or --all for every Region of the file", "beacon deploy --all")
    return deploy_all(Order(tuple(regions), go, operator_arn, build, wait, verbose), options)
