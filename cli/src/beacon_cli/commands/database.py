"""`beacon database plan|apply`: what Beacon needs in the database, what is missing, and making it."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from beacon_cli.errors import ExitCode
from beacon_cli.options import DEFAULTS, Options

__all__ = ["database"]


def database(
    action: Literal["plan", "apply"],
    /,
    *,
    operator_arn: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    yes: Annotated[bool, Parameter(negative="")] = False,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Show what the database lacks (plan), or make it (apply).

    Parameters
    ----------
    action
        plan shows and changes nothing; apply shows, asks once, and makes what is missing.
    operator_arn
        An IAM role or user that may log in as the operators' role; again for each. Without it, those that may
        already are kept.
    yes
        Ask no question.
    """
    # Imported here, because `--help` needs neither AWS nor the database.
    from beacon_cli.schema.course import run_apply, run_plan  # noqa: PLC0415

    if action == "plan":
        return run_plan(options, operator_arn)
    return run_apply(options, operator_arn, yes=yes)
