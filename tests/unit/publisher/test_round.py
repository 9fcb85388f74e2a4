"""The publisher's round against a store that behaves like SSM, and misbehaves like it."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from beacon.document.form import Expected, parse, serialize
from beacon.document.store import Stored, StoreError
from beacon.model import Change, Document, Endpoint, Forced, Intent, Observation, Policy
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.decide import Subject
from beacon.publisher.observe import Observer, RecheckPolicy, Round
from beacon.publisher.round import Publisher, RoundReport

A, B = "us-east-1", "us-east-2"
HOSTS = {A: "a" * 26 + ".dsql.us-east-1.on.aws", B: "b" * 26 + ".dsql.us-east-2.on.aws"}
SUBJECT = Subject("orders-prod", "dsql", A, tuple(Endpoint(region, host) for region, host in HOSTS.items()))
EXPECTED = Expected("orders-prod", "dsql", A, frozenset(HOSTS.values()))
NOW = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
PASS = Observation(ProbeOutcome.PASS, Reason.OK, 10.0)
FAIL = Observation(ProbeOutcome.FAIL, Reason.TIMEOUT)


class FakeStore:
    """Two parameters with versions; a hook runs before a write, as another writer would."""

    def __init__(self) -> None:
        self.document: tuple[str, int] | None = None
        self.endpoint: tuple[str, int] | None = None
        self.calls: list[str] = []
        self.broken: set[str] = set()
        self.before_write: list[Callable[[], object]] = []
        self.before_endpoint: list[Callable[[], object]] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.broken:
            raise StoreError(f"{name} failed", "ThrottlingException")

    def put_document(self, text: str) -> int:
        self.document = (text, self.document[1] + 1 if self.document else 1)
        return self.document[1]

    def put_endpoint(self, host: str) -> int:
        self.endpoint = (host, self.endpoint[1] + 1 if self.endpoint else 1)
        return self.endpoint[1]

    def read(self) -> Stored:
        self._call("read")
        document, endpoint = self.document or (None, 0), self.endpoint or (None, 0)
        return Stored(document[0], document[1], endpoint[0], endpoint[1])

    def write_document(self, text: str) -> int:
        self._call("document")
        if self.before_write:
            self.before_write.pop(0)()
        return self.put_document(text)

    def write_endpoint(self, host: str) -> int:
        self._call("endpoint")
        if self.before_endpoint:
            self.before_endpoint.pop(0)()
        return self.put_endpoint(host)

    @property
    def published(self) -> Document:
        assert self.document is not None
        return parse(self.document[0], EXPECTED, NOW + timedelta(days=1))

    @property
    def writes(self) -> list[str]:
        return [call for call in self.calls if call != "read"]


class FakeObserver(Observer):
    """Sees what the test sets."""

    def __init__(self) -> None:
        super().__init__({}, RecheckPolicy(1.0, 1.0, 3))
        self.seen: dict[str, tuple[Observation, ...]] = {A: (PASS,), B: (PASS,)}
        self.intents: dict[str, Intent] | None = {}
        self.known_down: list[Collection[str]] = []

    def run(self, known_down: Collection[str] = ()) -> Round:
        self.known_down.append(frozenset(known_down))
        return Round(self.seen, self.intents)


class Bench:
    """A publisher with a store, an observer and a clock that the test holds."""

    def __init__(self) -> None:
        self.store, self.observer, self.now = FakeStore(), FakeObserver(), NOW
        self.publisher = self.restarted()

    def restarted(self) -> Publisher:
        """Another sandbox: it knows nothing but what is stored."""
        policy = Policy(fall=3, rise=1, ranking="priority")
        self.publisher = Publisher(self.observer, self.store, SUBJECT, policy, now=lambda: self.now)
        return self.publisher

    def round(self, after_s: float = 60.0) -> RoundReport:
        self.now += timedelta(seconds=after_s)
        self.store.calls.clear()
        return self.publisher.run()


@pytest.fixture
def bench() -> Bench:
    """A new deployment: nothing is stored yet."""
    return Bench()


def test_the_first_round_writes_both_parameters(bench: Bench) -> None:
    """The document whole, the endpoint plain."""
    report = bench.round()
    assert (report.written, report.repairs, report.problems) == (True, 0, ())
    assert bench.store.published == report.document
    assert bench.store.endpoint == (HOSTS[A], 1)
    assert [change.region for change in report.changes] == [A, B]


def test_the_heartbeat_writes_the_document_and_not_the_endpoint(bench: Bench) -> None:
    """Its epoch and its time move on, the endpoint keeps its version."""
    first = bench.round().document
    second = bench.round()
    assert bench.store.writes == ["document"]
    assert second.document.epoch > first.epoch
    assert second.document.as_of == first.as_of + timedelta(seconds=60)
    assert second.changes == ()
    assert bench.store.endpoint == (HOSTS[A], 1)


def test_the_endpoint_is_written_when_the_preferred_one_changes(bench: Bench) -> None:
    """And once, not each time."""
    bench.round()
    bench.observer.seen = {A: (FAIL,) * 3, B: (PASS,)}
    report = bench.round()
    assert bench.store.writes == ["document", "endpoint"]
    assert bench.store.endpoint == (HOSTS[B], 2)
    assert [change.reason for change in report.changes] == ["observed up -> down (timeout), taken out"]
    bench.round()
    assert bench.store.writes == ["document"]


def test_an_operators_drain_is_published(bench: Bench) -> None:
    """Observed and forced are both in the document."""
    bench.round()
    bench.observer.intents = {A: Intent(A, Forced.DRAIN)}
    bench.round()
    assert bench.store.published.preferred.region == B
    assert bench.store.endpoint == (HOSTS[B], 2)


def test_what_is_known_to_be_down_is_passed_to_the_observer(bench: Bench) -> None:
    """From memory, and by another sandbox from what is stored."""
    bench.observer.seen = {A: (FAIL,) * 3, B: (PASS,)}
    bench.round()
    bench.round()
    bench.restarted()
    bench.round()
    assert bench.observer.known_down == [frozenset(), {A}, {A}]


def test_a_new_sandbox_continues_where_the_last_one_stopped(bench: Bench) -> None:
    """Streaks, order and epoch come from the store."""
    bench.observer.seen = {A: (FAIL, FAIL), B: (PASS,)}
    bench.round()
    bench.restarted()
    bench.observer.seen = {A: (FAIL,), B: (PASS,)}
    bench.round()
    assert bench.store.published.preferred.region == B


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "not JSON",
        json.dumps({"schema": 2}),
        "x" * 5000,
        '{"schema":1}',
    ],
)
def test_a_malformed_document_is_reported_ignored_and_replaced(bench: Bench, text: str) -> None:
    """Whole: what the publisher knows stays, and a good document stands there after the round."""
    before = bench.round().document
    bench.store.put_document(text)
    report = bench.round()
    assert any(problem.startswith("the stored document is ignored: ") for problem in report.problems)
    assert report.written
    assert bench.store.published.endpoints == before.endpoints
    assert bench.store.published.epoch > before.epoch
    bench.store.put_document(text)
    bench.restarted()
    assert bench.round().written
    assert bench.store.published.preferred.region == A


def test_a_document_from_the_far_future_does_not_lock_the_publisher_out(bench: Bench) -> None:
    """It is ignored; the next epoch follows the clock."""
    document = bench.round().document
    future = replace(document, epoch=document.epoch + 10**9)
    bench.store.put_document(serialize(future))
    report = bench.round()
    assert "ahead of the clock" in report.problems[0]
    assert report.document.epoch == int(bench.now.timestamp() * 1000)
    assert bench.store.published == report.document


def test_a_lower_epoch_in_the_store_is_no_rollback(bench: Bench) -> None:
    """A delayed writer's document is ignored and overwritten."""
    old = bench.round().document
    bench.observer.seen = {A: (FAIL,) * 3, B: (PASS,)}
    bench.round()
    bench.store.put_document(serialize(old))
    bench.observer.seen = {A: (FAIL,), B: (PASS,)}
    report = bench.round()
    assert report.problems == (
        "the stored document is ignored: epoch is lower than that of the last document",
    )
    assert bench.store.published.preferred.region == B


