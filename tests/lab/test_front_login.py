"""A DSQL front lets in who DSQL lets in, and refuses the rest in DSQL's words."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from beacon.aws.sigv4 import Credentials
from beacon.dsql.token import sign_token
from beacon_lab.dsql.front import DsqlFront

if TYPE_CHECKING:
    from tests.lab.conftest import DsqlCluster

pytestmark = pytest.mark.lab

NO_TLS = "unable to accept connection, SSL is mandatory. AWS Authentication is required."
DENIED = "unable to accept connection, access denied"
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def startup(**parameters: str) -> bytes:
    body = b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
    return struct.pack("!ii", len(body) + 8, 3 << 16) + body


def read_message(connection: socket.socket) -> tuple[bytes, bytes]:
    """One typed message: its type and its body; empty at the end of the stream."""
    header = read_exactly(connection, 5)
    return (
        (header[:1], read_exactly(connection, int.from_bytes(header[1:], "big") - 4))
        if header
        else (b"", b"")
    )


def read_exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count and (part := connection.recv(count - len(found))):
        found += part
    return found


def fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse, by their letter."""
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}


@contextmanager
def tls(dsql: DsqlCluster, *, sni: str | None, alpn: bool, direct: bool) -> Iterator[ssl.SSLSocket]:
    """A raw TLS connection to the first Region's front."""
    context = ssl.create_default_context(cafile=str(dsql.authority.ca_file))
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(["postgresql"])
    with socket.create_connection((dsql.front.address, dsql.front.port), timeout=5) as plain:
        if not direct:
            plain.sendall(SSL_REQUEST)
            assert plain.recv(1) == b"S"
        with context.wrap_socket(plain, server_hostname=sni) as secured:
            yield secured


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
@pytest.mark.parametrize("user", ["admin", "shop_test"])
def test_a_right_token_opens_the_database(dsql: DsqlCluster, negotiation: str, user: str) -> None:
    """With verify-full and either TLS negotiation, admin and a granted role get in as themselves."""
    connection = dsql.connect(user, sslnegotiation=negotiation)
    assert connection.execute("SELECT current_user, current_database()").fetchone() == (user, "postgres")


def test_the_newest_protocol_version_is_negotiated_down(dsql: DsqlCluster) -> None:
    """A client that requests protocol 3.2 gets the answer 3.0, and continues."""
    if psycopg.pq.version() < 180000:
        pytest.skip("needs libpq 18, which can ask for a newer protocol version")
    connection = dsql.connect(max_protocol_version="latest")
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("mode", ["disable", "allow"])
def test_without_tls_the_connection_is_refused(dsql: DsqlCluster, mode: str) -> None:
    """A StartupMessage in the clear gets DSQL's sentence; `allow` then comes back with TLS."""
    if mode == "allow":
        assert dsql.connect(sslmode=mode).execute("SELECT 1").fetchone() == (1,)
        return
    with pytest.raises(psycopg.OperationalError, match=NO_TLS):
        dsql.connect(sslmode=mode)


def test_gss_encryption_is_declined(dsql: DsqlCluster) -> None:
    """A GSSENCRequest is answered with N, and the client may continue with TLS on the same connection."""
    with socket.create_connection((dsql.front.address, dsql.front.port), timeout=5) as plain:
        plain.sendall(struct.pack("!ii", 8, 80877104))
        assert plain.recv(1) == b"N"
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"


@pytest.mark.parametrize(
    ("sni", "sentence"),
    [
        (None, "unable to accept connection, sni was not received"),
        ("zyxwvutsrqponmlkjihgfedcba.dsql.us-east-1.on.aws", DENIED),
        ("abcdefghijklmnopqrstuvwxyz.dsql.us-east-2.on.aws", DENIED),
    ],
)
def test_a_missing_or_foreign_server_name_is_refused(
    dsql: DsqlCluster, sni: str | None, sentence: str
) -> None:
    """DSQL finds the cluster by SNI: without it, or with another cluster's name, no login passes."""
    with tls(dsql, sni=sni, alpn=True, direct=True) as connection:
        connection.sendall(startup(user="admin", database="postgres"))
        kind, body = read_message(connection)
    assert kind == b"E"
    assert {"S": "FATAL", "C": "28000", "M": sentence}.items() <= fields(body).items()


