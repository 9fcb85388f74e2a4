"""One connect: its time holds whatever hangs, and what is ours is blamed on no endpoint."""

from __future__ import annotations

import asyncio
import pickle
import socket
import time
from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest
from tests.lab.client.conftest import FAR, NEAR, Client, region_of

from beacon import CommitOutcomeUnknownError, ConnectError, QueryTimeoutError, StaticList
from beacon.client.candidates import Candidate
from beacon.client.sources import Fetched
from beacon.model import Endpoint
from beacon_lab.faults import FaultKind

pytestmark = pytest.mark.lab


class News:
    """A source that takes a moment to say that the near Region is drained."""

    name = "news"

    def __init__(self, client: Client) -> None:
        self._hosts = client.hosts
        self._known = False

    def fetch(self) -> Fetched:
        time.sleep(0.3)
        return Fetched("drained")

    def accept(self, text: str, now: datetime) -> None:  # noqa: ARG002 - a source's
        self._known = True

    def as_of(self) -> None:
        return None

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:  # noqa: ARG002 - as above
        near, far = self._hosts
        found = (Candidate(Endpoint(FAR, far)), Candidate(Endpoint(NEAR, near), last_resort=True))
        return found if self._known else ()


@pytest.fixture
def silent_metadata(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No keys in the environment, and a container's credentials service that accepts and never answers."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/keys")
        yield


@pytest.mark.parametrize("style", ["sync", "async"])
@pytest.mark.usefixtures("silent_metadata")
def test_credentials_that_do_not_come_end_a_connect_at_its_time(client: Client, style: str) -> None:
    """Nothing is contacted, and the error says why."""

    def connect() -> object:
        if style == "sync":
            return client.connect(timeout_s=1)
        return asyncio.run(client.connect_async(timeout_s=1))

    began = time.monotonic()
    with pytest.raises(ConnectError, match="nothing was tried: no credentials came within 1 s"):
        connect()
    assert 1.0 <= time.monotonic() - began < 2.0
    assert client.open_connections() == {NEAR: 0, FAR: 0}


def test_a_short_time_is_held_too(client: Client) -> None:
    """Although no server answers."""
    for region in (NEAR, FAR):
        client.inject(region, FaultKind.DSQL_FREEZE)
    began = time.monotonic()
    with pytest.raises(ConnectError, match=r"within 0\.1 s"):
        client.connect(timeout_s=0.1)
    assert time.monotonic() - began < 0.4


def test_a_look_at_what_is_known_does_not_end_the_first_wait(client: Client) -> None:
    """The first connect still gives the first source a moment."""
    endpoints = client.endpoints(News(client), StaticList(client.hosts))
    assert [candidate.endpoint.region for candidate in endpoints.candidates()] == [NEAR, FAR]
    with client.connect(endpoints) as connection:
        assert region_of(connection) == FAR


def test_a_process_that_stood_still_blames_no_endpoint(client: Client) -> None:
    """Its event loop was held up past the deadline: the next connect goes where it should."""

    async def story() -> str:
        endpoints = client.endpoints()
        await (await client.connect_async(endpoints)).close()
        connecting = asyncio.ensure_future(client.connect_async(endpoints, timeout_s=0.3))
        # Until it has begun; then another task holds the loop.
        await asyncio.sleep(0)
        time.sleep(0.8)  # noqa: ASYNC251 - that is the fault
        await asyncio.wait({connecting})
        error = connecting.exception()
        if error is None:
            await connecting.result().close()
        else:
            assert isinstance(error, ConnectError)
            assert {attempt.reason for attempt in error.attempts} == {"internal"}
        connection = await client.connect_async(endpoints)
        await connection.close()
        return region_of(connection)

    assert asyncio.run(story()) == NEAR


def test_an_answer_that_is_read_late_is_an_answer(client: Client) -> None:
    """A loop that was held up longer than a statement may take still hears what the server said."""

    async def story() -> None:
        connection = await client.connect_async(query_timeout_s=0.3, autocommit=True)
        async with connection:
            asking = asyncio.ensure_future(connection.execute("SELECT 1 / 0"))
            await asyncio.sleep(0)
            time.sleep(0.6)  # noqa: ASYNC251 - that is the fault
            with pytest.raises(psycopg.errors.DivisionByZero):
                await asking
            assert not connection.closed

    asyncio.run(story())


@pytest.mark.parametrize(
    "error", [QueryTimeoutError(NEAR, 1.5), ConnectError("no endpoint"), CommitOutcomeUnknownError("unknown")]
)
def test_errors_can_be_sent_to_another_process(error: psycopg.Error) -> None:
    """As psycopg's own can."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), str(again)) == (type(error), str(error))
