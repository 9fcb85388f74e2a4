"""`beacon doctor`: examines a whole deployment, and says what to repair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from beacon_cli.errors import ExitCode
from beacon_cli.options import DEFAULTS, Options, Within

__all__ = ["doctor"]

#: Readiness is worth a wait: a login as each role through each Region is in it.
_WITHIN_S = 10.0


def doctor(
    *,
    strict: Annotated[bool, Parameter(negative="", help="A warning also ends with 1.")] = False,
    reports: Annotated[Path, Parameter(help="The folder of drill reports.")] = Path("drills"),
    within: Within = _WITHIN_S,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Examine the whole deployment, and say what to repair."""
    # Imported here, because `--help` needs neither AWS nor the database.
    from beacon_cli.doctor.examine import examine, passes  # noqa: PLC0415
    from beacon_cli.doctor.form import doctor_json, doctor_lines  # noqa: PLC0415
    from beacon_cli.doctor.gather import gather_facts  # noqa: PLC0415
    from beacon_cli.looking import look_for  # noqa: PLC0415

    look = look_for(options, within)
    gathered = gather_facts(look.sessions, within, reports, options.repeated())
    outcomes = examine(gathered.facts)
    passed = passes(outcomes, strict=strict)
    if options.json:
        print(json.dumps(doctor_json(gathered.facts, outcomes, passed=passed, took_s=gathered.took_s)))
    else:
        console = Console(highlight=False)
        for text, style in doctor_lines(gathered.facts, outcomes):
            console.print(text, style=style, soft_wrap=True, markup=False)
    return ExitCode.DONE if passed else ExitCode.FAILED
