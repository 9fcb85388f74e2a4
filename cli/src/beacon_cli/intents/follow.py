"""Looks at DNS and every Region's SSM until they have followed a change, or the time for it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from beacon_cli.intents.movement import DNS, Place, Sight, has_followed
from beacon_cli.intents.rules import Request
from beacon_cli.readers import published, record
from beacon_cli.readers.parallel import gather
from beacon_cli.readers.route53 import read_report
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Situation, known
from beacon_cli.standing import Check

__all__ = ["Follower", "follower_of", "limit_s"]

_LOOK_WITHIN_S = 2.5
_EVERY_S = 1.0
#: A place that cannot be read in so many looks in a row holds up the end no longer.
_BLIND_LOOKS = 5
#: How long to follow where nothing is predicted, and what may come on top of a prediction.
_UNPREDICTED_S, _GRACE_S = 180.0, 30.0


def limit_s(places: tuple[Place, ...]) -> float:
    """How long ``places`` are given to follow: twice the latest prediction, and half a minute."""
    latest = [one.predicted.latest_s for one in places if one.predicted is not None]
    return 2 * max(latest) + _GRACE_S if latest else _UNPREDICTED_S


@dataclass(slots=True)
class Follower:
    """Iterate over it: each look yields the places that were seen to follow by it, or have become unreadable.

    ``places`` is the present state of all, also after an interruption.
    """

    sessions: Sessions
    request: Request
    places: tuple[Place, ...]
    targets: Mapping[str, str]
    """Where the record may lead: a name and its Region."""
    check: Check | None
    primary: bool
    _blind: dict[str, int] = field(default_factory=dict)

    @property
    def open(self) -> tuple[Place, ...]:
        """The places that have not followed yet, as far as they can be read."""
        return tuple(one for one in self.places if one.after_s is None and not self._given_up(one))

    @property
    def followed(self) -> bool:
        """Whether every place that can be read has followed."""
        return not self.open

    def look(self, began: float, until: float) -> Iterator[tuple[Place, ...]]:
        """Look every second until all have followed, or it is ``until``; both times are monotonic."""
        while True:
            started = time.monotonic()
            yield self._once(began)
            now = time.monotonic()
            if self.followed or now >= until:
                return
            time.sleep(max(0.0, min(_EVERY_S - (now - started), until - now)))

    def _given_up(self, place: Place) -> bool:
        return self._blind.get(place.name, 0) >= _BLIND_LOOKS

    def _once(self, began: float) -> tuple[Place, ...]:
        sight = self._sight()
        after_s = time.monotonic() - began
        news, places = [], []
        for place in self.places:
            if place.after_s is None:
                followed, why = has_followed(place, self.request, sight, primary=self.primary)
                self._blind[place.name] = self._blind.get(place.name, 0) + 1 if why and not followed else 0
                new = replace(place, after_s=after_s if followed else None, why="" if followed else why)
                if followed or (self._blind[place.name] == _BLIND_LOOKS):
                    news.append(new)
                places.append(new)
            else:
                places.append(place)
        self.places = tuple(places)
        return tuple(news)

    def _sight(self) -> Sight:
        wanted = [one for one in self.places if one.after_s is None]
        readers: dict[str, Callable[[], Any]] = {
            one.name: partial(published.read_published, self.sessions, one.region)
            for one in wanted
            if one.region
        }
        if any(one.name == DNS for one in wanted):
            fleet = self.sessions.fleet
            if fleet.record_name:
                readers[record.OWN] = partial(
                    record.read_authoritative, fleet, self.targets, 0.85 * _LOOK_WITHIN_S
                )
            if self.check is not None:
                readers["Route 53"] = partial(read_report, self.sessions, self.check)
        found = gather(readers, _LOOK_WITHIN_S)
        return Sight(
            record=found.get(record.OWN),
            check=found.get("Route 53"),
            published={one.region: found[one.name] for one in wanted if one.region},
        )


def follower_of(
    sessions: Sessions,
    request: Request,
    situation: Situation,
    targets: Mapping[str, str],
    places: tuple[Place, ...],
) -> Follower:
    """A follower of ``request`` with what ``situation`` knows of the Region's check and record."""
    one = situation.region(request.region)
    report, stack = known(one.check), known(one.stack)
    parameters = stack.parameters if stack is not None else sessions.fleet.site(request.region).parameters
    primary = parameters.get("RoutingPolicy") == "failover" and parameters.get("FailoverRole") == "PRIMARY"
    check = report.check if report is not None else None
    return Follower(sessions, request, places, targets, check, primary)
