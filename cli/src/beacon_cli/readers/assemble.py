"""Reads a whole situation: every source at once, under one limit."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from beacon_cli.aws_failures import FAILURES
from beacon_cli.fleet import Fleet
from beacon_cli.readers import cloudwatch, forced, published, record, route53, stacks
from beacon_cli.readers.parallel import gather
from beacon_cli.sessions import Sessions
from beacon_cli.situation import alarms
from beacon_cli.situation.model import (
    Alarm,
    Canary,
    CheckReport,
    Fact,
    Known,
    RegionSituation,
    Situation,
    StackView,
    Unknown,
    known,
)
from beacon_cli.situation.settings import targets_of, timings_of

__all__ = ["Look"]

#: A reader with a limit of its own ends before that, so that it can say why.
_SHARE = 0.85
#: Looks from one reading of the stacks to the next: a minute of `--watch`.
_STACKS_AGAIN_AFTER = 12
_GLOBAL = "CloudWatch of the global stack"


@dataclass(slots=True)
class Look:
    """Reads the situation of a deployment, again and again; what seldom changes is kept for the next time."""

    sessions: Sessions
    within_s: float
    """What all sources together may take."""
    where: str = ""
    """See :attr:`Situation.where`."""
    _checks: route53.CheckReader = field(init=False)
    _stacks: dict[str, Fact[StackView]] = field(default_factory=dict)
    _looks: int = 0

    def __post_init__(self) -> None:
        self._checks = route53.CheckReader(self.sessions)

    def __call__(self) -> Situation:
        """Read everything; takes ``within_s`` at the most, once the clients are made."""
        fleet = self.sessions.fleet
        self._prepare()
        began = time.monotonic()
        found = gather(self._readers(), self.within_s)
        took_s = time.monotonic() - began
        self._looks += 1
        for region in fleet.regions:
            stack = found.get(stacks.name_of(region))
            if stack is not None and (known(stack) is not None or region not in self._stacks):
                self._stacks[region] = stack
        return self._situation(fleet, found, took_s)

    def _prepare(self) -> None:
        """Make the clients and load the driver, which is this machine's work: no source is late by it."""
        import psycopg  # noqa: F401, PLC0415 - heavy, and only for a look

        sessions = self.sessions
        for region in sessions.fleet.regions:
            # A missing profile costs its Region's facts: each reader makes its client again, and says so.
            with contextlib.suppress(*FAILURES):
                sessions.ssm(region)
                sessions.cloudwatch(region)
                sessions.cloudformation(region)
        with contextlib.suppress(*FAILURES):
            sessions.route53()

    def _situation(self, fleet: Fleet, found: Mapping[str, Any], took_s: float) -> Situation:
        return Situation(
            service=fleet.service,
            at=datetime.now(UTC),
            regions=tuple(self._region(region, found) for region in fleet.regions),
            record_name=fleet.record_name,
            authoritative=found.get(record.OWN),
            cached=found.get(record.RESOLVER),
            forced=found[forced.NAME],
            global_alarms=self._global_alarms(found),
            timings=timings_of(fleet, self.parameters()),
            took_s=took_s,
            where=self.where,
        )

    def _region(self, region: str, found: Mapping[str, Any]) -> RegionSituation:
        checks: Mapping[str, Fact[CheckReport]] | Unknown = found[route53.NAME]
        canary: Fact[Canary] | None = found.get(_canary_of(region))
        return RegionSituation(
            region=region,
            host=self.sessions.fleet.site(region).host,
            check=checks if isinstance(checks, Unknown) else checks[region],
            document=found[published.name_of(region)],
            stack=self._stacks[region],
            alarms=self._alarms(region, found),
            canary=canary,
        )

    def _alarms(self, region: str, found: Mapping[str, Any]) -> Fact[tuple[Alarm, ...]]:
        service = self.sessions.fleet.service
        own: Fact[tuple[Alarm, ...]] = found[cloudwatch.name_of(region)]
        if isinstance(own, Unknown):
            return own
        named = alarms.of_region(service, region, self._all_alarms(found))
        return Known((*alarms.read_in(service, own.value), *named))

    def _global_alarms(self, found: Mapping[str, Any]) -> Fact[tuple[Alarm, ...]] | None:
        fleet = self.sessions.fleet
        place = fleet.global_stack[0] if fleet.global_stack else ""
        read: Fact[tuple[Alarm, ...]] | None = found.get(
            cloudwatch.name_of(place) if place in fleet.regions else _GLOBAL
        )
        if isinstance(read, Unknown):
            return read
        whole = alarms.of_deployment(fleet.service, self._all_alarms(found))
        return Known(whole) if read is not None or whole else None

    def _all_alarms(self, found: Mapping[str, Any]) -> list[Alarm]:
        names = [*map(cloudwatch.name_of, self.sessions.fleet.regions), _GLOBAL]
        return [alarm for name in names for alarm in known(found.get(name)) or ()]

    def parameters(self) -> dict[str, Mapping[str, str]]:
        """Each Region's parameters, as its stack has them or, where that is not known, as the file does."""
        views = {region: known(fact) for region, fact in self._stacks.items()}
        return {
            site.region: view.parameters if (view := views.get(site.region)) else site.parameters
            for site in self.sessions.fleet.sites
        }

    def _readers(self) -> dict[str, Callable[[], Any]]:
        fleet, sessions, parameters = self.sessions.fleet, self.sessions, self.parameters()
        readers: dict[str, Callable[[], Any]] = {
            route53.NAME: self._checks.read,
            forced.NAME: partial(forced.read_forced, sessions, self.within_s * _SHARE),
        }
        for region in fleet.regions:
            readers[published.name_of(region)] = partial(published.read_published, sessions, region)
            readers[cloudwatch.name_of(region)] = partial(cloudwatch.read_alarms, sessions, region)
            if parameters[region].get("WriteCanary") == "on":
                readers[_canary_of(region)] = partial(cloudwatch.read_canary, sessions, region)
            if self._looks % _STACKS_AGAIN_AFTER == 0 or known(self._stacks.get(region)) is None:
                readers[stacks.name_of(region)] = partial(stacks.read_stack_view, sessions, region)
        if fleet.global_stack is not None and fleet.global_stack[0] not in fleet.regions:
            # In a Region of the deployment its alarms are read with the Region's own.
            readers[_GLOBAL] = partial(cloudwatch.read_alarms, sessions, fleet.global_stack[0])
        if fleet.record_name:
            targets, within_s = targets_of(fleet, parameters), self.within_s * _SHARE
            readers[record.OWN] = partial(record.read_authoritative, fleet, targets, within_s)
            if fleet.lab is None:
                readers[record.RESOLVER] = partial(record.read_cached, fleet, targets, within_s)
        return readers


def _canary_of(region: str) -> str:
    return f"the write canary of {region}"
