"""Command line: mutate the pure modules, print a score for each, and the mutants that no test notices.

    python -m tools.mutants [--minutes N] [--processes N] [MODULE…]

MODULE is the end of a module's name: ``rank``, ``client.race``. Exits with 1 when a mutant survives that
``survivors.toml`` does not explain, and with 2 when a module's tests fail or the time is up.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.mutants.mutations import Mutation, mutations
from tools.mutants.plan import Explained, read_explained, read_subjects
from tools.mutants.trial import BaselineError, Result, Subject, baseline, try_all

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_TELL_EVERY_S = 15.0


def main(arguments: Sequence[str]) -> int:
    """Try every mutant that time allows, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after so long (default: 30)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    chosen = parser.parse_args(arguments)
    subjects = read_subjects(HERE / "modules.toml", ROOT)
    if chosen.modules:
        subjects = [each for each in subjects if each.name.endswith(tuple(f".{n}" for n in chosen.modules))]
    if not subjects:
        print(f"no such module: {', '.join(chosen.modules)} (tools/mutants/modules.toml lists them)")
        return 2
    explained = read_explained(HERE / "survivors.toml")
    until = time.monotonic() + chosen.minutes * 60
    os.chdir(ROOT)
    return max(_examine(each, explained, chosen.processes, until) for each in subjects)


def _examine(subject: Subject, explained: Sequence[Explained], processes: int, until: float) -> int:
    if time.monotonic() >= until:
        print(f"{subject.name:32} not tried: the time is up", flush=True)
        return 2
    source = subject.path.read_text(encoding="utf-8")
    lines = source.splitlines()
    tree = ast.parse(source)
    mutants = mutations(tree)
    # When the time is up, what was tried is a fair sample.
    random.Random(0).shuffle(mutants)  # noqa: S311 - no secret
    try:
        notes = baseline(subject)
    except BaselineError as error:
        print(error, flush=True)
        return 2
    survivors: list[tuple[Mutation, Result]] = []
    tried, late, told = 0, 0, time.monotonic()
    for mutation, result in try_all(subject, tree, mutants, notes, processes=processes, until=until):
        tried += 1
        late += result is Result.TIMED_OUT
        if result in (Result.SURVIVED, Result.UNREACHED):
            survivors.append((mutation, result))
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            print(f"  … {subject.name}: {tried} of {len(mutants)}, {len(survivors)} survive", flush=True)
    unexplained = [
        (mutation, result)
        for mutation, result in sorted(survivors, key=lambda each: each[0].line)
        if not any(each.covers(subject.name, lines[mutation.line - 1], mutation) for each in explained)
    ]
    killed = tried - len(survivors)
    print(
        f"{subject.name:32} {killed:4} of {tried:4} killed, {100 * killed // max(1, tried):3} %"
        f"  ({late} by time; {len(survivors)} survive, {len(survivors) - len(unexplained)} explained)",
        flush=True,
    )
    for mutation, result in unexplained:
        where = subject.path.relative_to(ROOT)
        print(f"  {where}:{mutation.line}: {lines[mutation.line - 1].strip()}")
        print(f"      {mutation.change}  ({result.value})", flush=True)
    if tried < len(mutants):
        print(f"  {len(mutants) - tried} were not tried: the time is up", flush=True)
        return 2
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
