"""One source, refreshed in the background; the last good answer stays through any failure.

A daemon thread asks at jittered intervals, less often while the source fails. A caller reads the last good
answer at once. :meth:`Feed.poke` makes the thread ask now if the interval has passed: a Lambda sandbox that
was frozen, or a process that was forked, continues from there.

A feed reads two clocks. The lasting one (:mod:`beacon.suspend_clock`) says when to ask again, and how old an
answer is at least. The wall clock is for instants that the source wrote. A wall clock that is set back makes
no answer younger, and keeps no document valid for longer.

A file can keep the last good answer (:mod:`beacon.client.disk_copy`). A feed reads it at the start, by the
same rules as a fresh answer.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from beacon.client.candidates import Candidate
from beacon.client.disk_copy import DiskCopy
from beacon.client.sources import Source, SourceError
from beacon.suspend_clock import suspend_aware

__all__ = ["Feed", "SourceStatus"]

_LOGGER = logging.getLogger("beacon")
#: The factor of chance on a refresh interval, and the longest interval after failures, in seconds.
_JITTER = (0.75, 1.25)
_MOST_S = 60.0
#: A first call still waits for an answer when the copy on disk is older than this, or has no date.
_YOUNG = timedelta(seconds=90)
#: A source may shorten the interval (a TTL does), but not below this.
_LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What is known of one source.

    :param name: the source, such as ``ssm:us-east-1:/beacon/prod/dsql/document``.
    :param age_s: how old its last good answer is, in seconds; ``None``: there was none.
    :param problem: what is wrong with it now; empty: nothing.
    """

    name: str
    age_s: float | None
    problem: str


class Feed:
    """Keeps one source's candidates; safe to use from several threads."""

    def __init__(
        self,
        source: Source,
        refresh_s: float,
        *,
        copy: DiskCopy | None = None,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = suspend_aware,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._source = source
        self._refresh_s = refresh_s
        self._copy = copy
        self._changed = changed
        self._clock = clock
        self._now = now
        self._jitter = jitter
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = self._finished = False
        self._answered = threading.Event()
        self._problem = "not asked yet"
        #: When the last good answer came, by both clocks.
        self._fetched_at: float | None = None
        self._accepted: tuple[datetime, float] | None = None
        self._failures = 0
        self._due_at: float | None = None
        self._recall()

    @property
    def answered(self) -> bool:
        """Whether the source has answered or failed, or a young copy of its answer is known."""
        return self._answered.is_set()

    def candidates(self) -> tuple[Candidate, ...]:
        """What is known now; none before the first good answer."""
        return self._source.candidates(self._present())

    def wait(self, timeout_s: float) -> bool:
        """Wait until :attr:`answered`, for ``timeout_s`` at the most."""
        return self._answered.wait(max(0.0, timeout_s))

    def status(self) -> SourceStatus:
        """The source's age and trouble, for metrics and logs."""
        with self._lock:
            ages_s = []
            if (since := self._source.as_of()) is not None:
                ages_s.append(max(0.0, (self._now() - since).total_seconds()))
            if self._fetched_at is not None:
                ages_s.append(self._clock() - self._fetched_at)
            return SourceStatus(self._source.name, max(ages_s, default=None), self._problem)

    def poke(self) -> None:
        """Make the thread ask the source if that is due; never blocks, and costs little."""
        thread, due_at = self._thread, self._due_at
        if self._finished:
            return
        if thread is None or not thread.is_alive():
            self._start()
        elif due_at is not None and self._clock() >= due_at:
            self._wake.set()

    def close(self) -> None:
        """End the thread, when what it is waiting for ends; what is known stays."""
        self._closed = True
        self._wake.set()

    def _start(self) -> None:
        with self._lock:
            if self._closed or (self._thread is not None and self._thread.is_alive()):
                return
            self._wake, self._due_at = threading.Event(), None
            thread = threading.Thread(target=self._run, name="beacon-feed", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # Out of threads, or the interpreter is ending. A connect continues with the last good answer.
                self._problem = "no thread can be started to ask it"
                return
            self._thread = thread

    def _run(self) -> None:
        while not self._closed:
            pause_s = self.refresh()
            if pause_s == float("inf"):
                self._finished = True
                return
            self._due_at = self._clock() + pause_s
            self._wake.wait(pause_s)
            # Nothing is due while the thread asks: a poke would make it ask again without a pause.
            self._due_at = None
            self._wake.clear()

    def refresh(self) -> float:
        """Ask now; return how long to wait before the next time. Raises nothing."""
        good_for_s: float | None = None
        try:
            fetched = self._source.fetch()
            good_for_s = fetched.good_for_s
            with self._lock:
                self._accept(fetched.text)
                self._fetched_at = self._clock()
                self._problem, self._failures = "", 0
            if self._copy is not None:
                self._copy.write(self._source.name, fetched.text)
        except SourceError as error:
            self._note(str(error))
        except Exception as error:  # noqa: BLE001 - a thread's edge: the last good answer stays whatever happens
            # The type alone: an exception's text may hold anything.
            self._note(type(error).__name__)
        self._answered.set()
        self._changed()
        if self._failures:
            if not self.candidates():
                # No caller can connect: look again soon.
                return min(_LEAST_S * 2.0 ** min(self._failures - 1, 6), self._refresh_s) * self._jitter(
                    *_JITTER
                )
            return min(self._refresh_s * 2.0 ** min(self._failures, 6), _MOST_S) * self._jitter(*_JITTER)
        if good_for_s == float("inf"):
            return good_for_s
        wanted_s = self._refresh_s if good_for_s is None else min(self._refresh_s, good_for_s)
        return max(wanted_s, _LEAST_S) * self._jitter(*_JITTER)

    def _note(self, problem: str) -> None:
        with self._lock:
            news = self._problem != problem
            self._problem = problem
            self._failures += 1
        if news:
            # One warning for each new problem: with a second source behind this one, a misspelt name would
            # never be seen otherwise.
            _LOGGER.warning("%s: %s", self._source.name, problem)

    def _recall(self) -> None:
        if self.candidates():
            # A list never has to be fetched.
            self._problem = ""
            self._answered.set()
        text = self._copy.read(self._source.name) if self._copy is not None else None
        if text is None:
            return
        try:
            self._accept(text)
        except SourceError as error:
            self._problem = f"the copy on disk is ignored: {error}"
        else:
            self._problem = "known from the copy on disk; not asked yet"
            as_of = self._source.as_of()
            # A date in the future says nothing about the age: the wall clock was set back.
            if as_of is not None and abs(self._now() - as_of) < _YOUNG:
                self._answered.set()

    def _accept(self, text: str) -> None:
        now = self._now()
        self._source.accept(text, now)
        self._accepted = (now, self._clock())

    def _present(self) -> datetime:
        """The wall clock's time, but never less since the last good answer than has passed."""
        now, accepted = self._now(), self._accepted
        if accepted is None:
            return now
        return max(now, accepted[0] + timedelta(seconds=self._clock() - accepted[1]))
