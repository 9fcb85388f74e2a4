"""The write canary: commit a row through this Region's endpoint, since a SELECT does not test commits.

It runs apart from the probes, over its own connection, which it opens and closes each time. Its result is a
metric and a line in the log. It never ejects: a failed commit can be a missing grant or a quota, and it would
be worse to take out a Region that reads well. Needs ``sql/canary.sql``.

A conflict (40001) is retried once. A second conflict counts as passed: another canary wrote the same row,
which proves that commits work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from beacon.dsql.connector import Connector, ProbeContext
from beacon.dsql.session import SessionError
from beacon.model import Endpoint
from beacon.outcome import CONFLICT, ProbeOutcome, Reason, outcome_of

__all__ = ["CanaryReport", "WriteCanary"]

#: Parameters: service, target, Region. One statement, so that it is a transaction of its own.
_UPSERT: Final = (
    b"INSERT INTO beacon.canary (service, target, region, written_at) VALUES ($1, $2, $3, now())"
    b" ON CONFLICT (service, target, region) DO UPDATE SET written_at = EXCLUDED.written_at"
)


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """How a write ended: a reason code of :mod:`beacon.outcome`, the SQLSTATE if the server gave one, and the
    milliseconds that it took, connecting included.
    """

    reason: Reason
    latency_ms: float
    sqlstate: str | None = None

    @property
    def failed(self) -> bool:
        """Whether no row is known to be committed, for any reason."""
        return outcome_of(self.reason) is not ProbeOutcome.PASS


class WriteCanary:
    """Writes through one endpoint, under the probes' deadline."""

    def __init__(self, endpoint: Endpoint, context: ProbeContext) -> None:
        self._endpoint = endpoint
        self._context = context
        self._connector = Connector(endpoint, context)

    def run(self) -> CanaryReport:
        """Commit one row; return within the deadline, whatever the fault."""
        clock = self._context.clock
        started = clock()
        sqlstate = None
        try:
            reason = self._write(started + self._context.settings.probe_deadline_s)
        except SessionError as error:
            reason, sqlstate = error.reason, error.sqlstate
        except Exception:  # noqa: BLE001 - a defect here must not take the publisher's next round along
            reason = Reason.INTERNAL
        return CanaryReport(reason, (clock() - started) * 1000, sqlstate)

    def _write(self, deadline: float) -> Reason:
        settings, region = self._context.settings, self._endpoint.region
        session = self._connector.open(deadline)
        try:
            for _ in range(2):
                try:
                    session.query(_UPSERT, [settings.service, settings.target, region], deadline)
                except SessionError as error:
                    if error.sqlstate not in CONFLICT:
                        raise
                    continue
                return Reason.OK
            return Reason.CONFLICT
        finally:
            session.close()
