"""`beacon status`: where clients go now, and what each Region says, on one screen."""

from __future__ import annotations

import json
import time
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console, Group
from rich.live import Live

from beacon_cli.errors import ExitCode
from beacon_cli.options import DEFAULT_WITHIN_S, DEFAULTS, Options, Within

__all__ = ["status"]

#: Between two looks: Route 53 takes five calls a second for a whole account.
_EVERY_S = 5.0


def status(
    *,
    watch: Annotated[bool, Parameter(negative="", help="Look again every 5 s until Ctrl-C.")] = False,
    within: Within = DEFAULT_WITHIN_S,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Show where clients go now, and what each Region says, on one screen."""
    # Imported here, because `--help` needs neither AWS nor the database.
    from beacon_cli.looking import look_for  # noqa: PLC0415
    from beacon_cli.screen import status_lines  # noqa: PLC0415
    from beacon_cli.situation.form import situation_json  # noqa: PLC0415
    from beacon_cli.situation.sentences import explain  # noqa: PLC0415

    look = look_for(options, within)
    console = Console(highlight=False)

    def screen() -> Group:
        situation = look()
        size = console.size
        lines = status_lines(situation, explain(situation), columns=size.width, rows=size.height - 1)
        return Group(*lines)

    if options.json:
        while True:
            situation = look()
            print(json.dumps(situation_json(situation, explain(situation))), flush=True)
            if not watch:
                return ExitCode.DONE
            time.sleep(_EVERY_S)
    if not watch:
        console.print(screen(), soft_wrap=True)
        return ExitCode.DONE
    with Live(screen(), console=console, screen=console.is_terminal, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(_EVERY_S)
                live.update(screen(), refresh=True)
        except KeyboardInterrupt:
            return ExitCode.DONE
