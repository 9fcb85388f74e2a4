"""`make test`: every test once, in three phases that differ in the neighbours a test has.

| phase | tests | workers | a worker takes |
| --- | --- | --- | --- |
| light | all that start no lab: they compute | a core each | a test |
| together | functional, foreign and lab: they mostly wait | 3 | a file, or a folder of ONE_LAB |
| alone | the files of ALONE: they hold deadlines or rates that a neighbour would break | none | |

`make test ARGS="PATH… -k NAME"` runs the phases that have such tests; it ends with 0 when all of them passed.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.places import ROOT

__all__ = ["ALONE", "LONGEST", "ONE_LAB", "PHASES", "group_of", "phase_of"]

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
    "tests/lab/cli/",
    "tests/lab/command/failover/",
    "tests/lab/client/test_leaks.py",
    "tests/lab/command/test_up_ending.py",
    "tests/foreign/test_template.py",
    "tests/lab/command/test_up_policies.py",
)
#: pytest's exit status where nothing was left to run.
_NOTHING = 5


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


def main(arguments: Sequence[str]) -> int:
    """Run each phase with pytest's ``arguments``; return the exit status."""
    began = time.monotonic()
    worst = _NOTHING
    for phase, options in PHASES.items():
        where = [] if _names_a_path(arguments) else _folders(phase)
        command = ["-m", "pytest", "--phase", phase, "--budgets", *options, *where, *arguments]
        print(f"--- {phase}: pytest {shlex.join(command[2:])}", flush=True)
        status = subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode
        if status != _NOTHING:
            worst = status if worst in (0, _NOTHING) else worst
        if status not in (0, 1, _NOTHING):
            # Interrupted, or wrong use: the next phase would say the same.
            break
    print(f"--- all phases: {time.monotonic() - began:.0f} s", flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
