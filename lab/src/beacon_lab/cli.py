"""The command line of the lab: ``up``, ``fault``, ``heal``, ``status``, ``token`` and ``demo``.

Exit codes: 0, done; 1, the demo saw less than it should; 2, something that the user can repair. 3 means
that a part of the lab itself broke, which says nothing about a Region.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from beacon.aws.sigv4 import Credentials
from beacon.dsql.token import sign_token
from beacon_lab import control, state
from beacon_lab.errors import LabBrokenError, LabError
from beacon_lab.faults import FaultKind
from beacon_lab.settings import POLICIES, LabSettings

__all__ = ["main"]

Run = Callable[[asyncio.Event], Coroutine[Any, Any, int]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    try:
        options = _parser().parse_args(arguments)
        code: int = options.run(options)
    except LabError as error:
        _complain(str(error))
        return 2
    except LabBrokenError as error:
        _complain(str(error))
        return 3
    except BrokenPipeError:
        # The reader of our output has gone, so no message would arrive.
        sys.stderr.close()
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="beacon-lab",
        description="Beacon on one machine, with real parts: PostgreSQL behind a DSQL front per Region,"
        " Lambda's runtime emulator, API Gateway, Route 53 checkers and DNS, and the AWS APIs.",
        epilog="Start with: beacon-lab demo",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start two Regions and stay up until Ctrl-C or SIGTERM")
    _add_lab_options(up, speed=1.0)
    up.add_argument(
        "--ready-file", type=Path, metavar="PATH", help="write one JSON object here once all answers"
    )
    for name, what in (
        ("aws", "the AWS APIs"),
        ("dns", "the DNS server"),
        ("control", "fault, heal and status"),
    ):
        up.add_argument(
            f"--{name}-port",
            type=_port,
            default=0,
            metavar="N",
            help=f"port of {what} (default: any free one)",
        )
    up.add_argument(
        "--empty",
        action="store_true",
        help="deploy nothing: an account with linked clusters and a hosted zone, for `beacon init` and"
        " `beacon deploy`, or for `sam deploy`",
    )
    up.set_defaults(run=_up)

    fault = commands.add_parser(
        "fault",
        help="break something in a Region of the lab that is up",
        description="Break something in a Region of the lab that is up.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_kinds(),
    )
    fault.add_argument("region", metavar="REGION")
    fault.add_argument("kind", metavar="KIND", type=_kind, help=", ".join(FaultKind))
    shared = ", ".join(kind for kind in FaultKind if kind.takes_share)
    fault.add_argument(
        "--share", type=int, metavar="PERCENT", help=f"strike only this share, 1-100 (for {shared})"
    )
    fault.add_argument(
        "--way", metavar="WAY", help="how the fault strikes, where there are several ways (below)"
    )
    fault.add_argument("--seed", type=int, metavar="N", help="make the choice of a share repeatable")
    fault.add_argument(
        "--for", dest="limit", metavar="SECONDS", help="the lab ends the fault by itself after so long"
    )
    _add_state_option(fault)
    fault.set_defaults(run=_fault)

    heal = commands.add_parser("heal", help="repair whatever is broken in a Region of the lab that is up")
    heal.add_argument("region", metavar="REGION")
    _add_state_option(heal)
    heal.set_defaults(run=_heal)

    token = commands.add_parser(
        "token", help="print a DSQL token for a Region of the lab that is up, to log in with as PGPASSWORD"
    )
    token.add_argument("region", metavar="REGION")
    token.add_argument("--admin", action="store_true", help="for the role admin instead of any other")
    _add_state_option(token)
    token.set_defaults(run=_token)

    status = commands.add_parser("status", help="show the Regions of the lab that is up")
    status.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    _add_state_option(status)
    status.set_defaults(run=_status)

    demo = commands.add_parser(
        "demo", help="walk two Regions through failover, recovery, drain and release, measure, and exit"
    )
    _add_lab_options(demo, speed=5.0)
    demo.add_argument("--json", type=Path, metavar="PATH", help="write what was measured here as JSON")
    demo.set_defaults(run=_demo)
    return parser


def _kinds() -> str:
    """The list of faults at the end of the help; a fault's first way is the usual one."""
    lines = ["kinds:"]
    for kind in FaultKind:
        lines.append(f"  {kind.value:<15}{kind.description}")
        lines += [f"{'':<17}--way {way}: {what}" for way, what in kind.ways.items()]
    return "\n".join([*lines, "", "Without --way a fault strikes in the way that is listed first."])


