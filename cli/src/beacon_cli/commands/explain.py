"""`beacon explain`: why a Region is in or out, and what to do now."""

from __future__ import annotations

from beacon_cli.errors import ExitCode
from beacon_cli.locate import locate
from beacon_cli.options import DEFAULTS, Options

__all__ = ["explain"]


def explain(region: str | None = None, /, *, options: Options = DEFAULTS) -> ExitCode:
    """Say why a Region is in or out, and what to do now.

    Parameters
    ----------
    region
        The Region; without it every Region.
    """
    fleet = locate(options)
    for site in [fleet.site(region)] if region else fleet.sites:
        print(f"{site.region}: {site.host}")
    return ExitCode.DONE
