"""`beacon status`: where clients go now, and what each Region says, on one screen."""

from __future__ import annotations

from beacon_cli.errors import ExitCode
from beacon_cli.locate import locate
from beacon_cli.options import DEFAULTS, Options

__all__ = ["status"]


def status(*, options: Options = DEFAULTS) -> ExitCode:
    """Show where clients go now, and what each Region says, on one screen."""
    fleet = locate(options)
    print(f"{fleet.service}: {', '.join(fleet.regions)}")
    return ExitCode.DONE
