"""What a lab needs of this machine, looked at before anything starts: what is missing is one sentence."""

from __future__ import annotations

import resource
import socket
import tempfile
from pathlib import Path

from beacon_lab import state
from beacon_lab.errors import LabError
from beacon_lab.network.ports import require_port
from beacon_lab.ready_file import ReadyFile
from beacon_lab.settings import LabSettings

__all__ = ["DESCRIPTORS", "make_directory", "require", "require_descriptors"]

DESCRIPTORS = 1024
"""The file descriptors that one lab's process needs, with a margin: every attempt of a checker takes two."""


def require(settings: LabSettings) -> None:
    """Raise :class:`LabError` for what would stand in the way later."""
    if settings.state_dir is not None:
        state.refuse_second(settings.state_dir)
    if settings.ready_file is not None:
        ReadyFile(settings.ready_file).prepare()
    require_port("--aws-port", settings.aws_port, socket.SOCK_STREAM)
    require_port("--dns-port", settings.dns_port, socket.SOCK_STREAM, socket.SOCK_DGRAM)
    require_port("--control-port", settings.control_port, socket.SOCK_STREAM)
    temporary = state.temporary_dir()
    if not str(temporary).isprintable():
        raise LabError(
            f"the temporary directory {str(temporary)!r} has a name that is not UTF-8, or holds control"
            " characters: point TMPDIR at another one"
        )
    state.require_disk(temporary)


def require_descriptors() -> None:
    """Raise this process's limit of open files where it may; raise :class:`LabError` where it may not."""
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


def make_directory() -> Path:
    """The lab's own directory, below TMPDIR."""
    directory = Path(tempfile.mkdtemp(prefix="beacon-lab-"))
    # PostgreSQL runs as another user when we are root, and has to reach its own part of it.
    directory.chmod(0o711)
    return directory
