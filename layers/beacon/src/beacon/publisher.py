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

    def write_endpoint(self, host: str) -> None:
        """Store the preferred host name."""


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
            if (
                decision is not None
                and self._last is not None
                and self._last.epoch == decision.document.epoch
            ):
                # Ours is the last word, but a reader may have met the other's: say it again with a new epoch.
                decision = replace(decision, document=self._renewed(decision.document))
            else:
                decision = self._decide(seen)
            if stored is None:
                break
            written, collided = self._write(stored, decision.document, problems)
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

    def _renewed(self, document: Document) -> Document:
        return replace(document, epoch=max(document.epoch + 1, int(self._now().timestamp() * 1000)))

    def _write(self, stored: Stored, document: Document, problems: list[str]) -> tuple[bool, bool]:
        """Write ``document``; return whether it was written, and whether somebody else wrote in between."""
        preferred = document.preferred.host
        written = False
        try:
            version = self._store.write_document(serialize(document))
            written = True
            if version != stored.document_version + 1:
                problems.append(
                    f"version {version} followed {stored.document_version}: another writer was here"
                )
                return written, True
            if stored.endpoint != preferred:
                self._store.write_endpoint(preferred)
        except StoreError as error:
            problems.append(str(error))
        return written, False