def test_direct_tls_needs_alpn(dsql: DsqlCluster) -> None:
    """Direct TLS without the protocol name `postgresql` is closed, as PostgreSQL does it."""
    with tls(dsql, sni=dsql.front.host, alpn=False, direct=True) as connection:
        assert connection.recv(1) == b""
    with tls(dsql, sni=dsql.front.host, alpn=False, direct=False) as connection:
        connection.sendall(startup(user="admin", database="postgres"))
        assert read_message(connection) == (b"R", struct.pack("!i", 3))


def test_bytes_that_were_sent_before_tls_are_not_taken_for_encrypted_ones(dsql: DsqlCluster) -> None:
    """Plain bytes behind an SSLRequest close the connection."""
    with socket.create_connection((dsql.front.address, dsql.front.port), timeout=5) as plain:
        plain.sendall(SSL_REQUEST + startup(user="admin"))
        kind, body = read_message(plain)
    assert kind == b"E"
    assert fields(body)["C"] == "08P01"


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x00\x00\x00\x08\x00\x02\x00\x00",
        b"\x00" * 64,
    ],
)
def test_garbage_closes_the_connection_and_nothing_else(dsql: DsqlCluster, garbage: bytes) -> None:
    """What is not PostgreSQL is rejected, and the next client is served."""
    with socket.create_connection((dsql.front.address, dsql.front.port), timeout=5) as plain:
        plain.sendall(garbage)
        while plain.recv(4096):
            pass
    assert dsql.connect().execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("user", "changed", "hint"),
    [
        ("admin", {"admin": False}, "Wrong user to action mapping. user: admin, action: DbConnect"),
        (
            "shop_test",
            {"admin": True},
            "Wrong user to action mapping. user: shop_test, action: DbConnectAdmin",
        ),
        ("admin", {"region": "us-east-2"}, None),
        ("admin", {"host": "abcdefghijklmnopqrstuvwxyz.dsql.us-east-2.on.aws"}, None),
        ("admin", {"now": datetime.now(UTC) - timedelta(hours=2)}, None),
        ("admin", {"credentials": Credentials("AKIDLABADMIN", "wrong")}, None),
        ("admin", {"credentials": Credentials("AKIDNOBODY", "secret/admin")}, None),
        ("shop_test", {"credentials": Credentials("AKIDLABADMIN", "secret/admin")}, None),
        ("nobody_granted", {}, None),
    ],
)
def test_a_wrong_token_is_refused_without_a_word_about_it(
    dsql: DsqlCluster, user: str, changed: dict[str, object], hint: str | None
) -> None:
    """Another Region's token, an old one, another key's, or a role that was not granted: access denied."""
    given: dict[str, object] = {
        "host": dsql.front.host,
        "region": dsql.front.region,
        "credentials": Credentials("AKIDLABFUNCTION", "secret/function"),
        "now": datetime.now(UTC),
        "admin": user == "admin",
    }
    if user == "admin":
        given["credentials"] = Credentials("AKIDLABADMIN", "secret/admin")
    token = sign_token(**(given | changed))  # type: ignore[arg-type]
    with tls(dsql, sni=dsql.front.host, alpn=True, direct=True) as connection:
        connection.sendall(startup(user=user, database="postgres"))
        assert read_message(connection) == (b"R", struct.pack("!i", 3))
        password = token.encode() + b"\0"
        connection.sendall(b"p" + struct.pack("!i", len(password) + 4) + password)
        kind, body = read_message(connection)
        assert kind == b"E"
        found = fields(body)
        assert read_message(connection) == (b"", b""), "the connection stays open"
    assert (found["S"], found["C"], found["M"], found.get("H")) == ("FATAL", "28000", DENIED, hint)


def test_a_grant_of_one_region_holds_in_the_other_until_it_is_revoked(dsql: DsqlCluster) -> None:
    """One cluster, one registry: a role granted through one endpoint logs in through the other."""
    admin = dsql.connect()
    other = dsql.fronts["us-east-2"]
    arn = dsql.function.arn
    admin.execute("CREATE ROLE guest WITH LOGIN")
    try:
        with pytest.raises(psycopg.OperationalError, match=DENIED):
            dsql.connect("guest", front=other)
        assert admin.execute(f"AWS IAM GRANT guest TO '{arn}'").statusmessage == "GRANT"
        assert dsql.connect("guest", front=other).execute("SELECT current_user").fetchone() == ("guest",)
        assert admin.execute(f"AWS IAM REVOKE guest FROM '{arn}'").statusmessage == "REVOKE"
        with pytest.raises(psycopg.OperationalError, match=DENIED):
            dsql.connect("guest", front=other)
    finally:
        admin.execute("DROP ROLE guest")


