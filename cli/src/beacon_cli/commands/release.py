"""`beacon release`: end a Region's drain, and see that DNS and SSM follow."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from beacon_cli.errors import ExitCode
from beacon_cli.options import DEFAULT_WITHIN_S, DEFAULTS, Options, Within

__all__ = ["release"]


def release(
    region: str,
    /,
    *,
    reason: str,
    actor: str = "",
    plan: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(negative="")] = False,
    within: Within = DEFAULT_WITHIN_S,
    options: Options = DEFAULTS,
) -> ExitCode:
    """End a Region's drain, and see that DNS and SSM follow.

    Parameters
    ----------
    region
        The Region.
    reason
        The reason, which other operators read.
    actor
        Your name for the audit; without it, that of this machine's user.
    plan
        Show the consequences and change nothing.
    yes
        Ask no question.
    """
    # Imported here, because `--help` needs neither AWS nor the database.
    from beacon_cli.intents.course import Consent, carry_out  # noqa: PLC0415
    from beacon_cli.intents.rules import Action, Request  # noqa: PLC0415

    request = Request(Action.RELEASE, region, reason, actor)
    return carry_out(request, Consent(plan=plan, yes=yes), options, within)
