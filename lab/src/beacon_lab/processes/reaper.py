"""The lab's watcher: a process that outlives the lab and leaves nothing of it behind.

It reads lines of JSON from its standard input: ``["session", PID, STARTED]``, ``["postgres", PID, STARTED]``,
``["forget", PID]``, ``["file", PATH]`` and ``["directory", PATH]``. When the pipe closes, the lab has
closed it or is dead. Then the watcher removes the files at once, and kills every process of the sessions it
knows. It removes PostgreSQL's shared memory and the directories, and exits. It imports the standard library
only, runs in a session of its own, and no signal that a terminal sends ends it before its work.
"""

import contextlib
import json
import shutil
import signal
import sys
import time
from pathlib import Path

from beacon_lab.processes.process_table import ProcessIdentity, session_tree, snapshot
from beacon_lab.processes.shared_memory import Leftovers

__all__ = ["kill_sessions", "main"]

KILL_WITHIN_S = 10.0
UNHEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def main() -> int:
    """Read until the pipe closes, then clean up. The exit code is 0 when nothing is left."""
    for number in UNHEEDED:
        signal.signal(number, signal.SIG_IGN)
    sessions: dict[int, ProcessIdentity] = {}
    files: list[Path] = []
    directories: list[Path] = []
    leftovers = Leftovers()
    for line in sys.stdin:
        match json.loads(line):
            case ["session", int(pid), int(started)]:
                sessions[pid] = ProcessIdentity(pid, started)
            case ["postgres", int(pid), int(started)]:
                sessions[pid] = ProcessIdentity(pid, started)
                # Also when it has been killed by then: a server that restarts itself makes a new segment.
                leftovers.creators.add(pid)
            case ["forget", int(pid)]:
                sessions.pop(pid, None)
            case ["file", str(path)]:
                files.append(Path(path))
            case ["directory", str(path)]:
                directories.append(Path(path))
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
    left = kill_sessions(list(sessions.values()), leftovers, within_s=KILL_WITHIN_S)
    leftovers.remove()
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if left or any(path.exists() for path in (*files, *directories)) else 0


def kill_sessions(
    leaders: list[ProcessIdentity], leftovers: Leftovers, *, within_s: float
) -> list[ProcessIdentity]:
    """Kill the sessions and their descendants until none lives; returns what is left after ``within_s``.

    ``leftovers`` gets what PostgreSQL's servers among them leave. Several rounds, since a process can fork
    between the look and the kill. SIGKILL needs no SIGCONT: it ends stopped processes too.
    """
    deadline = time.monotonic() + within_s
    while True:
        table = snapshot()
        alive = [found for leader in leaders for found in session_tree(leader, table)]
        if not alive or time.monotonic() >= deadline:
            return alive
        leftovers.note(alive)
        for found in alive:
            found.send(signal.SIGKILL)
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