@pytest.mark.parametrize("host", ["localhost", "", HOSTS[A].upper(), "z" * 26 + ".dsql.us-east-1.on.aws"])
def test_a_foreign_endpoint_is_reported_and_replaced(bench: Bench, host: str) -> None:
    """From any writer."""
    bench.round()
    bench.store.put_endpoint(host)
    report = bench.round()
    assert report.problems == ("the stored endpoint is none of the configured ones",)
    assert bench.store.endpoint == (HOSTS[A], 3)


# ---- two writers


def another_document(bench: Bench, *, ahead: int = 1) -> str:
    """What another publisher made of the same stored document: us-east-1 is out there."""
    assert bench.store.document is not None
    last = parse(bench.store.document[0], EXPECTED, bench.now)
    rows = {"observed": "down", "effective": "out", "reason": "reset"}
    value = json.loads(serialize(replace(last, epoch=last.epoch + ahead)))
    value["endpoints"] = [value["endpoints"][1], value["endpoints"][0] | rows]
    return json.dumps(value)


def test_a_writer_that_was_overtaken_before_its_write_says_it_again(bench: Bench) -> None:
    """Ours is the last word, but a reader may have met the other's: a higher epoch settles it."""
    bench.round()
    other = another_document(bench, ahead=60_500)

    def interfere() -> None:
        bench.now += timedelta(seconds=1)
        bench.store.put_document(other)

    bench.store.before_write.append(interfere)
    report = bench.round()
    assert (report.written, report.repairs) == (True, 1)
    assert report.problems == ("version 3 followed 1: another writer was here",)
    assert bench.store.writes == ["document", "document"]
    assert bench.store.published == report.document
    assert report.document.epoch > json.loads(other)["epoch"]
    assert bench.store.published.preferred.region == A


