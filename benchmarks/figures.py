"""The README's table of figures, made from results.json: `python benchmarks/figures.py` writes it there.

A test compares the README with it, so that every figure there was measured.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from results import RESULTS

README = Path(__file__).resolve().parents[1] / "README.md"
_BLOCK = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)
#: The figures to show: the name in results.json, the label, and the benchmark that measures it.
SHOWN = (
    ("lab.fault_to_dns_s", "frozen endpoint → another DNS answer, real-time speed", "fault_to_dns"),
    ("lab.fault_to_ssm_s", "frozen endpoint → another SSM value, real-time speed", "fault_to_dns"),
    ("publish.fault_to_ssm_max_s", "frozen endpoint → another SSM value, largest of all runs", "publish"),
    ("health.warm_ratio_p50", "time of a warm pass, divided by psycopg's time for the same SELECT", "warm"),
    (
        "health.cold_ratio_floor",
        "cold start to first answer, divided by that of bare psycopg with bytecode",
        "cold",
    ),
    (
        "health.cold_ratio_usual",
        "cold start to first answer, divided by that of boto3 and Powertools as `sam build` ships them",
        "cold",
    ),
    ("health.cold_1769mb_ms", "cold start to first answer, on one processor (1,769 MB)", "cold"),
    ("health.fault_freeze_open_max_ms", "largest answer time when the database freezes", "faults"),
    ("health.fault_max_over_deadline_s", "largest overrun of the deadline, 14 kinds of fault", "faults"),
    ("sim.false_ejections_per_year_1pct", "false ejections per endpoint-year, 1 % of probes lost", "sim"),
    ("sim.false_ejections_per_year_5pct", "false ejections per endpoint-year, 5 % of probes lost", "sim"),
    ("client.connect_extra_ms", "`connect()`, beyond a bare psycopg connect with its token ready", "client"),
    ("client.frozen_max_s", "best endpoint frozen → connected elsewhere, largest of all runs", "client"),
    ("client.noname_max_s", "its name does not resolve → connected elsewhere, largest of all runs", "client"),
    (
        "client.control_planes_down_ratio",
        "time of a connect while SSM and STS are silent, divided by its time while they answer",
        "client",
    ),
    (
        "client.pool_first_s",
        "endpoint of a busy pool of 20 frozen → first request served elsewhere",
        "client_pool",
    ),
    (
        "client.pool_last_s",
        "endpoint of a busy pool of 20 frozen → all 20 connections elsewhere",
        "client_pool",
    ),
    (
        "client.chaos_longest_gap_s",
        "ten minutes of chaos: longest time without a commit, any service",
        "chaos",
    ),
    ("client.chaos_lost", "ten minutes of chaos: acknowledged rows that were not found again", "chaos"),
    ("layer.zip_mb", "size of the built layer, zipped", "size"),
)


def table(rows: list[dict[str, Any]]) -> str:
    """The table, a line for each figure of :data:`SHOWN` that has been measured."""
    found = {row["name"]: row for row in rows}
    lines = ["| figure | value | goal | runs | reproduce |", "| --- | --- | --- | --- | --- |"]
    for name, what, bench in SHOWN:
        if name in found:
            row = found[name]
            goal = "" if row["goal"] is None else f"≤ {row['goal']:g}"
            unit = "x" if row["unit"] in {"x", "ratio"} else f" {row['unit']}"
            cells = (what, f"{row['value']:g}{unit}", goal, row["repetitions"], f"`make bench NAME={bench}`")
            lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def put(text: str, rows: list[dict[str, Any]]) -> str:
    """``text`` with the table between its marks."""
    return _BLOCK.sub(lambda match: f"{match[1]}{table(rows)}{match[2]}", text)


if __name__ == "__main__":
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    README.write_text(put(README.read_text(encoding="utf-8"), measured), encoding="utf-8")
