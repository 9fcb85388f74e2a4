"""Write the tables of docs/cost.md from the model in scripts/cost.py.

`.venv/bin/python -m scripts.cost_page --write` writes them; without --write it says whether they are up to
date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scripts.cost import Setting, lines, requests, total

__all__ = ["LEAN", "PAGE", "fill", "main", "tables"]

PAGE = Path(__file__).parents[1] / "docs/cost.md"
#: The cheaper setting that the page recommends.
LEAN = Setting(interval_s=30)

_BLOCK = re.compile(r"(<!-- table (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_DEFAULT = Setting()
_TIMES = "\N{MULTIPLICATION SIGN}"


def tables() -> Mapping[str, str]:
    """Each table by the name that the page gives it."""
    return {
        "default": _parts(_DEFAULT),
        "lean": _parts(LEAN),
        "interval": _choices(
            "`RequestInterval`", {f"{n} s": replace(_DEFAULT, interval_s=n) for n in (10, 30)}
        ),
        "checkers": _choices(
            "`CheckerRegions`",
            {f"{n} of 8": replace(_DEFAULT, checker_regions=n) for n in (3, 4, 5, 6, 8)},
        ),
        "memory": _choices(
            "`HealthMemoryMb`",
            {f"{n}": replace(_DEFAULT, health_memory_mb=n) for n in (256, 512, 1024, 1769)},
        ),
        "publish": _choices(
            "`PublishEverySeconds`",
            {f"{n}": replace(_DEFAULT, publish_every_s=n) for n in (10, 20, 30, 60, 120, 300)},
        ),
        "canary": _choices("`WriteCanary`", _switch(lambda on: replace(_DEFAULT, write_canary=on))),
        "alarms": _choices("`Alarms`", _switch(lambda on: replace(_DEFAULT, alarms=on))),
        "metrics": _choices(
            "endpoints in the document", {f"{n}": replace(_DEFAULT, regions=n) for n in (2, 3, 10)}
        ),
        "logs": _choices(
            "`LogRetentionDays`",
            {f"{n}": replace(_DEFAULT, retention_days=n) for n in (30, 365, 3653)},
        ),
        "access": _choices("`AccessLogs`", _switch(lambda on: replace(_DEFAULT, access_logs=on))),
        "waf": _choices("`WebAcl`", _switch(lambda on: replace(_DEFAULT, web_acl=on))),
        "tracing": _choices("`Tracing`", _switch(lambda on: replace(_DEFAULT, tracing=on))),
        "global": _choices(
            "global.yaml",
            {
                "not deployed": _DEFAULT,
                "as it is": replace(_DEFAULT, global_stack=True),
                "with its dashboard": replace(_DEFAULT, global_stack=True, dashboard=True),
            },
        ),
    }


def fill(page: str) -> str:
    """``page`` with each of its tables as the model makes it now; ``KeyError`` for an unknown table."""
    made = tables()
    return _BLOCK.sub(lambda match: f"{match[1]}{made[match['name']]}{match[3]}", page)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or say whether it would change."""
    before = PAGE.read_text(encoding="utf-8")
    after = fill(before)
    if "--write" in arguments:
        PAGE.write_text(after, encoding="utf-8")
        return 0
    print("docs/cost.md is up to date" if before == after else "docs/cost.md is stale: add --write")
    return int(before != after)


def _parts(setting: Setting) -> str:
    rows = [
        f"| {line.part} | {line.formula.replace(' x ', f' {_TIMES} ')} | {line.usd:.2f} |"
        for line in lines(setting)
    ]
    return _table(["part", "formula", "USD"], [*rows, f"| **total** | | **{total(setting):.2f}** |"])


def _choices(what: str, settings: Mapping[str, Setting]) -> str:
    rows = []
    for name, setting in settings.items():
        usd, more = total(setting), total(setting) - total(_DEFAULT)
        told = "default" if setting == _DEFAULT else f"{more:+.2f}"
        rows.append(f"| {name} | {requests(setting) / 1e6:.2f} million | {usd:.2f} | {told} |")
    return _table([what, "requests a month", "USD a Region and month", "difference"], rows)


def _switch(make: Callable[[bool], Setting]) -> dict[str, Setting]:
    return {"off": make(False), "on": make(True)}


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    return "\n".join([f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *rows, ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