def test_a_writer_that_was_overtaken_after_its_write_builds_on_the_others(bench: Bench) -> None:
    """Theirs is the last word: the same observations are judged again on top of it."""
    bench.round()
    store, other = bench.store, another_document(bench, ahead=60_500)

    class Overtaken(FakeStore):
        overtake = True

        def write_document(self, text: str) -> int:
            version = super().write_document(text)
            if self.overtake:
                self.overtake = False
                self.put_document(other)
                # As if the other had read before us: our version is not the one that follows.
                return version + 1
            return version

    overtaken = Overtaken()
    overtaken.document, overtaken.endpoint = store.document, store.endpoint
    bench.store = overtaken
    bench.restarted()
    report = bench.round()
    assert (report.written, report.repairs) == (True, 1)
    assert overtaken.published == report.document
    # Their document said down; one pass brings it back at a rise of one.
    assert [change.reason for change in report.changes] == ["observed down -> up (ok), back in"]
    assert report.document.epoch > json.loads(other)["epoch"]


def test_every_epoch_that_a_reader_may_meet_in_a_round_is_lower_than_the_last(bench: Bench) -> None:
    """Also when the clock stands still and the other's document is from ahead of it."""
    bench.round()
    met: list[int] = []
    for _ in range(3):

        def interfere() -> None:
            assert bench.store.document is not None
            bench.store.put_document(bench.store.document[0])

        bench.store.before_write.append(interfere)
    write = bench.store.put_document

    def noting(text: str) -> int:
        met.append(json.loads(text)["epoch"])
        return write(text)

    bench.store.put_document = noting  # type: ignore[method-assign]
    report = bench.round(after_s=0.0)
    ours = met[1::2]
    assert ours == sorted(set(ours))
    assert report.document.epoch == max(met)


def test_repairs_end(bench: Bench) -> None:
    """A writer that always interferes is reported; the next round tries again."""
    bench.round()

    def interfere() -> None:
        assert bench.store.document is not None
        bench.store.put_document(bench.store.document[0])

    bench.store.before_write.extend([interfere] * 20)
    report = bench.round()
    assert report.repairs == 3
    assert len(bench.store.writes) == 4
    bench.store.before_write.clear()
    assert bench.round().repairs == 0


def test_a_parameter_that_was_deleted_and_made_again_is_repaired(bench: Bench) -> None:
    """Its versions start again."""
    bench.round()
    bench.round()

    def delete() -> None:
        bench.store.document = None

    bench.store.before_write.append(delete)
    report = bench.round()
    assert report.problems == ("version 1 followed 2: another writer was here",)
    assert bench.store.published == report.document


