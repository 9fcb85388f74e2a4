"""Looks at the deployment before a change of intent: what it would leave, and what is against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from beacon_cli.errors import CommandError, FailedError, RefusedError
from beacon_cli.intents.consequences import OVERRIDE, Consequences, weigh
from beacon_cli.intents.movement import Place, places_of
from beacon_cli.intents.rules import Request, objection
from beacon_cli.readers.assemble import Look
from beacon_cli.readers.forced import read_forced
from beacon_cli.situation.model import ForcedState, ForcedStates, Known, Situation
from beacon_cli.situation.settings import targets_of

__all__ = ["Plan", "make_plan"]

#: A second reading of the intents may take this long: without them there is no plan.
_PATIENT_S = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operator confirms."""

    request: Request
    situation: Situation
    consequences: Consequences
    seen: ForcedState | None
    """The Region's row of the intents."""
    places: tuple[Place, ...]
    """What should follow, and when."""
    targets: Mapping[str, str]
    """Where the record may lead: a name and its Region."""
    against: CommandError | None
    """Why the change is refused; ``None`` where it is not."""


def make_plan(look: Look, request: Request, *, anyway: bool = False) -> Plan:
    """Look once and weigh ``request``; ``anyway`` drains although no other Region is seen up.

    Raises :class:`~beacon_cli.errors.WrongUseError` for an unknown Region, and :class:`FailedError` where the
    database cannot be read: then it cannot be written either.
    """
    fleet = look.sessions.fleet
    fleet.site(request.region)  # an unknown Region ends here, before anything is asked
    situation = look()
    if not isinstance(situation.forced, Known):
        situation = replace(situation, forced=read_forced(look.sessions, _PATIENT_S))
    if not isinstance(situation.forced, Known):
        raise FailedError(f"{situation.forced.why}. Nothing has changed", "beacon status")
    forced = situation.forced.value
    consequences = weigh(situation, request)
    return Plan(
        request,
        situation,
        consequences,
        forced.of(request.region),
        places_of(situation, request),
        targets_of(fleet, look.parameters()),
        _against(request, forced, consequences, fleet.service, anyway=anyway),
    )


def _against(
    request: Request, forced: ForcedStates, consequences: Consequences, service: str, *, anyway: bool
) -> CommandError | None:
    seen = forced.of(request.region)
    objected = objection(request, forced.states, seen, service=service, now=forced.at)
    if objected is not None or anyway or not consequences.refusal:
        return objected
    text = f"{consequences.refusal}. Nothing has changed; {OVERRIDE} drains {request.region} all the same"
    return RefusedError(text, "beacon status")
