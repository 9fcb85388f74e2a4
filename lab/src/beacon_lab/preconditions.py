"""What a lab needs of this machine, checked before anything starts: what is missing is one sentence."""

from __future__ import annotations

import resource
import shutil
import socket
import tempfile
from pathlib import Path

from beacon_lab import state
from beacon_lab.errors import LabError
from beacon_lab.network.ports import require_port
from beacon_lab.settings import LabSettings

__all__ = [
    "DESCRIPTORS",
    "make_directory",
    "project_root",
    "require",
    "require_descriptors",
    "require_disk",
]

#: The file descriptors that one lab's process needs, with a margin: every poll of a checker takes two.
DESCRIPTORS = 1024

#: PostgreSQL's files, the sandboxes' bytecode and the logs of a long session.
_NEEDED_BYTES = 400 * 2**20


def require(settings: LabSettings) -> None:
    """Raise :class:`LabError` for what would stand in the way later."""
    project_root()
    if settings.state_dir is not None:
        state.refuse_second(settings.state_dir)
    if settings.ready_file is not None:
        state.ReadyFile(settings.ready_file).prepare()
    require_port("--aws-port", settings.aws_port, socket.SOCK_STREAM)
    require_port("--dns-port", settings.dns_port, socket.SOCK_STREAM, socket.SOCK_DGRAM)
    require_port("--control-port", settings.control_port, socket.SOCK_STREAM)
    temporary = state.temporary_dir()
    if not str(temporary).isprintable():
        raise LabError(
            f"the temporary directory {str(temporary)!r} has a name that is not UTF-8, or holds control"
            " characters: point TMPDIR at another one"
        )
    require_disk(temporary)


def require_disk(directory: Path) -> None:
    """Raise :class:`LabError` when ``directory``'s disk is too full for a lab."""
    free = shutil.disk_usage(directory).free
    if free < _NEEDED_BYTES:
        raise LabError(
            f"only {free // 2**20} MB are free in {directory}, and the lab needs {_NEEDED_BYTES // 2**20} MB:"
            " free some, or point TMPDIR at another disk"
        )


def require_descriptors() -> None:
    """Raise this process's limit of open files; raise :class:`LabError` if the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= DESCRIPTORS:
        return
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        raise LabError(
            f"this process may open {hard} files, and the lab needs {DESCRIPTORS}: start it from a shell in"
            f" which `ulimit -n {DESCRIPTORS}` works, or have root raise the hard limit (nofile in"
            " /etc/security/limits.conf, or LimitNOFILE of a systemd unit)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))


def project_root() -> Path:
    """The checkout that holds the template, the functions and the SQL files that the lab runs."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "template.yaml").is_file():
        raise LabError(f"no template.yaml in {root}: run the lab from a checkout of the project")
    return root


def make_directory() -> Path:
    """The lab's own directory, below TMPDIR."""
    directory = Path(tempfile.mkdtemp(prefix="beacon-lab-"))
    # When the lab runs as root, PostgreSQL runs as another user, and has to reach its own part of it.
    directory.chmod(0o711)
    return directory
