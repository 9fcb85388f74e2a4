"""`beacon proxy` as a process: for one program, and as a service with its second port."""

from __future__ import annotations

import json
import signal
import sys
from urllib.request import ProxyHandler, build_opener

import psycopg
import pytest
from tests.lab.cli.conftest import beacon, started
from tests.lab.command.conftest import LabProcess

pytestmark = pytest.mark.lab
ASK = "import psycopg, sys; print(psycopg.connect().execute('SELECT 40 + 2').fetchone()[0]); sys.exit(7)"


def test_a_program_runs_beside_a_proxy_and_its_status_is_returned(lab: LabProcess) -> None:
    """It needs no option of its own."""
    ran = beacon("proxy", "--lab", str(lab.ready_file), "--", sys.executable, "-c", ASK)
    assert (ran.code, ran.out, ran.err) == (7, "42\n", "")


def test_a_program_that_is_not_there_is_named(lab: LabProcess) -> None:
    """With the exit code of a failure."""
    ran = beacon("proxy", "--lab", str(lab.ready_file), "--", "no-such-program")
    assert (ran.code, ran.err) == (
        1,
        "beacon: no-such-program cannot be started: No such file or directory\n",
    )


def test_a_service_says_where_it_listens_and_stops_at_sigterm(lab: LabProcess) -> None:
    """One line of JSON, /health, /metrics, a client, SIGTERM."""
    words = ("--json", "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0")
    with started("proxy", "--lab", str(lab.ready_file), *words) as process:
        try:
            assert process.stdout is not None
            places = json.loads(process.stdout.readline())
            opener = build_opener(ProxyHandler({}))

            def read(path: str) -> str:
                with opener.open(f"http://{places['health']}{path}", timeout=10) as answer:
                    return str(answer.read().decode())

            assert json.loads(read("/health"))["status"] == "pass"
            address, _, port = places["listen"].rpartition(":")
            with psycopg.connect(host=address, port=port, user="operator", sslmode="prefer") as client:
                assert client.execute("SELECT 1").fetchone() == (1,)
                assert 'beacon_proxy_clients{state="busy"} 1' in read("/metrics")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
