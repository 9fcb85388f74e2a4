"""What runs on this machine, read from /proc: sessions, and which process started which.

A process is named by its number *and* its start time, because the kernel hands numbers out again.
"""

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Entry",
    "ProcessIdentity",
    "children",
    "descendants",
    "entry",
    "identify",
    "session_tree",
    "snapshot",
]

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process for as long as it lives: its number and when it started, in clock ticks since boot."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        found = entry(self.pid)
        return found is not None and found.identity == self and found.state != "Z"

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; False when this very process is gone, or is not ours to signal."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the process table: ``state`` is the letter of proc(5), T for stopped and Z for a zombie."""

    identity: ProcessIdentity
    state: str
    parent: int
    session: int


def entry(pid: int) -> Entry | None:
    """The row of one process, or None when there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The second field is the command in brackets and may itself hold blanks and brackets.
    fields = text[text.rindex(")") + 2 :].split()
    return Entry(ProcessIdentity(pid, int(fields[19])), fields[0], int(fields[1]), int(fields[3]))


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of a process that exists now."""
    found = entry(pid)
    return None if found is None else found.identity


def snapshot() -> list[Entry]:
    """Every process that can be seen, zombies included."""
    found = (entry(int(path.name)) for path in PROC.iterdir() if path.name.isdecimal())
    return [row for row in found if row is not None]


def descendants(pids: Iterable[int], table: Iterable[Entry]) -> set[int]:
    """The numbers given and everything in the table that descends from them."""
    children: dict[int, list[int]] = {}
    for row in table:
        children.setdefault(row.parent, []).append(row.identity.pid)
    found: set[int] = set()
    pending = list(pids)
    while pending:
        pid = pending.pop()
        if pid not in found:
            found.add(pid)
            pending.extend(children.get(pid, ()))
    return found


def session_tree(leader: ProcessIdentity, table: Iterable[Entry]) -> list[ProcessIdentity]:
    """The living processes of a session and all that descend from them, in whatever session.

    PostgreSQL's backends each make a session of their own, and the Lambda emulator puts its runtime
    in another process group: neither a session nor a group alone finds everything.

    The kernel does not reuse a number while a session bears it. So when the number now belongs to another
    process, the session is over and nothing of it is left.
    """
    rows = {row.identity.pid: row for row in table}
    holder = rows.get(leader.pid)
    if holder is not None and holder.identity != leader:
        return []
    members = [
        pid
        for pid, row in rows.items()
        if row.session == leader.pid and row.identity.started >= leader.started
    ]
    return [
        rows[pid].identity
        for pid in descendants(members, rows.values())
        if pid in rows and rows[pid].state != "Z" and rows[pid].identity.started >= leader.started
    ]


def children(pid: int) -> list[int]:
    """The children of one process now, of whichever of its threads started them."""
    found: list[int] = []
    try:
        for thread in (PROC / str(pid) / "task").iterdir():
            found.extend(int(number) for number in (thread / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        # A thread or the whole process ended meanwhile. A thread's children pass to another thread, so a
        # caller that must not miss any looks again.
        return found
    return found