def test_only_admin_grants_and_only_to_what_exists(dsql: DsqlCluster) -> None:
    """A function's role cannot grant itself more; a missing role and a text that is no ARN are refused."""
    function = dsql.connect("shop_test")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        function.execute(f"AWS IAM GRANT shop_test_operator TO '{dsql.function.arn}'")
    with pytest.raises(psycopg.OperationalError, match=DENIED):
        dsql.connect("shop_test_operator", password=dsql.token("shop_test"))
    admin = dsql.connect()
    with pytest.raises(psycopg.errors.UndefinedObject, match='role "ghost" does not exist'):
        admin.execute(f"AWS IAM GRANT ghost TO '{dsql.function.arn}'")
    with pytest.raises(psycopg.Error, match="IAM role must look like an IAM ARN"):
        admin.execute("AWS IAM GRANT shop_test TO 'arn:aws:s3:::bucket'")


@pytest.mark.parametrize(
    ("sqlstate", "text"), [("53300", "too many connections"), ("57P03", "the database system is starting up")]
)
def test_logins_can_be_answered_with_any_error(dsql: DsqlCluster, sqlstate: str, text: str) -> None:
    """For tests of clients: a login fails with a chosen SQLSTATE until the front is healed."""
    dsql.loop.call(lambda: dsql.front.answer_logins_with(sqlstate, text))
    with tls(dsql, sni=dsql.front.host, alpn=True, direct=True) as connection:
        connection.sendall(startup(user="admin", database="postgres"))
        read_message(connection)
        connection.sendall(b"p\0\0\0\x05\0")
        _, body = read_message(connection)
    assert (fields(body)["C"], fields(body)["M"]) == (sqlstate, text)
    dsql.heal()
    assert dsql.connect().execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_another_certificate_is_refused_by_the_client(dsql: DsqlCluster, negotiation: str) -> None:
    """verify-full notices an expired certificate and one of another host; healed, the right one is back."""
    host = dsql.front.host
    expired = dsql.authority.issue("expired", dns=[host], not_after=datetime.now(UTC) - timedelta(hours=1))
    foreign = dsql.authority.issue("foreign", dns=["other.dsql.us-east-1.on.aws"])
    for certificate, sentence in (
        (expired, "certificate verify failed|expired"),
        (foreign, "does not match"),
    ):
        dsql.loop.call(lambda shown=certificate: dsql.front.present(shown))  # type: ignore[misc]
        with pytest.raises(psycopg.OperationalError, match=sentence):
            dsql.connect(sslnegotiation=negotiation)
    dsql.heal()
    assert dsql.connect(sslnegotiation=negotiation).execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "option",
    ["-c statement_timeout=1000", "--lock-timeout=5", "-cdefault_transaction_isolation=serializable"],
)
def test_unsupported_settings_are_refused_at_login_too(dsql: DsqlCluster, option: str) -> None:
    """What SET may not change, a connection's options may not change either."""
    with pytest.raises(psycopg.OperationalError, match=r"setting configuration parameter .* not supported"):
        dsql.connect(options=option)


def test_a_cancel_request_in_the_clear_is_passed_on(dsql: DsqlCluster) -> None:
    """Older clients send their cancel requests without TLS, which carry nothing secret but the key."""
    with tls(dsql, sni=dsql.front.host, alpn=True, direct=True) as connection:
        connection.sendall(startup(user="admin", database="postgres"))
        read_message(connection)
        password = dsql.token().encode() + b"\0"
        connection.sendall(b"p" + struct.pack("!i", len(password) + 4) + password)
        key = b""
        while True:
            kind, body = read_message(connection)
            if kind == b"K":
                key = body
            elif kind == b"Z":
                break
        sql = b"SELECT pg_sleep(30)\0"
        connection.sendall(b"Q" + struct.pack("!i", len(sql) + 4) + sql)
        until_active(dsql, struct.unpack("!i", key[:4])[0])
        with socket.create_connection((dsql.front.address, dsql.front.port), timeout=5) as plain:
            plain.sendall(struct.pack("!ii", 16, 80877102) + key)
            assert plain.recv(1) == b""
        while (answer := read_message(connection))[0] not in (b"E", b""):
            pass
    assert answer[0] == b"E"
    assert fields(answer[1])["C"] == "57014"