def test_a_delayed_endpoint_of_another_writer_is_overwritten(bench: Bench) -> None:
    """The plain parameter has no epoch: its version is looked at just the same."""
    bench.round()
    bench.observer.seen = {A: (FAIL,) * 3, B: (PASS,)}
    bench.store.before_endpoint.append(lambda: bench.store.put_endpoint(HOSTS[A]))
    report = bench.round()
    assert report.problems == ("version 3 followed 1: another writer was here",)
    assert bench.store.endpoint == (HOSTS[B], 3)
    assert bench.store.published.preferred.region == B


def test_a_writer_that_another_follows_unseen_says_it_again(bench: Bench) -> None:
    """The other built on our document, in the right version, before our endpoint was written."""
    bench.round()
    other = another_document(bench, ahead=60_500)
    away = bench.store.write_endpoint

    def followed(host: str) -> int:
        version = away(host)
        bench.store.put_document(other)
        bench.store.write_endpoint = away  # type: ignore[method-assign]
        return version

    bench.store.write_endpoint = followed  # type: ignore[method-assign]
    bench.observer.intents = {A: Intent(A, Forced.DRAIN)}
    report = bench.round()
    assert (report.written, report.repairs) == (True, 1)
    assert report.problems == ("what was written does not stand: another writer was here",)
    assert report.document.epoch > json.loads(other)["epoch"]
    assert bench.store.published == report.document
    assert bench.store.endpoint == (HOSTS[B], 2)


def test_a_document_that_cannot_be_read_again_is_taken_to_stand(bench: Bench) -> None:
    """The write was acknowledged in the right version; the next round looks again."""
    read, reads = bench.store.read, []

    def once() -> Stored:
        reads.append(1)
        if len(reads) == 3:
            raise StoreError("read failed", "ThrottlingException")
        return read()

    bench.store.read = once  # type: ignore[method-assign]
    report = bench.round()
    assert (report.written, report.repairs) == (True, 0)
    assert report.problems == ("read failed: ThrottlingException",)


# ---- old news


def reads_and_writes(bench: Bench) -> list[str]:
    calls, bench.store.calls = bench.store.calls, []
    return calls


def test_what_is_published_already_is_old_news_and_costs_one_read(bench: Bench) -> None:
    """This Region is out, and both parameters say so; also for a sandbox that knows nothing yet."""
    bench.round()
    assert not bench.publisher.is_old_news()
    bench.observer.seen = {A: (FAIL,) * 3, B: (PASS,)}
    bench.round()
    for publisher in (bench.publisher, bench.restarted()):
        reads_and_writes(bench)
        assert publisher.is_old_news()
        assert reads_and_writes(bench) == ["read"]


def test_a_region_that_is_drained_is_old_news_too(bench: Bench) -> None:
    """The health function asks for the publisher when it says drained for the first time."""
    bench.observer.intents = {A: Intent(A, Forced.DRAIN)}
    bench.round()
    assert bench.publisher.is_old_news()


def test_another_regions_failure_is_no_news_of_this_one(bench: Bench) -> None:
    """This Region is in: a round looks at it."""
    bench.observer.seen = {A: (PASS,), B: (FAIL,) * 3}
    bench.round()
    assert not bench.publisher.is_old_news()


@pytest.mark.parametrize(("age_s", "old"), [(0.0, True), (9.9, True), (10.0, False), (-1.0, False)])
def test_a_frozen_document_is_news_for_ten_seconds(bench: Bench, age_s: float, old: bool) -> None:
    """Every endpoint fails: rounds follow each other no closer, and continue to look for an end of it."""
    bench.observer.seen = {A: (FAIL,) * 3, B: (FAIL,) * 3}
    assert bench.round().document.frozen
    bench.now += timedelta(seconds=age_s)
    assert bench.publisher.is_old_news() == old


def test_an_expired_document_is_news_no_more(bench: Bench) -> None:
    """Past its validity every endpoint is a candidate again: the document has to be renewed."""
    bench.observer.seen = {A: (FAIL,) * 3, B: (PASS,)}
    bench.round()
    bench.now += timedelta(seconds=301)
    assert not bench.publisher.is_old_news()


