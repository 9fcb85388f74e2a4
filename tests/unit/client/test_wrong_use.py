"""A wrong use of the public API ends in one sentence that names the right way, before anything is tried."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import psycopg
import psycopg_pool
import pytest
from psycopg import pq
from psycopg.rows import dict_row

import beacon
from beacon import AsyncPool, Connection, Endpoints, Pool, PoolPolicy, StaticList
from beacon.client.connect_error import Attempt, ConnectError
from beacon.client.connect_options import connection_problems
from beacon.client.pool_care import PoolCare
from beacon.client.pool_options import PASSED_ON

HOST = "a" * 26 + ".dsql.us-east-1.on.aws"
Call = Callable[[], object]
#: Any: mypy would refuse each of the calls below.
api: Any = beacon


def endpoints() -> Endpoints:
    """Endpoints that are never connected to."""
    return Endpoints(StaticList([HOST]))


def of_connect(**options: Any) -> object:  # noqa: ANN401 - wrong on purpose
    return api.connect(endpoints(), **{"user": "orders", **options})


def of_pool(**options: Any) -> object:  # noqa: ANN401 - as above
    return api.Pool(endpoints(), **{"user": "orders", **options})


def of_document(**options: Any) -> object:  # noqa: ANN401 - as above
    return api.SsmDocument(**{"app": "beacon", "env": "prod", "region": "us-east-1", **options})


def work(connection: object) -> None:
    """Never run."""


async def work_async(connection: object) -> None:
    """Never run."""


class Opened:
    """A connection for a ``with`` block, and for an ``async with`` block."""

    def __enter__(self) -> Any:  # noqa: ANN401 - a connection
        raise AssertionError("nothing is opened")

    def __exit__(self, *_: object) -> None: ...

    async def __aenter__(self) -> Any:  # noqa: ANN401 - as above
        raise AssertionError("nothing is opened")

    async def __aexit__(self, *_: object) -> None: ...


CASES: list[tuple[str, Call, str]] = [
    # ---- sources
    (
        "one text is no list",
        lambda: api.StaticList(HOST),
        f"endpoints must be a list, not one text: write StaticList(['{HOST}'])",
    ),
    (
        "a short name",
        lambda: api.StaticList("host"),
        "endpoints must be a list, not one text: write StaticList(['host'])",
    ),
    ("no list", lambda: api.StaticList(None), "endpoints must be a list of text, not NoneType"),
    ("a number in a list", lambda: api.StaticList([HOST, 5]), "endpoints must hold text, not int"),
    ("a record", lambda: api.DnsRecord(None), "record must be text, such as 'db.example.com', not NoneType"),
    (
        "one name server",
        lambda: api.DnsRecord("db.example.com", nameservers="192.0.2.1"),
        "nameservers must be a list, not one text: write nameservers=['192.0.2.1']",
    ),
    (
        "a port as text",
        lambda: api.DnsRecord("db.example.com", port="53"),
        "port must be a whole number, not text: write port=53",
    ),
    ("an app", lambda: of_document(app=None), "app must be text, such as 'beacon', not NoneType"),
    ("an empty env", lambda: of_document(env=""), "env must be text, such as 'prod', not empty"),
    ("a Region", lambda: of_document(region=5), "region must be text, such as 'us-east-1', not int"),
    (
        "one host",
        lambda: of_document(hosts=HOST),
        f"hosts must be a list, not one text: write hosts=['{HOST}']",
    ),
    (
        "a host that is none",
        lambda: of_document(hosts=["db.example.com"]),
        "'db.example.com' is not a DSQL endpoint (<26 characters>.dsql.<region>.on.aws, lower case)",
    ),
    # ---- endpoints
    (
        "a text",
        lambda: api.Endpoints("host"),
        "a source must be an object, not text: StaticList(['host']), or DnsRecord('host')",
    ),
    (
        "a list",
        lambda: api.Endpoints([api.StaticList([HOST])]),
        "sources are given one by one, hosts in a list: Endpoints(SsmDocument(...), StaticList([...]))",
    ),
    (
        "a class",
        lambda: api.Endpoints(api.SsmDocument),
        "a source must be an object, not the class SsmDocument: call SsmDocument(...)",
    ),
    (
        "no source",
        lambda: api.Endpoints(5),
        "a source must be SsmDocument, DnsRecord, StaticList or their like, not int",
    ),
    (
        "an interval as text",
        lambda: api.Endpoints(api.StaticList([HOST]), refresh_s="10"),
        "refresh_s must be a number, not text: write refresh_s=10",
    ),
    (
        "a copy",
        lambda: api.Endpoints(api.StaticList([HOST]), copy=True),
        "copy must be the path of a file, not bool",
    ),
    (
        "an address with its port",
        lambda: api.Endpoints(api.StaticList([HOST]), dial={HOST: "127.0.0.1:5432"}),
        f"dial of '{HOST}' must be (address, port), such as ('127.0.0.1', 5432), not text",
    ),
    (
        "dial",
        lambda: api.Endpoints(api.StaticList([HOST]), dial=[HOST]),
        "dial must be a dict, such as {host: ('127.0.0.1', 5432)}, not list",
    ),
    (
        "credentials",
        lambda: api.Endpoints(api.StaticList([HOST]), credentials="AKIDEXAMPLE"),
        "credentials must be a function that returns Credentials, not text",
    ),
    # ---- connect
    (
        "a host",
        lambda: api.connect("host", user="orders"),
        "connect takes Endpoints, not text: Endpoints(StaticList(['host']))",
    ),
    (
        "a source alone",
        lambda: api.connect(api.StaticList([HOST]), user="orders"),
        "connect takes Endpoints, not a source alone: Endpoints(StaticList(...))",
    ),
    (
        "endpoints for asyncio",
        lambda: asyncio.run(api.connect_async("host", user="orders")),
        "connect takes Endpoints, not text: Endpoints(StaticList(['host']))",
    ),
    (
        "a time as text",
        lambda: of_connect(timeout_s="3"),
        "timeout_s must be a number, not text: write timeout_s=3",
    ),
    (
        "a time that is none",
        lambda: of_connect(timeout_s=None),
        "timeout_s must be a number, 0.1-300, not NoneType",
    ),
    (
        "a time that is no number",
        lambda: of_connect(timeout_s="soon"),
        "timeout_s must be a number, 0.1-300, not text",
    ),
    ("a flag as a time", lambda: of_connect(timeout_s=True), "timeout_s must be a number, 0.1-300, not True"),
    ("not a number", lambda: of_connect(timeout_s=float("nan")), "timeout_s must be 0.1-300, not nan"),
    (
        "a statement's time as text",
        lambda: of_connect(query_timeout_s="5"),
        "query_timeout_s must be a number, not text: write query_timeout_s=5",
    ),
    ("timeout", lambda: of_connect(timeout=5), "'timeout' is no option: use timeout_s, in seconds"),
    (
        "connect_timeout",
        lambda: of_connect(connect_timeout="5"),
        "connect_timeout is decided by beacon: use timeout_s",
    ),
    (
        "host",
        lambda: of_connect(host=HOST),
        "host is decided by beacon: name the endpoint in Endpoints(StaticList(",
    ),
    (
        "password",
        lambda: of_connect(password="x"),
        "password is decided by beacon: a token is signed for each",
    ),
    ("sslrootcert", lambda: of_connect(sslrootcert="x"), "sslrootcert is decided by beacon: use ca_file"),
    ("database", lambda: of_connect(database="x"), "'database' is no option: use dbname"),
    (
        "a misspelt name",
        lambda: of_connect(autocomit="x"),
        "'autocomit' is no option: did you mean autocommit?",
    ),
    (
        "a pool's options",
        lambda: of_connect(options={"application_name": "orders"}),
        "options must be text, not a dict: pass each of its members by its name",
    ),
    ("a user", lambda: of_connect(user=None), "user must be text, not NoneType"),
    ("autocommit", lambda: of_connect(autocommit="yes"), "autocommit must be True or False, not text"),
    (
        "a row factory",
        lambda: of_connect(row_factory=dict),
        "row_factory must be one of psycopg.rows, such as dict_row, or None for tuples",
    ),
    (
        "a prepare threshold",
        lambda: of_connect(prepare_threshold="5"),
        "prepare_threshold must be a whole number, not text: write prepare_threshold=5",
    ),
    # ---- pools: each of them for AsyncPool too, see below
    ("timeout", lambda: of_pool(timeout=5), "Pool does not take timeout: use timeout_s, in seconds"),
    (
        "a time as text",
        lambda: of_pool(timeout_s="5"),
        "timeout_s must be a number, not text: write timeout_s=5",
    ),
    (
        "a connect's time as text",
        lambda: of_pool(connect_timeout_s="5"),
        "connect_timeout_s must be a number, not text: write connect_timeout_s=5",
    ),
    (
        "connect_timeout",
        lambda: of_pool(connect_timeout=5),
        "Pool does not take connect_timeout: use connect_timeout_s",
    ),
    (
        "query_timeout",
        lambda: of_pool(query_timeout=5),
        "Pool does not take query_timeout: use query_timeout_s",
    ),
    (
        "max_lifetime",
        lambda: of_pool(max_lifetime=60),
        "Pool does not take max_lifetime: use policy=PoolPolicy(max_age_s",
    ),
    (
        "kwargs",
        lambda: of_pool(kwargs={}),
        "Pool does not take kwargs: use autocommit, row_factory and prepare_thr",
    ),
    (
        "an option of libpq",
        lambda: of_pool(application_name="orders"),
        "Pool takes libpq's options as one dict: options={'application_name': '...'}",
    ),
    ("a misspelt name", lambda: of_pool(max_sise=5), "Pool does not take max_sise: did you mean max_size?"),
    ("another name", lambda: of_pool(colour=5), "Pool does not take colour"),
    (
        "a size as text",
        lambda: of_pool(min_size="4"),
        "min_size must be a whole number, not text: write min_size=4",
    ),
    (
        "half a connection",
        lambda: of_pool(max_size=4.5),
        "max_size must be a whole number, 1-10000 or None, not 4.5",
    ),
    ("sizes", lambda: of_pool(min_size=5, max_size=4), "max_size must be at least min_size, 5, not 4"),
    (
        "a policy",
        lambda: of_pool(policy={"max_age_s": 60}),
        "policy must be a PoolPolicy, such as PoolPolicy(max_age_s=1800), not dict",
    ),
    (
        "options",
        lambda: of_pool(options="application_name=orders"),
        "options must be a dict, such as {'application_name': 'orders'}, not text",
    ),
    ("open", lambda: of_pool(open="yes"), "open must be True or False, not text"),
    (
        "endpoints",
        lambda: api.Pool("host", user="orders"),
        "Pool takes Endpoints, not text: Endpoints(StaticList(['host']))",
    ),
    (
        "endpoints of another kind",
        lambda: api.Pool(None, user="orders"),
        "Pool takes Endpoints, such as Endpoints(SsmDocument(app, env)), not NoneType",
    ),
    (
        "a pool for asyncio that is to open at once",
        lambda: api.AsyncPool(endpoints(), user="orders", open=True),
        "an AsyncPool cannot open in its constructor: use `async with`, or `await pool.open()`",
    ),
    # ---- policies
    (
        "an age as text",
        lambda: api.PoolPolicy(max_age_s="60"),
        "max_age_s must be a number, not text: write max_age_s=60",
    ),
    (
        "half a connect",
        lambda: api.PoolPolicy(connects_per_s=2.5),
        "connects_per_s must be a whole number, 1-100, not 2.5",
    ),
    ("no limit of connects", lambda: api.PoolPolicy(connects_per_s=0), "connects_per_s must be 1-100, not 0"),
    (
        "attempts as text",
        lambda: api.RetryPolicy(attempts="3"),
        "attempts must be a whole number, not text: write attempts=3",
    ),
    (
        "pauses the wrong way round",
        lambda: api.RetryPolicy(first_pause_s=2, most_pause_s=1),
        "first_pause_s must be at most most_pause_s, 1, not 2",
    ),
    # ---- transactions
    (
        "a pool",
        lambda: api.transact(of_pool(), work),
        "transact takes pool.connection, not the pool itself",
    ),
    (
        "getconn",
        lambda: api.transact(api.Pool(endpoints(), user="orders").getconn, work),
        "transact takes pool.connection, not pool.getconn, whose connection would not come back",
    ),
    (
        "a connection",
        lambda: api.transact(Opened(), work),
        "transact opens a connection for each attempt: pass pool.connection without parentheses, or",
    ),
    (
        "work that has run",
        lambda: api.transact(Opened, None),
        "work must be a function of one connection, not NoneType: pass its name, uncalled",
    ),
    (
        "a number of attempts",
        lambda: api.transact(Opened, work, retry=3),
        "retry must be a RetryPolicy, such as RetryPolicy(attempts=3), not int",
    ),
    (
        "idempotent",
        lambda: api.transact(Opened, work, idempotent="yes"),
        "idempotent must be True or False, not text",
    ),
    (
        "a pool for asyncio",
        lambda: api.transact(api.AsyncPool(endpoints(), user="orders").connection, work),
        "transact takes connections for threads: use pool.connection of a Pool, or transact_async",
    ),
    (
        "a connect for asyncio",
        lambda: api.transact((lambda: api.connect_async(endpoints(), user="orders")), work),
        "transact takes connections for threads: use pool.connection of a Pool, or transact_async",
    ),
    (
        "a pool for threads",
        lambda: asyncio.run(api.transact_async(api.Pool(endpoints(), user="orders").connection, work_async)),
        "transact_async takes connections for asyncio: use pool.connection of an AsyncPool, or transact",
    ),
    (
        "a pool itself",
        lambda: asyncio.run(api.transact_async(api.AsyncPool(endpoints(), user="orders"), work_async)),
        "transact_async takes pool.connection, not the pool itself",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_wrong_use_ends_in_one_sentence_that_names_the_right_way(call: Call, sentence: str) -> None:
    """A ``ValueError`` of one reason: no list of letters, no error of a method that is missing."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}") as caught:
        call()
    assert "; " not in str(caught.value)
    assert "\n" not in str(caught.value)


