"""The Python blocks of the pages, taken from them and run against the cluster's fronts.

The environment says where SSM is (moto's server); the record is served by the lab's DNS server. Substituted
are host names, the role's name and a directory; and, by a thin wrapper, the fronts' addresses and their
certificate authority.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
import sqlalchemy
from aws_lambda_powertools.utilities import parameters
from moto.server import ThreadedMotoServer
from tests.lab.client.conftest import FAR, NEAR, Client
from tests.pages import blocks, page, section

import beacon
from beacon.document.form import serialize
from beacon.model import Document, Effective, EndpointState, Observed
from beacon_lab.faults import FaultKind
from beacon_lab.route53.dns_server import DnsServer
from beacon_lab.route53.records import RecordSet, Zone

pytestmark = pytest.mark.lab
CONSUMERS = page("docs/consumers.md")
ROLE = 'user="my_role"'


@pytest.fixture(scope="module")
def ssm() -> Iterator[str]:
    """SSM and nothing in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def document(client: Client) -> str:
    """What the near Region's publisher would say now: the near one first."""
    now = datetime.now(UTC)
    states = tuple(
        EndpointState(region, front.host, 5432, Observed.UP, None, Effective.IN, "ok", now, 2.0, 0, now)
        for region, front in client.dsql.fronts.items()
    )
    epoch = int(now.timestamp() * 1000)
    return serialize(Document("beacon-prod", "dsql", NEAR, epoch, now, now + timedelta(seconds=300), states))


class Reader:
    """A reader who runs the blocks of a page, one after the other, as they are."""

    def __init__(self, client: Client, directory: Path) -> None:
        self.client = client
        self.directory = directory
        self.names: dict[str, Any] = {"__name__": "page"}

    def run(self, code: str) -> None:
        for written, here in (
            ("OTHER_ID.dsql.us-east-2.on.aws", self.client.dsql.fronts[FAR].host),
            ("ID.dsql.us-east-1.on.aws", self.client.dsql.fronts[NEAR].host),
            ("/var/lib/orders/", f"{self.directory}/"),
            (ROLE, f"user={self.client.dsql.operator_role!r}"),
        ):
            code = code.replace(written, here)
        exec(compile(code, "page", "exec"), self.names)  # noqa: S102 - that is the point

    def rows(self, query: str) -> list[Any]:
        """What PostgreSQL itself knows."""
        front = self.client.dsql.fronts[FAR]
        with psycopg.connect(**self.client.dsql.parameters(front=front)) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
def reader(client: Client, ssm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A reader in us-east-1, with a document in SSM, a record in DNS, and the tables of a shop."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", ssm)
    monkeypatch.setenv("AWS_REGION", NEAR)
    monkeypatch.setenv("AWS_DEFAULT_REGION", NEAR)
    store = boto3.client("ssm")
    for name, value in (("document", document(client)), ("endpoint", client.dsql.fronts[NEAR].host)):
        store.put_parameter(Name=f"/beacon/prod/dsql/{name}", Value=value, Type="String", Overwrite=True)
    store.close()
    record = RecordSet("db.example.com.", "CNAME", 10, (client.dsql.fronts[FAR].host,))
    authority = RecordSet(
        "example.com.", "SOA", 900, ("ns.example.com. admin.example.com. 1 7200 900 1209600 60",)
    )
    server = DnsServer(
        zones=lambda: (Zone("Z1", "example.com.", (authority, record)),),
        healthy=lambda _: True,
        default_region=NEAR,
        static={},
    )
    run = client.dsql.loop.run
    run(server.start())
    role = client.dsql.operator_role
    run(
        client.dsql.postgres.run(
            "CREATE SCHEMA shop",
            "CREATE TABLE shop.orders (id uuid PRIMARY KEY, item text)",
            "CREATE TABLE shop.stock (item text PRIMARY KEY, pieces integer)",
            "INSERT INTO shop.stock VALUES ('tea', 10)",
            f"GRANT USAGE ON SCHEMA shop TO {role}, admin",
            f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA shop TO {role}, admin",
        )
    )
    monkeypatch.setattr(beacon, "Endpoints", client.endpoints)
    monkeypatch.setattr(
        beacon, "DnsRecord", partial(beacon.DnsRecord, nameservers=["127.0.0.1"], port=server.port)
    )
    for name in ("connect", "connect_async", "Pool", "AsyncPool"):
        trusting = partial(getattr(beacon, name), ca_file=str(client.dsql.authority.ca_file))
        monkeypatch.setattr(beacon, name, trusting)
    parameters.clear_caches()  # type: ignore[no-untyped-call]
    yield Reader(client, tmp_path)
    parameters.clear_caches()  # type: ignore[no-untyped-call]
    client.heal(NEAR)
    client.heal(FAR)
    run(server.stop())
    run(client.dsql.postgres.run("DROP SCHEMA shop CASCADE"))


