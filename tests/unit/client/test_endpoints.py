"""What a client may connect to, from sources in order: at once, once anything is known, and to the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from beacon.aws.credentials import CredentialChain
from beacon.aws.sigv4 import Credentials
from beacon.client.candidates import Candidate
from beacon.client.disk_copy import DiskCopy
from beacon.client.endpoints import Endpoints
from beacon.client.feed import SourceStatus
from beacon.client.local_view import LocalView
from beacon.client.sources import DnsRecord, Fetched, Source, SourceError, SsmDocument, StaticList
from beacon.document.form import serialize
from beacon.document.store import StoreError
from beacon.model import Document, Effective, Endpoint, EndpointState, Observed
from beacon.suspend_clock import suspend_aware

NOW = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
EAST_1, EAST_2 = "a" * 26 + ".dsql.us-east-1.on.aws", "b" * 26 + ".dsql.us-east-2.on.aws"
WEST_2 = "c" * 26 + ".dsql.us-west-2.on.aws"
DOCUMENT = Document(
    service="orders-prod",
    target="dsql",
    observer="us-east-1",
    epoch=int(NOW.timestamp() * 1000),
    as_of=NOW,
    valid_until=NOW + timedelta(seconds=300),
    endpoints=(
        EndpointState("us-east-1", EAST_1, 5432, Observed.DOWN, None, Effective.OUT, "timeout", NOW),
        EndpointState("us-east-2", EAST_2, 5432, Observed.UP, None, Effective.IN, "ok", NOW, 1.5, 0, NOW),
    ),
)


def wait_until(condition: Callable[[], bool], deadline_s: float = 5.0) -> None:
    """Poll ``condition`` until it holds."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.005)


class Clocks:
    """A wall clock and a monotonic one that the test moves together."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def clock(self) -> float:
        return 1000.0 + self.passed_s

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed_s)


class Told:
    """A source that names the hosts that the test sets, and stalls when the test says so."""

    def __init__(self, *hosts: str, name: str = "told", stalls: bool = False) -> None:
        self.name = name
        self.answer = " ".join(hosts)
        self.failure: SourceError | None = None
        self.open = threading.Event()
        self.asked = threading.Semaphore(0)
        self.askers: set[threading.Thread] = set()
        self._hosts: tuple[str, ...] = ()
        if not stalls:
            self.open.set()

    def fetch(self) -> Fetched:
        self.askers.add(threading.current_thread())
        self.asked.release()
        assert self.open.wait(10)
        if self.failure is not None:
            raise self.failure
        return Fetched(self.answer)

    def accept(self, text: str, now: datetime) -> None:  # noqa: ARG002 - a source's
        self._hosts = tuple(text.split())

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:  # noqa: ARG002 - a source's
        return tuple(Candidate(Endpoint("us-east-1", host)) for host in self._hosts)

    def as_of(self) -> datetime | None:
        return None


MakeEndpoints = Callable[..., Endpoints]


@pytest.fixture
def make() -> Iterator[MakeEndpoints]:
    """Makes endpoints, whose sources stall no longer afterwards."""
    made: list[tuple[Endpoints, tuple[Any, ...]]] = []

    def start(*sources: Any, **options: Any) -> Endpoints:  # noqa: ANN401 - those of Endpoints
        made.append((Endpoints(*sources, **options), sources))
        return made[-1][0]

    yield start
    for endpoints, sources in made:
        endpoints.close()
        for source in sources:
            if isinstance(source, Told):
                source.open.set()
    wait_until(lambda: not any(thread.name == "beacon-feed" for thread in threading.enumerate()))


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


class Down:
    """A store that cannot be read."""

    def __init__(self, _path: str, _region: str) -> None: ...

    def read_document(self) -> str | None:
        raise StoreError("reading the document failed", "EndpointConnectionError")


@pytest.fixture
def ssm_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call leaves this machine."""
    monkeypatch.setattr("beacon.document.store.ParameterStore", Down)


@contextmanager
def taking(least_s: float, most_s: float) -> Iterator[None]:
    """What happens inside takes so long."""
    began = time.monotonic()
    yield
    assert least_s <= time.monotonic() - began < most_s


