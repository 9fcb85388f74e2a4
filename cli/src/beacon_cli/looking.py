"""From the options of a command to a look at its deployment."""

from __future__ import annotations

from beacon.aws.credentials import NoCredentialsError
from beacon_cli.aws_failures import FAILURES, aws_error
from beacon_cli.errors import CommandError, WrongUseError
from beacon_cli.locate import locate
from beacon_cli.options import DEFAULT_WITHIN_S, Options
from beacon_cli.readers.assemble import Look
from beacon_cli.readers.parallel import gather
from beacon_cli.sessions import Sessions

__all__ = ["look_for", "require_credentials"]

#: What finding credentials may take: a metadata service or a login service that is silent holds up no screen.
_CREDENTIALS_S = 2.0


def look_for(options: Options, within_s: float = DEFAULT_WITHIN_S) -> Look:
    """A look at the deployment that ``options`` name; raises :class:`~beacon_cli.errors.CommandError`.

    Without credentials the command ends here. Everything else that AWS refuses is a fact that is not known:
    the rest of the screen is worth reading. ``within_s`` is what all sources together may take.
    """
    sessions = Sessions(locate(options), options.profile)
    if sessions.fleet.lab is None:
        require_credentials(sessions)
    return Look(sessions, within_s, where=options.repeated())


def require_credentials(sessions: Sessions) -> None:
    """Raise :class:`WrongUseError` where there are no AWS credentials, or the login has expired.

    Credentials that take longer than a moment to find are left to the calls that need them.
    """

    def find() -> CommandError | None:
        profile = sessions.profile_of(sessions.fleet.regions[0])
        try:
            sessions.credentials()
        except NoCredentialsError:
            said = f" --profile {profile}" if profile else ""
            return WrongUseError("there are no AWS credentials", f"aws configure sso{said}")
        except FAILURES as error:
            return aws_error(error, "AWS", profile)
        return None

    ended = gather({"credentials": find}, _CREDENTIALS_S)["credentials"]
    if isinstance(ended, CommandError):
        raise ended
