"""The health checkers: two in each of eight places, polling what Route 53's API lists, each on its own clock.

A checker polls, waits the interval, and polls again; checkers do not coordinate, so requests come in bunches.
The interval is divided by the lab's speed; the limits of an attempt are not. The rules are in ``rules``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from beacon_lab.network.address_plan import checker_source, public_address
from beacon_lab.route53 import rules
from beacon_lab.route53.distances import round_trip_ms
from beacon_lab.route53.observations import (
    CalculatedCheckError,
    HealthCheckObservation,
    UnknownCheckError,
    describe,
)
from beacon_lab.route53.poll import Dial, poll_once
from beacon_lab.route53.rules import CHECKER_REGIONS, CheckerState, CheckType, HealthCheck, PollResult

CHECKERS_PER_PLACE = 2
_DEEPEST_CALCULATION = 8


@dataclass(frozen=True, slots=True)
class Checker:
    """One checker: the Region it stands in and the loopback address it calls from."""

    region: str
    source: str


#: All sixteen.
CHECKERS = tuple(
    Checker(region, checker_source(region, number))
    for region in CHECKER_REGIONS
    for number in range(CHECKERS_PER_PLACE)
)


@dataclass(frozen=True, slots=True)
class HealthChange:
    """A check became healthy or unhealthy at a monotonic time; how many of its checkers say healthy."""

    check_id: str
    healthy: bool
    at_s: float
    saying_healthy: int
    checkers: int


@dataclass(slots=True)
class _Seat:
    """One checker's view of one check."""

    checker: Checker
    tally: CheckerState = field(default_factory=CheckerState)
    last: HealthCheckObservation | None = None
    last_failure: HealthCheckObservation | None = None
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Watched:
    """One check and its checkers."""

    check: HealthCheck
    seats: dict[Checker, _Seat] = field(default_factory=dict)
    reported: bool = True

    @property
    def votes(self) -> list[bool]:
        return [seat.tally.healthy for seat in self.seats.values()]