def hosts(endpoints: Endpoints, wait_s: float = 0.0) -> list[str]:
    return [candidate.endpoint.host for candidate in endpoints.candidates(wait_s)]


def test_everything_wrong_is_in_one_error() -> None:
    """Before anything is asked."""
    twice: list[Source] = [DnsRecord("db.example.org"), StaticList([EAST_1]), DnsRecord("db.example.org")]
    with pytest.raises(ValueError, match="is given twice") as caught:
        Endpoints(*twice, StaticList([EAST_2]), refresh_s=0.5)
    assert str(caught.value) == (
        "the source dns:db.example.org is given twice; the source list is given twice; "
        "refresh_s must be 1-3600, not 0.5"
    )


@pytest.mark.parametrize("refresh_s", [0.0, -1.0, 3601.0, float("inf"), float("nan")])
def test_without_a_source_or_with_no_interval_nothing_begins(refresh_s: float) -> None:
    """What to name is said."""
    with pytest.raises(ValueError, match=r"name at least one source, such as SsmDocument.*; refresh_s must"):
        Endpoints(refresh_s=refresh_s)


def test_what_is_not_passed_is_the_usual() -> None:
    """botocore's credentials and the system's names and clocks; UTC."""
    with Endpoints(StaticList([EAST_1])) as endpoints:
        assert isinstance(endpoints.surroundings.credentials, CredentialChain)
        assert endpoints.surroundings.now().utcoffset() == timedelta(0)
        assert endpoints.surroundings.clock is suspend_aware
        assert endpoints.surroundings.monotonic is time.monotonic
        assert endpoints.surroundings.resolver._clock is suspend_aware
        assert endpoints.surroundings.credentials._clock is suspend_aware

    def credentials() -> Credentials:
        return Credentials("a", "b")

    with Endpoints(StaticList([EAST_1]), credentials=credentials) as endpoints:
        assert endpoints.surroundings.credentials is credentials


def test_a_list_is_there_at_once(make: MakeEndpoints) -> None:
    """In its order, without waiting for any source."""
    with taking(0, 0.5):
        assert hosts(make(StaticList([EAST_2, EAST_1])), wait_s=5) == [EAST_2, EAST_1]


def test_sources_are_trusted_in_order(make: MakeEndpoints) -> None:
    """What the first one names comes first; later ones add what it does not."""
    first, second = Told(EAST_2, name="first"), Told(EAST_1, EAST_2, name="second")
    endpoints = make(first, second, StaticList([WEST_2, EAST_1]))
    assert hosts(endpoints, wait_s=5) == [EAST_2, EAST_1, WEST_2]
    assert [status.name for status in endpoints.status()] == ["first", "second", "list"]


def test_dial_says_where_to_connect_to_and_changes_no_name(make: MakeEndpoints) -> None:
    """For the hosts that it names; the mapping is the caller's own, and read once."""
    dial = {EAST_1: ("127.0.0.1", 7001), "elsewhere": ("127.0.0.1", 1)}
    endpoints = make(StaticList([EAST_1, f"{EAST_2}:6432"]), dial=dial)
    dial.clear()
    assert [candidate.endpoint for candidate in endpoints.candidates()] == [
        Endpoint("us-east-1", EAST_1, 5432, ("127.0.0.1", 7001)),
        Endpoint("us-east-2", EAST_2, 6432, None),
    ]


def test_who_is_passed_over_here_comes_later_here_alone(make: MakeEndpoints, clocks: Clocks) -> None:
    """What the sources say is the same as before."""
    local = LocalView(lambda low, _high: low)
    endpoints = make(StaticList([EAST_1, EAST_2]), local=local, clock=clocks.clock)
    local.failed(EAST_1, clocks.clock())
    assert hosts(endpoints) == [EAST_2, EAST_1]
    assert [candidate.endpoint.host for candidate in endpoints.published()] == [EAST_1, EAST_2]
    clocks.passed_s += 4
    assert hosts(endpoints) == [EAST_1, EAST_2]


# ---- who waits, and for how long


def test_a_first_call_waits_for_the_first_answer_and_no_longer(make: MakeEndpoints) -> None:
    """It is back as soon as the source has answered."""
    source = Told(EAST_1, stalls=True)
    endpoints = make(source)
    opener = threading.Timer(0.1, source.open.set)
    with taking(0.1, 1.0):
        opener.start()
        assert hosts(endpoints, wait_s=5) == [EAST_1]
    opener.join()