def until_active(dsql: DsqlCluster, pid: int) -> None:
    """Waits until the backend runs its statement."""
    admin = dsql.connect()
    give_up = time.monotonic() + 10
    while not admin.execute(
        "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'", (pid,)
    ).fetchone():
        assert time.monotonic() < give_up, "the statement does not start"
        time.sleep(0.01)


def psql(dsql: DsqlCluster, sql: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("psql")
    if program is None:
        pytest.skip("psql is missing: apt-get install postgresql-client")
    settings = {
        "PGHOST": dsql.front.host,
        "PGHOSTADDR": dsql.front.address,
        "PGPORT": str(dsql.front.port),
        "PGUSER": "admin",
        "PGDATABASE": "postgres",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(dsql.authority.ca_file),
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
    }
    return subprocess.run(
        [program, "--no-psqlrc", "--tuples-only", "--no-align", "-c", sql],
        env=settings | environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_psql_with_a_token_gets_an_answer(dsql: DsqlCluster) -> None:
    """The system's psql logs in with a token as its password."""
    done = psql(dsql, "SELECT current_user", PGPASSWORD=dsql.token())
    assert (done.returncode, done.stdout) == (0, "admin\n")


def test_psql_without_tls_or_with_a_bad_token_gets_dsql_s_words(dsql: DsqlCluster) -> None:
    """psql prints what DSQL says, and ends with 2."""
    plain = psql(dsql, "SELECT 1", PGPASSWORD=dsql.token(), PGSSLMODE="disable")
    bad = psql(dsql, "SELECT 1", PGPASSWORD=dsql.token()[:-4] + "beef")
    missing = psql(dsql, "SELECT 1", PGPASSWORD="x")
    assert (plain.returncode, bad.returncode, missing.returncode) == (2, 2, 2)
    assert NO_TLS in plain.stderr
    assert DENIED in bad.stderr
    assert DENIED in missing.stderr


def test_a_connection_ends_at_its_limit(dsql: DsqlCluster) -> None:
    """DSQL ends a connection after its longest duration; a client learns so at its next statement."""

    async def started() -> DsqlFront:
        front = DsqlFront(
            region=dsql.front.region,
            host=dsql.front.host,
            certificate=dsql.authority.issue("limit", dns=[dsql.front.host]),
            postgres=dsql.postgres,
            principals=dsql.principals,
            grants=dsql.grants,
            connection_limit_s=0.3,
        )
        await front.start()
        return front

    front = dsql.loop.run(started())
    try:
        connection = dsql.connect(front=front)
        with pytest.raises(psycopg.OperationalError, match="limit of a connection's duration"):
            connection.execute("SELECT pg_sleep(5)")
    finally:
        dsql.loop.run(front.stop())


def test_stop_closes_every_socket_and_task(dsql: DsqlCluster) -> None:
    """After stop() the process holds as many descriptors and tasks as before the start."""

    async def tasks() -> int:
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    def descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    async def started() -> tuple[DsqlFront, int]:
        front = DsqlFront(
            region=dsql.front.region,
            host=dsql.front.host,
            certificate=dsql.authority.issue("stop", dns=[dsql.front.host]),
            postgres=dsql.postgres,
            principals=dsql.principals,
            grants=dsql.grants,
        )
        await front.start()
        return front, await front.add_listener(20)

    before = descriptors(), dsql.loop.run(tasks())
    front, far = dsql.loop.run(started())
    connections = [dsql.connect(front=front) for _ in range(3)]
    connections.append(dsql.connect(front=front, port=far))
    half = socket.create_connection((front.address, front.port))
    half.sendall(SSL_REQUEST)
    dsql.loop.run(front.stop())
    assert front.connections == 0
    half.close()
    for connection in connections:
        connection.close()
    # What other tests have left to the collector may be closed, or a thread's pipe opened, in between.
    give_up = time.monotonic() + 5
    while (descriptors(), dsql.loop.run(tasks())) > before and time.monotonic() < give_up:
        gc.collect()
        time.sleep(0.05)
    assert descriptors() <= before[0]
    assert dsql.loop.run(tasks()) == before[1]