class CheckerFleet:
    """Runs the checkers of every health check given to ``apply``; use it inside one event loop.

    ``names`` says where (host name, port) is dialled; it is read at each attempt, a missing entry fails like
    a name that does not resolve. ``on_defect`` is called when a checker itself breaks: its vote stays what it
    was and says nothing about the endpoint, so the owner has to end the fleet. ``speed`` divides the
    interval. ``seed`` makes the starting phases repeatable. ``public_address`` turns a checker's loopback
    address into the one that reports show. ``round_trip_s`` is the distance between two Regions.
    """

    def __init__(
        self,
        names: Mapping[tuple[str, int], Dial],
        *,
        on_defect: Callable[[str, Exception], None],
        speed: float = 1.0,
        seed: int | None = None,
        public_address: Callable[[str], str] = public_address,
        round_trip_s: Callable[[str, str], float] = lambda one, other: round_trip_ms(one, other) / 1000,
    ) -> None:
        if speed <= 0:
            raise ValueError(f"the speed must be above 0, not {speed}")
        self._names = names
        self._on_defect = on_defect
        self._speed = speed
        self._phases = Random(seed)  # noqa: S311 - when to start polling is no secret
        self._public_address = public_address
        self._round_trip_s = round_trip_s
        self._watched: dict[str, _Watched] = {}
        self._subscribers: list[Callable[[HealthChange], None]] = []

    def subscribe(self, callback: Callable[[HealthChange], None]) -> Callable[[], None]:
        """Call ``callback`` at each change of a check's status; returns what ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def apply(self, checks: Mapping[str, HealthCheck]) -> None:
        """Make the fleet check exactly ``checks``: new ones start, gone ones stop, changed ones change."""
        for check_id in [known for known in self._watched if known not in checks]:
            for seat in self._watched.pop(check_id).seats.values():
                _end(seat)
        for check_id, check in checks.items():
            watched = self._watched.get(check_id)
            if watched is None:
                watched = self._watched[check_id] = _Watched(check, reported=not check.inverted)
            watched.check = check
            self._seat(watched)
        self._report()

    async def stop(self) -> None:
        """End every attempt; idempotent. The statuses stay as they are."""
        tasks = [
            seat.task for watched in self._watched.values() for seat in watched.seats.values() if seat.task
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def healthy(self, check_id: str) -> bool:
        """Whether the check counts as healthy now; one that does not exist takes no record out of DNS."""
        return self._status(check_id, 0)

    def observations(self, check_id: str) -> tuple[HealthCheckObservation, ...]:
        """What each checker met last. Raises UnknownCheckError and CalculatedCheckError."""
        return tuple(seat.last for seat in self._seats(check_id) if seat.last is not None)

    def last_failures(self, check_id: str) -> tuple[HealthCheckObservation, ...]:
        """Each checker's last failure, if any. Raises UnknownCheckError and CalculatedCheckError."""
        return tuple(seat.last_failure for seat in self._seats(check_id) if seat.last_failure is not None)

    def _seats(self, check_id: str) -> list[_Seat]:
        if check_id not in self._watched:
            raise UnknownCheckError(check_id)
        if self._watched[check_id].check.type is CheckType.CALCULATED:
            raise CalculatedCheckError(check_id)
        return list(self._watched[check_id].seats.values())

    def _status(self, check_id: str, depth: int) -> bool:
        watched = self._watched.get(check_id)
        if watched is None or depth > _DEEPEST_CALCULATION:
            return True
        if watched.check.type is CheckType.CALCULATED:
            children = (self._status(child, depth + 1) for child in watched.check.children)
            return rules.calculated_status(watched.check, children)
        return rules.status(watched.check, watched.votes)

    def _seat(self, watched: _Watched) -> None:
        """Give the check the checkers of its Regions; a disabled check has none, so no data when enabled."""
        check = watched.check
        idle = check.disabled or check.type is CheckType.CALCULATED
        wanted = [] if idle else [checker for checker in CHECKERS if checker.region in check.regions]
        for checker in [present for present in watched.seats if present not in wanted]:
            _end(watched.seats.pop(checker))
        for checker in wanted:
            if checker not in watched.seats:
                seat = watched.seats[checker] = _Seat(checker)
                name = f"checker {checker.source} of {check.id}"
                phase_s = self._phases.random() * check.request_interval_s / self._speed
                seat.task = asyncio.create_task(self._poll(watched, seat, phase_s), name=name)

    async def _poll(self, watched: _Watched, seat: _Seat, phase_s: float) -> None:
        await asyncio.sleep(phase_s)
        while True:
            check = watched.check
            try:
                await self._attempt(watched, seat, check)
            except Exception as error:  # noqa: BLE001 - a checker's edge: the lab's own defect, never a verdict
                self._on_defect(f"the health checker at {seat.checker.source} of check {check.id}", error)
            await asyncio.sleep(check.request_interval_s / self._speed)

    async def _attempt(self, watched: _Watched, seat: _Seat, check: HealthCheck) -> None:
        dial = self._names.get((check.fqdn or check.ip_address, check.port))
        away_s = self._round_trip_s(seat.checker.region, dial.region) if dial is not None else 0.0
        met = await poll_once(check, dial, source=seat.checker.source, round_trip_s=away_s)
        result = rules.judge_poll(check, met)
        passed = result is PollResult.PASS
        seat.last = HealthCheckObservation(
            region=seat.checker.region,
            checker_address=self._public_address(seat.checker.source),
            status=describe(check, met, result, dial.address if dial is not None else ""),
            checked_at=datetime.now(UTC),
            passed=passed,
        )
        if not passed:
            seat.last_failure = seat.last
        seat.tally = rules.count(seat.tally, passed=passed, threshold=watched.check.failure_threshold)
        self._report()

    def _report(self) -> None:
        """Tell the subscribers of every check whose status is not the one last told."""
        for check_id, watched in tuple(self._watched.items()):
            healthy = self.healthy(check_id)
            if healthy != watched.reported:
                watched.reported = healthy
                votes = watched.votes
                change = HealthChange(check_id, healthy, time.monotonic(), sum(votes), len(votes))
                for callback in tuple(self._subscribers):
                    callback(change)


def _end(seat: _Seat) -> None:
    if seat.task is not None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            seat.task.cancel()
