"""Bytes that no client should send, and clients that vanish: no crash, no leak, no foreign byte."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from proxy_fuzz import fuzzed
from tests.lab.client.conftest import NEAR
from tests.lab.proxy.conftest import Proxied, until

from beacon_cli.proxy import wire
from beacon_lab.faults import FaultKind

pytestmark = pytest.mark.lab
Make = Callable[..., Proxied]
#: `make bench NAME=proxy` sends 20,000.
MESSAGES = 1500


def test_fuzzed_messages_crash_nothing_and_reach_no_other_client(proxied: Make) -> None:
    """A well-behaved client beside them gets its own answers, and nothing else."""
    made = proxied(most_clients=2000)
    bystander = made.connect()
    chance = random.Random(20261125)  # noqa: S311 - the same bytes in each run
    user = made.client.dsql.operator_role
    for number in range(MESSAGES // 3):
        with made.raw() as raw, contextlib.suppress(OSError):
            for _ in range(3):
                raw.sendall(fuzzed(chance, user))
            if number % 7 == 0:
                raw.shutdown(socket.SHUT_WR)
                raw.settimeout(2)
                while raw.recv(65536):
                    pass
        if number % 10 == 0:
            assert bystander.execute("SELECT %s::int", (number,)).fetchone() == (number,)
    bystander.close()
    until(lambda: made.links() == 0 and not made.proxy._opening, 20)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_connects_under_faults_leave_nothing_behind(proxied: Make) -> None:
    """Clients that leave at any point, while the endpoint freezes, resets and comes back."""
    made = proxied(connect_timeout_s=1.0, query_timeout_s=0.3, most_clients=2000)
    made.connect().close()
    until(lambda: made.links() == 0)
    before = descriptors()
    chance = random.Random(7)  # noqa: S311 - as above
    start = wire.startup_message({"user": made.client.dsql.operator_role, "database": "postgres"})
    faults = [None, FaultKind.DSQL_FREEZE, None, FaultKind.DSQL_RESET, FaultKind.DSQL_REFUSE, None]
    for kind in faults:
        if kind is None:
            made.client.heal(NEAR)
        else:
            made.client.inject(NEAR, kind)
        for _ in range(25):
            with made.raw() as raw:
                raw.sendall(start)
                raw.settimeout(chance.choice((0.001, 0.02, 0.2)))
                with contextlib.suppress(OSError):
                    raw.recv(4096)
                    raw.sendall(wire.query(b"SELECT pg_sleep(0.01)"))
                    raw.recv(chance.choice((1, 4096)))
    made.client.heal(NEAR)
    until(lambda: made.links() == 0 and not made.proxy._opening, 20)
    until(lambda: descriptors() <= before, 20)


def test_a_client_that_says_nothing_is_dropped_and_one_that_speaks_http_gets_an_error(
    proxied: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that never comes holds nothing for long."""
    monkeypatch.setattr("beacon_cli.proxy.proxy._OPENING_S", 0.3)
    made = proxied()
    with made.raw() as raw:
        assert raw.recv(1) == b""
    with made.raw() as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"08P01" in raw.recv(4096)


def test_a_server_of_another_name_is_never_trusted(proxied: Make) -> None:
    """Verified in full: the token goes nowhere else."""
    made = proxied(connect_timeout_s=1.0)
    near, far = made.client.hosts
    swapped = {near: made.client.dial[far], far: made.client.dial[near]}
    made.endpoints._dial = swapped
    made.endpoints._forget()
    with pytest.raises(psycopg.OperationalError, match="certificate"):
        made.connect()
