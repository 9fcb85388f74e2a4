"""Looks at every place twice a second while a drill runs, each in a thread of its own.

Route 53 takes five calls a second for a whole account, which Beacon's other readers share. So the checks take
turns and make two calls a second together: with two Regions each check is read once a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from beacon_cli.drill.expected import DNS, checkers_of, ssm_of
from beacon_cli.drill.lab_orders import faults_of
from beacon_cli.drill.recorder import Recorder
from beacon_cli.drill.tracks import UNREAD, Of, check_value, dns_value, ssm_value
from beacon_cli.errors import FailedError
from beacon_cli.readers.published import read_published
from beacon_cli.readers.record import read_authoritative
from beacon_cli.readers.route53 import read_report
from beacon_cli.sessions import Sessions
from beacon_cli.standing import Check

__all__ = ["EVERY_S", "FAULTS", "Sampler"]

#: Between two looks at one place, and between two calls of Route 53.
EVERY_S = 0.5
FAULTS = "faults of the lab"
_DNS_S = 2.0
_JOIN_S = 10.0
_Read = Callable[[], Mapping[str, str]]


@dataclass(slots=True)
class Sampler:
    """Records until :meth:`stop`."""

    sessions: Sessions
    checks: Mapping[str, Check]
    targets: Mapping[str, str]
    recorder: Recorder
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin to look."""
        fleet, sessions = self.sessions.fleet, self.sessions
        turns: list[tuple[str, _Read]] = []
        for region in fleet.regions:
            self.recorder.add(checkers_of(region), Of.CHECK, region)
            turns.append((checkers_of(region), partial(self._check, region)))
        self._thread(turns)
        if fleet.record_name:
            self.recorder.add(DNS, Of.DNS)
            self._thread([(DNS, lambda: dns_value(read_authoritative(fleet, self.targets, _DNS_S)))])
        for region in fleet.regions:
            self.recorder.add(ssm_of(region), Of.SSM, region)
            self._thread([(ssm_of(region), partial(_published, sessions, region))])
        if fleet.lab is not None:
            self.recorder.add(FAULTS, Of.FAULTS)
            self._thread([(FAULTS, self._faults)])

    def stop(self) -> None:
        """End all looking; a look that is under way may end by itself."""
        self._ended.set()
        end = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _thread(self, turns: list[tuple[str, _Read]]) -> None:
        thread = threading.Thread(target=self._look, args=(turns,), name=turns[0][0], daemon=True)
        self._threads.append(thread)
        thread.start()

    def _look(self, turns: list[tuple[str, _Read]]) -> None:
        for number in count():
            name, read = turns[number % len(turns)]
            began = time.monotonic()
            value = read()
            self.recorder.record(name, began, time.monotonic(), value)
            if self._ended.wait(max(0.0, began + EVERY_S - time.monotonic())):
                return

    def _check(self, region: str) -> Mapping[str, str]:
        return check_value(read_report(self.sessions, self.checks[region]))

    def _faults(self) -> Mapping[str, str]:
        lab = self.sessions.fleet.lab
        assert lab is not None  # noqa: S101 - `start` has looked
        try:
            return {region: ", ".join(kinds) for region, kinds in faults_of(lab).items()}
        except FailedError as error:
            return {UNREAD: error.sentence}


def _published(sessions: Sessions, region: str) -> Mapping[str, str]:
    return ssm_value(read_published(sessions, region))
