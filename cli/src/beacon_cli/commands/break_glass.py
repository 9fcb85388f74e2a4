"""`beacon break-glass`: take a Region out of DNS without the database, and back."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from beacon_cli.errors import ExitCode
from beacon_cli.options import DEFAULT_WITHIN_S, DEFAULTS, Options, Within

__all__ = ["break_glass"]


def break_glass(
    action: Literal["invert", "restore"],
    region: str,
    /,
    *,
    plan: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(negative="")] = False,
    even_though_unhealthy: Annotated[bool, Parameter(negative="")] = False,
    within: Within = DEFAULT_WITHIN_S,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Take a Region out of DNS by inverting its health check, where the database does not answer.

    Parameters
    ----------
    action
        invert takes the Region out while it passes; restore sets the check back.
    region
        The Region.
    plan
        Show the consequences and change nothing.
    yes
        Ask no question.
    even_though_unhealthy
        Invert although no other Region is seen up.
    """
    # Imported here, because `--help` needs no AWS.
    from beacon_cli.breakglass import course  # noqa: PLC0415
    from beacon_cli.breakglass.rules import Glass  # noqa: PLC0415

    consent = course.Consent(plan=plan, yes=yes, anyway=even_though_unhealthy)
    return course.break_glass(Glass(action), region, consent, options, within)
