"""Finds the deployment that the options name: in samconfig.toml, or in a lab."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from beacon_cli.configuration.samconfig import GLOBAL, ConfigurationError, Deployment, read_deployments
from beacon_cli.errors import WrongUseError
from beacon_cli.fleet import Fleet, Site
from beacon_cli.lab_ready import fleet_of_lab
from beacon_cli.options import Options

__all__ = ["fleet_of_file", "locate"]

# The defaults of App and Env in the templates.
_APP, _ENV = "beacon", "prod"


def locate(options: Options) -> Fleet:
    """The deployment; raises :class:`~beacon_cli.errors.CommandError` with what to do where there is none."""
    fleet = fleet_of_file(options.config_file) if options.lab is None else fleet_of_lab(options.lab)
    return replace(fleet, operator_role=options.db_user) if options.db_user else fleet


def fleet_of_file(path: Path) -> Fleet:
    """The deployment that ``path`` describes; raises :class:`WrongUseError`."""
    if not path.exists():
        raise WrongUseError(
            f"there is no {path} here: start this where it is, or name it",
            f"beacon status --config-file PATH/{path.name}",
        )
    try:
        found = read_deployments(path)
    except ConfigurationError as error:
        raise WrongUseError(str(error)) from error
    whole = found.pop(GLOBAL, None)
    if not found:
        raise WrongUseError(f"{path} deploys no Region: no section has region and stack_name")
    _require_filled_in(path, found)
    services = sorted({one.service for one in found.values()})
    if len(services) > 1:
        raise WrongUseError(f"{path} describes several deployments ({', '.join(services)}): give each a file")
    given = [one.parameters for one in found.values()]
    return Fleet(
        app=given[0].get("App", _APP),
        env=given[0].get("Env", _ENV),
        sites=tuple(_site(one) for one in found.values()),
        source=str(path),
        record_name=next((name.rstrip(".") for one in given if (name := one.get("RecordName"))), ""),
        zone_id=next((zone for one in given if (zone := one.get("HostedZoneId"))), ""),
        global_stack=(whole.region, whole.stack_name) if whole else None,
    )


def _site(one: Deployment) -> Site:
    return Site(
        one.region, one.stack_name, one.parameters.get("DsqlEndpoint", ""), one.profile, one.parameters
    )


def _require_filled_in(path: Path, found: dict[str, Deployment]) -> None:
    # Only what a command that looks goes by; `deploy` looks at every value.
    wanted = {"App", "Env", "DsqlEndpoint", "RecordName"}
    left = sorted({name for one in found.values() for name in one.placeholders if name in wanted})
    if left:
        raise WrongUseError(f"{path} still has REPLACE_ME in {', '.join(left)}: fill in the file first")
