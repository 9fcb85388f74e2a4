"""`beacon history`: what happened when, from every source in one timeline."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from beacon_cli.errors import ExitCode
from beacon_cli.options import DEFAULT_WITHIN_S, DEFAULTS, Options, Within

__all__ = ["history"]


def history(
    *,
    since: Annotated[str, Parameter(help="How far back: 90s, 30m, 12h, 7d.")] = "24h",
    within: Within = DEFAULT_WITHIN_S,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Show what happened when, from every source in one timeline."""
    # Imported here, because `--help` needs neither AWS nor the database.
    from beacon_cli.intents.duration import seconds_of  # noqa: PLC0415
    from beacon_cli.looking import look_for  # noqa: PLC0415
    from beacon_cli.situation.finding import clock  # noqa: PLC0415
    from beacon_cli.situation.model import Known  # noqa: PLC0415
    from beacon_cli.timeline.changes import MOST, read_changes  # noqa: PLC0415
    from beacon_cli.timeline.events import timeline  # noqa: PLC0415
    from beacon_cli.timeline.form import timeline_json  # noqa: PLC0415

    back_s = seconds_of(since, "--since")
    look = look_for(options, within)
    situation = look()
    changes = read_changes(look.sessions, back_s, within)
    rows = changes.value if isinstance(changes, Known) else ()
    unknown = situation.unknown()
    if not isinstance(changes, Known):
        unknown = list(dict.fromkeys([*unknown, changes.why]))
    elif len(rows) == MOST:
        unknown.append(f"changes of the database before the newest {MOST} are left out")
    start = situation.at - timedelta(seconds=back_s)
    events = timeline(situation, rows, start)
    if options.json:
        print(json.dumps(timeline_json(situation.service, situation.at, start, events, unknown)))
        return ExitCode.DONE
    console = Console(highlight=False)
    console.print(f"{situation.service}  since {clock(start, situation.at)}", style="bold")
    wide = max(len(one.region) for one in situation.regions)
    for one in events:
        line = f"{clock(one.at, situation.at):<20}  {one.region or '-':<{wide}}  {one.text}  [{one.source}]"
        console.print(line, soft_wrap=True, markup=False)
    for why in unknown:
        console.print(f"?  Not known: {why}.", soft_wrap=True, markup=False, style="magenta")
    return ExitCode.DONE
