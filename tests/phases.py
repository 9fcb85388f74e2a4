"""`make test`: every test once, in three phases that differ in the neighbours a test has.

| phase | tests | workers | a worker takes |
| --- | --- | --- | --- |
| light | all that start no lab: they compute | a core each | a test |
| together | functional, foreign and lab: they mostly wait | 3 | a file, or a folder of ONE_LAB |
| alone | the files of ALONE: they hold deadlines or rates that a neighbour would break | none | |
| again | up to AT_MOST_AGAIN tests that failed in the phase `together`, without neighbours | none | |

A test about time may fail because two other labs take the CPU. It must then pass by itself, and the end of
the output names it: it is to be repaired, or moved to ALONE. More failures than AT_MOST_AGAIN are
not the doing of neighbours.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.budget import OVERRUN
from tests.places import ROOT

__all__ = ["ALONE", "AT_MOST_AGAIN", "LONGEST", "ONE_LAB", "PHASES", "group_of", "phase_of"]

#: What follows pytest's name in each phase.
PHASES = {
    "light": ("-n", "logical", "--dist", "worksteal"),
    "together": ("-n", "3", "--dist", "loadgroup", "--no-loadscope-reorder"),
    "alone": ("-p", "no:xdist"),
}
_WITH_PROCESSES = ("tests/functional/", "tests/foreign/", "tests/lab/")
#: A second lab beside one of these takes CPU time that its deadlines count on.
ALONE = (
    "tests/lab/client/test_chaos.py",
    "tests/lab/client/test_herd.py",
    "tests/lab/health/test_flood.py",
    "tests/lab/health/test_freeze_thaw.py",
    "tests/lab/test_survivor.py",
)
#: Folders whose tests share one lab. On two workers they would need two, and a lab costs a third of a core.
ONE_LAB = ("tests/lab/cli/", "tests/lab/command/failover/")
#: The phase `together` begins with these files and folders, so that none of them is left for its end.
LONGEST = (
    "tests/lab/command/failover/",
    "tests/lab/client/test_leaks.py",
    "tests/lab/command/test_up_ending.py",
    "tests/foreign/test_template.py",
    "tests/lab/command/test_up_policies.py",
)
#: Tests of the phase `together` that get a second run, alone.
AT_MOST_AGAIN = 4
#: pytest's exit statuses: all passed, some failed, nothing was left to run.
_PASSED, _FAILED, _NOTHING = 0, 1, 5


def phase_of(path: str) -> str:
    """The phase that runs the test file at ``path``, which is relative to the project."""
    if path in ALONE:
        return "alone"
    return "together" if path.startswith(_WITH_PROCESSES) else "light"


def group_of(path: str) -> str:
    """What one worker of the phase `together` takes whole: the file at ``path``, or its folder of ONE_LAB."""
    return next((folder for folder in ONE_LAB if path.startswith(folder)), path)


def _names_a_path(arguments: Sequence[str]) -> bool:
    return any((ROOT / argument.partition("::")[0]).exists() for argument in arguments)


def _folders(phase: str) -> list[str]:
    """Where to look for tests when the arguments name no path: each phase imports its own files alone."""
    found = [folder for folder in sorted(Path(ROOT, "tests").iterdir()) if any(folder.rglob("test_*.py"))]
    names = [f"tests/{folder.name}" for folder in found]
    if phase == "alone":
        return list(ALONE)
    return [name for name in names if phase_of(f"{name}/") == phase]


def _pytest(phase: str, options: Sequence[str], rest: Sequence[str], failures: Path) -> int:
    command = ["-m", "pytest", "--phase", phase, "--failures-to", str(failures), *options, *rest]
    print(f"--- {phase}: pytest {shlex.join(command[2:])}", flush=True)
    return subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """Run each phase with pytest's ``arguments``; return the exit status."""
    began = time.monotonic()
    worst = _NOTHING
    by_neighbours: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        failures = Path(place, "failures")
        for phase, options in PHASES.items():
            where = [] if _names_a_path(arguments) else _folders(phase)
            status = _pytest(phase, ["--budgets", *options], [*where, *arguments], failures)
            failed = failures.read_text(encoding="utf-8").splitlines() if status == _FAILED else []
            if phase == "together" and 0 < len(failed) <= AT_MOST_AGAIN:
                status = _pytest(phase, PHASES["alone"], failed, failures)
                by_neighbours = failed if status == _PASSED else []
            if status != _NOTHING:
                worst = status if worst in (_PASSED, _NOTHING) else worst
            if status not in (_PASSED, _FAILED, _NOTHING, OVERRUN):
                # Interrupted, or wrong use: the next phase would say the same.
                break
    for name in by_neighbours:
        print(f"--- failed beside other labs, passed alone: {name}")
    print(f"--- all phases: {time.monotonic() - began:.0f} s", flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
