"""The publisher's round: observe, read what is published, decide, write, verify, repair.

It holds one document in memory, the last that it read or wrote, so that a round works while SSM does not; it
writes the document every time (the heartbeat) and the endpoint only when it changes. Whatever is found in the
parameters and is not acceptable is reported, ignored whole and replaced by a good one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from beacon.decide import Decision, Subject, decide
from beacon.document import DocumentError, Expected, parse, serialize
from beacon.model import Change, Document, Observed
from beacon.observe import Observer, Round
from beacon.settings import Policy
from beacon.store import Stored, StoreError

__all__ = ["Publisher", "RoundReport", "Store"]

#: How often a round decides again because somebody else wrote in between.
_MOST_REPAIRS = 3


class Store(Protocol):
    """What the publisher needs of the parameters; :class:`beacon.store.ParameterStore` is one."""

    def read(self) -> Stored:
        """Both values as they are now."""

    def write_document(self, text: str) -> int:
        """Store the document; return the version that it got."""

    def write_endpoint(self, host: str) -> int:
        """Store the preferred host name; return the version that it got."""


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What a round did; ``problems`` are sentences for the log."""

    document: Document
    round: Round
    changes: tuple[Change, ...]
    written: bool = False
    repairs: int = 0
    problems: tuple[str, ...] = ()


class Publisher:
    """Publishes one target's document in one Region. One writer per Region: never run two at a time."""

    def __init__(
        self,
        observer: Observer,
        store: Store,
        subject: Subject,
        policy: Policy,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._observer = observer
        self._store = store
        self._subject = subject
        self._policy = policy
        self._now = now
        self._last: Document | None = None
        self._expected = Expected(
            subject.service,
            subject.target,
            subject.observer,
            frozenset(endpoint.host for endpoint in subject.endpoints),
        )

    def run(self) -> RoundReport:
        """Make one round and report it. SSM's failures are problems in the report, never an exception."""
        problems: list[str] = []
        if self._last is None:
            # Only to know what is down already; the round reads again before it writes.
            self._read(problems)
        seen = self._observer.run(self._known_down())
        decision: Decision | None = None
        written, repairs = False, -1
        while repairs < _MOST_REPAIRS:
            repairs += 1
            stored = self._read(problems)
            if decision is None:
                decision = self._decide(seen)
            elif stored is not None:
                # Where ours is the last word, a reader may have met the other's all the same: either way it
                # is said again, with an epoch above what readers may have met of this round.
                ours = stored.document == serialize(decision.document)
                again = decision if ours else self._decide(seen)
                decision = self._above(decision.document.epoch, again)
            if stored is None:
                break
            wrote, collided = self._write(stored, decision.document, problems)
            written = written or wrote
            if not collided:
                break
        assert decision is not None  # noqa: S101 - the loop runs at least once
        self._last = decision.document
        return RoundReport(
            document=decision.document,
            round=seen,
            changes=decision.changes,
            written=written,
            repairs=repairs,
            problems=tuple(dict.fromkeys(problems)),
        )

    def _known_down(self) -> frozenset[str]:
        if self._last is None:
            return frozenset()
        return frozenset(s.region for s in self._last.endpoints if s.observed is Observed.DOWN)

    def _read(self, problems: list[str]) -> Stored | None:
        try:
            stored = self._store.read()
        except StoreError as error:
            problems.append(str(error))
            return None
        if stored.endpoint is not None and stored.endpoint not in self._expected.hosts:
            problems.append("the stored endpoint is none of the configured ones")
        if stored.document is not None:
            try:
                self._last = parse(stored.document, self._expected, self._now(), self._last)
            except DocumentError as error:
                problems.append(f"the stored document is ignored: {error}")
        return stored

    def _decide(self, seen: Round) -> Decision:
        return decide(
            self._last,
            seen.observations,
            seen.intents,
            now=self._now(),
            policy=self._policy,
            subject=self._subject,
        )

    def _above(self, epoch: int, decision: Decision) -> Decision:
        epoch = max(epoch + 1, int(self._now().timestamp() * 1000), decision.document.epoch)
        return replace(decision, document=replace(decision.document, epoch=epoch))

    def _write(self, stored: Stored, document: Document, problems: list[str]) -> tuple[bool, bool]:
        """Write what differs; return whether the document was, and whether somebody else wrote in between."""
        written, preferred = False, document.preferred.host
        try:
            version = self._store.write_document(serialize(document))
            written = True
            if _collided(stored.document_version, version, problems):
                return written, True
        except StoreError as error:
            # The endpoint is written all the same: one of the two is better than none.
            problems.append(str(error))
        try:
            if stored.endpoint != preferred:
                version = self._store.write_endpoint(preferred)
                return written, _collided(stored.endpoint_version, version, problems)
        except StoreError as error:
            problems.append(str(error))
        return written, False


def _collided(read: int, got: int, problems: list[str]) -> bool:
    if got == read + 1:
        return False
    problems.append(f"version {got} followed {read}: another writer was here")
    return True
