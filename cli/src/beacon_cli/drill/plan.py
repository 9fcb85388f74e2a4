"""The plan of a drill: what would be broken, what should be seen when, what is against it, and the net."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from beacon_cli.aws_failures import FAILURES, aws_error
from beacon_cli.drill import lab_orders
from beacon_cli.drill.consumer_process import why_no_consumer
from beacon_cli.drill.expected import Expected, expectations, least_limit_s
from beacon_cli.drill.kinds import FIS, LAB, Kind
from beacon_cli.drill.readiness import EXPERIMENT, objections
from beacon_cli.errors import FailedError, WrongUseError
from beacon_cli.intents.duration import seconds_of
from beacon_cli.readers.assemble import Look
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Situation, known
from beacon_cli.situation.settings import targets_of
from beacon_cli.standing import Check

__all__ = ["Plan", "experiment_s", "make_plan", "seconds_of_iso"]

_LEAST_S, _SPARE_S = 10, 20
_ISO = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is decided before a drill asks."""

    region: str
    kind: Kind
    situation: Situation
    expected: tuple[Expected, ...]
    objections: tuple[str, ...]
    limit_s: float
    template: str
    no_consumer: str
    checks: Mapping[str, Check]
    targets: Mapping[str, str]


def make_plan(look: Look, region: str, kind: Kind, lasts: str) -> Plan:
    """Look once, and plan a drill of ``region``; ``lasts`` is the net's length, or empty.

    Raises :class:`WrongUseError` for what cannot be, and :class:`FailedError` where FIS or the lab is silent.
    """
    sessions = look.sessions
    fleet = sessions.fleet
    fleet.site(region)  # an unknown Region ends here, before anything is asked
    if kind.how == LAB and fleet.lab is None:
        raise WrongUseError(f"--by {kind.name} breaks a lab: name one with --lab", "beacon drill --by drain")
    if kind.how == FIS and fleet.lab is not None:
        raise WrongUseError(
            "--by fis needs AWS: a lab has its own faults", f"beacon drill {region} --by drain"
        )
    if kind.how == FIS and lasts:
        raise WrongUseError("--for has no effect on --by fis: the experiment template has its duration")
    given_s = seconds_of(lasts, "--for") if lasts else None
    faults = lab_orders.faults_of(fleet.lab) if fleet.lab else None
    situation = look()
    against = objections(situation, region, kind, faults)
    parameters = look.parameters()
    expected: tuple[Expected, ...] = ()
    if situation.timings is not None:
        expected = expectations(situation, region, kind, parameters, fleet.lab.speed if fleet.lab else 1.0)
    stack = known(situation.region(region).stack)
    template = stack.outputs.get(EXPERIMENT, "") if stack and kind.how == FIS else ""
    checks = {
        one.region: report.check for one in situation.regions if (report := known(one.check)) is not None
    }
    return Plan(
        region,
        kind,
        situation,
        expected,
        against,
        _limit_s(sessions, region, expected, given_s, template),
        template,
        why_no_consumer(sessions) if not against else "",
        checks,
        targets_of(fleet, parameters),
    )


def _limit_s(
    sessions: Sessions, region: str, expected: tuple[Expected, ...], given_s: float | None, template: str
) -> float:
    least_s = max(_LEAST_S, least_limit_s(expected)) if expected else _LEAST_S
    if template:
        lasts_s = experiment_s(sessions, region, template)
        if lasts_s < least_s:
            text = f"the experiment {template} lasts {lasts_s:g} s, and {least_s} s are needed to see all"
            raise FailedError(f"{text}. Nothing has changed")
        return lasts_s
    if given_s is None:
        return least_s + least_s // 2 + _SPARE_S
    if given_s < least_s:
        raise WrongUseError(f"--for is too short to see everything move: {least_s}s is the least here")
    return given_s


def experiment_s(sessions: Sessions, region: str, template: str) -> float:
    """How long the experiment lasts, as its template says."""
    try:
        found = sessions.fis(region).get_experiment_template(id=template)["experimentTemplate"]
    except FAILURES as error:
        raise aws_error(error, f"AWS FIS of {region}") from error
    durations = [
        seconds_of_iso(str(action.get("parameters", {}).get("duration", "")))
        for action in found.get("actions", {}).values()
    ]
    if not durations or 0.0 in durations:
        raise FailedError(f"the experiment template {template} has no duration. Nothing has changed")
    return max(durations)


def seconds_of_iso(text: str) -> float:
    """`PT5M` in seconds; 0 for what is no such duration."""
    match = _ISO.fullmatch(text)
    if match is None:
        return 0.0
    return float(sum(int(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True)))