def _add_lab_options(parser: argparse.ArgumentParser, *, speed: float) -> None:
    parser.add_argument(
        "--policy", choices=POLICIES, default="failover", help="how the records route (default: %(default)s)"
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        default=speed,
        metavar="N",
        help="shorten the intervals of checks and schedules by this factor, 1-20; a check's limits of 2 s and"
        " 4 s stay as they are (default: %(default)g)",
    )
    parser.add_argument(
        "--built", action="store_true", help="run what `sam build` makes of the template (needs Python 3.13)"
    )
    _add_state_option(parser)


def _add_state_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=None,
        metavar="DIR",
        help=f"where a lab leaves its note for the other commands (default: {state.default_state_dir()})",
    )


def _speed(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 1 <= float(text) <= 20:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 20")


def _kind(text: str) -> FaultKind:
    try:
        return FaultKind.named(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port")


def _settings(options: argparse.Namespace, **more: Any) -> LabSettings:  # noqa: ANN401 - as argparse has them
    return LabSettings(policy=options.policy, speed=options.speed, built=options.built, **more)


def _up(options: argparse.Namespace) -> int:
    from beacon_lab.scenarios.up import stay_up  # noqa: PLC0415 - `fault` and `--help` need none of the lab's weight

    settings = _settings(
        options,
        state_dir=options.state_dir or state.default_state_dir(),
        ready_file=options.ready_file,
        aws_port=options.aws_port,
        dns_port=options.dns_port,
        control_port=options.control_port,
        empty=options.empty,
    )
    return _run(lambda stop: stay_up(settings, _say, stop))


def _demo(options: argparse.Namespace) -> int:
    from beacon_lab.processes.parent import end_with_parent  # noqa: PLC0415
    from beacon_lab.scenarios.demo import run_demo  # noqa: PLC0415 - as above

    end_with_parent()
    # A shorter hold than the template's default: the whole walk is to fit into two minutes.
    settings = _settings(options, state_dir=options.state_dir, failback_hold_s=30)
    return _run(lambda stop: run_demo(settings, _say, stop, options.json))


def _run(work: Run) -> int:
    """Run ``work`` until it ends; SIGINT, SIGTERM and SIGHUP set the event that asks it to end early.

    A second signal ends this process on the spot; the watcher then clears away what it leaves.
    """

    from beacon_lab.preconditions import require_descriptors  # noqa: PLC0415 - as above

    require_descriptors()

    async def supervise() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            if stop.is_set():
                os._exit(1)
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, end)
        return await work(stop)

    return asyncio.run(supervise())


def _fault(options: argparse.Namespace) -> int:
    order = {"region": options.region, "kind": options.kind.value}
    given = {"share": options.share, "way": options.way, "seed": options.seed, "for": options.limit}
    order |= {name: str(value) for name, value in given.items() if value is not None}
    _show(_order(options, "/fault", order))
    return 0


def _heal(options: argparse.Namespace) -> int:
    _show(_order(options, "/heal", {"region": options.region}))
    return 0


def _token(options: argparse.Namespace) -> int:
    ready: dict[str, Any] = _order(options, "/ready", None)
    if options.region not in ready["regions"]:
        raise LabError(
            f"there is no Region {options.region!r} in this lab: it has {', '.join(ready['regions'])}"
        )
    host, keys = ready["regions"][options.region]["dsql"]["host"], ready["credentials"]
    credentials = Credentials(keys["access_key_id"], keys["secret_access_key"])
    _say(sign_token(host, options.region, credentials, datetime.now(UTC), admin=options.admin))
    return 0


def _status(options: argparse.Namespace) -> int:
    found = _order(options, "/status", None)
    if options.json:
        _say(json.dumps(found, indent=2))
    else:
        _show(found)
    return 0


def _order(options: argparse.Namespace, path: str, order: dict[str, str] | None) -> dict[str, object]:
    directory = options.state_dir or state.default_state_dir()
    note = state.read(directory)
    if note is None or not note.alive:
        raise LabError(f"no lab is up (no note of one in {directory}): start one with `beacon-lab up`")
    return control.call(note.control_url, path, order, key=note.key)


def _show(found: dict[str, object]) -> None:
    regions = found.get("regions")
    if not isinstance(regions, dict):
        return
    _say(f"{'Region':<12}{'health check':<14}{'faults'}")
    for region, row in regions.items():
        faults = ", ".join(row.get("faults", ())) or "none"
        _say(f"{region:<12}{row.get('health_check', 'unknown'):<14}{faults}")


def _say(line: str) -> None:
    print(line, flush=True)


def _complain(line: str) -> None:
    print(f"beacon-lab: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
