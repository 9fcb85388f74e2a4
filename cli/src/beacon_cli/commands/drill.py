"""`beacon drill`: break a Region on purpose, measure what follows, and repair it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from beacon_cli.errors import ExitCode, WrongUseError
from beacon_cli.options import DEFAULTS, Options, Within

__all__ = ["drill"]

#: A drill has the time to read everything once.
_WITHIN_S = 5.0


def drill(
    region: str = "",
    /,
    *,
    by: str = "drain",
    lasts: Annotated[str, Parameter(name="--for")] = "",
    actor: str = "",
    plan: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(negative="")] = False,
    report: Path = Path("drills"),
    html: Path | None = None,
    junit: Path | None = None,
    replay: Path | None = None,
    within: Within = _WITHIN_S,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Break a Region on purpose, measure what follows, and repair it.

    Parameters
    ----------
    region
        The Region.
    by
        How: drain, fis, or lab:KIND such as lab:dsql-freeze.
    lasts
        When the break ends by itself at the latest: 90s, 5m. Without it, what the prediction needs.
    actor
        Your name for the audit; without it, that of this machine's user.
    plan
        Show what would be done and predicted, and change nothing.
    yes
        Ask no question.
    report
        The folder for the report.
    html
        The HTML report's file; without it, beside the JSON.
    junit
        A file for a report in JUnit's XML.
    replay
        Draw the report of that JSON file again, and change nothing.
    """
    # Imported here, because `--help` needs neither AWS nor the database.
    from beacon_cli.drill import course  # noqa: PLC0415

    if replay is not None:
        return course.replay(replay, html, junit, options)
    if not region:
        raise WrongUseError("name the Region", "beacon drill us-east-1 --by drain --plan")
    wishes = course.Wishes(by, lasts, actor, plan, yes)
    return course.carry_out(region, wishes, course.Files(report, html, junit), options, within)