class Unused(psycopg.Connection[Any]):
    """A connection for threads that was opened, and that no caller gets."""

    def __init__(self) -> None:
        self.ended = False

    def __del__(self, *_: Any) -> None:  # noqa: ANN401 - psycopg's own
        """Without a warning of its own."""

    def close(self) -> None:
        self.ended = True


def test_a_connection_for_threads_that_asyncio_cannot_use_is_closed() -> None:
    """`transact_async(lambda: connect(…), work)`: nothing else would close it."""
    opened = Unused()
    with pytest.raises(ValueError, match="takes connections for asyncio"):
        asyncio.run(api.transact_async(lambda: opened, work_async))
    assert opened.ended


@pytest.mark.parametrize("name", ["timeout", "max_lifetime", "application_name", "max_sise"])
def test_a_pool_for_asyncio_says_the_same_of_itself(name: str) -> None:
    """Both are made of one source."""
    said = []
    for kind in (Pool, AsyncPool):
        with pytest.raises(ValueError, match=f"^{kind.__name__} ") as caught:
            getattr(api, kind.__name__)(endpoints(), user="orders", **{name: 5})
        said.append(str(caught.value).removeprefix(kind.__name__))
    assert said[0] == said[1]


def test_every_reason_against_a_pool_is_said_at_once() -> None:
    """A caller who repairs one finds no further one behind it."""
    with pytest.raises(ValueError, match="does not take timeout") as caught:
        of_pool(timeout=5, timeout_s="5", min_size=-1, policy=5)
    assert len(str(caught.value).split("; ")) == 4


