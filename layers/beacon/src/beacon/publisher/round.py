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


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is stored, or ``None`` where SSM gave no answer; and what is wrong with it."""

    stored: Stored | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Write:
    """How the write of one parameter ended. ``collided``: another writer wrote in between."""

    done: bool
    collided: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One write of both parameters. ``settled``: another attempt in this round would gain nothing."""

    document_written: bool
    settled: bool
    problems: tuple[str, ...]


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
        stored = self._read().stored
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
            problems += self._read().problems
        seen = self._observer.run(self._known_down())
        reading = self._read()
        problems += reading.problems
        decision, written, repairs = self._decide(seen), False, 0
        while reading.stored is not None:
            attempt = self._put(reading.stored, decision.document)
            problems += attempt.problems
            written = written or attempt.document_written
            if attempt.settled or repairs == _MOST_REPAIRS:
                break
            repairs += 1
            reading = self._read()
            problems += reading.problems
            if reading.stored is not None:
                decision = self._decide_again(decision, reading.stored, seen)
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

    def _read(self) -> _Reading:
        """Read both parameters, and take the stored document for the last one if it is acceptable."""
        problems: list[str] = []
        try:
            stored = self._store.read()
        except StoreError as error:
            return _Reading(None, (str(error),))
        if stored.endpoint is not None and stored.endpoint not in self._hosts:
            problems.append("the stored endpoint is none of the configured ones")
        if stored.document is not None:
            try:
                self._published_at = self._reader.accept(stored.document, self._now()).as_of
            except DocumentError as error:
                problems.append(f"the stored document is ignored: {error}")
        return _Reading(stored, tuple(problems))

    def _decide(self, seen: Round) -> Decision:
        return decide(
            self._reader.last,
            seen.observations,
            seen.intents,
            now=self._now(),
            policy=self._policy,
            subject=self._subject,
        )

    def _decide_again(self, before: Decision, stored: Stored, seen: Round) -> Decision:
        """The decision on top of what another writer left, with an epoch above all of this round's.

        Where our document is the stored one, a reader may have met the other writer's all the same. So ours
        is written again too, and the epoch settles which one counts.
        """
        ours = stored.document == serialize(before.document)
        again = before if ours else self._decide(seen)
        now_ms = int(self._now().timestamp() * 1000)
        epoch = max(before.document.epoch + 1, again.document.epoch, now_ms)
        return replace(again, document=replace(again.document, epoch=epoch))

    def _put(self, stored: Stored, document: Document) -> _Attempt:
        """Write what differs from ``stored``, then read whether it stands."""
        first = _write(self._store.write_document, serialize(document), stored.document_version)
        if first.done:
            self._published_at = document.as_of
        if first.collided:
            return _Attempt(first.done, settled=False, problems=first.problems)
        preferred, second = document.preferred.host, _Write(done=True)
        if stored.endpoint != preferred:
            # Also where the document could not be written: one of the two is better than none.
            second = _write(self._store.write_endpoint, preferred, stored.endpoint_version)
        problems = (*first.problems, *second.problems)
        if second.collided or not (first.done and second.done):
            return _Attempt(first.done, settled=not second.collided, problems=problems)
        stands, found = self._stands(document)
        return _Attempt(first.done, settled=stands, problems=(*problems, *found))

    def _stands(self, document: Document) -> tuple[bool, tuple[str, ...]]:
        """Whether both parameters say now what was written, as far as can be known; and a problem, if any."""
        try:
            stored = self._store.read()
        except StoreError as error:
            return True, (str(error),)
        if (stored.document, stored.endpoint) == (serialize(document), document.preferred.host):
            return True, ()
        return False, ("what was written does not stand: another writer was here",)


def _write(write: Callable[[str], int], value: str, read_version: int) -> _Write:
    """Write one parameter, of which ``read_version`` was read."""
    try:
        version = write(value)
    except StoreError as error:
        return _Write(done=False, problems=(str(error),))
    if version == read_version + 1:
        return _Write(done=True)
    problem = f"version {version} followed {read_version}: another writer was here"
    return _Write(done=True, collided=True, problems=(problem,))
