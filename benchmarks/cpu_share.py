"""Gives a process tree a share of the processors, as Lambda does by memory: 1,769 MB are one processor.

It uses the kernel's bandwidth control (cgroup version 1) with a period of 20 ms: in each period, a process
uses its share at full speed and then waits. A function sees two processors at every memory size here, as in
Lambda.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["ShareUnavailableError", "cpu_share", "first_in_line", "share_of_memory"]

_ROOT = Path("/sys/fs/cgroup/cpu")
_PERIOD_US = 20_000
#: The highest weight: other processes wait for those that have a share.
_FIRST = 262_144


class ShareUnavailableError(Exception):
    """This machine does not allow the benchmark to limit a process."""


def share_of_memory(memory_mb: int) -> float:
    """How many processors a function of that memory has."""
    return memory_mb / 1769


@contextlib.contextmanager
def cpu_share(processors: float) -> Iterator[Path]:
    """A group; write a pid into its ``cgroup.procs`` to limit that process and its children to come.

    Raises ShareUnavailableError. Processes that are left when it ends go back to the root's group.
    """
    group = _ROOT / f"beacon-bench-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise ShareUnavailableError(
            f"shares of a processor need root and cgroup version 1 ({error.strerror})"
        ) from None
    try:
        if not (group / "cpu.cfs_quota_us").exists():
            raise ShareUnavailableError("the kernel has no bandwidth control")
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(round(_PERIOD_US * processors)))
        (group / "cpu.shares").write_text(str(_FIRST))
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (_ROOT / "cgroup.procs").write_text(pid)
        for _ in range(50):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.02)


@contextlib.contextmanager
def first_in_line(say: Callable[[str], None]) -> Iterator[Path | None]:
    """A group with all of the processors and priority over other processes, if the machine allows it."""
    with contextlib.ExitStack() as stack:
        group: Path | None = None
        try:
            group = stack.enter_context(cpu_share(os.cpu_count() or 1))
        except ShareUnavailableError as error:
            say(f"{error}: other load on this machine is in the figures")
        yield group