def test_a_pool_passes_on_what_psycopg_pool_has_and_beacon_does_not_decide() -> None:
    """A new version of psycopg_pool is looked through before one of its parameters is passed on."""
    for kind, base in ((Pool, psycopg_pool.ConnectionPool), (AsyncPool, psycopg_pool.AsyncConnectionPool)):
        theirs = set(inspect.signature(base).parameters) - {"args"}
        decided = {"conninfo", "connection_class", "kwargs", "check", "close_returns", "max_lifetime"}
        ours = set(inspect.signature(kind).parameters)
        assert theirs - ours - decided - {"timeout"} == PASSED_ON


@pytest.mark.parametrize("call", ["getconn", "connection", "wait"])
@pytest.mark.parametrize("style", ["threads", "asyncio"])
def test_a_pool_without_a_connection_says_why_the_last_connect_failed(
    call: str, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that is wrong, for instance, which psycopg_pool repeats in silence."""
    attempts = [Attempt("us-east-1", HOST, "login_rejected", 0.02)]
    rejected = ConnectError("no endpoint can be connected to", attempts, ["is the role mapped?"])

    def refuse(*_: object) -> None:
        raise rejected

    monkeypatch.setattr("beacon.client.dialer.Dialer.dial", refuse)
    monkeypatch.setattr("beacon.client.dialer.Dialer.dial_async", refuse)

    def threads() -> None:
        with Pool(endpoints(), user="orders", min_size=1, timeout_s=0.5) as pool:
            if call == "wait":
                pool.wait(0.5)
            elif call == "getconn":
                pool.getconn()
            else:
                with pool.connection():
                    """Never reached."""

    async def tasks() -> None:
        async with AsyncPool(endpoints(), user="orders", min_size=1, timeout_s=0.5) as pool:
            if call == "wait":
                await pool.wait(0.5)
            elif call == "getconn":
                await pool.getconn()
            else:
                async with pool.connection():
                    """Never reached."""

    expected = (
        "; the last connect failed: no endpoint can be connected to; us-east-1 login_rejected after 0.02 s; "
        "is the role mapped?"
    )
    with pytest.raises(psycopg_pool.PoolTimeout, match=f"0.50? sec{re.escape(expected)}$"):
        threads() if style == "threads" else asyncio.run(tasks())


def test_a_connect_that_succeeds_ends_what_was_said_of_the_last_failure() -> None:
    """A pool that is merely used up names no failure."""
    care = PoolCare(endpoints(), PoolPolicy(), 1)
    assert care.why_not() == ""
    care.failed(ConnectError("no endpoint is known"))
    assert care.why_not() == "; the last connect failed: no endpoint is known"
    made = Connection.__new__(Connection)
    care.joined(made)
    assert care.why_not() == ""


@pytest.mark.parametrize("name", ["connect", "connect_async", "Pool", "AsyncPool"])
def test_a_statement_has_thirty_seconds_unless_the_caller_says_otherwise(name: str) -> None:
    """Without a limit a frozen server keeps a service waiting."""
    assert inspect.signature(getattr(beacon, name)).parameters["query_timeout_s"].default == 30.0


PUBLIC = [
    "AsyncConnection",
    "AsyncPool",
    "Attempt",
    "CommitOutcomeUnknownError",
    "ConnectError",
    "Connection",
]
PUBLIC += ["DnsRecord", "Endpoints", "Pool", "PoolPolicy", "QueryTimeoutError", "RetryPolicy", "SourceStatus"]
PUBLIC += ["SsmDocument", "StaticList", "connect", "connect_async", "transact", "transact_async"]


def test_the_public_names_are_these() -> None:
    """A name that goes or comes is a change for users: it belongs in the changelog."""
    assert beacon.__all__ == PUBLIC


#: Connections are made by connect and by pools, and this error by Beacon alone.
NOT_CALLED = {"Connection", "AsyncConnection", "CommitOutcomeUnknownError"}


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - NOT_CALLED))
def test_each_parameter_is_documented_with_its_unit_and_its_default(name: str) -> None:
    """On a line of its own, in the order of the signature; no line for a parameter that is gone."""
    found = getattr(beacon, name)
    documented = str(inspect.getdoc(found))
    described = dict(re.findall(r"^:param (\w+): ((?:.|\n(?!:|$))+)", documented, re.MULTILINE))
    parameters = inspect.signature(found).parameters
    assert list(described) == list(parameters)
    for parameter in parameters.values():
        text = " ".join(described[parameter.name].split())
        if parameter.name.endswith("_s") and not parameter.name.endswith("per_s"):
            assert "second" in text, parameter.name
        if parameter.default is not inspect.Parameter.empty:
            assert "default" in text, parameter.name
        if isinstance(parameter.default, bool | int | float | None):
            assert re.search(rf"default (``)?{parameter.default}\b", text), parameter.name
        if isinstance(parameter.default, str):
            assert f'default ``"{parameter.default}"``' in text, parameter.name


def test_a_row_factory_of_psycopg_is_taken() -> None:
    """The check refuses what makes no rows, and nothing else."""
    for factory in (None, dict_row, lambda _cursor: tuple):
        with pytest.raises(ConnectError):
            api.connect(
                Endpoints(StaticList([HOST]), dial={HOST: ("127.0.0.1", 1)}),
                user="orders",
                row_factory=factory,
            )


class Block:
    """A block of either kind; it counts how often it was left without an error."""

    def __init__(self, made: Any = None) -> None:  # noqa: ANN401 - what it gives
        self.made, self.left = made, 0

    def __enter__(self) -> Any:  # noqa: ANN401 - as above
        return self.made

    def __exit__(self, kind: object, *_: object) -> None:
        self.left += kind is None

    async def __aenter__(self) -> Any:  # noqa: ANN401 - as above
        return self.made

    async def __aexit__(self, kind: object, *_: object) -> None:
        self.left += kind is None


class Fresh:
    """A connection for one transaction."""

    autocommit = False

    def __init__(self) -> None:
        self.pgconn = SimpleNamespace(
            transaction_status=pq.TransactionStatus.IDLE,
            pipeline_status=pq.PipelineStatus.OFF,
            status=pq.ConnStatus.OK,
        )
        self.transactions = Block()

    def transaction(self) -> Block:
        """From here on a transaction is under way."""
        self.pgconn.transaction_status = pq.TransactionStatus.INTRANS
        return self.transactions


def test_work_of_the_other_kind_commits_nothing() -> None:
    """A coroutine that is never awaited would be a transaction without a statement, and succeed."""
    first, second, third = Fresh(), Fresh(), Fresh()
    with pytest.raises(ValueError, match=r"^work of transact must be a plain function .* use transact_async"):
        api.transact(lambda: Block(first), work_async)
    with pytest.raises(ValueError, match=r"^work of transact_async must be a coroutine function "):
        asyncio.run(api.transact_async(lambda: Block(second), work))
    api.transact(lambda: Block(third), work)
    assert [each.transactions.left for each in (first, second, third)] == [0, 0, 1]


def test_a_function_that_calls_connect_async_opens_a_connection_for_a_transaction() -> None:
    """It gives a coroutine, which is awaited; `lambda: connect_async(...)` is all that a caller writes."""
    connection = Fresh()

    async def connected() -> Block:
        return Block(connection)

    asyncio.run(api.transact_async(connected, work_async))
    assert connection.transactions.left == 1


SECRET = "canary-9f3"
CONNINFO = f"postgresql://orders:{SECRET}@{HOST}/orders"


@pytest.mark.parametrize(
    "call",
    [
        lambda: api.connect(CONNINFO, user="orders"),
        lambda: api.connect(f"host={HOST} password={SECRET}", user="orders"),
        lambda: api.Pool(CONNINFO, user="orders"),
        lambda: Endpoints(api.StaticList(CONNINFO)),
        lambda: Endpoints(api.StaticList([CONNINFO])),
        lambda: Endpoints(api.StaticList([f"{HOST}:{SECRET} {SECRET}"])),
        lambda: api.Endpoints(CONNINFO),
        lambda: api.DnsRecord(CONNINFO),
        lambda: api.DnsRecord("db.example.com", nameservers=[CONNINFO]),
        lambda: api.DnsRecord("db.example.com", nameservers=CONNINFO),
        lambda: of_document(hosts=[CONNINFO]),
        lambda: of_document(hosts=CONNINFO),
        lambda: api.Endpoints(StaticList([HOST]), dial={HOST: CONNINFO}),
        lambda: api.Endpoints(StaticList([HOST]), dial={CONNINFO: 1}),
        lambda: of_connect(autocommit=CONNINFO),
        lambda: of_connect(timeout_s=CONNINFO),
        lambda: of_connect(row_factory=CONNINFO),
        lambda: of_pool(min_size=CONNINFO),
    ],
)
def test_no_sentence_repeats_a_connection_string(call: Callable[[], object]) -> None:
    """psycopg takes one where Endpoints belong, and it holds a password."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - every one of them
        call()
    assert SECRET not in str(caught.value)


def test_hosts_of_a_generator_are_hosts() -> None:
    """A check that went through them would leave nothing, and nothing means that any host is believed."""
    source = of_document(hosts=(host for host in [HOST]))
    assert vars(source)["_reader"]._expected.hosts == {HOST}
    listed = api.StaticList(iter([HOST]))
    assert [each.endpoint.host for each in listed.candidates(datetime.now(UTC))] == [HOST]
    record = api.DnsRecord("db.example.com", nameservers=(each for each in ["192.0.2.1"]))
    assert vars(record)["_nameservers"] == ("192.0.2.1",)


def test_a_row_factory_may_be_any_callable() -> None:
    """Also one without a hash."""

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, cursor: object) -> object:
            return cursor

    assert connection_problems(autocommit=False, row_factory=Unhashable(), prepare_threshold=None) == []


def test_a_function_named_getconn_that_is_no_pools_is_a_callers_own() -> None:
    """Its connections come back if the function gives them back."""

    def getconn() -> Opened:
        return Opened()

    with pytest.raises(AssertionError, match="nothing is opened"):
        api.transact(getconn, work)
