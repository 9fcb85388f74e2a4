"""Readers continue from one document to the next, never back. They always have an endpoint to try."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from beacon.document.form import DocumentError, Expected, candidates, serialize
from beacon.document.reader import Reader
from beacon.model import Document, Effective, EndpointState, Observed

NOW = datetime(2026, 11, 22, 1, 2, 3, 456000, tzinfo=UTC)
EPOCH = int(NOW.timestamp() * 1000)
HOSTS = ("a" * 26 + ".dsql.us-east-1.on.aws", "b" * 26 + ".dsql.us-east-2.on.aws")
FIRST = Document(
    service="orders-prod",
    target="dsql",
    observer="us-east-1",
    epoch=EPOCH,
    as_of=NOW,
    valid_until=NOW + timedelta(seconds=300),
    endpoints=(
        EndpointState("us-east-1", HOSTS[0], 5432, Observed.UP, None, Effective.IN, "ok", NOW, 1.5, 0, NOW),
        EndpointState("us-east-2", HOSTS[1], 5432, Observed.DOWN, None, Effective.OUT, "reset", NOW),
    ),
)


@pytest.fixture
def reader() -> Reader:
    """One that has accepted the first document."""
    reader = Reader(Expected("orders-prod", "dsql", "us-east-1", frozenset(HOSTS)))
    reader.accept(serialize(FIRST), NOW)
    return reader


def test_a_reader_that_has_read_nothing_says_so() -> None:
    """It makes no document up."""
    reader = Reader(Expected("orders-prod", "dsql", "us-east-1"))
    assert (reader.last, reader.text) == (None, "")


def test_a_higher_epoch_is_taken_and_the_same_document_again(reader: Reader) -> None:
    """The heartbeat, and a second look in between."""
    assert reader.accept(serialize(FIRST), NOW) == FIRST
    following = replace(FIRST, epoch=EPOCH + 1)
    assert reader.accept(serialize(following), NOW) == following
    assert reader.last == following


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        serialize(replace(FIRST, epoch=EPOCH - 1)),
        serialize(replace(FIRST, epoch=EPOCH + 302_000)),
        serialize(replace(FIRST, observer="us-east-2")),
        serialize(replace(FIRST, note="all_failed", frozen=True)),
    ],
    ids=["empty", "no document", "lower epoch", "from the future", "foreign", "same epoch, other content"],
)
def test_what_is_not_acceptable_changes_nothing(reader: Reader, text: str) -> None:
    """The last good document stays, as a whole."""
    with pytest.raises(DocumentError):
        reader.accept(text, NOW)
    assert (reader.last, reader.text) == (FIRST, serialize(FIRST))


def test_there_is_always_an_endpoint_to_try(reader: Reader) -> None:
    """Those that are in; past the document's validity all of them, as they were ranked last."""
    assert reader.last is not None
    assert [state.host for state in candidates(reader.last, NOW)] == [HOSTS[0]]
    assert [state.host for state in candidates(reader.last, NOW + timedelta(seconds=301))] == [*HOSTS]


def test_a_reader_continues_from_its_own_document(reader: Reader) -> None:
    """It is what a lower epoch is held against, and its text is what a second look finds."""
    own = replace(FIRST, epoch=EPOCH + 5)
    reader.keep(own)
    assert reader.accept(serialize(own), NOW) == own
    with pytest.raises(DocumentError):
        reader.accept(serialize(replace(FIRST, epoch=EPOCH + 4)), NOW)
