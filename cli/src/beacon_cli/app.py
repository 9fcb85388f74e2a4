"""`beacon`: the program itself. It wires the commands, and turns every end into an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cyclopts import App, CycloptsError

from beacon_cli import __version__
from beacon_cli.errors import CommandError, ExitCode
from beacon_cli.options import with_lab_value

__all__ = ["COMMANDS", "Command", "app", "main"]


@dataclass(frozen=True, slots=True)
class Command:
    """One command in the list: the function that runs it, what it does, and a line that can be pasted.

    The function's module is imported only when the command is given.
    """

    where: str
    what: str
    example: str


COMMANDS = {
    "break-glass": Command(
        "beacon_cli.commands.break_glass:break_glass",
        "Take a Region out of DNS by inverting its health check, where the database does not answer.",
        "beacon break-glass invert us-east-1",
    ),
    "database": Command(
        "beacon_cli.commands.database:database",
        "Show what the database lacks (plan), or make it (apply).",
        "beacon database plan",
    ),
    "deploy": Command(
        "beacon_cli.commands.deploy:deploy",
        "Deploy Regions one after the other, and continue wherever that was cut off.",
        "beacon deploy --all --go",
    ),
    "doctor": Command(
        "beacon_cli.commands.doctor:doctor",
        "Examine the whole deployment, and say what to repair.",
        "beacon doctor --json",
    ),
    "drain": Command(
        "beacon_cli.commands.drain:drain",
        "Take a Region out, and see that DNS and SSM follow.",
        "beacon drain us-east-1 --for 30m --reason maintenance",
    ),
    "drill": Command(
        "beacon_cli.commands.drill:drill",
        "Break a Region on purpose, measure what follows, and repair it.",
        "beacon drill us-east-1 --by drain --plan",
    ),
    "explain": Command(
        "beacon_cli.commands.explain:explain",
        "Say why a Region is in or out, and what to do now.",
        "beacon explain us-east-1",
    ),
    "history": Command(
        "beacon_cli.commands.history:history",
        "Show what happened when, from every source in one timeline.",
        "beacon history --since 12h",
    ),
    "init": Command(
        "beacon_cli.commands.init:init",
        "Find the linked clusters and the zone, and write a samconfig.toml.",
        "beacon init --record db.example.com",
    ),
    "proxy": Command(
        "beacon_cli.commands.proxy:proxy",
        "Run a PostgreSQL proxy on this machine that follows the best endpoint.",
        "beacon proxy -- psql",
    ),
    "release": Command(
        "beacon_cli.commands.release:release",
        "End a Region's drain, and see that DNS and SSM follow.",
        "beacon release us-east-1 --reason repaired",
    ),
    "status": Command(
        "beacon_cli.commands.status:status",
        "Show where clients go now, and what each Region says, on one screen.",
        "beacon status --watch",
    ),
}

app = App(
    name="beacon",
    help="Look at a deployment of Beacon and change it: where clients go, why, and what to do.\n\n"
    "Example: beacon status --watch",
    help_epilogue="Exit codes: 0 done, 1 failed, 2 wrong use, 3 refused.",
    version=__version__,
    help_format="plaintext",
)
app.register_install_completion_command(help="Install shell completion for bash, zsh or fish.")
for _name, _command in COMMANDS.items():
    app.command(_command.where, name=_name, help=f"{_command.what}\n\nExample: {_command.example}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    A command returns None, an :class:`ExitCode` or the status of a program that it ran. It raises
    :class:`CommandError` to end early.
    """
    given = with_lab_value(sys.argv[1:] if arguments is None else arguments)
    try:
        ended = app(given, result_action="return_value", exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain([f"beacon: {' '.join(str(error).split())}", f"  try: {_help_of(given)}"])
        return ExitCode.WRONG_USE
    except CommandError as error:
        _complain(error.lines())
        return error.exit_code
    except KeyboardInterrupt:
        _complain(["beacon: interrupted"])
        return ExitCode.FAILED
    except BrokenPipeError:
        # The reader of our output has gone: close the stream before the interpreter tries to flush it.
        sys.stderr.close()
        return ExitCode.FAILED
    return ended if isinstance(ended, int) else ExitCode.DONE


def _help_of(arguments: Sequence[str]) -> str:
    first = next((word for word in arguments if word in COMMANDS), None)
    return f"beacon {first} --help" if first else "beacon --help"


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)