@pytest.mark.parametrize("spoil", ["document", "endpoint", "read", "missing", "rollback"])
def test_what_does_not_stand_there_as_it_should_is_no_old_news(bench: Bench, spoil: str) -> None:
    """A round repairs it."""
    old = serialize(bench.round().document)
    bench.observer.seen = {A: (FAIL,) * 3, B: (PASS,)}
    bench.round()
    if spoil == "document":
        bench.store.put_document("{}")
    elif spoil == "endpoint":
        bench.store.put_endpoint(HOSTS[A])
    elif spoil == "read":
        bench.store.broken = {"read"}
    elif spoil == "missing":
        bench.store.document = None
    else:
        bench.store.put_document(old)
    assert not bench.publisher.is_old_news()


# ---- what a round tells others


def test_changes_are_announced_and_what_goes_wrong_there_is_a_problem(bench: Bench) -> None:
    """With the document that made them; a round without a change announces nothing."""
    told: list[tuple[int, list[str]]] = []

    def announce(document: Document, changes: Sequence[Change]) -> list[str]:
        told.append((document.epoch, [change.region for change in changes]))
        return ["announcing failed"]

    policy = Policy(fall=3, rise=1, ranking="priority")
    bench.publisher = Publisher(
        bench.observer, bench.store, SUBJECT, policy, announce=announce, now=lambda: bench.now
    )
    first = bench.round()
    assert told == [(first.document.epoch, [A, B])]
    assert (first.problems, first.written) == (("announcing failed",), True)
    assert bench.round().problems == ()
    assert len(told) == 1


def test_the_age_of_what_is_published_grows_while_ssm_cannot_be_written(bench: Bench) -> None:
    """Zero after a write, then what readers are left with; nothing where nothing is known."""
    bench.store.broken = {"read"}
    assert bench.round().age_s is None
    bench.store.broken = set()
    assert bench.round().age_s == 0.0
    bench.store.broken = {"document"}
    assert bench.round(30.0).age_s == 30.0
    bench.store.broken = {"read", "document"}
    assert bench.round(30.0).age_s == 60.0
    bench.restarted()
    bench.store.broken = {"document"}
    assert bench.round(30.0).age_s == 90.0


# ---- SSM down


def test_without_ssm_the_last_known_document_lives_on(bench: Bench) -> None:
    """Nothing is raised; rounds continue to decide, and the result is published when SSM is back."""
    bench.round()
    bench.store.broken = {"read", "document", "endpoint"}
    bench.observer.seen = {A: (FAIL,) * 3, B: (PASS,)}
    report = bench.round()
    assert not report.written
    assert report.problems == ("read failed: ThrottlingException",)
    assert report.document.preferred.region == B
    assert bench.store.writes == []
    bench.store.broken = set()
    bench.observer.seen = {A: (FAIL,), B: (PASS,)}
    report = bench.round()
    assert report.written
    assert bench.store.published.preferred.region == B
    assert bench.store.endpoint == (HOSTS[B], 2)


def test_a_new_sandbox_without_ssm_still_answers(bench: Bench) -> None:
    """It knows the configuration and what it sees."""
    bench.store.broken = {"read"}
    report = bench.round()
    assert not report.written
    assert {state.region for state in report.document.endpoints} == {A, B}


@pytest.mark.parametrize("broken", ["document", "endpoint"])
def test_one_parameter_that_cannot_be_written_does_not_hold_the_other(bench: Bench, broken: str) -> None:
    """Failover goes by whichever works; the other follows when it can."""
    bench.round()
    bench.store.broken = {broken}
    bench.observer.seen = {A: (FAIL,) * 3, B: (PASS,)}
    report = bench.round()
    assert report.written == (broken == "endpoint")
    assert report.problems == (f"{broken} failed: ThrottlingException",)
    published = [bench.store.published.preferred.host, (bench.store.endpoint or ("", 0))[0]]
    assert sorted(published) == sorted(HOSTS.values())
    bench.store.broken = set()
    bench.observer.seen = {A: (FAIL,), B: (PASS,)}
    bench.round()
    assert bench.store.published.preferred.host == HOSTS[B]
    assert bench.store.endpoint == (HOSTS[B], 2)


def test_problems_are_reported_once_a_round(bench: Bench) -> None:
    """A new sandbox reads twice and complains once."""
    bench.store.put_document("{}")
    assert len(bench.round().problems) == 1
