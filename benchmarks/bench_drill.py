"""Drills in the lab, each measured beside its prediction, and drills that are killed at a random moment.

The lab runs ten times as fast as AWS. REPETITIONS is the number of drills (10) and KILLS that of the killed
ones (20). A killed drill leaves its net: the benchmark waits until no fault and no drain is in force,
and every place is as before.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from results import Result

_BIN = Path(sys.executable).parent
_SPEED = 10
_REGION = "us-east-1"
_KINDS = ("drain", "lab:dsql-freeze", "lab:dsql-refuse", "lab:dsql-login")
_SHORT = {
    "checkers of us-east-1": "checkers",
    "DNS": "dns",
    "SSM of us-east-1": "ssm_near",
    "SSM of us-east-2": "ssm_far",
}
_LIMIT_S = 20
#: From the first line of a drill to its repair, about: a kill comes within this.
_KILL_WITHIN_S = 18.0
_WHOLE_WITHIN_S = 180.0
_UP_WITHIN_S = 120.0


def run(say: Callable[[str], None]) -> list[Result]:
    """The figures of the drills, and how many killed ones were whole again."""
    drills, kills = int(os.environ.get("REPETITIONS", "10")), int(os.environ.get("KILLS", "20"))
    chance = random.Random(int(os.environ.get("SEED", "7")))
    with _lab() as (ready, folder):
        reports = []
        for number, kind in enumerate(islice(cycle(_KINDS), drills), 1):
            _await_whole(ready)
            report = _drill(ready, folder, kind)
            reports.append(report)
            say(f"{number} of {drills}: {kind} {report['outcome']}: {_figures(report)}")
            for reason in report["reasons"]:
                say(f"    {reason}")
        took = [_killed(ready, folder, kind, chance, say) for kind in islice(cycle(_KINDS), kills)]
    return [*_results(reports), *_of_kills(took)]


@contextmanager
def _lab() -> Iterator[tuple[Path, Path]]:
    """A lab in a folder of its own: its ready file, and where reports go."""
    with tempfile.TemporaryDirectory(prefix="beacon-drill-", dir="/tmp") as name:
        home = Path(name)
        home.chmod(0o755)
        ready = home / "ready.json"
        argv = [str(_BIN / "beacon-lab"), "up", "--speed", str(_SPEED), "--ready-file", str(ready)]
        with (home / "log").open("w", encoding="utf-8") as log:
            lab = subprocess.Popen([*argv, "--state-dir", str(home / "state")], stdout=log, stderr=log)
        try:
            end = time.monotonic() + _UP_WITHIN_S
            while not ready.exists():
                if lab.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((home / "log").read_text(encoding="utf-8"))
                time.sleep(0.2)
            yield ready, home / "drills"
        finally:
            lab.send_signal(signal.SIGTERM)
            lab.wait(60)


def _argv(ready: Path, folder: Path, kind: str) -> list[str]:
    words = [str(_BIN / "beacon"), "drill", _REGION, "--by", kind, "--yes", "--within", "20"]
    return [*words, "--report", str(folder), "--lab", str(ready)]


def _drill(ready: Path, folder: Path, kind: str) -> Any:  # noqa: ANN401 - JSON
    done = subprocess.run(
        [*_argv(ready, folder, kind), "--json"], capture_output=True, text=True, check=False, timeout=300
    )
    if not done.stdout:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def _killed(ready: Path, folder: Path, kind: str, chance: random.Random, say: Callable[[str], None]) -> float:
    """Kill a drill at a random moment; return the seconds until all was whole again."""
    _await_whole(ready)
    number = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    after_s = chance.uniform(0.5, _KILL_WITHIN_S)
    argv = [*_argv(ready, folder, kind), "--for", f"{_LIMIT_S}s"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as drill:
        try:
            drill.wait(after_s)
            ended = "had ended"
        except subprocess.TimeoutExpired:
            drill.send_signal(number)
            ended = f"got {number.name}"
        output, _ = drill.communicate(timeout=120)
    began = time.monotonic()
    _await_whole(ready)
    took_s = time.monotonic() - began
    last = output.splitlines()[-1] if output else "nothing"
    say(f"{kind} {ended} after {after_s:.1f} s; whole {took_s:.1f} s later; it said last: {last}")
    return took_s


def _await_whole(ready: Path) -> None:
    """Wait until a drill may begin: `beacon drill --plan` looks at everything."""
    end = time.monotonic() + _WHOLE_WITHIN_S
    while True:
        argv = [*_argv(ready, Path("unused"), "drain"), "--plan", "--json"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode == 0 and _first_everywhere(ready):
            return
        if time.monotonic() > end:
            raise RuntimeError(f"not whole within {_WHOLE_WITHIN_S:.0f} s: {done.stdout}{done.stderr}")
        time.sleep(0.5)


def _first_everywhere(ready: Path) -> bool:
    argv = [str(_BIN / "beacon"), "status", "--json", "--within", "20", "--lab", str(ready)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    found: Any = json.loads(done.stdout)
    return bool(found["record"]["authoritative"]["value"]["region"] == _REGION)


def _figures(report: Any) -> str:  # noqa: ANN401 - JSON
    parts = [
        f"{row['seen_in']} {row['phase']} {row['measured_s']} s of {row['predicted']['earliest_s']}"
        f"-{row['predicted']['latest_s']} ({row['verdict']})"
        for row in report["transitions"]
    ]
    consumer = report["consumer"]
    gap = consumer["longest_gap"]
    rows = f"{consumer['found']} of {consumer['acknowledged']} rows, gap {gap['to_s'] - gap['from_s']:.1f} s"
    return "; ".join([*parts, rows])


def _results(reports: list[Any]) -> list[Result]:
    if not reports:
        return []
    failed = sum(report["outcome"] != "passed" for report in reports)
    lost = sum(report["consumer"]["acknowledged"] - report["consumer"]["found"] for report in reports)
    found = [
        Result("drill.failed", failed, "drills", len(reports), goal=0),
        Result("drill.rows_lost", lost, "rows", len(reports), goal=0),
    ]
    for kind in _KINDS:
        rows = [row for one in reports if one["by"] == kind for row in one["transitions"]]
        for name, phase in sorted({(row["seen_in"], row["phase"]) for row in rows}):
            mine = [row for row in rows if (row["seen_in"], row["phase"]) == (name, phase)]
            values = [row["measured_s"] for row in mine if row["measured_s"] is not None]
            if values:
                title = f"drill.{kind.removeprefix('lab:')}.{_SHORT[name]}.{phase}_s"
                span = mine[0]["predicted"]
                # The looks are half a second apart, those of a check a second.
                goal = round(span["latest_s"] + 1.0, 2)
                found.append(Result.median(title, values, "s", goal=goal, predicted=span["expected_s"]))
    return found


def _of_kills(took: list[float]) -> list[Result]:
    if not took:
        return []
    return [Result.median("drill.killed_whole_after_s", took, "s", goal=_WHOLE_WITHIN_S)]
