"""The two files by which a running lab is found: its note in the state directory, and its ready file.

The note is for ``fault``, ``heal``, ``status`` and ``token``. It also keeps two labs apart: a state directory
belongs to one user and one lab at a time. The note names the lab's process with its start time, so that
another process that got the same number is not taken for it. The ready file is for scripts.

Both hold a secret, so only their owner can read them, from their first moment on.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from beacon_lab.errors import LabError
from beacon_lab.processes.process_table import ProcessIdentity, identify

__all__ = [
    "Claim",
    "Note",
    "ReadyFile",
    "claim",
    "default_state_dir",
    "read",
    "refuse_second",
    "temporary_dir",
]

_NAME = "lab.json"


@dataclass(frozen=True, slots=True)
class Note:
    """The process that runs a lab, where it listens for orders, and the key for ``/ready``."""

    pid: int
    started: int
    control_url: str
    key: str

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
        """Remove the note, and the directory if nothing else is in it; another lab's note stays."""
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


def temporary_dir() -> Path:
    """Where temporary files go; raise :class:`LabError` when a full disk leaves no place for any."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise LabError(
            "no temporary file can be made: free some disk, or point TMPDIR at another one"
        ) from error


def read(directory: Path) -> Note | None:
    """The note in ``directory``, or ``None`` when there is none that makes sense."""
    try:
        value = json.loads((directory / _NAME).read_text(encoding="utf-8"))
        return Note(int(value["pid"]), int(value["started"]), str(value["control_url"]), str(value["key"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def claim(directory: Path, control_url: str, key: str) -> Claim:
    """Leave this process's note in ``directory``.

    Raise :class:`LabError` when a lab that still runs has left one, and where nothing can be written.
    """
    own = identify(os.getpid())
    if own is None:
        raise LabError("this process is not in /proc: the lab needs Linux with /proc mounted")
    note = Note(own.pid, own.started, control_url, key)
    made = not directory.exists()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(directory):
            refuse_second(directory)
            _put(directory / _NAME, asdict(note))
    except OSError as error:
        raise LabError(
            f"the state directory {directory} cannot be written: {error.strerror};"
            " choose another with --state-dir"
        ) from error
    return Claim(directory, made)


def refuse_second(directory: Path) -> None:
    """Raise :class:`LabError` when another lab that still runs has left its note in ``directory``."""
    other = read(directory)
    if other is not None and other.alive and other.pid != os.getpid():
        raise LabError(
            f"a lab is already up (process {other.pid}, {other.control_url}):"
            f" stop it with `kill {other.pid}`, or give this one a --state-dir of its own"
        )


class ReadyFile:
    """The file at ``path``: there, and whole, exactly as long as the lab is up."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        """Remove what a dead lab may have left; raise :class:`LabError` where nothing can be written."""
        try:
            self.remove()
            _create(_new(self._path)).close()
            _new(self._path).unlink()
        except OSError as error:
            raise LabError(f"the ready file {self._path} cannot be written: {error.strerror}") from error

    def write(self, ready: Mapping[str, object]) -> None:
        """Put the file there."""
        _put(self._path, ready)

    def remove(self) -> None:
        """Remove it; a second call does nothing."""
        _new(self._path).unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the directory's lock: two labs that start at the same moment must not both find it free."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _put(path: Path, value: Mapping[str, object]) -> None:
    """Write a JSON file in one step: a reader that waits for it must never read half of it."""
    _new(path).unlink(missing_ok=True)
    with _create(_new(path)) as new:
        new.write(json.dumps(value, indent=2) + "\n")
    _new(path).replace(path)


def _new(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _create(path: Path) -> TextIO:
    """Create a private file. It must not exist: another user may have an existing one open."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8")
