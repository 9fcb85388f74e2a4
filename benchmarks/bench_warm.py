"""What the health handler adds to its SELECT: a warm pass against the same SELECT, bare, on the same front.

Both use a connection that stays open, in turns within one process, so that other load on the machine affects
both. The bare one is psycopg with the handler's statement and parameters, sent as the handler sends it:
parsed and planned each time. Two stricter comparisons have no goal: psycopg's default, in which the server
prepares a repeated statement, and `SELECT 1`. The handler's log and metric lines go to a file, as they go to
a pipe in Lambda.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from cpu_share import first_in_line
from one_region import OneRegion, one_region
from results import Result

from beacon.dsql.intent import ONE_REGION

_ROOT = Path(__file__).parents[1]
_EVENT = json.loads((_ROOT / "events" / "checker-get.json").read_bytes())
_TURNS = 4000
_WARM_UP = 200


def run(say: Callable[[str], None]) -> list[Result]:
    """The two ratios."""
    turns = int(os.environ.get("REPETITIONS", _TURNS))
    with first_in_line(say) as group:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))  # and for the front, which starts next
        with one_region() as region:
            taken = _in_turns(region, turns)
    for name, times in taken.items():
        say(f"{name}: p50 {_p50(times):.3f} ms, p99 {_p99(times):.3f} ms")
    return [
        _ratio("health.warm_ratio_p50", _p50, taken, goal=1.5),
        _ratio("health.warm_ratio_p99", _p99, taken, goal=3.0),
    ]


def _in_turns(region: OneRegion, turns: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of SELECT, by its name."""
    environment = {**region.environment(), "AWS_REGION": region.region}
    # The same statement with psycopg's placeholders.
    text = ONE_REGION.decode()
    for number in (1, 2, 3):
        text = text.replace(f"${number}", "%s")
    parameters = (f"{environment['BEACON_APP']}-{environment['BEACON_ENV']}", "dsql", region.region)
    with (
        _connect(region, prepare=False) as bare,
        _connect(region, prepare=True) as prepared,
        _connect(region, prepare=True) as least,
        tempfile.TemporaryFile("w") as log,
        contextlib.redirect_stdout(log),
    ):
        # The handler reads the process's environment when it is imported.
        os.environ.update(environment)
        sys.path.insert(0, str(_ROOT / "functions" / "health"))
        handler = importlib.import_module("health_handler").handler

        def pass_through_the_handler() -> None:
            answer = handler(_EVENT, None)
            assert answer["statusCode"] == 200
            assert '"status":"pass"' in answer["body"]

        acts: dict[str, Callable[[], object]] = {
            "handler": pass_through_the_handler,
            "bare": lambda: bare.execute(text, parameters).fetchall(),
            "prepared": lambda: prepared.execute(text, parameters).fetchall(),
            "select_1": lambda: least.execute("SELECT 1").fetchall(),
        }
        taken: dict[str, list[float]] = {name: [] for name in acts}
        gc.disable()  # its pauses would be counted for the next call
        try:
            for turn in range(_WARM_UP + turns):
                for name, act in acts.items():
                    started = time.perf_counter()
                    act()
                    if turn >= _WARM_UP:
                        taken[name].append((time.perf_counter() - started) * 1000)
        finally:
            gc.enable()
    return taken


def _connect(region: OneRegion, *, prepare: bool) -> psycopg.Connection:
    return psycopg.connect(
        host=region.host,
        hostaddr=region.address,
        port=region.port,
        user=region.db_user,
        password=region.token(),
        dbname="postgres",
        sslmode="verify-full",
        sslrootcert=region.ca_file,
        sslnegotiation="direct",
        autocommit=True,
        prepare_threshold=5 if prepare else None,  # 5 is its default
    )


def _p50(times: list[float]) -> float:
    return statistics.median(times)


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]


def _ratio(
    name: str, point: Callable[[list[float]], float], taken: dict[str, list[float]], *, goal: float
) -> Result:
    at = {who: point(times) for who, times in taken.items()}
    more: dict[str, object] = {f"{who}_ms": round(value, 3) for who, value in at.items()}
    more |= {f"over_{who}": round(at["handler"] / at[who], 3) for who in ("prepared", "select_1")}
    return Result(name, round(at["handler"] / at["bare"], 3), "x", len(taken["handler"]), goal, more)
