"""The options that every command takes, and what `--lab` without a file means."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from beacon_cli.fleet import OPERATOR_ROLE

__all__ = ["DEFAULTS", "DEFAULT_WITHIN_S", "RUNNING_LAB", "Options", "Within", "with_lab_value"]

#: The value of `--lab` that stands for this user's lab that is up.
RUNNING_LAB = "running"


@Parameter(name="*", group=Group("Options of every command", sort_key=99))
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where the deployment is described, as whom to ask, and how to answer."""

    config_file: Annotated[Path, Parameter(help="The file that deploys the Regions.")] = Path(
        "samconfig.toml"
    )
    profile: Annotated[str | None, Parameter(help="AWS profile, instead of the file's own.")] = None
    db_user: Annotated[
        str | None,
        Parameter(help=f"Database role to log in as, instead of {OPERATOR_ROLE}.", env_var="BEACON_DB_USER"),
    ] = None
    lab: Annotated[
        str | None,
        Parameter(
            help="Work on a lab instead of AWS: the ready file of `beacon-lab up`, or nothing for the lab"
            " that is up.",
            env_var="BEACON_LAB",
        ),
    ] = None
    json: Annotated[bool, Parameter(negative="", help="One JSON value instead of text.")] = False

    def repeated(self) -> str:
        """What a suggested command has to repeat so that it works on the same deployment."""
        if self.lab is not None:
            return "--lab" if self.lab == RUNNING_LAB else f"--lab {shlex.quote(self.lab)}"
        words = []
        if self.config_file != Path("samconfig.toml"):
            words.append(f"--config-file {shlex.quote(str(self.config_file))}")
        if self.profile:
            words.append(f"--profile {shlex.quote(self.profile)}")
        return " ".join(words)


#: What all sources of a screen together may take, in seconds: with the start it is there in less than 3 s.
DEFAULT_WITHIN_S = 2.2
#: The option of the commands that read a situation.
Within = Annotated[
    float,
    Parameter(
        help="Seconds that all sources together may take; longer on a slow line.",
        validator=Number(gte=0.5, lte=60),
    ),
]
#: What a command gets where no option is given; it is frozen, so commands may share it.
DEFAULTS = Options()


def with_lab_value(arguments: Sequence[str]) -> list[str]:
    """``arguments`` with a value behind each bare `--lab`.

    What follows `--lab` is its value when it looks like a file: it ends with `.json` or holds a slash.
    """
    found: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*found, *arguments[number:]]
        if argument == "--lab":
            follower = arguments[number + 1] if number + 1 < len(arguments) else "--"
            is_file = not follower.startswith("-") and (follower.endswith(".json") or "/" in follower)
            found.append("--lab" if is_file else f"--lab={RUNNING_LAB}")
        else:
            found.append(argument)
    return found
