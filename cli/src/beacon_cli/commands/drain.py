"""`beacon drain`: take a Region out, and see that DNS and SSM follow."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from beacon_cli.errors import ExitCode
from beacon_cli.options import DEFAULT_WITHIN_S, DEFAULTS, Options, Within

__all__ = ["drain"]


def drain(
    region: str,
    /,
    *,
    lasts: Annotated[str, Parameter(name="--for")],
    reason: str,
    actor: str = "",
    plan: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(negative="")] = False,
    even_though_unhealthy: Annotated[bool, Parameter(negative="")] = False,
    within: Within = DEFAULT_WITHIN_S,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Take a Region out, and see that DNS and SSM follow.

    Parameters
    ----------
    region
        The Region.
    lasts
        How long: 90s, 30m, 1h30m, 2d or until-released.
    reason
        The reason, which other operators read.
    actor
        Your name for the audit; without it, that of this machine's user.
    plan
        Show the consequences and change nothing.
    yes
        Ask no question.
    even_though_unhealthy
        Drain although no other Region is seen up.
    """
    # Imported here, because `--help` needs neither AWS nor the database.
    from beacon_cli.intents.course import Consent, carry_out  # noqa: PLC0415
    from beacon_cli.intents.duration import lasting_s  # noqa: PLC0415
    from beacon_cli.intents.rules import Action, Request  # noqa: PLC0415

    request = Request(Action.DRAIN, region, reason, actor, lasting_s(lasts))
    consent = Consent(plan=plan, yes=yes, anyway=even_though_unhealthy)
    return carry_out(request, consent, options, within)
