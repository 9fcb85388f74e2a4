"""From the options of a command to a look at its deployment."""

from __future__ import annotations

from beacon_cli.aws_failures import FAILURES, aws_error
from beacon_cli.locate import locate
from beacon_cli.options import Options
from beacon_cli.readers.assemble import Look
from beacon_cli.sessions import Sessions

__all__ = ["look_for"]


def look_for(options: Options) -> Look:
    """A look at the deployment that ``options`` name; raises :class:`~beacon_cli.errors.CommandError`.

    A profile that does not exist ends the command here. Everything else that AWS refuses is a fact that is
    not known: the rest of the screen is worth reading.
    """
    fleet = locate(options)
    sessions = Sessions(fleet, options.profile)
    try:
        sessions.route53()
    except FAILURES as error:
        raise aws_error(error, "AWS", sessions.profile_of(fleet.regions[0])) from error
    return Look(sessions, where=options.repeated())
