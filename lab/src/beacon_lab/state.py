"""The note that a running lab leaves for `fault`, `heal` and `status`, and what keeps two labs apart.

The state directory belongs to one user and one lab at a time. The note names the lab's process with its start
time, so that a process that merely got the same id is not taken for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from beacon_lab.errors import LabError
from beacon_lab.processes.process_table import ProcessIdentity, identify

__all__ = [
    "Claim",
    "Note",
    "claim",
    "default_state_dir",
    "read",
    "refuse_second",
    "require_disk",
    "temporary_dir",
]

_NAME = "lab.json"
#: PostgreSQL's files, the sandboxes' bytecode and the logs of a long session.
_NEEDED_BYTES = 400 * 2**20


@dataclass(frozen=True, slots=True)
class Note:
    """Who runs the lab of a state directory, and where it listens for orders."""

    pid: int
    started: int
    control_url: str

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return ProcessIdentity(self.pid, self.started).alive()


@dataclass(frozen=True, slots=True)
class Claim:
    """A note that this process has left; ``made`` says that it made the directory for it."""

    directory: Path
    made: bool

    def release(self) -> None:
        """Take the note away, and the directory if nothing else is in it; another lab's note stays."""
        note = read(self.directory)
        if note is not None and note.pid == os.getpid():
            (self.directory / _NAME).unlink(missing_ok=True)
            if self.made:
                with contextlib.suppress(OSError):
                    self.directory.rmdir()


def default_state_dir() -> Path:
    """The state directory of this user, in a place that is emptied at reboot."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(base) if base else temporary_dir()) / f"beacon-lab-{os.getuid()}"


def read(directory: Path) -> Note | None:
    """The note in ``directory``, or ``None`` when there is none that makes sense."""
    try:
        value = json.loads((directory / _NAME).read_text(encoding="utf-8"))
        return Note(int(value["pid"]), int(value["started"]), str(value["control_url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def claim(directory: Path, control_url: str) -> Claim:
    """Leave this process's note; raise :class:`LabError` when a lab that still runs has left one, and where
    nothing can be written."""
    own = identify(os.getpid())
    assert own is not None  # noqa: S101 - this process is running
    note = Note(os.getpid(), own.started, control_url)
    made = not directory.exists()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(directory):
            refuse_second(directory)
            temporary = directory / f".{_NAME}.{os.getpid()}"
            temporary.write_text(json.dumps(asdict(note)), encoding="utf-8")
            temporary.replace(directory / _NAME)
    except OSError as error:
        raise LabError(
            f"the state directory {directory} cannot be written: {error.strerror};"
            " choose another with --state-dir"
        ) from error
    return Claim(directory, made)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the directory's lock: two labs that start at the same moment must not both find it free."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_second(directory: Path) -> None:
    """Raise :class:`LabError` when another lab that still runs has left its note in ``directory``."""
    other = read(directory)
    if other is not None and other.alive and other.pid != os.getpid():
        raise LabError(
            f"a lab is already up (process {other.pid}, {other.control_url}):"
            f" stop it with `kill {other.pid}`, or give this one a --state-dir of its own"
        )


def temporary_dir() -> Path:
    """Where temporary files go; raise :class:`LabError` when a full disk leaves no place for any."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise LabError(
            "no temporary file can be made: free some disk, or point TMPDIR at another one"
        ) from error


def require_disk(directory: Path) -> None:
    """Raise :class:`LabError` when ``directory``'s disk is too full for a lab."""
    free = shutil.disk_usage(directory).free
    if free < _NEEDED_BYTES:
        raise LabError(
            f"only {free // 2**20} MB are free in {directory}, and the lab needs {_NEEDED_BYTES // 2**20} MB:"
            " free some, or point TMPDIR at another disk"
        )