def test_the_section_of_the_readme(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    """It connects to the preferred Region, and its pool sells one piece."""
    for code in blocks(section(page("README.md"), "Use it from your service"), "python"):
        reader.run(code)
    assert capsys.readouterr().out == f"{NEAR} (1,)\n"
    assert reader.rows("SELECT pieces FROM shop.stock") == [(9,)]


def test_the_page_from_its_beginning_to_its_end(
    reader: Reader, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every block of it, in one process; what each is said to do is looked for afterwards."""
    names = reader.names
    for code in blocks(CONSUMERS, "python"):
        reader.run(code)
    near, far = (reader.client.dsql.fronts[region].host for region in (NEAR, FAR))

    # sources
    assert [each.endpoint.host for each in names["endpoints"].published()] == [near, far]
    assert "ssm:us-east-1:/beacon/prod/dsql/document" in (reader.directory / "beacon.json").read_text()
    by_name = names["by_name"]
    assert [each.endpoint.host for each in by_name.candidates(5)] == [far, near]

    # connections, and what is watched
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"{NEAR} (1,)"] * 2
    name, age_s = lines[2].split()
    assert name == "ssm:us-east-1:/beacon/prod/dsql/document"
    assert 0 <= float(age_s) < 60
    assert lines[3].split()[0] == "list"
    assert len(lines) == 4

    # transactions: one by `place`, none by `place_once`, one by `place_async`
    assert names["placed"] == names["order_id"]
    assert reader.rows("SELECT count(*) FROM shop.orders") == [(2,)]
    assert names["handler"]({}, None) == 2
    names["pool"].close()

    # the reader of the plain parameter, also without SSM
    assert names["host"]() == near
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    parameters.clear_caches()  # type: ignore[no-untyped-call]
    assert names["host"]() == near
    names["engine"].dispose()


def before(reader: Reader, heading: str) -> str:
    """Run the page up to ``heading``; its first block."""
    wanted = blocks(section(CONSUMERS, heading), "python")[0]
    for code in blocks(CONSUMERS.split(f"### {heading}\n")[0], "python"):
        reader.run(code)
    return wanted


def test_what_is_said_of_a_failed_connect_is_printed(
    reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each endpoint that was tried."""
    block = next(code for code in blocks(CONSUMERS, "python") if "ConnectError" in code)
    reader.run(before(reader, "Connect"))
    for region in (NEAR, FAR):
        reader.client.inject(region, FaultKind.DSQL_REFUSE)
    capsys.readouterr()
    reader.run(block)
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert sorted(lines) == [[NEAR, "refused"], [FAR, "refused"]]


def test_an_unknown_outcome_leaves_nothing_placed(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other branch of the block, which needs a COMMIT that is not answered."""

    def unknown(*_: object) -> None:
        raise beacon.CommitOutcomeUnknownError("not answered")

    block = before(reader, "Transactions")
    monkeypatch.setattr(beacon, "transact", unknown)
    reader.run(block)
    assert reader.names["placed"] is None
    reader.names["pool"].close()


@pytest.fixture
def engine(reader: Reader) -> Iterator[sqlalchemy.Engine]:
    """SQLAlchemy by the page's recipe."""
    reader.run(before(reader, "SQLAlchemy"))
    yield reader.names["engine"]
    reader.names["engine"].dispose()
    reader.names["pool"].close()


def region_in(engine: sqlalchemy.Engine) -> str:
    """Where a connection that SQLAlchemy hands out leads to, after a statement on it."""
    with engine.begin() as connection:
        assert connection.execute(sqlalchemy.text("SELECT item, pieces FROM shop.stock")).all() == [
            ("tea", 10)
        ]
        region: str = connection.connection.driver_connection.endpoint.region  # type: ignore[union-attr]
        return region


@pytest.mark.parametrize("kind", [FaultKind.DSQL_REFUSE, FaultKind.DSQL_FREEZE])
def test_sqlalchemy_follows_when_the_endpoint_breaks(
    engine: sqlalchemy.Engine, reader: Reader, kind: FaultKind
) -> None:
    """The ping finds a pooled connection dead or silent; a silent one costs `query_timeout_s`, and once."""
    with engine.connect(), engine.connect():
        pass
    assert region_in(engine) == NEAR
    reader.client.inject(NEAR, kind)
    began = time.monotonic()
    with engine.connect(), engine.connect():
        assert region_in(engine) == FAR
    assert time.monotonic() - began < 6.0


def test_sqlalchemy_reports_a_conflict_by_its_code(engine: sqlalchemy.Engine, reader: Reader) -> None:
    """As the page says where to look."""
    reader.client.dsql.front.disturbance.conflict_next_commits = 1
    conflict = pytest.raises(sqlalchemy.exc.OperationalError)
    with conflict as caught, engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE shop.stock SET pieces = 0"))
    assert getattr(caught.value.orig, "sqlstate", None) == "40001"


def test_sqlalchemy_needs_what_the_recipe_sets(engine: sqlalchemy.Engine) -> None:
    """Savepoints are refused, also the one in which SQLAlchemy would look for a type; so are other levels."""
    plain = sqlalchemy.create_engine("postgresql+psycopg://", creator=engine.pool._creator)
    refused = pytest.raises(sqlalchemy.exc.NotSupportedError, match="SAVEPOINT")
    with refused, plain.connect():
        pass
    plain.dispose()
    with refused, engine.begin() as connection, connection.begin_nested():
        pass
    serializable = engine.execution_options(isolation_level="SERIALIZABLE")
    with (
        pytest.raises(sqlalchemy.exc.NotSupportedError, match="isolation level"),
        serializable.connect() as connection,
    ):
        connection.execute(sqlalchemy.text("SELECT 1"))


def test_the_migration_page(
    reader: Reader, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its program lists both Regions and connects; its switch leads to either side."""
    program, switch = blocks(page("docs/migration.md"), "python")
    reader.run(program)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [NEAR, FAR, NEAR]
    assert lines[0].endswith(" 2.0 False")
    assert "PostgreSQL" in lines[2]

    class Theirs:
        def get_connection(self, database: str, user: str) -> tuple[str, str]:
            return database, user

    reader.names["manager"] = Theirs()
    reader.run(switch)
    assert reader.names["get_connection"]() == ("postgres", "admin")
    monkeypatch.setenv("CONNECT_WITH", "beacon")
    with reader.names["get_connection"]() as connection:
        assert connection.endpoint.region == NEAR


@pytest.mark.parametrize(
    ("written", "broken", "error"),
    [
        ("connect(endpoints, ", "conect(endpoints, ", NameError),
        ("query_timeout_s=5", "query_timeout=5", ValueError),
        ('SsmDocument("beacon", "prod")', 'SsmDocument("beacon")', TypeError),
    ],
)
def test_a_block_that_is_wrong_does_not_pass(
    reader: Reader, written: str, broken: str, error: type[Exception]
) -> None:
    """What runs is the page's text, through nothing that would accept what users cannot use."""
    code = blocks(section(page("README.md"), "Use it from your service"), "python")[0]
    assert written in code
    with pytest.raises(error):
        reader.run(code.replace(written, broken))
