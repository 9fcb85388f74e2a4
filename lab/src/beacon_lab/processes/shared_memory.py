"""What a killed PostgreSQL leaves outside of its directory: System V segments, and files in /dev/shm.

PostgreSQL removes both when it ends. After SIGKILL it cannot, and each of the short-lived servers that initdb
runs has both. So the lab notes them just before it kills, and removes them once no process has them any more.
It imports the standard library only, as the watcher needs it.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from beacon_lab.processes.process_table import ProcessIdentity, entry

__all__ = ["Leftovers", "Segment", "mark_for_removal", "segments"]

PROC = Path("/proc")
SHARED_FILES = "/dev/shm/PostgreSQL."  # noqa: S108 - a prefix to compare with, where POSIX shared memory lives
STOP_WITHIN_S = 0.5
_REMOVE = 0  # IPC_RMID


@dataclass(frozen=True, slots=True)
class Segment:
    """A System V segment: its identifier, the process that made it, how many have it attached, its owner."""

    identifier: int
    creator: int
    attached: int
    owner: int


@dataclass(slots=True)
class Leftovers:
    """The PostgreSQL processes that were killed, and their files in /dev/shm."""

    creators: set[int] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)

    def note(self, doomed: Iterable[ProcessIdentity]) -> None:
        """Stop the PostgreSQL servers among the processes that are about to be killed, and look at them.

        A server that is stopped makes nothing more, and replaces nothing when its children are killed.
        """
        servers = [found for found in doomed if _is_server(found.pid) and found.send(signal.SIGSTOP)]
        deadline = time.monotonic() + STOP_WITHIN_S
        while any(_runs(found.pid) for found in servers) and time.monotonic() < deadline:
            time.sleep(0.001)
        for found in servers:
            self.creators.add(found.pid)
            self.files |= _shared_files(found.pid)

    def remove(self) -> None:
        """Remove what was noted, but for segments that a living process still has."""
        for segment in segments():
            if segment.creator in self.creators and segment.attached == 0:
                with _acting_as(segment.owner, None):
                    mark_for_removal(segment.identifier)
        for file in self.files:
            with contextlib.suppress(OSError):
                file.unlink()


def segments() -> list[Segment]:
    """The System V segments of this machine."""
    head, *rows = (PROC / "sysvipc" / "shm").read_text(encoding="ascii").splitlines()
    names = head.split()
    tables = [dict(zip(names, map(int, row.split()), strict=True)) for row in rows]
    return [Segment(row["shmid"], row["cpid"], row["nattch"], row["uid"]) for row in tables]


def mark_for_removal(identifier: int) -> bool:
    """Have the kernel free a segment once no process has it attached; False when it refuses or knows none."""
    return bool(ctypes.CDLL(None, use_errno=True).shmctl(identifier, _REMOVE, None) == 0)


def _is_server(pid: int) -> bool:
    try:
        return (PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace") == "postgres\n"
    except OSError:
        return False


def _runs(pid: int) -> bool:
    row = entry(pid)
    return row is not None and row.state not in "TtZX"


def _shared_files(pid: int) -> set[Path]:
    """The files of PostgreSQL in /dev/shm that a process has open or mapped."""
    process = PROC / str(pid)
    found: set[str] = set()
    with contextlib.suppress(OSError):
        owner = process.stat()
        with _acting_as(owner.st_uid, owner.st_gid):
            maps = (process / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
            found.update(line.split(maxsplit=5)[-1] for line in maps)
            found.update(str(link.readlink()) for link in (process / "fd").iterdir())
    return {Path(name) for name in found if name.startswith(SHARED_FILES) and "(deleted)" not in name}


@contextlib.contextmanager
def _acting_as(user: int, group: int | None) -> Iterator[None]:
    """Be the owner for a moment: root in a container may lack the rights over what other users have.

    The whole process changes, so this is for the watcher, which has one thread.
    """
    if os.geteuid() != 0 or user == 0:
        yield
        return
    own_group = os.getegid()
    try:
        if group is not None:
            os.setegid(group)
        os.seteuid(user)
        yield
    finally:
        os.seteuid(0)
        os.setegid(own_group)
