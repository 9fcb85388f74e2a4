"""What `beacon proxy` adds to a statement, beside no proxy and PgBouncer; what a client takes; what stays.

- statements: pgbench sends ``SELECT 1`` for some seconds with 1, 20 and 200 clients: directly to the front,
  through the proxy, and through PgBouncer in session mode, in turns. Each has TLS to the same front and none
  on the client's side. Front, database, pgbench and proxy share the machine's cores.
- frozen: the near front freezes under a plain psycopg client; the time to its next answer.
- memory: what the proxy's process has more with 400 idle clients.
- leaks: 10,000 clients connect while the near front breaks in turns; then nothing of them is left.
- fuzz: 20,000 messages that no client should send, beside a client that has to get its own answers.

It needs pgbench, and for the comparison pgbouncer, `unshare` and root; what is not there is said.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from proxy_fuzz import fuzzed
from proxy_process import ProxyProcess, proxy_process
from results import Result
from two_regions import NEAR, TwoRegions, two_regions

from beacon_cli.proxy import wire
from beacon_lab.faults import FaultKind

_CLIENTS = (1, 20, 200)
_IDLE, _CONNECTS, _MESSAGES = 400, 10_000, 20_000
_ROUNDS = 2
#: PgBouncer does not run as root; each system has this user.
_USER = "daemon"
_FREEZES, _QUERY_S, _WITHOUT_S = 5, 1.0, 15.0
_ADDED_MS, _SHARE, _CLIENT_KB = 0.15, 0.6, 50.0
_PGBENCH = shutil.which("pgbench") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/pgbench")), "")

Say = Callable[[str], None]
#: Seconds of one run of pgbench.
_RUN_S = float(os.environ.get("SECONDS_EACH", "4"))


def run(say: Say) -> list[Result]:
    """All figures."""
    results: list[Result] = []
    with two_regions() as regions:
        if _PGBENCH:
            results += _statements(regions, say)
        else:
            say("no pgbench on this machine: statements are not measured")
        with proxy_process(regions, query_timeout_s=_QUERY_S) as proxy:
            results.append(_frozen(regions, proxy, say))
        with proxy_process(regions, most_clients=5000, connect_timeout_s=5.0) as proxy:
            results.append(_memory(regions, proxy, say))
        with proxy_process(regions, most_clients=5000, connect_timeout_s=1.0, query_timeout_s=0.5) as proxy:
            results.append(_leaks(regions, proxy, say))
        with proxy_process(regions, most_clients=5000) as proxy:
            results.append(_fuzz(regions, proxy, say))
    return results


# ---- statements


def _statements(regions: TwoRegions, say: Say) -> list[Result]:
    results = []
    with contextlib.ExitStack() as stack:
        ways = {"direct": _direct(regions)}
        own = stack.enter_context(proxy_process(regions, most_clients=1000))
        ways["proxy"] = _local(regions, own.port)
        if importlib.util.find_spec("uvloop") is not None:
            quick = stack.enter_context(proxy_process(regions, own_loop=False, most_clients=1000))
            ways["uvloop"] = _local(regions, quick.port)
        if (port := stack.enter_context(_pgbouncer(regions, say))) is not None:
            ways["pgbouncer"] = _local(regions, port)
        for clients in _CLIENTS:
            found: dict[str, list[tuple[float, list[float]]]] = {way: [] for way in ways}
            for _ in range(_ROUNDS):
                for way, environment in ways.items():
                    found[way].append(_pgbench(environment, clients))
            results += _compare(clients, found, say)
    return results


def _compare(clients: int, found: dict[str, list[tuple[float, list[float]]]], say: Say) -> list[Result]:
    more: dict[str, object] = {}
    per_s: dict[str, float] = {}
    p50: dict[str, float] = {}
    for way, rounds in found.items():
        per_s[way] = statistics.median(speed for speed, _ in rounds)
        times = sorted(one for _, times in rounds for one in times)
        p50[way], p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        more |= {f"{way}_p50_ms": round(p50[way], 3), f"{way}_p99_ms": round(p99, 3)}
        more[f"{way}_per_s"] = round(per_s[way])
        say(f"{clients:>3} clients, {way}: p50 {p50[way]:.3f} ms, p99 {p99:.3f} ms, {per_s[way]:.0f}/s")
    samples = sum(len(times) for _, times in found["proxy"])
    results = []
    for way in ("proxy", "uvloop"):
        if way not in found:
            continue
        added = round(p50[way] - p50["direct"], 3)
        # The goal is for one statement at a time: more clients than cores wait for each other.
        goal = _ADDED_MS if clients == 1 else None
        results.append(Result(f"{way}.added_p50_{clients}_ms", added, "ms", samples, goal, more))
        if "pgbouncer" in found:
            short = round(per_s["pgbouncer"] / per_s[way], 3)
            name = f"{way}.pgbouncer_times_{clients}"
            results.append(Result(name, short, "x", _ROUNDS, round(1 / _SHARE, 3), more))
    return results


def _pgbench(environment: dict[str, str], clients: int) -> tuple[float, list[float]]:
    """How many statements a second, without the time of the logins, and the time of each in ms."""
    # The logins count for the time that pgbench runs; with TLS, libpq reads all authorities for each.
    run_s = round(_RUN_S + clients * (0.1 if "PGSSLROOTCERT" in environment else 0.03))
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "select.sql")
        script.write_text("SELECT 1;\n", encoding="ascii")
        done = subprocess.run(
            [_PGBENCH, "-n", "-f", script, "-c", str(clients), "-T", str(run_s), "-l", "postgres"],
            cwd=directory,
            env={"PATH": os.environ["PATH"], "HOME": directory, **environment},
            check=True,
            capture_output=True,
            text=True,
        )
        times = [
            int(line.split()[2]) / 1000
            for log in Path(directory).glob("pgbench_log.*")
            for line in log.read_text(encoding="ascii").splitlines()
        ]
    return float(done.stdout.partition("tps = ")[2].split()[0]), times


def _direct(regions: TwoRegions) -> dict[str, str]:
    return {
        "PGHOST": regions.hosts[NEAR],
        "PGHOSTADDR": regions.address,
        "PGPORT": str(regions.ports[NEAR]),
        "PGUSER": str(regions.login["user"]),
        "PGPASSWORD": regions.token(NEAR),
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": regions.ca_file,
    }


def _local(regions: TwoRegions, port: int) -> dict[str, str]:
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": str(regions.login["user"]),
        "PGSSLMODE": "disable",
    }


@contextlib.contextmanager
def _pgbouncer(regions: TwoRegions, say: Say) -> Iterator[int | None]:
    """PgBouncer in session mode before the near front; None where it cannot run."""
    if shutil.which("pgbouncer") is None or shutil.which("unshare") is None or os.getuid() != 0:
        say("no pgbouncer, no unshare or no root on this machine: nothing to compare with")
        yield None
        return
    with tempfile.TemporaryDirectory(dir="/tmp") as name, socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
        free.close()
        directory = Path(name)
        directory.chmod(0o755)
        host = regions.hosts[NEAR]
        shutil.copy(regions.ca_file, directory / "ca.pem")
        (directory / "hosts").write_text(f"{regions.address} {host}\n127.0.0.1 localhost\n", encoding="ascii")
        user, token = str(regions.login["user"]), regions.token(NEAR)
        (directory / "users.txt").write_text(f'"{user}" ""\n', encoding="ascii")
        (directory / "pgbouncer.ini").write_text(
            f"[databases]\npostgres = host={host} port={regions.ports[NEAR]} user={user} password='{token}'\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nuser = {_USER}\n"
            f"auth_type = trust\nauth_file = {directory}/users.txt\npool_mode = session\n"
            f"max_client_conn = 1000\ndefault_pool_size = 400\nserver_tls_sslmode = verify-full\n"
            f"server_tls_ca_file = {directory}/ca.pem\nserver_reset_query =\n"
            "ignore_startup_parameters = extra_float_digits\n",
            encoding="ascii",
        )
        # A mount namespace of its own: the front's name leads to this machine for this process alone.
        command = f"mount --bind {directory}/hosts /etc/hosts && exec pgbouncer -q {directory}/pgbouncer.ini"
        with subprocess.Popen(["unshare", "-m", "sh", "-c", command]) as process:
            try:
                _wait_for(port)
                yield port
            finally:
                process.terminate()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError("nothing listens")


# ---- an endpoint that freezes


def _frozen(regions: TwoRegions, proxy: ProxyProcess, say: Say) -> Result:
    """How long a plain client gets no answer when its endpoint freezes; it connects again after an error."""
    gaps = []
    for _ in range(_FREEZES):
        # The endpoint is passed over for a while after the last time.
        _until_near(proxy)
        gaps.append(_gap_s(regions, lambda: psycopg.connect(**_parameters(regions, proxy), autocommit=True)))
    without = _gap_s(regions, lambda: _plain(regions), most_s=_WITHOUT_S)
    text = f"{without:.1f} s" if without < _WITHOUT_S else f"more than {_WITHOUT_S:g} s"
    say(f"frozen: at most {max(gaps):.2f} s through the proxy; without it, psycopg with both hosts: {text}")
    more: dict[str, object] = {"median_s": round(statistics.median(gaps), 3), "query_timeout_s": _QUERY_S}
    more["without_proxy"] = text
    return Result("proxy.frozen_gap_s", round(max(gaps), 3), "s", len(gaps), _QUERY_S + 1.0, more)


def _until_near(proxy: ProxyProcess) -> None:
    end = time.monotonic() + 60
    best = f'beacon_proxy_best_endpoint{{region="{NEAR}"}}'
    while proxy.metrics.get(best) != 1:
        assert time.monotonic() < end, "the near endpoint does not come back"
        time.sleep(0.1)


def _gap_s(regions: TwoRegions, connect: Callable[[], psycopg.Connection], most_s: float = 60.0) -> float:
    """The time from the fault to the next answer; ``most_s`` when none has come by then."""
    answered, answers = threading.Event(), [0]
    halt = threading.Event()

    def work() -> None:
        connection: psycopg.Connection | None = None
        while not halt.is_set():
            try:
                connection = connection or connect()
                connection.execute("SELECT 1")
                answers[0] += 1
                if broken.is_set():
                    answered.set()
                    break
            except psycopg.Error:
                connection = None
            time.sleep(0.002)

    broken = threading.Event()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while answers[0] < 20:
        time.sleep(0.01)
    regions.inject(NEAR, FaultKind.DSQL_FREEZE)
    began = time.monotonic()
    broken.set()
    came = answered.wait(most_s)
    gap_s = time.monotonic() - began if came else most_s
    halt.set()
    regions.inject(NEAR, None)  # which resets what is stalled
    thread.join(30)
    return gap_s


def _plain(regions: TwoRegions) -> psycopg.Connection:
    """psycopg with a list of both hosts, as libpq takes one."""
    return psycopg.connect(
        host=",".join(regions.hosts.values()),
        hostaddr=",".join([regions.address] * 2),
        port=",".join(map(str, regions.ports.values())),
        user=str(regions.login["user"]),
        password=regions.token(NEAR),
        sslmode="verify-full",
        sslrootcert=regions.ca_file,
        connect_timeout=2,
        dbname="postgres",
        autocommit=True,
    )


# ---- what stays


def _memory(regions: TwoRegions, proxy: ProxyProcess, say: Say) -> Result:
    parameters = _parameters(regions, proxy)
    # Once before, so that what is made once is not counted for the clients.
    for _ in range(10):
        psycopg.connect(**parameters).close()
    before = proxy.resident_kb
    clients = [psycopg.connect(**parameters, autocommit=True) for _ in range(_IDLE)]
    for client in clients:
        client.execute("SELECT 1")
    each = (proxy.resident_kb - before) / _IDLE
    for client in clients:
        client.close()
    say(f"{each:.1f} KB for each of {_IDLE} idle clients")
    return Result(
        "proxy.idle_client_kb", round(each, 1), "KB", _IDLE, _CLIENT_KB, {"without_kb": round(before)}
    )


def _leaks(regions: TwoRegions, proxy: ProxyProcess, say: Say) -> Result:
    """What is left in descriptors and clients after many connects, most of which fail or are cut off."""
    total = int(os.environ.get("CONNECTS", str(_CONNECTS)))
    start = wire.startup_message({"user": str(regions.login["user"]), "database": "postgres"})
    descriptors, memory = proxy.descriptors, proxy.resident_kb
    left, lock = [total], threading.Lock()

    def work(number: int) -> None:
        chance = random.Random(number)
        while True:
            with lock:
                if left[0] <= 0:
                    return
                left[0] -= 1
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as raw,
            ):
                raw.sendall(start)
                raw.settimeout(chance.choice((0.01, 0.1, 1.5)))
                raw.recv(4096)
                raw.sendall(wire.query(b"SELECT 1"))
                raw.recv(chance.choice((1, 4096)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    kinds = [
        FaultKind.DSQL_FREEZE,
        None,
        FaultKind.DSQL_RESET,
        None,
        FaultKind.DSQL_REFUSE,
        FaultKind.DSQL_SILENT,
    ]
    turn = 0
    while any(thread.is_alive() for thread in threads):
        regions.inject(NEAR, None)
        if (kind := kinds[turn % len(kinds)]) is not None:
            regions.inject(NEAR, kind)
        turn += 1
        time.sleep(1.0)
    for thread in threads:
        thread.join()
    regions.inject(NEAR, None)
    end = time.monotonic() + 20
    while (over := proxy.descriptors - descriptors) > 0 and time.monotonic() < end:
        time.sleep(0.1)
    metrics = proxy.metrics
    clients = sum(value for name, value in metrics.items() if name.startswith("beacon_proxy_clients"))
    more: dict[str, object] = {
        "accepted": metrics["beacon_proxy_accepted_total"],
        "served": sum(value for name, value in metrics.items() if "connects_total" in name),
        "clients_left": clients,
        "memory_more_kb": round(proxy.resident_kb - memory),
    }
    say(f"after {total} connects: {over} descriptors and {clients:g} clients are left; {more}")
    return Result("proxy.left_after_connects", over + clients, "things", total, 0, more)


def _fuzz(regions: TwoRegions, proxy: ProxyProcess, say: Say) -> Result:
    """How many answers of a client were not its own, or missing."""
    total = int(os.environ.get("MESSAGES", str(_MESSAGES)))
    chance, user = random.Random(20261125), str(regions.login["user"])
    wrong = asked = 0
    bystander = psycopg.connect(**_parameters(regions, proxy), autocommit=True)
    for number in range(total // 4):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as raw,
        ):
            for _ in range(4):
                raw.sendall(fuzzed(chance, user))
        if number % 20 == 0:
            asked += 1
            wrong += bystander.execute("SELECT %s::int", (number,)).fetchone() != (number,)
    bystander.close()
    alive = proxy.process.poll() is None
    end = "runs" if alive else "has ended"
    say(f"{total} messages: {wrong} of {asked} answers were wrong; the proxy {end}")
    return Result("proxy.fuzz_wrong", wrong + (not alive), "answers", total, 0, {"asked": asked})


def _parameters(regions: TwoRegions, proxy: ProxyProcess) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": proxy.port, "user": str(regions.login["user"]), "sslmode": "disable"}
