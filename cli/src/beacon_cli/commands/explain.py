"""`beacon explain`: why a Region is in or out, and what to do now."""

from __future__ import annotations

import json

from rich.console import Console
from rich.text import Text

from beacon_cli.errors import ExitCode
from beacon_cli.options import DEFAULT_WITHIN_S, DEFAULTS, Options, Within

__all__ = ["explain"]


def explain(
    region: str | None = None, /, *, within: Within = DEFAULT_WITHIN_S, options: Options = DEFAULTS
) -> ExitCode:
    """Say why a Region is in or out, and what to do now.

    Parameters
    ----------
    region
        The Region; without it every Region.
    """
    # Imported here, because `--help` needs neither AWS nor the database.
    from beacon_cli.looking import look_for  # noqa: PLC0415
    from beacon_cli.screen import COLUMNS, finding_lines  # noqa: PLC0415
    from beacon_cli.situation.form import explanation_json  # noqa: PLC0415
    from beacon_cli.situation.history import last_changes  # noqa: PLC0415
    from beacon_cli.situation.sentences import explain as explained  # noqa: PLC0415

    look = look_for(options, within)
    if region is not None:
        look.sessions.fleet.site(region)  # an unknown Region ends here, before anything is asked
    situation = look()
    explanation = explained(situation, region)
    if options.json:
        print(json.dumps(explanation_json(situation, explanation, region)))
        return ExitCode.DONE
    console = Console(highlight=False)
    columns = max(console.width, COLUMNS)
    for finding in (explanation.headline, *explanation.findings):
        for line in finding_lines(finding, columns):
            console.print(line, soft_wrap=True)
    if changes := last_changes(situation, region):
        console.print(Text("\nLast changes by operators", "bold"))
        for text in changes:
            console.print(Text(f"   {text}"), soft_wrap=True)
    return ExitCode.DONE