def test_a_first_call_waits_at_most_its_own_time_where_nothing_is_known(make: MakeEndpoints) -> None:
    """No endpoint is invented then; a caller that does not want to wait does not."""
    endpoints = make(Told(EAST_1, stalls=True))
    with taking(0, 0.1):
        assert hosts(endpoints) == []
    with taking(0.2, 0.7):
        assert hosts(endpoints, wait_s=0.2) == []
    assert endpoints.status() == (SourceStatus("told", None, "not asked yet"),)


def test_a_first_call_waits_a_second_where_another_source_knows_endpoints_and_never_again(
    make: MakeEndpoints,
) -> None:
    """The better source gets a moment; one that hangs does not cost that at each connect."""
    endpoints = make(Told(EAST_1, stalls=True), StaticList([EAST_2]))
    with taking(1.0, 1.5):
        assert hosts(endpoints, wait_s=5) == [EAST_2]
    for _ in range(3):
        with taking(0, 0.1):
            assert hosts(endpoints, wait_s=5) == [EAST_2]


def test_a_first_call_that_has_less_than_a_second_waits_that_long(make: MakeEndpoints) -> None:
    """The second is a bound, and not an extension."""
    endpoints = make(Told(EAST_1, stalls=True), StaticList([EAST_2]))
    with taking(0.1, 0.6):
        assert hosts(endpoints, wait_s=0.1) == [EAST_2]


def test_no_connect_waits_for_a_source_that_has_failed(make: MakeEndpoints) -> None:
    """It has been asked to an end: the error is for the status, in the source's own words."""
    source = Told(EAST_1)
    source.failure = SourceError("denied")
    endpoints = make(source)
    with taking(0, 1.0):
        assert hosts(endpoints, wait_s=5) == []
    assert endpoints.status() == (SourceStatus("told", None, "denied"),)


def test_a_call_that_waits_for_the_last_source_is_not_lost_when_it_answers_meanwhile(
    make: MakeEndpoints,
) -> None:
    """It may answer between the look and the wait."""
    source = Told(EAST_1, stalls=True)
    looks: list[float] = []

    def clock() -> float:
        looks.append(1.0)
        if len(looks) == 2:
            # The first one is for the beginning; now the source was found unanswered.
            source.open.set()
            assert endpoints._feeds[0].wait(5)
        return float(len(looks))

    endpoints = make(source, monotonic=clock)
    assert hosts(endpoints, wait_s=100) == [EAST_1]


def test_no_source_is_ever_asked_on_the_callers_thread(make: MakeEndpoints, clocks: Clocks) -> None:
    """A source that hangs at its next read holds up no connect, and its last good answer serves."""
    source = Told(EAST_1, EAST_2)
    endpoints = make(source, clock=clocks.clock, now=clocks.now)
    assert hosts(endpoints, wait_s=5) == [EAST_1, EAST_2]
    assert source.asked.acquire(timeout=5)
    wait_until(lambda: endpoints._feeds[0]._due_at is not None)
    source.open.clear()
    clocks.passed_s += 3600
    with taking(0, 0.5):
        hosts(endpoints, wait_s=5)
    assert source.asked.acquire(timeout=5)
    for _ in range(20):
        with taking(0, 0.1):
            assert hosts(endpoints, wait_s=5) == [EAST_1, EAST_2]
        clocks.passed_s += 60
    assert threading.current_thread() not in source.askers


# ---- what changes, and when it is seen


def test_news_is_seen_at_the_next_call(make: MakeEndpoints, clocks: Clocks) -> None:
    """The list is kept for a second, unless a source has something to say."""
    source = Told(EAST_1)
    endpoints = make(source, clock=clocks.clock, now=clocks.now)
    assert hosts(endpoints, wait_s=5) == [EAST_1]
    wait_until(lambda: endpoints._feeds[0]._due_at is not None)
    source.answer = EAST_2
    clocks.passed_s += 3600
    wait_until(lambda: hosts(endpoints) == [EAST_2])


