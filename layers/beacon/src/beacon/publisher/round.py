"""The publisher's round: observe, read what is published, decide, write, verify, repair, announce.

It holds one document in memory, the last that it read or wrote, so that a round works while SSM does not. It
writes the document every time (the heartbeat), and the endpoint only when it changes. It reports an
unacceptable value in the parameters, ignores it whole, and replaces it with a good one.

SSM has no compare-and-swap, so another round can always write in between. The promise is instead that the
round that writes last also reads last. After its writes a round reads both parameters again. They must hold
what it wrote, with the versions that follow those it had read. Otherwise it decides again from the values
that it found, with an epoch above all that readers may have seen. So rounds that overlap and run to their end
leave both parameters with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Protocol

from beacon.document.form import DocumentError, Expected, serialize
from beacon.document.reader import Reader
from beacon.document.store import Stored, StoreError
from beacon.model import Change, Document, Effective, Observed, Policy
from beacon.publisher.decide import Decision, Subject, decide
from beacon.publisher.observe import Observer, Round

__all__ = ["FROZEN_NEWS_S", "Announce", "Publisher", "RoundReport", "Store"]

#: How often a round decides again because another round wrote in between.
_MOST_REPAIRS = 3
#: For how long a frozen document answers further calls of the edge trigger: about its own least distance.
FROZEN_NEWS_S = 10.0

#: Announces changes; returns a sentence for each problem.
Announce = Callable[[Document, Sequence[Change]], Sequence[str]]


class Store(Protocol):
    """What the publisher needs of the parameters; :class:`beacon.document.store.ParameterStore` is one."""

    def read(self) -> Stored:
        """Both values as they are now."""

    def write_document(self, text: str) -> int:
        """Store the document; return the version that it got."""

    def write_endpoint(self, host: str) -> int:
        """Store the preferred host name; return the version that it got."""


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What a round did; ``problems`` are sentences for the log.

    ``age_s`` is how old the published document was when the round ended; ``None`` when none is known of.
    """

    document: Document
    round: Round
    changes: tuple[Change, ...]
    written: bool = False
    repairs: int = 0
    problems: tuple[str, ...] = ()
    age_s: float | None = None


class _End(Enum):
    """How a round's writes ended."""

    GOOD = auto()
    FAILED = auto()
    COLLIDED = auto()


class Publisher:
    """Publishes one target's document in one Region. One writer per Region: never run two at a time."""

    def __init__(
        self,
        observer: Observer,
        store: Store,
        subject: Subject,
        policy: Policy,
        *,
        announce: Announce | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._observer = observer
        self._store = store
        self._subject = subject
        self._policy = policy
        self._announce = announce
        self._now = now
        self._hosts = frozenset(endpoint.host for endpoint in subject.endpoints)
        self._reader = Reader(Expected(subject.service, subject.target, subject.observer, self._hosts))
        self._published_at: datetime | None = None

    def is_old_news(self) -> bool:
        """Whether it is published already that this Region does not serve: one read, and no round.

        So it is when both parameters are good and the document, still valid, has this Region's endpoint out;
        or when it is frozen and so young that another round would find the same.
        """
        stored = self._read([])
        last, now = self._reader.last, self._now()
        if stored is None or last is None or stored.document != self._reader.text or now > last.valid_until:
            return False
        if last.frozen and 0 <= (now - last.as_of).total_seconds() < FROZEN_NEWS_S:
            return True
        own = last.state_of(self._subject.observer)
        return own is not None and own.effective is Effective.OUT and stored.endpoint == last.preferred.host

    def run(self) -> RoundReport:
        """Make one round and report it. SSM's failures are problems in the report, never an exception."""
        problems: list[str] = []
        if self._reader.last is None:
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
            wrote, end = self._write(stored, decision.document, problems)
            written = written or wrote
            if end is _End.FAILED or (end is _End.GOOD and self._stands(decision.document, problems)):
                break
        assert decision is not None  # noqa: S101 - the loop runs at least once
        self._reader.keep(decision.document)
        if decision.changes and self._announce is not None:
            problems += self._announce(decision.document, decision.changes)
        return RoundReport(
            document=decision.document,
            round=seen,
            changes=decision.changes,
            written=written,
            repairs=repairs,
            problems=tuple(dict.fromkeys(problems)),
            age_s=self._age_s(),
        )

    def _known_down(self) -> frozenset[str]:
        last = self._reader.last
        return (
            frozenset(s.region for s in last.endpoints if s.observed is Observed.DOWN)
            if last
            else frozenset()
        )

    def _age_s(self) -> float | None:
        if self._published_at is None:
            return None
        return max(0.0, (self._now() - self._published_at).total_seconds())

    def _read(self, problems: list[str]) -> Stored | None:
        try:
            stored = self._store.read()
        except StoreError as error:
            problems.append(str(error))
            return None
        if stored.endpoint is not None and stored.endpoint not in self._hosts:
            problems.append("the stored endpoint is none of the configured ones")
        if stored.document is not None:
            try:
                self._published_at = self._reader.accept(stored.document, self._now()).as_of
            except DocumentError as error:
                problems.append(f"the stored document is ignored: {error}")
        return stored

    def _decide(self, seen: Round) -> Decision:
        return decide(
            self._reader.last,
            seen.observations,
            seen.intents,
            now=self._now(),
            policy=self._policy,
            subject=self._subject,
        )

    def _above(self, epoch: int, decision: Decision) -> Decision:
        epoch = max(epoch + 1, int(self._now().timestamp() * 1000), decision.document.epoch)
        return replace(decision, document=replace(decision.document, epoch=epoch))

    def _write(self, stored: Stored, document: Document, problems: list[str]) -> tuple[bool, _End]:
        """Write what differs; return whether the document was written, and how it ended."""
        written, end, preferred = False, _End.GOOD, document.preferred.host
        try:
            version = self._store.write_document(serialize(document))
            written, self._published_at = True, document.as_of
            if _collided(stored.document_version, version, problems):
                return written, _End.COLLIDED
        except StoreError as error:
            # The endpoint is written all the same: one of the two is better than none.
            problems.append(str(error))
            end = _End.FAILED
        try:
            if stored.endpoint != preferred:
                version = self._store.write_endpoint(preferred)
                if _collided(stored.endpoint_version, version, problems):
                    return written, _End.COLLIDED
        except StoreError as error:
            problems.append(str(error))
            end = _End.FAILED
        return written, end

    def _stands(self, document: Document, problems: list[str]) -> bool:
        """Whether both parameters say now what was written, as far as can be known."""
        try:
            stored = self._store.read()
        except StoreError as error:
            problems.append(str(error))
            return True
        if (stored.document, stored.endpoint) == (serialize(document), document.preferred.host):
            return True
        problems.append("what was written does not stand: another writer was here")
        return False


def _collided(read: int, got: int, problems: list[str]) -> bool:
    if got == read + 1:
        return False
    problems.append(f"version {got} followed {read}: another writer was here")
    return True
