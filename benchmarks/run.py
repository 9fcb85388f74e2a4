"""Run the benchmarks: `make bench`, or `make bench NAME=fault_to_dns` for one.

Each module `bench_NAME.py` beside this one has `run(say) -> list[Result]`. The figures are printed as a table
and kept in results.json. Exit code 0 when every goal is met, 1 when one is not, 2 for an unknown name.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from results import Result, merge, table


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all."""
    here = Path(__file__).parent
    known = sorted(path.stem.removeprefix("bench_") for path in here.glob("bench_*.py"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark called {', '.join(unknown)}: there are {', '.join(known)}", file=sys.stderr)
        return 2
    results: list[Result] = []
    for name in names or known:
        print(f"== {name}", flush=True)
        found: list[Result] = importlib.import_module(f"bench_{name}").run(_say)
        merge(found)
        results += found
    print(table(results))
    return 0 if all(result.holds is not False for result in results) else 1


def _say(line: str) -> None:
    print(f"   {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
