"""Breaks a Region and repairs it, each way with a net of its own: what is broken ends without this process.

=========  ==========================================  ====================================================
``--by``   the break                                   the net
=========  ==========================================  ====================================================
drain      an intent in the database                   the intent's own end, judged by the database's clock
fis        an experiment of AWS FIS                    the duration in the stack's experiment template
lab        an order to the lab                         the lab's own timer
=========  ==========================================  ====================================================

So a killed drill, a lost network or a closed notebook leaves nothing broken beyond the limit. A repair ends
only what this drill began: another operator's drain and another fault stay.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from beacon_cli.aws_failures import FAILURES, aws_error
from beacon_cli.drill import lab_orders
from beacon_cli.drill.kinds import FIS, Kind
from beacon_cli.errors import CommandError, FailedError
from beacon_cli.intents.publishers import start_publishers
from beacon_cli.intents.rules import Action, Request
from beacon_cli.intents.writer import Writer, Written
from beacon_cli.readers.forced import read_forced
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import ForcedState, Known

__all__ = ["Begun", "Break", "Order", "Repaired", "break_for"]

_FIS_STARTS_S, _FIS_STOPS_S, _FIS_LOOK_S = 120.0, 120.0, 2.0
_READ_S = 5.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is broken: where, how, for how long at the most, as whom, and why."""

    region: str
    kind: Kind
    limit_s: float
    actor: str
    reason: str
    template: str = ""
    """The FIS experiment template."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """Whether what the drill broke is whole again, and a sentence."""

    done: bool
    said: str
    at: float = field(default_factory=time.monotonic)
    """When that was answered; monotonic."""


@dataclass(frozen=True, slots=True)
class Begun:
    """When the break was answered (monotonic), and when it ends by itself."""

    at: float
    ends_at: datetime


class Break(Protocol):
    """One break, begun once and repaired once or more often."""

    def begin(self) -> Begun:
        """Break. Raises :class:`~beacon_cli.errors.CommandError`."""

    def repair(self) -> Repaired:
        """Repair what :meth:`begin` has broken; raises :class:`~beacon_cli.errors.CommandError`."""


def break_for(sessions: Sessions, order: Order) -> Break:
    """The break that ``order`` means."""
    if order.kind.drains:
        return DrainBreak(sessions, order)
    return FisBreak(sessions, order) if order.kind.how == FIS else LabBreak(sessions, order)


@dataclass(slots=True)
class DrainBreak:
    """Drains the Region, and releases that drain."""

    sessions: Sessions
    order: Order
    _written: Written | None = None

    def begin(self) -> Begun:
        """See :class:`Break`; every Region's publisher is started as well."""
        writer = Writer(self.sessions, self._request(Action.DRAIN), None)
        try:
            self._written = writer()
        except FailedError:
            # The answer to the COMMIT may have been lost: what the database says counts.
            self._written = writer.find()
            if self._written is None:
                raise
        at = time.monotonic()
        start_publishers(self.sessions)
        return Begun(at, self._written.until or datetime.now(UTC))

    def repair(self) -> Repaired:
        """See :class:`Break`."""
        if self._written is None:
            return Repaired(True, "nothing was drained")
        order, written = self.order, self._written
        own = ForcedState(order.region, "drain", order.reason, order.actor, written.until, written.at)
        try:
            Writer(self.sessions, self._request(Action.RELEASE), own)()
        except CommandError as error:
            return self._as_found(error)
        found = Repaired(True, f"{order.region} is released")
        start_publishers(self.sessions)
        return found

    def _as_found(self, error: CommandError) -> Repaired:
        """What holds where the release was not written: the drain has ended, or another one holds."""
        forced = read_forced(self.sessions, _READ_S)
        if not isinstance(forced, Known):
            raise FailedError(error.sentence) from error
        row = forced.value.of(self.order.region)
        if row is None or not row.forced:
            return Repaired(True, f"the drain of {self.order.region} had ended")
        if self._written is not None and row.changed_at == self._written.at:
            raise FailedError(error.sentence) from error
        return Repaired(False, f"another drain of {self.order.region} holds, by {row.actor}: {row.reason!r}")

    def _request(self, action: Action) -> Request:
        order = self.order
        lasts_s = order.limit_s if action is Action.DRAIN else None
        return Request(action, order.region, order.reason, order.actor, lasts_s)


@dataclass(slots=True)
class LabBreak:
    """Breaks a Region of a lab, and ends that fault."""

    sessions: Sessions
    order: Order

    def begin(self) -> Begun:
        """See :class:`Break`."""
        lab = self.sessions.fleet.lab
        assert lab is not None  # noqa: S101 - the command refuses it without one
        order = self.order
        lab_orders.break_region(lab, order.region, order.kind.fault, order.limit_s)
        return Begun(time.monotonic(), datetime.now(UTC) + timedelta(seconds=order.limit_s))

    def repair(self) -> Repaired:
        """See :class:`Break`."""
        lab, order = self.sessions.fleet.lab, self.order
        assert lab is not None  # noqa: S101 - as above
        lab_orders.end_fault(lab, order.region, order.kind.fault)
        return Repaired(True, f"{order.kind.fault} of {order.region} has ended")


@dataclass(slots=True)
class FisBreak:
    """Starts the experiment of the Region's stack, and stops it."""

    sessions: Sessions
    order: Order
    sleep: Callable[[float], None] = time.sleep
    _id: str = ""

    def begin(self) -> Begun:
        """See :class:`Break`; it has begun when FIS says that it runs."""
        order, client = self.order, self.sessions.fis(self.order.region)
        try:
            made = client.start_experiment(experimentTemplateId=order.template, clientToken=order.reason)
            self._id = made["experiment"]["id"]
            state = self._await({"running", "completed", "stopped", "failed", "cancelled"}, _FIS_STARTS_S)
        except FAILURES as error:
            raise aws_error(error, f"AWS FIS of {order.region}") from error
        if state.get("status") != "running":
            said = state.get("reason") or "it gives no reason"
            raise FailedError(f"the experiment {self._id} is {state.get('status')}: {said}")
        return Begun(time.monotonic(), datetime.now(UTC) + timedelta(seconds=order.limit_s))

    def repair(self) -> Repaired:
        """See :class:`Break`."""
        if not self._id:
            return Repaired(True, "no experiment was started")
        client, ends = self.sessions.fis(self.order.region), {"completed", "stopped", "failed", "cancelled"}
        try:
            if client.get_experiment(id=self._id)["experiment"]["state"]["status"] not in ends:
                client.stop_experiment(id=self._id)
            state = self._await(ends, _FIS_STOPS_S)
        except FAILURES as error:
            raise aws_error(error, f"AWS FIS of {self.order.region}") from error
        done = state.get("status") in ends
        return Repaired(done, f"the experiment {self._id} is {state.get('status')}")

    def _await(self, wanted: set[str], within_s: float) -> dict[str, Any]:
        client, end = self.sessions.fis(self.order.region), time.monotonic() + within_s
        while True:
            state: dict[str, Any] = client.get_experiment(id=self._id)["experiment"]["state"]
            if state.get("status") in wanted or time.monotonic() >= end:
                return state
            self.sleep(_FIS_LOOK_S)