def test_a_document_that_comes_to_its_end_changes_who_is_a_candidate_without_any_news(
    make: MakeEndpoints, clocks: Clocks, tmp_path: Path, ssm_down: None
) -> None:
    """The publisher is silent and SSM is down: from the copy on disk to the last resort, and beyond."""
    source = SsmDocument("orders", "prod", region="us-east-1")
    DiskCopy(tmp_path / "copy").write(source.name, serialize(DOCUMENT))
    endpoints = make(source, copy=tmp_path / "copy", clock=clocks.clock, now=clocks.now)

    def ranks() -> list[tuple[str, bool]]:
        return [(each.endpoint.host, each.last_resort) for each in endpoints.candidates()]

    assert ranks() == [(EAST_2, False), (EAST_1, True)]
    clocks.passed_s = 300
    assert ranks() == [(EAST_2, False), (EAST_1, True)]
    clocks.passed_s = 301
    assert ranks() == [(EAST_1, False), (EAST_2, False)]
    assert endpoints.status()[0].age_s == 301.0
    # A monotonic clock that goes back after a thaw does not bring a list of the past back.
    clocks.passed_s = 299
    assert ranks() == [(EAST_2, False), (EAST_1, True)]


def test_what_is_known_is_never_empty_because_a_source_speaks_meanwhile(make: MakeEndpoints) -> None:
    """A source's thread may have the list forgotten between a caller's look at it and its return."""

    class Instant(float):
        def __sub__(self, other: float) -> float:
            endpoints._forget()
            return float(self) - other

    endpoints = make(StaticList([EAST_1]), clock=lambda: Instant(1000.0))
    for _ in range(3):
        assert [candidate.endpoint.host for candidate in endpoints.published()] == [EAST_1]


def test_after_close_no_source_is_asked_and_what_is_known_serves(make: MakeEndpoints, clocks: Clocks) -> None:
    """A process that ends may still connect."""
    source = Told(EAST_1)
    with make(source, clock=clocks.clock, now=clocks.now) as endpoints:
        assert hosts(endpoints, wait_s=5) == [EAST_1]
    wait_until(lambda: not any(thread.name == "beacon-feed" for thread in threading.enumerate()))
    assert source.asked.acquire(timeout=5)
    clocks.passed_s += 3600
    assert hosts(endpoints, wait_s=5) == [EAST_1]
    assert not source.asked.acquire(blocking=False)


def test_what_was_good_is_kept_on_disk_for_the_next_process(make: MakeEndpoints, tmp_path: Path) -> None:
    """All sources share the one file, and what each said last is known at once, though it hangs now."""

    def kept(name: str) -> bool:
        return DiskCopy(tmp_path / "copy").read(name) is not None

    for name, host in (("first", EAST_1), ("second", EAST_2)):
        assert hosts(make(Told(host, name=name), copy=str(tmp_path / "copy")), wait_s=5) == [host]
        wait_until(partial(kept, name))
    silent = [Told(WEST_2, name=name, stalls=True) for name in ("first", "second")]
    endpoints = make(*silent, copy=str(tmp_path / "copy"))
    # Not for longer than where another source knows endpoints: these copies do not say how old they are.
    with taking(0.5, 1.5):
        assert hosts(endpoints, wait_s=5) == [EAST_1, EAST_2]
    with taking(0, 0.5):
        assert hosts(endpoints, wait_s=5) == [EAST_1, EAST_2]
    assert {status.problem for status in endpoints.status()} == {"known from the copy on disk; not asked yet"}


def test_a_candidate_keeps_what_its_source_says_of_it(make: MakeEndpoints, ssm_down: None) -> None:
    """Port, latency and last resort, also where it is dialled elsewhere."""
    source = SsmDocument("orders", "prod", region="us-east-1")
    source.accept(serialize(replace(DOCUMENT, valid_until=NOW + timedelta(hours=1))), NOW)
    endpoints = make(source, dial={EAST_2: ("127.0.0.1", 1)}, now=lambda: NOW)
    assert list(endpoints.candidates()) == [
        Candidate(Endpoint("us-east-2", EAST_2, 5432, ("127.0.0.1", 1)), latency_ms=1.5),
        Candidate(Endpoint("us-east-1", EAST_1), last_resort=True),
    ]
